"""Infusions: what must be true before a bag is prepared and given, and what its record must say."""

from datetime import UTC, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from patients import actions as patient_actions
from patients import demo as patient_steps
from patients.models import AllocationSlot, Scope
from tests.universe import send, signed
from trialsite.audit import acting
from trialsite.clock import today_at
from trialsite.demo import at, clock_at
from trialsite.saving import Refused, Stale
from visits import actions, infusing
from visits import demo as steps
from visits.models import CheckFiring, Infusion, Lot, Measurement, Preparation, Query, Visit


@pytest.fixture
def ready(unchanged):
    """A randomised patient whose weight and pregnancy test of week 0 are known."""
    patient = unchanged.randomised(day_0=today_at(unchanged.site) - timedelta(days=1))
    steps.enter_visit(patient=patient, code="W0", by=unchanged.chen, panels=["vital_signs", "pregnancy"])
    return patient


@pytest.fixture
def cells(unchanged):
    """One of the arm whose dose follows from the weight."""
    while True:
        patient = unchanged.randomised(day_0=today_at(unchanged.site) - timedelta(days=1))
        if product_of(patient).dose.per_kg:
            steps.enter_visit(patient=patient, code="W0", by=unchanged.chen, panels=["vital_signs", "pregnancy"])
            return patient


def product_of(patient):
    arm = AllocationSlot.objects.get(patient=patient).arm
    return patient.protocol.product(patient.protocol.arm(arm).product)


def other_product(patient):
    return next(p for p in patient.protocol.products if p.code != product_of(patient).code)


def a_lot(universe, patient, **kwargs):
    return steps.released_lot(
        site=patient.site, product=product_of(patient), protocol=patient.protocol, by=universe.zhao,
        on=patient.day_0 - timedelta(days=30), **kwargs,
    )  # fmt: skip


def prepare(universe, patient, lot, visit="W0", **changes):
    values = {
        "weight_kg": Decimal("60.5"), "label": f"L-{lot.pk}-{visit}", "viability_percent": Decimal(90),
        "prepared_at": at(patient.site, patient.day_0, "09:00"),
    }  # fmt: skip
    visit = steps.visit_of(patient, visit)
    return actions.prepare_infusion(visit=visit, lot=lot, **values | changes, by=universe.zhao)


def give(universe, patient, visit="W0", **changes):
    start = at(patient.site, patient.day_0, "10:00")
    values = {
        "started_at": start,
        "stopped_at": start + timedelta(minutes=60),
        "volume_ml": Decimal(100),
        "version": None,
    }
    return actions.record_infusion(visit=steps.visit_of(patient, visit), **values | changes, by=universe.chen)


# --- before -------------------------------------------------------------------------------------------------


def test_an_infusion_is_prepared_with_the_dose_of_the_weight(unchanged, ready):
    product = product_of(ready)
    preparation = prepare(unchanged, ready, a_lot(unchanged, ready))
    planned = product.dose.per_kg * Decimal("60.5") if product.dose.per_kg else product.dose.absolute
    assert preparation.planned_dose == preparation.prepared_dose == planned


@pytest.mark.parametrize(
    ("typed", "field", "words"),
    [
        ({"prepared_dose": "5"}, "prepared_dose", "differs from the planned one"),
        ({"weight_kg": "95"}, "weight_kg", "prepared for 95 kg"),
    ],
)
def test_an_odd_dose_or_weight_is_asked_about_before_the_bag_is_prepared(unchanged, cells, typed, field, words):
    zhao, url = unchanged.client(unchanged.zhao), f"/visits/{steps.visit_of(cells, 'W0').pk}/prepare/"
    page = zhao.get(url)
    assert "Prepared dose (cells)" in page.content.decode() and "Planned: " in page.content.decode()
    bag = {"lot": a_lot(unchanged, cells).pk, "viability_percent": "90", "label": "BAG-1",
           "prepared_at": f"{cells.day_0} 09:10", **typed}  # fmt: skip
    answer = send(zhao, url, **bag)
    [question] = answer.context["questions"]
    assert answer.status_code == 422 and question.field == field and words in str(question.text)
    assert not Preparation.objects.filter(patient=cells).exists()
    assert send(zhao, url, **bag, asked=f"{question.token}:{question.signature}").status_code == 302
    assert Preparation.objects.filter(patient=cells).exists()


