"""Questions about values, and what became of each time that an edit check spoke."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from patients.models import ByPatientQuerySet, PatientRecord, person
from trialsite import trial
from trialsite.models import Site
from trialsite.queried import queried_records
from trialsite.reasons import because, reason_told
from trialsite.roles import Permission, can, sites_where
from trialsite.words import Sentence
from visits.edit_checks import title_of
from visits.models.infusions import Infusion
from visits.models.panels import PanelRecord


class QueryState(models.TextChoices):
    OPEN = "open", _("open")
    ANSWERED = "answered", _("answered")
    CLOSED = "closed", _("closed")


def open_queries(path=""):
    """Which queries count as open, on every page: those that wait for the site's answer. `path` leads to them."""
    return models.Q(**{f"{path}state": QueryState.OPEN})


def answered_queries(path=""):
    """Those that the site answered, which wait for who may close them."""
    return models.Q(**{f"{path}state": QueryState.ANSWERED})


# who moves a query where: RAISE_QUERIES may close and re-open, ANSWER_QUERIES may answer
QUERY_TRANSITIONS = {
    QueryState.OPEN: {QueryState.ANSWERED, QueryState.CLOSED},
    QueryState.ANSWERED: {QueryState.OPEN, QueryState.CLOSED},
    QueryState.CLOSED: {QueryState.OPEN},
}


class ByRecordQuerySet(ByPatientQuerySet):
    """What is about a record that takes more than seeing the patient is seen by those who may see the record."""

    def visible_to(self, user):
        seen = super().visible_to(user)
        for label, queried in queried_records().items():
            sites = sites_where(user, queried.permission)
            if queried.permission != Permission.VIEW_PATIENTS and sites is not None:
                seen = seen.exclude(models.Q(record=label) & ~models.Q(patient__site__in=sites))
        return seen


class Query(PatientRecord):
    """A question about a value: raised by a check or a person, answered by the site, closed by who may raise it.

    It is about a panel, an infusion, or any other record of the patient (`record`, its model's label, and `record_id`);
    `test` (at `minute`) or `field` says which value. What a check asks is kept as a sentence (`said`), so that each
    reader has it in the own language; `text` is it as it was first read."""

    panel = models.ForeignKey(PanelRecord, models.PROTECT, null=True, related_name="queries", verbose_name=_("panel"))
    infusion = models.ForeignKey(
        Infusion, models.PROTECT, null=True, related_name="queries", verbose_name=_("infusion")
    )
    test = models.CharField(_("test"), max_length=24, blank=True)
    minute = models.PositiveIntegerField(_("minutes after start"), null=True)
    record = models.CharField(_("kind of record"), max_length=60, blank=True)
    record_id = models.BigIntegerField(_("record"), null=True)
    field = models.CharField(_("field"), max_length=40, blank=True)
    check_code = models.CharField(_("check"), max_length=40, blank=True)
    said = models.JSONField(_("what the check said"), null=True)
    text = models.TextField(_("question"))
    state = models.CharField(_("status"), max_length=10, choices=QueryState.choices, default=QueryState.OPEN)
    raised_by = person(_("raised by"))
    raised_at = models.DateTimeField(_("raised at"), default=timezone.now)
    closed_at = models.DateTimeField(_("closed at"), null=True)

    objects = ByRecordQuerySet.as_manager()

    class Meta(PatientRecord.Meta):
        verbose_name = _("query")
        ordering = ["-raised_at", "-id"]
        default_related_name = "queries"
        verbose_name_plural = "queries"
        indexes = [models.Index(fields=["state", "patient"]), models.Index(fields=["record", "record_id"])]

    def __str__(self):
        return gettext("query %(number)s") % {"number": self.pk}

    @property
    def question(self):
        """What is asked, in the reader's language where a check asks; a person's words as they are."""
        return str(Sentence.of(self.said, self.protocol)) if self.said else self.text

    @property
    def protocol(self):
        """The version of the protocol that names what the query is about."""
        return self.panel.protocol if self.panel_id else self.patient.protocol


# what the machine says; stored in English, read in the reader's language
CHANGED_STILL_ASKS = because("The value was changed; the check still asks.")
CHANGED_SATISFIED = because("The value was changed; the check is satisfied.")


class QueryMessageQuerySet(ByPatientQuerySet):
    def visible_to(self, user):
        return self.filter(query__in=Query.objects.visible_to(user))


