"""Grades that are stored with results: at the save, in the unit of the report, against the baseline; and given anew."""

import re
from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from patients.demo import fresh
from patients.models import Hold
from tests.dsmb_data import in_force
from tests.universe import fields_of, send
from trialsite import scales
from trialsite.audit import acting
from trialsite.clock import today_at
from trialsite.models import AuditEvent, OutboxMessage, User
from trialsite.protocol import Protocol
from trialsite.saving import Refused, Stale
from trialsite.trial import current_protocol
from visits import actions
from visits import demo as visit_steps
from visits.models import Measurement, PanelRecord, Review, SupersededGrade
from visits.tasks import regrade_patient


def save(panel, by, on=None, reason="", **values):
    units = {name: values.pop(f"unit_{name}") for name in list(values) if f"unit_{name}" in values}
    actions.record_panel(
        panel=panel, values=values, units=units, collected_on=on or panel.visit.on, version=None, reason=reason, by=by
    )
    return {m.test: m for m in Measurement.objects.filter(panel=panel)}


def graded(m):
    return (m.grade, m.grade_row, m.grade_direction, m.ungraded_because)


@pytest.mark.requirement("R41")
def test_a_result_is_stored_with_its_grade_scale_version_and_row(unchanged):
    patient = unchanged.screened(sex="M")
    panel = unchanged.panel(patient, "SCR", "chemistry")
    saved = save(
        panel, unchanged.chen, on=patient.screened_on, ALT="251", K="3.20", SODIUM="140.0", GLUC="7.00", UREA="5.0"
    )
    assert graded(saved["ALT"]) == (3, "alt_high", "H", "")
    assert (saved["ALT"].grade_scale, saved["ALT"].grade_scale_version) == ("DAIDS", "2.1")
    assert graded(saved["K"]) == (1, "potassium_low", "L", "")
    assert graded(saved["SODIUM"]) == (0, "sodium_high sodium_low", "", "")
    assert saved["GLUC"].grade is None and saved["GLUC"].ungraded_because == "fasting"
    assert graded(saved["UREA"]) == (None, "", "", "") and saved["UREA"].grade_scale == ""


def test_low_cd4_is_not_graded_in_people_with_hiv(unchanged):
    patient = unchanged.screened()
    saved = save(
        unchanged.panel(patient, "SCR", "t_cells"), unchanged.chen, on=patient.screened_on, CD4="90", CD8="500"
    )
    assert graded(saved["CD4"]) == (None, "cd4_low", "", "hiv")


def test_an_answer_that_changes_grades_anew_what_depends_on_it_and_nothing_else(unchanged):
    patient = unchanged.screened()
    panel = unchanged.panel(patient, "SCR", "chemistry")
    on = patient.screened_on
    save(panel, unchanged.chen, on=on, GLUC="7.00", K="4.00")
    saved = save(panel, unchanged.chen, on=on, reason="asked the patient", GLUCFAST="N")
    assert graded(saved["GLUC"]) == (1, "glucose_nonfasting_high", "H", "")
    assert (saved["GLUC"].version, saved["K"].version) == (2, 1)
    saved = save(panel, unchanged.chen, on=on, reason="asked again", GLUCFAST="Y")
    assert graded(saved["GLUC"]) == (2, "glucose_fasting_high", "H", "")
    assert actions.differing_grades(Measurement.objects.filter(panel=panel)) == [], "grading anew asks the same answers"
    trail = AuditEvent.objects.filter(table="visits_measurement", record_id=saved["GLUC"].pk, operation="update")
    assert [event.before["grade"] for event in trail.order_by("id")] == [None, 1]


def test_an_answer_on_another_form_grades_anew_what_depends_on_it_by_a_job(unchanged, monkeypatch):
    parts = current_protocol().model_dump(by_alias=True)
    for panel in parts["panels"]:
        panel["tests"] = [code for code in panel["tests"] if code != "GLUCFAST"]
        if panel["code"] == "virology":
            panel["tests"].append("GLUCFAST")
    in_force(monkeypatch, Protocol.model_validate(parts))
    patient = unchanged.screened()
    chemistry, virology = (unchanged.panel(patient, "SCR", code) for code in ("chemistry", "virology"))
    on = patient.screened_on
    glucose = save(chemistry, unchanged.chen, on=on, reason="source checked", GLUC="7.00", K="4.00")["GLUC"]
    save(virology, unchanged.chen, on=on, reason="source checked", HIVRNA="<50", GLUCFAST="")
    work_off()
    glucose.refresh_from_db()
    assert glucose.ungraded_because == "fasting" and not due().exists()
    save(virology, unchanged.chen, on=on, reason="another tube", HIVRNA="<40")
    assert not due().exists(), "no grade depends on it"
    save(virology, unchanged.chen, on=on, reason="asked the patient", GLUCFAST="Y")
    assert work_off() == 1
    glucose.refresh_from_db()
    assert graded(glucose) == (2, "glucose_fasting_high", "H", "")


