"""How a form is saved: once, against the version that was seen, and nothing that was not sent is changed."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from patients import demo as patient_steps
from patients.models import Consent, Disposition, Halt, Medication, Patient
from safety.models import AdverseEvent, Recommendation
from tests.universe import fields_of, send
from trialsite.models import AuditEvent, Draft, FormReceipt
from trialsite.saving import fitting
from visits import actions as visit_actions
from visits import demo as visit_steps
from visits.actions.plan import mark_attended
from visits.models import Infusion, Measurement, PanelRecord, Query

KEYS = ("idem", "version", "csrfmiddlewaretoken")  # of the page itself, not of the record


@pytest.fixture(scope="module")
def panel(world, screened):
    panel = world.panel(screened, "SCR", "haematology")
    visit_steps.enter_panel(panel=panel, by=world.chen)
    return PanelRecord.objects.get(pk=panel.pk)


def url_of(panel):
    return f"/visits/panels/{panel.pk}/"


def typed(panel, test):
    return Measurement.objects.get(panel=panel, test=test).typed


def page_with(client, url):
    page = client.get(url)
    assert page.status_code == 200, (url, page.status_code)
    return page


# --- versions ----------------------------------------------------------------------------------------


@pytest.mark.requirement("R54")
def test_a_save_against_an_old_version_is_refused_and_shows_both_values(unchanged, panel):
    chen, wang = unchanged.client(unchanged.chen), unchanged.client(unchanged.wang)
    seen = page_with(chen, url_of(panel))
    assert send(wang, url_of(panel), HGB="131", reason="second reading").status_code == 302
    events = AuditEvent.objects.count()
    answer = send(chen, url_of(panel), seen, HGB="117", reason="first reading")
    assert answer.status_code == 409
    text = answer.content.decode()
    assert "117" in text and "131" in text and "Wang Jun" in text
    assert typed(panel, "HGB") == "131"
    assert AuditEvent.objects.count() == events


@pytest.mark.requirement("R54")
@pytest.mark.parametrize("kind", ["medication", "event", "consent"])
def test_every_kind_of_record_keeps_to_its_version(unchanged, screened, kind):
    chen = unchanged.client(unchanged.chen)
    if kind == "medication":
        line = patient_steps.add_medication(
            patient=screened, treatment="Ibuprofen", started_on="2020", by=unchanged.chen
        )
        url, first, second = f"/patients/{screened.pk}/lines/medication/{line.pk}/", {"dose": "1"}, {"dose": "2"}
    elif kind == "event":
        event = unchanged.event(screened)
        url, first, second = f"/safety/events/{event.pk}/change/", {"grade": "2"}, {"grade": "3"}
    else:
        url, on = f"/patients/{screened.pk}/consent/", screened.screened_on
        first = {"obtained_by": "Dr Qi", "signed_on": on + timedelta(days=1)}
        second = {"obtained_by": "Dr Fu", "signed_on": on + timedelta(days=2)}
    reason = {} if kind == "consent" else {"reason": "source"}
    seen = page_with(chen, url)
    assert send(chen, url, **first, **reason).status_code == 302
    answer = send(chen, url, seen, **second, **reason)
    assert answer.status_code == 409, answer.content.decode()
    assert not Consent.objects.filter(obtained_by="Dr Fu").exists()


@pytest.mark.requirement("R54")
@pytest.mark.parametrize("kind", ["panel", "attendance", "infusion"])
def test_two_who_make_the_first_entry_at_once_see_both_versions_and_are_asked_no_reason(unchanged, kind):
    chen, wang = unchanged.client(unchanged.chen), unchanged.client(unchanged.wang)
    if kind == "panel":
        url = url_of(unchanged.panel(unchanged.screened(), "SCR", "virology"))
        first, second = {"HIVRNA": "<50"}, {"HIVRNA": "<20"}
    elif kind == "attendance":
        patient = unchanged.screened()
        url = f"/visits/{visit_steps.visit_of(patient, 'SCR').pk}/date/"
        day = patient.screened_on
        first, second = {"attended_on": day}, {"attended_on": day + timedelta(days=1)}
    else:
        patient = unchanged.randomised()
        visit_steps.enter_visit(patient=patient, code="W0", by=unchanged.chen, panels=["vital_signs", "pregnancy"])
        visit_steps.prepare(patient=patient, by=unchanged.zhao)
        url = f"/visits/{visit_steps.visit_of(patient, 'W0').pk}/infusion/"
        day = patient.day_0.isoformat()
        times = {"started_at": f"{day} 09:40", "stopped_at": f"{day} 10:40", "given_percent": "100"}
        first, second = {**times, "volume_ml": "97.5"}, {**times, "volume_ml": "98.5"}
    seen = page_with(chen, url)
    saved = send(wang, url, **first)
    if kind == "infusion":  # what was asked is left to a query
        asked = [f"{question.token}:{question.signature}" for question in saved.context["questions"]]
        saved = send(wang, url, **first, asked=asked)
    assert saved.status_code == 302, saved.context["form"].errors
    answer = send(chen, url, seen, **second)
    text = answer.content.decode()
    assert answer.status_code == 409, text
    for values in (first, second):
        assert all(str(value).replace("<", "&lt;") in text for value in list(values.values())[-1:])


@pytest.mark.requirement("R54")
def test_the_answer_tells_the_new_version(unchanged, panel):
    answer = send(unchanged.client(unchanged.chen), url_of(panel), HGB="118", reason="typing error")
    assert answer.status_code == 302
    assert answer["X-Record-Version"] == str(PanelRecord.objects.get(pk=panel.pk).version)


@pytest.mark.requirement("R54")
@pytest.mark.parametrize("missing", ["version", "idem"])
@pytest.mark.parametrize("sent", [None, "", "x", "-1", "99999999999999999999", "\x00"])
def test_a_form_without_its_two_keys_saves_nothing(unchanged, panel, missing, sent):
    answer = send(unchanged.client(unchanged.chen), url_of(panel), HGB="99", reason="x", **{missing: sent})
    assert answer.status_code == 422
    assert typed(panel, "HGB") != "99"


def test_a_version_from_the_future_is_stale_too(unchanged, panel):
    answer = send(unchanged.client(unchanged.chen), url_of(panel), HGB="99", reason="x", version="77")
    assert answer.status_code == 409
    assert typed(panel, "HGB") != "99"


# --- once --------------------------------------------------------------------------------------------


def steps_of_a_trial(universe):
    """(name, url, changes, what is counted): a save of each kind, each sent twice below."""
    chen = universe.client(universe.chen)
    screened = universe.screened()
    empty = universe.panel(screened, "SCR", "virology")
    done = universe.panel(screened, "SCR", "haematology")
    visit_steps.enter_panel(panel=done, by=universe.chen)
    odd = universe.panel(screened, "SCR", "chemistry")
    visit_steps.enter_panel(panel=odd, by=universe.chen, slips={"CREAT": "400"})
    query = Query.objects.get(panel=odd)
    infused = universe.infused()
    event = universe.event(screened)
    on = screened.screened_on
    halt_answer = send(
        universe.client(universe.samuel), "/patients/halts/open/", scope="trial", blocks=["randomise"], cause="Looking"
    )
    assert halt_answer.status_code == 302
    halt = Halt.objects.get()
    event_fields = {
        "term": "Nausea", "began_on": on, "is_ongoing": "Y", "grade": "1", "is_serious": "N",
        "relationship": "not_related", "action_taken": "not_applicable", "outcome": "not_recovered",
        "aware_at": f"{on} 12:00",
    }  # fmt: skip
    return [
        ("a panel for the first time", chen, url_of(empty), {"HIVRNA": "<50"}, Measurement),
        ("a panel again", chen, url_of(done), {"HGB": "119", "reason": "typo"}, AuditEvent),
        ("a query", chen, f"/visits/queries/{query.pk}/", {"text": "It is right", "step": "answer"}, AuditEvent),
        ("a medication", chen, f"/patients/{screened.pk}/lines/medication/",
         {"treatment": "Aspirin", "started_on": "2020", "is_ongoing": "Y"}, Medication),
        ("an event", chen, f"/safety/events/report/{screened.pk}/", event_fields, AdverseEvent),
        ("an event again", chen, f"/safety/events/{event.pk}/change/", {"grade": "2", "reason": "worse"}, AuditEvent),
        ("an infusion again", chen, f"/visits/{visit_steps.visit_of(infused, 'W0').pk}/infusion/",
         {"comment": "No problems", "reason": "forgotten"}, AuditEvent),
        ("a panel taken back", chen, f"/visits/panels/{done.pk}/clear/", {"reason": "wrong patient"}, AuditEvent),
        ("a panel not done", chen, f"/visits/panels/{universe.panel(screened, 'SCR', 't_cells').pk}/not-done/",
         {"not_done_because": "no tube"}, AuditEvent),
        ("the day of a visit", chen, f"/visits/{visit_steps.visit_of(infused, 'W0').pk}/date/",
         {"attended_on": infused.day_0, "reason": "as in the file"}, AuditEvent),
        ("a disposition", chen, f"/patients/{screened.pk}/disposition/",
         {"state": "screen_failed", "on": on, "explanation": "HIV RNA"}, Disposition),
        ("what lifts a halt", universe.client(universe.dora), f"/safety/board/record/?halt={halt.pk}",
         {"decision": "continue", "met_on": timezone.now().date(), "rationale": "Go on"}, Recommendation),
        ("a patient", chen, "/patients/screen/", {"sex": "M", "birth_date": "1980-05-05", "screened_on": on}, Patient),
    ]  # fmt: skip


@pytest.mark.requirement("R55")
def test_a_form_sent_twice_has_one_effect_and_one_answer(unchanged):
    for name, client, url, changes, counted in steps_of_a_trial(unchanged):
        page = page_with(client, url)
        first = send(client, url, page, **changes)
        assert first.status_code == 302, (name, first.content.decode()[:20000])
        rows = counted.objects.count()
        second = send(client, url, page, **changes)
        assert second.status_code == 302, (name, second.status_code)
        assert second["Location"] == first["Location"], name
        assert second.get("X-Record-Version") == first.get("X-Record-Version"), name
        assert counted.objects.count() == rows, name


@pytest.mark.requirement("R55")
def test_the_same_key_with_other_content_is_refused(unchanged, screened, panel):
    chen = unchanged.client(unchanged.chen)
    url = f"/patients/{screened.pk}/lines/medication/"
    page = page_with(chen, url)
    fields = {"started_on": "2020", "is_ongoing": "Y"}
    assert send(chen, url, page, treatment="Aspirin", **fields).status_code == 302
    count = Medication.objects.count()
    assert send(chen, url, page, treatment="Ibuprofen", **fields).status_code == 409
    assert send(unchanged.client(unchanged.wang), url, page, treatment="Aspirin", **fields).status_code == 409
    key = fields_of(page)["idem"][0]
    elsewhere = send(chen, url_of(panel), HGB="99", reason="x", idem=key)
    assert elsewhere.status_code == 409
    assert Medication.objects.count() == count and typed(panel, "HGB") != "99"


@pytest.mark.requirement("R55")
def test_a_refused_form_may_be_sent_again_with_the_same_key(unchanged, panel):
    chen = unchanged.client(unchanged.chen)
    page = page_with(chen, url_of(panel))
    assert send(chen, url_of(panel), page, HGB="9999", reason="x").status_code == 422
    assert not FormReceipt.objects.filter(pk=fields_of(page)["idem"][0]).exists()
    assert send(chen, url_of(panel), page, HGB="118", reason="x").status_code == 302


# --- what was not sent -------------------------------------------------------------------------------


@pytest.mark.requirement("R58")
def test_a_field_that_was_not_sent_stays_as_it_is(unchanged, screened, panel):
    """The stored value stays, or the form is refused; never is a value blanked."""
    chen = unchanged.client(unchanged.chen)
    event = unchanged.event(screened, narrative="Since the morning")
    line = patient_steps.add_medication(patient=screened, treatment="Ibuprofen", started_on="2020", by=unchanged.chen)
    infused = unchanged.infused()
    visit = visit_steps.visit_of(infused, "W0")
    reasons = {"reason": "source"}
    assert send(chen, url_of(panel), comment="haemolytic", collected_at="09:15", **reasons).status_code == 302
    start = fields_of(page_with(chen, f"/visits/{visit.pk}/infusion/"))["started_at"][0]
    filled = {
        "comment": "calm", "access_site": "left arm",
        "stop1_stopped": f"{start[:10]} 10:10", "stop1_resumed": f"{start[:10]} 10:20", "stop1_cause": "pain",
        "reaction1_term": "Chills", "reaction1_began": f"{start[:10]} 10:15", "reaction1_grade": "1",
    }  # fmt: skip
    answer = send(chen, f"/visits/{visit.pk}/infusion/", **filled, **reasons)
    assert answer.status_code == 302, answer.content.decode()
    for url in (
        url_of(panel),
        f"/visits/{visit.pk}/infusion/",
        f"/safety/events/{event.pk}/change/",
        f"/patients/{screened.pk}/lines/medication/{line.pk}/",
    ):
        page = page_with(chen, url)
        before = {name: v for name, v in fields_of(page).items() if name not in KEYS}
        for name in before:
            if name == "reason" or before[name] == [] or (name.startswith("M_") and name != "M_TEMP_15"):
                continue
            answer = send(chen, url, page, **{name: None}, **reasons)
            assert answer.status_code in (302, 422), (url, name)
            page = page_with(chen, url)
            after = fields_of(page)
            assert {n: after[n] for n in before} == before, (url, name, answer.status_code)
    infusion = Infusion.objects.get(visit=visit)
    assert infusion.interruptions.count() == 1 and infusion.reactions.count() == 1


@pytest.mark.requirement("R58")
def test_an_empty_body_changes_nothing(unchanged, panel):
    chen, version = unchanged.client(unchanged.chen), PanelRecord.objects.get(pk=panel.pk).version
    for content_type in ("application/x-www-form-urlencoded", "application/json", "text/plain"):
        answer = chen.post(url_of(panel), b"", content_type=content_type)
        assert answer.status_code == 422
        assert "Nothing was saved" in answer.content.decode()
    assert PanelRecord.objects.get(pk=panel.pk).version == version


# --- refused -----------------------------------------------------------------------------------------


@pytest.mark.requirement("R51")
def test_a_refusal_keeps_everything_that_was_typed(unchanged, panel):
    """Refused by the form (HGB is out of the possible range) and refused by the action (before the consent)."""
    chen = unchanged.client(unchanged.chen)
    for changes in (
        {"HGB": "9999", "WBC": "4.44", "comment": "two <b>tubes</b>", "reason": "typo & more"},
        {"HGB": "118", "WBC": "4.44", "collected_on": "2001-02-03", "comment": "x  y", "reason": "typo"},
    ):
        answer = send(chen, url_of(panel), **changes)
        assert answer.status_code == 422
        shown = fields_of(answer)
        assert {name: shown[name] for name in changes} == {name: [value] for name, value in changes.items()}
        assert "Nothing was saved" in answer.content.decode()
    assert typed(panel, "HGB") != "118"


def test_a_refusal_names_the_field_and_the_reason(unchanged, panel):
    answer = send(unchanged.client(unchanged.chen), url_of(panel), HGB="9999", reason="typo")
    text = answer.content.decode()
    assert "Haemoglobin can only be from 20 to 250 g/L." in text
    assert 'href="#id_HGB"' in text


@pytest.mark.requirement("R1")
def test_a_change_needs_a_reason(unchanged, panel):
    answer = send(unchanged.client(unchanged.chen), url_of(panel), HGB="118", reason="  ")
    assert answer.status_code == 422
    assert typed(panel, "HGB") != "118"


def test_an_address_too_long_for_a_receipt_is_kept_without_what_was_searched_for():
    assert fitting("/visits/freeze/?q=" + "x" * 900) == "/visits/freeze/"
    assert fitting("/visits/freeze/?q=x") == "/visits/freeze/?q=x"


def test_two_people_who_make_the_same_thing_at_once_are_told_so(unchanged, screened, monkeypatch):
    """The second finds no trace of the first when it looks, and the database refuses the second."""
    chen = unchanged.client(unchanged.chen)
    url = f"/patients/{screened.pk}/consent/"
    first = send(chen, url, obtained_by="Dr Qi", signed_on=screened.screened_on + timedelta(days=1))
    assert first.status_code == 302
    monkeypatch.setattr("django.db.models.query.QuerySet.exists", lambda self: False)
    answer = send(chen, url, obtained_by="Dr Qi", signed_on=screened.screened_on + timedelta(days=1))
    assert answer.status_code == 422
    assert "saved by someone else" in answer.content.decode()


def test_a_key_is_new_in_every_page(unchanged, panel):
    chen = unchanged.client(unchanged.chen)
    keys = [fields_of(page_with(chen, url_of(panel)))["idem"][0] for _ in range(2)]
    assert keys[0] != keys[1] and all(uuid.UUID(key) for key in keys)


def test_the_day_of_a_visit_recorded_meanwhile_is_not_overwritten_by_a_panel(unchanged, screened):
    """A panel's first entry marks its visit as attended, unless somebody has just recorded the day."""
    panel = unchanged.panel(screened, "SCR", "virology")
    visit = visit_steps.visit_of(screened, "SCR")
    stale = type(visit).objects.get(pk=visit.pk)
    visit_actions.record_attendance(
        visit=visit, attended_on=screened.screened_on, version=None, reason="day", by=unchanged.chen
    )
    stale.state = "planned"
    mark_attended(stale, screened.screened_on + timedelta(days=3))
    visit.refresh_from_db()
    assert visit.attended_on == screened.screened_on
    assert panel.state == "expected"


