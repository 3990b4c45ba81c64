"""Serious events beside the event itself: the case, what was known of it when, who judged it, what was sent to whom."""

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from patients.models import ByPatientQuerySet, PatientRecord, person
from safety.models.adverse_events import AdverseEvent, Expectedness
from trialsite.roles import Permission, within_sites
from trialsite.words import Sentence, listed


class CaseQuerySet(ByPatientQuerySet):
    def visible_to(self, user):
        return within_sites(self, user, Permission.VIEW_ADVERSE_EVENTS)


class SeriousCase(PatientRecord):
    """The case of one serious event, opened with it. It stays when the event turns out not to be serious.

    `number` is unique in the world: country, trial, number. `serious_since` is when the site knew that an event reported
    before is serious; empty when it was from the beginning, and the event's own awareness counts. `site_due_at` and
    `sponsor_due_at` are the next open deadlines (safety/clocks.py), kept so that lists can be sorted by them."""

    event = models.OneToOneField(
        "safety.AdverseEvent", models.PROTECT, related_name="case", verbose_name=_("adverse event")
    )
    number = models.CharField(_("case number"), max_length=60, unique=True)
    opened_at = models.DateTimeField(_("opened"), default=timezone.now)
    opened_by = person(_("opened by"))
    serious_since = models.DateTimeField(_("site knew that it is serious"), null=True)
    sponsor_knew_at = models.DateTimeField(_("sponsor knew"), default=timezone.now)
    waits_for_judgement = models.BooleanField(_("to be judged by the sponsor"), default=True)
    site_due_at = models.DateTimeField(_("next report of the site due"), null=True)
    sponsor_due_at = models.DateTimeField(_("next report of the sponsor due"), null=True)

    objects = CaseQuerySet.as_manager()

    class Meta(PatientRecord.Meta):
        verbose_name = _("serious case")
        ordering = ["-id"]
        default_related_name = "cases"
        indexes = [
            models.Index(fields=["site_due_at"], condition=Q(site_due_at__isnull=False), name="cases_due_from_sites"),
            models.Index(
                fields=["sponsor_due_at"], condition=Q(sponsor_due_at__isnull=False), name="cases_due_from_sponsor"
            ),
        ]

    def __str__(self):
        return self.number

    @property
    def protocol_version(self):
        return self.event.protocol_version

    @property
    def site_knew_at(self):
        """When the site first knew that the event is serious."""
        return self.serious_since or self.event.aware_at


class FactCause(models.TextChoices):
    OPENED = "opened", _("the case was opened")
    EVENT_CHANGED = "event_changed", _("the event was changed")
    EVENT_WITHDRAWN = "event_withdrawn", _("the event was entered in error")
    CODED = "coded", _("the event was coded")
    INFUSION = "infusion", _("an infusion was recorded or corrected")
    RANDOMISED = "randomised", _("the patient was randomised")
    JUDGED = "judged", _("the sponsor judged")


class CaseFact(PatientRecord):
    """What was known of a case from an instant on, as the clocks ask (safety.clocks.Facts). Added to, never changed."""

    case = models.ForeignKey(SeriousCase, models.PROTECT, related_name="facts", verbose_name=_("serious case"))
    known_at = models.DateTimeField(_("known"), default=timezone.now)
    cause = models.CharField(_("cause"), max_length=16, choices=FactCause.choices)
    is_serious = models.BooleanField(_("serious"))
    is_grave = models.BooleanField(_("fatal or life-threatening"))
    is_suspected = models.BooleanField(_("suspected reaction"))
    is_unexpected = models.BooleanField(_("unexpected"))

    objects = CaseQuerySet.as_manager()

    class Meta(PatientRecord.Meta):
        verbose_name = _("what was known of a case")
        ordering = ["id"]
        default_related_name = "case_facts"

    def __str__(self):
        return f"{self.get_cause_display()}, {self.known_at:%Y-%m-%d %H:%M}"


class Causality(models.TextChoices):
    """Whether the sponsor can exclude that the product caused the event."""

    SUSPECTED = "suspected", _("cannot be excluded")
    EXCLUDED = "excluded", _("excluded")


