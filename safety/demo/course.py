"""A patient's way through the demonstration."""

from datetime import timedelta

from patients import demo as entry
from patients.models import State
from safety.demo.cast import INFUSED_TODAY, LATE, LATELY_ANAEMIC
from safety.demo.illness import AFTER_ANYTHING, AFTER_CELLS, AILMENTS, Ailment
from safety.models import ActionTaken, Relationship
from trialsite.clock import today_at
from visits import demo as course

NOT_DONE = (
    "The tube had clotted",
    "The analyser was out of order",
    "The patient had to leave early",
    "The sample was lost on the way to the laboratory",
)


class Course:
    """A patient's way from screening to the end: visits, values, infusions."""

    def screen(self, *, story):
        coordinator = self.team(story)[0]
        story.patient = entry.screen_and_consent(
            site=story.site, by=coordinator, on=story.screened_on, sex=story.sex, seed=story.name
        )
        for visit in self.protocol.screening_visits:
            day = story.screened_on + timedelta(days=visit.day - self.first_screening_day)
            self.on(story.site, day, "16:00", self.attend_screening, story=story, code=visit.code)
        decision = story.day_0 - timedelta(days=3)
        if story.kind != "is in screening":
            self.on(story.site, decision, "14:00", self.assess, story=story)

    def attend_screening(self, *, story, code):
        coordinator = self.team(story)[0]
        panels = None
        if story.kind == "is in screening":
            panels = [panel.code for panel in self.protocol.panels_of(code, story.sex)][:2]
        course.enter_visit(
            patient=story.patient, code=code, by=coordinator, on=today_at(story.site), body=story.body, panels=panels
        )

    def assess(self, *, story):
        investigator = self.team(story)[1]
        assessment = entry.answer_criteria(patient=story.patient, by=investigator)
        if not assessment.is_eligible:
            entry.fail_screening(patient=story.patient, by=investigator)
        elif story.kind == "fails":
            entry.fail_screening(patient=story.patient, by=investigator, explanation="Moved to another city")
        elif story.kind == "enters":
            self.on(story.site, story.day_0 - timedelta(days=2), "11:00", self.randomise, story=story)

    def randomise(self, *, story):
        story.patient = entry.randomise(patient=story.patient, by=self.team(story)[1], day_0=story.day_0)
        story.body.cells = course.cells_of(story.patient)
        self.plan_visits(story)
        self.plan_ailments(story)
        site, since = story.site, story.day_0
        if story.fate == "withdraws":
            self.on(site, since + timedelta(days=round(0.39 * self.length)), "15:00", self.withdraw, story=story)
        elif story.fate == "signs again":
            self.on(site, since + timedelta(days=round(0.5 * self.length)), "09:00", self.sign_again, story=story)
        elif story.fate == "falls seriously ill":
            self.on(site, since + timedelta(days=round(0.3 * self.length)), "18:00", self.fall_ill, story=story)
        elif story.fate == "has a severe event":
            self.on(
                site, since + timedelta(days=round(0.4 * self.length)), "18:00", self.have_severe_event, story=story
            )

    def plan_visits(self, story):
        """Put the patient's visits on the agenda, on days that scatter within the windows as patients do."""
        shift = timedelta(days=LATE.get(story.fate, 0))
        follow_ups = [visit for visit in self.planned.values() if visit.phase == "follow_up"]
        missed = follow_ups[len(follow_ups) // 2] if follow_ups and story.fate == "misses a visit" else None
        previous_infusion = None
        for visit in self.planned.values():
            planned = story.day_0 + shift + timedelta(days=visit.day)
            earlier, later = (
                (min(visit.before, 6), min(visit.after, 8)) if not visit.infusion else (0, min(visit.after, 2))
            )
            day = planned + timedelta(days=story.lot(visit.code, "day").randint(-earlier, later) if visit.day else 0)
            if visit.infusion and previous_infusion and self.protocol.infusions:
                day = max(day, previous_infusion + timedelta(days=self.protocol.infusions.least_days_between))
            if visit.infusion:
                previous_infusion = day
            is_just_now = abs((planned - self.today).days) <= visit.before + visit.after + 10
            if story.fate == "is overdue" and is_just_now:
                return  # neither this visit nor a later one has been heard of
            if story.fate == "is due" and -8 < (planned - self.today).days < 8:
                day = planned
            if story.fate in INFUSED_TODAY and visit.infusion and visit.before and planned == self.today:
                yesterday = self.today - timedelta(days=1)
                self.on(story.site, yesterday, "16:30", self.come_before_infusion, story=story, code=visit.code)
                # so that an answer always waits for who reviews it
                week_ago = self.today - timedelta(days=7)
                self.on(story.site, week_ago, "14:00", self.monitor_asks, story=story, answered_on=yesterday)
            elif visit is missed:
                self.on(
                    story.site,
                    planned + timedelta(days=visit.after + 2),
                    "15:00",
                    self.miss,
                    story=story,
                    code=visit.code,
                )
            else:
                self.on(story.site, day, "16:30", self.attend, story=story, code=visit.code)

    def attend(self, *, story, code):
        if story.has_ended:
            return
        coordinator, investigator, pharmacist = self.team(story)
        visit, today = self.planned[code], today_at(story.site)
        self.let_results_be_bad(story, visit)
        course.enter_visit(
            patient=story.patient, code=code, by=coordinator, on=today, body=story.body,
            not_done=self.what_is_not_done(story, visit),
            slips=self.what_is_mistyped(story, visit),
        )  # fmt: skip
        if visit.infusion:
            self.infuse(story, visit, investigator, pharmacist)
        story.patient = entry.fresh(story.patient)
        self.look_at_queries(story)
        self.plan_checks(story, code)
        self.plan_judging(story, code)
        if code == [*self.planned][-1]:
            self.judge_results(story=story)  # afterwards nothing is reported of the patient any more
            entry.end_participation(patient=story.patient, by=investigator, on=today)
            story.has_ended = True

    def come_before_infusion(self, *, story, code):
        """The day before: what must be known before an infusion; the whole visit and the bag, where that is ready."""
        coordinator, _investigator, pharmacist = self.team(story)
        is_ready = story.fate == "has a bag ready"
        panels = None if is_ready else course.asked_before_infusion(story.patient, code)
        if is_ready:  # a result of yesterday that waits for who judges it
            story.unseen += [ailment for ailment in AILMENTS if ailment.row and ailment not in story.unseen]
            self.let_results_be_bad(story, self.planned[code])
        course.enter_visit(
            patient=story.patient, code=code, by=coordinator, on=today_at(story.site), body=story.body, panels=panels
        )
        if is_ready:
            course.prepare(patient=story.patient, number=self.planned[code].infusion, by=pharmacist)

    def what_is_not_done(self, story, visit):
        """One panel in sixty, never one that an infusion waits for."""
        if visit.infusion:
            return {}
        lot = story.lot(visit.code, "not done")
        codes = [panel.code for panel in self.protocol.panels_of(visit.code, story.sex)][1:]
        return {code: lot.choice(NOT_DONE) for code in codes if lot.random() < 1 / 60}

    def what_is_mistyped(self, story, visit):
        """A number somewhat outside what is plausible, for a query: of late at most visits, before at one in six."""
        lot, is_of_late = story.lot(visit.code, "slip"), (self.today - today_at(story.site)).days < 45
        if lot.random() > (0.7 if is_of_late else 1 / 6):
            return {}
        tests = [
            test
            for panel in self.protocol.panels_of(visit.code, story.sex)
            for test in self.protocol.tests_of(panel.code)
            if test.kind == "number" and test.plausible and not test.computed and test.required
            and test.plausible[1] < (test.possible or test.plausible)[1]
            and test.code not in self.never_mistyped
        ]  # fmt: skip
        if not tests:
            return {}
        test = lot.choice(tests)
        low, high = map(float, test.plausible)
        value = min(high + (high - low) * lot.uniform(0.03, 0.12), float(test.possible[1]))
        # as far beyond as the decimals allow to show
        return {test.code: f"{max(value, high + 10**-test.decimals):.{test.decimals}f}"}

    def let_results_be_bad(self, story, visit):
        """A graded result that proposes an adverse event: as low as is plausible, at the first visit of the follow-up, or at the
        last one before today; and what only a result shows, as soon as it is measured."""
        anaemia = f"haemoglobin_low_{'fe' * (story.sex == 'F')}male"
        row = {"has few platelets": "platelets_low", "is not reported": anaemia, LATELY_ANAEMIC: anaemia}.get(
            story.fate
        )
        follow_ups = [one for one in self.planned.values() if one.phase == "follow_up"]
        measured = self.tests_at(visit, story)
        if story.fate == LATELY_ANAEMIC:
            been = [one for one in self.planned.values() if story.day_0 + timedelta(days=one.day + 4) < self.today]
            is_then = visit in been[-1:]
        else:
            is_then = visit in follow_ups[:1]
        for test in measured if is_then else ():
            if row in test.grade_rows and test.plausible:
                story.body.will_be(test.code, visit.code, float(test.plausible[0]))
        for ailment in [*story.unseen]:
            if (test := self.test_of(ailment.row)) in measured:
                story.body.will_be(test.code, visit.code, 2.9 * course.usual_range(test, story.sex)[1])
                story.unseen.remove(ailment)

    def tests_at(self, visit, story):
        panels = self.protocol.panels_of(visit.code, story.sex)
        return [test for panel in panels for test in self.protocol.tests_of(panel.code)]

    def infuse(self, story, visit, investigator, pharmacist):
        number, lot = visit.infusion, story.lot(visit.code, "infusion")
        reactions, interruption, given = [], None, 100
        if story.body.cells and not self.first_reaction:
            self.first_reaction = story
            reactions = [("Chills", 25, 1), ("Fever", 30, 2)]
            interruption = (32, 15, "Chills and fever")
        elif story.body.cells and number == 2 and not self.first_halt and story is not self.first_reaction:
            self.first_halt = story
            reactions, interruption, given = [("Fever", 15, 2)], (20, 20, "Fever"), 85
        elif lot.random() < (0.12 if story.body.cells else 0.03):
            reactions = [(lot.choice(["Headache", "Flushing", "Chills"]), lot.choice([20, 40, 55]), 1)]
        is_unreported = not reactions and not self.unreported and 2 < (self.today - today_at(story.site)).days < 40
        if is_unreported:  # of a reaction of late nobody has said yet whether it is an adverse event
            self.unreported, reactions = story, [("Urticaria", 45, 2)]
        known = self.protocol.infusions.reaction_terms
        reactions = [reaction for reaction in reactions if not known or reaction[0] in known]
        infusion = course.give_infusion(
            patient=story.patient, by=investigator, pharmacist=pharmacist, number=number, on=today_at(story.site),
            body=story.body, reactions=reactions, interruption=interruption, given_percent=given,
        )  # fmt: skip
        today = today_at(story.site)
        is_last = number == self.protocol.infusions.count
        if (
            is_last
            and story.body.cells
            and not self.first_severe
            and story not in (self.first_reaction, self.first_halt)
        ):
            self.first_severe = story
            self.on(
                story.site, today + timedelta(days=12), "18:00", self.have_related_event, story=story, number=number
            )
        for term, _, grade in reactions if not is_unreported else ():
            self.on(
                story.site, today, "17:40", self.report, story=story, began_on=today, infusion_number=number,
                reaction=infusion.reactions.get(term=term),
                ailment=Ailment(term, (0, 1), (grade,), Relationship.PROBABLE, "Paracetamol" if grade > 1 else ""),
                action_taken=ActionTaken.INTERRUPTED if interruption else ActionTaken.NOT_CHANGED,
            )  # fmt: skip
        if given < 100:
            self.on(
                story.site,
                today + timedelta(days=1),
                "10:30",
                self.hold,
                story=story,
                term=reactions[0][0] if reactions else "",
            )
        if not reactions and lot.random() < (0.25 if story.body.cells else 0.12):
            began = today + timedelta(days=lot.choice([0, 0, 1, 1, 2, 4]))
            ailment = lot.choice(AFTER_CELLS if story.body.cells else AFTER_ANYTHING)
            self.on(
                story.site, began + timedelta(days=1), "09:40", self.report, story=story, began_on=began,
                ailment=ailment, infusion_number=number, action_taken=ActionTaken.NOT_CHANGED,
            )  # fmt: skip
        return infusion

    def miss(self, *, story, code):
        if not story.has_ended:
            course.miss_visit(patient=story.patient, code=code, by=self.team(story)[0])

    def withdraw(self, *, story):
        entry.end_participation(
            patient=story.patient, state=State.WITHDRAWN, explanation="Finds the journeys to the hospital too long",
            by=self.team(story)[1],
        )  # fmt: skip
        story.has_ended = True

    def sign_again(self, *, story):
        if not story.has_ended:
            entry.sign_consent(patient=story.patient, on=today_at(story.site), by=self.team(story)[0])
