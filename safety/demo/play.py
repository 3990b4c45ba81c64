"""The whole trial played.

`play_trial` is the only place that says who comes when and what happens to them: patients enter one after another over
more than the length of the follow-up, so that today some have completed, most are on their way and a few wait at each
door. Fates, by the place in each thirteen, see that every page has something to show. Each part of `Play` puts its own
steps on one agenda."""

from datetime import timedelta

from patients import demo as entry
from patients.models import Patient
from safety.actions.reports import request_dsmb_report
from safety.demo.cast import Cast
from safety.demo.checking import Checking
from safety.demo.course import Course
from safety.demo.illness import Illness
from safety.demo.judgement import Judgement
from safety.demo.meeting import Meeting
from safety.demo.supplies import Supplies
from trialsite import trial
from trialsite.clock import today_at
from trialsite.demo import Agenda, at, kept_in_the_outbox
from trialsite.roles import Role
from trialsite.saving import Refused


def play_trial(*, people, sites, patients=13, seed=1, tell=None):
    """Play a trial of so many randomised patients up to this morning. The board has met on a DSMB report, and the next one is
    asked for.

    `people` are trialsite.demo.People; `tell(percent, words)` hears how far it is."""
    play = Play(people, sites, patients, seed, tell)
    play.run()
    return play


class Play(Cast, Supplies, Course, Illness, Judgement, Meeting, Checking):
    def __init__(self, people, sites, patients, seed, tell=None):
        self.people, self.sites, self.number, self.seed = people, sites, patients, seed
        self.tell = tell or (lambda percent, words: None)
        self.protocol = trial.current_protocol()
        self.today = today_at(sites[0])
        self.agenda = Agenda()
        self.first_reaction = self.first_halt = self.first_severe = self.unreported = None
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

    def run(self):
        begin = min(story.screened_on for story in self.stories) - timedelta(days=30)
        first_form = min(form.dated for form in self.protocol.consent_forms)
        if begin < first_form:
            raise Refused(f"The first consent form is dated {first_form}; a demo of this protocol begins on {begin}.")
        self.release_versions(begin)
        self.stock_pharmacies(begin)
        statistician = self.people.who(Role.STATISTICIAN)
        self.on(self.sites[0], begin, "11:00", entry.make_list, by=statistician, seed=self.seed, strata=self.strata())
        self.keep_ranges(begin)
        for story in self.stories:
            self.on(story.site, story.screened_on, "10:00", self.screen, story=story)
        self.plan_meetings(begin)
        self.plan_coding(begin)
        self.plan_cases()
        whole = (self.today - begin).days
        with kept_in_the_outbox():
            self.agenda.run(
                at(self.sites[0], self.today, "00:00"),
                lambda now: self.tell(min(100 * (now.date() - begin).days // whole, 99), f"{now:%Y-%m}"),
            )
            self.meet_on(self.make_report(cutoff=self.today - timedelta(days=31)))
            self.correct_an_event()
            request_dsmb_report(cutoff=self.today - timedelta(days=1), by=statistician)
        self.tell(100, f"{Patient.objects.count()} patients")

    def on(self, site, day, clock, step, /, **arguments):
        self.agenda.add(at(site, day, clock), step, **arguments)
