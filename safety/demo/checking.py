"""What monitor, data manager and investigator of the demonstration check."""

from datetime import timedelta

from trialsite.clock import today_at
from trialsite.roles import Role
from visits import demo as course
from visits.models import PanelRecord, PanelState, Query, QueryState


class Checking:
    """Marks and queries."""

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
            self.monitor_asks(story=story, answered_on=today + timedelta(days=9))

    def monitor_asks(self, *, story, answered_on):
        panel = PanelRecord.objects.filter(patient=story.patient, state=PanelState.ENTERED).last()
        query = course.ask(panel=panel, by=self.people.who(Role.MONITOR))
        self.on(story.site, answered_on, "13:30", self.answer_query, story=story, pk=query.pk)

    def answer_query(self, *, story, pk, mend=False):
        coordinator = self.team(story)[0]
        query = Query.objects.select_related("panel__visit", "patient__site").get(pk=pk)
        if query.state != QueryState.OPEN:
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
        query = Query.objects.get(pk=pk)
        if query.state == QueryState.ANSWERED:
            course.close(query=query, by=self.people.who(Role.DATA_MANAGER))
