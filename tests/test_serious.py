"""Serious cases: opened with the event, followed, judged, reported."""

from datetime import timedelta

import pytest
from django.utils import timezone

from patients import demo as patient_steps
from patients.models import Halt, Medication
from safety import actions
from safety.cases import clocks_of, digest_of, proposal_for, with_clocks
from safety.coding.rules import Kind
from safety.models import CaseFact, CaseVersion, DictionaryTerm, SeriousCase, SponsorAssessment, Submission
from safety.models.serious import told_part
from tests.dsmb_data import in_force
from trialsite import trial
from trialsite.audit import acting
from trialsite.clock import today_at
from trialsite.protocol import Protocol
from trialsite.saving import Refused, Stale
from visits import actions as visit_actions
from visits import demo as visit_steps
from visits.models import Measurement, Preparation, Query, QueryState

SERIOUS = {"is_serious": True, "is_hospitalisation": True, "grade": 3, "relationship": "possible", "infusion_number": 1}


@pytest.fixture(scope="module")
def patient(world):
    """One who has had the first infusion."""
    return world.infused()


def report(universe, patient, **changes):
    return universe.event(patient, **{**SERIOUS, **changes})


def case_of(event):
    return SeriousCase.objects.select_related("event", "patient__site").get(event=event)


def shown(case):
    """clock -> state, as the case stands now."""
    found = clocks_of(with_clocks(SeriousCase.objects.filter(pk=case.pk)).get())
    return {clock.key: clock.state.name for clock in found}


def judge(universe, case, causality="suspected", expectedness="unexpected", **more):
    values = {"comment": "Close in time.", "version": None, "by": universe.samuel, **more}
    return actions.judge_case(case=case, causality=causality, expectedness=expectedness, **values)


def change(universe, event, **values):
    return actions.change_adverse_event(event=event, values=values, version=None, reason="new facts", by=universe.chen)


# --- the case ------------------------------------------------------------------------------------------------


def test_a_serious_event_opens_its_case_and_starts_the_clocks(unchanged, patient):
    aware = timezone.now() - timedelta(hours=3)
    case = case_of(report(unchanged, patient, aware_at=aware))
    assert case.number == f"CN-UCMSC_INR-{case.pk:05d}"
    assert case.waits_for_judgement
    assert case.site_due_at == aware + timedelta(hours=24)
    assert shown(case) == {"SPONSOR.first": "DUE", "ETHICS.first": "DUE", "AUTHORITY_15.first": "DUE"}
    assert 14 < (case.sponsor_due_at - timezone.now()).days + 1 <= 16


def test_an_event_that_is_not_serious_opens_none_until_it_is(unchanged, patient):
    event = unchanged.event(patient, aware_at=timezone.now() - timedelta(hours=1))
    assert not SeriousCase.objects.filter(event=event).exists()
    change(unchanged, event, **SERIOUS)
    case = case_of(event)
    assert case.site_knew_at == case.opened_at, "the 24 hours count from when it was known to be serious"
    assert case.sponsor_knew_at == case.opened_at > event.reported_at, "and so does the sponsor's day 0"


def test_each_case_has_a_number_of_its_own(unchanged, patient):
    numbers = {case_of(report(unchanged, patient)).number for _ in range(3)}
    assert len(numbers) == 3


def test_an_event_that_is_no_longer_serious_keeps_its_case_and_shows_what_ended(unchanged, patient):
    event = report(unchanged, patient)
    change(unchanged, event, is_serious=False, is_hospitalisation=False)
    case = case_of(event)
    assert shown(case) == {"SPONSOR.first": "ENDED", "ETHICS.first": "ENDED", "AUTHORITY_15.first": "ENDED"}
    assert (case.site_due_at, case.sponsor_due_at) == (None, None)


def test_an_event_entered_in_error_ends_its_clocks(unchanged, patient):
    event = report(unchanged, patient)
    actions.withdraw_adverse_event(event=event, version=None, reason="other patient", by=unchanged.chen)
    case = case_of(event)
    assert set(shown(case).values()) == {"ENDED"} and not case.waits_for_judgement
    assert [fact.cause for fact in case.facts.all()] == ["opened", "event_withdrawn"]