# --- reasons -----------------------------------------------------------------------------------------


@pytest.mark.requirement("R1")
@pytest.mark.parametrize("version", ["1", "01", "1.0", " 1"])
@pytest.mark.parametrize("reason", ["", " "])
def test_however_the_version_is_written_a_change_without_a_reason_is_refused(unchanged, screened, version, reason):
    line = patient_steps.add_medication(patient=screened, treatment="Ibuprofen", started_on="2020", by=unchanged.chen)
    for action in ("withdraw/", ""):
        url = f"/patients/{screened.pk}/lines/medication/{line.pk}/{action}"
        answer = send(unchanged.client(unchanged.chen), url, version=version, reason=reason)
        assert answer.status_code == 422
        assert "reason" in answer.context["form"].errors
    assert Medication.objects.get(pk=line.pk).version == 1


@pytest.mark.requirement("R1")
def test_where_an_action_forgets_the_reason_the_trail_refuses_and_the_page_says_so(unchanged, panel, monkeypatch):
    def forgetful(*, panel, **_values):
        PanelRecord.objects.filter(pk=panel.pk).update(comment="x")

    monkeypatch.setattr(visit_actions, "mark_panel_not_done", forgetful)
    url = f"/visits/panels/{unchanged.panel(panel.patient, 'SCR', 'chemistry').pk}/not-done/"
    answer = send(unchanged.client(unchanged.chen), url, not_done_because="Tube broken")
    assert answer.status_code == 422
    assert "Write why the entry is changed." in answer.content.decode()