class SponsorAssessment(PatientRecord):
    """The sponsor's judgement of a case: beside the investigator's, never in its place. The last one counts.

    `proposed` and `because` are what the reference safety information said at the time."""

    case = models.ForeignKey(SeriousCase, models.PROTECT, related_name="assessments", verbose_name=_("serious case"))
    causality = models.CharField(_("causal link to the product"), max_length=10, choices=Causality.choices)
    expectedness = models.CharField(_("expectedness"), max_length=12, choices=Expectedness.choices[:2])
    proposed = models.CharField(_("proposed expectedness"), max_length=12, choices=Expectedness.choices[:2])
    because = models.JSONField(_("why"), default=dict)
    comment = models.TextField(_("comment"))
    reason = models.TextField(_("reason for judging anew"), blank=True)
    event_version = models.PositiveIntegerField(_("version of the event"))
    judged_by = person(_("judged by"))
    judged_at = models.DateTimeField(_("judged at"), default=timezone.now)

    objects = CaseQuerySet.as_manager()

    class Meta(PatientRecord.Meta):
        verbose_name = _("judgement of the sponsor")
        ordering = ["id"]
        default_related_name = "sponsor_assessments"

    def __str__(self):
        return f"{self.get_causality_display()}, {self.get_expectedness_display()}"

    @property
    def because_text(self):
        return str(Sentence.of(self.because, None)) if self.because else ""


class CaseVersion(PatientRecord):
    """A case as it was reported: number 0 is the initial version, the others follow up. Frozen: `content` is what stood
    then, `digest` its SHA-256 as canonical JSON, `changed` the names of what differs from the version before."""

    case = models.ForeignKey(SeriousCase, models.PROTECT, related_name="versions", verbose_name=_("serious case"))
    number = models.PositiveIntegerField(_("number"))
    summary = models.TextField(_("what is new"), blank=True)
    content = models.JSONField(_("content"))
    digest = models.CharField(_("digest"), max_length=64)
    changed = models.JSONField(_("what changed"), default=list)
    by_site = models.BooleanField(_("made by the site"))
    made_by = person(_("made by"))
    made_at = models.DateTimeField(_("made at"), default=timezone.now)

    objects = CaseQuerySet.as_manager()

    class Meta(PatientRecord.Meta):
        verbose_name = _("version of a case")
        ordering = ["case", "number"]
        default_related_name = "case_versions"
        constraints = [models.UniqueConstraint(fields=["case", "number"], name="a_case_version_stands_once")]

    def __str__(self):
        return gettext("follow-up %(number)s") % {"number": self.number} if self.number else gettext("initial version")

    @property
    def changed_told(self):
        """What differs from the version before, in words."""
        return listed(told_part(name) for name in self.changed)


# the parts of the content of a version, beside the fields of the event
PARTS = {
    "case": _("when the case was known"),
    "trial": _("trial"),
    "patient": _("patient"),
    "code": _("coded term"),
    "came_again": _("event that came back"),
    "reporter": _("reporter"),
    "sponsor": _("sponsor's judgement"),
    "infusions": _("infusions"),
    "labs": _("linked results"),
    "medications": _("linked medication"),
    "histories": _("medical history"),
    "hiv": _("HIV history"),
    "regimens": _("antiretroviral treatment"),
}


def told_part(name):
    """`event.grade`, `narrative`, `labs` in words."""
    part, _dot, field = name.partition(".")
    if part in PARTS:
        return PARTS[part]
    return AdverseEvent._meta.get_field(field or part).verbose_name


