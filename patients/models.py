"""Who is in the trial, and how did they enter."""

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from patients import eligibility
from trialsite import trial
from trialsite.models import Site
from trialsite.reasons import reason_told
from trialsite.roles import Permission, can, can_see_arm, within_sites
from trialsite.words import Sentence, language_told, listed


def person(words=None, **kwargs):
    """A key of an account; `words` are its verbose name."""
    kwargs.setdefault("verbose_name", words)
    return models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", **kwargs)


class State(models.TextChoices):
    """Where a patient stands in the trial."""

    SCREENING = "screening", _("In screening")
    SCREEN_FAILED = "screen_failed", _("Screen failure")
    ELIGIBLE = "eligible", _("Eligible")
    RANDOMISED = "randomised", _("In the trial")
    COMPLETED = "completed", _("Completed")
    WITHDRAWN = "withdrawn", _("Withdrawn")
    LOST = "lost", _("Lost to follow-up")
    DIED = "died", _("Died")


# from each state, where a patient can go: the whole of it
TRANSITIONS = {
    State.SCREENING: {State.ELIGIBLE, State.SCREEN_FAILED, State.WITHDRAWN, State.DIED},
    State.ELIGIBLE: {State.SCREENING, State.RANDOMISED, State.SCREEN_FAILED, State.WITHDRAWN, State.DIED},
    State.RANDOMISED: {State.COMPLETED, State.WITHDRAWN, State.LOST, State.DIED},
    State.SCREEN_FAILED: set(),
    State.COMPLETED: {State.DIED},
    State.WITHDRAWN: {State.DIED},
    State.LOST: {State.RANDOMISED, State.DIED},
    State.DIED: set(),
}
# states in which data of the patient are still collected
OPEN_STATES = (State.SCREENING, State.ELIGIBLE, State.RANDOMISED)


class Hold(models.TextChoices):
    """How far records are closed: data that are frozen cannot be changed, to what is locked nothing is added either.

    The transitions stand in visits/reviews.py (STEPS)."""

    OPEN = "", _("open")
    FROZEN = "frozen", _("frozen")
    LOCKED = "locked", _("locked")


def hold():
    return models.CharField(_("held"), max_length=6, choices=Hold.choices, default=Hold.OPEN, blank=True)


class Sex(models.TextChoices):
    FEMALE = "F", _("Female")
    MALE = "M", _("Male")


class PatientQuerySet(models.QuerySet):
    def visible_to(self, user):
        return within_sites(self, user, Permission.VIEW_PATIENTS, "site")


class Patient(models.Model):
    """A patient who was screened. Known by a number only; the identity stays in the site's own files.

    The arm is not here: it stands in AllocationSlot, so that who sees it is a question about one table."""

    site = models.ForeignKey(Site, models.PROTECT, related_name="patients", verbose_name=_("site"))
    number = models.CharField(_("number"), max_length=20, unique=True)
    sequence = models.PositiveIntegerField(_("sequence number"))
    sex = models.CharField(_("sex"), max_length=1, choices=Sex.choices)
    birth_date = models.DateField(_("date of birth"))
    screened_on = models.DateField(_("screened on"))
    state = models.CharField(_("status"), max_length=20, choices=State.choices, default=State.SCREENING)
    day_0 = models.DateField(_("day 0"), null=True)
    protocol_version = models.CharField(_("protocol version"), max_length=20)
    hold = hold()
    version = models.PositiveIntegerField(default=1)

    objects = PatientQuerySet.as_manager()

    class Meta:
        verbose_name = _("patient")
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["site", "sequence"], name="one_patient_a_number_at_a_site"),
            models.CheckConstraint(
                condition=~Q(state__in=["randomised", "completed", "lost"]) | Q(day_0__isnull=False),
                name="a_patient_in_the_trial_has_a_day_0",
            ),
        ]
        indexes = [models.Index(fields=["state", "site"])]

    def __str__(self):
        return self.number

    @property
    def protocol(self):
        return trial.protocol(self.protocol_version)

    @property
    def is_randomised(self):
        return self.day_0 is not None

    @property
    def is_open(self):
        return self.state in OPEN_STATES

    @property
    def is_held(self):
        """Are all records of the patient frozen or locked? Then nobody is offered to change any."""
        return bool(self.hold)

    def age_on(self, day):
        """Age in completed years."""
        return eligibility.age_on(self.birth_date, day)


