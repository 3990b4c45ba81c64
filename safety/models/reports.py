"""Reports to the safety board, their files, and the letters of the arms."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from patients.models import person
from trialsite.models import JobState
from trialsite.roles import Permission, can


class DsmbReportQuerySet(models.QuerySet):
    def visible_to(self, user):
        return self if can(user, Permission.READ_OPEN_REPORTS) else self.none()


class DsmbReport(models.Model):
    """A report to the safety board as of a cut-off: an open and a closed part, made once and kept as made.

    The figures of each part are one of its files (DsmbFile, figures.json); their digest stands here."""

    cutoff = models.DateField(_("cut-off"))
    month = models.CharField(max_length=7, null=True, unique=True, help_text=_("YYYY-MM of a monthly report"))
    requested_by = person(_("requested by"))
    requested_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=10, choices=JobState.choices, default=JobState.WAITING)
    step = models.CharField(max_length=100, blank=True)
    percent = models.PositiveSmallIntegerField(default=0)
    finished_at = models.DateTimeField(null=True)
    failure = models.TextField(blank=True)
    code_version = models.CharField(max_length=64, blank=True)
    protocol_version = models.CharField(max_length=20, blank=True)
    last_audit_event = models.BigIntegerField(null=True)
    figures_sha256 = models.CharField(max_length=64, blank=True)
    version = models.PositiveIntegerField(default=1)

    objects = DsmbReportQuerySet.as_manager()

    class Meta:
        ordering = ["-cutoff", "-id"]

    def __str__(self):
        return gettext("DSMB report %(number)s as of %(day)s") % {"number": self.pk, "day": self.cutoff}


class Part(models.TextChoices):
    OPEN = "open", _("open")
    CLOSED = "closed", _("closed")


class DsmbFileQuerySet(models.QuerySet):
    def visible_to(self, user):
        readable = []
        if can(user, Permission.READ_OPEN_REPORTS):
            readable.append(Part.OPEN)
        if can(user, Permission.READ_CLOSED_REPORTS):
            readable.append(Part.CLOSED)
        return self.filter(part__in=readable)


class DsmbFile(models.Model):
    """One file of a report: the PDF, the HTML, or a figure (SVG) of one part."""

    report = models.ForeignKey(DsmbReport, models.PROTECT, related_name="files")
    part = models.CharField(max_length=6, choices=Part.choices)
    name = models.CharField(max_length=60)
    content_type = models.CharField(max_length=60)
    content = models.BinaryField()
    sha256 = models.CharField(max_length=64)

    objects = DsmbFileQuerySet.as_manager()

    class Meta:
        ordering = ["part", "name"]
        constraints = [
            models.UniqueConstraint(fields=["report", "part", "name"], name="a_file_stands_once_in_its_part")
        ]

    def __str__(self):
        return f"{self.part}/{self.name}"


class ArmLetter(models.Model):
    """Which letter stands for which arm in the closed reports: drawn once, read by the report job only."""

    arm = models.CharField(max_length=24, unique=True)
    letter = models.CharField(max_length=1, unique=True)

    def __str__(self):
        return self.letter
