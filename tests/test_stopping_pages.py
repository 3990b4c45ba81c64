"""Pages about stopping rules: the boundary in both conventions, the trial's path on it, and the simulator."""

import re
import time
from datetime import timedelta
from decimal import Decimal as D
from html import unescape
from urllib.parse import parse_qsl

import pytest

from patients import demo as patient_steps
from patients.models import AllocationSlot, Halt
from safety import actions
from safety.models import AdverseEvent
from safety.stopping.boundaries import Boundary
from safety.stopping.draw import chart_of, ticks
from safety.stopping.evaluation import Treated, evaluate
from safety.stopping.forms import ASKED, SimulatorForm, address_of
from safety.stopping.rules import boundary_of
from safety.views.stopping import where_the_statistic_is
from trialsite import trial
from trialsite.audit import acting
from trialsite.clock import today_at
from trialsite.protocol.stopping import BetaBinomialRule, GroupSequentialRule, PocockRule, WangTsiatisRule
from visits import demo as visit_steps

RATE = {
    "code": "X",
    "name": "X",
    "counts": {"serious": True},
    "blocks": ["infuse"],
    "acceptable_rate": D("0.2"),
    "patients": 24,
}
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


def now_of(page, code):
    """What the list says of where a rule stands: counts, and the words of the statuses."""
    row = page.split(f"/safety/stopping/rules/{code}/")[1].split("</tr>")[0].split('data-label="Now"')[1]
    return " ".join(unescape(re.sub("<[^>]+>", " ", row.split(">", 1)[1])).split())


@pytest.mark.requirement("R57")
def test_a_rule_for_single_patients_says_of_how_many_it_is_met_and_decided_on(unchanged, severe):
    chen = unchanged.client(unchanged.chen)
    page = text_of(chen.get(RULES))
    treated = now_of(page, "PATIENT_G3").split()[2]
    assert now_of(page, "PATIENT_G3") == f"2 of {treated} patients met, halt in force: 2 patients"
    lift(Halt.objects.get(patient=severe["MSC"]), unchanged)
    told = now_of(text_of(chen.get(RULES)), "PATIENT_G3")
    assert told == f"2 of {treated} patients met, halt in force: 1 patient met, decided on: 1 patient"
    assert "met, decided on: 1 patient" in text_of(chen.get(f"{RULES}rules/PATIENT_G3/"))
    taken_back = AdverseEvent.objects.get(patient=severe["MSC"])
    actions.withdraw_adverse_event(
        event=taken_back, version=taken_back.version, reason="the wrong patient", by=unchanged.chen
    )
    told = now_of(text_of(chen.get(RULES)), "PATIENT_G3")
    assert told == f"1 of {treated} patients met, halt in force: 1 patient not met any more, decided on: 1 patient"


def test_in_a_masked_trial_a_pooled_rule_says_that_its_halt_is_in_force(unchanged, severe, monkeypatch):
    """The halt itself does not keep the rule."""
    protocol = trial.current_protocol()
    masked = protocol.trial.model_copy(update={"masking": "double"})
    monkeypatch.setattr(trial, "current_protocol", lambda: protocol.model_copy(update={"trial": masked}))
    patient = severe["SALINE"]
    unchanged.event(patient, term="Chills", began_on=patient.day_0 + timedelta(days=1), grade=2, relationship="probable",
                    is_serious=True, is_important=True, narrative="Told at length.")  # fmt: skip
    assert Halt.objects.filter(scope="trial").get().rule == ""
    page = text_of(unchanged.client(unchanged.chen).get(RULES))
    assert now_of(page, "SERIOUS_REACTION").endswith("patients met, halt in force")
    assert now_of(page, "RELATED_G3") == "not shown while the trial is masked"


def lift(halt, universe):
    with acting(universe.dora, "the board has decided"):
        Halt.objects.filter(pk=halt.pk).update(lifted_at=halt.opened_at, lifted_by=universe.dora, decision="Go on")