class ByPatientQuerySet(models.QuerySet):
    """For every record that belongs to a patient: the one door to it."""

    def visible_to(self, user):
        return within_sites(self, user, Permission.VIEW_PATIENTS)


class PatientRecord(models.Model):
    """The base of every record of a patient."""

    patient = models.ForeignKey(Patient, models.PROTECT, verbose_name=_("patient"))
    version = models.PositiveIntegerField(_("version"), default=1)

    objects = ByPatientQuerySet.as_manager()

    class Meta:
        abstract = True
        default_related_name = "%(class)ss"


def under_version():
    """The protocol version under which a record was entered."""
    return models.CharField(_("protocol version"), max_length=20, default="", editable=False)


class Line(PatientRecord):
    """The base of a line in a list. A line entered by mistake is marked, never deleted."""

    protocol_version = under_version()

    is_withdrawn = models.BooleanField(_("entered in error"), default=False)

    class Meta(PatientRecord.Meta):
        abstract = True


class Consent(PatientRecord):
    protocol_version = under_version()
    form_version = models.CharField(_("version of the consent form"), max_length=20)
    language = models.CharField(_("language"), max_length=20)
    signed_on = models.DateField(_("signed on"))
    obtained_by = models.CharField(_("obtained by"), max_length=200)

    class Meta(PatientRecord.Meta):
        verbose_name = _("consent")
        ordering = ["signed_on", "id"]
        constraints = [
            models.UniqueConstraint(fields=["patient", "form_version", "signed_on"], name="a_consent_is_recorded_once")
        ]

    def __str__(self):
        return gettext("consent %(version)s of %(day)s") % {"version": self.form_version, "day": self.signed_on}

    @property
    def language_told(self):
        return language_told(self.language)

    @property
    def protocol(self):
        """The version to which its form belongs."""
        return trial.protocol(self.protocol_version or self.patient.protocol_version)


class HivHistory(PatientRecord):
    """One per patient: the disease before the trial. Dates may be partial (2009, 2009-05)."""

    protocol_version = under_version()
    diagnosed_on = models.CharField(_("HIV diagnosed"), max_length=10)
    route = models.CharField(
        _("route of infection"), max_length=20, blank=True,
        choices=[("heterosexual", _("heterosexual contact")), ("msm", _("sex between men")), ("blood", _("blood")),
                 ("idu", _("injecting drug use")), ("unknown", _("unknown"))],
    )  # fmt: skip
    cdc_stage = models.CharField(_("CDC category"), max_length=1, choices=[(c, c) for c in "ABC"])
    nadir_cd4 = models.PositiveIntegerField(_("lowest CD4 (cells/µL)"), null=True)
    nadir_on = models.CharField(_("date of the lowest CD4"), max_length=10, blank=True)
    opportunistic_infections = models.TextField(_("opportunistic infections"), blank=True)
    hepatitis_b = models.CharField(
        _("hepatitis B"), max_length=10,
        choices=[("negative", _("negative")), ("positive", _("positive")), ("unknown", _("unknown"))],
    )  # fmt: skip

    class Meta(PatientRecord.Meta):
        verbose_name = _("HIV history")
        constraints = [models.UniqueConstraint(fields=["patient"], name="one_hiv_history_a_patient")]

    def __str__(self):
        return gettext("HIV since %(day)s") % {"day": self.diagnosed_on}


