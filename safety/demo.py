"""The steps of the demonstration, and of the tests' universe, about what went wrong; and the whole trial played.

`play_trial` is the only place that says who comes when and what happens to them: patients enter one after another over
more than the length of the follow-up, so that today some have completed, most are on their way and a few wait at each
door. Fates, by the place in each thirteen, see that every page has something to show."""

from dataclasses import dataclass
from datetime import date, timedelta

from django.utils.timezone import now

from patients import demo as entry
from patients.actions import open_halt, today_at, unmask_patient
from patients.models import Blocked, Halt, Patient, Scope, Sex, State, WhyUnmasked
from patients.randomisation import NoStratum, stratum_of
from safety import actions
from safety.abnormal_results import unjudged_results
from safety.actions.reports import request_dsmb_report
from safety.coding.rules import CodingState, Kind
from safety.coding.search import dictionary_of, exact_term
from safety.coding.work import codes, to_code, waiting_of
from safety.deviations import Category
from safety.models import ActionTaken, AdverseEvent, Causality, Decision, Expectedness, Outcome, Relationship
from safety.proposals import unjudged_among
from trialsite import trial
from trialsite.demo import Agenda, at, chance, kept_in_the_outbox
from trialsite.models import Email, OutboxMessage, Site
from trialsite.roles import Role
from trialsite.saving import Refused
from visits import demo as course
from visits.actions import add_unscheduled_visit
from visits.models import Infusion, Laboratory, PanelRecord, PanelState
from visits.results import read_number

# --- one adverse event -------------------------------------------------------------------------------


def report_event(*, patient, by, term="Headache", on=None, days=2, grade=1, aware_on=None, **values):
    """An adverse event that lasts `days` (None: it goes on). Any field of the event can be given."""
    today = today_at(patient.site)
    on = on or patient.day_0 or today
    aware_on = max(aware_on or on, on)
    ended_on = None if days is None else on + timedelta(days=days)
    if ended_on and ended_on > today:
        ended_on = None
    content = {
        "term": term,
        "body_system": "",
        "began_on": on,
        "is_ongoing": ended_on is None,
        "ended_on": ended_on,
        "grade": grade,
        "is_serious": False,
        "relationship": Relationship.UNLIKELY,
        "expectedness": Expectedness.NOT_JUDGED,
        "action_taken": ActionTaken.NOT_APPLICABLE,
        "other_action": "",
        "outcome": Outcome.RECOVERING if ended_on is None else Outcome.RECOVERED,
        "infusion_number": None,
        "aware_at": at(patient.site, aware_on, "09:15"),
        "narrative": "",
    }
    return actions.report_adverse_event(patient=patient, values=content | values, by=by)


def report_serious_event(*, patient, by, term="Lung infection", on=None, days=None, grade=3, **values):
    """A serious event: by default an unrelated pneumonia that needs the hospital."""
    content = {
        "is_serious": True,
        "is_hospitalisation": True,
        "relationship": Relationship.NOT_RELATED,
        "expectedness": Expectedness.UNEXPECTED,
        "other_action": "Admitted; intravenous antibiotics",
        "narrative": "Fever and productive cough for two days, infiltrate of the right lower lobe in the X-ray. "
        "Sputum: Streptococcus pneumoniae. Admitted for intravenous ceftriaxone, no oxygen needed.",
    }
    return report_event(patient=patient, by=by, term=term, on=on, days=days, grade=grade, **content | values)


def end_event(*, event, on, by, outcome=Outcome.RECOVERED):
    """Record that an event that went on has ended."""
    values = {"is_ongoing": False, "ended_on": on, "outcome": outcome}
    return actions.change_adverse_event(
        event=event, values=values, version=None, reason=f"The event ended on {on}", by=by
    )


# --- one deviation -----------------------------------------------------------------------------------


