"""Questions about values, and what became of each time that an edit check spoke."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from patients.models import PatientRecord, person
from visits.models.infusions import Infusion
from visits.models.panels import PanelRecord


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
    """A question about a value: raised by a check or a person, answered by the site, closed by who may raise it.

    It is about a panel, an infusion, or any other record of the patient (`record`, its model's label, and `record_id`);
    `test` (at `minute`) or `field` says which value. What a check asks is kept as a sentence (`said`), so that each
    reader has it in the own language; `text` is it as it was first read."""

    panel = models.ForeignKey(PanelRecord, models.PROTECT, null=True, related_name="queries")
    infusion = models.ForeignKey(Infusion, models.PROTECT, null=True, related_name="queries")
    test = models.CharField(max_length=24, blank=True)
    minute = models.PositiveIntegerField(null=True)
    record = models.CharField(max_length=60, blank=True)
    record_id = models.BigIntegerField(null=True)
    field = models.CharField(max_length=40, blank=True)
    check_code = models.CharField(max_length=40, blank=True)
    said = models.JSONField(null=True)
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


class Outcome(models.TextChoices):
    """What became of it when a soft edit check spoke."""

    CORRECTED = "corrected", _("corrected before saving")
    CONFIRMED = "confirmed", _("confirmed, source checked")
    QUERIED = "queried", _("query opened")


class CheckFiring(PatientRecord):
    """One time that a soft edit check spoke about a value, and whether that changed the value, then or later."""

    panel = models.ForeignKey(PanelRecord, models.PROTECT, null=True, related_name="firings")
    infusion = models.ForeignKey(Infusion, models.PROTECT, null=True, related_name="firings")
    test = models.CharField(max_length=24, blank=True)
    minute = models.PositiveIntegerField(null=True)
    check_code = models.CharField(max_length=40)
    typed = models.CharField(max_length=500, blank=True)
    said = models.JSONField(null=True)
    outcome = models.CharField(max_length=10, choices=Outcome.choices)
    has_changed_value = models.BooleanField(default=False)
    query = models.OneToOneField(Query, models.PROTECT, null=True, related_name="firing")
    by = person()
    at = models.DateTimeField(default=timezone.now)

    class Meta(PatientRecord.Meta):
        ordering = ["id"]
        default_related_name = "firings"
        indexes = [models.Index(fields=["check_code"])]

    def __str__(self):
        return f"{self.check_code} {self.outcome}"
