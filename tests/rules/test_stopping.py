"""Boundaries and their exact characteristics, held against published tables to the digits they print.

The tables: the README of the R package stoppingrule, its `calc.rule.bin` run for other methods, the examples of
clinfun's `toxbdry`, and small arms as this trial has them. docs/stopping.md says where each comes from."""

from decimal import Decimal as D
from fractions import Fraction
from itertools import pairwise
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safety.stopping.boundaries import (
    Boundary,
    ExactTail,
    LogLikelihoodRatio,
    MaximumLogLikelihoodRatio,
    Posterior,
    WangTsiatis,
    beta_tail,
    binomial_tail,
    boundary,
    calibrated,
    constants,
    count_rule,
    every,
    group_sequential,
    straddling,
)
from safety.stopping.characteristics import characteristics, upper_limit_of_none
from safety.stopping.rules import boundary_of, interval_of
from trialsite.protocol.stopping import (
    BetaBinomialRule,
    GroupSequentialRule,
    MaxSprtRule,
    PocockRule,
    SprtRule,
    WangTsiatisRule,
)

GELLER = Posterior(0.6, 2.4, 0.2)


def numbers(text):
    return tuple(map(int, text.split()))


# --- the README of stoppingrule ---------------------------------------------------------------------------

README = numbers("2 3 3 3 4 4 5 5 5 5 6 6 6 7 7 7 7 8 8 8 9 9 9 9 10 10 10 10 11 11")
# the last count holds beyond the 30 patients
README_RANGES = [(3, 4, 3), (5, 6, 4), (7, 10, 5), (11, 13, 6), (14, 17, 7), (18, 20, 8), (21, 24, 9), (25, 28, 10),
                 (29, None, 11)]  # fmt: skip


def test_the_boundary_of_the_readme_comes_from_its_search():
    found = calibrated(GELLER, 0.1, every(30), 0.2)
    assert found.counts == README
    assert found.ranges() == README_RANGES
    assert found == boundary(GELLER, 0.96309, every(30))


def test_the_constant_that_the_readme_prints_does_not_give_its_boundary():
    """The trap: exactly evaluated, 4 of 7 is above the printed constant, and alpha is missed."""
    assert GELLER.of(4, 7) == pytest.approx(0.963082691670337, abs=1e-14)
    printed = boundary(GELLER, 0.963082305491, every(30))
    assert printed.rejections[7] == 4 and printed.crossing(0.2) == pytest.approx(0.10444643, abs=5e-9)
    low, high = constants(GELLER, calibrated(GELLER, 0.1, every(30), 0.2))
    assert low == pytest.approx(0.963082691670337) and low < 0.96309 < high


@pytest.mark.parametrize(
    ("rate", "crossing", "events", "patients"),
    [
        (0.20, 0.09957367, 5.651197, 28.25598364),
        (0.25, 0.23832301, 6.536293, 26.14517248),
        (0.30, 0.43615256, 6.926712, 23.08904036),
        (0.35, 0.64555222, 6.819377, 19.48393304),
        (0.40, 0.81491087, 6.355803, 15.88950827),
    ],
)
def test_the_characteristics_of_the_readme(rate, crossing, events, patients):
    found = boundary(GELLER, 0.96309, every(30)).at(rate)
    assert f"{found.crossing:.8f}" == f"{crossing:.8f}"
    assert f"{found.events:.6f}" == f"{events:.6f}"
    assert f"{found.patients:.8f}" == f"{patients:.8f}"


# --- other methods -----------------------------------------------------------------------------------------

