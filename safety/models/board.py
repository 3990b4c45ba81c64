"""What the safety board was given, what it recommends, and what became of that."""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from patients.models import Blocked, Halt, person
from safety.models.reports import DsmbReport, Part
from trialsite.roles import Permission, can
from trialsite.words import listed


class Release(models.Model):
    """The statistician hands a report to the board: before that, only who makes reports reads it."""

    report = models.OneToOneField(DsmbReport, models.PROTECT, related_name="release")
    note = models.TextField(_("note to the board"), blank=True)
    released_by = person(_("released by"))
    released_at = models.DateTimeField(_("released at"), default=timezone.now)

    def __str__(self):
        return f"release of report {self.report_id}"


class ReadingReceipt(models.Model):
    """A member of the board says that he or she has read a part of a report."""

    report = models.ForeignKey(DsmbReport, models.PROTECT, related_name="receipts")
    part = models.CharField(_("part"), max_length=6, choices=Part.choices)
    read_by = person(_("read by"))
    read_at = models.DateTimeField(_("read at"), default=timezone.now)

    class Meta:
        ordering = ["read_at"]
        constraints = [
            models.UniqueConstraint(fields=["report", "part", "read_by"], name="a_part_is_read_once_by_each")
        ]

    def __str__(self):
        return f"{self.part} part of report {self.report_id}"


class Decision(models.TextChoices):
    """What a monitoring board may recommend (FDA 2006, Clinical Trial Data Monitoring Committees; NIH templates)."""

    CONTINUE = "continue", _("Continue as it is")
    MODIFY = "modify", _("Continue with modifications")
    SUSPEND = "suspend", _("Suspend until the conditions are met")
    TERMINATE = "terminate", _("Terminate")


# decisions after which the trial goes on: they alone may lift a halt
GOING_ON = (Decision.CONTINUE, Decision.MODIFY)
HALTING = (Decision.SUSPEND, Decision.TERMINATE)


class RecommendationQuerySet(models.QuerySet):
    def visible_to(self, user):
        """The board sees its own drafts; those whom it is for see it once it is signed."""
        if can(user, Permission.RECORD_DECISIONS):
            return self
        if any(can(user, permission) for permission in (Permission.READ_OPEN_REPORTS, Permission.VIEW_ADVERSE_EVENTS)):
            return self.exclude(effective_at=None)
        return self.none()

    def standing(self):
        return self.filter(is_withdrawn=False)


class Recommendation(models.Model):
    """What the board recommends, on which report or without one, and why.

    It takes effect with the last of the signatures that the protocol asks for: it then lifts `halts`, or opens one.
    With its first signature it is closed to change; a mistake is withdrawn and recorded anew."""

    report = models.ForeignKey(DsmbReport, models.PROTECT, null=True, related_name="recommendations")
    met_on = models.DateField(_("day of the meeting"))
    decision = models.CharField(_("recommendation"), max_length=10, choices=Decision.choices)
    rationale = models.TextField(_("rationale"))
    conditions = models.TextField(_("what is to be changed or met"), blank=True)
    blocks = models.JSONField(_("what is suspended"), default=list)
    recorded_by = person(_("recorded by"))
    recorded_at = models.DateTimeField(_("recorded at"), default=timezone.now)
    effective_at = models.DateTimeField(_("in effect since"), null=True)
    is_withdrawn = models.BooleanField(_("withdrawn"), default=False)
    version = models.PositiveIntegerField(default=1)

    objects = RecommendationQuerySet.as_manager()

    class Meta:
        ordering = ["-met_on", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(effective_at=None) | Q(is_withdrawn=False), name="what_is_in_effect_is_not_withdrawn"
            )
        ]

    def __str__(self):
        words = gettext("recommendation %(number)s of %(day)s")
        return words % {"number": self.pk, "day": self.met_on}

    @property
    def goes_on(self):
        return self.decision in GOING_ON

    @property
    def blocks_text(self):
        return listed(Blocked(what).label for what in self.blocks)


class LiftedHalt(models.Model):
    """A halt that a recommendation lifts."""

    recommendation = models.ForeignKey(Recommendation, models.PROTECT, related_name="lifted")
    halt = models.ForeignKey(Halt, models.PROTECT, related_name="recommendations")

    class Meta:
        ordering = ["halt"]
        constraints = [
            models.UniqueConstraint(fields=["recommendation", "halt"], name="a_recommendation_names_a_halt_once")
        ]

    def __str__(self):
        return f"halt {self.halt_id} by recommendation {self.recommendation_id}"


class ClosedMinutesQuerySet(models.QuerySet):
    def visible_to(self, user):
        return self if can(user, Permission.READ_CLOSED_REPORTS) else self.none()


class ClosedMinutes(models.Model):
    """What was said in the closed session: kept from all others until the trial has ended."""

    recommendation = models.OneToOneField(Recommendation, models.PROTECT, related_name="minutes")
    text = models.TextField(_("minutes of the closed session"))

    objects = ClosedMinutesQuerySet.as_manager()

    def __str__(self):
        return f"minutes of recommendation {self.recommendation_id}"


class BoardSignature(models.Model):
    """A member signs the recommendation, bound to its version and content (21 CFR 11.50, 11.70)."""

    MEANING = gettext_noop("I agree with this recommendation of the safety board.")  # stored as it is here

    recommendation = models.ForeignKey(Recommendation, models.PROTECT, related_name="signatures")
    signed_by = person(_("signed by"))
    printed_name = models.CharField(_("printed name"), max_length=200)
    meaning = models.CharField(_("meaning"), max_length=200)
    signed_at = models.DateTimeField(_("signed at"), default=timezone.now)
    record_version = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)

    class Meta:
        ordering = ["signed_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["recommendation", "signed_by", "record_version"], name="a_member_signs_a_version_once"
            ),
        ]

    def __str__(self):
        return self.printed_name

    @property
    def meaning_told(self):
        return meaning_told(self.meaning)


def meaning_told(stored: str) -> str:
    """What the signature of a member means, in the reader's language."""
    return gettext(stored) if stored == BoardSignature.MEANING else stored


class Acknowledgement(models.Model):
    """Sponsor or investigator confirms having received the recommendation."""

    recommendation = models.ForeignKey(Recommendation, models.PROTECT, related_name="acknowledgements")
    by = person(_("by"))
    at = models.DateTimeField(_("at"), default=timezone.now)

    class Meta:
        ordering = ["at"]
        constraints = [
            models.UniqueConstraint(fields=["recommendation", "by"], name="a_person_acknowledges_once"),
        ]

    def __str__(self):
        return f"{self.by} has received recommendation {self.recommendation_id}"


class ActionItem(models.Model):
    """Something that the board asks for, until it is resolved (NIH templates, “resolution of action items”)."""

    recommendation = models.ForeignKey(Recommendation, models.PROTECT, related_name="action_items")
    text = models.TextField(_("action item"))
    responsible = models.CharField(_("responsible"), max_length=200)
    due_on = models.DateField(_("due on"), null=True)
    resolution = models.TextField(_("resolution"), blank=True)
    resolved_by = person(_("resolved by"), null=True)
    resolved_at = models.DateTimeField(_("resolved at"), null=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["resolved_at", F("due_on").asc(nulls_last=True), "id"]
        constraints = [
            models.CheckConstraint(condition=Q(resolved_at=None) | ~Q(resolution=""), name="what_is_resolved_says_how")
        ]

    def __str__(self):
        return self.text