REFUSALS = ["not randomised", "quarantined", "rejected", "expired", "not received", "wrong product", "other site", "trial halted",
            "arm halted", "patient halted", "no pregnancy test", "pregnant", "prepared already", "label used", "no infusion",
            "future", "before screening"]  # fmt: skip


@pytest.mark.requirement("R56")
@pytest.mark.parametrize("why", REFUSALS)
def test_an_infusion_is_not_prepared(unchanged, ready, why):
    patient, visit, changes, sentence = ready, "W0", {}, ""
    lot = a_lot(unchanged, patient)
    if why == "not randomised":
        patient = patient_steps.end_participation(
            patient=ready, state="withdrawn", explanation="x", by=unchanged.chen
        ).patient
        patient, sentence = patient_steps.fresh(patient), "not randomised"
    elif why == "quarantined":
        lot, sentence = steps.receive_lot(site=patient.site, product=product_of(patient), by=unchanged.zhao,
                                          on=patient.day_0), "not released"  # fmt: skip
    elif why == "rejected":
        lot = actions.reject_lot(lot=lot, reason="Mould", version=None, by=unchanged.zhao)
        sentence = "not released"
    elif why == "expired":
        lot, sentence = a_lot(unchanged, patient, days=29, number="OLD"), "expired"
    elif why == "not received":
        lot = steps.released_lot(site=patient.site, product=product_of(patient), protocol=patient.protocol,
                                 by=unchanged.zhao, number="LATE", on=patient.day_0 + timedelta(days=1))  # fmt: skip
        sentence = "received later"
    elif why == "wrong product":
        lot = steps.released_lot(site=patient.site, product=other_product(patient), protocol=patient.protocol,
                                 by=unchanged.zhao, on=patient.day_0)  # fmt: skip
        sentence = "not of the product"
    elif why == "other site":
        lot = steps.released_lot(site=unchanged.other_site, product=product_of(patient), protocol=patient.protocol,
                                 by=unchanged.zhao, on=patient.day_0)  # fmt: skip
        sentence = "another site"
    elif why.endswith("halted"):
        scope = why.split()[0]
        whom = {"patient": patient} if scope == "patient" else {}
        arm = {"arm": AllocationSlot.objects.get(patient=patient).arm} if scope == "arm" else {}
        patient_actions.open_halt(
            scope=Scope(scope), blocks=["infuse"], cause="Fever in two", by=unchanged.samuel, **whom, **arm
        )
        sentence = "Fever in two"
    elif why in ("no pregnancy test", "pregnant"):
        panel, sentence = unchanged.panel(patient, "W0", "pregnancy"), "pregnancy test"
        if why == "pregnant":
            values = {"panel": panel, "collected_on": panel.collected_on, "version": None, "by": unchanged.chen}
            actions.record_panel(values={"HCG": "POS"}, reason="second test", **values)
        else:
            actions.clear_panel(panel=panel, version=None, reason="x", by=unchanged.chen)
    elif why == "prepared already":
        prepare(unchanged, patient, lot, label="first")
        sentence = "prepared already"
    elif why == "label used":
        other = unchanged.infused()
        changes, sentence = {"label": Preparation.objects.get(patient=other).label}, "another bag"
    elif why == "no infusion":
        visit, sentence = "W1", "No infusion is planned"
    elif why == "future":
        changes, sentence = {"prepared_at": timezone.now() + timedelta(days=2)}, "future"
    else:
        changes, sentence = {"prepared_at": timezone.now() - timedelta(days=400)}, "before"
    count = Preparation.objects.count()
    with pytest.raises(Refused, match=sentence):
        prepare(unchanged, patient, lot, visit, **changes)
    assert Preparation.objects.count() == count


def test_a_halt_of_another_arm_or_patient_does_not_hold_this_one(unchanged, ready):
    mine = AllocationSlot.objects.get(patient=ready).arm
    other_arm = next(arm.code for arm in ready.protocol.arms if arm.code != mine)
    patient_actions.open_halt(scope=Scope.ARM, arm=other_arm, blocks=["infuse"], cause="x", by=unchanged.samuel)
    patient_actions.open_halt(
        scope=Scope.PATIENT, patient=unchanged.screened(), blocks=["infuse"], cause="x", by=unchanged.samuel
    )
    assert prepare(unchanged, ready, a_lot(unchanged, ready))