# statistic, printed boundary, a constant within the interval of the printed one, rejections at 0.2, 0.3 and 0.4
OTHER_METHODS = {
    "Pocock": (
        ExactTail(0.2), "2 3 3 3 4 4 4 5 5 5 6 6 6 7 7 7 8 8 8 8 9 9 9 9 10 10 10 11 11 11", -0.0376634,
        "0.09915263 0.42603085 0.80576733",
    ),
    "O'Brien and Fleming": (
        WangTsiatis(0.2, 0, 30), "4 5 5 5 5 5 6 6 6 6 6 7 7 7 7 7 8 8 8 8 8 9 9 9 9 9 10 10 10 10", 1.6431677,
        "0.08977511 0.46906377 0.85193710",
    ),
    "Wang and Tsiatis, 0.25": (
        WangTsiatis(0.2, 0.25, 30), "2 3 3 4 4 4 5 5 5 6 6 6 6 7 7 7 7 8 8 8 8 9 9 9 9 10 10 10 10 11", 1.8257419,
        "0.09746642 0.45417484 0.83229363",
    ),
    "SPRT": (
        LogLikelihoodRatio(0.2, 0.4), "3 3 3 4 4 4 4 5 5 5 6 6 6 6 7 7 7 8 8 8 9 9 9 9 10 10 10 11 11 11", 1.8053105,
        "0.09823639 0.42992296 0.80866669",
    ),
    "MaxSPRT": (
        MaximumLogLikelihoodRatio(0.2), "2 2 3 3 4 4 5 5 5 6 6 6 7 7 7 8 8 8 8 9 9 9 10 10 10 10 11 11 11 12", 2.3268276,
        "0.09563818 0.38045387 0.76079584",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("statistic", "counts", "constant", "crossings"), OTHER_METHODS.values(), ids=OTHER_METHODS)
def test_the_boundaries_of_other_methods(statistic, counts, constant, crossings):
    found = calibrated(statistic, 0.1, every(30), 0.2)
    # a count that n patients cannot reach is printed by some of them as the formula has it
    assert found.counts == tuple(min(count, n + 1) for n, count in enumerate(numbers(counts), 1))
    assert " ".join(f"{found.crossing(rate):.8f}" for rate in (0.2, 0.3, 0.4)) == crossings
    low, high = constants(statistic, found)
    # the printed constant is that of a root finder: near the interval, not always in it
    assert low - 1e-5 < constant < high


# --- toxbdry: stop if events > value -------------------------------------------------------------------------

LOW = numbers("1 1 2 2 2 2 2 3 3 3 3 3 4 4 4 4 4 4 4 5 5 5 5 5 5 6 6 6 6")
HIGH = numbers("1 1 2 2 2 2 2 3 3 3 3 3 4 4 4 4 4 4 5 5 5 5 5 5 5 6 6 6 6")
LOOKS = (20, 40, 60, 75)


def acceptable(found):
    return tuple(count - 1 for count in found.counts)


def test_toxbdry_after_each_patient():
    low, high = straddling(p0=0.1, looks=range(2, 31), shape=0, alpha=0.1)
    assert (acceptable(low), acceptable(high)) == (LOW, HIGH)
    table = """.10 .100202456 28.1083697 .097413024 28.1459823
        .14 .250041943 25.6639207 .244538384 25.7519081
        .18 .448016392 22.4051650 .441330367 22.5358840
        .22 .644123586 18.8494815 .638204642 18.9957453
        .26 .799152587 15.4849380 .795016399 15.6187853
        .30 .900676025 12.6052699 .898296638 12.7100313"""
    for line in table.splitlines():
        rate, *printed = map(float, line.split())
        found = [low.at(rate).crossing, low.at(rate).patients, high.at(rate).crossing, high.at(rate).patients]
        # nine digits are printed; one of them, .097413024, is exactly 0.09741302347 and was rounded twice
        assert found == pytest.approx(printed, rel=6e-9), rate


def test_toxbdry_at_four_looks():
    low, high = straddling(p0=0.2, looks=LOOKS, shape=0, alpha=0.1)
    assert (acceptable(low), acceptable(high)) == ((7, 12, 17, 20), (7, 12, 17, 21))
    for rate, *printed in (
        (0.2, 0.101300908, 0.087506410),
        (0.26, 0.456216763, 0.405614509),
        (0.35, 0.935067974, 0.911410582),
    ):
        assert [low.crossing(rate), high.crossing(rate)] == pytest.approx(printed, abs=1e-9)
    assert (low.at(0.2).patients, low.at(0.35).patients) == pytest.approx((71.9565768, 39.9265977), abs=1e-7)


def test_toxbdry_with_priority_for_the_unacceptable_rate():
    low, high = straddling(p0=0.1, looks=range(2, 26), shape=0, alpha=0.9, at=0.3)
    assert acceptable(low) == (1,) * 3 + (2,) * 6 + (3,) * 6 + (4,) * 7 + (5,) * 2
    assert acceptable(high) == (1,) * 3 + (2,) * 6 + (3,) * 6 + (4,) * 6 + (5,) * 3


def test_toxbdry_with_another_alpha():
    low, high = straddling(p0=0.2, looks=LOOKS, shape=0, alpha=0.15)
    assert (acceptable(low), acceptable(high)) == ((6, 12, 16, 20), (7, 12, 16, 20))


# --- small arms ------------------------------------------------------------------------------------------------

SMALL_ARMS = [
    (Posterior(0.2, 1.8, 0.1), 0.9, "2 2 2 2 2 3 3", (0.05, 0.1, 0.2, 0.3, 0.4, 0.5),
     ".0231/.0847/.2791/.5042/.7045/.8516"),
    (Posterior(1, 1, 0.2), 0.9, "1 2 2 2 2 3 3", (0.05, 0.1, 0.2, 0.3, 0.4, 0.5),
     ".0637/.1497/.3577/.5697/.7481/.8750"),
    (Posterior(0.2, 1.8, 0.1), 0.9, "2 2 2 2 2 3 3 3 3 3 3 4 4 4 4 4 4 4 5 5 5 5 5 5",
     (0.05, 0.1, 0.2, 0.3, 0.4, 0.5), ".0370/.1834/.6501/.9236/.9913/.9995"),
]  # fmt: skip


@pytest.mark.parametrize(("statistic", "constant", "counts", "rates", "crossings"), SMALL_ARMS)
def test_the_boundaries_of_small_arms(statistic, constant, counts, rates, crossings):
    found = boundary(statistic, constant, every(len(numbers(counts))))
    assert found.counts == numbers(counts)
    assert "/".join(f"{found.crossing(rate):.4f}"[1:] for rate in rates) == crossings


@pytest.mark.parametrize(
    ("statistic", "counts", "crossings"),
    [
        (Posterior(0.1, 0.9, 0.1), "2 2 2 2 2 3 3", ".0847405/.2791040/.5041935/.7045120/.8515625"),
        (ExactTail(0.1), "2 2 2 2 2 3 3", ".0847405/.2791040/.5041935/.7045120/.8515625"),
        (Posterior(0.3, 2.7, 0.1), "2 2 2 3 3 3 3 3 4 4 4 4 4 4 5 5 5 5 5 5 5 6 6 6",
         # .85529966 is printed; exactly it is 0.85529965459, which the table has rounded twice
         ".09908862/.50433138/.85529965/.97777588/.99832577"),
    ],
)  # fmt: skip
def test_calibrated_boundaries_of_small_arms(statistic, counts, crossings):
    found = calibrated(statistic, 0.1, every(len(numbers(counts))), 0.1)
    assert found.counts == numbers(counts)
    digits = len(crossings.split("/")[0]) - 1
    assert "/".join(f"{found.crossing(r):.{digits}f}"[1:] for r in (0.1, 0.2, 0.3, 0.4, 0.5)) == crossings


@pytest.mark.parametrize(
    ("prior", "rate", "n", "posteriors"),
    [
        ((1, 1), 0.1, 3, ".6561 .9477 .9963"), ((1, 1), 0.1, 7, ".4305 .8131 .9619 .9950"),
        ((0.5, 0.5), 0.2, 3, ".2275 .7490 .9663"), ((0.5, 0.5), 0.2, 7, ".0719 .3906 .7358 .9257 .9867"),
    ],
)  # fmt: skip
def test_posterior_probabilities(prior, rate, n, posteriors):
    found = [Posterior(*prior, rate).of(events, n) for events in range(len(posteriors.split()))]
    assert " ".join(f"{value:.4f}"[1:] for value in found) == posteriors


@pytest.mark.parametrize(
    ("events", "patients", "crossings"),
    [
        (1, 3, ".1426 .2710 .4880 .6570 .8750"),
        (2, 3, ".0073 .0280 .1040 .2160 .5000"),
        (2, 6, ".0328 .1143 .3446 .5798 .8906"),
    ],
)
def test_so_many_of_the_first(events, patients, crossings):
    # exactly .00725 at .05 is printed rounded up
    found = [count_rule(events, patients).crossing(rate) for rate in (0.05, 0.1, 0.2, 0.3, 0.5)]
    assert " ".join(f"{value + 1e-12:.4f}"[1:] for value in found) == crossings


@pytest.mark.parametrize(
    ("n", "limit"), [(3, ".632"), (7, ".348"), (13, ".206"), (24, ".117"), (48, ".061"), (72, ".041")]
)
def test_the_limit_when_nothing_was_seen(n, limit):
    assert f"{upper_limit_of_none(n):.3f}"[1:] == limit


# --- what must hold of all ----------------------------------------------------------------------------------------

rates = st.floats(0.02, 0.6)
sizes = st.integers(1, 40)
statistics = st.one_of(
    st.builds(Posterior, st.floats(0.05, 5), st.floats(0.05, 5), rates),
    st.builds(ExactTail, rates),
    st.builds(WangTsiatis, rates, st.floats(0, 0.5), sizes),
    st.builds(lambda p0, step: LogLikelihoodRatio(p0, p0 + step), rates, st.floats(0.05, 0.3)),
    st.builds(MaximumLogLikelihoodRatio, rates),
)


@settings(max_examples=80, deadline=None)
@given(statistics, sizes, st.floats(0.01, 0.5))
def test_a_calibrated_boundary_keeps_alpha_and_the_next_liberal_one_does_not(statistic, n, alpha):
    found = calibrated(statistic, alpha, every(n), statistic.p0)
    assert found.crossing(statistic.p0) <= alpha
    low, _high = constants(statistic, found)
    # the constant just below: the statistic that went on would stop
    liberal = boundary(statistic, low - abs(low) * 1e-9, every(n))
    # nothing is more liberal than to stop at the first event, or than the least constant that is looked at
    if liberal != found and set(found.counts) != {1} and low > statistic.least:
        assert liberal.crossing(statistic.p0) > alpha
        assert all(a <= b for a, b in zip(liberal.counts, found.counts, strict=True))


@settings(max_examples=80, deadline=None)
@given(statistics, sizes, st.floats(0.01, 0.5))
def test_a_boundary_never_falls_and_is_reached_by_the_events_it_names(statistic, n, alpha):
    found = calibrated(statistic, alpha, every(n), statistic.p0)
    assert all(earlier <= later for earlier, later in pairwise(found.counts))
    low, _high = constants(statistic, found)
    for patients, count in found.rejections.items():
        assert count <= patients + 1
        assert statistic.of(count - 1, patients) <= low or count == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 14), min_size=1, max_size=12), st.floats(0, 1))