def test_beyond_the_planned_patients_the_page_says_what_decides(unchanged, severe):
    """A posterior of more patients than planned is shown, and is not what the rule goes by."""
    rule = trial.current_protocol().stopping_rule("RELATED_G3")
    day = severe["MSC"].day_0
    more = [Treated(n, f"01-{n:03d}", "MSC", (day,)) for n in range(1, 9)]
    [state] = evaluate([rule], more, on=day)
    assert [text.split(":")[0] for text in where_the_statistic_is(rule, state)] == [
        "Pr(rate > 0.10 | 0 of 8) = 0.0531.", "More patients are treated than the 7 planned",
    ]  # fmt: skip
    [state] = evaluate([rule], more[:7], on=day)
    assert len(where_the_statistic_is(rule, state)) == 1
    both = rule.model_copy(update={"unacceptable_rate": D("0.3"), "least_probability": D("0.5")})
    assert [text[:13] for text in where_the_statistic_is(both, state)] == ["Pr(rate > 0.1", "Pr(rate > 0.3"]


def test_the_page_of_a_rule_names_both_conventions_of_its_boundary(unchanged, severe):
    page = text_of(unchanged.client(unchanged.chen).get(f"{RULES}rules/RELATED_G3/"))
    assert "stop if ≥ (rejection count)" in page and "stop if > (greatest acceptable)" in page
    assert '<th scope="row">2–5</th><td class="num">2</td><td class="num">1</td>' in page
    assert '<th scope="row">6 and more</th><td class="num">3</td><td class="num">2</td>' in page
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
    assert "This boundary follows from every confidence c with 0.963083 ≤ c ≤ 0.963191." in page


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"patients": "201"}, "less than or equal to 200"),
        ({"patients": "1e2"}, "Write a whole number"),
        ({"kind": "bayes"}, "Select a valid choice"),
        ({"confidence": "0.9"}, "Give alpha or the constant, not both."),
        ({"unacceptable_rate": "0.3"}, "Give both, or neither."),
        ({"least_probability": "0.3"}, "Give both, or neither."),
        ({"unacceptable_rate": "0.1", "least_probability": "0.3"}, "It must be above the acceptable rate."),
        ({"kind": "pocock", "alpha": "", "level": "1.5"}, "less than or equal to 0.999"),
        (
            {"kind": "group_sequential", "looks": "15, 30", "alpha": "", "level": "0.6"},
            "This does not fit this kind of rule.",
        ),
        ({"kind": "pocock", "evaluable_after_days": "-1"}, "greater than or equal to 0"),
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


@pytest.mark.parametrize("kind", ASKED)
def test_the_simulator_shows_what_the_kind_asks_for_and_says_what_it_leaves_out(unchanged, kind):
    sofia = unchanged.client(unchanged.sofia)
    everything = {
        **GELLER,
        **{name: "0.5" for names in ASKED.values() for name in names},
        "constant": "2",
        "kind": kind,
        "p9": "1",
    }
    for more in ({}, {"change": "kind"}):
        page = text_of(sofia.get(SIMULATOR, {**everything, **more}))
        shown = set(re.findall(r'name="(\w+)"', page.split('id="simulator"')[1].split("</form>")[0])) - {"change"}
        assert shown == {"kind", "patients", *ASKED[kind], "rates"}
        left_out = page.split("does not use it:")[1].split("</div>")[0]
        assert "p9 (1)" in left_out and ("Prior, a (0.5)" in left_out) == (kind != "beta_binomial")
        assert left_out.count(";") == len(set(everything) - shown) - 1
    assert "Left out" not in text_of(sofia.get(SIMULATOR, {name: everything[name] for name in shown}))


def test_another_kind_is_shown_with_what_was_typed_and_judges_nothing(unchanged):
    sofia = unchanged.client(unchanged.sofia)
    typed = {**GELLER, "kind": "group_sequential", "alpha": "", "level": "0.04", "change": "kind"}
    page = text_of(sofia.get(SIMULATOR, typed))
    for field in ('name="patients" value="30"', 'name="level" value="0.04"', 'name="looks" value="10, 20, 30"'):
        assert field in page, field
    assert 'name="alpha" value="0.1"' not in page and "is-invalid" not in page and "Pr(stop)" not in page
    part = text_of(sofia.get(SIMULATOR, typed, headers={"HX-Request": "true"}))
    assert part.startswith('<div id="simulator">') and "<html" not in part, "htmx puts this part into the page"
    assert 'hx-trigger="change from:#id_kind"' in part and "<noscript><button" in part