def test_what_was_given_before_a_halt_may_still_be_recorded_and_what_was_prepared_may_not_be_given(unchanged, ready):
    prepare(unchanged, ready, a_lot(unchanged, ready))
    patient_actions.open_halt(scope=Scope.TRIAL, blocks=["infuse"], cause="Fever", by=unchanged.samuel)
    now = timezone.now()
    with pytest.raises(Refused, match="Fever"):
        give(unchanged, ready, started_at=now, stopped_at=now + timedelta(microseconds=1))
    assert give(unchanged, ready)


def test_nothing_is_given_that_was_not_prepared_or_before_screening(unchanged, ready):
    with pytest.raises(Refused, match="not prepared"):
        give(unchanged, ready)
    prepare(unchanged, ready, a_lot(unchanged, ready))
    long_ago = timezone.now() - timedelta(days=4000)
    with pytest.raises(Refused) as refusal:
        give(unchanged, ready, started_at=long_ago, stopped_at=long_ago + timedelta(hours=1))
    assert "started_at" in refusal.value.errors


def test_a_lot_rejected_after_the_preparation_is_not_given(unchanged, ready):
    lot = a_lot(unchanged, ready)
    prepare(unchanged, ready, lot)
    actions.reject_lot(lot=lot, reason="Recall", version=None, by=unchanged.zhao)
    with pytest.raises(Refused, match="not released"):
        give(unchanged, ready)


def test_the_second_infusion_waits_its_days(unchanged):
    patient = unchanged.infused()
    steps.enter_visit(patient=patient, code="W4", by=unchanged.chen, panels=["pregnancy"], on=patient.day_0)
    with pytest.raises(Refused, match="days must lie between"):
        prepare(unchanged, patient, Lot.objects.filter(preparations__patient=patient).get(), "W4",
                prepared_at=timezone.now())  # fmt: skip


# --- the record ------------------------------------------------------------------------------------------------


@pytest.fixture
def prepared(unchanged, ready):
    weight = actions.latest_weight(ready, ready.protocol, ready.day_0)
    prepare(unchanged, ready, a_lot(unchanged, ready), weight_kg=weight)
    return ready


def test_the_first_infusion_moves_day_0_and_the_plan_with_it(unchanged):
    today = today_at(unchanged.site)
    patient = unchanged.randomised(day_0=today - timedelta(days=3))
    steps.enter_visit(patient=patient, code="W0", by=unchanged.chen, panels=["vital_signs", "pregnancy"])
    prepare(unchanged, patient, a_lot(unchanged, patient))
    given_on = today - timedelta(days=1)
    start = at(patient.site, given_on, "10:00")
    give(unchanged, patient, started_at=start, stopped_at=start + timedelta(hours=1))
    patient = patient_steps.fresh(patient)
    assert patient.day_0 == given_on
    planned = {v.code: v for v in Visit.objects.filter(patient=patient)}
    assert planned["W1"].planned_on == given_on + timedelta(days=7)
    assert planned["W48"].latest == given_on + timedelta(days=336 + 14)
    assert planned["W0"].planned_on == today - timedelta(days=3), "what took place stays where it was planned"


def test_a_corrected_first_infusion_moves_the_windows_of_later_visits_that_took_place_but_of_none_that_is_held(
    unchanged,
):
    day_0 = today_at(unchanged.site) - timedelta(days=20)
    with clock_at(at(unchanged.site, day_0)):
        patient = unchanged.infused(day_0=day_0)
    infusion = Infusion.objects.get(patient=patient)
    for code, days in (("W1", 7), ("W2", 14)):
        if visit := Visit.objects.filter(patient=patient, code=code).first():
            actions.record_attendance(
                visit=visit, attended_on=patient.day_0 + timedelta(days=days), version=None, by=unchanged.chen
            )
    with acting(unchanged.david, "held for a test"):
        Visit.objects.filter(patient=patient, code="W4").update(hold="frozen")
    before = {v.code: v.planned_on for v in Visit.objects.filter(patient=patient)}
    day = timedelta(days=1)
    actions.record_infusion(
        visit=infusion.visit, started_at=infusion.started_at + day, stopped_at=infusion.stopped_at + day,
        volume_ml=infusion.volume_ml, version=infusion.version, reason="The wrong day was typed", by=unchanged.chen,
    )  # fmt: skip
    moved = {v.code: v.planned_on - before[v.code] for v in Visit.objects.filter(patient=patient)}
    assert (moved["W0"], moved["W1"], moved["W4"], moved["W8"]) == (0 * day, day, 0 * day, day)