def test_the_recursion_equals_the_enumeration_of_all_courses(counts, rate):
    """Every course of events and none, patient by patient, with its probability."""
    rejections = dict(enumerate(sorted(counts), 1))
    crossed = events = patients = 0.0
    for course in range(2 ** len(counts)):
        seen, chance, stopped = 0, 1.0, False
        for n in range(1, len(counts) + 1):
            has_event = course >> (n - 1) & 1
            chance *= rate if has_event else 1 - rate
            seen += has_event
            if seen >= rejections[n]:
                stopped = True
                # the courses that differ only after the stop share this one
                chance /= 2 ** (len(counts) - n)
                break
        crossed += chance * stopped
        events, patients = events + chance * seen, patients + chance * n
    found = characteristics(rejections, rate)
    assert (found.crossing, found.events, found.patients) == pytest.approx((crossed, events, patients), abs=1e-9)
    # Wald: each patient adds an event with this probability
    assert found.events == pytest.approx(rate * found.patients, abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 60), st.integers(1, 60), st.fractions(Fraction(1, 50), Fraction(49, 50), max_denominator=50))
def test_tails_equal_exact_fractions(events, n, p):
    exact = sum((comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(events, n + 1)), Fraction(0))
    assert binomial_tail(events, n, float(p)) == pytest.approx(float(exact), rel=1e-12, abs=1e-300)
    # I_p(s, n - s + 1) is the binomial tail: with whole parameters the posterior is one, too
    if 1 <= events <= n:
        assert 1 - beta_tail(events, n - events + 1, float(p)) == pytest.approx(float(exact), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.floats(0.05, 20), st.floats(0.05, 20), st.floats(0.01, 0.99))