def record_deviation(*, patient, by, on=None, proposal=None, **values):
    """A deviation recorded by hand, or as the system proposes it. Any field of the deviation can be given."""
    today = today_at(patient.site)
    content = {
        "began_on": on or today,
        "ended_on": None,
        "discovered_on": today,
        "visit": None,
        "category": Category.PROCEDURE.value,
        "description": "The tubes stood at room temperature for six hours before they were sent",
        "is_important": False,
        "effect_on_safety": "",
        "effect_on_data": "",
        "corrective_action": "",
        "corrected_on": None,
        "preventive_action": "",
        "reported_on": None,
    }
    if proposal:
        content |= {
            "began_on": proposal.on, "category": proposal.category.value, "is_important": proposal.is_important,
            "description": str(proposal.sentence), "visit": patient.visits.filter(code=proposal.visit).first(),
        }  # fmt: skip
        if proposal.is_important:
            content |= {"effect_on_safety": "None seen; the patient is followed as planned.", "reported_on": today}
    return actions.record_deviation(
        patient=patient, values=content | values, proposal_key=proposal.key if proposal else "", by=by
    )


@dataclass(frozen=True)
class Ailment:
    """What happens to people: a term of CTCAE, its usual days, and what is taken for it."""

    term: str
    days: tuple[int, int]
    grades: tuple[int, ...] = (1, 1, 1, 2)
    relationship: str = Relationship.UNLIKELY
    taken: str = ""
    system: str = ""  # where the words are no term of the dictionary


AILMENTS = (
    Ailment("Upper respiratory infection", (4, 11), taken="Paracetamol"),
    Ailment("Common cold", (4, 11), relationship=Relationship.NOT_RELATED, system="Infections and infestations"),
    Ailment("Headache", (1, 3), taken="Paracetamol"),
    Ailment("Diarrhea", (1, 5)),
    Ailment("Cough", (5, 20)),
    Ailment("Fatigue", (7, 40)),
    Ailment("Insomnia", (10, 60), relationship=Relationship.NOT_RELATED),
    Ailment("Toothache", (2, 8), relationship=Relationship.NOT_RELATED, taken="Ibuprofen"),
    Ailment("Back pain", (4, 25), relationship=Relationship.NOT_RELATED, taken="Ibuprofen"),
    Ailment("Rash maculo-papular", (5, 20)),
    Ailment("Dizziness", (1, 6)),
    Ailment("Alanine aminotransferase increased", (20, 60)),
    Ailment("Hypertriglyceridemia", (60, 200), relationship=Relationship.NOT_RELATED),
    Ailment("Shingles", (10, 25), grades=(2,), relationship=Relationship.NOT_RELATED, taken="Aciclovir"),
)
# what is coded as what; of the late ones the codes still wait for approval, other words wait for a code
CODED_AS = {
    "Common cold": "Upper respiratory infection", "Chronic gastritis": "Gastritis", "Hyperlipidaemia": "Cholesterol high",
    "Herpes zoster": "Shingles", "Syphilis, treated": "Infections and infestations - Other, specify",
    "Prophylaxis of pneumocystis pneumonia": "Infections and infestations - Other, specify",
}  # fmt: skip
CODED_LATE = {"Renal calculus": "Renal calculi", "Depressive episode": "Depression"}
AFTER_ANYTHING = (
    Ailment("Headache", (0, 2), relationship=Relationship.POSSIBLE),
    Ailment("Fatigue", (1, 4), grades=(1,), relationship=Relationship.POSSIBLE),
)
AFTER_CELLS = (
    Ailment("Fever", (0, 1), relationship=Relationship.PROBABLE, taken="Paracetamol"),
    Ailment("Chills", (0, 0), grades=(1,), relationship=Relationship.PROBABLE),
    *AFTER_ANYTHING,
)

# --- the trial played through ------------------------------------------------------------------------

# what becomes of a patient, by the place in each thirteen; of the others nothing special is told
FATES = {
    1: "signs again",
    2: "withdraws",
    3: "has few platelets",
    4: "misses a visit",
    5: "falls seriously ill",
    6: "is overdue",
    7: "has a severe event",
    8: "has begun a visit",
    9: "is not reported",
    10: "is due",
    11: "comes a day late",
    12: "fell ill yesterday",
    13: "becomes anaemic",
}
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
NOT_DONE = (
    "The tube had clotted",
    "The analyser was out of order",
    "The patient had to leave early",
    "The sample was lost on the way to the laboratory",
)


