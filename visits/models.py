"""What was measured, when, and is it right."""

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from patients.models import Line, PatientRecord, person
from trialsite.models import Site
from trialsite.roles import Permission, within_sites


class VisitState(models.TextChoices):
    PLANNED = "planned", _("planned")
    ATTENDED = "attended", _("attended")
    MISSED = "missed", _("missed")


class Visit(PatientRecord):
    """A visit of the plan (its code stands in the protocol), or an unscheduled one (code U1, U2 ...)."""

    code = models.CharField(max_length=24)
    protocol_version = models.CharField(max_length=20)
    is_scheduled = models.BooleanField(default=True)
    day = models.IntegerField(_("planned day"), null=True)
    planned_on = models.DateField(_("planned on"))
    earliest = models.DateField(_("earliest"))
    latest = models.DateField(_("latest"))
    state = models.CharField(max_length=10, choices=VisitState.choices, default=VisitState.PLANNED)
    attended_on = models.DateField(_("date of the visit"), null=True)
    missed_because = models.CharField(_("missed because"), max_length=500, blank=True)

    class Meta(PatientRecord.Meta):
        ordering = ["planned_on", "id"]
        constraints = [
            models.UniqueConstraint(fields=["patient", "code"], name="a_visit_stands_once_in_a_patients_plan"),
            models.CheckConstraint(
                condition=Q(state="attended", attended_on__isnull=False) | ~Q(state="attended"),
                name="an_attended_visit_has_a_date",
            ),
        ]
        indexes = [models.Index(fields=["state", "latest"])]

    def __str__(self):
        return self.code

    @property
    def on(self):
        """The day it took place, or is planned for."""
        return self.attended_on or self.planned_on


class PanelState(models.TextChoices):
    EXPECTED = "expected", _("expected")
    ENTERED = "entered", _("entered")
    NOT_DONE = "not_done", _("not done")


class PanelRecord(PatientRecord):
    """A panel of a visit: the form, its state, and who filled it in."""

    visit = models.ForeignKey(Visit, models.PROTECT, related_name="panels")
    code = models.CharField(max_length=24)
    protocol_version = models.CharField(max_length=20)
    position = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=10, choices=PanelState.choices, default=PanelState.EXPECTED)
    collected_on = models.DateField(_("collected on"), null=True)
    collected_at = models.TimeField(_("time"), null=True)
    not_done_because = models.CharField(_("not done because"), max_length=500, blank=True)
    comment = models.TextField(_("comment"), blank=True)
    entered_by = person(null=True)
    entered_at = models.DateTimeField(null=True)

    class Meta(PatientRecord.Meta):
        ordering = ["visit", "position"]
        default_related_name = "panels"
        constraints = [
            models.UniqueConstraint(fields=["visit", "code"], name="a_panel_stands_once_in_a_visit"),
            models.CheckConstraint(condition=~Q(state="not_done") | ~Q(not_done_because=""), name="not_done_says_why"),
        ]

    def __str__(self):
        return f"panel {self.code}"


class Flag(models.TextChoices):
    LOW = "L", _("low")
    HIGH = "H", _("high")


class Measurement(PatientRecord):
    """One result: as it was typed, and what that means. SDTM's Findings, one row per test.

    `value` is in `unit`; `operator` is "<" or ">" for a value beyond the limit of quantification. `low` and `high`
    are the reference range that held when the value was collected."""

    panel = models.ForeignKey(PanelRecord, models.PROTECT, null=True, related_name="measurements")
    infusion = models.ForeignKey("visits.Infusion", models.PROTECT, null=True, related_name="measurements")
    minute = models.PositiveIntegerField(_("minutes after start"), null=True)
    test = models.CharField(max_length=24)
    typed = models.CharField(max_length=500, blank=True)
    operator = models.CharField(max_length=1, blank=True)
    value = models.DecimalField(max_digits=18, decimal_places=4, null=True)
    text = models.CharField(max_length=500, blank=True)
    unit = models.CharField(max_length=40, blank=True)
    low = models.DecimalField(max_digits=18, decimal_places=4, null=True)
    high = models.DecimalField(max_digits=18, decimal_places=4, null=True)
    flag = models.CharField(max_length=1, choices=Flag.choices, blank=True)
    is_computed = models.BooleanField(default=False)
    collected_on = models.DateField()

    class Meta(PatientRecord.Meta):
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
        ]  # fmt: skip
        indexes = [models.Index(fields=["patient", "test", "collected_on"])]

    def __str__(self):
        return f"{self.test} {self.typed}"


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

    site = models.ForeignKey(Site, models.PROTECT, related_name="lots")
    product = models.CharField(_("product"), max_length=24)
    number = models.CharField(_("lot number"), max_length=40)
    donor = models.CharField(_("donor code"), max_length=40, blank=True)
    passage = models.PositiveIntegerField(_("passage"), null=True)
    received_on = models.DateField(_("received on"))
    expires_on = models.DateField(_("expires on"))
    state = models.CharField(max_length=12, choices=LotState.choices, default=LotState.QUARANTINED)
    version = models.PositiveIntegerField(default=1)

    objects = LotQuerySet.as_manager()

    class Meta:
        ordering = ["-expires_on", "number"]
        constraints = [models.UniqueConstraint(fields=["site", "product", "number"], name="a_lot_is_received_once")]

    def __str__(self):
        return self.number


class LotTestQuerySet(models.QuerySet):
    def visible_to(self, user):
        return within_sites(self, user, Permission.MANAGE_LOTS, "lot__site")


