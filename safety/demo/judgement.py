"""What the sites and the coders of the demonstration decide."""

from datetime import timedelta
from functools import partial

from patients.actions import open_halt
from patients.models import Blocked, Patient, Scope, State
from safety import actions
from safety.abnormal_results import unjudged_results
from safety.actions.adverse_events import body_system_of
from safety.coding.rules import CodingState, Kind
from safety.coding.search import dictionary_of, exact_term
from safety.coding.work import codes, to_code, waiting_of
from safety.demo.cast import LATELY_ANAEMIC
from safety.demo.steps import record_deviation, report_event
from safety.deviations import Category
from safety.models import AdverseEvent
from safety.proposals import unjudged_among
from trialsite.clock import today_at
from trialsite.demo import chance
from trialsite.roles import Role
from visits.models import Query, QueryState

# what is coded as what; of the late ones the codes still wait for approval, other words wait for a code
CODED_AS = {
    "Common cold": "Upper respiratory infection", "Chronic gastritis": "Gastritis", "Hyperlipidaemia": "Cholesterol high",
    "Herpes zoster": "Shingles", "Syphilis, treated": "Infections and infestations - Other, specify",
    "Prophylaxis of pneumocystis pneumonia": "Infections and infestations - Other, specify",
}  # fmt: skip
CODED_LATE = {"Renal calculus": "Renal calculi", "Depressive episode": "Depression"}
# what no system sees, recorded by hand: category, description, what was done about it
BY_HAND = (
    (Category.PROCEDURE, "The tubes stood at room temperature for six hours before they were sent",
     "The laboratory was told, and the results are marked"),
    (Category.MEDICATION, "Prednisone 30 mg for five days, prescribed elsewhere for an allergy",
     "The patient carries a card with what may not be taken"),
    (Category.PROCEDURE, "Blood was drawn after breakfast; the protocol asks for a fasting patient", ""),
)  # fmt: skip
WHAT_WAS_DONE = ("The site was reminded of the window", "The appointment is now confirmed a day before", "")
NO_DEVIATION = "The source shows that it took place as planned; the entry is being corrected."
NO_EVENT = "No symptoms, no treatment, and the next value is back where it was before."
NO_EVENT_BEFORE = "Was so before the first infusion; it stands in the medical history."