def test_an_event_that_becomes_life_threatening_starts_the_seven_days(unchanged, patient):
    event = report(unchanged, patient)
    change(unchanged, event, is_life_threatening=True, grade=4)
    found = shown(case_of(event))
    assert found["AUTHORITY_7.first"] == found["AUTHORITY_7.complete"] == "DUE"
    assert found["AUTHORITY_15.first"] == "ENDED"


def test_what_changes_no_fact_is_not_noted(unchanged, patient):
    event = report(unchanged, patient)
    change(unchanged, event, narrative="More is known.")
    assert CaseFact.objects.filter(case__event=event).count() == 1


def test_before_any_infusion_nobody_suspects_the_product(unchanged):
    event = report(unchanged, unchanged.screened(), relationship="not_related", infusion_number=None)
    assert shown(case_of(event)) == {"SPONSOR.first": "DUE", "ETHICS.first": "DUE"}


# --- what comes later: codes, infusions --------------------------------------------------------------------------


def code(universe, event, term):
    """Code an event, by one person and approved by another."""
    words = actions.Words(Kind.ADVERSE_EVENT, event.pk, event.term)
    chosen = DictionaryTerm.objects.get(term=term)
    [coding] = actions.code_terms(words=[words], term=chosen, reason="as the dictionary has it", by=universe.david)
    [coding] = actions.approve_codings(seen=[(coding.pk, coding.version)], by=universe.samuel)
    return coding


def odd(universe, patient, **changes):
    return report(universe, patient, term="reaction to the drip", body_system="Immune system disorders", **changes)


def test_the_list_is_asked_for_the_code_in_force_and_the_clocks_follow_it(unchanged, patient):
    event = odd(unchanged, patient)
    assert "as reported: reaction to the drip" in str(proposal_for(event))
    assert shown(case_of(event))["AUTHORITY_15.first"] == "DUE"
    coding = code(unchanged, event, "Infusion related reaction")
    assert "as coded: Infusion related reaction (CTCAE 5.0)" in str(proposal_for(event))
    assert shown(case_of(event))["AUTHORITY_15.first"] == "ENDED"
    actions.reject_coding(coding=coding, version=None, reason="not that", by=unchanged.samuel)
    assert shown(case_of(event))["AUTHORITY_15.first"] == "DUE"
    assert [fact.cause for fact in case_of(event).facts.all()] == ["opened", "coded", "coded"]


def test_another_code_asks_for_another_judgement_and_leaves_the_one_that_was_made(unchanged, patient):
    event = odd(unchanged, patient)
    code(unchanged, event, "Infusion related reaction")
    made = judge(unchanged, case_of(event), "suspected", "expected")
    assert made.proposed == "expected" and "as coded: Infusion related reaction" in made.because_text
    code(unchanged, event, "Sepsis")
    case = case_of(event)
    assert case.waits_for_judgement and SponsorAssessment.objects.get(case=case).expectedness == "expected"
    assert shown(case)["AUTHORITY_15.first"] == "DUE", "no clock waits for the judgement"
    judge(unchanged, case, "suspected", "expected", reason="told in the new brochure")
    assert shown(case)["AUTHORITY_15.first"] == "ENDED"
    code(unchanged, event, "Stroke")
    case = case_of(event)
    assert case.waits_for_judgement and shown(case)["AUTHORITY_15.first"] == "ENDED", "no fact has changed"


def not_yet_infused(universe, days=3):
    return universe.randomised(day_0=today_at(universe.site) - timedelta(days=days))


def infuse(universe, patient):
    return visit_steps.give_infusion(patient=patient, by=universe.chen, pharmacist=universe.zhao)


def move(universe, infusion, days):
    """Correct an infusion to so many days later."""
    later = timedelta(days=days)
    preparation = infusion.preparation
    with acting(universe.chen, "as it was"):
        Preparation.objects.filter(pk=preparation.pk).update(prepared_at=preparation.prepared_at + later)
    return visit_actions.record_infusion(
        visit=infusion.visit, started_at=infusion.started_at + later, stopped_at=infusion.stopped_at + later,
        volume_ml=infusion.volume_ml, version=None, reason="another day", by=universe.chen,
    )  # fmt: skip


