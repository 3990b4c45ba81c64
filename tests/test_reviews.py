"""Verified, reviewed, signed; void when the data change; frozen and locked."""

import inspect
import re
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import patients.actions
import safety.actions
import visits.actions
from patients import demo as patient_steps
from patients.models import ArtRegimen, Hold, Patient
from safety import demo as safety_steps
from safety.models import Coding, DeclinedResult, DismissedProposal, SeriousCase
from tests.test_deviations import values_of
from tests.universe import PASSWORD, fields_of, send
from trialsite import actions as accounts
from trialsite.audit import acting
from trialsite.clock import today_at, told_at, zone_of
from trialsite.models import FormReceipt, Grant, User
from trialsite.saving import Refused, Stale
from visits import actions, waiting
from visits import demo as steps
from visits.actions import Seen
from visits.contents import CASEBOOK, INFUSIONS, PANELS, all_of, faults_of, load_forms
from visits.models import Infusion, Mark, Measurement, PanelRecord, Query, Review, Visit
from visits.ranges import range_text
from visits.reviews import MEANING_OF_CASEBOOK, MEANINGS, STEPS

WRONG = "The value was read from the wrong line"


@pytest.fixture
def patient(unchanged):
    return unchanged.with_results()


@pytest.fixture
def panel(patient):
    """Chemistry of screening, entered."""
    return PanelRecord.objects.select_related("visit", "patient__site").get(patient=patient, code="chemistry")


def seen(panel, *fields):
    return [Seen(PANELS, panel.pk, PanelRecord.objects.get(pk=panel.pk).version, fields or ("",))]


def sign(universe, panel, by=None):
    marks, _ = actions.sign_forms(
        patient=panel.patient, seen=seen(panel), meaning=MEANINGS[0], alone=True, by=by or universe.wang
    )
    return marks[0]


def change(universe, panel, **values):
    """Correct values of a panel, each to what is given."""
    panel = PanelRecord.objects.get(pk=panel.pk)
    return actions.record_panel(
        panel=panel, values=values, collected_on=panel.collected_on, comment=panel.comment, version=panel.version,
        reason=WRONG, by=universe.chen,
    )  # fmt: skip


def other_value(panel, test):
    return f"{Decimal(Measurement.objects.get(panel=panel, test=test).typed) + 1}"


def check_reviews():
    """What the command prints, and whether it found nothing wrong."""
    out, fine = StringIO(), True
    try:
        call_command("check_reviews", stdout=out)
    except SystemExit:
        fine = False
    return out.getvalue(), fine


def by_sql(universe, sql, *values):
    """Past all actions, as a person with the database's own tools would."""
    with acting(universe.system, "by SQL"), connection.cursor() as cursor:
        cursor.execute(sql, values)


def address_of(panel, step="sign"):
    return f"/visits/check/{step}/record/visits/panelrecord/{panel.pk}/"


def signatures(panel):
    return Review.objects.standing().filter(record=PANELS, record_id=panel.pk, mark=Mark.SIGNED)


# --- signing -------------------------------------------------------------------------------------------


@pytest.mark.requirement("R17")
def test_who_signs_an_infusion_sees_all_of_its_lines_and_which_were_entered_in_error(unchanged):
    infusion = Infusion.objects.select_related("visit__patient__site").get(patient=unchanged.infused())
    began = infusion.started_at + timedelta(minutes=5)
    for term in ("Chills", "Fever"):
        infusion = actions.record_infusion(
            visit=infusion.visit, started_at=infusion.started_at, stopped_at=infusion.stopped_at, volume_ml=infusion.volume_ml,
            reactions=[(term, began, 3)], interruptions=[(began, began + timedelta(minutes=2), "Line blocked")],
            version=infusion.version, reason=WRONG, by=unchanged.chen,
        )  # fmt: skip
    page = unchanged.client(unchanged.wang).get(f"/visits/check/sign/record/visits/infusion/{infusion.pk}/")
    rows = {row["value"] for entry in page.context["entries"] for row in entry["rows"] if row["label"] != "measurement"}
    at = told_at(began, zone_of(unchanged.site))
    [fever] = [row for row in rows if str(row).startswith("reaction: Fever")]
    [chills] = [row for row in rows if str(row).startswith("reaction: Chills")]
    assert f"began: {at} · grade: 3 · scale: CTCAE" in fever and "entered in error" not in fever
    assert chills.endswith("entered in error")
    assert any(str(value).startswith(f"stopped: {at}") and "cause: Line blocked" in value for value in rows if value)


@pytest.mark.requirement("R17")
def test_a_signed_form_shows_printed_name_date_time_and_meaning(unchanged, panel):
    browser = unchanged.client(unchanged.wang)
    answer = send(browser, address_of(panel), password=PASSWORD, meaning=MEANINGS[0])
    assert answer.status_code == 302
    mark = signatures(panel).get()
    for address in (f"/visits/panels/{panel.pk}/", f"/visits/{panel.visit_id}/"):
        page = unchanged.client(unchanged.ines).get(address).content.decode()
        assert "Wang Jun" in page and MEANINGS[0] in page
        assert "Investigator" in page or "visits/panels" not in address
        here = mark.at.astimezone(ZoneInfo(panel.patient.site.timezone))
        assert f"{here:%Y-%m-%d %H:%M:%S} UTC{here:%z}"[:-2] in page
    assert mark.roles == "investigator"


@pytest.mark.requirement("R20")
@pytest.mark.parametrize("password", ["", "not-my-password-at-all", None])
def test_nothing_is_signed_without_the_own_password(unchanged, panel, password):
    answer = send(unchanged.client(unchanged.wang), address_of(panel), password=password)
    assert answer.status_code == 422
    assert not Review.objects.exists()


@pytest.mark.requirement("R20")
def test_nothing_is_signed_with_another_persons_password(unchanged, panel):
    accounts.change_password(user=unchanged.li, password="li-has-another-one-1905", by=unchanged.li)
    answer = send(unchanged.client(unchanged.wang), address_of(panel), password="li-has-another-one-1905")
    assert answer.status_code == 422 and not Review.objects.exists()


@pytest.mark.requirement("R20")
def test_the_password_is_neither_kept_nor_shown_again(unchanged, panel):
    browser = unchanged.client(unchanged.wang)
    page = browser.get(address_of(panel))
    refused = send(browser, address_of(panel), page=page, password=PASSWORD, meaning="something else")
    assert refused.status_code == 422 and PASSWORD not in refused.content.decode()
    assert send(browser, address_of(panel), page=page, password=PASSWORD).status_code == 302
    again = send(browser, address_of(panel), page=page, password="another one")  # the receipt knows no password
    assert again.status_code == 302 and signatures(panel).count() == 1
    assert all(PASSWORD not in str(receipt.__dict__) for receipt in FormReceipt.objects.all())