def test_the_second_condition_of_chen_and_chaloner_is_tried_out(unchanged):
    sofia = unchanged.client(unchanged.sofia)
    asked = {
        **GELLER,
        "alpha": "",
        "confidence": "0.9",
        "patients": "24",
        "acceptable_rate": "0.1",
        "prior_a": "0.2",
        "prior_b": "1.8",
    }
    one = text_of(sofia.get(SIMULATOR, asked))
    both = text_of(sofia.get(SIMULATOR, {**asked, "unacceptable_rate": "0.3", "least_probability": "0.5"}))
    row = '<th scope="row">2–5</th>'
    assert row in one and "0.6501" in one
    assert row not in both and "0.6501" not in both
    late = text_of(sofia.get(SIMULATOR, {**asked, "evaluable_after_days": "28"}))
    assert "without one after 28 days" in late and "0.6501" in late


@pytest.mark.parametrize(
    "code",
    ["RELATED_G3", "SENTINEL", "RELATED_DEATH", "EARLY_DEATH", "SERIOUS_REACTION", "EMBOLISM_TUMOUR", "PATIENT_G3"],
)
def test_a_rule_of_the_protocol_is_tried_out_from_its_page(unchanged, severe, code):
    sofia, rule = unchanged.client(unchanged.sofia), trial.current_protocol().stopping_rule(code)
    page = text_of(sofia.get(f"{RULES}rules/{code}/"))
    found = re.search(rf'href="({SIMULATOR}\?[^"]*)"', page)
    assert bool(found) == (rule.scope != "patient"), "a rule that halts single patients stops no trial"
    assert SIMULATOR not in text_of(unchanged.client(unchanged.chen).get(f"{RULES}rules/{code}/"))
    if found:
        simulated = text_of(sofia.get(unescape(found[1])))
        assert "Pr(stop)" in simulated and "Left out" not in simulated and "is-invalid" not in simulated
        if boundary_of(rule):
            table = page.split("stop if ≥")[1].split("</table>")[0]
            assert table == simulated.split("stop if ≥")[1].split("</table>")[0]


@pytest.mark.parametrize(
    "rule",
    [
        BetaBinomialRule(**RATE, kind="beta_binomial", prior=[D("0.2"), D("1.8")], confidence=D("0.9"), unacceptable_rate=D("0.3"),
                         least_probability=D("0.5"), evaluable_after_days=28),
        PocockRule(**RATE, kind="pocock", level=D("0.0376634")), WangTsiatisRule(**RATE, kind="wang_tsiatis", shape=0, constant=D("1.6")),
        GroupSequentialRule(**RATE, kind="group_sequential", looks=[8, 16, 24], alpha=D("0.1")),
    ],
)  # fmt: skip
def test_the_address_of_a_rule_fills_in_all_that_it_is(rule):
    form = SimulatorForm(dict(parse_qsl(address_of(rule))))
    assert form.is_valid(), form.errors
    words = {"code", "name", "counts", "blocks"}
    assert form.rule.model_dump(exclude=words) == rule.model_dump(exclude=words) and not form.dropped


@pytest.mark.parametrize("kind", ASKED)
def test_every_kind_is_worked_out_quickly_at_the_most_patients(unchanged, kind):
    asked = {**GELLER, "kind": kind, "patients": "200", "shape": "0.25", "unacceptable_rate": "0.4", "least_probability": "0.1",
             "events": "3", "looks": ", ".join(str(n) for n in range(5, 201, 5)), "rates": ", ".join(["0.3"] * 12)}  # fmt: skip
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


def test_the_area_in_which_a_trial_stops_goes_beyond_the_planned_patients_where_the_rule_does():
    path = [(n, 0) for n in range(1, 9)]
    beyond = chart_of(Boundary((1, 2, 3), (2, 2, 3), holds_beyond=True), path)
    looks = chart_of(Boundary((1, 2, 3), (2, 2, 3)), path)
    assert f"H{beyond.right}V" in beyond.stop and f"H{looks.right}V" not in looks.stop
    assert beyond.edge.startswith(looks.edge) and beyond.edge != looks.edge


@pytest.mark.parametrize(("most", "last"), [(2, 2), (12, 12), (13, 12), (200, 200), (1000, 1000)])
def test_ticks_are_few_and_round(most, last):
    assert ticks(most)[-1] == last and len(ticks(most)) <= 13