@dataclass
class Story:
    """One patient as the demo means them to be. `kind`: enters, fails, is in screening, waits."""

    name: str
    kind: str
    site: Site
    sex: str
    day_0: date
    body: course.Body
    fate: str = ""
    screened_on: date | None = None
    patient: Patient | None = None
    has_ended: bool = False

    def lot(self, *about):
        return chance(self.name, *about)


def play_trial(*, people, sites, patients=13, seed=1, tell=None):
    """Play a trial of so many randomised patients up to this morning, and ask for the DSMB report.

    `people` are trialsite.demo.People; `tell(percent, words)` hears how far it is."""
    play = Play(people, sites, patients, seed, tell)
    play.run()
    return play


class Play:
    def __init__(self, people, sites, patients, seed, tell=None):
        self.people, self.sites, self.number, self.seed = people, sites, patients, seed
        self.tell = tell or (lambda percent, words: None)
        self.protocol = trial.current_protocol()
        self.today = today_at(sites[0])
        self.agenda = Agenda()
        self.first_reaction = self.first_halt = self.first_severe = None
        self.judged = 0
        self.has_rejected = False
        after_day_0 = self.protocol.visits_after_day_0
        self.length = max(visit.day for visit in after_day_0)
        self.planned = {visit.code: visit for visit in after_day_0}
        # the endpoints and the weight stay right, or the figures would show the slips
        self.never_mistyped = {
            rule.test for c in self.protocol.eligibility.inclusion if c.rule for rule in c.rule.leaves()
        }
        if self.protocol.infusions:
            self.never_mistyped.add(self.protocol.infusions.weight_test)
        self.first_screening_day = self.protocol.screening_visits[0].day if self.protocol.screening_visits else -14
        self.stories = self.enrolled() + self.passing_by()

    def team(self, story):
        return [self.people.who(role, story.site) for role in (Role.COORDINATOR, Role.INVESTIGATOR, Role.PHARMACIST)]

    # --- who comes, and when

    def enrolled(self):
        """The patients who are randomised: the first almost one and a half follow-ups ago, the last four days ago."""
        longest, latest = round(1.45 * self.length), 4
        stories = []
        for i in range(self.number):
            place = i / max(self.number - 1, 1)
            days = round(longest - (longest - latest) * place)
            fate = FATES.get(i % 13 if self.number > 13 else round(12 * place), "")
            story = self.story(f"enters {i}", "enters", i, self.today - timedelta(days=self.fitting(fate, days)))
            story.fate = fate
            stories.append(story)
        return stories

    def fitting(self, fate, days):
        """Days since day 0, moved so that the nearest visit is due, overdue or begun just now."""
        wide = [visit for visit in self.planned.values() if visit.before > 2 and visit.after > 2 and not visit.infusion]
        if not wide or fate not in ("is due", "is overdue", "has begun a visit"):
            return days
        visit = min(wide, key=lambda visit: abs(visit.day - days))
        return {
            "is due": visit.day - 2,
            "is overdue": visit.day + visit.after + 6,
            "has begun a visit": visit.day + 1,
        }[fate]

    def passing_by(self):
        """A screen failure for six patients, one patient amid screening, one who waits for randomisation."""
        failures = max(1, self.number // 6)
        stories = []
        for i in range(failures):
            days = round(1.3 * self.length * (i + 0.5) / failures)
            story = self.story(f"fails {i}", "fails", i + 1, self.today - timedelta(days=days))
            story.body.fixed |= self.reason_to_fail(story, i)
            stories.append(story)
        in_screening = self.story(
            "in screening", "is in screening", 0, self.today - timedelta(days=3 + self.first_screening_day)
        )
        waits = self.story("waits", "waits", len(self.sites) - 1, self.today + timedelta(days=1))
        return [*stories, in_screening, waits]

    def story(self, name, kind, place, day_0):
        name = f"{self.seed}/{name}"
        lot = chance(name)
        sex = Sex.MALE if lot.random() < 0.6 else Sex.FEMALE
        body = course.Body(name, sex)
        site = self.sites[place % len(self.sites)]
        return Story(name, kind, site, sex, day_0, body, screened_on=day_0 + timedelta(days=self.first_screening_day))

    def reason_to_fail(self, story, place):
        """Results that contradict an inclusion criterion which asks for a number at most."""
        rules = [c.rule for c in self.protocol.eligibility.inclusion if c.rule and c.rule.test and c.rule.at_most]
        if not rules:
            return {}
        rule = rules[place % len(rules)]
        test = self.protocol.test(rule.test)
        value = float(rule.at_most) * story.lot("fails").uniform(1.15, 1.8)
        return {rule.test: f"{min(value, float(test.possible[1])):.{test.decimals}f}"}

    # --- what is known beforehand

    def strata(self):
        """How many patients will be randomised in each stratum: {stratum: patients}, {} when that cannot be told."""
        counts = {}
        for story in self.stories:
            if story.kind != "enters":
                continue
            results = {}
            for factor in self.protocol.allocation.strata:
                if factor.by == "test":
                    results[factor.test] = self.last_screening_value(story, factor.test)
            try:
                stratum = stratum_of(self.protocol, site=story.site.code, sex=story.sex, results=results)
            except NoStratum:
                return {}
            counts[stratum] = counts.get(stratum, 0) + 1
        return counts

    def last_screening_value(self, story, test):
        asked = [
            visit.code
            for visit in self.protocol.screening_visits
            for panel in self.protocol.panels_of(visit.code, story.sex)
            if test in panel.tests
        ]
        number = read_number(story.body.typed(self.protocol.test(test), -1, asked[-1])) if asked else None
        return number[1] if number else None

    # --- the run

    def run(self):
        begin = min(story.screened_on for story in self.stories) - timedelta(days=30)
        first_form = min(form.dated for form in self.protocol.consent_forms)
        if begin < first_form:
            raise Refused(f"The first consent form is dated {first_form}; a demo of this protocol begins on {begin}.")
        self.stock_pharmacies(begin)
        statistician = self.people.who(Role.STATISTICIAN)
        self.on(self.sites[0], begin, "11:00", entry.make_list, by=statistician, seed=self.seed, strata=self.strata())
        self.keep_ranges(begin)
        for story in self.stories:
            self.on(story.site, story.screened_on, "10:00", self.screen, story=story)
        self.plan_meetings(begin)
        self.plan_coding(begin)
        self.plan_cases()
        self.on(self.sites[0], self.today - timedelta(days=1), "23:00", self.decide_on_what_is_open)
        whole = (self.today - begin).days
        with kept_in_the_outbox():
            self.agenda.run(
                at(self.sites[0], self.today, "00:00"),
                lambda now: self.tell(min(100 * (now.date() - begin).days // whole, 99), f"{now:%Y-%m}"),
            )
            request_dsmb_report(cutoff=self.today - timedelta(days=31), by=statistician)
            self.correct_an_event()
            request_dsmb_report(cutoff=self.today - timedelta(days=1), by=statistician)
        self.tell(100, f"{Patient.objects.count()} patients")

    def correct_an_event(self):
        """Between the reports, so that the second one tells of it."""
        known = AdverseEvent.objects.filter(
            grade=1, is_withdrawn=False, patient__state=State.RANDOMISED, began_on__lt=self.today - timedelta(days=40)
        )
        if event := known.order_by("patient__number", "sequence").first():
            actions.change_adverse_event(
                event=event, values={"grade": 2}, version=event.version,
                reason="The source says that medication was needed: grade 2",
                by=self.people.who(Role.INVESTIGATOR, event.patient.site),
            )  # fmt: skip

    def on(self, site, day, clock, step, /, **arguments):
        self.agenda.add(at(site, day, clock), step, **arguments)

    def keep_ranges(self, begin):
        """A laboratory at each site; every second one reports some tests in another unit. The first changes its
        ranges in the middle of the trial."""
        keeper = self.people.who(Role.DATA_MANAGER)
        for place, site in enumerate(self.sites):
            self.on(
                site, begin, "09:30", course.make_laboratory, site=site, protocol=self.protocol, on=begin, by=keeper,
                other_units=("HGB", "CREAT") if place % 2 else (),
            )  # fmt: skip
        middle = begin + (self.today - begin) / 2
        self.on(self.sites[0], middle, "09:30", self.change_ranges, on=middle, by=keeper)

    def change_ranges(self, *, on, by):
        laboratory = Laboratory.objects.get(site=self.sites[0])
        course.change_ranges(laboratory=laboratory, tests=("ALT", "AST", "PLAT"), on=on, by=by)

    def stock_pharmacies(self, begin):
        """Every few weeks a lot of each product at each site, released after its tests; the latest in quarantine."""
        every = max(45, (self.today - begin).days // 8)
        for site in self.sites:
            pharmacist = self.people.who(Role.PHARMACIST, site)
            for product in self.protocol.products:
                days = [begin + timedelta(days=d) for d in range(0, (self.today - begin).days - 20, every)]
                for place, day in enumerate([*days, self.today - timedelta(days=2)]):
                    self.on(
                        site, day, "09:00", self.stock, site=site, product=product, by=pharmacist, days=2 * every + 30,
                        is_bad=place == 2 and product.is_cell_product,
                    )  # fmt: skip

    def stock(self, *, site, product, by, days, is_bad):
        today = today_at(site)
        lot = course.receive_lot(site=site, product=product, by=by, days=days)
        ready = today + timedelta(days=6)
        self.on(site, ready, "09:00", course.judge_lot, lot=lot, protocol=self.protocol, by=by, is_bad=is_bad)
        if is_bad:  # another one takes its place
            self.on(
                site, today + timedelta(days=7), "09:00", self.stock, site=site, product=product, by=by, days=days,
                is_bad=False,
            )  # fmt: skip

    # --- one patient

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
        shift = timedelta(days=1 if story.fate == "comes a day late" else 0)
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
            if story.fate in ("is due", "has begun a visit") and -8 < (planned - self.today).days < 8:
                day = planned
            if visit is missed:
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
        panels = None
        if story.fate == "has begun a visit" and today == self.today - timedelta(days=1):
            panels = [panel.code for panel in self.protocol.panels_of(code, story.sex)][:2]
        self.let_results_be_bad(story, visit)
        course.enter_visit(
            patient=story.patient, code=code, by=coordinator, on=today, body=story.body, panels=panels,
            not_done=self.what_is_not_done(story, visit),
            slips=self.what_is_mistyped(story, visit),
        )  # fmt: skip
        if visit.infusion:
            self.infuse(story, visit, investigator, pharmacist)
        story.patient = entry.fresh(story.patient)
        self.look_at_queries(story)
        self.plan_checks(story, code)
        if code == [*self.planned][-1] and panels is None:
            entry.end_participation(patient=story.patient, by=investigator, on=today)
            story.has_ended = True

    def what_is_not_done(self, story, visit):
        """One panel in sixty, never one that an infusion waits for."""
        if visit.infusion or story.fate == "has begun a visit":
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
        """A graded result that proposes an adverse event, at the first visit of the follow-up: as low as is plausible."""
        row = {"has few platelets": "platelets_low", "is not reported": f"haemoglobin_low_{'fe' * (story.sex == 'F')}male"}
        follow_ups = [one for one in self.planned.values() if one.phase == "follow_up"]
        for test in self.protocol.tests if visit in follow_ups[:1] else ():
            if row.get(story.fate) in test.grade_rows and test.plausible:
                story.body.will_be(test.code, visit.code, float(test.plausible[0]))

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
        for term, _, grade in reactions:
            self.on(
                story.site, today, "17:40", self.report, story=story, began_on=today, infusion_number=number,
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
        )  # fmt: skip

    def decide_on_what_is_open(self):
        """The board's last meeting: whatever is held for one patient goes on."""
        for halt in Halt.objects.open().exclude(patient=None):
            self.decide(
                halt=halt, rationale="The patient has had all infusions; the rule for the trial is not met.",
                conditions="The patient is seen once a month until the event has ended.",
            )  # fmt: skip

    def decide(self, *, halt, rationale, conditions):
        """The board lets the halted go on."""
        member = self.people.who(Role.DSMB_MEMBER)
        recommendation = actions.record_recommendation(
            met_on=now().date(), decision=Decision.MODIFY, rationale=rationale, conditions=conditions, lifts=[halt],
            action_items=[("Tell all pharmacies of the lower rate", "Sponsor", None)], by=member,
        )  # fmt: skip
        actions.sign_recommendation(recommendation=recommendation, version=recommendation.version, by=member)
        self.notices_are_read()

    # --- what else happens

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

    def plan_ailments(self, story):
        """About every eighty days something happens, as it does to people."""
        lot, day = story.lot("ailments"), story.day_0
        while (day := day + timedelta(days=round(lot.expovariate(1 / 80)) + 3)) < story.day_0 + timedelta(
            days=self.length
        ):
            heard = day + timedelta(days=lot.randint(0, 9))
            self.on(story.site, heard, "11:20", self.report, story=story, began_on=day, ailment=lot.choice(AILMENTS))

    def report(self, *, story, ailment, began_on, infusion_number=None, **values):
        if story.has_ended:
            return
        lot, today, by = story.lot(ailment.term, began_on), today_at(story.site), self.team(story)[1]
        relationship = ailment.relationship
        if infusion_number is None and relationship == Relationship.UNLIKELY and lot.random() < 0.2:
            started = list(Infusion.objects.filter(patient=story.patient, started_at__date__lte=began_on))
            if started:  # somebody thinks that it could be
                relationship, infusion_number = Relationship.POSSIBLE, max(i.number for i in started)
        if ailment.taken:
            entry.add_medication(
                patient=story.patient, treatment=ailment.taken, indication=ailment.term,
                started_on=began_on.isoformat(),
                ended_on=(began_on + timedelta(days=min(2, (today - began_on).days))).isoformat(), by=by,
            )  # fmt: skip
        days = lot.randint(*ailment.days)
        event = report_event(
            patient=story.patient, by=by, term=ailment.term, on=began_on, days=days, grade=lot.choice(ailment.grades),
            aware_on=today, relationship=relationship, infusion_number=infusion_number,
            **{"action_taken": ActionTaken.NOT_APPLICABLE, "body_system": ailment.system, **values},
        )  # fmt: skip
        self.follow_up(story, event, began_on + timedelta(days=days))

    def follow_up(self, story, event, ends_on):
        """An event that goes on is ended by a later change, when the patient tells."""
        if event.is_ongoing:
            self.on(
                story.site, ends_on + timedelta(days=3), "12:10", self.tell_end, story=story, event=event, on=ends_on
            )

    def tell_end(self, *, story, event, on):
        if not story.has_ended:
            end_event(event=AdverseEvent.objects.get(pk=event.pk), on=on, by=self.team(story)[1])

    def fall_ill(self, *, story):
        """A serious event, and an unscheduled visit with bloods for it."""
        if story.has_ended:
            return
        coordinator, investigator, _ = self.team(story)
        today = today_at(story.site)
        event = report_serious_event(
            patient=story.patient, by=investigator, on=today - timedelta(days=1), aware_on=today
        )
        drawn = [panel.code for panel in self.protocol.panels if panel.only_for_sex is None][2:4]
        visit = add_unscheduled_visit(
            patient=story.patient, on=today, panels=drawn or [self.protocol.panels[0].code], by=coordinator
        )
        course.enter_visit(patient=story.patient, code=visit.code, by=coordinator, on=today, body=story.body)
        self.follow_up(story, event, today + timedelta(days=12))
        self.notices_are_read()
        self.on(story.site, today, "19:10", self.report_to_sponsor, story=story, event=event)
        if self.protocol.is_masked:
            unmask_patient(
                patient=story.patient, category=WhyUnmasked.MEDICAL_EMERGENCY, by=investigator,
                explanation="Pneumonia; the treatment depends on whether cells were infused.",
            )  # fmt: skip
            self.notices_are_read()

    def notices_are_read(self):
        """The notices of a day in the past are not sent today."""
        Email.objects.filter(sent_at=None).update(sent_at=now(), attempts=1)
        OutboxMessage.objects.filter(task="trialsite.tasks.send_email", done_at=None).update(done_at=now())

    # --- what becomes of a serious event: reported, judged, sent on; the last two are not that far

    def report_to_sponsor(self, *, story, event):
        coordinator, investigator, _ = self.team(story)
        version = actions.report_case(case=event.case, version=None, by=investigator)
        self.send_case(event.case, version, "ETHICS", "EC 2026-118", by=coordinator)
        self.on(
            story.site, today_at(story.site) + timedelta(days=1), "10:20", self.judge_case, story=story, event=event
        )

    def judge_case(self, *, story, event):
        officer = self.people.who(Role.SAFETY_OFFICER)
        actions.judge_case(
            case=event.case, causality=Causality.SUSPECTED, expectedness=Expectedness.UNEXPECTED, version=None, by=officer,
            comment="A common infection at this CD4 count; that the cells played a part cannot be excluded.",
        )  # fmt: skip
        version = actions.make_case_version(
            case=event.case, summary="The sponsor's judgement", version=None, by=officer
        )
        sent = self.send_case(event.case, version, "AUTHORITY_15", "CDE-SUSAR-0042", by=officer)
        if sent:
            actions.acknowledge_submission(
                submission=sent, acknowledged_at=now(), acknowledgement="Received, no questions", version=None, by=officer
            )  # fmt: skip

    def send_case(self, case, version, duty, reference, by):
        if any(duty == each.code for each in self.protocol.safety_reporting):
            return actions.record_submission(
                case=case, case_version=version, duty=duty, stage="first", sent_at=now(), reference=reference,
                version=None, by=by,
            )  # fmt: skip

    def plan_cases(self):
        """One serious event that nobody has reported for three days, and one of yesterday evening."""
        for fate, days, clock in (("is not reported", 3, "16:00"), ("fell ill yesterday", 1, "21:00")):
            ill = [story for story in self.stories if story.fate == fate]
            if ill and self.protocol.safety_reporting:
                self.on(ill[-1].site, self.today - timedelta(days=days), clock, self.be_admitted, story=ill[-1])

    def be_admitted(self, *, story):
        if story.has_ended or story.patient is None or story.patient.state != State.RANDOMISED:
            return
        report_serious_event(
            patient=story.patient, by=self.team(story)[1], term="Appendicitis", aware_at=now() - timedelta(minutes=20),
            on=today_at(story.site), other_action="Admitted for surgery", narrative="Admitted in the evening with pain of "
            "the lower right abdomen. Ultrasound: appendicitis. Operated on the same night.",
        )  # fmt: skip
        self.notices_are_read()

    def have_severe_event(self, *, story):
        if story.has_ended:
            return
        today, investigator = today_at(story.site), self.team(story)[1]
        event = report_event(
            patient=story.patient, by=investigator, term="Hypertriglyceridemia", on=today, days=None, grade=3,
            relationship=Relationship.NOT_RELATED, other_action="Fenofibrate begun",
            narrative="Fasting triglycerides 9.4 mmol/L, raised since the change of the antiretroviral treatment.",
        )  # fmt: skip
        self.follow_up(story, event, today + timedelta(days=75))

    def have_related_event(self, *, story, number):
        """A severe event that may be related: the stopping rules count it, and what they halt waits for the board."""
        if story.has_ended:
            return
        today, investigator = today_at(story.site), self.team(story)[1]
        event = report_event(
            patient=story.patient, by=investigator, term="Alanine aminotransferase increased", on=today, days=None, grade=3,
            relationship=Relationship.POSSIBLE, infusion_number=number,
            narrative="ALT 6.2 times the upper limit, no symptoms, bilirubin normal. No new medication.",
        )  # fmt: skip
        self.follow_up(story, event, today + timedelta(days=40))
        self.notices_are_read()
        for halt in Halt.objects.open().filter(patient=story.patient):
            self.on(
                story.site, today + timedelta(days=7), "16:00", self.decide, halt=halt,
                rationale="One patient of those treated with cells; the rule for the trial is not met.",
                conditions="ALT twice in the four weeks after each infusion.",
            )  # fmt: skip

    # --- deviations

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
            if one.measurement.grade < 3 and one.patient.is_open:
                actions.decline_result(measurement=one.measurement, reason=NO_EVENT, by=investigator)
        present = Patient.objects.filter(site=site, state=State.RANDOMISED).order_by("-number").first()
        if place % 3 == 1 and present:
            category, description, action = BY_HAND[place // 3 % len(BY_HAND)]
            record_deviation(
                patient=present, by=self.people.who(Role.COORDINATOR, site), on=today - timedelta(days=1),
                category=category.value, description=description, corrective_action=action,
                corrected_on=today if action and place < 6 else None,
            )  # fmt: skip

    # --- coding

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

    # --- marks

    def plan_checks(self, story, code):
        """The monitor comes after four weeks, the investigator signs after five, the data manager follows. Some visits
        are locked then; in a few a panel that was signed is corrected, which makes the signature void."""
        today, lot = today_at(story.site), story.lot(code, "checks")
        if lot.random() < 0.3:
            return
        for days, who, step in (
            (28, self.people.who(Role.MONITOR), course.verify),
            (35, self.team(story)[1], course.sign),
            (42, self.people.who(Role.DATA_MANAGER), course.review),
        ):
            self.on(story.site, today + timedelta(days=days), "15:20", step, patient=story.patient, code=code, by=who)
        if lot.random() < 0.25:
            self.on(
                story.site, today + timedelta(days=60), "16:10", course.lock, patient=story.patient, code=code,
                by=self.people.who(Role.DATA_MANAGER),
            )  # fmt: skip
        if lot.random() < 0.12:
            self.on(story.site, today + timedelta(days=50), "11:40", self.correct, story=story, code=code)

    def correct(self, *, story, code):
        course.correct(patient=story.patient, code=code, by=self.team(story)[0])

    # --- queries

    def look_at_queries(self, story):
        """What the checks have asked is answered, mended or left; the data manager closes; the monitor asks as well."""
        site, today = story.site, today_at(story.site)
        for query in course.open_queries(story.patient):
            lot = story.lot("query", today, query.text)
            if query.raised_at.date() < (today - timedelta(days=1)):
                continue
            how, is_long_ago = lot.random(), (self.today - today).days > 45
            if how < 0.7 or is_long_ago:
                day = today + timedelta(days=lot.randint(2, 18))
                self.on(site, day, "13:30", self.answer_query, story=story, pk=query.pk, mend=how < 0.35)
        if story.lot("monitor", today).random() < 0.08:
            panel = PanelRecord.objects.filter(patient=story.patient, state=PanelState.ENTERED).last()
            query = course.ask(panel=panel, by=self.people.who(Role.MONITOR))
            self.on(site, today + timedelta(days=9), "13:30", self.answer_query, story=story, pk=query.pk)

    def answer_query(self, *, story, pk, mend=False):
        coordinator = self.team(story)[0]
        query = course.Query.objects.select_related("panel__visit", "patient__site").get(pk=pk)
        if query.state != course.QueryState.OPEN:
            return
        if mend and query.panel_id and query.test and query.check_code == "implausible":
            course.mend_slip(query=query, body=story.body, by=coordinator)
            return
        text = (
            "Compared with the source and settled with the investigator; all entries agree."
            if not query.check_code
            else None
        )
        course.answer(query=query, by=coordinator, text=text)
        later = today_at(story.site) + timedelta(days=story.lot("close", query.text).randint(2, 25))
        self.on(story.site, later, "10:00", self.close_query, pk=pk)

    def close_query(self, *, pk):
        query = course.Query.objects.get(pk=pk)
        if query.state == course.QueryState.ANSWERED:
            course.close(query=query, by=self.people.who(Role.DATA_MANAGER))