class Judgement:
    """What is held and decided, deviations, codes."""

    def hold(self, *, story, term):
        """After a reaction the sponsor holds the patient's infusions until the board has looked at it."""
        if not term:
            return
        halt = open_halt(
            scope=Scope.PATIENT, patient=story.patient, blocks=[Blocked.INFUSE],
            cause=f"{term} of grade 2 during the infusion, which was stopped early",
            by=self.people.who(Role.SAFETY_OFFICER),
        )  # fmt: skip
        self.on(
            story.site, today_at(story.site) + timedelta(days=7), "16:00", self.decide, halt=halt,
            rationale="The reaction resolved within a day, and no other patient had one of this grade.",
            conditions="Half the rate for this patient, with paracetamol before.",
            asks="Tell all pharmacies of the lower rate", answer="All pharmacies have the new instruction, version 1.2",
        )  # fmt: skip

    def plan_meetings(self, begin):
        """Every two months each site judges what the system has seen; what has come up since the last waits."""
        for site in self.sites:
            for place, days in enumerate(range(60, (self.today - begin).days - 14, 60)):
                self.on(site, begin + timedelta(days=days), "17:30", self.judge_deviations, site=site, place=place)

    def judge_deviations(self, *, site, place):
        investigator, monitor = self.people.who(Role.INVESTIGATOR, site), self.people.who(Role.MONITOR)
        today = today_at(site)
        for patient, proposal in unjudged_among(Patient.objects.filter(site=site)):
            lot = chance(self.seed, patient.number, proposal.key)
            self.judged += 1
            if self.judged % 4 == 2:
                actions.dismiss_proposal(
                    patient=patient, proposal_key=proposal.key, reason=NO_DEVIATION, by=investigator
                )
                continue
            action = lot.choice(WHAT_WAS_DONE)
            record_deviation(
                patient=patient, by=lot.choice([investigator, monitor]), proposal=proposal, corrective_action=action,
                corrected_on=today if action else None,
            )  # fmt: skip
        for one in unjudged_results(Patient.objects.filter(site=site)):
            if one.on < today - timedelta(days=14):
                self.judge(one, by=investigator)
        present = Patient.objects.filter(site=site, state=State.RANDOMISED).order_by("-number").first()
        if place % 3 == 1 and present:
            category, description, action = BY_HAND[place // 3 % len(BY_HAND)]
            record_deviation(
                patient=present, by=self.people.who(Role.COORDINATOR, site), on=today - timedelta(days=1),
                category=category.value, description=description, corrective_action=action,
                corrected_on=today if action and place < 6 else None,
            )  # fmt: skip

    def plan_judging(self, story, code):
        """The investigator looks at the results of a visit when they are all there."""
        days = story.lot(code, "judged").randint(2, 9)
        self.on(story.site, today_at(story.site) + timedelta(days=days), "17:05", self.judge_results, story=story)

    def judge_results(self, *, story):
        """All that waits; of one patient not that of the last month."""
        for one in unjudged_results(Patient.objects.filter(pk=story.patient.pk)):
            if story.fate == LATELY_ANAEMIC and one.on > self.today - timedelta(days=30):
                continue
            self.judge(one, by=self.team(story)[1], follow_up=partial(self.follow_up, story))

    def judge(self, one, *, by, follow_up=None):
        """A result that proposes an event belongs to one that was reported, is reported as one, or, one of four, is none."""
        if one.is_reaction or not one.patient.is_open:
            return
        asked = Query.objects.filter(
            patient=one.patient, panel=one.seen.panel, test=one.seen.test, state=QueryState.OPEN
        )
        if one.seen.panel_id and asked.exists():  # it may be a slip
            return
        patient, lot = one.patient, chance(self.seed, one.patient.number, one.visit.code, one.event, one.on)
        if patient.day_0 is None or one.on < patient.day_0:
            actions.decline_result(seen=one.seen, reason=NO_EVENT_BEFORE, by=by)
            return
        same = AdverseEvent.objects.filter(
            patient=patient, is_withdrawn=False, term__iexact=one.event, grade__gte=one.grade,
            began_on__range=(one.on - timedelta(days=7), one.on),
        )  # fmt: skip
        if event := same.order_by("pk").first():
            actions.add_result_to_event(seen=one.seen, event=event, by=by)
        elif (one.grade < 3 and lot.random() < 0.25) or not body_system_of(one.event):
            actions.decline_result(seen=one.seen, reason=NO_EVENT, by=by)
        else:
            days = lot.randint(7, 40)
            event = report_event(
                patient=patient, by=by, term=one.event, on=one.on, days=days, grade=one.grade, seen=one.seen,
                aware_on=today_at(patient.site),
            )  # fmt: skip
            if follow_up:
                follow_up(event, one.on + timedelta(days=days))

    def plan_coding(self, begin):
        """Every six weeks the data manager codes what has come, and the safety officer approves it after four days."""
        for days in range(40, (self.today - begin).days - 6, 42):
            day = begin + timedelta(days=days)
            self.on(self.sites[0], day, "14:10", self.code_words, coded_as=CODED_AS)
            self.on(self.sites[0], day + timedelta(days=4), "14:40", self.approve_codes)
        self.on(self.sites[0], self.today - timedelta(days=2), "14:10", self.code_words, coded_as=CODED_LATE)

    def code_words(self, *, coded_as):
        by = self.people.who(Role.DATA_MANAGER)
        waiting = {}
        for one in waiting_of(to_code(by)):
            waiting.setdefault(one.verbatim, []).append(one)
        for verbatim, ones in waiting.items():
            found = exact_term(dictionary_of(ones[0].kind), coded_as.get(verbatim, ""))
            if found:
                words = [actions.Words(Kind(one.kind), one.record_id, verbatim) for one in ones]
                actions.code_terms(words=words, term=found, by=by)

    def approve_codes(self):
        """All that waits; the first treated syphilis goes back once."""
        by = self.people.who(Role.SAFETY_OFFICER)
        waiting = list(codes(by, CodingState.PROPOSED))
        if not self.has_rejected and (odd := [one for one in waiting if one.verbatim.startswith("Syphilis")]):
            actions.reject_coding(
                coding=odd[0], version=odd[0].version, by=by, reason="Ask the site first which stage it was"
            )
            waiting.remove(odd[0])
            self.has_rejected = True
        if waiting:
            actions.approve_codings(seen=[(one.pk, one.version) for one in waiting], by=by)