def test_an_infusion_that_is_entered_late_starts_the_clocks_of_an_earlier_event(unchanged):
    patient = not_yet_infused(unchanged)
    on = patient.day_0 + timedelta(days=1)
    event = report(unchanged, patient, began_on=on, relationship="not_related", infusion_number=None)
    judge(unchanged, case_of(event), "suspected")
    assert "AUTHORITY_15.first" not in shown(case_of(event))
    infuse(unchanged, patient)
    case = case_of(event)
    assert shown(case)["AUTHORITY_15.first"] == "DUE" and case.sponsor_due_at
    assert case.waits_for_judgement and case.facts.all()[1].cause == "infusion"


def test_a_corrected_infusion_is_looked_at_too_and_one_that_stays_asks_nothing(unchanged):
    patient = not_yet_infused(unchanged)
    infusion = infuse(unchanged, patient)
    event = report(unchanged, patient, began_on=patient.day_0 + timedelta(days=1))
    judge(unchanged, case_of(event))
    move(unchanged, infusion, 0)
    assert not case_of(event).waits_for_judgement
    move(unchanged, infusion, 2)
    case = case_of(event)
    assert case.waits_for_judgement and shown(case)["AUTHORITY_15.first"] == "ENDED"
    asked = Query.objects.get(record="safety.adverseevent", record_id=event.pk)
    assert (asked.check_code, asked.field) == ("event_before_infusion", "infusion_number")
    infusion.refresh_from_db()
    move(unchanged, infusion, -2)
    asked.refresh_from_db()
    assert asked.state == QueryState.CLOSED and shown(case)["AUTHORITY_15.first"] == "DUE"


def test_what_was_judged_days_after_one_infusion_waits_when_a_nearer_day_is_told(unchanged):
    patient = not_yet_infused(unchanged)
    infusion = infuse(unchanged, patient)
    event = report(unchanged, patient, began_on=patient.day_0 + timedelta(days=2))
    judge(unchanged, case_of(event))
    move(unchanged, infusion, 1)
    case = case_of(event)
    assert case.waits_for_judgement and case.facts.count() == 1, "the clocks run as they did"


# --- the sponsor judges --------------------------------------------------------------------------------------


@pytest.mark.requirement("R14")
def test_the_sponsor_judges_beside_the_investigator_and_changes_no_event(unchanged, patient):
    event = report(unchanged, patient, relationship="not_related", infusion_number=None)
    stored = {field.attname: getattr(event, field.attname) for field in event._meta.concrete_fields}
    case = case_of(event)
    judge(unchanged, case, "excluded")
    event.refresh_from_db()
    assert {field.attname: getattr(event, field.attname) for field in event._meta.concrete_fields} == stored
    case.refresh_from_db()
    assert not case.waits_for_judgement and case.sponsor_due_at is None
    assert shown(case)["AUTHORITY_15.first"] == "ENDED"


def test_what_the_investigator_suspects_the_sponsor_cannot_exclude(unchanged, patient):
    case = case_of(report(unchanged, patient, relationship="possible"))
    judge(unchanged, case, "excluded")
    assert shown(case)["AUTHORITY_15.first"] == "DUE"


def test_what_is_judged_expected_is_not_reported_rapidly(unchanged, patient):
    case = case_of(report(unchanged, patient))
    judge(unchanged, case, "suspected", "expected")
    assert shown(case)["AUTHORITY_15.first"] == "ENDED"


def test_the_list_of_the_protocol_proposes(unchanged, patient):
    reaction = case_of(report(unchanged, patient, term="Infusion related reaction"))
    assert "AUTHORITY_15.first" not in shown(reaction)
    assessment = judge(unchanged, reaction)
    assert assessment.proposed == "expected" and "up to grade 3" in assessment.because_text
    assert shown(reaction)["AUTHORITY_15.first"] == "DUE", "the sponsor judged otherwise"