HARD = [
    # minutes of the stop, of the interruption, of its end -> field words
    (-5, None, None, "stop after"), (0, None, None, "stop after"), (60, 70, 75, "not between"), (60, 20, 10, "end after"),
    (60, 20, None, "no end"),
]  # fmt: skip


@pytest.mark.parametrize(("stop", "halted", "resumed", "words"), HARD)
def test_times_that_contradict_each_other_are_refused(unchanged, prepared, stop, halted, resumed, words):
    start = at(prepared.site, prepared.day_0, "10:00")
    lines = []
    if halted is not None:
        end = start + timedelta(minutes=resumed) if resumed is not None else None
        lines = [(start + timedelta(minutes=halted), end, "pain")]
    with pytest.raises(Refused, match=words):
        give(unchanged, prepared, stopped_at=start + timedelta(minutes=stop), interruptions=lines)
    assert not Infusion.objects.filter(patient=prepared).exists()


@pytest.mark.parametrize(
    ("changes", "check"),
    [({"volume_ml": Decimal(20)}, "volume"), ({"given_percent": Decimal(50)}, "dose_off_plan"), ({}, "monitoring")],
)
def test_what_departs_from_the_protocol_is_saved_and_raises_a_query(unchanged, prepared, changes, check):
    infusion = give(unchanged, prepared, **changes)
    assert check in set(Query.objects.filter(infusion=infusion).values_list("check_code", flat=True))


def test_a_full_record_raises_no_query(unchanged):
    assert not Query.objects.filter(infusion__patient=unchanged.infused()).exists()


def test_vital_signs_are_refused_or_questioned_at_their_minute(unchanged, prepared):
    with pytest.raises(Refused) as refusal:
        give(unchanged, prepared, monitoring={("M_PULSE", 15): "999"})
    assert set(refusal.value.errors) == {"M_PULSE_15"}
    infusion = give(unchanged, prepared, monitoring={("M_PULSE", 15): "190", ("M_PULSE", 0): "70"})
    query = Query.objects.get(infusion=infusion, test="M_PULSE")
    assert (query.minute, query.check_code) == (15, "implausible")
    changed = actions.record_infusion(
        visit=infusion.visit, started_at=infusion.started_at, stopped_at=infusion.stopped_at, volume_ml=Decimal(100),
        monitoring={("M_PULSE", 15): "90"}, version=1, reason="misread", by=unchanged.chen,
    )  # fmt: skip
    assert Measurement.objects.get(infusion=changed, test="M_PULSE", minute=0).typed == "70"
    query.refresh_from_db()
    assert query.state == "closed"


@pytest.mark.requirement("R1", "R54")
def test_a_record_is_corrected_with_a_reason_and_against_its_version(unchanged, prepared):
    infusion = give(unchanged, prepared)
    with pytest.raises(Refused):
        give(unchanged, prepared, version=1, comment="x")
    with pytest.raises(Stale):
        give(unchanged, prepared, version=5, comment="x", reason="y")
    assert give(unchanged, prepared, version=1, comment="x", reason="y").pk == infusion.pk


def test_a_correction_does_not_bring_an_infusion_into_a_halt(unchanged, prepared):
    infusion = give(unchanged, prepared)
    patient_actions.open_halt(scope=Scope.TRIAL, blocks=["infuse"], cause="Fever", by=unchanged.samuel)
    now = timezone.now()
    moved = {"started_at": now, "stopped_at": now + timedelta(microseconds=1), "reason": "A wrong day"}
    with pytest.raises(Refused, match="Fever"):
        give(unchanged, prepared, version=1, **moved)
    told, _questions = actions.preview_infusion(visit=steps.visit_of(prepared, "W0"), started_at=now)
    assert any("Fever" in one for one in told)
    lot = Preparation.objects.get(patient=prepared).lot
    actions.reject_lot(lot=lot, reason="Recall", version=lot.version, by=unchanged.zhao)
    earlier = infusion.started_at - timedelta(minutes=5)
    corrected = give(unchanged, prepared, version=1, started_at=earlier, reason="Read from the pump")
    assert corrected.started_at == earlier, "given before the halt, from a lot that was good then"
    assert give(unchanged, prepared, version=2, started_at=earlier, comment="x", reason="y").version == 3