@pytest.mark.requirement("R23")
def test_what_was_changed_after_the_page_was_opened_is_not_signed(unchanged, panel):
    browser = unchanged.client(unchanged.wang)
    page = browser.get(address_of(panel))
    change(unchanged, panel, ALT=other_value(panel, "ALT"))
    answer = send(browser, address_of(panel), page=page, password=PASSWORD)
    assert answer.status_code == 409 and not Review.objects.exists()
    with pytest.raises(Stale):
        actions.sign_forms(
            patient=panel.patient, seen=[Seen(PANELS, panel.pk, panel.version)], meaning=MEANINGS[0], alone=True,
            by=unchanged.wang,
        )  # fmt: skip


@pytest.mark.requirement("R24")
def test_whose_delegation_ended_signs_no_more(unchanged, panel):
    browser = unchanged.client(unchanged.wang)
    page = browser.get(address_of(panel))
    grant = Grant.objects.get(user=unchanged.wang)
    accounts.revoke_role(grant=grant, reason="left the hospital", by=unchanged.system)
    assert send(browser, address_of(panel), page=page, password=PASSWORD)["Location"] == "/sign-in/"
    browser = unchanged.client(User.objects.get(pk=unchanged.wang.pk))
    assert send(browser, address_of(panel), page=page, password=PASSWORD).status_code == 403
    with pytest.raises(PermissionDenied):
        sign(unchanged, panel, by=User.objects.get(pk=unchanged.wang.pk))
    assert not Review.objects.exists()


@pytest.mark.requirement("R24")
@pytest.mark.parametrize("name", ["chen", "li", "maria", "david", "ines"])
def test_only_an_investigator_of_the_site_signs(unchanged, panel, name):
    person = getattr(unchanged, name)
    assert unchanged.client(person).get(address_of(panel)).status_code in (403, 404)
    with pytest.raises(PermissionDenied):
        sign(unchanged, panel, by=person)


def test_another_sites_form_and_a_missing_one_answer_alike(unchanged, panel):
    accounts.grant_role(
        user=unchanged.li, role="investigator", site=unchanged.other_site, reason="x", by=unchanged.system
    )
    browser = unchanged.client(User.objects.get(pk=unchanged.li.pk))
    missing = browser.get("/visits/check/sign/record/visits/panelrecord/999999/")
    foreign = browser.get(address_of(panel))
    assert missing.status_code == foreign.status_code == 404


def test_what_is_signed_is_one_of_the_declared_meanings(unchanged, panel):
    with pytest.raises(Refused, match="sentences of the list"):
        actions.sign_forms(patient=panel.patient, seen=seen(panel), meaning="because", by=unchanged.wang)


@pytest.mark.requirement("R26")
def test_signing_a_visit_lists_every_form_and_leaves_out_what_changed_meanwhile(unchanged, patient, panel):
    browser, address = unchanged.client(unchanged.wang), f"/visits/check/sign/visit/{panel.visit_id}/"
    page = browser.get(address)
    entered = PanelRecord.objects.filter(visit=panel.visit_id, state="entered")
    shown = page.content.decode()
    for one in entered:
        assert one.protocol.panel(one.code).name in shown
    before = fields_of(page)["chosen"]
    change(unchanged, panel, ALT=other_value(panel, "ALT"))
    answer = send(browser, address, page=page, password=PASSWORD)
    assert answer.status_code == 302
    told = browser.get(answer["Location"]).content.decode()
    assert "Chemistry" in told and "changed after you opened" in told
    signed = Review.objects.standing().filter(mark=Mark.SIGNED)
    assert signed.count() == len(before) - 1 and not signatures(panel).exists()
    assert len({mark.digest for mark in signed}) == signed.count()
    assert check_reviews()[1]


def test_a_form_with_an_open_query_is_not_signed_and_says_why(unchanged, panel):
    query = actions.raise_query(panel=panel, test="ALT", text="Please check.", by=unchanged.maria)
    with pytest.raises(Refused, match="Queries wait"):
        sign(unchanged, panel)
    assert "Queries wait for an answer" in unchanged.client(unchanged.wang).get(address_of(panel)).content.decode()
    actions.answer_query(query=query, text="Confirmed.", version=None, by=unchanged.chen)
    assert sign(unchanged, panel)


# --- bound to the data ------------------------------------------------------------------------------------


@pytest.mark.requirement("R18")
def test_a_signature_that_is_copied_to_another_record_is_invalid(unchanged, panel):
    mark = sign(unchanged, panel)
    other = PanelRecord.objects.filter(visit=panel.visit_id, version=2).exclude(pk=panel.pk).first()
    assert check_reviews()[1]
    names = [f.column for f in Review._meta.concrete_fields if f.column not in ("id", "record_id")]
    by_sql(unchanged, f"insert into visits_review ({', '.join(names)}, record_id) select {', '.join(names)}, %s"
           " from visits_review where id = %s", other.pk, mark.pk)  # fmt: skip
    told, fine = check_reviews()
    assert not fine and "1 invalid" in told and f"visits.panelrecord {other.pk}" in told
    page = unchanged.client(unchanged.wang).get(f"/visits/panels/{other.pk}/").content.decode()
    assert "INVALID" in page


@pytest.mark.requirement("R18")
@pytest.mark.parametrize(
    "sql",
    [
        "update visits_measurement set typed = '99', value = 99 where test = 'ALT' and panel_id = %s",
        "update visits_measurement set high = 99 where test = 'ALT' and panel_id = %s",
        "update visits_measurement set reported_unit = 'x' where test = 'ALT' and panel_id = %s",
        "update visits_measurement set panel_id = null, infusion_id = null where false and panel_id = %s;"
        " update visits_panelrecord set comment = 'x' where id = {pk}",
        "update visits_panelrecord set version = version + 1 where id = %s",
        "update visits_review set printed_name = 'Li Na' where record_id = %s",
        "update visits_review set at = at + interval '1 second' where record_id = %s",
        "update visits_review set meaning = 'x' where record_id = %s",
    ],
)
def test_a_value_or_a_signature_that_is_changed_by_sql_is_told_as_invalid(unchanged, panel, sql):
    sign(unchanged, panel)
    by_sql(unchanged, sql.format(pk=panel.pk), panel.pk)
    told, fine = check_reviews()
    assert not fine and "1 invalid" in told
    assert "INVALID" in unchanged.client(unchanged.wang).get(f"/visits/panels/{panel.pk}/").content.decode()
    assert "INVALID" in unchanged.client(unchanged.wang).get(f"/visits/{panel.visit_id}/").content.decode()


