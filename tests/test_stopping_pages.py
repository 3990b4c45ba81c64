"""Pages about stopping rules: the boundary in both conventions, the trial's path on it, and the simulator."""

import time
from datetime import timedelta

import pytest

from patients import demo as patient_steps
from patients.models import AllocationSlot
from safety.stopping.boundaries import Boundary
from safety.stopping.draw import chart_of, ticks
from trialsite import trial
from trialsite.clock import today_at
from visits import demo as visit_steps

RULES, SIMULATOR = "/safety/stopping/", "/safety/stopping/simulator/"


def infused(universe):
    patient = universe.randomised(day_0=today_at(universe.site) - timedelta(days=3))
    visit_steps.give_infusion(patient=patient, by=universe.chen, pharmacist=universe.zhao)
    return patient_steps.fresh(patient)


@pytest.fixture(scope="module")
def severe(world):
    """One treated patient of each arm with a related event of grade 3."""
    patients = {}
    while set(patients) != {"MSC", "SALINE"}:
        patient = infused(world)
        patients.setdefault(AllocationSlot.objects.get(patient=patient).arm, patient)
    for patient in patients.values():
        world.event(patient, began_on=patient.day_0 + timedelta(days=1), grade=3, relationship="probable")
    return patients


def text_of(answer):
    assert answer.status_code == 200
    return answer.content.decode()


def test_all_rules_of_the_protocol_are_listed_with_where_they_stand(unchanged, severe):
    page = text_of(unchanged.client(unchanged.chen).get(RULES))
    for rule in trial.current_protocol().stopping_rules:
        assert rule.name in page and f"/safety/stopping/rules/{rule.code}/" in page
    assert "grade 3 or worse; related" in page and "halt in force" in page and "not met" in page


def test_the_page_of_a_rule_names_both_conventions_of_its_boundary(unchanged, severe):
    page = text_of(unchanged.client(unchanged.chen).get(f"{RULES}rules/RELATED_G3/"))
    assert "stop if ≥ (rejection count)" in page and "stop if > (greatest acceptable)" in page
    assert '<th scope="row">2–5</th><td class="num">2</td><td class="num">1</td>' in page
    assert '<th scope="row">6–7</th><td class="num">3</td><td class="num">2</td>' in page
    assert '<th scope="row">0.1</th><td class="num">0.0847</td>' in page.replace(">0.10<", ">0.1<")
    assert "<polyline" in page and "Pr(rate &gt; 0.10 | 1 of" in page


def test_only_patients_whom_one_may_see_are_named(unchanged, severe):
    number = severe["MSC"].number
    url = f"{RULES}rules/RELATED_G3/"
    assert number in text_of(unchanged.client(unchanged.chen).get(url))
    assert number not in text_of(unchanged.client(unchanged.li).get(url))
    assert number in text_of(unchanged.client(unchanged.sofia).get(url))


def test_when_a_rule_was_met_is_told_to_those_who_see_all_patients(unchanged, severe):
    url = f"{RULES}rules/PATIENT_G3/"
    assert "1 of 1; the rule stops at 1" in text_of(unchanged.client(unchanged.dora).get(url))
    assert "the rule stops at" not in text_of(unchanged.client(unchanged.li).get(url))


def test_a_rule_that_is_not_there_is_not_found(unchanged):
    assert unchanged.client(unchanged.chen).get(f"{RULES}rules/NONE/").status_code == 404


# --- the simulator ----------------------------------------------------------------------------------------

GELLER = {"kind": "beta_binomial", "patients": 30, "acceptable_rate": "0.2", "alpha": "0.1", "prior_a": "0.6",
          "prior_b": "2.4", "rates": "0.2, 0.25, 0.3"}  # fmt: skip


def test_the_simulator_gives_the_published_figures(unchanged):
    page = text_of(unchanged.client(unchanged.sofia).get(SIMULATOR, GELLER))
    for row in ("0.0996", "5.651", "28.26", "0.2383", "6.536", "26.15", "0.4362", "6.927", "23.09"):
        assert f">{row}<" in page, row
    assert "Any confidence above 0.963083 and up to 0.963192 gives this boundary." in page


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"patients": "201"}, "less than or equal to 200"),
        ({"patients": "1e2"}, "Write a whole number"),
        ({"kind": "bayes"}, "Select a valid choice"),
        ({"constant": "0.9"}, "Give alpha or the constant, not both."),
        ({"alpha": ""}, "Give alpha or the constant, not both."),
        ({"prior_a": ""}, "Give this for this kind of rule."),
        ({"rates": "0.2, 1.2"}, "Write rates from 0 to 1."),
        ({"rates": ", ".join(["0.1"] * 13)}, "Write up to 12 numbers"),
        ({"rates": "a"}, "Write up to 12 numbers"),
        ({"kind": "sprt"}, "Give this for this kind of rule."),
        ({"kind": "sprt", "unacceptable_rate": "0.1"}, "It must be above the acceptable rate."),
        ({"kind": "group_sequential", "looks": "10, 5"}, "The looks must rise"),
        ({"kind": "group_sequential", "looks": "1.5, 30"}, "Write whole numbers."),
        ({"kind": "k_of_first_m", "events": "31"}, "It must not be more than the patients."),
        ({"acceptable_rate": "1"}, "less than or equal to 0.999"),
    ],
)
def test_the_simulator_refuses_what_it_cannot_mean(unchanged, changes, told):
    page = text_of(unchanged.client(unchanged.sofia).get(SIMULATOR, {**GELLER, **changes}))
    assert told in page and '<svg class="boundary"' not in page


@pytest.mark.parametrize(
    "kind", ["beta_binomial", "pocock", "wang_tsiatis", "sprt", "max_sprt", "group_sequential", "k_of_first_m"]
)
def test_every_kind_is_worked_out_quickly_at_the_most_patients(unchanged, kind):
    asked = {**GELLER, "kind": kind, "patients": "200", "shape": "0.25", "unacceptable_rate": "0.4", "events": "3",
             "looks": ", ".join(str(n) for n in range(5, 201, 5)), "rates": ", ".join(["0.3"] * 12)}  # fmt: skip
    client, began = unchanged.client(unchanged.sofia), time.process_time()
    assert "Pr(stop)" in text_of(client.get(SIMULATOR, asked))
    assert time.process_time() - began < 3


def test_the_simulator_is_not_for_sites(unchanged):
    assert unchanged.client(unchanged.chen).get(SIMULATOR).status_code == 403
    assert unchanged.client(unchanged.dora).get(SIMULATOR).status_code == 200


# --- the picture --------------------------------------------------------------------------------------------


def test_the_path_lies_below_the_edge_while_the_trial_goes_on_and_above_it_after():
    boundary = Boundary((1, 2, 3), (2, 2, 3))
    chart = chart_of(boundary, [(1, 0), (1, 1), (2, 1), (2, 2)])
    level = float(chart.edge.split()[1].split("H")[0])
    below, above = chart.points[2], chart.points[3]
    assert above[1] < level < below[1] and chart.here == above
    assert chart.path.startswith("52.0,294.0")


def test_a_picture_without_a_path_shows_none_and_looks_stand_apart():
    chart = chart_of(Boundary((3, 6), (2, 3)))
    assert (chart.path, chart.points, chart.here) == ("", (), None)
    assert chart.edge.count("M") == 2


@pytest.mark.parametrize(("most", "last"), [(2, 2), (12, 12), (13, 12), (200, 200), (1000, 1000)])
def test_ticks_are_few_and_round(most, last):
    assert ticks(most)[-1] == last and len(ticks(most)) <= 13
