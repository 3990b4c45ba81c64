"""What happens to the patients of the demonstration."""

from dataclasses import dataclass
from datetime import timedelta

from django.utils.timezone import now

from patients import demo as entry
from patients.actions import unmask_patient
from patients.models import Halt, Patient, State, WhyUnmasked
from safety import actions
from safety.abnormal_results import proposal_of, unjudged_results
from safety.cases import goes_to_authority
from safety.demo.steps import end_event, report_event, report_serious_event
from safety.models import ActionTaken, AdverseEvent, Causality, CopyPurpose, Expectedness, Relationship
from trialsite.clock import today_at
from trialsite.models import Email, OutboxMessage
from trialsite.roles import Role
from visits import demo as course
from visits.actions import add_unscheduled_visit
from visits.models import Infusion, Measurement


@dataclass(frozen=True)
class Ailment:
    """What happens to people: a term of CTCAE, its usual days, and what is taken for it."""

    term: str
    days: tuple[int, int]
    grades: tuple[int, ...] = (1, 1, 1, 2)
    relationship: str = Relationship.UNLIKELY
    taken: str = ""
    system: str = ""  # where the words are no term of the dictionary
    row: str = ""  # of the scale: nobody feels it, a result shows it


ALT_ROW = "alt_high"
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
    Ailment("Alanine aminotransferase increased", (20, 60), row=ALT_ROW),
    Ailment("Hypertriglyceridemia", (60, 200), relationship=Relationship.NOT_RELATED),
    Ailment("Shingles", (10, 25), grades=(2,), relationship=Relationship.NOT_RELATED, taken="Aciclovir"),
)
AFTER_ANYTHING = (
    Ailment("Headache", (0, 2), relationship=Relationship.POSSIBLE),
    Ailment("Fatigue", (1, 4), grades=(1,), relationship=Relationship.POSSIBLE),
)
AFTER_CELLS = (
    Ailment("Fever", (0, 1), relationship=Relationship.PROBABLE, taken="Paracetamol"),
    Ailment("Chills", (0, 0), grades=(1,), relationship=Relationship.PROBABLE),
    *AFTER_ANYTHING,
)


class Illness:
    """What happens to people, and what becomes of it."""

    def plan_ailments(self, story):
        """About every eighty days something happens, as it does to people."""
        lot, day = story.lot("ailments"), story.day_0
        while (day := day + timedelta(days=round(lot.expovariate(1 / 80)) + 3)) < story.day_0 + timedelta(
            days=self.length
        ):
            heard = day + timedelta(days=lot.randint(0, 9))
            self.on(story.site, heard, "11:20", self.report, story=story, began_on=day, ailment=lot.choice(AILMENTS))

    def report(self, *, story, ailment, began_on, infusion_number=None, reaction=None, **values):
        if story.has_ended:
            return
        if self.test_of(ailment.row):
            story.unseen.append(ailment)
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
            seen=reaction if reaction and proposal_of(reaction) else None,
            **{"action_taken": ActionTaken.NOT_APPLICABLE, "body_system": ailment.system, **values},
            **({"aware_at": reaction.began_at} if reaction else {}),
        )  # fmt: skip
        self.follow_up(story, event, began_on + timedelta(days=days))

    def test_of(self, row):
        """The test that a row of the scale grades and that has an upper limit, None where the protocol measures none."""
        return next((test for test in self.protocol.tests if row in test.grade_rows and test.reference), None)

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
        self.plan_judging(story, visit.code)
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
        if goes_to_authority(event.case):  # in a masked trial, with the product named
            actions.ask_for_authority_copy(case_version=version, purpose=CopyPurpose.REPORT, by=officer)
            actions.make_authority_copy(
                case_version=version, purpose=CopyPurpose.REPORT, by=self.people.who(Role.STATISTICIAN)
            )
            self.notices_are_read()
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
        result = self.control_liver(story)
        times = f"{result.value / result.reported_high:.1f}" if result else "6.2"
        event = report_event(
            patient=story.patient, by=investigator, term="Alanine aminotransferase increased", on=today, days=None, grade=3,
            relationship=Relationship.POSSIBLE, infusion_number=number,
            narrative=f"ALT {times} times the upper limit, no symptoms, bilirubin normal. No new medication.",
            seen=result if result and proposal_of(result) else None,
        )  # fmt: skip
        for one in unjudged_results(Patient.objects.filter(pk=story.patient.pk)):
            if result and one.visit == result.panel.visit and one.grade <= event.grade:  # as AST, which rises with ALT
                actions.add_result_to_event(seen=one.seen, event=event, by=investigator)
        self.follow_up(story, event, today + timedelta(days=40))
        self.notices_are_read()
        for halt in Halt.objects.open().filter(patient=story.patient):
            self.on(
                story.site, today + timedelta(days=7), "16:00", self.decide, halt=halt,
                rationale="One patient of those treated with cells; the rule for the trial is not met.",
                conditions="ALT twice in the four weeks after each infusion.",
                asks="Write the two controls of ALT into the site manual", answer="Site manual, version 3, sent to all sites",
            )  # fmt: skip

    def control_liver(self, story):
        """An unscheduled visit at which ALT is found to be 6.2 times the upper limit. Gives the result, None where the
        protocol does not measure it."""
        test = self.test_of(ALT_ROW)
        panels = [p.code for p in self.protocol.panels if test and test.code in p.tests][:1]
        if not panels:
            return None
        coordinator, today = self.team(story)[0], today_at(story.site)
        visit = add_unscheduled_visit(patient=story.patient, on=today, panels=panels, by=coordinator)
        high = 6.2 * course.usual_range(test, story.sex)[1]
        story.body.will_be(test.code, visit.code, high)
        course.enter_visit(
            patient=story.patient, code=visit.code, by=coordinator, on=today, body=story.body,
            found={test.code: f"{high:.{test.decimals}f}"},
        )  # fmt: skip
        return Measurement.objects.get(panel__visit=visit, test=test.code)

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