def test_corrected_infusions_of_a_patient_stay_in_order_and_as_far_apart_as_the_protocol_says(unchanged):
    today = today_at(unchanged.site)
    patient = unchanged.randomised(day_0=today - timedelta(days=40), on=today - timedelta(days=60))
    least = patient.protocol.infusions.least_days_between
    for code, on in (("W0", patient.day_0), ("W4", patient.day_0 + timedelta(days=28))):
        steps.enter_visit(patient=patient, code=code, by=unchanged.chen, panels=["vital_signs", "pregnancy"], on=on)
    lot, second = a_lot(unchanged, patient), patient.day_0 + timedelta(days=28)
    prepare(unchanged, patient, lot)
    give(unchanged, patient)
    prepare(unchanged, patient, lot, "W4", prepared_at=at(patient.site, second, "09:00"))
    give(unchanged, patient, "W4", **times(patient, second))

    def move(code, on, version=1):
        return give(unchanged, patient, code, **times(patient, on), version=version, reason="A wrong day")

    for code, on, said in (
        ("W4", patient.day_0 + timedelta(days=least - 1), "days must lie between"),
        ("W4", patient.day_0 - timedelta(days=3), "previous infusion was given later"),
        ("W0", second - timedelta(days=least - 1), "days after"),
        ("W0", second + timedelta(days=1), "next infusion was given earlier"),
    ):
        with pytest.raises(Refused, match=said):
            move(code, on)
    assert move("W4", patient.day_0 + timedelta(days=max(least, 27)))


def times(patient, on):
    start = at(patient.site, on, "10:00")
    return {"started_at": start, "stopped_at": start + timedelta(minutes=60)}


@pytest.mark.requirement("R17")
def test_an_infusion_on_another_day_than_its_visit_is_asked_about(unchanged):
    today = today_at(unchanged.site)
    patient = unchanged.randomised(day_0=today - timedelta(days=3))
    steps.enter_visit(patient=patient, code="W0", by=unchanged.chen, panels=["vital_signs", "pregnancy"])
    prepare(unchanged, patient, a_lot(unchanged, patient))
    infusion = give(unchanged, patient, **times(patient, today - timedelta(days=2)))
    query = infusion.queries.get(check_code="infusion_other_day")
    assert f"took place on {today - timedelta(days=3)}" in query.question
    give(unchanged, patient, **times(patient, today - timedelta(days=3)), version=1, reason="A wrong day")
    query.refresh_from_db()
    assert query.state == "closed"


def test_queries_of_an_infusion_stand_beside_its_values_and_are_counted_at_the_visit(unchanged, prepared):
    infusion = give(unchanged, prepared, monitoring={("M_PULSE", 15): "190"})
    query = infusion.queries.get(test="M_PULSE")
    whole = infusion.queries.get(check_code="monitoring")
    for person in (unchanged.chen, unchanged.maria):
        browser = unchanged.client(person)
        page = browser.get(f"/visits/{infusion.visit_id}/infusion/").content.decode()
        cell = page.split(f'href="/visits/queries/{query.pk}/"')
        assert len(cell) == 2 and f'href="/visits/queries/{whole.pk}/"' in page and whole.question in page
        assert "2 open queries" in browser.get(f"/visits/{infusion.visit_id}/").content.decode()


def whole_of(patient, start, stop):
    """What checks about the whole look at, of 100 mL of the whole bag."""
    times = [at(patient.site, patient.day_0, clock).astimezone(UTC) for clock in (start, stop)]
    return infusing.whole_of(*times, 100, 100)


