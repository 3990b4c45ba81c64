"""How a patient enters the trial, and how the way ends."""

from datetime import date, timedelta

import pytest

from patients import actions
from patients import demo as steps
from patients.models import (
    TRANSITIONS,
    AllocationSlot,
    ArtRegimen,
    Blocked,
    Consent,
    Halt,
    MedicalHistory,
    Medication,
    Patient,
    Scope,
    State,
)
from tests.universe import fields_of, send
from trialsite import audit
from trialsite.clock import today_at
from trialsite.saving import Refused, Stale
from visits import actions as visit_actions
from visits import demo as visit_steps
from visits.actions import Seen
from visits.models import PanelRecord, Review, Visit


def unconsented(universe):
    today = today_at(universe.site)
    return actions.screen_patient(
        site=universe.site, sex="F", birth_date=today - timedelta(days=14000), screened_on=today, by=universe.chen
    )


# --- screening and consent -----------------------------------------------------------------------------


def test_the_number_of_a_patient_is_the_sites_code_and_the_next_of_its_numbers(unchanged):
    first, second = unconsented(unchanged), unconsented(unchanged)
    here = Patient.objects.filter(site=unchanged.site).count()
    assert (first.number, second.number) == (f"01-{here - 1:03d}", f"01-{here:03d}")
    assert list(Visit.objects.filter(patient=first).values_list("code", flat=True)) == ["SCR"]


@pytest.mark.parametrize(
    ("birth", "screened", "field"),
    [(timedelta(days=-1), timedelta(0), "birth_date"), (timedelta(days=9000), timedelta(days=-1), "screened_on")],
)
def test_a_screening_that_cannot_be_is_refused(unchanged, birth, screened, field):
    today = today_at(unchanged.site)
    with pytest.raises(Refused) as refusal:
        actions.screen_patient(
            site=unchanged.site, sex="F", birth_date=today - birth, screened_on=today - screened, by=unchanged.chen
        )
    assert field in refusal.value.errors


@pytest.mark.requirement("R56")
@pytest.mark.parametrize("what", ["panel", "history", "visit", "date", "event", "eligibility"])
def test_nothing_is_entered_before_the_consent(unchanged, what):
    patient, by = unconsented(unchanged), unchanged.chen
    visit = visit_steps.visit_of(patient, "SCR")
    with pytest.raises(Refused, match="consent"):
        if what == "panel":
            visit_steps.enter_panel(panel=visit.panels.first(), by=by)
        elif what == "history":
            steps.enter_histories(patient=patient, on=patient.screened_on, by=by)
        elif what == "visit":
            visit_actions.add_unscheduled_visit(patient=patient, on=patient.screened_on, panels=["virology"], by=by)
        elif what == "date":
            visit_actions.record_attendance(visit=visit, attended_on=patient.screened_on, version=None, by=by)
        elif what == "event":
            unchanged.event(patient)
        else:
            steps.answer_criteria(patient=patient, by=by)


def test_nothing_is_dated_before_the_consent(unchanged):
    patient = unchanged.screened()
    panel = unchanged.panel(patient, "SCR", "virology")
    with pytest.raises(Refused, match="before the consent"):
        visit_steps.enter_panel(panel=panel, by=unchanged.chen, on=patient.screened_on - timedelta(days=1))


def test_a_consent_is_not_older_than_its_form_nor_recorded_twice(unchanged):
    patient = unchanged.screened()
    values = {"form_version": "1.0", "language": "en", "obtained_by": "Dr Q", "version": None, "by": unchanged.chen}
    for on, sentence in (
        (patient.protocol.consent_forms[0].dated - timedelta(days=1), "cannot be signed before"),
        (patient.screened_on, "recorded already"),
        (today_at(patient.site) + timedelta(days=1), "future"),
    ):
        with pytest.raises(Refused, match=sentence):
            actions.record_consent(patient=patient, signed_on=on, **values)
    actions.record_consent(patient=patient, signed_on=patient.screened_on + timedelta(days=2), **values)
    assert Consent.objects.filter(patient=patient).count() == 2


# --- histories -----------------------------------------------------------------------------------------------


SPANS = [
    ("2019", True, "", None), ("2019", False, "2020", None), ("2019", True, "2020", "ended_on"), ("2019", False, "", "ended_on"),
    ("2020", False, "2019", "ended_on"), ("2020-05", False, "2020-04", "ended_on"), ("2020-05", False, "2020", None),
    ("2020", False, "2020-01-01", None),
]  # fmt: skip