@pytest.mark.requirement("R19")
def test_a_change_makes_the_signature_void_visibly_and_asks_for_a_new_one(unchanged, panel):
    mark = sign(unchanged, panel)
    change(unchanged, panel, ALT=other_value(panel, "ALT"))
    mark.refresh_from_db()
    assert mark.void_by == unchanged.chen and mark.void_because == WRONG
    browser = unchanged.client(unchanged.wang)
    page = browser.get(f"/visits/panels/{panel.pk}/").content.decode()
    assert "<del>signed</del> void" in page and WRONG in page and "Not signed: the data changed" in page
    assert "<del>signed</del> void" in browser.get(f"/visits/{panel.visit_id}/").content.decode()
    told, fine = check_reviews()
    assert fine and told == "1 marks checked, 0 invalid\n"  # valid for the version that it was set on
    assert waiting.to_sign(unchanged.wang).filter(pk=panel.visit_id).exists()
    again = sign(unchanged, panel)
    assert again.record_version == mark.record_version + 1
    assert "Not signed" not in browser.get(f"/visits/panels/{panel.pk}/").content.decode()


@pytest.mark.requirement("R19")
def test_a_void_signature_is_still_held_against_what_was_signed(unchanged, panel):
    mark = sign(unchanged, panel)
    change(unchanged, panel, ALT=other_value(panel, "ALT"))
    by_sql(unchanged, "update visits_review set meaning = 'something else' where id = %s", mark.pk)
    assert "1 invalid" in check_reviews()[0]


@pytest.mark.requirement("R19")
def test_taking_the_entry_back_makes_every_mark_void(unchanged, panel):
    sign(unchanged, panel)
    actions.verify_forms(patient=panel.patient, seen=seen(panel, "ALT"), by=unchanged.maria)
    actions.review_forms(patient=panel.patient, seen=seen(panel), by=unchanged.david)
    actions.clear_panel(panel=panel, version=None, reason=WRONG, by=unchanged.chen)
    assert not Review.objects.standing().exists() and Review.objects.count() == 3


@pytest.mark.requirement("R19")
def test_a_change_of_an_infusion_makes_its_signature_void(unchanged):
    patient = unchanged.infused()
    infusion = Infusion.objects.select_related("visit").get(patient=patient)
    given = {name: getattr(infusion, name) for name in ("started_at", "stopped_at", "volume_ml", "given_percent")}

    def correct(comment):
        actions.record_infusion(
            visit=infusion.visit, **given, comment=comment, version=None, reason=WRONG, by=unchanged.wang
        )

    marks, left_out = actions.sign_forms(
        patient=patient, seen=[Seen(INFUSIONS, infusion.pk, infusion.version)], meaning=MEANINGS[0], by=unchanged.wang
    )
    assert len(marks) == 1 and not left_out and check_reviews()[1]
    assert "Wang Jun" in unchanged.client(unchanged.wang).get(f"/visits/{infusion.visit_id}/infusion/").content.decode()
    correct("seen again")
    assert Review.objects.get().is_void and check_reviews()[1]


@pytest.mark.requirement("R19")
def test_a_change_of_an_event_or_a_line_makes_its_marks_void(unchanged, patient):
    event = unchanged.event(patient)
    line = ArtRegimen.objects.filter(patient=patient).first()
    shown = [Seen("safety.adverseevent", event.pk, 1), Seen("patients.artregimen", line.pk, line.version)]
    actions.sign_forms(patient=patient, seen=shown, meaning=MEANINGS[0], by=unchanged.wang)
    assert Review.objects.standing().count() == 2
    page = unchanged.client(unchanged.wang).get(f"/safety/events/{event.pk}/").content.decode()
    assert "Wang Jun" in page and MEANINGS[0] in page
    safety.actions.change_adverse_event(event=event, values={"grade": 2}, version=None, reason=WRONG, by=unchanged.chen)
    patients.actions.withdraw_line(line=line, version=None, reason=WRONG, by=unchanged.chen)
    assert not Review.objects.standing().exists()
    assert {mark.void_because for mark in Review.objects.all()} == {WRONG}
    with pytest.raises(Refused, match="entered in error"):
        actions.sign_forms(
            patient=patient, seen=[Seen("patients.artregimen", line.pk, line.version + 1)], meaning=MEANINGS[0],
            alone=True, by=unchanged.wang,
        )  # fmt: skip


# --- verifying and reviewing --------------------------------------------------------------------------------


def test_nothing_is_ticked_as_verified_by_itself(unchanged):
    """What was compared with the source a person says; what is read on the page may be signed as a whole."""
    visit = Infusion.objects.get(patient=unchanged.infused(seed=7)).visit
    for person, step, is_ticked in ((unchanged.maria, "verify", False), (unchanged.wang, "sign", True)):
        page = unchanged.client(person).get(f"/visits/check/{step}/visit/{visit.pk}/").content.decode()
        boxes = re.findall(r'<input[^>]*name="chosen"[^>]*>', page)
        assert boxes and {"checked" in box for box in boxes} == {is_ticked}, step


def test_a_verified_field_stays_verified_until_it_changes_itself(unchanged, panel):
    actions.verify_forms(patient=panel.patient, seen=seen(panel, "ALT", "AST", "CREAT"), by=unchanged.maria)
    change(unchanged, panel, ALT=other_value(panel, "ALT"))
    standing = Review.objects.standing().filter(mark=Mark.VERIFIED)
    assert {mark.field for mark in standing} == {"AST", "CREAT"}
    assert check_reviews()[1]
    page = unchanged.client(unchanged.maria).get(f"/visits/panels/{panel.pk}/").content.decode()
    assert "2 of 4 verified" in page and "INVALID" not in page


def test_the_monitor_ticks_fields_or_takes_all_that_the_protocol_names(unchanged, panel):
    browser, address = unchanged.client(unchanged.maria), f"/visits/check/verify/visit/{panel.visit_id}/"
    token = f"visits.panelrecord:{panel.pk}"
    assert send(browser, address, chosen=[f"{token}:ALP"]).status_code == 302
    assert send(browser, address, all=token).status_code == 302
    verified = Review.objects.standing().filter(record_id=panel.pk).values_list("field", flat=True)
    assert set(verified) == {"ALP", *panel.protocol.verified_tests & set(panel.protocol.panel("chemistry").tests)}
    assert send(browser, address, chosen=[f"{token}:NOSUCH"]).status_code == 422
    assert send(browser, address, chosen=["visits.panelrecord:999999"]).status_code == 422
    assert send(browser, address, chosen=["<b>"]).status_code == 422


