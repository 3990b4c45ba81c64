"""What went wrong, and may the trial go on."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from patients.models import ByPatientQuerySet, Line, PatientRecord, person
from safety import dictionary
from safety.deviations import Category
from trialsite import trial
from trialsite.models import JobState as ReportState
from trialsite.roles import Permission, can, within_sites
from trialsite.words import Sentence
from visits.models import Visit


class Relationship(models.TextChoices):
    NOT_RELATED = "not_related", _("not related")
    UNLIKELY = "unlikely", _("unlikely")
    POSSIBLE = "possible", _("possible")
    PROBABLE = "probable", _("probable")
    DEFINITE = "definite", _("definite")


# a suspected reaction: somebody could not exclude that the product caused it
RELATED = (Relationship.POSSIBLE, Relationship.PROBABLE, Relationship.DEFINITE)


class ActionTaken(models.TextChoices):
    """CDISC codelist ACN: what was done with the study treatment."""

    NOT_CHANGED = "dose_not_changed", _("dose not changed")
    INTERRUPTED = "drug_interrupted", _("infusion interrupted")
    RATE_REDUCED = "dose_rate_reduced", _("rate reduced")
    REDUCED = "dose_reduced", _("dose reduced")
    WITHDRAWN = "drug_withdrawn", _("treatment withdrawn")
    NOT_APPLICABLE = "not_applicable", _("not applicable")
    UNKNOWN = "unknown", _("unknown")


class Outcome(models.TextChoices):
    """CDISC codelist OUT."""

    RECOVERED = "recovered", _("recovered")
    RECOVERED_WITH_SEQUELAE = "recovered_with_sequelae", _("recovered with sequelae")
    RECOVERING = "recovering", _("recovering")
    NOT_RECOVERED = "not_recovered", _("not recovered")
    FATAL = "fatal", _("fatal")
    UNKNOWN = "unknown", _("unknown")


class Expectedness(models.TextChoices):
    EXPECTED = "expected", _("expected")
    UNEXPECTED = "unexpected", _("unexpected")
    NOT_JUDGED = "", _("not judged yet")


# field of AdverseEvent: what a serious event led to (ICH E2A)
SERIOUSNESS = {
    "is_fatal": _("results in death"),
    "is_life_threatening": _("is life-threatening"),
    "is_hospitalisation": _("requires or prolongs hospitalisation"),
    "is_disability": _("results in persistent or significant disability"),
    "is_congenital": _("is a congenital anomaly or birth defect"),
    "is_important": _("is another important medical event"),
}


class AdverseEventQuerySet(ByPatientQuerySet):
    def visible_to(self, user):
        return within_sites(self, user, Permission.VIEW_ADVERSE_EVENTS)


class AdverseEvent(Line):
    """An adverse event with the fields of CDASH's AE form. Grades are DAIDS 2.1, 1 to 5."""

    sequence = models.PositiveIntegerField()
    term = models.CharField(_("adverse event"), max_length=200)
    body_system = models.CharField(_("body system"), max_length=100)
    began_on = models.DateField(_("onset"))
    is_ongoing = models.BooleanField(_("ongoing"))
    ended_on = models.DateField(_("end"), null=True)
    grade = models.PositiveSmallIntegerField(_("grade"), validators=[MinValueValidator(1), MaxValueValidator(5)])
    is_serious = models.BooleanField(_("serious"))
    is_fatal = models.BooleanField(SERIOUSNESS["is_fatal"], default=False)
    is_life_threatening = models.BooleanField(SERIOUSNESS["is_life_threatening"], default=False)
    is_hospitalisation = models.BooleanField(SERIOUSNESS["is_hospitalisation"], default=False)
    is_disability = models.BooleanField(SERIOUSNESS["is_disability"], default=False)
    is_congenital = models.BooleanField(SERIOUSNESS["is_congenital"], default=False)
    is_important = models.BooleanField(SERIOUSNESS["is_important"], default=False)
    relationship = models.CharField(
        _("relationship to the infusion product"), max_length=20, choices=Relationship.choices
    )
    expectedness = models.CharField(_("expectedness"), max_length=12, choices=Expectedness.choices, blank=True)
    action_taken = models.CharField(
        _("action taken with the study treatment"), max_length=20, choices=ActionTaken.choices
    )
    other_action = models.CharField(_("other action"), max_length=500, blank=True)
    outcome = models.CharField(_("outcome"), max_length=30, choices=Outcome.choices)
    infusion_number = models.PositiveIntegerField(_("after infusion number"), null=True)
    aware_at = models.DateTimeField(_("site became aware"))
    narrative = models.TextField(_("narrative"), blank=True)
    reported_by = person()
    reported_at = models.DateTimeField(default=timezone.now)

    objects = AdverseEventQuerySet.as_manager()

    class Meta(Line.Meta):
        ordering = ["-began_on", "-id"]
        default_related_name = "adverse_events"
        constraints = [
            models.UniqueConstraint(fields=["patient", "sequence"], name="an_event_has_its_number"),
            models.CheckConstraint(condition=Q(grade__range=(1, 5)), name="grade_1_to_5"),
            models.CheckConstraint(
                condition=Q(is_ongoing=True, ended_on=None) | Q(is_ongoing=False), name="ongoing_has_no_end"
            ),
            models.CheckConstraint(condition=Q(ended_on=None) | Q(ended_on__gte=F("began_on")), name="ends_after_onset"),
            models.CheckConstraint(
                condition=Q(is_serious=False, is_fatal=False, is_life_threatening=False, is_hospitalisation=False,
                            is_disability=False, is_congenital=False, is_important=False)
                | Q(Q(is_serious=True) & (Q(is_fatal=True) | Q(is_life_threatening=True) | Q(is_hospitalisation=True)
                    | Q(is_disability=True) | Q(is_congenital=True) | Q(is_important=True))),
                name="serious_exactly_when_a_criterion_holds",
            ),
        ]  # fmt: skip
        indexes = [models.Index(fields=["is_serious", "grade"]), models.Index(fields=["began_on"])]

    def __str__(self):
        return gettext("%(term)s (grade %(grade)s)") % {"term": self.term, "grade": self.grade}

    @property
    def body_system_told(self):
        return dictionary.told(self.body_system)

    @property
    def is_related(self):
        return self.relationship in RELATED

    @property
    def seriousness(self):
        """The criteria that hold, in words."""
        return [str(words) for name, words in SERIOUSNESS.items() if getattr(self, name)]