class LotTest(models.Model):
    """The result of one release test of a lot."""

    lot = models.ForeignKey(Lot, models.PROTECT, related_name="tests")
    code = models.CharField(max_length=24)
    result = models.CharField(max_length=40)
    has_passed = models.BooleanField()
    version = models.PositiveIntegerField(default=1)

    objects = LotTestQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["lot", "code"], name="a_release_test_stands_once")]

    def __str__(self):
        return f"{self.code}: {self.result}"


class Preparation(PatientRecord):
    """What the pharmacy prepared for one infusion. It names the lot, and so the arm: not for masked eyes."""

    visit = models.OneToOneField(Visit, models.PROTECT, related_name="preparation")
    number = models.PositiveIntegerField(_("infusion number"))
    lot = models.ForeignKey(Lot, models.PROTECT, related_name="preparations")
    weight_kg = models.DecimalField(_("body weight (kg)"), max_digits=6, decimal_places=2)
    planned_dose = models.DecimalField(_("planned dose"), max_digits=16, decimal_places=2)
    prepared_dose = models.DecimalField(_("prepared dose"), max_digits=16, decimal_places=2)
    viability_percent = models.DecimalField(_("viability (%)"), max_digits=5, decimal_places=2, null=True)
    label = models.CharField(_("label on the bag"), max_length=40, unique=True)
    prepared_at = models.DateTimeField(_("prepared at"))

    class Meta(PatientRecord.Meta):
        constraints = [models.UniqueConstraint(fields=["patient", "number"], name="an_infusion_is_prepared_once")]

    def __str__(self):
        return self.label


class Infusion(PatientRecord):
    """One infusion as it was given. Doses in the unit of the product; what was in the bag stands in Preparation."""

    visit = models.OneToOneField(Visit, models.PROTECT, related_name="infusion")
    preparation = models.OneToOneField(Preparation, models.PROTECT, related_name="infusion")
    number = models.PositiveIntegerField(_("infusion number"))
    started_at = models.DateTimeField(_("start"))
    stopped_at = models.DateTimeField(_("stop"))
    volume_ml = models.DecimalField(_("volume (mL)"), max_digits=7, decimal_places=1)
    given_percent = models.DecimalField(_("part of the bag given (%)"), max_digits=5, decimal_places=1)
    access_site = models.CharField(_("access"), max_length=100, blank=True)
    premedication = models.CharField(_("pre-medication"), max_length=200, blank=True)
    comment = models.TextField(_("comment"), blank=True)

    class Meta(PatientRecord.Meta):
        ordering = ["patient", "number"]
        constraints = [
            models.UniqueConstraint(fields=["patient", "number"], name="an_infusion_is_given_once"),
            models.CheckConstraint(condition=Q(stopped_at__gt=models.F("started_at")), name="stop_after_start"),
        ]

    def __str__(self):
        return f"infusion {self.number}"

    @property
    def given_dose(self):
        return self.preparation.prepared_dose * self.given_percent / 100


class Interruption(Line):
    infusion = models.ForeignKey(Infusion, models.PROTECT, related_name="interruptions")
    stopped_at = models.DateTimeField(_("stopped"))
    resumed_at = models.DateTimeField(_("resumed"), null=True)
    cause = models.CharField(_("cause"), max_length=200)

    class Meta(Line.Meta):
        ordering = ["stopped_at"]

    def __str__(self):
        return f"interrupted {self.stopped_at:%H:%M}"


class Reaction(Line):
    """A reaction seen during or right after an infusion; the adverse event is reported on its own form."""

    infusion = models.ForeignKey(Infusion, models.PROTECT, related_name="reactions")
    term = models.CharField(_("reaction"), max_length=200)
    began_at = models.DateTimeField(_("began"))
    grade = models.PositiveIntegerField(_("grade"))

    class Meta(Line.Meta):
        ordering = ["began_at"]

    def __str__(self):
        return self.term


class QueryState(models.TextChoices):
    OPEN = "open", _("open")
    ANSWERED = "answered", _("answered")
    CLOSED = "closed", _("closed")


# who moves a query where: RAISE_QUERIES may close and re-open, ANSWER_QUERIES may answer
QUERY_TRANSITIONS = {
    QueryState.OPEN: {QueryState.ANSWERED, QueryState.CLOSED},
    QueryState.ANSWERED: {QueryState.OPEN, QueryState.CLOSED},
    QueryState.CLOSED: {QueryState.OPEN},
}


class Query(PatientRecord):
    """A question about a value: raised by a check or a person, answered by the site, closed by who may raise it."""

    panel = models.ForeignKey(PanelRecord, models.PROTECT, null=True, related_name="queries")
    infusion = models.ForeignKey(Infusion, models.PROTECT, null=True, related_name="queries")
    test = models.CharField(max_length=24, blank=True)
    minute = models.PositiveIntegerField(null=True)
    check_code = models.CharField(max_length=40, blank=True)
    text = models.TextField(_("question"))
    state = models.CharField(max_length=10, choices=QueryState.choices, default=QueryState.OPEN)
    raised_by = person()
    raised_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True)

    class Meta(PatientRecord.Meta):
        ordering = ["-raised_at", "-id"]
        default_related_name = "queries"
        verbose_name_plural = "queries"
        indexes = [models.Index(fields=["state", "patient"])]

    def __str__(self):
        return f"query {self.pk}"


class QueryMessage(PatientRecord):
    query = models.ForeignKey(Query, models.PROTECT, related_name="messages")
    text = models.TextField(_("message"))
    by = person()
    at = models.DateTimeField(default=timezone.now)

    class Meta(PatientRecord.Meta):
        ordering = ["at", "id"]

    def __str__(self):
        return self.text[:60]
