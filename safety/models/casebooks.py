"""Certified copies of everything about one patient."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from patients.models import PatientRecord, person
from trialsite.models import JobState
from trialsite.roles import Permission, within_sites


class CasebookQuerySet(models.QuerySet):
    def visible_to(self, user):
        """A copy of what one person may see: that person's alone, while patient and trail may be seen."""
        seen = within_sites(self.filter(requested_by=user), user, Permission.VIEW_PATIENTS)
        return within_sites(seen, user, Permission.VIEW_AUDIT_TRAIL)


class Casebook(PatientRecord):
    """A certified copy of everything about one patient as it stood at the cut-off, made for one person.

    `sees_arm` and `sees_events` are what the person was allowed when it was made, `language` is that of its words;
    `digest` is the SHA-256 of its content (casebook.json), which no language changes."""

    cutoff = models.DateTimeField(_("cut-off"))
    language = models.CharField(_("language"), max_length=10)
    requested_by = person(_("requested by"))
    requested_at = models.DateTimeField(_("requested at"), default=timezone.now)
    state = models.CharField(_("status"), max_length=10, choices=JobState.choices, default=JobState.WAITING)
    step = models.CharField(_("step"), max_length=100, blank=True)
    percent = models.PositiveSmallIntegerField(_("percent"), default=0)
    finished_at = models.DateTimeField(_("finished at"), null=True)
    failure = models.TextField(_("failure"), blank=True)
    sees_arm = models.BooleanField(_("with the arm"), null=True)
    sees_events = models.BooleanField(_("with adverse events"), null=True)
    digest = models.CharField(_("digest"), max_length=64, blank=True)
    code_version = models.CharField(_("version of the program"), max_length=64, blank=True)
    last_audit_event = models.BigIntegerField(_("last event of the audit trail"), null=True)

    objects = CasebookQuerySet.as_manager()

    class Meta(PatientRecord.Meta):
        verbose_name = _("casebook")
        ordering = ["-id"]

    def __str__(self):
        return gettext("casebook as of %(instant)s UTC") % {"instant": f"{self.cutoff:%Y-%m-%d %H:%M:%S}"}


class CasebookFileQuerySet(models.QuerySet):
    def visible_to(self, user):
        return self.filter(casebook__in=Casebook.objects.visible_to(user))


class CasebookFile(models.Model):
    """One file of a casebook: the PDF for people, and the content that its digest is of."""

    casebook = models.ForeignKey(Casebook, models.PROTECT, related_name="files")
    name = models.CharField(max_length=60)
    content_type = models.CharField(max_length=60)
    content = models.BinaryField(null=True)  # dropped after settings.COPIES_KEPT; the same can be made again
    size = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)

    objects = CasebookFileQuerySet.as_manager()

    class Meta:
        ordering = ["-name"]
        constraints = [models.UniqueConstraint(fields=["casebook", "name"], name="a_file_stands_once_in_its_casebook")]

    def __str__(self):
        return self.name


class CasebookDownload(models.Model):
    """That somebody took a file of a casebook."""

    file = models.ForeignKey(CasebookFile, models.PROTECT, related_name="downloads", verbose_name=_("file"))
    by = person(_("by"))
    at = models.DateTimeField(_("at"), default=timezone.now)

    class Meta:
        ordering = ["-id"]

    def __str__(self):
        return f"{self.file} by {self.by} at {self.at:%Y-%m-%d %H:%M}"
