"""What the safety board of the demonstration reads, recommends and asks for."""

from datetime import timedelta

from django.utils.timezone import now

from patients.models import Halt
from safety import actions
from safety.models import ActionItem, Decision, DsmbReport, Part
from safety.tasks import make_dsmb_report
from trialsite import trial
from trialsite.clock import today_at
from trialsite.models import JobState, OutboxMessage
from trialsite.roles import Role


class Meeting:
    """The decisions between the reports, and the one meeting on a report."""

    def decide(self, *, halt, rationale, conditions, asks, answer=""):
        """The board lets the halted go on and asks for something, which the sponsor answers after ten days."""
        member = self.people.who(Role.DSMB_MEMBER)
        recommendation = actions.record_recommendation(
            met_on=now().date(), decision=Decision.MODIFY, rationale=rationale, conditions=conditions, lifts=[halt],
            action_items=[(asks, "Sponsor", now().date() + timedelta(days=30))], by=member,
        )  # fmt: skip
        self.sign(recommendation)
        if answer:
            later = today_at(self.sites[0]) + timedelta(days=10)
            self.on(self.sites[0], later, "11:30", self.answer_board, recommendation=recommendation, answer=answer)

    def answer_board(self, *, recommendation, answer):
        for item in ActionItem.objects.filter(recommendation=recommendation, resolved_at=None):
            actions.resolve_action_item(
                item=item, resolution=answer, version=item.version, by=self.people.who(Role.SAFETY_OFFICER)
            )

    def make_report(self, *, cutoff):
        """A report, made here and now by the worker's own job, so that there is one to read at once."""
        report = actions.request_dsmb_report(cutoff=cutoff, by=self.people.who(Role.STATISTICIAN))
        make_dsmb_report(report.pk, OutboxMessage.objects.get(arguments={"report_id": report.pk}).pk)
        return DsmbReport.objects.get(pk=report.pk)

    def meet_on(self, report):
        """The board is handed the report, one of its members reads it, and what it recommends is about it. Where no report
        can be made (no typesetter), it recommends without one."""
        if report.state != JobState.DONE:
            report = None
        else:
            actions.release_report(report=report, version=report.version, by=self.people.who(Role.STATISTICIAN))
            for part in Part:
                actions.confirm_reading(report=report, part=part, by=self.people.who(Role.DSMB_MEMBER))
        member, waiting = self.people.who(Role.DSMB_MEMBER), list(Halt.objects.open().exclude(patient=None))
        recommendation = actions.record_recommendation(
            met_on=now().date(), report=report, by=member, lifts=waiting,
            decision=Decision.MODIFY if waiting else Decision.CONTINUE,
            rationale="No rule for the trial is met. Events that may be related were passing, and their number is as expected.",
            conditions="The patient is seen once a month until the event has ended." if waiting else "",
            action_items=[("Show the course of ALT by infusion in the next report", "Statistician", None)],
        )  # fmt: skip
        self.sign(recommendation)

    def sign(self, recommendation):
        """As many members as the protocol asks for."""
        for member in self.people.all_who(Role.DSMB_MEMBER)[: trial.current_protocol().trial.board_signatures]:
            actions.sign_recommendation(recommendation=recommendation, version=recommendation.version, by=member)
        self.notices_are_read()