def test_a_second_judgement_needs_a_reason_and_both_stay(unchanged, patient):
    case = case_of(report(unchanged, patient))
    judge(unchanged, case)
    with pytest.raises(Refused) as refusal:
        judge(unchanged, case, expectedness="expected")
    assert "reason" in refusal.value.errors
    judge(unchanged, case, expectedness="expected", reason="new brochure")
    assert SponsorAssessment.objects.filter(case=case).count() == 2


def test_a_judged_event_that_grows_graver_waits_for_a_judgement_again(unchanged, patient):
    event = report(unchanged, patient, term="Infusion related reaction")
    judge(unchanged, case_of(event), "suspected", "expected")
    change(unchanged, event, narrative="No news.")
    assert not case_of(event).waits_for_judgement
    change(unchanged, event, grade=4)
    assert case_of(event).waits_for_judgement


def test_a_judged_event_that_becomes_life_threatening_waits_again_whatever_the_list_says(unchanged, patient):
    event = report(unchanged, patient)
    made = judge(unchanged, case_of(event))
    change(unchanged, event, is_life_threatening=True)
    assert not proposal_for(fresh_event(event)).differs_from(made.because)
    assert case_of(event).waits_for_judgement


def fresh_event(event):
    return type(event).objects.get(pk=event.pk)


def test_a_judgement_of_an_older_version_is_refused(unchanged, patient):
    event = report(unchanged, patient)
    seen = case_of(event).version
    change(unchanged, event, is_life_threatening=True, grade=4)
    with pytest.raises(Stale):
        judge(unchanged, case_of(event), version=seen)


# --- versions and reports ------------------------------------------------------------------------------------


def to_sponsor(universe, case, summary=""):
    return actions.report_case(case=case, summary=summary, version=None, by=universe.wang)


def sent(universe, case, version, duty="AUTHORITY_15", stage="first", at=None, **more):
    return actions.record_submission(
        case=case, case_version=version, duty=duty, stage=stage, sent_at=at or timezone.now(), version=None,
        by=universe.samuel, **more,
    )  # fmt: skip


def test_the_report_to_the_sponsor_freezes_the_initial_version_and_stops_the_clock(unchanged, patient):
    case = case_of(report(unchanged, patient, narrative="Fever since the morning."))
    version = to_sponsor(unchanged, case)
    assert (version.number, version.by_site, version.changed) == (0, True, [])
    assert version.content["narrative"] == "Fever since the morning."
    assert version.digest == digest_of(CaseVersion.objects.get(pk=version.pk).content)
    assert shown(case)["SPONSOR.first"] == "DONE" and shown(case)["ETHICS.first"] == "DUE"
    with pytest.raises(Stale):
        actions.report_case(case=case, summary="the same page sent again", version=case.version, by=unchanged.wang)


def test_a_follow_up_says_what_changed_and_is_refused_when_nothing_did(unchanged, patient):
    event = report(unchanged, patient)
    case = case_of(event)
    to_sponsor(unchanged, case)
    with pytest.raises(Refused, match="Nothing has changed"):
        to_sponsor(unchanged, case)
    change(unchanged, event, narrative="Blood cultures are negative.", outcome="recovering")
    second = to_sponsor(unchanged, case_of(event), "cultures")
    assert (second.number, second.changed) == (1, ["event.outcome", "narrative"])
    assert second.changed_told == "outcome, narrative"
    assert [s.stage for s in Submission.objects.filter(case=case, duty="SPONSOR")] == ["first", "follow_up"]
    first = CaseVersion.objects.get(case=case, number=0)
    assert first.content["narrative"] == "" and first.digest == digest_of(first.content)


def test_a_follow_up_in_which_nothing_changed_is_sent_with_words_of_its_own(unchanged, patient):
    case = case_of(report(unchanged, patient))
    to_sponsor(unchanged, case)
    second = to_sponsor(unchanged, case, "The hospital was asked again; there is nothing new.")
    assert (second.number, second.changed) == (1, [])


