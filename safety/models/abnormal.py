"""Graded results that somebody judged: they belong to an adverse event, or are none."""

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from patients.models import Line, person
from safety.models.adverse_events import AdverseEvent, AdverseEventQuerySet
from visits.models import Measurement


class JudgedResult(Line):
    """The grade that was judged, as it was then. Taken back, the result is proposed again if it still holds."""

    measurement = models.ForeignKey(Measurement, models.PROTECT, verbose_name=_("result"))
    grade = models.PositiveSmallIntegerField(_("grade"))
    grade_scale = models.CharField(_("scale"), max_length=40)
    grade_scale_version = models.CharField(_("version of the scale"), max_length=20)
    grade_row = models.CharField(_("row of the scale"), max_length=200)
    judged_by = person(_("judged by"))
    judged_at = models.DateTimeField(_("judged at"), default=timezone.now)

    objects = AdverseEventQuerySet.as_manager()

    class Meta(Line.Meta):
        abstract = True
        ordering = ["-judged_at", "-id"]


class ResultOfEvent(JudgedResult):
    """A result that proposed an adverse event, or belongs to it."""

    event = models.ForeignKey(AdverseEvent, models.PROTECT, related_name="results", verbose_name=_("adverse event"))

    class Meta(JudgedResult.Meta):
        verbose_name = _("result of an adverse event")
        default_related_name = "results_of_events"

    def __str__(self):
        return f"{self.measurement_id}: {self.event_id}"


class DeclinedResult(JudgedResult):
    """A result that is no adverse event, and why."""

    reason = models.CharField(_("why this is no adverse event"), max_length=500)

    class Meta(JudgedResult.Meta):
        verbose_name = _("result judged to be no adverse event")
        default_related_name = "declined_results"
        constraints = [
            models.UniqueConstraint(
                fields=["measurement", "grade"], condition=Q(is_withdrawn=False), name="a_result_is_declined_once"
            )
        ]

    def __str__(self):
        return self.reason