def test_the_beta_tail_falls_and_mirrors(a, b, x):
    tail = beta_tail(a, b, x)
    assert -1e-12 <= tail <= 1 + 1e-12
    assert tail == pytest.approx(1 - beta_tail(b, a, 1 - x), abs=1e-11)
    assert beta_tail(a + 1, b, x) >= tail - 1e-12


def test_what_is_equal_on_paper_stops_or_goes_on_as_the_rule_says():
    # Pr(2 of 2) at 0.2 is 0.04 exactly, and a level of 0.04 stops; binary arithmetic alone would go on
    assert 0.2**2 > 0.04
    assert boundary(ExactTail(0.2), -0.04, every(2)).counts == (2, 2)
    # Beta(1, 1), 1 of 1: 1 - 0.1^2 = 0.99 is not above 0.99
    assert boundary(Posterior(1, 1, 0.1), 0.99, every(1)).counts == (2,)
    assert boundary(Posterior(1, 1, 0.1), 0.9899, every(1)).counts == (1,)


# --- from the protocol's rule ----------------------------------------------------------------------------------------

SHARED = {"code": "X", "name": "X", "counts": {"serious": True}, "blocks": ["infuse"]}


def test_rules_of_the_protocol_have_their_boundaries():
    rule = BetaBinomialRule(
        **SHARED,
        kind="beta_binomial",
        prior=[D("0.6"), D("2.4")],
        acceptable_rate=D("0.2"),
        patients=30,
        alpha=D("0.1"),
    )
    assert boundary_of(rule).counts == README
    found = interval_of(rule)
    assert found.low < D("0.96309") < found.high
    pocock = {**SHARED, "kind": "pocock", "acceptable_rate": D("0.2"), "patients": 30}
    assert boundary_of(PocockRule(**pocock, level=D("0.037"))) == boundary_of(PocockRule(**pocock, alpha=D("0.1")))
    found = interval_of(PocockRule(**pocock, alpha=D("0.1")))
    assert found.low < D("0.037") < found.high
    looks = {**SHARED, "kind": "group_sequential", "acceptable_rate": D("0.2"), "patients": 75, "looks": LOOKS}
    assert acceptable(boundary_of(GroupSequentialRule(**looks, alpha=D("0.1")))) == (7, 12, 17, 21)
    assert boundary_of(GroupSequentialRule(**looks, level=D("0.04"))) == group_sequential(
        p0=0.2, looks=LOOKS, level=0.04, shape=0
    )


