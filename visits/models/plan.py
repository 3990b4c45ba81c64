"""The visits of a patient's plan, and what stands on one that is closed to changes."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from patients.models import PatientRecord, hold
from trialsite import trial


class VisitState(models.TextChoices):
    PLANNED = "planned", _("planned")
    ATTENDED = "attended", _("attended")
    MISSED = "missed", _("missed")
    CANCELLED = "cancelled", _("no longer planned")  # a later protocol version does without it


class Visit(PatientRecord):
    """A visit of the plan (its code stands in the protocol), or an unscheduled one (code U1, U2 ...)."""

    code = models.CharField(_("visit"), max_length=24)
    protocol_version = models.CharField(_("protocol version"), max_length=20)
    is_scheduled = models.BooleanField(_("planned by the protocol"), default=True)
    day = models.IntegerField(_("planned day"), null=True)
    planned_on = models.DateField(_("planned on"))
    earliest = models.DateField(_("earliest"))
    latest = models.DateField(_("latest"))
    state = models.CharField(_("status"), max_length=10, choices=VisitState.choices, default=VisitState.PLANNED)
    attended_on = models.DateField(_("date of the visit"), null=True)
    missed_because = models.CharField(_("missed because"), max_length=500, blank=True)
    hold = hold()

    class Meta(PatientRecord.Meta):
        verbose_name = _("visit")
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
    def protocol(self):
        """The version under which the visit was planned, or follows the patient while it has not taken place."""
        return trial.protocol(self.protocol_version)

    @property
    def was_told(self):
        """Was it recorded that it took place, or that it was missed? Then a change needs a reason."""
        return self.state in (VisitState.ATTENDED, VisitState.MISSED)

    @property
    def on(self):
        """The day it took place, or is planned for."""
        return self.attended_on or self.planned_on


class CalendarFeed(models.Model):
    """An address at which a person's calendar program reads the visits that are planned. Only its digest is kept."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="calendar_feeds")
    digest = models.CharField(max_length=64, unique=True)
    made_at = models.DateTimeField(default=timezone.now)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("address of a calendar")
        ordering = ["-made_at"]

    def __str__(self):
        return f"calendar of {self.user}"