class QueryMessage(PatientRecord):
    query = models.ForeignKey(Query, models.PROTECT, related_name="messages", verbose_name=_("query"))
    text = models.TextField(_("message"))
    by = person(_("by"))
    at = models.DateTimeField(_("at"), default=timezone.now)

    objects = QueryMessageQuerySet.as_manager()

    class Meta(PatientRecord.Meta):
        verbose_name = _("message of a query")
        ordering = ["at", "id"]

    def __str__(self):
        return self.text[:60]

    @property
    def words(self):
        """What was said; what the machine said in the reader's language."""
        return reason_told(self.text)


class Outcome(models.TextChoices):
    """What became of it when a soft edit check spoke."""

    CORRECTED = "corrected", _("corrected before saving")
    CONFIRMED = "confirmed", _("confirmed, source checked")
    QUERIED = "queried", _("query opened")


class CheckFiring(PatientRecord):
    """One time that a soft edit check spoke about a value, and whether that changed the value, then or later.

    It is of a panel, an infusion, or (as Query) another record, whose field then stands in `test`."""

    panel = models.ForeignKey(PanelRecord, models.PROTECT, null=True, related_name="firings", verbose_name=_("panel"))
    infusion = models.ForeignKey(
        Infusion, models.PROTECT, null=True, related_name="firings", verbose_name=_("infusion")
    )
    test = models.CharField(_("test"), max_length=24, blank=True)
    minute = models.PositiveIntegerField(_("minutes after start"), null=True)
    record = models.CharField(_("kind of record"), max_length=60, blank=True)
    record_id = models.BigIntegerField(_("record"), null=True)
    check_code = models.CharField(_("check"), max_length=40)
    typed = models.CharField(_("as typed"), max_length=500, blank=True)
    unit = models.CharField(_("unit"), max_length=40, blank=True)  # in which it was typed; "" for the protocol's own
    said = models.JSONField(_("what the check said"), null=True)
    outcome = models.CharField(_("what became of it"), max_length=10, choices=Outcome.choices)
    has_changed_value = models.BooleanField(_("value changed afterwards"), default=False)
    query = models.OneToOneField(Query, models.PROTECT, null=True, related_name="firing", verbose_name=_("query"))
    by = person(_("by"))
    at = models.DateTimeField(_("at"), default=timezone.now)

    objects = ByRecordQuerySet.as_manager()

    class Meta(PatientRecord.Meta):
        verbose_name = _("finding of a check")
        ordering = ["id"]
        default_related_name = "firings"
        indexes = [models.Index(fields=["check_code"]), models.Index(fields=["record", "record_id"])]

    def __str__(self):
        return f"{self.check_code} {self.get_outcome_display()}"


class CheckRefusalQuerySet(models.QuerySet):
    def visible_to(self, user):
        sites = sites_where(user, Permission.VIEW_PATIENTS)
        return self if sites is None else self.filter(site__in=sites)


class CheckRefusal(models.Model):
    """How often a hard check refused a save at a site: a count, for what is refused is nowhere, nor whose it was."""

    check_code = models.CharField(_("check"), max_length=40)
    test = models.CharField(_("test"), max_length=24, blank=True)
    site = models.ForeignKey(Site, models.PROTECT, related_name="+", verbose_name=_("site"))
    number = models.PositiveIntegerField(_("number"))

    objects = CheckRefusalQuerySet.as_manager()

    class Meta:
        verbose_name = _("refusals of a check")
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["check_code", "test", "site"], name="refusals_are_counted_once"),
        ]

    def __str__(self):
        return f"{self.check_code} {self.number}"


class RetiredCheckQuerySet(models.QuerySet):
    def visible_to(self, user):
        """Of the trial as a whole, and of no patient: for all who see what the checks ask."""
        allowed = can(user, Permission.VIEW_PATIENTS) or can(user, Permission.RAISE_QUERIES)
        return self if allowed else self.none()


class RetiredCheck(models.Model):
    """A soft edit check that does not speak in this trial from `retired_at` until `restored_at`, and why. A check of
    single values is retired for one test."""

    check_code = models.CharField(_("check"), max_length=40)
    test = models.CharField(_("test"), max_length=24, blank=True)
    reason = models.TextField(_("reason"))
    retired_by = person(_("retired by"))
    retired_at = models.DateTimeField(_("retired at"), default=timezone.now)
    restored_by = person(_("restored by"), null=True)
    restored_at = models.DateTimeField(_("restored at"), null=True)
    version = models.PositiveIntegerField(default=1)

    objects = RetiredCheckQuerySet.as_manager()

    class Meta:
        verbose_name = _("retired check")
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["check_code", "test"], condition=models.Q(restored_at=None), name="a_check_is_retired_once"
            )
        ]

    def __str__(self):
        return ": ".join(filter(None, [title_of(self.check_code), self.test and trial.named("test", self.test)]))
