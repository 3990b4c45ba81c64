"""Adverse events."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, OuterRef, Q, Subquery
from django.utils import timezone
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from patients.models import ByPatientQuerySet, Line, person
from safety import dictionary
from safety.coding.rules import CodingState, Kind
from trialsite.ctcae import term_told
from trialsite.roles import Permission, within_sites


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


class Reappeared(models.TextChoices):
    """What was seen when the treatment was given again (rechallenge)."""

    YES = "yes", _("yes, it came back")
    NO = "no", _("no, it did not come back")
    UNKNOWN = "unknown", _("unknown")


class Expectedness(models.TextChoices):
    EXPECTED = "expected", pgettext_lazy("adverse event", "expected")
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

    def with_codes(self):
        """With the code in force as `coded_term` and `coded_system`, None while there is none."""
        from safety.models.coding import Coding

        codes = Coding.objects.filter(kind=Kind.ADVERSE_EVENT, record_id=OuterRef("pk"), state=CodingState.APPROVED)
        return self.annotate(
            coded_term=Subquery(codes.values("preferred_term")), coded_system=Subquery(codes.values("body_system"))
        )


class AdverseEvent(Line):
    """An adverse event with the fields of CDASH's AE form. Grades are 1 to 5, by the scales that
    the protocol names."""

    sequence = models.PositiveIntegerField(_("number"))
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
    # a taken sample, an access, the infusing itself: judged apart from the product
    procedure_relationship = models.CharField(
        _("relationship to a procedure of the trial"), max_length=20, choices=Relationship.choices, blank=True
    )
    expectedness = models.CharField(_("expectedness"), max_length=12, choices=Expectedness.choices, blank=True)
    action_taken = models.CharField(
        _("action taken with the study treatment"), max_length=20, choices=ActionTaken.choices
    )
    other_action = models.CharField(_("other action"), max_length=500, blank=True)
    outcome = models.CharField(_("outcome"), max_length=30, choices=Outcome.choices)
    infusion_number = models.PositiveIntegerField(_("after infusion number"), null=True)
    reappeared = models.CharField(
        _("came back after a further infusion"), max_length=8, choices=Reappeared.choices, blank=True
    )
    aware_at = models.DateTimeField(_("site became aware"))
    narrative = models.TextField(_("narrative"), blank=True)
    reported_by = person(_("reported by"))
    reported_at = models.DateTimeField(_("reported at"), default=timezone.now)

    objects = AdverseEventQuerySet.as_manager()

    class Meta(Line.Meta):
        verbose_name = _("adverse event")
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
        return gettext("%(term)s (grade %(grade)s)") % {"term": term_told(self.term), "grade": self.grade}

    @property
    def body_system_told(self):
        """The class of the code in force (of events loaded `with_codes`), else what stands there until it is coded."""
        return dictionary.told(getattr(self, "coded_system", None) or self.body_system)

    @property
    def is_related(self):
        return self.relationship in RELATED

    @property
    def seriousness(self):
        """The criteria that hold, in words."""
        return [str(words) for name, words in SERIOUSNESS.items() if getattr(self, name)]
