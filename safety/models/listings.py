"""What people keep of the listings: views that they saved, and who took a copy."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from patients.models import person


class SavedView(models.Model):
    """A choice of filters, columns and order that a person gave a name: the query of the page's address."""

    owner = person(_("owner"))
    listing = models.CharField(_("listing"), max_length=24)
    name = models.CharField(_("name"), max_length=80)
    query = models.CharField(_("choice"), max_length=2000, blank=True)
    is_forgotten = models.BooleanField(_("no longer offered"), default=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "listing", "name"], name="a_view_has_its_name_once"),
        ]

    def __str__(self):
        return self.name


class ListingCopy(models.Model):
    """That somebody took a listing away as a file (ICH E6: exports are logged)."""

    listing = models.CharField(_("listing"), max_length=24)
    query = models.CharField(_("choice"), max_length=2000, blank=True)
    format = models.CharField(_("format"), max_length=4)
    rows = models.PositiveIntegerField(_("rows"))
    sha256 = models.CharField(max_length=64)
    taken_by = person(_("taken by"))
    taken_at = models.DateTimeField(_("taken at"), default=timezone.now)

    class Meta:
        ordering = ["-id"]

    def __str__(self):
        return f"{self.listing}.{self.format}"