@pytest.mark.parametrize(("began", "ongoing", "ended", "field"), SPANS)
def test_a_span_of_partial_dates_is_refused_only_when_it_cannot_be(unchanged, began, ongoing, ended, field):
    patient = unchanged.screened(with_histories=False)
    values = {"term": "Gastritis", "started_on": began, "is_ongoing": ongoing, "ended_on": ended}

    def save():
        return actions.save_line(model=MedicalHistory, patient=patient, values=values, by=unchanged.chen)

    if field is None:
        assert save().ended_on == ended
    else:
        with pytest.raises(Refused) as refusal:
            save()
        assert field in refusal.value.errors


@pytest.mark.requirement("R1", "R13")
def test_a_line_is_changed_and_withdrawn_with_a_reason_and_never_deleted(unchanged):
    patient = unchanged.screened(with_histories=False)
    line = steps.add_medication(patient=patient, treatment="Aspirin", started_on="2020", by=unchanged.chen)
    with pytest.raises(Refused):
        actions.save_line(
            model=Medication,
            patient=patient,
            values={"treatment": "Ibuprofen"},
            line=line,
            version=1,
            by=unchanged.chen,
        )
    with pytest.raises(Stale):
        actions.withdraw_line(line=line, version=7, reason="x", by=unchanged.chen)
    actions.withdraw_line(line=line, version=1, reason="wrong patient", by=unchanged.chen)
    assert Medication.objects.get(pk=line.pk).is_withdrawn


# --- eligibility -----------------------------------------------------------------------------------------


def assessed(universe, patient, changes=None, comments=None, on=None):
    on = on or today_at(patient.site)
    answers = {}
    for finding in actions.findings_about(patient, on):
        code = finding.criterion.code
        is_exclusion = patient.protocol.eligibility.is_exclusion(code)
        answers[code] = not is_exclusion if finding.holds is None else finding.holds
    return actions.assess_eligibility(
        patient=patient, assessed_on=on, answers=answers | (changes or {}), comments=comments or {}, version=None,
        by=universe.wang,
    )  # fmt: skip


def test_eligibility_is_worked_out_from_the_results(unchanged):
    patient = unchanged.with_results()
    findings = {f.criterion.code: f for f in actions.findings_about(patient, today_at(patient.site))}
    assert findings["I3"].holds is True and findings["I3"].evidence[0].test == "CD4"
    assert findings["I1"].holds is None
    assessment = assessed(unchanged, patient)
    assert assessment.is_eligible and steps.fresh(patient).state == State.ELIGIBLE
    answer = assessment.answers.get(criterion="I3")
    assert answer.computed is True and answer.evidence[0]["test"] == "CD4" and answer.evidence[0]["on"]


CD4_AT_THE_BOUNDS = [("50", False), ("51", True), ("250", True), ("251", False)]


@pytest.mark.parametrize(("cd4", "holds"), CD4_AT_THE_BOUNDS)
def test_the_bounds_of_the_cd4_criterion_hold_exactly(unchanged, cd4, holds):
    patient = unchanged.screened()
    visit_steps.enter_screening(patient=patient, by=unchanged.chen, slips={"CD4": cd4, "CD4PCT": ""})
    findings = {f.criterion.code: f for f in actions.findings_about(patient, today_at(patient.site))}
    assert findings["I3"].holds is holds


def test_an_answer_against_the_results_needs_a_comment(unchanged):
    patient = unchanged.with_results()
    with pytest.raises(Refused) as refusal:
        assessed(unchanged, patient, {"I3": False})
    assert "comment_I3" in refusal.value.errors
    assessment = assessed(unchanged, patient, {"I3": False}, {"I3": "Another laboratory found 260"})
    assert not assessment.is_eligible and assessment.unmet == ["I3"]
    assert steps.fresh(patient).state == State.SCREENING


def test_every_criterion_is_answered(unchanged):
    with pytest.raises(Refused) as refusal:
        assessed(unchanged, unchanged.with_results(), {"I1": None, "E2": None})
    assert {"holds_I1", "holds_E2"} == set(refusal.value.errors)


def test_a_screen_failure_names_the_criteria(unchanged):
    patient = unchanged.screened()
    visit_steps.enter_screening(patient=patient, by=unchanged.chen, slips={"CD4": "400", "CD4PCT": ""})
    assert not assessed(unchanged, patient).is_eligible
    disposition = steps.fail_screening(patient=patient, by=unchanged.chen)
    assert disposition.explanation == "Criteria: I3"
    assert steps.fresh(patient).state == State.SCREEN_FAILED
    with pytest.raises(Refused):
        assessed(unchanged, steps.fresh(patient))


