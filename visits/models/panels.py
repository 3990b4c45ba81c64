"""Panels of a visit, their results, and the laboratories with the ranges that results are held against."""

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from patients.models import PatientRecord, Sex, person
from trialsite import trial
from trialsite.models import Site
from trialsite.roles import Permission, sites_where
from trialsite.ucum import unit_text
from visits import grading
from visits.models.plan import Visit
from visits.ranges import range_text


class PanelState(models.TextChoices):
    EXPECTED = "expected", pgettext_lazy("panel", "expected")
    BEGUN = "begun", _("begun")  # entered in part: something is still to come
    ENTERED = "entered", _("entered")
    NOT_DONE = "not_done", _("not done")


# what saving, saying that it was not done, and taking back make of a panel (visits.actions.plan.move_panel asks it);
# from each state it may also be saved again and stay in it
PANEL_TRANSITIONS = {
    PanelState.EXPECTED: {PanelState.BEGUN, PanelState.ENTERED, PanelState.NOT_DONE},
    PanelState.BEGUN: {PanelState.ENTERED, PanelState.EXPECTED},
    PanelState.ENTERED: {PanelState.BEGUN, PanelState.EXPECTED},
    PanelState.NOT_DONE: {PanelState.BEGUN, PanelState.ENTERED, PanelState.EXPECTED},
}
# panels that somebody still has to work on, and those in which something was entered
UNFINISHED = (PanelState.EXPECTED, PanelState.BEGUN)
WITH_VALUES = (PanelState.BEGUN, PanelState.ENTERED)


class Missing(models.TextChoices):
    """Why a value that the form asks for is not there (CDASH: reason not done; HL7 null flavours in brackets)."""

    PENDING = "pending", _("still to come")
    NOT_DONE = "not_done", _("not done")
    UNKNOWN = "unknown", _("unknown")  # asked, but unknown [ASKU]
    NOT_APPLICABLE = "not_applicable", _("not applicable")  # [NA]


class LaboratoryQuerySet(models.QuerySet):
    def visible_to(self, user):
        """The laboratories of the person's sites, and those that measure for all."""
        return _at_sites_or_for_all(self, user, "site")

    def serving(self, site):
        """Those in use that measure for a site."""
        return self.filter(Q(site=site) | Q(site=None), is_active=True)


def _at_sites_or_for_all(records, user, site):
    sites = sites_where(user, Permission.VIEW_PATIENTS)
    if sites is None:
        return records
    return records.filter(Q(**{f"{site}__in": sites}) | Q(**{f"{site}__isnull": True})) if sites else records.none()


class Laboratory(models.Model):
    """A laboratory that measures for one site, or for all when `site` is empty."""

    site = models.ForeignKey(
        Site, models.PROTECT, null=True, blank=True, related_name="laboratories", verbose_name=_("site")
    )
    code = models.CharField(_("code"), max_length=24, unique=True)
    name = models.CharField(_("name"), max_length=200)
    is_active = models.BooleanField(_("in use"), default=True)
    version = models.PositiveIntegerField(default=1)

    objects = LaboratoryQuerySet.as_manager()

    class Meta:
        verbose_name = _("laboratory")
        ordering = ["code"]
        verbose_name_plural = "laboratories"

    def __str__(self):
        return self.name


class ReferenceRangeQuerySet(models.QuerySet):
    def visible_to(self, user):
        return _at_sites_or_for_all(self, user, "laboratory__site")

    def standing(self):
        """All but those entered in error."""
        return self.filter(is_withdrawn=False)

    def in_force(self, on):
        return self.standing().filter(Q(valid_to=None) | Q(valid_to__gte=on), valid_from__lte=on)