def test_a_value_that_changes_has_a_new_grade(unchanged):
    patient = unchanged.screened(sex="M")
    panel = unchanged.panel(patient, "SCR", "chemistry")
    save(panel, unchanged.chen, on=patient.screened_on, ALT="251")
    assert graded(save(panel, unchanged.chen, on=patient.screened_on, reason="typo", ALT="25")["ALT"])[0] == 0
    cleared = save(panel, unchanged.chen, on=patient.screened_on, reason="wrong tube", ALT="", K="4.00")["ALT"]
    assert graded(cleared) == (None, "", "", "")


def test_a_result_is_graded_in_the_unit_of_the_report(unchanged):
    patient = unchanged.screened()
    panel = unchanged.panel(patient, "SCR", "chemistry")
    on = patient.screened_on
    # 125 mg/dL is 6.94 mmol/L; 250.5 mg/dL is 13.905: in each system the grade of its own bounds
    saved = save(panel, unchanged.chen, on=on, GLUC="250.1", unit_GLUC="mg/dL", GLUCFAST="Y")
    assert saved["GLUC"].value == Decimal("13.8823") and saved["GLUC"].grade == 3
    saved = save(panel, unchanged.chen, on=on, reason="unit", GLUC="13.88", unit_GLUC="mmol/L")
    assert saved["GLUC"].grade == 2


@pytest.fixture
def followed(unchanged):
    """A patient after the first infusion, with a creatinine of 60 at screening and of 80 on day 0."""
    patient = unchanged.infused(sex="M", day_0=today_at(unchanged.site) - timedelta(days=2))
    for visit, value in (("SCR", "60"), ("W0", "80")):
        panel = unchanged.panel(patient, visit, "chemistry")
        on = panel.collected_on or patient.day_0
        save(panel, unchanged.chen, on=on, reason="source checked", CREAT=value)
    return fresh(patient)


def test_the_baseline_is_the_last_result_before_the_first_infusion(unchanged, followed):
    panel = unchanged.panel(followed, "W0", "chemistry")
    own = Measurement.objects.get(panel=panel, test="CREAT")
    assert own.baseline_grade is None  # it is the baseline
    later = unchanged.panel(followed, "W1", "chemistry")
    tests, on = later.protocol.tests_of("chemistry"), followed.day_0 + timedelta(days=7)
    around = actions.panels._surroundings(later, tests, actions.panels._results_of(later, tests)[1], on, None)
    assert around.baseline["CREAT"][0].value == 80 and around.baseline["CREAT"][1] == 0
    now = actions.preview_panel_and_grades(
        panel=later, values={"CREAT": "125"}, collected_on=followed.day_0 + timedelta(days=7)
    )[1]
    assert now["CREAT"].grade == 3  # 125 is 1.56 times 80, and 1.29 times the limit of 97


def test_grades_are_given_anew_only_by_a_person_with_a_reason_and_the_old_is_kept(unchanged):
    patient = unchanged.screened(sex="M")
    panel = unchanged.panel(patient, "SCR", "chemistry")
    save(panel, unchanged.chen, on=patient.screened_on, ALT="251", K="4.00")
    with acting(unchanged.system, "as an older scale would have graded"):
        Measurement.objects.filter(panel=panel, test="ALT").update(grade=2, grade_scale_version="2.0")
    [one] = actions.differing_grades(Measurement.objects.filter(panel=panel))
    assert one.grades == ("2", "3")
    assert Measurement.objects.get(panel=panel, test="ALT").grade == 2  # looking changes nothing
    with pytest.raises(Refused):
        actions.regrade(reason=" ", by=unchanged.david)
    version = PanelRecord.objects.get(pk=panel.pk).version
    changed, left = actions.regrade(reason="DAIDS 2.1 replaces 2.0", by=unchanged.david)
    assert (len(changed), left) == (1, [])
    m = Measurement.objects.get(panel=panel, test="ALT")
    assert (m.grade, m.grade_scale_version, m.version) == (3, "2.1", 2)
    old = SupersededGrade.objects.get(measurement=m)
    assert (old.grade, old.grade_scale_version, old.reason, old.superseded_by) == (
        2,
        "2.0",
        "DAIDS 2.1 replaces 2.0",
        unchanged.david,
    )
    panel.refresh_from_db()
    assert panel.version > version
    assert actions.differing_grades(Measurement.objects.filter(panel=panel)) == []


