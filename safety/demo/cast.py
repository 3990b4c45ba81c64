"""The patients of the demonstration: who comes when, and what is to become of them."""

from dataclasses import dataclass, field
from datetime import date, timedelta

from patients.models import Patient, Sex
from patients.randomisation import NoStratum, stratum_of
from trialsite.demo import chance
from trialsite.models import Site
from trialsite.roles import Role
from visits import demo as course
from visits.results import read_number

# what becomes of a patient, by the place in each thirteen; of the others nothing special is told
FATES = {
    1: "signs again",
    2: "withdraws",
    3: "has few platelets",
    4: "misses a visit",
    5: "falls seriously ill",
    6: "is overdue",
    7: "has a severe event",
    8: "is due",
    9: "is not reported",
    10: "has an infusion today",
    11: "has a bag ready",
    12: "fell ill yesterday",
}
# who came yesterday to be examined for the infusion of today
INFUSED_TODAY = ("has an infusion today", "has a bag ready")
# whose bad result of the last visit nobody has judged yet
LATELY_ANAEMIC = "has an infusion today"
# days by which the first infusion, and all that follows, is later than planned
LATE = {"has a bag ready": 1}


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
    # ailments that only a result will show: at the next visit that measures it
    unseen: list = field(default_factory=list)

    def lot(self, *about):
        return chance(self.name, *about)


class Cast:
    """Who comes, and when; and what is known of them beforehand."""

    def team(self, story):
        return [self.people.who(role, story.site) for role in (Role.COORDINATOR, Role.INVESTIGATOR, Role.PHARMACIST)]

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
        """Days since day 0, moved so that the nearest visit is due or overdue just now, or the nearest infusion planned."""
        if fate in INFUSED_TODAY:
            infusions = [visit.day for visit in self.planned.values() if visit.infusion and visit.before]
            return min(infusions, key=lambda day: abs(day - days), default=days - LATE.get(fate, 0)) + LATE.get(fate, 0)
        wide = [visit for visit in self.planned.values() if visit.before > 2 and visit.after > 2 and not visit.infusion]
        if not wide or fate not in ("is due", "is overdue"):
            return days
        visit = min(wide, key=lambda visit: abs(visit.day - days))
        return {"is due": visit.day - 2, "is overdue": visit.day + visit.after + 6}[fate]

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