class ReferenceRange(models.Model):
    """What a laboratory calls normal for a test in a unit, for a sex and ages (completed years), between two dates.

    All bounds are inclusive; blank sex means both, no age or date means without bound. A range that was wrong is
    marked as withdrawn and another one entered: results keep the range that they were held against."""

    laboratory = models.ForeignKey(Laboratory, models.PROTECT, related_name="ranges", verbose_name=_("laboratory"))
    test = models.CharField(_("test"), max_length=24)
    unit = models.CharField(_("unit"), max_length=40)
    sex = models.CharField(_("sex"), max_length=1, choices=Sex.choices, blank=True)
    from_age = models.PositiveSmallIntegerField(_("from age (years)"), null=True)
    to_age = models.PositiveSmallIntegerField(_("to age (years)"), null=True)
    low = models.DecimalField(_("low"), max_digits=18, decimal_places=4, null=True, validators=[MinValueValidator(0)])
    high = models.DecimalField(_("high"), max_digits=18, decimal_places=4, null=True)
    valid_from = models.DateField(_("valid from"))
    valid_to = models.DateField(_("valid to"), null=True)
    is_withdrawn = models.BooleanField(_("entered in error"), default=False)
    version = models.PositiveIntegerField(default=1)

    objects = ReferenceRangeQuerySet.as_manager()

    class Meta:
        verbose_name = _("reference range")
        ordering = ["laboratory", "test", "sex", "from_age", "valid_from"]
        constraints = [
            models.CheckConstraint(condition=Q(low__isnull=False) | Q(high__isnull=False), name="a_range_has_a_bound"),
            models.CheckConstraint(condition=Q(low=None) | Q(high=None) | Q(low__lt=F("high")), name="low_below_high"),
            models.CheckConstraint(
                condition=Q(valid_to=None) | Q(valid_to__gte=F("valid_from")), name="a_range_ends_after_it_begins"
            ),
            models.CheckConstraint(
                condition=Q(from_age=None) | Q(to_age=None) | Q(to_age__gte=F("from_age")), name="ages_in_order"
            ),
        ]
        indexes = [models.Index(fields=["laboratory", "test", "valid_from"])]

    def __str__(self):
        name = trial.named("test", self.test)
        return " ".join(filter(None, [name, range_text(self.low, self.high), unit_text(self.unit)]))


class PanelRecord(PatientRecord):
    """A panel of a visit: the form, its state, and who filled it in."""

    visit = models.ForeignKey(Visit, models.PROTECT, related_name="panels", verbose_name=_("visit"))
    code = models.CharField(_("panel"), max_length=24)
    protocol_version = models.CharField(_("protocol version"), max_length=20)
    position = models.PositiveIntegerField(_("place in the visit"), default=0)
    state = models.CharField(_("status"), max_length=10, choices=PanelState.choices, default=PanelState.EXPECTED)
    collected_on = models.DateField(_("collected on"), null=True)
    collected_at = models.TimeField(_("time"), null=True)
    laboratory = models.ForeignKey(
        Laboratory, models.PROTECT, null=True, related_name="panels", verbose_name=_("laboratory")
    )
    not_done_because = models.CharField(_("not done because"), max_length=500, blank=True)
    comment = models.TextField(_("comment"), blank=True)
    entered_by = person(_("entered by"), null=True)
    entered_at = models.DateTimeField(_("entered at"), null=True)

    class Meta(PatientRecord.Meta):
        verbose_name = _("panel")
        ordering = ["visit", "position"]
        default_related_name = "panels"
        constraints = [
            models.UniqueConstraint(fields=["visit", "code"], name="a_panel_stands_once_in_a_visit"),
            models.CheckConstraint(condition=~Q(state="not_done") | ~Q(not_done_because=""), name="not_done_says_why"),
        ]

    def __str__(self):
        return self.protocol.panel(self.code).name

    @property
    def was_touched(self):
        """Was it entered before, said to be not done, or taken back? Then a change needs a reason."""
        return self.entered_at is not None

    @property
    def protocol(self):
        """The version under which the panel was entered, or will be."""
        return trial.protocol(self.protocol_version)


class Flag(models.TextChoices):
    LOW = "L", _("low")
    HIGH = "H", _("high")


class GradeDirection(models.TextChoices):
    LOW = grading.LOW, _("low")
    HIGH = grading.HIGH, _("high")


UNGRADED = [(reason.value, words) for reason, words in grading.TOLD.items()]


class GradedRecord(PatientRecord):
    """A result's grade, SDTM's LBTOXGR: 0 to 5, or none and `ungraded_because`; by which row of which version of which scale (both
    empty where nothing grades the test). `baseline_grade` is that of the last result before the first infusion, where there
    was one, in the same direction. One that is to be confirmed asks for more than the number."""

    grade = models.PositiveSmallIntegerField(_("grade"), null=True)
    grade_direction = models.CharField(_("direction"), max_length=1, choices=GradeDirection.choices, blank=True)
    grade_scale = models.CharField(_("scale"), max_length=40, blank=True)
    grade_scale_version = models.CharField(_("version of the scale"), max_length=20, blank=True)
    grade_row = models.CharField(_("row of the scale"), max_length=200, blank=True)
    grade_is_to_confirm = models.BooleanField(_("to be confirmed"), default=False)
    baseline_grade = models.PositiveSmallIntegerField(_("grade of the baseline"), null=True)
    ungraded_because = models.CharField(_("not gradable because"), max_length=20, choices=UNGRADED, blank=True)

    class Meta(PatientRecord.Meta):
        abstract = True


GRADE_COLUMNS = (
    "grade", "grade_direction", "grade_scale", "grade_scale_version", "grade_row", "grade_is_to_confirm", "baseline_grade",
    "ungraded_because",
)  # fmt: skip