class ArtRegimen(Line):
    """Antiretroviral treatment: a combination of drugs, from a date to a date."""

    drugs = models.CharField(_("drugs"), max_length=200)
    started_on = models.CharField(_("start"), max_length=10)
    is_ongoing = models.BooleanField(_("ongoing"))
    ended_on = models.CharField(_("end"), max_length=10, blank=True)
    change_reason = models.CharField(_("reason for the change"), max_length=200, blank=True)

    class Meta(Line.Meta):
        verbose_name = _("antiretroviral treatment")
        ordering = ["started_on", "id"]

    def __str__(self):
        return self.drugs


class MedicalHistory(Line):
    term = models.CharField(_("condition"), max_length=200)
    started_on = models.CharField(_("start"), max_length=10, blank=True)
    is_ongoing = models.BooleanField(_("ongoing"))
    ended_on = models.CharField(_("end"), max_length=10, blank=True)

    class Meta(Line.Meta):
        verbose_name = _("medical history")
        ordering = ["id"]
        default_related_name = "medical_histories"

    def __str__(self):
        return self.term


class Medication(Line):
    """Concomitant medication (not the antiretroviral treatment)."""

    treatment = models.CharField(_("medication"), max_length=200)
    indication = models.CharField(_("given for"), max_length=200, blank=True)
    dose = models.DecimalField(_("dose"), max_digits=12, decimal_places=4, null=True, validators=[MinValueValidator(0)])
    dose_unit = models.CharField(_("unit"), max_length=20, blank=True)
    frequency = models.CharField(_("frequency"), max_length=40, blank=True)
    route = models.CharField(_("route"), max_length=40, blank=True)
    started_on = models.CharField(_("start"), max_length=10)
    is_ongoing = models.BooleanField(_("ongoing"))
    ended_on = models.CharField(_("end"), max_length=10, blank=True)

    class Meta(Line.Meta):
        verbose_name = _("medication")
        ordering = ["started_on", "id"]

    def __str__(self):
        return self.treatment


class EligibilityAssessment(PatientRecord):
    """All criteria answered on one day, under one protocol version, by one person."""

    assessed_on = models.DateField(_("assessed on"))
    protocol_version = models.CharField(_("protocol version"), max_length=20)
    is_eligible = models.BooleanField(_("eligible"))
    unmet = models.JSONField(_("criteria not met"), default=list)

    class Meta(PatientRecord.Meta):
        verbose_name = _("eligibility assessment")
        ordering = ["id"]
        default_related_name = "assessments"

    def __str__(self):
        words = gettext("eligible on %(day)s") if self.is_eligible else gettext("not eligible on %(day)s")
        return words % {"day": self.assessed_on}


class CriterionAnswer(PatientRecord):
    """One criterion of an assessment: does its statement hold, what did the rule say, and from which evidence."""

    assessment = models.ForeignKey(
        EligibilityAssessment, models.PROTECT, related_name="answers", verbose_name=_("assessment")
    )
    criterion = models.CharField(_("criterion"), max_length=24)
    holds = models.BooleanField(_("holds"))
    computed = models.BooleanField(_("answer of the rule"), null=True)
    # in the language of the record, and as a sentence for readers of either (trialsite.words)
    because = models.TextField(_("why, when it was assessed"), blank=True)
    because_told = models.JSONField(_("why"), default=dict, blank=True)
    evidence = models.JSONField(_("evidence"), default=list)
    comment = models.TextField(_("comment"), blank=True)

    class Meta(PatientRecord.Meta):
        verbose_name = _("answer to a criterion")
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["assessment", "criterion"], name="a_criterion_is_answered_once")]

    def __str__(self):
        return f"{self.criterion}: {gettext('holds') if self.holds else gettext('does not hold')}"

    @property
    def because_text(self):
        """Why, in the language of the reader."""
        if not self.because_told:
            return self.because
        return str(Sentence.of(self.because_told, trial.protocol(self.assessment.protocol_version)))