def test_a_screen_failure_without_an_assessment_says_why(unchanged):
    with pytest.raises(Refused) as refusal:
        steps.fail_screening(patient=unchanged.screened(), by=unchanged.chen)
    assert "explanation" in refusal.value.errors


# --- randomisation ---------------------------------------------------------------------------------------


def test_only_an_eligible_patient_is_randomised(unchanged):
    patient = unchanged.with_results()
    with pytest.raises(Refused, match="Only an eligible patient"):
        steps.randomise(patient=patient, by=unchanged.chen)
    assert not AllocationSlot.objects.filter(patient=patient).exists()


def test_nobody_is_randomised_twice(unchanged):
    patient = unchanged.randomised()
    with pytest.raises(Refused):
        steps.randomise(patient=patient, by=unchanged.chen)
    assert AllocationSlot.objects.filter(patient=patient).count() == 1


def test_randomisation_takes_the_next_place_and_plans_the_visits(unchanged):
    patient = unchanged.randomised()
    slot = AllocationSlot.objects.get(patient=patient)
    first_free = AllocationSlot.objects.filter(stratum=slot.stratum, patient=None).order_by("sequence").first()
    assert slot.sequence == first_free.sequence - 1 and slot.taken_by == unchanged.chen
    planned = Visit.objects.filter(patient=patient, day__gte=0)
    assert planned.count() == len([v for v in patient.protocol.visits if v.day >= 0])
    assert all(v.planned_on == patient.day_0 + timedelta(days=v.day) for v in planned)


@pytest.mark.parametrize(("days", "field"), [(-400, "day_0"), (15, "day_0"), (0, None), (14, None)])
def test_day_0_lies_near(unchanged, days, field):
    patient = unchanged.eligible()
    day_0 = today_at(patient.site) + timedelta(days=days)
    if field is None:
        assert steps.randomise(patient=patient, by=unchanged.chen, day_0=day_0).day_0 == day_0
    else:
        with pytest.raises(Refused) as refusal:
            steps.randomise(patient=patient, by=unchanged.chen, day_0=day_0)
        assert field in refusal.value.errors


def test_without_a_free_place_nobody_is_randomised(unchanged):
    from trialsite.audit import acting

    patient = unchanged.eligible()
    with acting(unchanged.sofia, "for the test"):
        AllocationSlot.objects.filter(patient=None, stratum=patient.site.code).update(stratum="elsewhere")
    with pytest.raises(Refused, match="No place is left"):
        steps.randomise(patient=patient, by=unchanged.chen)
    assert steps.fresh(patient).state == State.ELIGIBLE
    assert not Visit.objects.filter(patient=patient, day__gte=0).exists()


HALTS = [
    ("trial", [Blocked.RANDOMISE], "randomise", True), ("trial", [Blocked.ENROL], "randomise", False),
    ("trial", [Blocked.ENROL], "enrol", True), ("trial", [Blocked.INFUSE], "enrol", False),
    ("patient", [Blocked.RANDOMISE], "randomise", True), ("another", [Blocked.RANDOMISE], "randomise", False),
]  # fmt: skip


@pytest.mark.parametrize(("scope", "blocks", "what", "held"), HALTS)
def test_a_halt_holds_what_it_names_and_nothing_else(unchanged, scope, blocks, what, held):
    patient = unchanged.eligible()
    whom = {"trial": None, "patient": patient, "another": unchanged.screened()}[scope]
    actions.open_halt(
        scope=Scope.PATIENT if whom else Scope.TRIAL,
        patient=whom,
        blocks=blocks,
        cause="Two deaths",
        by=unchanged.samuel,
    )

    def act():
        return steps.randomise(patient=patient, by=unchanged.chen) if what == "randomise" else unconsented(unchanged)

    if held:
        with pytest.raises(Refused, match="Two deaths"):
            act()
        actions.lift_halt(halt=Halt.objects.get(), decision="DSMB letter", by=unchanged.dora)
    assert act()


def test_a_halt_is_lifted_once_and_with_a_decision(unchanged):
    halt = actions.open_halt(scope=Scope.TRIAL, blocks=["enrol"], cause="x", by=unchanged.samuel)
    with pytest.raises(Refused):
        actions.lift_halt(halt=halt, decision=" ", by=unchanged.dora)
    actions.lift_halt(halt=halt, decision="go on", by=unchanged.dora)
    with pytest.raises(Refused):
        actions.lift_halt(halt=halt, decision="again", by=unchanged.dora)