class Measurement(GradedRecord):
    """One result: as it was reported, and what that means. SDTM's Findings, one row per test.

    As reported: `typed`, in `reported_unit`, against `reported_low` to `reported_high` (LBORRES, LBORRESU, LBORNRLO,
    LBORNRHI). Standardised: `value` in the protocol's `unit`, against `low` to `high` (LBSTRESN, LBSTRESU, LBSTNRLO,
    LBSTNRHI); `operator` is "<" or ">" for a value beyond the limit of quantification. The range is the one that held
    when the value was collected: `reference`, or the protocol's own when that is empty. A value that is not there
    says why in `missing_because`."""

    panel = models.ForeignKey(
        PanelRecord, models.PROTECT, null=True, related_name="measurements", verbose_name=_("panel")
    )
    infusion = models.ForeignKey(
        "visits.Infusion", models.PROTECT, null=True, related_name="measurements", verbose_name=_("infusion")
    )
    minute = models.PositiveIntegerField(_("minutes after start"), null=True)
    test = models.CharField(_("test"), max_length=24)
    typed = models.CharField(_("as typed"), max_length=500, blank=True)
    operator = models.CharField(_("limit sign"), max_length=1, blank=True)
    value = models.DecimalField(_("standardised value"), max_digits=18, decimal_places=4, null=True)
    text = models.CharField(_("value as a word"), max_length=500, blank=True)
    unit = models.CharField(_("standard unit"), max_length=40, blank=True)
    low = models.DecimalField(_("lower limit, standardised"), max_digits=18, decimal_places=4, null=True)
    high = models.DecimalField(_("upper limit, standardised"), max_digits=18, decimal_places=4, null=True)
    reported_unit = models.CharField(_("unit"), max_length=40, blank=True)
    reported_low = models.DecimalField(_("lower limit"), max_digits=18, decimal_places=4, null=True)
    reported_high = models.DecimalField(_("upper limit"), max_digits=18, decimal_places=4, null=True)
    reference = models.ForeignKey(
        ReferenceRange, models.PROTECT, null=True, related_name="measurements", verbose_name=_("reference range")
    )
    missing_because = models.CharField(_("missing because"), max_length=14, choices=Missing.choices, blank=True)
    flag = models.CharField(_("flag"), max_length=1, choices=Flag.choices, blank=True)
    is_computed = models.BooleanField(_("computed"), default=False)
    collected_on = models.DateField(_("collected on"))
    # what a person answered where the row asks for more than the number, and the digest of what was asked
    answered_grade = models.PositiveSmallIntegerField(_("grade that was answered"), null=True)
    answered_about = models.CharField(_("digest of what was answered"), max_length=64, blank=True)
    answered_by = person(_("grade answered by"), null=True)
    answered_at = models.DateTimeField(_("grade answered at"), null=True)

    class Meta(PatientRecord.Meta):
        verbose_name = _("measurement")
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["panel", "test"], condition=Q(panel__isnull=False), name="a_test_stands_once_in_a_panel"
            ),
            models.UniqueConstraint(
                fields=["infusion", "minute", "test"], condition=Q(infusion__isnull=False),
                name="a_test_stands_once_at_a_minute",
            ),
            models.CheckConstraint(
                condition=Q(panel__isnull=False, infusion=None, minute=None)
                | Q(panel=None, infusion__isnull=False, minute__isnull=False),
                name="measured_in_a_panel_or_at_an_infusion",
            ),
            models.CheckConstraint(
                condition=Q(typed="") | Q(missing_because=""), name="what_is_there_is_not_missing"
            ),
            models.CheckConstraint(condition=Q(grade=None) | Q(grade__lte=5), name="a_result_is_graded_0_to_5"),
            models.CheckConstraint(
                condition=Q(grade=None) | Q(ungraded_because=""), name="what_is_graded_is_not_ungradable"
            ),
        ]  # fmt: skip
        indexes = [
            models.Index(fields=["patient", "test", "collected_on"]),
            # few among millions, and asked for by day
            models.Index(
                fields=["-collected_on", "-id"], condition=Q(grade__gte=1) | ~Q(flag=""), name="abnormal_results"
            ),
        ]

    def __str__(self):
        return f"{trial.named('test', self.test)} {self.typed}"


class SupersededGrade(GradedRecord):
    """The grade that a result had until it was graded anew, with the reason. The result itself has the one that holds."""

    measurement = models.ForeignKey(
        Measurement, models.PROTECT, related_name="superseded_grades", verbose_name=_("measurement")
    )
    reason = models.CharField(_("reason"), max_length=500)
    superseded_by = person(_("given anew by"))
    superseded_at = models.DateTimeField(_("given anew at"), default=timezone.now)

    class Meta(GradedRecord.Meta):
        verbose_name = _("grade that was given anew")
        ordering = ["-superseded_at", "-id"]
        default_related_name = "superseded_grades"

    def __str__(self):
        return f"{self.grade_scale} {self.grade_scale_version}: {self.grade}"
