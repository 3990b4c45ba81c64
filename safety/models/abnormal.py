"""What was seen at a patient and proposes an adverse event, and was judged: it belongs to one, or is none. What is seen is a
graded result, or a reaction to an infusion."""

from django.db import models
from django.db.models import OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from patients.models import Line, person
from safety.abnormal import Belongs, Declined, of_reaction, of_result
from safety.models.adverse_events import AdverseEvent, AdverseEventQuerySet
from visits.models import Measurement, Reaction


def _one_was_seen():
    one = Q(measurement__isnull=False, reaction__isnull=True) | Q(measurement__isnull=True, reaction__isnull=False)
    return models.CheckConstraint(condition=one, name="%(class)s_is_of_a_result_or_a_reaction")


class JudgedResult(Line):
    """What was seen, and the grade that was judged, as it was then: of a result, or of a reaction to an infusion (its line,
    which a correction replaces by another). Taken back, it is proposed again if it still holds."""

    measurement = models.ForeignKey(Measurement, models.PROTECT, null=True, verbose_name=_("result"))
    reaction = models.ForeignKey(Reaction, models.PROTECT, null=True, verbose_name=_("infusion reaction"))
    grade = models.PositiveSmallIntegerField(_("grade"))
    # empty for a reaction of which no scale has a row
    grade_scale = models.CharField(_("scale"), max_length=40, blank=True)
    grade_scale_version = models.CharField(_("version of the scale"), max_length=20, blank=True)
    grade_row = models.CharField(_("row of the scale"), max_length=200, blank=True)
    judged_by = person(_("judged by"))
    judged_at = models.DateTimeField(_("judged at"), default=timezone.now)

    objects = AdverseEventQuerySet.as_manager()

    class Meta(Line.Meta):
        abstract = True
        ordering = ["-judged_at", "-id"]

    @property
    def seen(self):
        return self.measurement if self.measurement_id else self.reaction

    @property
    def what(self):
        """What was judged, as `Finding.what` names it, and its row."""
        if self.measurement_id:
            return of_result(self.measurement_id), self.grade_row
        what = of_reaction(self.reaction.infusion_id, self.reaction.term)
        return what, what


class ResultOfEventQuerySet(AdverseEventQuerySet):
    def of_reactions(self):
        """Those by which an adverse event belongs to a reaction recorded at an infusion."""
        return self.filter(is_withdrawn=False, reaction__isnull=False)

    def of_reactions_of(self, event="pk"):
        """The same, of the event of an outer query."""
        return self.of_reactions().filter(event=OuterRef(event))


class ResultOfEvent(JudgedResult):
    """What an adverse event was reported from, or what else belongs to it: a result, or a reaction to an infusion."""

    objects = ResultOfEventQuerySet.as_manager()

    event = models.ForeignKey(AdverseEvent, models.PROTECT, related_name="results", verbose_name=_("adverse event"))

    class Meta(JudgedResult.Meta):
        verbose_name = _("result or reaction of an adverse event")
        default_related_name = "results_of_events"
        constraints = [_one_was_seen()]

    def __str__(self):
        return f"{self.seen}: {self.event_id}"

    def as_judgement(self):
        event = self.event
        return Belongs(
            *self.what, self.grade, event.grade, event.began_on, None if event.is_ongoing else event.ended_on
        )


class DeclinedResult(JudgedResult):
    """A result or reaction that is no adverse event, and why."""

    reason = models.CharField(_("why this is no adverse event"), max_length=500)

    class Meta(JudgedResult.Meta):
        verbose_name = _("result or reaction judged to be no adverse event")
        default_related_name = "declined_results"
        constraints = [
            _one_was_seen(),
            *(models.UniqueConstraint(fields=[seen, "grade"], condition=Q(is_withdrawn=False), name=f"{name}_is_declined_once")
              for seen, name in (("measurement", "a_result"), ("reaction", "a_reaction"))),
        ]  # fmt: skip

    def __str__(self):
        return self.reason

    def as_judgement(self):
        return Declined(self.what[0], self.grade)