def hold(universe, patient, state):
    with acting(universe.david, "for the test"):
        type(patient).objects.filter(pk=patient.pk).update(hold=state)


def test_a_case_is_reported_while_records_are_cleaned_and_its_links_wait_until_they_are_opened(unchanged, patient):
    case = case_of(report(unchanged, patient))
    link = {"measurements": [], "medications": [], "version": None, "by": unchanged.chen}
    hold(unchanged, patient, "frozen")
    assert to_sponsor(unchanged, case).number == 0
    with pytest.raises(Refused, match="frozen"):
        actions.set_case_links(case=case, **link)
    hold(unchanged, patient, "locked")
    with pytest.raises(Refused, match="locked"):
        to_sponsor(unchanged, case, "more")


def test_every_part_of_a_case_has_words(unchanged, patient):
    content = to_sponsor(unchanged, case_of(report(unchanged, patient))).content
    names = [
        name for part in content for name in ([f"{part}.{n}" for n in content[part]] if part == "event" else [part])
    ]
    assert all(str(told_part(name)) for name in names)


def test_a_report_to_the_authority_stops_its_clock_and_a_follow_up_starts_one(unchanged, patient):
    event = report(unchanged, patient)
    case = case_of(event)
    submission = sent(unchanged, case, to_sponsor(unchanged, case), reference="NMPA-1")
    assert submission.due_at == case.sponsor_due_at
    assert shown(case)["AUTHORITY_15.first"] == "DONE"
    case.refresh_from_db()
    assert case.sponsor_due_at is None
    change(unchanged, event, narrative="More.")
    second = to_sponsor(unchanged, case)
    assert shown(case)["AUTHORITY_15.follow_up.1"] == "DUE"
    sent(unchanged, case, second, stage="follow_up")
    assert shown(case)["AUTHORITY_15.follow_up.1"] == "DONE"


def test_what_cannot_have_been_sent_is_refused(unchanged, patient):
    case = case_of(report(unchanged, patient))
    version = to_sponsor(unchanged, case)
    for at in (timezone.now() + timedelta(hours=1), case.site_knew_at - timedelta(minutes=1)):
        with pytest.raises(Refused) as refusal:
            sent(unchanged, case, version, at=at)
        assert "sent_at" in refusal.value.errors
    sent(unchanged, case, version)
    with pytest.raises(Refused, match="before"):
        sent(unchanged, case, version)


def test_an_answer_is_noted_and_changed_with_a_reason_only(unchanged, patient):
    case = case_of(report(unchanged, patient))
    submission = sent(unchanged, case, to_sponsor(unchanged, case))
    answer = {"submission": submission, "version": None, "by": unchanged.samuel}
    for at in (timezone.now() + timedelta(minutes=5), submission.sent_at - timedelta(minutes=1)):
        with pytest.raises(Refused) as refusal:
            actions.acknowledge_submission(acknowledged_at=at, acknowledgement="4711", **answer)
        assert "acknowledged_at" in refusal.value.errors
    actions.acknowledge_submission(acknowledged_at=timezone.now(), acknowledgement="Received 4711", **answer)
    with pytest.raises(Refused):
        actions.acknowledge_submission(acknowledged_at=timezone.now(), acknowledgement="4712", **answer)
    changed = actions.acknowledge_submission(
        acknowledged_at=timezone.now(), acknowledgement="4712", reason="slip", **answer
    )
    assert changed.acknowledgement == "4712"
    with pytest.raises(Stale):
        late = {**answer, "version": submission.version, "reason": "slip"}
        actions.acknowledge_submission(acknowledged_at=timezone.now(), acknowledgement="4713", **late)