class Submission(PatientRecord):
    """That a version of a case was sent to somebody whom the protocol names (`duty`), and what was answered.

    `due_at` is the deadline as it stood when the report was recorded; empty where none ran."""

    case = models.ForeignKey(SeriousCase, models.PROTECT, related_name="submissions", verbose_name=_("serious case"))
    case_version = models.ForeignKey(
        CaseVersion, models.PROTECT, related_name="submissions", verbose_name=_("version of a case")
    )
    duty = models.CharField(_("to whom"), max_length=24)
    stage = models.CharField(
        _("report"), max_length=10,
        choices=[("first", _("first report")), ("complete", _("complete report")), ("follow_up", _("follow-up"))],
    )  # fmt: skip
    due_at = models.DateTimeField(_("due"), null=True)
    sent_at = models.DateTimeField(_("sent"))
    reference = models.CharField(_("reference"), max_length=200, blank=True)
    sent_by = person(_("sent by"))
    recorded_at = models.DateTimeField(_("recorded at"), default=timezone.now)
    acknowledged_at = models.DateTimeField(_("acknowledged"), null=True)
    acknowledgement = models.CharField(_("acknowledgement"), max_length=500, blank=True)

    objects = CaseQuerySet.as_manager()

    class Meta(PatientRecord.Meta):
        verbose_name = _("report of a case")
        ordering = ["sent_at", "id"]
        default_related_name = "submissions"
        constraints = [
            models.UniqueConstraint(
                fields=["case", "duty"], condition=Q(stage="first"), name="one_first_report_of_a_case_to_each"
            ),
            models.UniqueConstraint(
                fields=["case", "duty"], condition=Q(stage="complete"), name="one_complete_report_of_a_case_to_each"
            ),
        ]

    def __str__(self):
        return f"{self.duty} {self.sent_at:%Y-%m-%d}"


class CopyStep(models.TextChoices):
    ASKED = "asked", pgettext_lazy("copy for the authority", "asked for")
    MADE = "made", pgettext_lazy("copy for the authority", "made")


class CopyPurpose(models.TextChoices):
    """Why the authority is told the product. A choice, since who makes the copy knows the arm: free words could name it."""

    REPORT = "report", _("a rapid report of a suspected unexpected serious reaction (SUSAR)")
    QUESTION = "question", _("the authority has asked")


class AuthorityCopy(PatientRecord):
    """That a copy of a version that names the product was asked for, or made, for the authority (ICH E2A, III.D): who, when
    and why. Neither the copy nor the arm is here. Added to, never changed."""

    case = models.ForeignKey(
        SeriousCase, models.PROTECT, related_name="authority_copies", verbose_name=_("serious case")
    )
    case_version = models.ForeignKey(
        CaseVersion, models.PROTECT, related_name="authority_copies", verbose_name=_("version of a case")
    )
    step = models.CharField(_("step"), max_length=8, choices=CopyStep.choices)
    purpose = models.CharField(_("why"), max_length=10, choices=CopyPurpose.choices)
    by = person(_("by"))
    at = models.DateTimeField(_("when"), default=timezone.now)

    objects = CaseQuerySet.as_manager()

    class Meta(PatientRecord.Meta):
        verbose_name = _("copy for the authority")
        ordering = ["id"]
        default_related_name = "authority_copies"

    def __str__(self):
        return f"{self.get_step_display()}, {self.at:%Y-%m-%d %H:%M}"


class CaseLink(PatientRecord):
    """A lab result or a medication that belongs to a case. A medication may be suspected beside the product."""

    case = models.ForeignKey(SeriousCase, models.PROTECT, related_name="links", verbose_name=_("serious case"))
    measurement = models.ForeignKey(
        "visits.Measurement", models.PROTECT, null=True, related_name="case_links", verbose_name=_("measurement")
    )
    medication = models.ForeignKey(
        "patients.Medication", models.PROTECT, null=True, related_name="case_links", verbose_name=_("medication")
    )
    is_suspect = models.BooleanField(_("suspected beside the product"), default=False)
    is_withdrawn = models.BooleanField(_("no longer linked"), default=False)

    objects = CaseQuerySet.as_manager()

    class Meta(PatientRecord.Meta):
        verbose_name = _("record linked to a case")
        ordering = ["id"]
        default_related_name = "case_links"
        constraints = [
            models.CheckConstraint(
                condition=Q(measurement__isnull=False, medication=None, is_suspect=False)
                | Q(measurement=None, medication__isnull=False),
                name="a_link_is_to_one_thing",
            ),
            models.UniqueConstraint(
                fields=["case", "measurement"], condition=Q(measurement__isnull=False), name="a_result_is_linked_once"
            ),
            models.UniqueConstraint(
                fields=["case", "medication"], condition=Q(medication__isnull=False), name="a_medication_is_linked_once"
            ),
        ]

    def __str__(self):
        return str(self.measurement or self.medication)