def test_the_second_condition_of_chen_and_chaloner_only_makes_a_rule_stricter():
    one = boundary(Posterior(0.2, 1.8, 0.1), 0.9, every(24))
    both = boundary(Posterior(0.2, 1.8, 0.1, 0.3, 0.5), 0.9, every(24))
    assert all(a <= b for a, b in zip(one.counts, both.counts, strict=True)) and one != both
    assert all(beta_tail(0.2 + count, 1.8 + n - count, 0.3) > 0.5 for n, count in both.rejections.items() if count <= n)


@pytest.mark.parametrize(
    ("found", "rejections", "ranges"),
    [
        # looks: nothing stops between them, nor beyond the last
        (group_sequential(p0=0.1, looks=[2, 4, 8], level=0.06, shape=0), [None, 2, None, 2, None, None, None, 3, None, None],
         [(2, 4, 2), (8, 8, 3)]),
        (Boundary((3, 6), (2, 3)), [None, None, 2, None, None, 3, None, None, None, None], [(3, 3, 2), (6, 6, 3)]),
        # so many of the first: the next ones are not looked at
        (count_rule(2, 3), [None, 2, 2, None, None, None, None, None, None, None], [(2, 3, 2)]),
        # a rate, after each patient: the last count holds
        (boundary(Posterior(0.2, 1.8, 0.1), 0.9, every(7)), [None, 2, 2, 2, 2, 3, 3, 3, 3, 3], [(2, 5, 2), (6, None, 3)]),
        # unless no count of so many patients stops
        (boundary(ExactTail(0.1), -0.0001, every(3)), [None] * 10, []),
        (Boundary((1, 2), (2, 2)), [None, 2, *[None] * 8], [(2, 2, 2)]),
    ],
)  # fmt: skip
def test_a_boundary_stops_where_it_is_defined_and_nowhere_else(found, rejections, ranges):
    assert [found.rejection_at(n) for n in range(1, 11)] == rejections
    assert found.ranges() == ranges


# --- which constants give the boundary --------------------------------------------------------------------------------