# what a deviation is about, in words (CDASH, DVDECOD as a category)
CATEGORIES = {
    Category.CONSENT: _("informed consent"),
    Category.ELIGIBILITY: _("eligibility criteria"),
    Category.VISIT_WINDOW: _("visit window"),
    Category.DOSE: _("dose"),
    Category.MEDICATION: _("concomitant medication"),
    Category.PROCEDURE: _("procedure"),
    Category.BLINDING: _("blinding"),
    Category.OTHER: _("other"),
}


class Deviation(Line):
    """A deviation from the protocol, with the fields of CDASH's DV form.

    `proposal_key` and `seen` are set when it was proposed by the system: what it saw, as it saw it then."""

    sequence = models.PositiveIntegerField()
    category = models.CharField(_("category"), max_length=16, choices=[(c.value, w) for c, w in CATEGORIES.items()])
    began_on = models.DateField(_("date of the deviation"))
    ended_on = models.DateField(_("end"), null=True)
    discovered_on = models.DateField(_("discovered on"))
    visit = models.ForeignKey(Visit, models.PROTECT, null=True, related_name="deviations", verbose_name=_("visit"))
    description = models.TextField(_("description"))
    is_important = models.BooleanField(_("important"))
    effect_on_safety = models.TextField(_("effect on the patient's safety"), blank=True)
    effect_on_data = models.TextField(_("effect on the data"), blank=True)
    corrective_action = models.TextField(_("corrective action"), blank=True)
    corrected_on = models.DateField(_("corrective action completed on"), null=True)
    preventive_action = models.TextField(_("preventive action"), blank=True)
    reported_on = models.DateField(_("reported to the ethics committee on"), null=True)
    proposal_key = models.CharField(_("proposal of the system"), max_length=80, blank=True)
    seen = models.JSONField(_("what the system saw"), null=True)
    reported_by = person()
    reported_at = models.DateTimeField(default=timezone.now)

    class Meta(Line.Meta):
        ordering = ["-began_on", "-id"]
        default_related_name = "deviations"
        constraints = [
            models.UniqueConstraint(fields=["patient", "sequence"], name="a_deviation_has_its_number"),
            models.UniqueConstraint(
                fields=["patient", "proposal_key"], condition=~Q(proposal_key="") & Q(is_withdrawn=False),
                name="a_proposal_is_recorded_once",
            ),
            models.CheckConstraint(
                condition=Q(ended_on=None) | Q(ended_on__gte=F("began_on")), name="a_deviation_ends_after_it_began"
            ),
            models.CheckConstraint(
                condition=Q(corrected_on=None) | ~Q(corrective_action=""), name="what_is_corrected_says_how"
            ),
        ]  # fmt: skip
        indexes = [models.Index(fields=["category", "is_important"])]

    def __str__(self):
        return f"deviation {self.sequence} ({self.get_category_display()})"

    @property
    def is_open(self):
        """Does its corrective action still wait?"""
        return self.corrected_on is None

    @property
    def seen_sentence(self):
        return Sentence.of(self.seen, trial.current_protocol()) if self.seen else None


