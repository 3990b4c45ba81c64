"""Deviations: what the system sees in the data of patients, judging it, recording by hand, changing, listing."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from patients.models import Patient
from safety import actions
from safety.models import Deviation, DismissedProposal
from safety.proposals import proposals_of, unjudged_among, unjudged_of
from tests.universe import fields_of, send
from trialsite import actions as people
from trialsite import trial
from trialsite.audit import acting
from trialsite.exchange.making import in_words
from trialsite.exchange.tables import tables
from trialsite.saving import Refused, Stale
from visits import actions as visit_actions
from visits.models import Infusion, Measurement, PanelRecord, Preparation, Visit


def values_of(patient, **changes):
    """A consistent deviation that is not important."""
    today = timezone.now().date()
    return {
        "began_on": today - timedelta(days=2), "ended_on": None, "discovered_on": today, "visit": None,
        "category": "procedure", "description": "The tubes stood at room temperature for six hours",
        "is_important": False, "effect_on_safety": "", "effect_on_data": "", "corrective_action": "",
        "corrected_on": None, "preventive_action": "", "reported_on": None, **changes,
    }  # fmt: skip


def record(universe, patient, by=None, proposal_key="", **changes):
    return actions.record_deviation(
        patient=patient, values=values_of(patient, **changes), proposal_key=proposal_key, by=by or universe.chen
    )


def keys_of(patient):
    return {proposal.key for proposal in unjudged_of(patient)}


def rewrite(universe, records, **values):
    """Put data straight into the tables, as no action would let one."""
    with acting(universe.system, "test"):
        assert records.update(**values)


@pytest.fixture
def patient(unchanged):
    """A patient with one infusion and all of day 0, in whom nothing is amiss."""
    from visits.demo import enter_panel

    patient = unchanged.infused()
    for panel in Visit.objects.get(patient=patient, code="W0").panels.filter(state="expected"):
        enter_panel(panel=panel, by=unchanged.chen)
    assert keys_of(patient) == set()
    return patient


@pytest.fixture
def overdue(unchanged, patient):
    """The same, with visit W1 long overdue: day 0 lies forty days back."""
    go_back(unchanged, patient, 40)
    return patient


def go_back(universe, patient, days):
    """Let everything that happened to a patient have happened so many days earlier."""
    shift = timedelta(days=days)
    with acting(universe.system, "test"):
        for visit in Visit.objects.filter(patient=patient):
            attended_on = visit.attended_on and visit.attended_on - shift
            Visit.objects.filter(pk=visit.pk).update(
                planned_on=visit.planned_on - shift, earliest=visit.earliest - shift, latest=visit.latest - shift,
                attended_on=attended_on,
            )  # fmt: skip
        for model, column in (
            (Measurement, "collected_on"),
            (PanelRecord, "collected_on"),
            (PanelRecord, "entered_at"),
        ):
            for row in model.objects.filter(patient=patient).exclude(**{column: None}):
                model.objects.filter(pk=row.pk).update(**{column: getattr(row, column) - shift})
        for consent in patient.consents.all():
            type(consent).objects.filter(pk=consent.pk).update(signed_on=consent.signed_on - shift)
        for assessment in patient.assessments.all():
            type(assessment).objects.filter(pk=assessment.pk).update(assessed_on=assessment.assessed_on - shift)
        for infusion in Infusion.objects.filter(patient=patient):
            Infusion.objects.filter(pk=infusion.pk).update(
                started_at=infusion.started_at - shift, stopped_at=infusion.stopped_at - shift
            )
        Patient.objects.filter(pk=patient.pk).update(
            day_0=patient.day_0 - shift, screened_on=patient.screened_on - shift
        )
    patient.refresh_from_db()


# --- what the system sees in the data --------------------------------------------------------------------------


def amiss(universe, patient, what):
    """Make one thing go wrong; gives the keys under which it is seen."""
    visit, infusion = Visit.objects.filter(patient=patient, code="W0"), Infusion.objects.filter(patient=patient)
    measured = Measurement.objects.filter(patient=patient)
    if what == "attended late":
        rewrite(universe, visit, attended_on=patient.day_0 + timedelta(days=9))
        return {"visit_out_of_window:W0"}
    if what == "missed":
        rewrite(universe, Visit.objects.filter(patient=patient, code="W1"), state="missed")
        return {"visit_missed:W1"}
    if what == "infusion missed":
        rewrite(universe, Visit.objects.filter(patient=patient, code="W4"), state="missed")
        return {"infusion_missed:W4"}
    if what == "panel":
        rewrite(universe, visit.get().panels.filter(code="chemistry"), state="not_done", not_done_because="no tube")
        return {"panel_missed:W0.chemistry"}
    if what == "part of the bag":
        rewrite(universe, infusion, given_percent=80)
        return {"dose_off_plan:1"}
    if what == "prepared otherwise":
        planned = Preparation.objects.get(patient=patient).planned_dose
        rewrite(universe, Preparation.objects.filter(patient=patient), prepared_dose=planned * Decimal("1.2"))
        return {"dose_off_plan:1"}
    if what == "volume":
        rewrite(universe, infusion, volume_ml=Decimal("49.9"))
        return {"volume_off_limits:1"}
    if what == "monitoring":
        rewrite(universe, measured.filter(infusion__isnull=False, minute=30), typed="", missing_because="not_done")
        return {"monitoring_missed:1"}
    if what == "pregnancy test":
        rewrite(universe, measured.filter(panel__visit=visit.get(), test="HCG"), typed="POS", text="POS")
        return {"no_negative_pregnancy_test:1"}
    if what == "pregnancy test afterwards":
        rewrite(
            universe, measured.filter(panel__visit=visit.get(), test="HCG"),
            collected_on=patient.day_0 + timedelta(days=1),
        )  # fmt: skip
        return {"no_negative_pregnancy_test:1"}
    if what == "consent":
        rewrite(universe, patient.consents.all(), signed_on=patient.day_0 + timedelta(days=1))
        return {"procedure_before_consent:first"}
    assert what == "criterion"
    panel = PanelRecord.objects.get(patient=patient, visit__code="SCR", measurements__test="CD4")
    visit_actions.record_panel(
        panel=panel, values={"CD4": "400"}, collected_on=panel.collected_on, version=None, reason="source checked",
        by=universe.chen,
    )  # fmt: skip
    return {"criterion_breached:I3"}


AMISS = ("attended late", "missed", "infusion missed", "panel", "part of the bag", "prepared otherwise", "volume",
         "monitoring", "pregnancy test", "pregnancy test afterwards", "consent", "criterion")  # fmt: skip


@pytest.mark.parametrize("what", AMISS)
def test_what_goes_wrong_is_seen_in_the_data(unchanged, patient, what):
    seen = amiss(unchanged, patient, what)
    assert keys_of(patient) == seen


def test_two_infusions_too_close_to_one_another_are_seen(unchanged, patient):
    first = Infusion.objects.get(patient=patient)
    with acting(unchanged.system, "test"):
        preparation = Preparation.objects.get(patient=patient)
        other = Visit.objects.get(patient=patient, code="W4")
        preparation.pk, preparation.visit, preparation.number, preparation.label = None, other, 2, "second"
        preparation.save()
        first.pk, first.visit, first.preparation, first.number = None, other, preparation, 2
        first.save()
    assert {"interval_too_short:2", "monitoring_missed:2", "no_negative_pregnancy_test:2"} == keys_of(patient)


def test_an_overdue_visit_is_seen_and_is_gone_once_it_is_recorded(unchanged, overdue):
    assert {"visit_overdue:W1", "visit_overdue:W4"} <= keys_of(overdue)
    visit = Visit.objects.get(patient=overdue, code="W1")
    visit_actions.record_attendance(visit=visit, attended_on=visit.planned_on, version=None, by=unchanged.chen)
    assert "visit_overdue:W1" not in keys_of(overdue) and "visit_overdue:W4" in keys_of(overdue)


def test_a_criterion_that_was_overruled_with_a_reason_is_not_proposed(unchanged, patient):
    amiss(unchanged, patient, "criterion")
    answer = patient.assessments.last().answers.filter(criterion="I3")
    rewrite(unchanged, answer, computed=False)
    assert keys_of(patient) == set()


def test_a_new_consent_form_asks_for_a_re_consent(unchanged, overdue, monkeypatch):
    protocol = trial.current_protocol()
    dated = overdue.day_0 - timedelta(days=1)
    newer = protocol.consent_forms[-1].model_copy(update={"version": "9.0", "dated": dated})
    with_two = protocol.model_copy(update={"consent_forms": (*protocol.consent_forms, newer)})
    monkeypatch.setattr(trial, "versions", lambda: {protocol.version: with_two})
    assert "reconsent_missing:9.0" in keys_of(overdue)
    rewrite(unchanged, overdue.consents.all(), form_version="9.0")
    assert "reconsent_missing:9.0" not in keys_of(overdue)


def test_one_statement_gathers_the_facts_of_any_number_of_patients(unchanged, overdue):
    for seed in (5, 6, 7):
        amiss(unchanged, unchanged.infused(seed=seed), "volume")
    with CaptureQueriesContext(connection) as asked:
        waiting = unjudged_among(Patient.objects.all())
    assert len(asked) == 1
    assert len({patient.pk for patient, _proposal in waiting}) == 4
    assert [proposal.on for _patient, proposal in waiting] == sorted(proposal.on for _patient, proposal in waiting)


# --- judging --------------------------------------------------------------------------------------------------


def test_a_proposal_is_recorded_or_dismissed_and_never_both(unchanged, overdue):
    record(unchanged, overdue, proposal_key="visit_overdue:W1")
    actions.dismiss_proposal(
        patient=overdue, proposal_key="visit_overdue:W4", reason="Entered late", by=unchanged.maria
    )
    assert not {"visit_overdue:W1", "visit_overdue:W4"} & keys_of(overdue)
    for key in ("visit_overdue:W1", "visit_overdue:W4", "visit_overdue:W99", "nonsense"):
        with pytest.raises(Refused):
            record(unchanged, overdue, proposal_key=key)
        with pytest.raises(Refused):
            actions.dismiss_proposal(patient=overdue, proposal_key=key, reason="x", by=unchanged.chen)
    assert (Deviation.objects.count(), DismissedProposal.objects.count()) == (1, 1)


def test_a_dismissal_says_why(unchanged, overdue):
    with pytest.raises(Refused) as refusal:
        actions.dismiss_proposal(patient=overdue, proposal_key="visit_overdue:W1", reason="  ", by=unchanged.chen)
    assert set(refusal.value.errors) == {"reason"}


def test_what_is_taken_back_is_proposed_again(unchanged, overdue):
    deviation = record(unchanged, overdue, proposal_key="visit_overdue:W1")
    dismissed = actions.dismiss_proposal(
        patient=overdue, proposal_key="visit_overdue:W4", reason="Entered late", by=unchanged.chen
    )
    for take_back, line in ((actions.withdraw_deviation, {"deviation": deviation}),
                            (actions.restore_proposal, {"dismissed": dismissed})):  # fmt: skip
        with pytest.raises(Refused):
            take_back(**line, version=1, reason="", by=unchanged.chen)
        with pytest.raises(Stale):
            take_back(**line, version=7, reason="x", by=unchanged.chen)
        take_back(**line, version=1, reason="not this patient", by=unchanged.chen)
        with pytest.raises(Refused):
            take_back(**line, version=None, reason="twice", by=unchanged.chen)
    assert {"visit_overdue:W1", "visit_overdue:W4"} <= keys_of(overdue)


def test_a_record_of_what_is_no_longer_seen_says_so(unchanged, overdue):
    deviation = record(unchanged, overdue, proposal_key="visit_overdue:W1")
    chen = unchanged.client(unchanged.chen)
    address = f"/safety/deviations/{deviation.pk}/"
    page = chen.get(address)
    assert page.context["is_as_seen"] and "no longer sees" not in page.content.decode()
    visit = Visit.objects.get(patient=overdue, code="W1")
    visit_actions.record_attendance(visit=visit, attended_on=visit.planned_on, version=None, by=unchanged.chen)
    page = chen.get(address).content.decode()
    assert "the system no longer sees this" in page and "Nothing is recorded of" in page


def test_a_record_of_what_is_seen_otherwise_by_now_says_that(unchanged, patient):
    infusion = Infusion.objects.filter(patient=patient)
    rewrite(unchanged, infusion, given_percent=80)
    deviation = record(unchanged, patient, proposal_key="dose_off_plan:1")
    rewrite(unchanged, infusion, given_percent=70)
    page = unchanged.client(unchanged.chen).get(f"/safety/deviations/{deviation.pk}/").content.decode()
    assert "-20.0 %" in page and "-30.0 %" in page and "now:" in page
    assert keys_of(patient) == set()


# --- recording ------------------------------------------------------------------------------------------------


def test_deviations_of_a_patient_are_numbered(unchanged):
    patient = unchanged.screened()
    assert [record(unchanged, patient).sequence for _ in range(2)] == [1, 2]


@pytest.mark.requirement("R1", "R54")
def test_a_deviation_is_changed_with_a_reason_and_judged_again_as_a_whole(unchanged):
    deviation = record(unchanged, unchanged.screened())
    change = {"deviation": deviation, "by": unchanged.maria}
    with pytest.raises(Refused):
        actions.change_deviation(values={"category": "dose"}, version=1, reason=" ", **change)
    with pytest.raises(Stale):
        actions.change_deviation(values={"category": "dose"}, version=9, reason="x", **change)
    with pytest.raises(Refused) as refusal:
        actions.change_deviation(values={"is_important": True}, version=1, reason="x", **change)
    assert set(refusal.value.errors) == {"effect_on_safety"}
    changed = actions.change_deviation(values={"category": "dose"}, version=1, reason="wrong line", **change)
    assert (changed.category, changed.description, changed.version) == ("dose", deviation.description, 2)


def test_a_visit_of_another_patient_is_refused(unchanged):
    patient, other = unchanged.screened(), unchanged.screened(seed=4)
    with pytest.raises(Refused) as refusal:
        record(unchanged, patient, visit=other.visits.first())
    assert set(refusal.value.errors) == {"visit"}


def test_a_proposal_is_recorded_in_the_browser_with_one_click_and_what_it_lacks(unchanged, overdue):
    maria = unchanged.client(unchanged.maria)
    listing = maria.get(f"/safety/deviations/proposals/?patient={overdue.pk}").content.decode()
    url = f"/safety/deviations/record/{overdue.pk}/?proposal=visit_overdue%3AW1"
    assert url in listing
    page = maria.get(url)
    filled = fields_of(page)
    window = Visit.objects.get(patient=overdue, code="W1")
    assert filled["category"] == ["visit_window"] and filled["is_important"] == ["N"]
    assert filled["began_on"] == [str(window.latest)] and filled["visit"] == [str(window.pk)]
    assert filled["description"] == [""], "what the system saw stands beside what the site adds"
    assert "Nothing is recorded of" in page.content.decode()
    refused = send(maria, url, page=page, is_important="Y")
    assert refused.status_code == 422 and fields_of(refused)["proposal_key"] == ["visit_overdue:W1"]
    answer = send(maria, url, page=page)
    assert answer.status_code == 302, answer.content.decode()
    deviation = Deviation.objects.get()
    assert (deviation.proposal_key, deviation.reported_by) == ("visit_overdue:W1", unchanged.maria)
    assert deviation.description == ""
    assert "Nothing is recorded of" in refused.content.decode(), "also when the form is refused"
    assert maria.get(url).status_code == 404
    assert url not in maria.get(f"/safety/deviations/proposals/?patient={overdue.pk}").content.decode()


def test_a_deviation_that_nobody_proposed_says_what_happened(unchanged, patient):
    with pytest.raises(Refused) as refusal:
        record(unchanged, patient, description=" ")
    assert set(refusal.value.errors) == {"description"}
    chen, url = unchanged.client(unchanged.chen), f"/safety/deviations/record/{patient.pk}/"
    values = {"began_on": str(patient.screened_on), "category": "procedure", "is_important": "N"}
    assert send(chen, url, **values).status_code == 422
    assert send(chen, url, **values, description="Six hours").status_code == 302


def test_what_was_proposed_is_read_in_the_language_of_the_reader_wherever_it_is_listed(unchanged, overdue):
    """Recorded by who reads Chinese; nothing of it stays in that language."""
    with translation.override("zh-hans"):
        deviation = record(
            unchanged, overdue, proposal_key="visit_overdue:W1", description="", category="visit_window",
        )  # fmt: skip
    said = {"en": "Nothing is recorded of", "zh-hans": "没有任何记录"}
    pages = (
        f"/safety/deviations/{deviation.pk}/", f"/safety/deviations/of/{overdue.pk}/", "/safety/listings/deviations/",
        f"/safety/deviations/{deviation.pk}/change/", f"/history/safety/deviation/{deviation.pk}/",
    )  # fmt: skip
    for language, other in (("en", "zh-hans"), ("zh-hans", "en")):
        people.choose_language(language=language, by=unchanged.maria)
        browser = unchanged.client(unchanged.maria)
        for url in pages:
            told = browser.get(url).content.decode()
            assert said[language] in told and said[other] not in told, (url, language)
    [seen] = [column for column in tables()["deviations"].columns if column.name == "seen"]
    assert (seen.is_sentence, seen.kind) == (True, "text")
    assert in_words(deviation.seen, deviation.protocol_version).startswith(said["en"])


def test_a_proposal_is_dismissed_and_proposed_again_in_the_browser(unchanged, overdue):
    chen = unchanged.client(unchanged.chen)
    url = f"/safety/deviations/dismiss/{overdue.pk}/?proposal=visit_overdue%3AW1"
    assert send(chen, url, reason="").status_code == 422
    assert send(chen, url, reason="The entry is late, <b>the visit was not</b>").status_code == 302
    listing = chen.get("/safety/deviations/proposals/").content.decode()
    assert "&lt;b&gt;the visit was not&lt;/b&gt;" in listing
    dismissed = DismissedProposal.objects.get()
    assert (
        send(chen, f"/safety/deviations/dismissed/{dismissed.pk}/restore/", reason="Wrong patient").status_code == 302
    )
    assert "visit_overdue:W1" in keys_of(overdue)
    history = chen.get(f"/history/safety/dismissedproposal/{dismissed.pk}/").content.decode()
    assert "Nothing is recorded of" in history and "&#x27;template" not in history


def test_two_who_change_a_deviation_at_once_see_both_versions(unchanged):
    deviation = record(unchanged, unchanged.screened())
    address = f"/safety/deviations/{deviation.pk}/change/"
    chen, wang = unchanged.client(unchanged.chen), unchanged.client(unchanged.wang)
    seen = chen.get(address)
    assert send(wang, address, category="dose", reason="wrong line").status_code == 302
    late = send(chen, address, page=seen, category="blinding", reason="wrong line")
    assert late.status_code == 409
    assert b"blinding" in late.content and b"dose" in late.content


def test_a_field_that_was_not_sent_keeps_its_value(unchanged):
    deviation = record(unchanged, unchanged.screened(), effect_on_data="One result less")
    chen = unchanged.client(unchanged.chen)
    assert send(chen, f"/safety/deviations/{deviation.pk}/change/", effect_on_data=None, reason="x").status_code == 302
    assert Deviation.objects.get().effect_on_data == "One result less"


def test_a_deviation_entered_in_error_leaves_the_listing_and_stays_readable(unchanged):
    deviation = record(unchanged, unchanged.screened())
    chen = unchanged.client(unchanged.chen)
    address = f"/safety/deviations/{deviation.pk}/"
    assert address in chen.get("/safety/listings/deviations/").content.decode()
    assert send(chen, f"{address}withdraw/", reason="other patient").status_code == 302
    assert address not in chen.get("/safety/listings/deviations/").content.decode()
    page = chen.get(address)
    assert page.status_code == 200 and b"entered in error" in page.content
    assert send(chen, f"{address}change/", reason="x").status_code == 422


FILTERS = [
    ("", {"small", "grave", "closed"}), ("category=dose", {"grave"}), ("important=Y", {"grave"}),
    ("open=Y", {"small", "grave"}), ("category=nonsense", {"small", "grave", "closed"}), ("site=999999", {"small", "grave", "closed"}),
]  # fmt: skip


@pytest.mark.parametrize(("query", "shown"), FILTERS)
def test_the_old_address_leads_to_the_listing_that_shows_what_its_filter_asks_for(unchanged, query, shown):
    patient = unchanged.screened()
    today = timezone.now().date()
    found = {
        "small": record(unchanged, patient),
        "grave": record(unchanged, patient, category="dose", is_important=True, effect_on_safety="none"),
        "closed": record(unchanged, patient, corrective_action="Staff trained", corrected_on=today),
    }
    page = unchanged.client(unchanged.david).get(f"/safety/deviations/?{query}", follow=True)
    assert page.redirect_chain == [(f"/safety/listings/deviations/?{query}".rstrip("?"), 302)]
    assert {deviation.pk for deviation in page.context["page"].object_list} == {found[name].pk for name in shown}
    assert [count for _label, count in page.context["figures"]] == [3, 1, 1, 2], "of all, whatever is chosen"
    assert "/safety/deviations/proposals/" in page.content.decode()
    assert unchanged.client(unchanged.zhao).get(f"/safety/deviations/?{query}", follow=True).status_code == 200


def test_the_start_page_counts_what_waits_for_a_judgement_for_those_who_judge(unchanged, overdue):
    waiting = len(unjudged_of(overdue))
    for name, sees in (("chen", True), ("maria", True), ("david", True), ("sofia", False), ("samuel", False)):
        client = unchanged.client(getattr(unchanged, name))
        asked = [s["later"] for s in client.get("/").context["sections"] if s["title"] == "Deviations to judge"]
        assert asked == (["/safety/start/unjudged/"] if sees else []), name
        answer = client.get("/safety/start/unjudged/")
        assert answer.status_code == (200 if sees else 403)
        assert not sees or answer.context["section"]["count"] == waiting
    of_the_other_site = unchanged.client(unchanged.li).get("/safety/start/unjudged/").context["section"]
    assert of_the_other_site["count"] == 0


def test_the_card_of_a_patient_tells_what_is_recorded_and_how_much_waits(unchanged, overdue):
    waiting = len(unjudged_of(overdue))
    deviation = record(unchanged, overdue, proposal_key="visit_overdue:W1")
    for name, may_record in (("chen", True), ("ines", False)):
        client = unchanged.client(getattr(unchanged, name))
        assert (
            f'hx-get="/safety/deviations/of/{overdue.pk}/"' in client.get(f"/patients/{overdue.pk}/").content.decode()
        )
        card = client.get(f"/safety/deviations/of/{overdue.pk}/").content.decode()
        assert f"/safety/deviations/{deviation.pk}/" in card and f"{waiting - 1} seen by the system" in card
        assert ("Record a deviation" in card) is may_record
        assert (
            f"/safety/listings/deviations/?of={overdue.pk}" in client.get(f"/patients/{overdue.pk}/").content.decode()
        )
        page = client.get(f"/safety/deviations/?patient={overdue.pk}", follow=True)
        assert [shown.pk for shown in page.context["page"].object_list] == [deviation.pk]
        assert f'name="of" value="{overdue.pk}"' in page.content.decode(), "other filters keep the patient"
        assert not client.get("/safety/listings/deviations/?of=999999").context["page"].object_list


def test_who_may_only_read_sees_proposals_without_the_buttons(unchanged, overdue):
    page = unchanged.client(unchanged.ines).get("/safety/deviations/proposals/").content.decode()
    assert "Nothing is recorded of" in page and "/safety/deviations/record/" not in page
    assert proposals_of(overdue)