def due():
    return OutboxMessage.objects.filter(task=actions.REGRADE, done_at=None).order_by("pk")


def work_off():
    """Run what waits, twice. Gives how many results were graded anew by the first runs."""
    messages = [(message.arguments["patient_id"], message.pk) for message in due()]
    done = sum(regrade_patient(patient, pk) for patient, pk in messages)
    assert not due().exists() and not any(regrade_patient(patient, pk) for patient, pk in messages)
    return done


def test_a_baseline_that_is_corrected_grades_what_came_later_anew_by_a_job_and_the_old_is_kept(unchanged, followed):
    work_off()
    later = followed.day_0 + timedelta(days=1)
    graded = save(unchanged.panel(followed, "W1", "chemistry"), unchanged.chen, on=later, CREAT="125")["CREAT"]
    assert (graded.grade, graded.baseline_grade) == (3, 0) and not due().exists()
    base = unchanged.panel(followed, "W0", "chemistry")
    save(base, unchanged.chen, on=base.collected_on, reason="same", CREAT="80")
    assert not due().exists(), "nothing has changed"
    save(base, unchanged.chen, on=base.collected_on, reason="typo", CREAT="120")
    graded.refresh_from_db()
    assert graded.grade == 3 and due().count() == 1, "asked for in the transaction that changed it"
    assert work_off() == 1
    graded.refresh_from_db()
    assert (graded.grade, graded.baseline_grade) == (1, 1)
    old = SupersededGrade.objects.get(measurement=graded)
    assert (old.grade, old.baseline_grade, old.superseded_by) == (3, 0, unchanged.system)
    assert old.reason == "the baseline was entered late or changed"
    actions.clear_panel(panel=base, version=None, reason="other patient", by=unchanged.chen)
    assert work_off() == 1
    graded.refresh_from_db()
    assert graded.grade == 4, "60 at screening is the baseline then"


def test_what_another_scale_would_say_is_left_to_a_person(unchanged, followed):
    m = Measurement.objects.get(patient=followed, panel__visit__code="SCR", test="CREAT")
    with acting(unchanged.system, "as an older scale would have graded"):
        Measurement.objects.filter(pk=m.pk).update(grade=2, grade_scale_version="2.0")
    actions.regrade_patient(patient=followed, by=unchanged.system)
    m.refresh_from_db()
    assert m.grade == 2 and [one.measurement for one in actions.differing_grades()] == [m]


def marked(universe, panel, mark="signed", field=""):
    """A mark of the form, or of one field of it, as it stands."""
    with acting(universe.wang):
        return Review.objects.create(
            patient=panel.visit.patient, visit=panel.visit, record="visits.panelrecord", record_id=panel.pk, field=field,
            mark=mark, by=universe.wang, record_version=panel.version, digest="0" * 64,
        )  # fmt: skip


def test_grading_anew_makes_void_what_was_signed_and_leaves_what_was_verified_of_other_fields(unchanged):
    patient = unchanged.screened(sex="M")
    panel = unchanged.panel(patient, "SCR", "chemistry")
    saved = save(panel, unchanged.chen, on=patient.screened_on, ALT="251", K="4.00")
    with acting(unchanged.system, "as an older scale would have graded"):
        Measurement.objects.filter(pk=saved["ALT"].pk).update(grade=2, grade_scale_version="2.0")
    mark = marked(unchanged, panel)
    other, same = (marked(unchanged, panel, "verified", field) for field in ("K", "ALT"))
    actions.regrade(reason="DAIDS 2.1 replaces 2.0", by=unchanged.david)
    void = dict(Review.objects.filter(pk__in=[mark.pk, other.pk, same.pk]).values_list("pk", "void_because"))
    assert void == {mark.pk: "DAIDS 2.1 replaces 2.0", other.pk: "", same.pk: "DAIDS 2.1 replaces 2.0"}


