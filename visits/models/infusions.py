"""Product lots, and the infusions that were given from them."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from patients.models import Line, PatientRecord, under_version
from trialsite.ctcae import term_told
from trialsite.models import Site
from trialsite.roles import Permission, within_sites
from visits.models.plan import Visit


class LotState(models.TextChoices):
    QUARANTINED = "quarantined", _("in quarantine")
    RELEASED = "released", _("released")
    REJECTED = "rejected", _("rejected")


class LotQuerySet(models.QuerySet):
    def visible_to(self, user):
        """A lot tells its product, and so the arm: only for those who handle it."""
        return within_sites(self, user, Permission.MANAGE_LOTS, "site")

    def usable_on(self, day):
        return self.filter(state=LotState.RELEASED, expires_on__gte=day)


class Lot(models.Model):
    """A product lot at a site, with the tests that release it."""

    site = models.ForeignKey(Site, models.PROTECT, related_name="lots", verbose_name=_("site"))
    product = models.CharField(_("product"), max_length=24)
    number = models.CharField(_("lot number"), max_length=40)
    donor = models.CharField(_("donor code"), max_length=40, blank=True)
    passage = models.PositiveIntegerField(_("passage"), null=True)
    received_on = models.DateField(_("received on"))
    expires_on = models.DateField(_("expires on"))
    state = models.CharField(_("status"), max_length=12, choices=LotState.choices, default=LotState.QUARANTINED)
    version = models.PositiveIntegerField(default=1)

    objects = LotQuerySet.as_manager()

    class Meta:
        verbose_name = _("lot")
        ordering = ["-expires_on", "number"]
        constraints = [models.UniqueConstraint(fields=["site", "product", "number"], name="a_lot_is_received_once")]

    def __str__(self):
        return self.number


class LotTestQuerySet(models.QuerySet):
    def visible_to(self, user):
        return within_sites(self, user, Permission.MANAGE_LOTS, "lot__site")


class LotTest(models.Model):
    """The result of one release test of a lot."""

    lot = models.ForeignKey(Lot, models.PROTECT, related_name="tests", verbose_name=_("lot"))
    code = models.CharField(_("release test"), max_length=24)
    result = models.CharField(_("result"), max_length=40)
    has_passed = models.BooleanField(_("passed"))
    version = models.PositiveIntegerField(default=1)

    objects = LotTestQuerySet.as_manager()

    class Meta:
        verbose_name = _("release test")
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["lot", "code"], name="a_release_test_stands_once")]

    def __str__(self):
        return f"{self.code}: {self.result}"


class Preparation(PatientRecord):
    """What the pharmacy prepared for one infusion. It names the lot, and so the arm: not for masked eyes."""

    protocol_version = under_version()
    visit = models.OneToOneField(Visit, models.PROTECT, related_name="preparation", verbose_name=_("visit"))
    number = models.PositiveIntegerField(_("infusion number"))
    lot = models.ForeignKey(Lot, models.PROTECT, related_name="preparations", verbose_name=_("lot"))
    weight_kg = models.DecimalField(_("body weight (kg)"), max_digits=6, decimal_places=2)
    planned_dose = models.DecimalField(_("planned dose"), max_digits=16, decimal_places=2)
    prepared_dose = models.DecimalField(_("prepared dose"), max_digits=16, decimal_places=2)
    viability_percent = models.DecimalField(_("viability (%)"), max_digits=5, decimal_places=2, null=True)
    label = models.CharField(_("label on the bag"), max_length=40, unique=True)
    prepared_at = models.DateTimeField(_("prepared at"))

    class Meta(PatientRecord.Meta):
        verbose_name = _("preparation")
        constraints = [models.UniqueConstraint(fields=["patient", "number"], name="an_infusion_is_prepared_once")]

    def __str__(self):
        return self.label


class Infusion(PatientRecord):
    """One infusion as it was given. Doses in the unit of the product; what was in the bag stands in Preparation."""

    protocol_version = under_version()
    visit = models.OneToOneField(Visit, models.PROTECT, related_name="infusion", verbose_name=_("visit"))
    preparation = models.OneToOneField(
        Preparation, models.PROTECT, related_name="infusion", verbose_name=_("preparation")
    )
    number = models.PositiveIntegerField(_("infusion number"))
    started_at = models.DateTimeField(_("start"))
    stopped_at = models.DateTimeField(_("stop"))
    volume_ml = models.DecimalField(_("volume (mL)"), max_digits=7, decimal_places=1)
    given_percent = models.DecimalField(_("part of the bag given (%)"), max_digits=5, decimal_places=1)
    access_site = models.CharField(_("access"), max_length=100, blank=True)
    premedication = models.CharField(_("pre-medication"), max_length=200, blank=True)
    comment = models.TextField(_("comment"), blank=True)

    class Meta(PatientRecord.Meta):
        verbose_name = _("infusion")
        ordering = ["patient", "number"]
        constraints = [
            models.UniqueConstraint(fields=["patient", "number"], name="an_infusion_is_given_once"),
            models.CheckConstraint(condition=Q(stopped_at__gt=models.F("started_at")), name="stop_after_start"),
        ]

    def __str__(self):
        return gettext("infusion %(number)s") % {"number": self.number}

    @property
    def given_dose(self):
        return self.preparation.prepared_dose * self.given_percent / 100


class Interruption(Line):
    infusion = models.ForeignKey(Infusion, models.PROTECT, related_name="interruptions", verbose_name=_("infusion"))
    stopped_at = models.DateTimeField(_("stopped"))
    resumed_at = models.DateTimeField(_("resumed"), null=True)
    cause = models.CharField(_("cause"), max_length=200)

    class Meta(Line.Meta):
        verbose_name = _("interruption")
        ordering = ["stopped_at"]

    def __str__(self):
        return gettext("interrupted at %(time)s UTC") % {"time": f"{self.stopped_at:%H:%M}"}


class Reaction(Line):
    """A reaction seen during or right after an infusion; the adverse event is reported on its own form."""

    infusion = models.ForeignKey(Infusion, models.PROTECT, related_name="reactions", verbose_name=_("infusion"))
    term = models.CharField(_("reaction"), max_length=200)
    began_at = models.DateTimeField(_("began"))
    grade = models.PositiveIntegerField(_("grade"))
    # by which words it was graded; empty where the protocol names no scale, or the scale has no row for the term
    grade_scale = models.CharField(_("scale"), max_length=40, blank=True)
    grade_scale_version = models.CharField(_("version of the scale"), max_length=20, blank=True)
    grade_row = models.CharField(_("row of the scale"), max_length=200, blank=True)

    class Meta(Line.Meta):
        verbose_name = _("infusion reaction")
        ordering = ["began_at"]

    def __str__(self):
        return term_told(self.term)
