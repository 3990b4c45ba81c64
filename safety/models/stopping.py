"""What stopping rules counted when they opened a halt."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from patients.models import Halt, under_version
from safety.stopping.standing import Known
from trialsite import trial
from trialsite.roles import Permission, can, sites_where


class CrossingQuerySet(models.QuerySet):
    def visible_to(self, user):
        return self if self.is_for(user) else self.none()

    def is_for(self, user):
        """It names patients of all sites and could tell arms: for those who see all patients, or decide, and may know."""
        sees_all = can(user, Permission.VIEW_PATIENTS) and sites_where(user, Permission.VIEW_PATIENTS) is None
        shown = Permission.SEE_ARM if trial.current_protocol().is_masked else Permission.SEE_ARM_WHEN_OPEN
        may_know = None in (sites_where(user, Permission.SEE_ARM), sites_where(user, shown))
        return may_know and (sees_all or can(user, Permission.RECORD_DECISIONS))


class Crossing(models.Model):
    """That a rule was met, and by what. A halt has one when it opens, and one more for whatever meets the rule while it
    is in force: all of them are decided on when it is lifted."""

    halt = models.ForeignKey(Halt, models.PROTECT, related_name="crossings")
    rule = models.CharField(_("stopping rule"), max_length=24)
    protocol_version = under_version()
    patients = models.PositiveIntegerField(_("treated patients"))
    events = models.PositiveIntegerField(_("of them with an event"))
    least = models.PositiveIntegerField(_("the rule stops at"))
    # keys of what met the rule (safety/stopping/evaluation.py), and for people: [{"number": ..., "events": [...]}]
    counted = models.JSONField(_("counted"))
    who = models.JSONField(_("patients and their events"))
    crossed_at = models.DateTimeField(default=timezone.now)

    objects = CrossingQuerySet.as_manager()

    class Meta:
        ordering = ["-crossed_at", "-id"]
        default_related_name = "crossings"

    def __str__(self):
        told = {"rule": self.rule, "events": self.events, "patients": self.patients}
        return gettext("%(rule)s: %(events)s of %(patients)s") % told

    @property
    def known(self):
        """For the rules, with the halt loaded."""
        target = (self.halt.scope, self.halt.patient_id, self.halt.arm)
        return Known(target, frozenset(self.counted), in_force=self.halt.lifted_at is None)