def test_the_command_lists_what_differs_and_changes_it_only_for_a_person_who_gives_a_reason(unchanged):
    patient = unchanged.screened(sex="M")
    panel = unchanged.panel(patient, "SCR", "chemistry")
    alt = save(panel, unchanged.chen, on=patient.screened_on, ALT="251")["ALT"]
    with acting(unchanged.system, "as an older scale would have graded"):
        Measurement.objects.filter(pk=alt.pk).update(grade=2)
        User.objects.filter(pk=unchanged.li.pk).update(is_active=False)

    def told(*options):
        out = StringIO()
        call_command("regrade", *options, stdout=out)
        return out.getvalue()

    assert "ALT 251 U/L: 2 -> 3" in told() and "1 results would have another grade. Nothing was changed." in told()
    for lacks in (
        ["--by", "david"],
        ["--by", "david", "--reason", " "],
        ["--reason", "x"],
        ["--by", "li", "--reason", "x"],
    ):
        with pytest.raises(CommandError):
            told("--apply", *lacks)
    alt.refresh_from_db()
    assert alt.grade == 2
    assert "1 results graded anew, 0 left" in told("--apply", "--by", "david", "--reason", "an older program")
    alt.refresh_from_db()
    assert alt.grade == 3 and SupersededGrade.objects.get(measurement=alt).superseded_by == unchanged.david


def test_of_a_patient_who_is_frozen_no_grade_changes_and_of_others_it_does(unchanged):
    grades = {}
    for hold in (Hold.FROZEN, Hold.LOCKED, Hold.OPEN):
        patient = unchanged.screened(sex="M")
        panel = unchanged.panel(patient, "SCR", "chemistry")
        grades[hold] = save(panel, unchanged.chen, on=patient.screened_on, ALT="251")["ALT"]
        with acting(unchanged.system, "for the test"):
            Measurement.objects.filter(pk=grades[hold].pk).update(grade=2)
            type(patient).objects.filter(pk=patient.pk).update(hold=hold)
    [one] = actions.differing_grades(Measurement.objects.filter(pk=grades[Hold.OPEN].pk))
    assert one.measurement == grades[Hold.OPEN], "what is asked about, and nothing else"
    changed, left = actions.regrade(reason="again", by=unchanged.david)
    assert [one.measurement for one in changed] == [grades[Hold.OPEN]] and len(left) == 2
    assert [Measurement.objects.get(pk=m.pk).grade for m in grades.values()] == [2, 2, 3]


def test_what_is_frozen_keeps_its_grade(unchanged):
    patient = unchanged.screened(sex="M")
    panel = unchanged.panel(patient, "SCR", "chemistry")
    save(panel, unchanged.chen, on=patient.screened_on, ALT="251")
    with acting(unchanged.system, "for the test"):
        Measurement.objects.filter(panel=panel, test="ALT").update(grade=2)
        type(panel.visit).objects.filter(pk=panel.visit_id).update(hold="frozen")
    changed, left = actions.regrade(reason="again", by=unchanged.david)
    assert changed == [] and [one.measurement.test for one in left] == ["ALT"]


def test_grade_and_reason_come_back_on_leaving_the_field(unchanged):
    patient = unchanged.screened(sex="M")
    panel = unchanged.panel(patient, "SCR", "chemistry")
    chen, url = unchanged.client(unchanged.chen), f"/visits/panels/{panel.pk}/"
    typed = {"ALT": "251", "GLUC": "7.00", "K": "4.00", "collected_on": patient.screened_on.isoformat()}
    answer = chen.post(f"{url}check/", {**fields_of(chen.get(url)), **typed}, headers={"X-Background": "1"})
    rows = {row["code"]: row for row in answer.context["rows"]}
    assert rows["ALT"]["grade"] == {"kind": "g3", "text": "grade 3"} and rows["ALT"]["flag"]["kind"] == "high"
    assert "fasting" in rows["GLUC"]["grade"]["why"] and rows["K"]["grade"] is None
    assert 'class="grade g3"' in answer.content.decode()
    assert not Measurement.objects.filter(panel=panel).exists()
    assert send(chen, url, **typed).status_code == 302
    assert 'class="grade g3"' in chen.get(url).content.decode()
    assert 'class="grade g3"' in chen.get(f"/visits/{panel.visit_id}/").content.decode()
    wang = unchanged.client(unchanged.wang)
    assert 'class="grade g3"' in wang.get(f"/visits/check/sign/record/visits/panelrecord/{panel.pk}/").content.decode()
    assert not Review.objects.exists()