def test_the_pharmacist_prepares_and_the_coordinator_records_in_the_browser(unchanged, ready):
    lot, visit = a_lot(unchanged, ready), steps.visit_of(ready, "W0")
    zhao, chen = unchanged.client(unchanged.zhao), unchanged.client(unchanged.chen)
    day = ready.day_0.isoformat()
    answer = send(
        zhao,
        f"/visits/{visit.pk}/prepare/",
        lot=lot.pk,
        viability_percent="90",
        label="BAG-1",
        prepared_at=f"{day} 09:10",
    )
    assert answer.status_code == 302, answer.content.decode()
    answer = send(
        chen, f"/visits/{visit.pk}/infusion/", started_at=f"{day} 09:30", stopped_at=f"{day} 10:30", volume_ml="100",
        M_PULSE_0="70", reaction1_term="Chills", reaction1_began=f"{day} 09:50", reaction1_grade="1",
        asked=signed(visit, f"monitoring::{whole_of(ready, '09:30', '10:30')}"),
    )  # fmt: skip
    assert answer.status_code == 302, answer.content.decode()
    infusion = Infusion.objects.get(visit=visit)
    assert infusion.started_at == at(ready.site, ready.day_0, "09:30") and infusion.reactions.get().term == "Chills"
    half = send(chen, f"/visits/{visit.pk}/infusion/", reaction2_term="Fever", reason="x")
    assert half.status_code == 422 and "whole row" in half.content.decode()
    taken = send(
        chen, f"/visits/{visit.pk}/infusion/", reaction1_term="", reaction1_began="", reaction1_grade="", reason="x"
    )
    assert taken.status_code == 302 and infusion.reactions.get().is_withdrawn


def test_the_pharmacist_is_told_why_there_is_no_lot_to_choose(unchanged, ready):
    address = f"/visits/{steps.visit_of(ready, 'W0').pk}/prepare/"
    page = unchanged.client(unchanged.zhao).get(address).content.decode()
    assert f"No lot of {product_of(ready).name} is released" in page and 'href="/visits/lots/"' in page
    page = unchanged.client(unchanged.chen).get(address).content.decode()
    assert "The pharmacy receives and releases lots." in page and 'href="/visits/lots/"' not in page.split("<main")[1]
    a_lot(unchanged, ready)
    assert "is released at this site" not in unchanged.client(unchanged.zhao).get(address).content.decode()


def live(universe, patient, by=None, **typed):
    """What the page says while the infusion of week 0 is typed into it: (refused and why, questions)."""
    visit = steps.visit_of(patient, "W0")
    client = universe.client(by or universe.chen)
    before = Query.objects.count(), Infusion.objects.count()
    answer = client.post(f"/visits/{visit.pk}/infusion/check/", {"version": "0", **typed})
    assert answer.status_code == 200 and (Query.objects.count(), Infusion.objects.count()) == before
    told = [*answer.context["reasons"], *(text for _bound, texts in answer.context["wrong"] for text in texts)]
    return told, answer.context["questions"]


def test_an_infusion_is_checked_while_it_is_typed(unchanged, prepared):
    day = prepared.day_0.isoformat()
    times = {"started_at": f"{day} 10:00", "stopped_at": f"{day} 11:00"}
    assert live(unchanged, prepared) == ([], []), "an empty form is asked nothing"
    assert live(unchanged, prepared, **times, volume_ml="100", given_percent="100") == ([], [])
    for typed, words in (
        ({"stopped_at": f"{day} 09:00"}, "must stop after"), ({"volume_ml": "x"}, ""), ({"M_PULSE_15": "999"}, ""),
        ({"reaction1_term": "Chills", "reaction1_began": f"{day} 09:00", "reaction1_grade": "1"}, "before the infusion"),
        ({"stop1_stopped": f"{day} 09:00", "stop1_resumed": f"{day} 09:10", "stop1_cause": "x"}, "not between"),
    ):  # fmt: skip
        told, _questions = live(unchanged, prepared, **times | typed)
        assert len(told) == 1 and words in told[0], typed
    for typed, check in (
        ({"volume_ml": "20"}, "volume"), ({"given_percent": "50"}, "dose_off_plan"), ({"M_PULSE_15": "190"}, "implausible"),
        ({"M_SYSBP_0": "92", "M_DIABP_0": "93"}, "pressure_order_infused"), ({"M_PULSE_60": "70"}, "monitoring"),
    ):  # fmt: skip
        told, questions = live(unchanged, prepared, **times | typed)
        assert (told, [question.check for question in questions]) == ([], [check]), typed