# --- said twice --------------------------------------------------------------------------------------


@pytest.mark.requirement("R1")
def test_to_say_again_why_a_panel_was_not_done_is_a_change_and_needs_a_reason(unchanged, screened):
    chen, panel = unchanged.client(unchanged.chen), unchanged.panel(screened, "SCR", "virology")
    url = f"/visits/panels/{panel.pk}/not-done/"
    assert send(chen, url, not_done_because="Tube broken").status_code == 302
    assert send(chen, url, not_done_because="No tube").status_code == 422
    assert PanelRecord.objects.get(pk=panel.pk).not_done_because == "Tube broken"
    assert send(chen, url, not_done_because="No tube", reason="Asked the nurse").status_code == 302
    assert AuditEvent.objects.of(panel).last().reason == "Asked the nurse"


@pytest.mark.requirement("R1")
def test_to_say_again_why_a_visit_was_missed_is_a_change_and_needs_a_reason(unchanged):
    patient = unchanged.screened()
    chen, visit = unchanged.client(unchanged.chen), visit_steps.visit_of(patient, "SCR")
    url = f"/visits/{visit.pk}/missed/"
    assert send(chen, url, missed_because="Did not come").status_code == 302
    assert send(chen, url, missed_because="Was ill").status_code == 422
    assert send(chen, url, missed_because="Was ill", reason="The patient rang").status_code == 302
    assert AuditEvent.objects.of(visit).last().reason == "The patient rang"
    attended = {"attended_on": patient.screened_on}
    assert send(chen, f"/visits/{visit.pk}/date/", **attended).status_code == 422
    assert send(chen, f"/visits/{visit.pk}/date/", **attended, reason="Came after all").status_code == 302


# --- one query, two answers --------------------------------------------------------------------------


@pytest.mark.requirement("R54")
def test_an_answer_to_a_query_that_somebody_answered_meanwhile_is_kept_and_both_are_shown(unchanged, panel):
    query = visit_actions.raise_query(panel=panel, test="", text="Is this right?", by=unchanged.maria)
    chen, wang = unchanged.client(unchanged.chen), unchanged.client(unchanged.wang)
    url = f"/visits/queries/{query.pk}/"
    seen = page_with(chen, url)
    assert send(wang, url, text="Yes, I looked.", step="answer").status_code == 302
    answer = send(chen, url, seen, text="No, it was 131.", step="answer")
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "No, it was 131." in page and "Yes, I looked." in page
    assert Query.objects.get(pk=query.pk).messages.count() == 1
    assert Draft.objects.get(user=unchanged.chen, path=url).fields["text"] == ["No, it was 131."]