RATE = {**SHARED, "acceptable_rate": D("0.1"), "patients": 7}
# the rule, as given by alpha; the exact ends where they are known on paper; which end belongs to the interval
INTERVALS = [
    # a flat prior, p0 0.2: 1 of 1 has 1 - 0.2^2 = 0.96 and goes on, 2 of 2 has 1 - 0.2^3 = 0.992 and stops
    (BetaBinomialRule(**{**RATE, "acceptable_rate": D("0.2"), "patients": 2}, kind="beta_binomial", prior=[1, 1], alpha=D("0.05")),
     ("0.96", "0.992"), (True, False)),
    (BetaBinomialRule(**RATE, kind="beta_binomial", prior=[D("0.2"), D("1.8")], alpha=D("0.1")), None, (True, False)),
    (BetaBinomialRule(**{**RATE, "patients": 24}, kind="beta_binomial", prior=[D("0.2"), D("1.8")], alpha=D("0.15"),
                      unacceptable_rate=D("0.3"), least_probability=D("0.2")), None, (True, False)),
    # 2 of 2 has probability 0.01 at 0.1, 1 of 1 has 0.1, 1 of 2 has 0.19
    (PocockRule(**{**RATE, "patients": 2}, kind="pocock", alpha=D("0.05")), ("0.01", "0.1"), (True, False)),
    (PocockRule(**RATE, kind="pocock", alpha=D("0.1")), None, (True, False)),
    (WangTsiatisRule(**RATE, kind="wang_tsiatis", shape=0, alpha=D("0.1")), None, (False, True)),
    (WangTsiatisRule(**RATE, kind="wang_tsiatis", shape=D("0.5"), alpha=D("0.1")), None, (False, True)),
    (SprtRule(**RATE, kind="sprt", unacceptable_rate=D("0.4"), alpha=D("0.1")), None, (False, True)),
    (MaxSprtRule(**RATE, kind="max_sprt", alpha=D("0.1")), None, (False, True)),
]  # fmt: skip


def with_constant(rule, constant):
    given = {**rule.model_dump(), "alpha": None, rule.constant_key: D(constant)}
    return type(rule)(**given)


@pytest.mark.parametrize(("rule", "ends", "belongs"), INTERVALS)
def test_each_end_of_the_interval_belongs_to_it_or_not_as_is_said(rule, ends, belongs):
    """At the exact ends (12 digits, as statistics are compared), beside them, and at what pages print."""
    found, wanted = interval_of(rule), boundary_of(rule)
    if ends:
        assert (found.low, found.high) == tuple(map(D, ends))
    assert (found.has_low, found.has_high) == belongs
    digit = D("1e-11")
    for constant, is_in in (
        (found.low, found.has_low), (found.high, found.has_high), (found.low * (1 + digit), True), (found.high * (1 - digit), True),
        (found.low * (1 - digit), False), (found.high * (1 + digit), False),
    ):  # fmt: skip
        assert (boundary_of(with_constant(rule, constant)) == wanted) is is_in, constant


@pytest.mark.parametrize("rule", [rule for rule, _ends, _belongs in INTERVALS])
def test_the_ends_that_are_printed_give_the_boundary_when_they_are_typed_unless_they_are_called_open(rule):
    low, has_low, high, has_high = interval_of(rule).printed()
    assert low < high and max(len(str(end).replace(".", "").strip("0")) for end in (low, high)) <= 6
    for end, is_in in ((low, has_low), (high, has_high)):
        assert (boundary_of(with_constant(rule, end)) == boundary_of(rule)) is is_in


def test_a_boundary_that_stops_nowhere_has_an_interval_with_one_end():
    never = BetaBinomialRule(**{**RATE, "patients": 1}, kind="beta_binomial", prior=[1, 1], confidence=D("0.99"))
    # 1 of 1: 1 - 0.1^2
    assert boundary_of(never).counts == (2,)
    assert interval_of(never).printed() == (D("0.99"), True, None, False)
    level = PocockRule(**{**RATE, "patients": 1}, kind="pocock", level=D("0.05"))
    assert interval_of(level).printed() == (None, False, D("0.1"), False)
    # where the second condition alone decides, a smaller confidence changes nothing
    strict = BetaBinomialRule(**{**RATE, "patients": 24}, kind="beta_binomial", prior=[D("0.2"), D("1.8")], confidence=D("0.3"),
                              unacceptable_rate=D("0.3"), least_probability=D("0.5"))  # fmt: skip
    assert interval_of(strict).low is None
    assert boundary_of(with_constant(strict, "0.001")) == boundary_of(strict)