def test_after_one_form_the_next_of_the_visit_is_offered_and_after_the_last_the_visit(unchanged, patient, panel):
    browser, visit = unchanged.client(unchanged.maria), f"/visits/{panel.visit_id}/"
    wanted = [
        one for one in PanelRecord.objects.filter(visit=panel.visit_id, state="entered").order_by("position")
        if set(one.protocol.panel(one.code).tests) & one.protocol.verified_tests
    ]  # fmt: skip
    address, passed = address_of(wanted[1], "verify"), []
    while address != visit:
        passed.append(address)
        page = browser.get(address)
        answer = send(browser, address, page=page, all=page.context["entries"][0]["token"])
        assert answer.status_code == 302
        address = answer["Location"]
    assert sorted(passed) == sorted(address_of(one, "verify") for one in wanted)
    assert "Verify against the source" not in browser.get(visit).content.decode()


def test_on_the_page_of_a_visit_marking_one_form_leads_to_the_next_on_it(unchanged, patient, panel):
    browser, address = unchanged.client(unchanged.maria), f"/visits/check/verify/visit/{panel.visit_id}/"
    answer = send(browser, address, all=f"visits.panelrecord:{panel.pk}")
    assert answer["Location"].startswith(f"{address}#panelrecord-")
    assert f'id="{answer["Location"].split("#")[1]}"' in browser.get(address).content.decode()
    assert f"#panelrecord-{panel.pk}" not in answer["Location"]
    david, all_of_it = unchanged.client(unchanged.david), f"/visits/check/review/visit/{panel.visit_id}/"
    for query in Query.objects.filter(patient=patient, state="open"):
        actions.answer_query(query=query, text="Confirmed.", version=None, by=unchanged.chen)
    assert "Review the data" in david.get(f"/visits/{panel.visit_id}/").content.decode()
    assert send(david, all_of_it)["Location"] == f"/visits/{panel.visit_id}/"
    assert "Review the data" not in david.get(f"/visits/{panel.visit_id}/").content.decode()


def test_the_work_list_stands_in_the_order_of_the_dates_that_it_shows(unchanged, patient):
    other = unchanged.with_results()
    with acting(unchanged.chen, "moved for a test"):
        first, second = (Visit.objects.get(patient=one, code="SCR") for one in (patient, other))
        first.planned_on -= timedelta(days=40)  # planned first, done last
        first.save()
        second.attended_on -= timedelta(days=1)
        second.save()
    for rows in (
        waiting.to_verify(unchanged.maria),
        waiting.to_review(unchanged.david),
        waiting.to_sign(unchanged.wang),
    ):
        days = [visit.on for visit in rows]
        assert days == sorted(days) and len(days) > 1


def test_the_lists_count_what_waits_and_empty_themselves(unchanged, patient, panel):
    [visit] = waiting.to_verify(unchanged.maria)
    wanted = patient.protocol.verified_tests
    codes = {test for panel in PanelRecord.objects.filter(visit=visit, state="entered")
             for test in panel.protocol.panel(panel.code).tests}  # fmt: skip
    assert (visit.fields, visit.fields_done) == (len(wanted & codes), 0)
    for one in PanelRecord.objects.filter(visit=visit, state="entered"):
        fields = [code for code in one.protocol.panel(one.code).tests if code in wanted]
        if fields:
            actions.verify_forms(patient=patient, seen=seen(one, *fields), by=unchanged.maria)
        actions.review_forms(patient=patient, seen=seen(one), by=unchanged.david)
    assert not waiting.to_verify(unchanged.maria) and not waiting.to_review(unchanged.david)
    assert waiting.to_sign(unchanged.wang).get().fields_done == 0
    assert not waiting.to_sign(unchanged.li)
    assert waiting.patients_with_records_to(Mark.VERIFIED, unchanged.maria, STEPS["verify"].permission).get().n > 0


@pytest.mark.parametrize(("name", "step"), [("maria", "verify"), ("david", "review"), ("wang", "sign")])
def test_each_list_page_and_patient_page_leads_to_the_marks(unchanged, patient, panel, name, step):
    browser = unchanged.client(getattr(unchanged, name))
    assert f"/visits/check/{step}/visit/{panel.visit_id}/" in browser.get("/visits/check/").content.decode()
    page = browser.get(f"/visits/check/{step}/?site={unchanged.site.pk}").content.decode()
    assert f"/visits/check/{step}/visit/{panel.visit_id}/" in page
    address = f"/visits/check/{step}/patient/{patient.pk}/"
    unchanged.event(patient)
    tick = {
        "chosen": re.findall(r'name="chosen" value="(safety.adverseevent:\d+)"', browser.get(address).content.decode())
    }
    more = {"password": PASSWORD} if step == "sign" else tick if step == "verify" else {}
    assert send(browser, address, **more).status_code == 302
    assert Review.objects.filter(record="safety.adverseevent", mark=STEPS[step].after).exists()


def test_a_mark_by_mistake_is_taken_back_by_who_may_set_it(unchanged, panel):
    [mark], _ = actions.verify_forms(patient=panel.patient, seen=seen(panel, "ALT"), by=unchanged.maria)
    with pytest.raises(PermissionDenied):
        actions.take_back_mark(mark=mark, reason=WRONG, by=unchanged.chen)
    answer = send(unchanged.client(unchanged.maria), f"/visits/marks/{mark.pk}/take-back/", reason=WRONG)
    assert answer.status_code == 302
    mark.refresh_from_db()
    assert mark.is_void and mark.void_because == WRONG


# --- frozen and locked -----------------------------------------------------------------------------------------


def hold(universe, record, to):
    with acting(universe.system, "for the test"):
        type(record).objects.filter(pk=record.pk).update(hold=to)
    record.refresh_from_db()