class DismissedProposal(Line):
    """A proposal of the system that somebody judged to be no deviation, and why. Taken back, it is proposed again."""

    proposal_key = models.CharField(_("proposal of the system"), max_length=80)
    seen = models.JSONField(_("what the system saw"))
    reason = models.CharField(_("why this is no deviation"), max_length=500)
    dismissed_by = person()
    dismissed_at = models.DateTimeField(default=timezone.now)

    class Meta(Line.Meta):
        ordering = ["-dismissed_at", "-id"]
        default_related_name = "dismissed_proposals"
        constraints = [
            models.UniqueConstraint(
                fields=["patient", "proposal_key"], condition=Q(is_withdrawn=False), name="a_proposal_is_dismissed_once"
            )
        ]

    def __str__(self):
        return self.proposal_key

    @property
    def seen_sentence(self):
        return Sentence.of(self.seen, trial.current_protocol())


class DsmbReportQuerySet(models.QuerySet):
    def visible_to(self, user):
        return self if can(user, Permission.READ_OPEN_REPORTS) else self.none()


class DsmbReport(models.Model):
    """A report to the safety board as of a cut-off: an open and a closed part, made once and kept as made.

    The figures of each part are one of its files (DsmbFile, figures.json); their digest stands here."""

    cutoff = models.DateField(_("cut-off"))
    month = models.CharField(max_length=7, null=True, unique=True, help_text=_("YYYY-MM of a monthly report"))
    requested_by = person()
    requested_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=10, choices=ReportState.choices, default=ReportState.WAITING)
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
    requested_by = person()
    requested_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=10, choices=ReportState.choices, default=ReportState.WAITING)
    step = models.CharField(max_length=100, blank=True)
    percent = models.PositiveSmallIntegerField(default=0)
    finished_at = models.DateTimeField(null=True)
    failure = models.TextField(blank=True)
    sees_arm = models.BooleanField(null=True)
    sees_events = models.BooleanField(null=True)
    digest = models.CharField(max_length=64, blank=True)
    code_version = models.CharField(max_length=64, blank=True)
    last_audit_event = models.BigIntegerField(null=True)

    objects = CasebookQuerySet.as_manager()

    class Meta(PatientRecord.Meta):
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
    content = models.BinaryField()
    size = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)

    objects = CasebookFileQuerySet.as_manager()

    class Meta:
        ordering = ["-name"]
        constraints = [models.UniqueConstraint(fields=["casebook", "name"], name="a_file_stands_once_in_its_casebook")]

    def __str__(self):
        return self.name