def test_vital_signs_at_an_infusion_are_graded_by_the_site_of_the_thermometer(unchanged):
    patient = unchanged.infused()
    infusion = patient.infusions.get()
    monitored = Measurement.objects.filter(infusion=infusion)
    assert set(monitored.filter(test="M_SYSBP").values_list("grade", flat=True)) == {0}
    where = Measurement.objects.get(panel__visit=infusion.visit, test="TEMPLOC").text
    assert set(monitored.filter(test="M_TEMP").values_list("ungraded_because", flat=True)) == {
        "site" if where == "AXILLA" else ""
    }
    assert not monitored.filter(test="M_PULSE").exclude(grade_scale="").exists()


def test_a_reaction_keeps_the_words_by_which_it_was_graded(unchanged):
    patient = unchanged.infused()
    infusion, chen = patient.infusions.get(), unchanged.client(unchanged.chen)
    url = f"/visits/{infusion.visit_id}/infusion/"
    began = fields_of(chen.get(url))["started_at"][0]
    row = {"reaction1_term": "Infusion related reaction", "reaction1_began": began, "reason": "seen later"}
    assert send(chen, url, **row, reaction1_grade="2").status_code == 302
    reaction = infusion.reactions.get()
    assert (reaction.grade_scale, reaction.grade_scale_version, reaction.grade_row) == (
        "CTCAE", "5.0", "infusion_related_reaction",
    )  # fmt: skip
    assert "responds promptly to symptomatic treatment" in chen.get(url).content.decode()
    refused = send(chen, url, **{**row, "reaction1_term": "Chills"}, reaction1_grade="4")
    assert refused.status_code == 422 and "has these grades for it: 1, 2, 3" in refused.content.decode()
    words = chen.get("/visits/reactions/grades/?reaction3_term=fever").content.decode()
    assert "38.0 - 39.0" in words and "CTCAE 5.0" in words
    assert chen.get("/visits/reactions/grades/?reaction3_term=Hiccups").content.decode().strip() == ""


# --- grades that ask for more than the number ------------------------------------------------------------


@pytest.fixture
def clinical(unchanged, monkeypatch):
    """A scale whose ALT asks for signs and symptoms from grade 3 on, and an ALT of a man that is proposed as grade 4."""
    row = scales.scale("daids-2.1").row("alt_high")
    for grade in ("3", "4"):
        monkeypatch.setitem(row.grades, grade, row.grades[grade].model_copy(update={"confirm": True}))
    patient = unchanged.screened(sex="M")
    panel = unchanged.panel(patient, "SCR", "chemistry")
    return panel, save(panel, unchanged.chen, on=patient.screened_on, ALT="600", K="4.00")["ALT"]


def answer(universe, m, grade, reason="", by=None):
    m.refresh_from_db()
    return actions.confirm_grade(measurement=m, grade=grade, reason=reason, version=None, by=by or universe.wang)


def now(m):
    m = Measurement.objects.get(pk=m.pk)
    return m.grade, m.grade_is_to_confirm


def test_a_proposed_grade_is_confirmed_at_the_result_by_the_investigator(unchanged, clinical):
    panel, m = clinical
    assert (m.grade, m.grade_is_to_confirm) == (4, True)
    wang, page = unchanged.client(unchanged.wang), f"/visits/panels/{panel.pk}/"
    address = f"/visits/results/{m.pk}/grade/"
    assert address in wang.get(page).content.decode() and "grade 4?" in wang.get(page).content.decode()
    assert address not in unchanged.client(unchanged.chen).get(page).content.decode()
    assert unchanged.client(unchanged.chen).get(address).status_code == 403
    shown = wang.get(address).content.decode()
    assert "≥ 10.0 × ULN" in shown and "proposes grade 4" in shown
    assert send(wang, address, grade="2").status_code == 422
    assert send(wang, address, grade="4").status_code == 302
    m.refresh_from_db()
    assert (m.grade, m.grade_is_to_confirm, m.answered_by) == (4, False, unchanged.wang)
    assert m.answered_at and len(m.answered_about) == 64
    assert "grade 4?" not in wang.get(page).content.decode() and "grade answered" in wang.get(page).content.decode()
    assert "Answered: grade 4, by Wang Jun" in wang.get(address).content.decode()
    other = Measurement.objects.get(panel=panel, test="K")
    assert [ask(f"/visits/results/{other.pk}/grade/").status_code for ask in (wang.get, wang.head)] == [404, 404]


