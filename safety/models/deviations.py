"""Deviations from the protocol, and proposals that were judged to be none."""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from patients.models import Line, person
from safety.deviations import Category
from trialsite import trial
from trialsite.words import Sentence
from visits.models import Visit

# what a deviation is about, in words (CDASH, DVDECOD as a category)
CATEGORIES = {
    Category.CONSENT: _("informed consent"),
    Category.ELIGIBILITY: _("eligibility criteria"),
    Category.VISIT_WINDOW: _("visit window"),
    Category.DOSE: _("dose"),
    Category.MEDICATION: _("concomitant medication"),
    Category.PROCEDURE: _("procedure"),
    Category.BLINDING: _("blinding"),
    Category.OTHER: _("other"),
}


class Deviation(Line):
    """A deviation from the protocol, with the fields of CDASH's DV form.

    `proposal_key` and `seen` are set when it was proposed by the system: what it saw, as it saw it then, read in each
    reader's language. The description is then what the site adds, and may be blank."""

    sequence = models.PositiveIntegerField(_("number"))
    category = models.CharField(_("category"), max_length=16, choices=[(c.value, w) for c, w in CATEGORIES.items()])
    began_on = models.DateField(_("date of the deviation"))
    ended_on = models.DateField(_("end"), null=True)
    discovered_on = models.DateField(_("discovered on"))
    visit = models.ForeignKey(Visit, models.PROTECT, null=True, related_name="deviations", verbose_name=_("visit"))
    description = models.TextField(_("description"), blank=True)
    is_important = models.BooleanField(_("important"))
    effect_on_safety = models.TextField(_("effect on the patient's safety"), blank=True)
    effect_on_data = models.TextField(_("effect on the data"), blank=True)
    corrective_action = models.TextField(_("corrective action"), blank=True)
    corrected_on = models.DateField(_("corrective action completed on"), null=True)
    preventive_action = models.TextField(_("preventive action"), blank=True)
    reported_on = models.DateField(_("reported to the ethics committee on"), null=True)
    proposal_key = models.CharField(_("proposal of the system"), max_length=80, blank=True)
    seen = models.JSONField(_("what the system saw"), null=True)
    reported_by = person(_("recorded by"))
    reported_at = models.DateTimeField(_("recorded at"), default=timezone.now)

    class Meta(Line.Meta):
        verbose_name = _("deviation")
        ordering = ["-began_on", "-id"]
        default_related_name = "deviations"
        constraints = [
            models.UniqueConstraint(fields=["patient", "sequence"], name="a_deviation_has_its_number"),
            models.UniqueConstraint(
                fields=["patient", "proposal_key"], condition=~Q(proposal_key="") & Q(is_withdrawn=False),
                name="a_proposal_is_recorded_once",
            ),
            models.CheckConstraint(
                condition=Q(ended_on=None) | Q(ended_on__gte=F("began_on")), name="a_deviation_ends_after_it_began"
            ),
            models.CheckConstraint(
                condition=~Q(description="") | Q(seen__isnull=False), name="a_deviation_says_what_happened"
            ),
            models.CheckConstraint(
                condition=Q(corrected_on=None) | ~Q(corrective_action=""), name="what_is_corrected_says_how"
            ),
        ]  # fmt: skip
        indexes = [models.Index(fields=["category", "is_important"])]

    def __str__(self):
        words = gettext("deviation %(number)s (%(category)s)")
        return words % {"number": self.sequence, "category": self.get_category_display()}

    @property
    def is_open(self):
        """Does its corrective action still wait?"""
        return self.corrected_on is None

    @property
    def seen_sentence(self):
        return Sentence.of(self.seen, trial.current_protocol()) if self.seen else None

    @property
    def told(self):
        """What happened, on one line: what the system saw, in the reader's language, and what the site wrote."""
        return " – ".join(filter(None, [str(self.seen_sentence or ""), self.description]))


class DismissedProposal(Line):
    """A proposal of the system that somebody judged to be no deviation, and why. Taken back, it is proposed again."""

    proposal_key = models.CharField(_("proposal of the system"), max_length=80)
    seen = models.JSONField(_("what the system saw"))
    reason = models.CharField(_("why this is no deviation"), max_length=500)
    dismissed_by = person(_("dismissed by"))
    dismissed_at = models.DateTimeField(_("dismissed at"), default=timezone.now)

    class Meta(Line.Meta):
        verbose_name = _("dismissed proposal")
        ordering = ["-dismissed_at", "-id"]
        default_related_name = "dismissed_proposals"
        constraints = [
            models.UniqueConstraint(
                fields=["patient", "proposal_key"], condition=Q(is_withdrawn=False), name="a_proposal_is_dismissed_once"
            )
        ]

    def __str__(self):
        return str(self.seen_sentence)

    @property
    def seen_sentence(self):
        return Sentence.of(self.seen, trial.current_protocol())