def attempts(universe, patient):
    """Every action that writes data about a patient, tried in earnest: (name, what is done)."""
    by, today = universe.chen, today_at(patient.site)
    panel = PanelRecord.objects.get(patient=patient, code="chemistry", visit__code="SCR")
    expected = PanelRecord.objects.filter(patient=patient, state="expected").first()
    visit = Visit.objects.get(patient=patient, code="W0")
    infusion = Infusion.objects.get(patient=patient)
    line = ArtRegimen.objects.filter(patient=patient).first()
    event = patient.adverse_events.first()
    deviation = patient.deviations.get()
    query = Query.objects.filter(patient=patient).first()
    dismissed = DismissedProposal(patient=patient, pk=0)
    result = Measurement.objects.filter(patient=patient, panel=panel).first()
    coding = Coding.objects.filter(patient=patient, kind="adverse_event").first()
    words = safety.actions.Words(coding.kind, coding.record_id, coding.verbatim)
    marks = {"patient": patient, "seen": [Seen(PANELS, panel.pk, panel.version)]}
    P, V, S = patients.actions, visits.actions, safety.actions
    values = {"term": "Asthma", "started_on": "2001", "is_ongoing": True, "ended_on": ""}
    medical = patients.models.MedicalHistory
    return {
        P.correct_person: {"patient": patient, "birth_date": patient.birth_date, "version": None, "reason": "x"},
        P.correct_consent: {"consent": patient.consents.first(), "signed_on": today, "language": "en", "obtained_by": "x",
                            "version": None, "reason": "x"},
        P.record_consent: {"patient": patient, "form_version": "1.0", "language": "en", "signed_on": today,
                           "obtained_by": "x", "version": None},
        P.save_line: {"model": medical, "patient": patient, "values": values},
        P.withdraw_line: {"line": line, "version": None, "reason": "x"},
        P.assess_eligibility: {"patient": patient, "assessed_on": today, "answers": {}, "comments": {}, "version": None},
        P.randomise_patient: {"patient": patient, "day_0": today, "version": None},
        P.set_day_0: {"patient": patient, "day_0": today - timedelta(days=1), "reason": "x"},
        P.record_disposition: {"patient": patient, "state": "completed", "on": today, "version": None},
        V.add_unscheduled_visit: {"patient": patient, "on": today, "panels": ["chemistry"]},
        V.move_plan: {"patient": patient, "day_0": today, "reason": "x"},
        V.record_attendance: {"visit": visit, "attended_on": today, "version": None, "reason": "x"},
        V.record_missed_visit: {"visit": visit, "missed_because": "x", "version": None},
        V.record_panel: {"panel": panel, "values": {}, "collected_on": panel.collected_on, "version": None, "reason": "x"},
        V.mark_panel_not_done: {"panel": expected, "not_done_because": "x", "version": None},
        V.confirm_grade: {"measurement": panel.measurements.get(test="ALT"), "grade": 4, "version": None},
        V.clear_panel: {"panel": panel, "version": None, "reason": "x"},
        V.prepare_infusion: {"visit": visit, "lot": infusion.preparation.lot, "weight_kg": Decimal(60), "label": "L",
                             "prepared_at": timezone.now()},
        V.record_infusion: {"visit": visit, "started_at": infusion.started_at, "stopped_at": infusion.stopped_at,
                            "volume_ml": infusion.volume_ml, "version": None, "reason": "x"},
        V.raise_query: {"panel": panel, "test": "", "text": "x"},
        V.answer_query: {"query": query, "text": "x", "version": None},
        V.close_query: {"query": query, "text": "x", "version": None},
        V.reopen_query: {"query": query, "text": "x", "version": None},
        V.verify_forms: {**marks, "alone": True, "by": universe.maria},
        V.review_forms: {**marks, "alone": True, "by": universe.david},
        V.sign_forms: {**marks, "alone": True, "meaning": MEANINGS[0], "by": universe.wang},
        V.take_back_mark: {"mark": Review.objects.get(patient=patient), "reason": "x", "by": universe.wang},
        S.report_adverse_event: {"patient": patient, "values": universe.event_values(patient)},
        S.change_adverse_event: {"event": event, "values": {"grade": 2}, "version": None, "reason": "x"},
        S.withdraw_adverse_event: {"event": event, "version": None, "reason": "x"},
        S.record_deviation: {"patient": patient, "values": {}},
        S.dismiss_proposal: {"patient": patient, "proposal_key": "x", "reason": "x"},
        S.change_deviation: {"deviation": deviation, "values": {}, "version": None, "reason": "x"},
        S.withdraw_deviation: {"deviation": deviation, "version": None, "reason": "x"},
        S.restore_proposal: {"dismissed": dismissed, "version": None, "reason": "x"},
        S.report_proposed_event: {"seen": result, "values": {}},
        S.add_result_to_event: {"seen": result, "event": event},
        S.decline_result: {"seen": result, "reason": "x"},
        S.restore_result: {"declined": DeclinedResult(patient=patient, pk=0), "version": None, "reason": "x"},
        S.report_case: {"case": SeriousCase(patient=patient, pk=0), "version": None},
        S.set_case_links: {"case": SeriousCase(patient=patient, pk=0), "measurements": [], "medications": [], "version": None},
        S.code_terms: {"words": [words], "term": None, "reason": "x", "by": universe.david},
        S.approve_codings: {"seen": [(coding.pk, coding.version)], "by": universe.david},
        S.reject_coding: {"coding": coding, "version": coding.version, "reason": "x", "by": universe.david},
    }, by  # fmt: skip


# not about data of one patient, or only ever called inside one of the others; apply_range leaves out what is held
NOT_HELD = {
    "screen_patient", "make_allocation_list", "import_allocation_list", "open_halt", "lift_halt", "receive_lot",
    "record_lot_tests", "release_lot", "reject_lot", "plan_screening", "plan_visits", "follow_amendment", "follow_sex",
    "hold_visit", "hold_patient", "freeze_visits", "marks_void",
    "apply_range", "add_range", "change_laboratory", "check_line", "copy_ranges", "create_laboratory", "end_feed",
    "end_range", "import_ranges", "raise_record_queries", "renew_feed", "repeat_casebook", "request_casebook", "restore_check",
    "retire_check", "withdraw_range", "draw_arm_letters", "request_dsmb_report", "repeat_dsmb_report",
    # what the board is given and says, what people keep of listings
    "acknowledge_recommendation", "confirm_reading", "record_recommendation", "release_report", "resolve_action_item",
    "sign_recommendation", "withdraw_recommendation", "forget_view", "record_copy", "save_view",
    # the sponsor's own judgements and reports go on, whatever the site's records are; what follows an event, in its action
    "acknowledge_submission", "ask_for_authority_copy", "make_authority_copy", "look_at_letters",
    "correct_knowledge", "judge_case", "make_case_version", "record_submission", "follow_allocation", "follow_events", "follow_infusion",
    "watch_after_disposition", "watch_events", "watch_rules",
    # dictionaries; those about many records leave out what is locked
    "code_line", "follow_words", "load_dictionary", "recode_codings", "restate_codings", "use_dictionary", "regrade",
    "regrade_patient",
    "unmask_patient", "record_casebook_download", "record_report_download", "drop_old_casebooks",
}  # fmt: skip
WHEN_FROZEN = {
    "raise_query", "answer_query", "close_query", "reopen_query", "verify_forms", "review_forms", "sign_forms",
    "take_back_mark", "record_deviation", "dismiss_proposal", "change_deviation", "withdraw_deviation", "restore_proposal",
    "decline_result", "restore_result", "report_case", "code_terms", "approve_codings", "reject_coding",
}  # fmt: skip


def all_actions():
    for module in (patients.actions, visits.actions, safety.actions):
        for name in getattr(module, "__all__", vars(module)):
            action = getattr(module, name)
            own = inspect.isfunction(action) and action.__module__.startswith(module.__name__)
            is_action = own and not name.startswith(("_", "raise_check"))
            if is_action and "by" in inspect.signature(action).parameters:
                yield name, action


