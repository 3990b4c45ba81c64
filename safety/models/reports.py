"""Reports to the safety board, their files, and the letters of the arms."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from patients.models import person
from trialsite.models import JobState
from trialsite.roles import Permission, can


def utc_day():
    return timezone.now().date()


class DsmbReportQuerySet(models.QuerySet):
    def visible_to(self, user):
        """Who makes reports sees all of them, other readers those that were released."""
        if not can(user, Permission.READ_OPEN_REPORTS):
            return self.none()
        makes_them = can(user, Permission.REQUEST_REPORTS) or can(user, Permission.RELEASE_REPORTS)
        return self if makes_them else self.exclude(release=None)


class DsmbReport(models.Model):
    """A report to the safety board as of a cut-off: an open and a closed part, made once and kept as made.

    What happened until the day `cutoff` counts, as it was known at the instant `entered_until`: up to
    `last_audit_event`, without the events `held_back` (trialsite.as_of.CutOff). `reported_on` is the day on which a
    report of this cut-off was first asked for. The figures of each part are files (DsmbFile, figures.json); their
    digest stands here. Reports of one `series` have the same letters for the arms."""

    cutoff = models.DateField(_("cut-off"))
    entered_until = models.DateTimeField(_("data entered until"), default=timezone.now)
    reported_on = models.DateField(_("date of the report"), default=utc_day)
    compared_with = models.ForeignKey(
        "self", models.PROTECT, null=True, related_name="+", verbose_name=_("compared with")
    )
    series = models.PositiveSmallIntegerField(_("series"), default=1)
    month = models.CharField(max_length=7, null=True, unique=True, help_text=_("YYYY-MM of a monthly report"))
    requested_by = person(_("requested by"))
    requested_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=10, choices=JobState.choices, default=JobState.WAITING)
    step = models.CharField(max_length=100, blank=True)
    percent = models.PositiveSmallIntegerField(default=0)
    finished_at = models.DateTimeField(null=True)
    failure = models.TextField(blank=True)
    code_version = models.CharField(max_length=64, blank=True)
    protocol_version = models.CharField(max_length=200, blank=True)
    scales = models.CharField(_("grading scales"), max_length=200, blank=True)
    last_audit_event = models.BigIntegerField(null=True)
    held_back = models.JSONField(default=list)
    figures_sha256 = models.CharField(max_length=64, blank=True)
    version = models.PositiveIntegerField(default=1)

    objects = DsmbReportQuerySet.as_manager()

    class Meta:
        ordering = ["-cutoff", "-entered_until", "-id"]

    def __str__(self):
        return gettext("DSMB report %(number)s as of %(day)s") % {"number": self.pk, "day": self.cutoff}


class Part(models.TextChoices):
    OPEN = "open", pgettext_lazy("part of a report", "open")
    CLOSED = "closed", pgettext_lazy("part of a report", "closed")


class DsmbFileQuerySet(models.QuerySet):
    def visible_to(self, user):
        readable = []
        if can(user, Permission.READ_OPEN_REPORTS):
            readable.append(Part.OPEN)
        if can(user, Permission.READ_CLOSED_REPORTS):
            readable.append(Part.CLOSED)
        return self.filter(part__in=readable, report__in=DsmbReport.objects.visible_to(user))


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


class ReportDownload(models.Model):
    """That somebody took a file of a report."""

    file = models.ForeignKey(DsmbFile, models.PROTECT, related_name="downloads", verbose_name=_("file"))
    by = person(_("by"))
    at = models.DateTimeField(_("at"), default=timezone.now)

    class Meta:
        ordering = ["-id"]

    def __str__(self):
        return f"{self.file} by {self.by} at {self.at:%Y-%m-%d %H:%M}"


class ArmLetter(models.Model):
    """Which letter stands for which arm in the closed reports of a series: drawn once, read by the report job, and by
    people through safety/letters.py alone."""

    series = models.PositiveSmallIntegerField(default=1)
    arm = models.CharField(max_length=24)
    letter = models.CharField(max_length=1)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["series", "arm"], name="an_arm_has_one_letter_in_a_series"),
            models.UniqueConstraint(fields=["series", "letter"], name="a_letter_stands_for_one_arm_in_a_series"),
        ]

    def __str__(self):
        return self.letter


class LetterLookQuerySet(models.QuerySet):
    def visible_to(self, user):
        return self if can(user, Permission.VIEW_LETTER_LOG) else self.none()


class LetterLook(models.Model):
    """Somebody was told which letter stands for which arm in a series: who, when and why. The letters are not here."""

    series = models.PositiveSmallIntegerField(_("series"))
    reason = models.TextField(_("why"))
    looked_by = person(_("by"))
    looked_at = models.DateTimeField(_("when"), default=timezone.now)
    version = models.PositiveIntegerField(default=1)

    objects = LetterLookQuerySet.as_manager()

    class Meta:
        verbose_name = _("look at the letters of the arms")
        ordering = ["-id"]

    def __str__(self):
        return gettext("letters of series %(series)s, %(day)s") % {
            "series": self.series,
            "day": f"{self.looked_at:%Y-%m-%d}",
        }