def test_what_bars_an_infusion_is_told_as_soon_as_its_start_is_typed(unchanged, prepared):
    day = prepared.day_0.isoformat()
    patient_actions.open_halt(
        scope=Scope.PATIENT, patient=prepared, blocks=["infuse"], cause="A rash", by=unchanged.samuel
    )
    tomorrow = {"started_at": f"{day} 00:01"}
    told, _questions = live(unchanged, prepared, **tomorrow)
    assert not [one for one in told if "rash" in one], "given before the halt was opened"
    lot = Preparation.objects.get(patient=prepared).lot
    actions.reject_lot(lot=lot, reason="Contaminated", version=lot.version, by=unchanged.zhao)
    told, _questions = live(unchanged, prepared, **tomorrow)
    assert told == ["The product lot is not released; it is rejected."]


def test_a_weight_that_changed_since_the_bag_was_prepared_is_asked_about_at_once(unchanged, ready):
    weight = actions.latest_weight(ready, ready.protocol, ready.day_0)
    prepare(unchanged, ready, a_lot(unchanged, ready), weight_kg=weight * 2)
    told, questions = live(unchanged, ready, started_at=f"{ready.day_0.isoformat()} 10:00")
    assert (told, [question.check for question in questions]) == ([], ["dose_for_weight"])


def test_who_may_not_record_infusions_is_told_nothing_and_reads_the_record_without_fields(unchanged):
    patient = unchanged.infused()
    visit = steps.visit_of(patient, "W0")
    page = unchanged.client(unchanged.maria).get(f"/visits/{visit.pk}/infusion/").content.decode()
    assert "<fieldset" not in page and 'name="started_at"' not in page and "UTC" in page
    pulse = Measurement.objects.filter(infusion__visit=visit, test="M_PULSE").first()
    assert f"<span>{pulse.typed}</span>" in page
    assert unchanged.client(unchanged.maria).post(f"/visits/{visit.pk}/infusion/check/").status_code == 403
    assert unchanged.client(unchanged.li).post(f"/visits/{visit.pk}/infusion/check/").status_code == 404


def test_a_question_about_an_infusion_is_confirmed_before_it_is_saved(unchanged, prepared):
    day, visit = prepared.day_0.isoformat(), steps.visit_of(prepared, "W0")
    minutes = prepared.protocol.infusions.monitoring_minutes
    typed = {"started_at": f"{day} 09:30", "stopped_at": f"{day} 10:30", "volume_ml": "100", "M_PULSE_15": "190"}
    typed |= {f"M_TEMP_{minute}": "36.6" for minute in minutes}
    chen, address = unchanged.client(unchanged.chen), f"/visits/{visit.pk}/infusion/"
    answer = send(chen, address, **typed)
    assert answer.status_code == 422 and not Infusion.objects.filter(visit=visit).exists()
    [question] = answer.context["questions"]
    assert (question.check, question.field, question.typed) == ("implausible", "M_PULSE_15", "190")
    assert send(chen, address, **typed, asked=question.signed, confirmed=question.signed).status_code == 302
    firing = CheckFiring.objects.get(infusion__visit=visit)
    assert (firing.outcome, firing.minute, firing.query) == ("confirmed", 15, None)


def test_a_question_about_an_infusion_that_was_corrected_is_counted_so(unchanged, prepared):
    day, visit = prepared.day_0.isoformat(), steps.visit_of(prepared, "W0")
    typed = {"started_at": f"{day} 09:30", "stopped_at": f"{day} 10:30", "volume_ml": "100"}
    typed |= {f"M_PULSE_{minute}": "70" for minute in prepared.protocol.infusions.monitoring_minutes}
    asked = ["implausible:M_PULSE_15:190", "volume::x", "impossible:M_PULSE_15:1", "volume:M_NONE_3:1", "a:b", "::"]
    elsewhere = signed(prepared, "volume::y")
    asked = [*(signed(visit, token) for token in asked), "volume::z", elsewhere]
    answer = send(unchanged.client(unchanged.chen), f"/visits/{visit.pk}/infusion/", **typed, asked=asked)
    assert answer.status_code == 302
    firings = CheckFiring.objects.filter(infusion__visit=visit).order_by("check_code")
    assert [(f.check_code, f.test, f.minute, f.typed) for f in firings] == [
        ("implausible", "M_PULSE", 15, "190"), ("volume", "", None, "x"),
    ]  # fmt: skip
    assert {f.outcome for f in firings} == {"corrected"}