def test_every_action_refuses_on_locked_records_and_data_stay_as_they_are_when_frozen(unchanged):
    patient = unchanged.infused()
    unchanged.event(patient)
    safety.actions.record_deviation(patient=patient, values=values_of(patient), by=unchanged.chen)
    panel = PanelRecord.objects.get(patient=patient, code="chemistry", visit__code="SCR")
    actions.raise_query(panel=panel, test="ALT", text="Please check.", by=unchanged.maria)
    actions.answer_query(query=Query.objects.get(patient=patient, test="ALT", check_code=""), text="x", version=None,
                         by=unchanged.chen)  # fmt: skip
    virology = PanelRecord.objects.get(patient=patient, code="virology", visit__code="SCR")
    actions.sign_forms(patient=patient, seen=seen(virology), meaning=MEANINGS[0], by=unchanged.wang)
    tried, by = attempts(unchanged, patient)
    names = {action.__name__ for action in tried}
    assert {name for name, _ in all_actions()} == NOT_HELD | names
    for held, words in ((Hold.LOCKED, "locked"), (Hold.FROZEN, "frozen")):
        hold(unchanged, patient, held)
        tried, by = attempts(unchanged, patient)
        for action, arguments in tried.items():
            if held == Hold.FROZEN and action.__name__ in WHEN_FROZEN:
                continue
            with pytest.raises(Refused, match=words) as refusal:
                action(**{"by": by, **arguments})
            assert words in str(refusal.value), action.__name__
    hold(unchanged, patient, Hold.OPEN)


def test_a_frozen_visit_closes_its_own_data_only_and_lets_queries_be_answered(unchanged, panel):
    query = actions.raise_query(panel=panel, test="ALT", text="Please check.", by=unchanged.maria)
    hold(unchanged, panel.visit, Hold.FROZEN)
    with pytest.raises(Refused, match="frozen"):
        change(unchanged, panel, ALT="31")
    page = unchanged.client(unchanged.chen).get(f"/visits/{panel.visit_id}/").content.decode()
    assert "this visit is frozen" in page
    answered = actions.answer_query(query=query, text="Confirmed.", version=None, by=unchanged.chen)
    assert answered.state == "answered"
    unchanged.event(panel.patient)
    hold(unchanged, panel.visit, Hold.LOCKED)
    with pytest.raises(Refused, match="locked"):
        actions.close_query(query=query, version=None, by=unchanged.maria)


def ready(universe, signs=True):
    """A patient whose screening visit is complete and, if `signs`, signed."""
    patient = universe.with_results()
    visit = Visit.objects.get(patient=patient, code="SCR")
    if not signs:
        return patient, visit, []
    forms = [Seen(PANELS, p.pk, p.version) for p in visit.panels.all()]
    _marks, left_out = actions.sign_forms(patient=patient, seen=forms, meaning=MEANINGS[0], by=universe.wang)
    return patient, visit, left_out


def test_a_visit_is_locked_when_it_is_complete_signed_and_unquestioned(unchanged):
    patient, visit, left_out = ready(unchanged)
    browser, address = unchanged.client(unchanged.david), f"/visits/{visit.pk}/hold/"
    if left_out:
        for query in Query.objects.filter(patient=patient, state="open"):
            actions.answer_query(query=query, text="Confirmed.", version=None, by=unchanged.chen)
            actions.close_query(query=query, version=None, by=unchanged.david)
        forms = [Seen(PANELS, p.pk, p.version) for p in visit.panels.all()]
        assert not [
            why
            for _, why in actions.sign_forms(patient=patient, seen=forms, meaning=MEANINGS[0], by=unchanged.wang)[1]
            if "already" not in str(why)
        ]
    panel = visit.panels.get(code="chemistry")
    query = actions.raise_query(panel=panel, test="ALT", text="Please check.", by=unchanged.maria)
    assert send(browser, address, step="lock").status_code == 422
    assert send(browser, address, step="freeze").status_code == 422
    actions.answer_query(query=query, text="Confirmed.", version=None, by=unchanged.chen)
    assert send(browser, address, step="freeze").status_code == 302
    assert "status-frozen" in browser.get("/visits/").content.decode()
    assert send(browser, address, step="lock").status_code == 422
    actions.close_query(query=query, version=None, by=unchanged.david)
    assert send(browser, address, step="lock").status_code == 302
    visit.refresh_from_db()
    assert visit.hold == Hold.LOCKED
    assert "status-locked" in browser.get("/visits/").content.decode()
    assert send(browser, address, step="unlock", reason="").status_code == 422
    assert send(browser, address, step="unlock", reason="A value was wrong").status_code == 302
    change(unchanged, panel, ALT=other_value(panel, "ALT"))
    assert not signatures(panel).exists()


def to_freeze(unchanged, **kwargs):
    """A patient with a visit that is ready to be frozen, every query answered; whether it is signed is left open."""
    patient, visit, panel = ready(unchanged, **kwargs)
    for query in Query.objects.filter(patient=patient, state="open"):
        actions.answer_query(query=query, text="Confirmed.", version=None, by=unchanged.chen)
    return patient, visit, panel


def test_visits_that_are_ready_are_frozen_together_and_the_others_named(unchanged):
    _patient, visit, _ = to_freeze(unchanged)
    browser = unchanged.client(unchanged.david)
    assert "chosen" not in fields_of(browser.get("/visits/freeze/")), "nothing is ticked until somebody says so"
    page = browser.get("/visits/freeze/?tick=signed")
    assert f"{visit.pk}:{visit.version}" in fields_of(page)["chosen"]
    panel = visit.panels.get(code="chemistry")
    actions.raise_query(panel=panel, test="ALT", text="Please check.", by=unchanged.maria)
    refused = send(browser, "/visits/freeze/", page=page)
    assert "Queries wait" in browser.get(refused["Location"]).content.decode()
    visit.refresh_from_db()
    assert visit.hold == Hold.OPEN
    for odd in ("999999:1", f"0{visit.pk}:{visit.version}", f"{visit.pk}:x", f"{visit.pk}"):
        assert send(browser, "/visits/freeze/", chosen=[odd]).status_code == 422, odd


def test_one_tick_freezes_all_visits_of_a_patient_that_were_shown_and_no_others(unchanged):
    patient, visit, _ = to_freeze(unchanged)
    other, its_visit, _ = to_freeze(unchanged)
    browser = unchanged.client(unchanged.david)
    assert send(browser, "/visits/freeze/", patients=[str(patient.pk), "999999"]).status_code == 302
    assert not waiting.to_freeze(unchanged.david).filter(patient=patient).exists()
    visit.refresh_from_db()
    assert visit.hold == Hold.FROZEN
    its_visit.refresh_from_db()
    assert its_visit.hold == Hold.OPEN
    overtaken = f"{its_visit.pk}:{its_visit.version + 1}"
    left = send(browser, "/visits/freeze/", seen=[overtaken], patients=[str(other.pk)])
    assert "It was changed after you opened the page." in browser.get(left["Location"]).content.decode()
    for odd in ({"patients": ["x"]}, {"patients": ["999999"]}, {"seen": "1:1;2:2", "patients": [str(other.pk)]}):
        assert send(browser, "/visits/freeze/", **odd).status_code == 422, odd