def test_every_page_tells_of_an_open_halt(unchanged):
    actions.open_halt(scope=Scope.TRIAL, blocks=["infuse"], cause="Looking into a death", by=unchanged.samuel)
    assert "Looking into a death" in unchanged.client(unchanged.chen).get("/patients/").content.decode()


# --- the end ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", [state for state in State if state not in (State.ELIGIBLE, State.SCREENING)])
@pytest.mark.parametrize("here", ["screening", "randomised", "screen_failed", "died"])
def test_a_patient_goes_only_where_the_table_of_states_leads(unchanged, here, to):
    patient = unchanged.randomised() if here in ("randomised", "died") else unchanged.screened()
    if here == "died":
        steps.end_participation(patient=patient, state="died", explanation="x", by=unchanged.chen)
    if here == "screen_failed":
        steps.fail_screening(patient=patient, explanation="x", by=unchanged.chen)

    def end():
        return steps.end_participation(patient=steps.fresh(patient), state=to, explanation="x", by=unchanged.chen)

    if to in TRANSITIONS[State(here)] and to != State.RANDOMISED:
        assert end().state == to and steps.fresh(patient).state == to
    else:
        with pytest.raises(Refused):
            end()
        assert steps.fresh(patient).state == here


@pytest.mark.parametrize("state", ["withdrawn", "died"])
def test_who_withdraws_or_dies_has_a_reason_or_a_cause(unchanged, state):
    with pytest.raises(Refused) as refusal:
        steps.end_participation(patient=unchanged.randomised(), state=state, by=unchanged.chen)
    assert "explanation" in refusal.value.errors


def test_a_patient_is_found_by_number_without_naming_it_in_an_address(unchanged):
    patient = unchanged.screened()
    chen = unchanged.client(unchanged.chen)
    assert chen.post("/patients/find/", {"number": f" {patient.number} "})["Location"] == f"/patients/{patient.pk}/"
    assert chen.post("/patients/find/", {"number": "99-999"})["Location"] == "/patients/"
    assert chen.get("/patients/find/").status_code == 405


def test_a_coordinator_screens_and_consents_in_the_browser(unchanged):
    chen = unchanged.client(unchanged.chen)
    today = today_at(unchanged.site)
    answer = send(chen, "/patients/screen/", sex="M", birth_date="1980-05-05", screened_on=today)
    assert answer.status_code == 302
    patient = Patient.objects.order_by("pk").last()
    answer = send(chen, f"/patients/{patient.pk}/consent/", signed_on=today, obtained_by="Dr Wang")
    assert answer.status_code == 302
    page = chen.get(f"/patients/{patient.pk}/")
    assert page.status_code == 200 and "1.0 of" in page.content.decode()
    answer = send(
        chen, f"/patients/{patient.pk}/lines/art/", drugs="TDF + 3TC + EFV", started_on="2012-04", is_ongoing="Y"
    )
    assert answer.status_code == 302 and ArtRegimen.objects.get(patient=patient).started_on == "2012-04"
    page = chen.get(f"/patients/{patient.pk}/eligibility/")
    assert fields_of(page)["assessed_on"] == [today.isoformat()]
    assert PanelRecord.objects.filter(patient=patient).exists()


def test_a_wrong_date_of_birth_is_corrected_with_a_reason_and_both_stay_in_the_trail(unchanged):
    patient = unchanged.screened(birth_date=date(1980, 2, 3))
    browser, url = unchanged.client(unchanged.chen), f"/patients/{patient.pk}/person/"
    assert send(browser, url, birth_date="1908-02-03").status_code == 422  # no reason
    late = (patient.screened_on + timedelta(days=1)).isoformat()
    assert send(browser, url, birth_date=late, reason="slip").status_code == 422
    assert send(browser, url, birth_date="1980-03-02", reason="day and month were swapped").status_code == 302
    assert steps.fresh(patient).birth_date == date(1980, 3, 2)
    change = audit.history_of(patient)[-1]
    assert ("birth_date", "1980-02-03", "1980-03-02") in change.changes
    assert change.reason == "day and month were swapped"


# --- corrections ---------------------------------------------------------------------------------------