class Disposition(PatientRecord):
    """The end of a patient's way through screening or through the trial."""

    protocol_version = under_version()
    state = models.CharField(_("what happened"), max_length=20, choices=State.choices)
    on = models.DateField(_("date"))
    explanation = models.TextField(_("explanation"), blank=True)

    class Meta(PatientRecord.Meta):
        verbose_name = _("end of participation")
        ordering = ["on", "id"]

    def __str__(self):
        return gettext("%(state)s on %(day)s") % {"state": self.get_state_display(), "day": self.on}


class AllocationList(models.Model):
    """A randomisation list as the statistician made or imported it. Seed and blocks are the statistician's alone."""

    protocol_version = models.CharField(_("protocol version"), max_length=20)
    algorithm = models.CharField(max_length=40)
    seed = models.CharField(max_length=200, blank=True)
    sha256 = models.CharField(max_length=64)
    made_by = person(_("made by"))
    made_at = models.DateTimeField(_("made at"), default=timezone.now)

    class Meta:
        verbose_name = _("randomisation list")

    def __str__(self):
        return f"list {self.pk} ({self.algorithm})"


class AllocationSlotQuerySet(models.QuerySet):
    def taken(self):
        return self.filter(patient__isnull=False)


class AllocationSlot(models.Model):
    """One place of the list. Taken by at most one patient, never given back."""

    allocation_list = models.ForeignKey(
        AllocationList, models.PROTECT, related_name="slots", verbose_name=_("randomisation list")
    )
    stratum = models.CharField(_("stratum"), max_length=60)
    sequence = models.PositiveIntegerField(_("place"))
    block = models.PositiveIntegerField(_("block"), null=True)
    block_size = models.PositiveIntegerField(_("size of the block"), null=True)
    arm = models.CharField(_("arm"), max_length=24)
    patient = models.OneToOneField(Patient, models.PROTECT, null=True, related_name="slot")
    taken_at = models.DateTimeField(_("taken at"), null=True)
    taken_by = person(_("taken by"), null=True)

    objects = AllocationSlotQuerySet.as_manager()

    class Meta:
        verbose_name = _("place of the randomisation list")
        ordering = ["stratum", "sequence"]
        constraints = [
            models.UniqueConstraint(fields=["stratum", "sequence"], name="a_slot_stands_once_in_its_stratum"),
            models.CheckConstraint(
                condition=Q(patient=None, taken_at=None, taken_by=None)
                | Q(patient__isnull=False, taken_at__isnull=False, taken_by__isnull=False),
                name="a_taken_slot_says_by_whom_and_when",
            ),
        ]

    def __str__(self):
        return f"{self.stratum} {self.sequence}"


class WhyUnmasked(models.TextChoices):
    """Why a patient's arm had to be known (ICH E6(R3) 2.4.8, 4.1.4: only where the treatment of the patient depends on it)."""

    MEDICAL_EMERGENCY = "medical_emergency", _("medical emergency: the treatment depends on it")
    OVERDOSE = "overdose", _("overdose or wrong product given")
    PREGNANCY = "pregnancy", _("pregnancy")
    OTHER = "other", _("another reason")


class UnmaskingQuerySet(ByPatientQuerySet):
    def visible_to(self, user):
        return within_sites(self, user, Permission.VIEW_UNMASKINGS)

    def until(self, instant):
        """Those up to an instant, earliest first: what a report with this cut-off lists."""
        return self.filter(unmasked_at__lte=instant).select_related("patient__site", "unmasked_by").order_by("pk")


class Unmasking(PatientRecord):
    """One person was told the arm of one patient in an emergency: who, when and why. The arm itself is not here."""

    category = models.CharField(_("why"), max_length=20, choices=WhyUnmasked.choices)
    explanation = models.TextField(_("explanation"))
    unmasked_at = models.DateTimeField(_("unmasked at"), default=timezone.now)
    unmasked_by = person(verbose_name=_("unmasked by"))
    # the same person had unmasked this patient before, and looked again
    is_again = models.BooleanField(_("looked again"), default=False)

    objects = UnmaskingQuerySet.as_manager()

    class Meta(PatientRecord.Meta):
        ordering = ["-id"]

    def __str__(self):
        return gettext("unmasking of %(day)s") % {"day": f"{self.unmasked_at:%Y-%m-%d}"}