def test_what_can_be_frozen_is_filtered_counted_and_paged(unchanged, monkeypatch):
    patient, visit, _ = to_freeze(unchanged)
    _other, its_visit, _panel = to_freeze(unchanged, signs=False)
    browser = unchanged.client(unchanged.david)

    def shown(address):
        return browser.get(f"/visits/freeze/{address}").content.decode()

    def token(one):
        return f'value="{one.pk}:{one.version}"'

    for address, is_there, its_there in (
        ("", True, True),
        (f"?patient={patient.number}", True, False),
        (f"?site={unchanged.other_site.pk}", False, False),
        ("?signed=yes", True, False),
        ("?signed=no", False, True),
    ):
        page = shown(address)
        assert (token(visit) in page, token(its_visit) in page) == (is_there, its_there), address
    total = waiting.to_freeze(unchanged.david).count()
    assert f"{total} visits are ready" in shown("")
    ticked = fields_of(browser.get("/visits/freeze/?tick=signed"))["chosen"]
    assert f"{visit.pk}:{visit.version}" in ticked and f"{its_visit.pk}:{its_visit.version}" not in ticked
    monkeypatch.setattr("visits.views.reviews.PATIENTS_TO_FREEZE", 1)
    first, second = shown("?page=1"), shown("?page=2")
    assert token(visit) in first and token(its_visit) not in first and token(its_visit) in second
    assert f"{total} visits are ready" in second
    back = send(browser, "/visits/freeze/?signed=yes&tick=signed")
    assert back["Location"] == "/visits/freeze/?signed=yes"


def casebook(patient):
    """The casebook of a patient as a page shows it now."""
    [form] = load_forms({CASEBOOK: {patient.pk}}, patient=patient).values()
    return [Seen(*form.key, form.record.version, digest=form.digest)]


def finished(universe):
    """A patient who withdrew after screening, with every query answered and closed, frozen."""
    patient, _visit, _ = ready(universe)
    for query in Query.objects.filter(patient=patient).exclude(state="closed"):
        actions.close_query(query=query, version=None, by=universe.david)
    patient_steps.end_participation(patient=patient, state="withdrawn", explanation="Moved away", by=universe.chen)
    return actions.hold_patient(patient=patient, step="freeze", version=None, by=universe.david)


@pytest.mark.requirement("R19")
def test_a_casebook_is_signed_when_it_is_frozen_and_void_when_it_is_opened(unchanged):
    patient = finished(unchanged)
    browser, address = unchanged.client(unchanged.wang), f"/visits/check/sign/record/patients/patient/{patient.pk}/"
    page = browser.get(address).content.decode()
    assert "Chemistry" in page and MEANING_OF_CASEBOOK in page
    assert send(browser, address, password=PASSWORD).status_code == 302
    mark = Review.objects.standing().get(record=CASEBOOK)
    assert mark.meaning == MEANING_OF_CASEBOOK and check_reviews()[1]
    assert MEANING_OF_CASEBOOK in browser.get(f"/patients/{patient.pk}/").content.decode()
    by_sql(unchanged, "update visits_measurement set typed = '77' where patient_id = %s and test = 'ALT'", patient.pk)
    assert not check_reviews()[1]
    by_sql(unchanged, "update visits_measurement set typed = '78' where patient_id = %s and test = 'AST'", patient.pk)
    actions.hold_patient(patient=patient, step="unfreeze", reason=WRONG, version=None, by=unchanged.david)
    mark.refresh_from_db()
    assert mark.is_void and mark.void_because == WRONG


@pytest.mark.requirement("R19", "R23")
def test_the_casebooks_signature_covers_days_of_visits_how_it_ended_and_deviations(unchanged):
    patient = finished(unchanged)
    deviation = safety_steps.record_deviation(patient=patient, by=unchanged.maria)
    visit = Visit.objects.get(patient=patient, code="SCR")
    browser, address = unchanged.client(unchanged.wang), f"/visits/check/sign/record/patients/patient/{patient.pk}/"
    page = browser.get(address).content.decode()
    for told in (f"{visit.attended_on}", "Moved away", deviation.description):
        assert told in page, told
    assert send(browser, address, page=None, password=PASSWORD).status_code == 302
    # nobody changes them under the signature: only who opens the records, and so makes it void, lets them change
    for change_it in (
        lambda: actions.record_attendance(
            visit=visit,
            attended_on=visit.attended_on + timedelta(days=1),
            version=None,
            reason=WRONG,
            by=unchanged.chen,
        ),
        lambda: patient_steps.end_participation(patient=patient, state="died", explanation="x", by=unchanged.chen),
    ):
        with pytest.raises(Refused, match="frozen"):
            change_it()
    assert check_reviews()[1]
    for table, column in (
        ("visits_visit", "attended_on = attended_on + 1"), ("patients_disposition", "explanation = 'x'"),
        ("safety_deviation", "description = 'x'"),
    ):  # fmt: skip
        with transaction.atomic():
            by_sql(unchanged, f"update {table} set {column} where patient_id = %s and id >= %s", patient.pk, 0)
            assert not check_reviews()[1], table
            transaction.set_rollback(True)
    actions.hold_patient(patient=patient, step="unfreeze", reason=WRONG, version=None, by=unchanged.david)
    actions.record_attendance(
        visit=visit, attended_on=visit.attended_on + timedelta(days=1), version=None, reason=WRONG, by=unchanged.chen
    )
    assert Review.objects.get(record=CASEBOOK).is_void
    assert check_reviews()[1], "the void signature agrees with what stood there then"


@pytest.mark.requirement("R19")
def test_a_casebook_that_was_signed_before_visits_were_part_of_it_stays_valid(unchanged, settings):
    patient = finished(unchanged)
    settings.SIGNED_WITH_CASEBOOK, now_part_of_it = [], settings.SIGNED_WITH_CASEBOOK
    shown = casebook(patient)
    actions.sign_forms(patient=patient, seen=shown, meaning=MEANING_OF_CASEBOOK, alone=True, by=unchanged.wang)
    settings.SIGNED_WITH_CASEBOOK = now_part_of_it
    assert check_reviews()[1]