def test_another_grade_than_the_proposed_one_needs_the_reason_and_the_proposed_one_is_kept(unchanged, clinical):
    _panel, m = clinical
    with pytest.raises(Refused) as refusal:
        answer(unchanged, m, 3)
    assert "reason" in refusal.value.errors and now(m) == (4, True)
    answer(unchanged, m, 3, "no signs of liver failure")
    assert now(m) == (3, False)
    old = SupersededGrade.objects.get(measurement=m)
    assert (old.grade, old.grade_is_to_confirm, old.superseded_by) == (4, True, unchanged.wang)
    for grade in (0, 4):  # also to go back to the one that was proposed
        with pytest.raises(Refused):
            answer(unchanged, m, grade)
    with pytest.raises(Refused) as refusal:
        answer(unchanged, m, 2, "not in the row")
    assert "grade" in refusal.value.errors
    with pytest.raises(Stale):
        actions.confirm_grade(measurement=m, grade=0, reason="x", version=m.version - 1, by=unchanged.wang)
    assert due().exists(), "what is compared with it is graded anew"
    answer(unchanged, m, 0, "none of it")
    m.refresh_from_db()
    assert (m.grade, m.grade_direction) == (0, "")
    said = AuditEvent.objects.of(m).filter(operation="update").order_by("-id").first()
    assert (said.reason, said.by_name) == ("none of it", unchanged.wang.full_name)


def test_grading_anew_keeps_an_answer_as_long_as_value_and_words_are_the_same(unchanged, clinical, monkeypatch):
    panel, m = clinical
    answer(unchanged, m, 3, "no signs of liver failure")
    assert actions.differing_grades() == []
    save(panel, unchanged.chen, on=panel.visit.patient.screened_on, reason="source checked", K="4.10")
    assert now(m) == (3, False)
    told = actions.preview_panel_and_grades(panel=panel, values={"ALT": "600"})[1]["ALT"]
    assert (told.grade, told.is_to_confirm) == (3, False)
    row = scales.scale("daids-2.1").row("alt_high")
    with monkeypatch.context() as other:
        other.setitem(row.grades, "4", row.grades["4"].model_copy(update={"words": "in other words"}))
        [one] = actions.differing_grades()
        assert one.columns["grade"] == 4 and one.columns["grade_is_to_confirm"], "it is asked again"
    save(panel, unchanged.chen, on=panel.visit.patient.screened_on, reason="typo", ALT="610")
    assert now(m) == (4, True), "another value asks again"
    save(panel, unchanged.chen, on=panel.visit.patient.screened_on, reason="it was right", ALT="600")
    assert now(m) == (3, False)


def test_what_was_signed_is_void_when_its_grade_is_answered_and_what_is_frozen_is_not_answered(unchanged, clinical):
    panel, m = clinical
    version, mark = PanelRecord.objects.get(pk=panel.pk).version, marked(unchanged, panel)
    answer(unchanged, m, 4)
    mark.refresh_from_db()
    assert mark.void_at and mark.void_by == unchanged.wang
    assert PanelRecord.objects.get(pk=panel.pk).version == version + 1
    with acting(unchanged.system, "for the test"):
        type(panel.visit).objects.filter(pk=panel.visit_id).update(hold="frozen")
    with pytest.raises(Refused):
        answer(unchanged, m, 3, "late")


@pytest.fixture
def raisable(unchanged, monkeypatch):
    """A scale whose ALT is grade 4 also with liver failure, and an ALT of grade 2 by the number."""
    row = scales.scale("daids-2.1").row("alt_high")
    monkeypatch.setitem(row.grades, "4", row.grades["4"].model_copy(update={"clinical": True}))
    patient = unchanged.screened(sex="M")
    panel = unchanged.panel(patient, "SCR", "chemistry")
    return panel, save(panel, unchanged.chen, on=patient.screened_on, ALT="130", K="4.00")["ALT"]