def test_the_sponsor_may_have_known_earlier_but_not_later(unchanged, patient):
    case = case_of(report(unchanged, patient))
    due = case.sponsor_due_at
    earlier = case.opened_at - timedelta(days=2)
    actions.correct_knowledge(case=case, sponsor_knew_at=earlier, reason="telephone", version=None, by=unchanged.samuel)
    case.refresh_from_db()
    assert abs(due - case.sponsor_due_at - timedelta(days=2)) <= timedelta(hours=1)  # summer time may begin between
    with pytest.raises(Refused):
        later = case.opened_at + timedelta(milliseconds=1)
        actions.correct_knowledge(case=case, sponsor_knew_at=later, reason="x", version=None, by=unchanged.samuel)
    with pytest.raises(Refused) as refusal:
        actions.correct_knowledge(case=case, sponsor_knew_at=earlier, reason=" ", version=None, by=unchanged.samuel)
    assert "reason" in refusal.value.errors


def test_results_and_medications_are_linked_and_unlinked_but_not_those_of_others(unchanged, patient):
    case = case_of(report(unchanged, patient))
    result = Measurement.objects.filter(patient=patient, value__isnull=False).first()
    drug = Medication.objects.filter(patient=patient).first()
    if drug is None:
        from patients.actions import save_line

        values = {"treatment": "Cotrimoxazole", "started_on": "2024", "is_ongoing": True}
        drug = save_line(model=Medication, patient=patient, values=values, by=unchanged.chen)
    link = {"case": case, "version": None, "by": unchanged.chen}
    actions.set_case_links(measurements=[result.pk], medications=[drug.pk], suspects=[drug.pk], **link)
    version = to_sponsor(unchanged, case)
    assert [lab["test"] for lab in version.content["labs"]] == [result.test]
    assert [(m["treatment"], m["suspect"]) for m in version.content["medications"]] == [(drug.treatment, True)]
    actions.set_case_links(measurements=[], medications=[drug.pk], **link)
    second = to_sponsor(unchanged, case)
    assert (second.changed, second.changed_told) == (["labs", "medications"], "linked results, linked medication")
    seen = case_of(case.event).version
    actions.set_case_links(measurements=[result.pk], medications=[drug.pk], **link)
    with pytest.raises(Stale):
        actions.set_case_links(measurements=[], medications=[], **{**link, "version": seen})
    assert [lab["test"] for lab in to_sponsor(unchanged, case).content["labs"]] == [result.test], "linked once more"
    other = unchanged.with_results()
    with pytest.raises(Refused, match="another patient"):
        stranger = Measurement.objects.filter(patient=other).first()
        actions.set_case_links(measurements=[stranger.pk], medications=[], **link)


# --- trials without infusions ------------------------------------------------------------------------------------


@pytest.fixture
def without_infusions(monkeypatch):
    """The pilot, of a product that is taken at home from day 0 on."""
    parts = trial.current_protocol().model_dump(by_alias=True)
    parts |= {"infusions": None, "sentinel": None}
    for visit in parts["visits"]:
        visit["infusion"] = None
    asked = {code for panel in parts["panels"] for code in panel["tests"]}
    parts["tests"] = [test for test in parts["tests"] if test["code"] in asked]
    return in_force(monkeypatch, Protocol.model_validate(parts))


def test_without_infusions_the_product_is_suspected_from_day_0_on(unchanged, without_infusions):
    patient, today = unchanged.eligible(), today_at(unchanged.site)
    early = report(
        unchanged, patient, relationship="not_related", infusion_number=None, began_on=today - timedelta(days=1)
    )
    late = report(unchanged, patient, relationship="not_related", infusion_number=None)
    for event in (early, late):
        judge(unchanged, case_of(event))
    with pytest.raises(Refused) as refusal:
        change(unchanged, late, relationship="possible")
    assert "relationship" in refusal.value.errors
    patient_steps.randomise(patient=patient, by=unchanged.chen, day_0=today)
    assert not case_of(early).waits_for_judgement and "AUTHORITY_15.first" not in shown(case_of(early))
    assert case_of(late).waits_for_judgement, "whoever judged did not know that the product would be taken"
    assert shown(case_of(late))["AUTHORITY_15.first"] == "DUE"
    assert [fact.cause for fact in case_of(late).facts.all()] == ["opened", "randomised"]
    assert Halt.objects.open().filter(rule="PATIENT_G3", patient=patient).exists(), "and the rules count it"
    change(unchanged, late, relationship="possible")