@pytest.mark.requirement("R19")
def test_a_deviation_recorded_after_the_casebook_was_signed_makes_that_signature_void(unchanged):
    patient = finished(unchanged)
    seen = casebook(patient)
    actions.sign_forms(patient=patient, seen=seen, meaning=MEANING_OF_CASEBOOK, alone=True, by=unchanged.wang)
    mark = Review.objects.standing().get(record=CASEBOOK)
    safety_steps.record_deviation(patient=patient, by=unchanged.maria)
    mark.refresh_from_db()
    assert mark.is_void and mark.void_because == "a deviation was recorded"


@pytest.mark.requirement("R19", "R23")
def test_nobody_signs_a_casebook_with_a_page_that_did_not_show_all_that_it_covers(unchanged):
    patient = finished(unchanged)
    browser, address = unchanged.client(unchanged.wang), f"/visits/check/sign/record/patients/patient/{patient.pk}/"
    shown = browser.get(address)
    deviation = safety_steps.record_deviation(patient=patient, by=unchanged.maria)
    assert Patient.objects.get(pk=patient.pk).version == patient.version
    answer = browser.post(address, fields_of(shown) | {"password": PASSWORD})
    assert answer.status_code == 409 and "changed since" in answer.content.decode()
    assert not Review.objects.filter(record=CASEBOOK).exists()
    with pytest.raises(Stale):
        actions.sign_forms(
            patient=patient, seen=[Seen(CASEBOOK, patient.pk, patient.version)], meaning=MEANING_OF_CASEBOOK,
            alone=True, by=unchanged.wang,
        )  # fmt: skip
    assert deviation.description in browser.get(address).content.decode()
    assert send(browser, address, password=PASSWORD).status_code == 302
    assert Review.objects.standing().filter(record=CASEBOOK).exists() and check_reviews()[1]


def test_an_open_casebook_is_not_signed(unchanged, patient):
    with pytest.raises(Refused, match="freezes"):
        actions.sign_forms(
            patient=patient, seen=casebook(Patient.objects.get(pk=patient.pk)),
            meaning=MEANING_OF_CASEBOOK, alone=True, by=unchanged.wang,
        )  # fmt: skip


def test_a_patient_is_locked_when_all_that_the_protocol_says_is_signed(unchanged):
    patient = finished(unchanged)
    with pytest.raises(Refused, match="has not signed"):
        actions.hold_patient(patient=patient, step="lock", version=None, by=unchanged.david)
    forms = load_forms(all_of(patient), patient=patient)
    actions.sign_forms(
        patient=patient, seen=[Seen(*key, form.record.version) for key, form in forms.items()], meaning=MEANINGS[0],
        by=unchanged.wang,
    )  # fmt: skip
    patient.refresh_from_db()
    shown = casebook(patient)
    actions.sign_forms(patient=patient, seen=shown, meaning=MEANING_OF_CASEBOOK, by=unchanged.wang)
    actions.hold_patient(patient=patient, step="lock", version=None, by=unchanged.david)
    assert check_reviews()[1]
    with pytest.raises(PermissionDenied):
        actions.hold_patient(patient=patient, step="unlock", reason="x", version=None, by=unchanged.chen)
    assert not list(faults_of(list(Review.objects.filter(patient=patient)), patient))


# --- what it costs ------------------------------------------------------------------------------------------------


def test_voiding_marks_costs_one_statement_and_none_at_the_first_entry(unchanged, panel):
    def reviews_in(action):
        with CaptureQueriesContext(connection) as queries:
            action()
        return [q["sql"] for q in queries.captured_queries if re.match(r'(UPDATE|SELECT).*"visits_review"', q["sql"])]

    sign(unchanged, panel)
    assert len(reviews_in(lambda: change(unchanged, panel, ALT=other_value(panel, "ALT")))) == 1
    other = unchanged.screened()
    first = PanelRecord.objects.select_related("visit", "patient__site").filter(patient=other).first()
    assert not reviews_in(lambda: steps.enter_panel(panel=first, by=unchanged.chen))


@pytest.mark.requirement("R23")
def test_the_page_on_which_a_panel_is_signed_shows_laboratory_unit_range_flag_and_what_the_value_means(unchanged):
    patient = unchanged.screened()
    laboratory = steps.make_laboratory(
        site=unchanged.site,
        protocol=patient.protocol,
        on=patient.screened_on,
        by=unchanged.david,
        other_units=("CREAT",),
    )
    steps.enter_screening(patient=patient, by=unchanged.chen)
    panel = PanelRecord.objects.get(patient=patient, code="chemistry")
    values = {m.test: m.typed for m in panel.measurements.filter(is_computed=False)} | {"CREAT": "2.00"}
    actions.record_panel(
        panel=panel, values=values, units={"CREAT": "mg/dL"}, laboratory=laboratory, collected_on=panel.collected_on,
        confirmed=[("implausible", "CREAT")], version=None, reason=WRONG, by=unchanged.chen,
    )  # fmt: skip
    m = Measurement.objects.get(panel=panel, test="CREAT")
    assert (m.reported_unit, m.flag, str(m.value)) == ("mg/dL", "H", "176.8000") and m.reported_high
    page = unchanged.client(unchanged.wang).get(f"/visits/check/sign/record/visits/panelrecord/{panel.pk}/")
    [row] = [row for row in page.context["entries"][0]["rows"] if row["code"] == "CREAT"]
    assert (row["value"], row["unit"]) == ("2.00", "mg/dL")
    assert row["note"] == f"range {range_text(m.reported_low, m.reported_high)} · = 176.8 µmol/L"
    told = page.content.decode()
    assert row["note"] in told and laboratory.name in told and row["flag"]["kind"] == "high"


def test_a_deviation_is_recorded_about_a_visit_that_is_locked_and_changes_nothing_in_it(unchanged):
    """It is a fact about the conduct of the trial, and is often found when the data are clean: only who locks the whole
    patient says that nothing is added any more."""
    patient, visit, _ = ready(unchanged)
    for query in Query.objects.filter(patient=patient).exclude(state="closed"):
        actions.answer_query(query=query, text="Confirmed.", version=None, by=unchanged.chen)
        actions.close_query(query=query, version=None, by=unchanged.david)
    actions.hold_visit(visit=visit, step="lock", version=None, by=unchanged.david)
    before = list(Review.objects.standing().filter(visit=visit).values_list("pk", "digest"))
    deviation = safety_steps.record_deviation(patient=patient, visit=visit, on=visit.planned_on, by=unchanged.maria)
    assert deviation.visit == visit
    assert list(Review.objects.standing().filter(visit=visit).values_list("pk", "digest")) == before
    assert not list(faults_of(Review.objects.filter(visit=visit), patient))
    with acting(unchanged.david, "closed"):
        Patient.objects.filter(pk=patient.pk).update(hold=Hold.LOCKED)
    with pytest.raises(Refused):
        safety_steps.record_deviation(patient=patient, visit=visit, on=visit.planned_on, by=unchanged.maria)
