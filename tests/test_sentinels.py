"""The first patients wait for one another: refused before their turn, and told when it comes."""

from datetime import timedelta

import pytest
from django.utils import timezone

from patients import demo as patient_steps
from patients.models import AllocationSlot
from safety import actions
from trialsite import trial
from trialsite.audit import acting
from trialsite.clock import today_at
from trialsite.protocol.stopping import Sentinel
from trialsite.saving import Refused
from visits import demo as visit_steps


def infused(universe):
    patient = universe.randomised(day_0=today_at(universe.site) - timedelta(days=3))
    visit_steps.give_infusion(patient=patient, by=universe.chen, pharmacist=universe.zhao)
    return patient_steps.fresh(patient)


@pytest.fixture
def staggered(unchanged, monkeypatch):
    """The pilot with three sentinels of all arms, ten days apart, for infusions and for randomising."""

    def put(**about):
        protocol = trial.current_protocol()
        sentinel = Sentinel(**{"patients": 3, "days_between": 10, "blocks": ["infuse"], **about})
        changed = protocol.model_copy(update={"sentinel": sentinel})
        monkeypatch.setattr(trial, "versions", lambda: {protocol.version: changed})
        return unchanged

    return put


def ready(universe, patient):
    """A patient whose first bag may be prepared today but for the waiting."""
    visit_steps.enter_visit(patient=patient, code="W0", by=universe.chen, panels=["vital_signs", "pregnancy"])
    return lambda: visit_steps.prepare(patient=patient, by=universe.zhao)


def test_the_next_of_the_first_patients_waits_and_is_told_until_when(staggered):
    universe = staggered()
    first = infused(universe)
    may_begin = first.day_0 + timedelta(days=10)
    with pytest.raises(Refused, match=f"the next one may begin on {may_begin}"):
        ready(universe, universe.randomised())()
    # the same patient's own infusion may be corrected meanwhile, and on the tenth day after the first the next may begin
    with acting(universe.chen, "long ago"):
        first.infusions.update(
            started_at=timezone.now() - timedelta(days=10), stopped_at=timezone.now() - timedelta(days=9)
        )
    assert ready(universe, universe.randomised())()


def test_only_one_patient_at_a_time_is_prepared_among_the_first(staggered):
    universe = staggered()
    assert ready(universe, universe.randomised())()
    with pytest.raises(Refused, match="until the one before has had the first infusion"):
        ready(universe, universe.randomised())()


def test_the_patient_after_the_first_ones_still_waits_for_the_one_before(staggered):
    universe = staggered(patients=1, days_between=0, unresolved={"least_grade": 2})
    infused(universe)
    assert ready(universe, universe.randomised())()
    with pytest.raises(Refused, match="until the one before has had the first infusion"):
        ready(universe, universe.randomised())()


def test_patients_of_other_arms_do_not_wait(staggered):
    universe = staggered(arms=["MSC"])
    patients = {}
    while set(patients) != {"MSC", "SALINE"}:
        patient = universe.randomised()
        patients.setdefault(AllocationSlot.objects.get(patient=patient).arm, patient)
    assert ready(universe, patients["SALINE"])()
    visit_steps.give_infusion(patient=patients["SALINE"], by=universe.chen, pharmacist=universe.zhao)
    assert ready(universe, patients["MSC"])(), "nor does who was treated in another arm keep them waiting"
    while AllocationSlot.objects.get(patient=(patient := universe.randomised())).arm != "SALINE":
        pass
    assert ready(universe, patient)(), "while one of the sentinels' arm is about to begin"


def test_the_next_patient_waits_for_an_event_that_goes_on(staggered):
    universe = staggered(days_between=0, unresolved={"least_grade": 2})
    first = infused(universe)
    going_on = universe.event(first, began_on=first.day_0 + timedelta(days=1), grade=2)
    other = ready(universe, universe.randomised())
    with pytest.raises(Refused, match="until an adverse event of an earlier one is resolved"):
        other()
    ended = {"is_ongoing": False, "ended_on": first.day_0 + timedelta(days=2), "outcome": "recovered"}
    actions.change_adverse_event(event=going_on, values=ended, version=1, reason="over", by=universe.chen)
    assert other()


def test_the_page_of_an_infusion_tells_the_waiting_while_it_is_filled_in(staggered):
    universe = staggered(days_between=0, unresolved={"least_grade": 2})
    first = infused(universe)
    second = universe.randomised(day_0=today_at(universe.site) - timedelta(days=1))
    ready(universe, second)()
    universe.event(first, began_on=first.day_0 + timedelta(days=1), grade=2)
    visit = visit_steps.visit_of(second, "W0")
    client = universe.client(universe.chen)
    typed = {"started_at": f"{second.day_0} 10:00"}
    told = client.post(f"/visits/{visit.pk}/infusion/check/", typed).content.decode()
    assert "until an adverse event of an earlier one is resolved" in told
    with pytest.raises(Refused, match="until an adverse event of an earlier one is resolved"):
        visit_steps.give_infusion(patient=second, by=universe.chen, pharmacist=universe.zhao)
    again = client.post(f"/visits/{visit_steps.visit_of(first, 'W0').pk}/infusion/check/", typed).content.decode()
    assert "resolved" not in again, "who was treated waits for nobody"


def test_randomising_may_wait_too(staggered):
    universe = staggered(blocks=["randomise"])
    universe.randomised()
    with pytest.raises(Refused, match="until the one before has had the first infusion"):
        universe.randomised()


def test_the_start_page_says_from_when_the_next_patient_may_begin(staggered):
    universe = staggered()
    client = universe.client(universe.chen)
    assert "/safety/start/sentinels/" in client.get("/").content.decode()
    assert "The next patient may begin." in client.get("/safety/start/sentinels/").content.decode()
    first = infused(universe)
    told = client.get("/safety/start/sentinels/").content.decode()
    assert f"the next one may begin on {first.day_0 + timedelta(days=10)}" in told
