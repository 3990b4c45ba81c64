"""A second protocol version: released at a site, entered by new patients, followed by those who consent again."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from patients import actions as patient_actions
from patients import demo as patient_steps
from tests.universe import Universe, fields_of, send
from trialsite import actions, protocol, trial
from trialsite.clock import today_at
from trialsite.saving import Refused
from visits import actions as visit_actions
from visits import demo as visit_steps
from visits.models import PanelRecord, Visit

AMENDED = Path(protocol.__file__).parents[1] / "protocols" / "examples" / "amended"
pytestmark = pytest.mark.django_db


@pytest.fixture
def amended(settings, db):
    """A universe whose trial has two protocol versions; nothing is released yet."""
    settings.TRIAL_PROTOCOL = str(AMENDED)
    forget_versions()
    yield Universe()
    settings.TRIAL_PROTOCOL = None
    forget_versions()


def forget_versions():
    for name in dir(trial):
        if hasattr(getattr(trial, name), "cache_clear"):
            getattr(trial, name).cache_clear()


def release(universe, on=None, site=None):
    site = site or universe.site
    return actions.release_version(
        site=site, protocol_version="1.1", approved_on=on or today_at(site) - timedelta(days=1),
        approved_by="Ethics committee, no. 12", by=universe.david,
    )  # fmt: skip


def consent_again(universe, patient, form="2.0", on=None):
    return patient_actions.record_consent(
        patient=patient, form_version=form, language="zh", signed_on=on or today_at(patient.site),
        obtained_by="Dr Wang", version=None, by=universe.chen,
    )  # fmt: skip


def plan_of(patient):
    return {v.code: v for v in Visit.objects.filter(patient=patient)}


@pytest.mark.requirement("R113")
def test_new_patients_enter_under_a_later_version_only_where_and_since_it_was_approved(amended):
    since = today_at(amended.site) - timedelta(days=300)
    assert amended.screened().protocol_version == "1.0"
    release(amended, on=since)
    assert amended.screened().protocol_version == "1.1"
    assert amended.screened(site=amended.other_site, by=amended.li).protocol_version == "1.0"
    earlier = patient_actions.screen_patient(
        site=amended.site, sex="M", birth_date=date(1980, 1, 1), screened_on=since - timedelta(days=1), by=amended.chen
    )
    assert earlier.protocol_version == "1.0"


def test_who_consents_again_moves_and_what_is_planned_follows(amended):
    patient = amended.infused()
    before = plan_of(patient)
    entered = PanelRecord.objects.filter(patient=patient, state="entered")
    assert entered.exists()
    release(amended)
    consent_again(amended, patient)
    patient = patient_steps.fresh(patient)
    plan = plan_of(patient)
    assert patient.protocol_version == "1.1"
    assert {plan[code].protocol_version for code in ("W4", "W8", "W16", "W48")} == {"1.1"}
    assert plan["W0"].protocol_version == "1.0", "it took place under the first version"
    assert plan["W5"].state == "cancelled" and plan["W16"].planned_on == patient.day_0 + timedelta(days=112)
    assert set(plan) - set(before) == {"W16"}
    assert set(entered.values_list("protocol_version", flat=True)) == {"1.0"}, "what was entered stays"
    dropped = plan["W36"].panels.get(code="activation")
    assert dropped.state == "not_done" and "1.1" in dropped.not_done_because
    assert patient.infusions.get().protocol_version == "1.0"
    assert [c.protocol_version for c in patient.consents.order_by("id")] == ["1.0", "1.1"]


def test_a_new_test_is_asked_for_after_the_move_and_not_before(amended):
    patient = amended.infused()
    release(amended)
    chen = amended.client(amended.chen)
    before = PanelRecord.objects.get(visit__patient=patient, visit__code="W1", code="inflammation")
    assert "TNFA" not in fields_of(chen.get(f"/visits/panels/{before.pk}/"))
    consent_again(amended, patient)
    assert "TNFA" in fields_of(chen.get(f"/visits/panels/{before.pk}/"))
    visit_steps.enter_panel(panel=PanelRecord.objects.get(pk=before.pk), by=amended.chen, on=today_at(patient.site))
    old = PanelRecord.objects.get(visit__patient=patient, visit__code="W0", code="chemistry")
    assert old.protocol.version == "1.0"


def test_a_visit_that_is_no_longer_planned_takes_no_entry(amended):
    patient = amended.infused()
    release(amended)
    consent_again(amended, patient)
    panel = PanelRecord.objects.filter(visit__patient=patient, visit__code="W5").first()
    with pytest.raises(Refused, match="no longer planned"):
        visit_steps.enter_panel(panel=panel, by=amended.chen, on=today_at(patient.site))
    with pytest.raises(Refused, match="no longer planned"):
        visit_actions.record_attendance(
            visit=panel.visit, attended_on=today_at(patient.site), version=None, by=amended.chen
        )


def test_a_form_of_a_later_version_is_not_signed_where_or_before_it_was_approved(amended):
    patient = amended.screened()
    with pytest.raises(Refused, match=r"no consent form 2\.0"):
        consent_again(amended, patient)
    release(amended)
    with pytest.raises(Refused, match="was approved at this site on"):
        consent_again(amended, patient, on=today_at(patient.site) - timedelta(days=5))


def test_a_version_is_released_once_and_not_before_its_date(amended):
    for day, text in (
        (date(2011, 2, 28), "dated later"),
        (today_at(amended.site) + timedelta(days=2), "in the future"),
    ):
        with pytest.raises(Refused, match=text):
            release(amended, on=day)
    release(amended)
    with pytest.raises(Refused, match="released at the site already"):
        release(amended)


def test_the_data_manager_releases_a_version_in_the_browser_and_others_cannot(amended):
    david, chen = amended.client(amended.david), amended.client(amended.chen)
    assert chen.get("/protocol/release/").status_code == 403
    page = chen.get("/protocol/").content.decode()
    assert "1.1" in page and "not released" in page
    answer = send(
        david, "/protocol/release/", site=str(amended.site.pk), protocol_version="1.1", approved_by="EC 12",
        approved_on=str(today_at(amended.site)),
    )  # fmt: skip
    assert answer.status_code == 302
    assert "EC 12" in chen.get("/protocol/").content.decode()


def test_the_grid_shows_the_visits_of_both_versions(amended):
    patient = amended.infused()
    release(amended)
    consent_again(amended, patient)
    amended.screened(site=amended.other_site, by=amended.li)
    page = amended.client(amended.david).get("/visits/").content.decode()
    assert "W5" in page and "W16" in page


SPOILT = [
    ('code = "CD4"\n', 'code = "CD4"\n', 'unit = "cells/µL"', 'unit = "10^9/L"', "tests.*unit"),
    ("SALINE", "PLACEBO", "", "", "arm 'SALINE'"),
]


@pytest.mark.parametrize(("old", "new", "old_2", "new_2", "text"), SPOILT)
def test_an_amendment_that_takes_the_meaning_from_what_was_entered_is_refused(tmp_path, old, new, old_2, new_2, text):
    (tmp_path / "1.0.toml").write_text((AMENDED / "1.0.toml").read_text(encoding="utf-8"), encoding="utf-8")
    amendment = (AMENDED / "1.1.toml").read_text(encoding="utf-8")
    at = amendment.index(old) if old_2 else 0
    amendment = amendment[:at] + amendment[at:].replace(old_2 or old, new_2 or new, 1 if old_2 else -1)
    (tmp_path / "1.1.toml").write_text(amendment, encoding="utf-8")
    with pytest.raises(protocol.ProtocolError, match=text):
        protocol.load_versions(tmp_path)


def test_a_question_about_a_visit_that_is_cancelled_can_still_be_answered_and_closed(amended):
    patient = amended.infused()
    panel = plan_of(patient)["W5"].panels.first()
    visit_actions.mark_panel_not_done(panel=panel, not_done_because="No sample", version=None, by=amended.chen)
    query = visit_actions.raise_query(panel=panel, text="Why not?", by=amended.maria)
    release(amended)
    consent_again(amended, patient)
    assert plan_of(patient)["W5"].state == "cancelled"
    visit_actions.answer_query(query=query, text="The tube broke.", version=None, by=amended.chen)
    assert visit_actions.close_query(query=query, version=None, by=amended.maria).state == "closed"
    with pytest.raises(Refused, match="no longer planned"):
        visit_actions.record_attendance(
            visit=plan_of(patient)["W5"], attended_on=today_at(patient.site), version=None, by=amended.chen
        )


def test_an_earlier_result_in_a_unit_that_a_later_version_does_without_keeps_it_in_words_and_is_not_taken_over(amended):
    patient = amended.infused()
    first = PanelRecord.objects.get(visit__patient=patient, visit__code="W0", code="chemistry")
    if first.state == "expected":
        visit_steps.enter_panel(panel=first, by=amended.chen)
    chen = amended.client(amended.chen)
    url = f"/visits/panels/{first.pk}/"
    assert send(chen, url, CREAT="0.63", unit_CREAT="mg/dL", reason="as reported").status_code == 302
    release(amended)
    consent_again(amended, patient)
    later = PanelRecord.objects.get(visit__patient=patient, visit__code="W4", code="chemistry")
    page = chen.get(f"/visits/panels/{later.pk}/")
    row = next(row for row in page.context["rows"] if row["test"].code == "CREAT")
    assert later.protocol_version == "1.1" and row["units"] is None
    assert row["previous"]["value"] == "56 µmol/L" and row["previous"]["reported"] == "0.63 mg/dL"
    assert "data-last" not in str(row["field"]).replace("data-last-on", "")
    assert 'data-foreign="0.63 mg/dL"' in str(row["field"])
    text = page.content.decode()
    assert "<small>reported: 0.63 mg/dL</small>" in text, "to be seen, not only in a hint"


def test_pages_say_the_version_of_the_record_and_the_consent_in_force_and_offer_only_a_consent_that_there_is(amended):
    patient, chen = amended.infused(), amended.client(amended.chen)
    page_of_patient = f"/patients/{patient.pk}/"
    assert "Re-consent" not in chen.get(page_of_patient).content.decode(), "nothing is released here"
    release(amended)
    assert "Re-consent" in chen.get(page_of_patient).content.decode()
    consent_again(amended, patient)
    page = chen.get(page_of_patient).content.decode()
    assert "Re-consent" not in page and "protocol version 1.1" in page
    stepper = page.split('class="stepper"')[1].split("</ol>")[0]
    assert "consent 2.0" in stepper and "consent 1.0" not in stepper
    for code, version in (("W0", "1.0"), ("W4", "1.1")):
        visit = Visit.objects.get(patient=patient, code=code)
        panel = visit.panels.get(code="chemistry")
        for address in (f"/visits/{visit.pk}/", f"/visits/panels/{panel.pk}/"):
            text = chen.get(address).content.decode()
            assert f"protocol version {version}" in text, address


def test_a_form_that_is_dated_but_not_yet_approved_is_not_offered(amended):
    patient, chen = amended.screened(), amended.client(amended.chen)
    release(amended, on=today_at(amended.site), site=amended.other_site)
    assert "Re-consent" not in chen.get(f"/patients/{patient.pk}/").content.decode()