def test_a_result_is_raised_to_a_grade_that_asks_for_clinical_facts_with_the_reason(unchanged, raisable):
    panel, m = raisable
    assert (m.grade, m.grade_is_to_confirm) == (2, False)
    wang, page, address = (
        unchanged.client(unchanged.wang),
        f"/visits/panels/{panel.pk}/",
        f"/visits/results/{m.pk}/grade/",
    )
    assert "raise the grade" in wang.get(page).content.decode()
    assert address not in unchanged.client(unchanged.chen).get(page).content.decode()
    assert "it is grade 2 of DAIDS 2.1" in wang.get(address).content.decode()
    for values in ({"grade": "4"}, {"grade": "3", "reason": "no such"}, {"grade": "2", "reason": "as it is"}):
        assert send(wang, address, **values).status_code == 422
    assert send(wang, address, grade="4", reason="liver failure").status_code == 302
    assert now(m) == (4, False)
    assert "grade answered" in wang.get(page).content.decode()
    old = SupersededGrade.objects.get(measurement=m)
    assert (old.grade, old.reason) == (2, "liver failure")
    assert "Answered: grade 4" in wang.get(address).content.decode()
    assert due().exists(), "what is compared with it is graded anew"


def test_grading_anew_keeps_a_raised_grade_as_long_as_value_and_words_are_the_same(unchanged, raisable, monkeypatch):
    panel, m = raisable
    answer(unchanged, m, 4, "liver failure")
    on = panel.visit.patient.screened_on
    assert actions.differing_grades() == []
    save(panel, unchanged.chen, on=on, reason="source checked", K="4.10")
    assert now(m) == (4, False)
    row = scales.scale("daids-2.1").row("alt_high")
    with monkeypatch.context() as other:
        other.setitem(row.grades, "4", row.grades["4"].model_copy(update={"words": "in other words"}))
        assert [one.columns["grade"] for one in actions.differing_grades()] == [2]
    save(panel, unchanged.chen, on=on, reason="typo", ALT="131")
    assert now(m) == (2, False), "another value is graded by its number"
    save(panel, unchanged.chen, on=on, reason="it was right", ALT="130")
    assert now(m) == (4, False)
    with pytest.raises(Refused):
        answer(unchanged, m, 2)
    answer(unchanged, m, 2, "no liver failure after all")
    assert now(m) == (2, False)


# --- words and grades beside the fields ------------------------------------------------------------------


def test_vital_signs_are_graded_while_the_infusion_is_filled_in(unchanged):
    patient = unchanged.randomised(day_0=today_at(unchanged.site))
    visit = visit_steps.visit_of(patient, "W0")
    visit_steps.enter_visit(patient=patient, code="W0", by=unchanged.chen, panels=["vital_signs", "pregnancy"])
    visit_steps.prepare(patient=patient, visit=visit, by=unchanged.zhao)
    chen = unchanged.client(unchanged.chen)
    assert 'id="grade_M_SYSBP_0"' in chen.get(f"/visits/{visit.pk}/infusion/").content.decode()
    told = chen.post(f"/visits/{visit.pk}/infusion/check/", {"M_SYSBP_0": "182", "M_SYSBP_15": "118"}).content.decode()
    cells = dict(re.findall(r'<span id="(grade_\w+)" hx-swap-oob="true">(.*?)</span>\n?(?=<span id|\s*$)', told, re.S))
    assert "grade 3" in cells["grade_M_SYSBP_0"] and "grade" not in cells["grade_M_SYSBP_15"]
    assert not Measurement.objects.filter(infusion__visit=visit).exists()


def test_the_words_of_the_grades_stand_beside_the_grade_of_an_event(unchanged):
    patient = unchanged.infused()
    chen = unchanged.client(unchanged.chen)
    page = chen.get(f"/safety/events/report/{patient.pk}/?term=Chills").content.decode()
    assert "DAIDS 2.1: Chills" in page and "Mild symptoms causing" not in page
    assert "Mild symptoms causing" in chen.get(f"/safety/events/report/{patient.pk}/").content.decode()
    words = chen.get("/safety/events/grades/?term=Infusion+related+reaction&grade=2").content.decode()
    assert (
        "CTCAE 5.0" in words and "prophylactic medications" in words.split('aria-current="true"')[1].split("</div>")[0]
    )
    assert "Mild symptoms causing" in chen.get("/safety/events/grades/?term=Headaches&grade=x").content.decode()
    assert unchanged.client(unchanged.dora).get("/safety/events/grades/").status_code == 403
    reaction = chen.get("/visits/reactions/grades/?reaction1_term=Chills&reaction1_grade=2").content.decode()
    assert reaction.count('aria-current="true"') == 1