def test_a_wrong_day_of_consent_is_corrected_with_a_reason_and_voids_its_marks(unchanged):
    patient = unchanged.screened()
    consent = patient.consents.get()
    visit_actions.verify_forms(
        patient=patient, seen=[Seen("patients.consent", consent.pk, consent.version, ("",))], by=unchanged.maria
    )
    chen, url = unchanged.client(unchanged.chen), f"/patients/consents/{consent.pk}/"
    day = consent.signed_on - timedelta(days=1)
    assert send(chen, url, signed_on=str(day)).status_code == 422  # no reason
    late = today_at(patient.site) + timedelta(days=1)
    assert send(chen, url, signed_on=str(late), reason="slip").status_code == 422
    assert send(chen, url, signed_on="2001-01-01", reason="slip").status_code == 422  # before the form is dated
    assert send(chen, url, signed_on=str(day), reason="The form says otherwise").status_code == 302
    corrected = Consent.objects.get(pk=consent.pk)
    assert (corrected.signed_on, corrected.version) == (day, consent.version + 1)
    assert ("signed_on", str(consent.signed_on), str(day)) in audit.history_of(corrected)[-1].changes
    mark = Review.objects.get(record="patients.consent", record_id=consent.pk)
    assert (mark.is_void, mark.void_because) == (True, "The form says otherwise")
    with pytest.raises(Stale):
        actions.correct_consent(
            consent=consent, signed_on=day, language="en", obtained_by="x", version=1, reason="x", by=unchanged.chen
        )


@pytest.mark.requirement("R67")
def test_a_consent_is_corrected_by_who_enters_data_at_the_site_only(unchanged):
    address = f"/patients/consents/{unchanged.screened().consents.get().pk}/"
    assert unchanged.client(unchanged.wang).get(address).status_code == 200
    assert unchanged.client(unchanged.maria).get(address).status_code == 403
    assert unchanged.client(unchanged.li).get(address).status_code == 404


def test_who_was_found_eligible_is_assessed_again_after_a_correction(unchanged):
    patient = unchanged.eligible()
    consent = patient.consents.get()
    assessed_on = patient.assessments.last().assessed_on
    later = min(assessed_on + timedelta(days=1), today_at(patient.site))
    chen = unchanged.client(unchanged.chen)
    answer = send(chen, f"/patients/consents/{consent.pk}/", signed_on=str(later), reason="slip")
    assert answer.status_code == 302
    page = chen.get(answer["Location"]).content.decode()
    assert "Eligibility rests on this: assess it again." in page
    overtaken = f"/patients/{patient.pk}/overtaken/"  # the page asks for it
    assert overtaken in page
    assert ("after this assessment." in chen.get(overtaken).content.decode()) == (later > assessed_on)
    assert steps.fresh(patient).state == State.SCREENING


def test_the_page_says_which_criteria_the_rules_judge_otherwise_after_a_correction(unchanged):
    patient = unchanged.randomised()
    chen = unchanged.client(unchanged.chen)
    overtaken = f"/patients/{patient.pk}/overtaken/"
    assert "the rules say otherwise" not in chen.get(overtaken).content.decode()
    young = today_at(patient.site) - timedelta(days=365 * 12)
    answer = send(chen, f"/patients/{patient.pk}/person/", birth_date=str(young), reason="slip of the year")
    assert answer.status_code == 302 and steps.fresh(patient).state == State.RANDOMISED
    assert "the rules say otherwise" in chen.get(overtaken).content.decode()


def test_panels_nobody_entered_follow_a_corrected_sex_and_come_back_with_it(unchanged):
    patient = unchanged.randomised(sex="F")
    chen, url = unchanged.client(unchanged.chen), f"/patients/{patient.pk}/person/"

    def pregnancy(state):
        return PanelRecord.objects.filter(patient=patient, code="pregnancy", state=state).count()

    entered, expected = pregnancy("entered"), pregnancy("expected")
    assert entered and expected
    assert send(chen, url, sex="M", reason="Typed wrongly").status_code == 302
    assert (pregnancy("entered"), pregnancy("expected"), pregnancy("not_done")) == (entered, 0, expected)
    assert send(chen, url, sex="F", reason="It was right").status_code == 302
    assert (pregnancy("expected"), pregnancy("not_done")) == (expected, 0)


def test_panels_of_the_corrected_sex_are_added(unchanged):
    patient = unchanged.randomised(sex="M")
    actions.correct_person(
        patient=patient, birth_date=patient.birth_date, sex="F", version=None, reason="Typed wrongly", by=unchanged.chen
    )
    there = PanelRecord.objects.filter(patient=patient, code="pregnancy", state="expected")
    assert set(there.values_list("visit__code", flat=True)) == {
        visit.code for visit in patient.protocol.visits if "pregnancy" in visit.panels
    }