class Scope(models.TextChoices):
    PATIENT = "patient", _("one patient")
    ARM = "arm", _("one arm")
    TRIAL = "trial", _("the whole trial")


class Blocked(models.TextChoices):
    ENROL = "enrol", _("screening of new patients")
    RANDOMISE = "randomise", _("randomisation")
    INFUSE = "infuse", _("infusions")


def blocked_told(what):
    """What a halt blocks, in words."""
    return str(dict(Blocked.choices).get(what, what))


class HaltQuerySet(models.QuerySet):
    def visible_to(self, user):
        """Those of the trial and of the person's patients, of all patients for who decides on halts; of one arm only for
        eyes that may see arms."""
        halts = self
        if not can(user, Permission.RECORD_DECISIONS):
            halts = halts.filter(Q(patient=None) | Q(patient__in=Patient.objects.visible_to(user)))
        sees_arms = can_see_arm(user, masked=trial.current_protocol().is_masked)
        return halts if sees_arms else halts.exclude(scope=Scope.ARM)

    def open(self):
        return self.filter(lifted_at=None)

    def blocking(self, what, *, patient=None, arm=None):
        """Open halts that stop `what` for this patient in this arm (or for anyone).

        Nobody is let in or randomised while one arm is held: the next place of the list may be in it."""
        which = Q(scope=Scope.TRIAL)
        if what in (Blocked.ENROL, Blocked.RANDOMISE):
            which |= Q(scope=Scope.ARM)
        if patient is not None:
            which |= Q(scope=Scope.PATIENT, patient=patient)
        if arm is not None:
            which |= Q(scope=Scope.ARM, arm=arm)
        return self.open().filter(which, blocks__contains=[what])


class Halt(models.Model):
    """The trial, an arm or a patient is held: what is blocked until a decision lifts it."""

    scope = models.CharField(_("scope"), max_length=10, choices=Scope.choices)
    patient = models.ForeignKey(
        Patient, models.PROTECT, null=True, blank=True, related_name="halts", verbose_name=_("patient")
    )
    arm = models.CharField(_("arm"), max_length=24, blank=True)
    blocks = models.JSONField(_("blocks"), default=list)
    # as stored words, and as a sentence for readers of either language when a stopping rule opened it
    cause = models.TextField(_("cause"))
    cause_told = models.JSONField(_("cause"), default=dict, blank=True, editable=False)
    # the stopping rule that opened it. Not kept while the trial is masked: it could tell an arm (safety.Crossing does)
    rule = models.CharField(_("stopping rule"), max_length=24, blank=True, editable=False)
    protocol_version = under_version()
    opened_at = models.DateTimeField(_("opened at"), default=timezone.now)
    opened_by = person(_("opened by"))
    lifted_at = models.DateTimeField(_("lifted at"), null=True)
    lifted_by = person(_("lifted by"), null=True)
    decision = models.TextField(_("decision"), blank=True)
    version = models.PositiveIntegerField(default=1)

    objects = HaltQuerySet.as_manager()

    class Meta:
        verbose_name = _("halt")
        ordering = ["-opened_at"]

    def __str__(self):
        words = gettext("halt of %(scope)s since %(day)s")
        return words % {"scope": self.get_scope_display(), "day": f"{self.opened_at:%Y-%m-%d}"}

    @property
    def protocol(self):
        return trial.protocol(self.protocol_version)

    @property
    def blocks_text(self):
        return listed(Blocked(what).label for what in self.blocks)

    # as the strip on every page names it

    @property
    def what(self):
        what = self.blocks_text.capitalize()
        return gettext("%(what)s (%(patient)s)") % {"what": what, "patient": self.patient} if self.patient_id else what

    @property
    def since(self):
        return self.opened_at

    @property
    def reason(self):
        """Why, in the language of the reader."""
        if not self.cause_told:
            return reason_told(self.cause)
        return str(Sentence.of(self.cause_told, self.protocol))
