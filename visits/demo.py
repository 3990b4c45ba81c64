"""The steps of the demonstration, and of the tests' universe, about what was measured; and the bodies it comes from.

A `Body` gives what a laboratory or a thermometer would: a level of its own for each test, a course over the trial and
the scatter from day to day. No patient's data of a trial of these cells are public, so the numbers are invented: CD4
as in the trial's criteria, its rise in a year near that of R's boot::cd4 (in hundreds, e.g. 2.12 to 2.47, 4.35 to
4.61), naive and central-memory cells, IFN-γ and IL-2 rising and activation falling after cells as the paper's abstract
says, the blood pressure during cells as in Regenerative Therapy 2023;24:282. A test that has no line in COURSES is
drawn from its reference or plausible range, so that any protocol can be shown."""

import math
from datetime import time, timedelta
from decimal import Decimal

from patients.actions import today_at
from patients.models import AllocationSlot
from trialsite.audit import acting
from trialsite.demo import at, chance
from trialsite.reasons import because
from trialsite.saving import Refused
from visits import actions
from visits.contents import INFUSIONS, PANELS, load_forms
from visits.laboratories import default_laboratory, laboratory_tests, ranges_for
from visits.models import Infusion, Lot, PanelState, Preparation, Query, QueryState, Visit
from visits.ranges import Range, to_csv
from visits.reviews import MEANINGS
from visits.units import in_unit, rounded, unit_of

# --- bodies ------------------------------------------------------------------------------------------


class Body:
    """What would be measured in one patient. The same seed gives the same body, whatever else happens in the trial.

    `fixed` says what a test gives before day 0, for a patient who must fail screening or must not. `cells` tells
    whether cells are infused from day 0 on: 1, or 0 for none."""

    def __init__(self, seed, sex, fixed=None):
        self.seed, self.sex, self.fixed, self.cells = seed, sex, fixed or {}, 0
        self._levels, self._values = {}, {}

    def level(self, name):
        """How far this body lies from others: a standard normal number, the same at every visit."""
        if name not in self._levels:
            self._levels[name] = chance(self.seed, name).gauss(0, 1)
        return self._levels[name]

    def scatter(self, name, when):
        return chance(self.seed, name, when).gauss(0, 1)

    def value(self, name, day, when):
        """The value of a course on a day (from day 0) at `when`, a name of the occasion: the same if asked twice."""
        key = (name, when)
        if key not in self._values:
            self._values[key] = COURSES[name](self, name, day, when)
        return self._values[key]

    def will_be(self, name, when, value):
        """Let a course have this value on one occasion."""
        self._values[name, when] = value

    def change(self, day):
        """How much of a year's change has come by this day: from 0 to about 1."""
        return 1 - math.exp(-max(day, 0) / 130)

    def typed(self, test, day, when):
        """What a coordinator types for `test`; "" for what is left blank."""
        if day < 0 and test.code in self.fixed:
            return self.fixed[test.code]
        name = test.code.removeprefix("M_")
        if name in COURSES:
            value = self.value(name, day, when)
            if isinstance(value, str):
                is_known = test.kind != "choice" or value in {choice.code for choice in test.choices}
                return value if is_known else self._unknown_test(test, when)
            return in_plain_range(test, value)
        return self._unknown_test(test, when)

    def _unknown_test(self, test, when):
        if test.kind == "choice":
            calm = [choice.code for choice in test.choices if not choice.alert] or [test.choices[0].code]
            return chance(self.seed, test.code, when).choice([calm[0], calm[0], *calm])
        if test.kind == "text":
            return "Nothing to note" if test.required else ""
        low, high = usual_range(test, self.sex)
        middle, width = (low + high) / 2, high - low
        value = middle + width * (self.level(test.code) / 8 + self.scatter(test.code, when) / 14)
        return in_plain_range(test, min(max(value, low), high))


def usual_range(test, sex):
    """(low, high) of a test that nothing else is known about."""
    reference = test.reference_for(sex)
    possible = test.possible or (Decimal(0), Decimal(100))
    plausible = test.plausible or possible
    low = reference.low if reference and reference.low is not None else plausible[0]
    high = reference.high if reference and reference.high is not None else plausible[1]
    return float(max(low, possible[0])), float(min(high, possible[1]))


def in_plain_range(test, value):
    """As typed: in the test's decimals and inside what is plausible, so that only what shall raise a query does."""
    for bounds in (test.possible, test.plausible):
        if bounds:
            value = min(max(value, float(bounds[0])), float(bounds[1]))
    return f"{value:.{test.decimals}f}"


def normal(mean, between, within, cells=0.0, everyone=0.0):
    """Mean (of all, or of men and of women), deviation between bodies and from day to day, a year's change."""

    def course(body, name, day, when):
        middle = mean if not isinstance(mean, tuple) else mean[body.sex == "F"]
        change = body.change(day) * (everyone + cells * body.cells)
        return middle + between * body.level(name) + within * body.scatter(name, when) + change

    return course


def lognormal(median, between, within, cells=1.0, everyone=1.0):
    """Median, the same deviations as logarithms, a year's change as a factor."""

    def course(body, name, day, when):
        middle = median if not isinstance(median, tuple) else median[body.sex == "F"]
        factor = (everyone * cells**body.cells) ** body.change(day)
        return middle * factor * math.exp(between * body.level(name) + within * body.scatter(name, when))

    return course


def part_of(whole, share, between, within):
    def course(body, name, day, when):
        part = share + between * body.level(name) + within * body.scatter(name, when)
        return body.value(whole, day, when) * min(max(part, 0.05), 0.62)

    return course


def always(text):
    return lambda body, name, day, when: text


def one_of(*texts):
    """The same answer at every visit of a patient."""
    return lambda body, name, day, when: chance(body.seed, name).choice(texts)


def rarely(usual, rare, probability):
    return lambda body, name, day, when: rare if chance(body.seed, name, when).random() < probability else usual


def _height(body, name, day, when):
    """Once, at screening."""
    return (170, 159)[body.sex == "F"] + 5.5 * body.level(name) if day < 0 else ""


def _diastolic(body, name, day, when):
    return 0.6 * body.value("SYSBP", day, when) + 4 + 3 * body.level(name) + 2 * body.scatter(name, when)


def _aspartate(body, name, day, when):
    return 9 + 0.55 * body.value("ALT", day, when) + 2 * body.scatter(name, when)


def _cd4(body, name, day, when):
    """Within the criteria at first (70 to 220), about a fifth more after a year, somewhat more after cells."""
    first = 145 + 75 * math.tanh(0.75 * body.level(name))
    gain = 26 + 24 * body.cells + 26 * body.level("CD4 gain")
    return (first + gain * body.change(day)) * math.exp(0.075 * body.scatter(name, when))


def _cd8(body, name, day, when):
    return 1000 * body.value("LYM", day, when) * (0.45 + 0.07 * body.level(name)) + 15 * body.scatter(name, when)


def _cd4_percent(body, name, day, when):
    return 100 * body.value("CD4", day, when) / (1000 * body.value("LYM", day, when))


def _effector_memory(body, name, day, when):
    """What naive and central-memory cells leave, but for a few terminally differentiated ones."""
    rest = 100 - body.value("NVCD4P", day, when) - body.value("CMCD4P", day, when)
    return rest - (6 + abs(1.5 * body.level(name)) + abs(0.8 * body.scatter(name, when)))


def _viral_load(body, name, day, when):
    """Below the limit of the patient's laboratory, but for a blip now and then."""
    lot = chance(body.seed, name, when)
    if day > 14 and lot.random() < 0.03:
        return lot.randint(52, 168)
    return chance(body.seed, name).choice(("<50", "<50", "<20"))


def _karnofsky(body, name, day, when):
    return 10 * round(9 + 0.6 * body.level(name) + 0.2 * body.scatter(name, when)) if day >= 0 else 90


def _findings(body, name, day, when):
    words = {
        "PESKIN": "Seborrhoeic dermatitis of the face",
        "PELYMPH": "Cervical lymph nodes up to 1 cm, not tender",
        "PEABD": "Liver edge palpable at the costal margin",
    }
    return "; ".join(text for code, text in words.items() if body.value(code, day, when) == "ABNORMAL")


COURSES = {
    "WEIGHT": normal((64, 54), 7, 0.5, everyone=0.8),
    "HEIGHT": _height,
    "TEMP": normal(36.5, 0.12, 0.15),
    "TEMPLOC": one_of("AXILLA", "AXILLA", "EAR"),
    "SYSBP": normal(121, 9, 5),
    "DIABP": _diastolic,
    "PULSE": normal(74, 6, 5),
    "RESP": normal(17, 0.8, 1),
    "OXYSAT": normal(98, 0.5, 0.6),
    **{code: always("NORMAL") for code in ("PEGEN", "PEHEENT", "PECARD", "PERESP", "PENEURO", "PEMSK")},
    "PESKIN": rarely("NORMAL", "ABNORMAL", 0.06),
    "PELYMPH": rarely("NORMAL", "ABNORMAL", 0.06),
    "PEABD": rarely("NORMAL", "ABNORMAL", 0.03),
    "PEDESC": _findings,
    "KARNOFSKY": _karnofsky,
    "HGB": normal((143, 125), 10, 4),
    "WBC": lognormal(4.6, 0.16, 0.1),
    "NEUT": part_of("WBC", 0.54, 0.05, 0.03),
    "LYM": part_of("WBC", 0.31, 0.04, 0.02),
    "PLAT": normal(188, 38, 13),
    "ALT": lognormal(26, 0.35, 0.22),
    "AST": _aspartate,
    "ALP": normal(80, 17, 6),
    "BILI": lognormal(11, 0.3, 0.2),
    "CREAT": normal((76, 58), 9, 4),
    "UREA": normal(4.9, 0.9, 0.6),
    "ALB": normal(45, 2, 1.2),
    "GLUC": normal(5.2, 0.4, 0.35),
    "GLUCFAST": rarely("Y", "N", 0.05),
    "K": normal(4.15, 0.18, 0.22),
    "SODIUM": normal(140.6, 0.9, 1.3),
    "CL": normal(104, 1, 1.3),
    "HIVRNA": _viral_load,
    "CD4": _cd4,
    "CD4PCT": _cd4_percent,
    "CD8": _cd8,
    "NVCD4P": normal(22, 6, 2, cells=4),
    "CMCD4P": normal(34, 4.5, 2, cells=3),
    "EMCD4P": _effector_memory,
    "ACTCD4P": lognormal(12, 0.3, 0.12, cells=0.72, everyone=0.95),
    "ACTCD8P": lognormal(29, 0.25, 0.12, cells=0.75, everyone=0.95),
    "DRCD4P": lambda body, name, day, when: 1.35 * body.value("ACTCD4P", day, when),
    "DRCD8P": lambda body, name, day, when: 1.25 * body.value("ACTCD8P", day, when),
    "PD1CD4P": lognormal(18, 0.25, 0.12, cells=0.85),
    "PD1CD8P": lognormal(25, 0.25, 0.12, cells=0.85),
    "HIVPOOL": one_of("GAG", "GAG", "MIXED"),
    "IFNGCD4P": lognormal(0.12, 0.5, 0.2, cells=1.7),
    "IFNGCD8P": lognormal(0.45, 0.5, 0.2, cells=1.6),
    "IL2CD4P": lognormal(0.06, 0.5, 0.2, cells=1.7),
    "IL2CD8P": lognormal(0.04, 0.5, 0.2, cells=1.5),
    "STIMCTRL": always("PASS"),
    "HSCRP": lognormal(1.5, 0.6, 0.35, cells=0.75),
    "IL6": lognormal(3.1, 0.4, 0.25, cells=0.8),
    "SCD14": lognormal(1.9, 0.2, 0.12, cells=0.9),
    "LPS": lognormal(46, 0.4, 0.25, cells=0.85),
    "DDIMER": lognormal(0.24, 0.35, 0.25),
    "HCG": always("NEG"),
    "HCGSPEC": always("URINE"),
    **{code: always("NEG") for code in ("HCVRNA", "HDVAB", "HEVAB")},
    "HAVAB": one_of("NEG", "NEG", "NEG", "POS"),
}


def body_of(patient):
    """A body for a patient who has none: that of the patient's number."""
    body = Body(patient.number, patient.sex)
    body.cells = cells_of(patient)
    return body


def cells_of(patient):
    """1 when the patient's arm gets a cell product, else 0; 0 before randomisation."""
    slot = AllocationSlot.objects.filter(patient=patient).first()
    return int(slot is not None and patient.protocol.product(patient.protocol.arm(slot.arm).product).is_cell_product)


# --- panels and visits -------------------------------------------------------------------------------


def visit_of(patient, code):
    return Visit.objects.get(patient=patient, code=code)


def enter_panel(*, panel, by, on=None, body=None, slips=None):
    """Enter all tests of a panel. `slips` are typed instead of what was measured, by the code of the test."""
    visit, patient = panel.visit, panel.patient
    on = on or visit.attended_on or min(visit.planned_on, today_at(patient.site))
    body = body or body_of(patient)
    day = (on - patient.day_0).days if patient.day_0 else -1
    typed = {
        test.code: body.typed(test, day, visit.code)
        for test in panel.protocol.tests_of(panel.code)
        if not test.computed
    }
    laboratory = default_laboratory(panel) if panel.laboratory_id is None else panel.laboratory
    units = units_of_laboratory(panel, laboratory, on, without=slips or {})
    typed = {code: in_its_unit(text, units[code]) if code in units else text for code, text in typed.items()}
    return actions.record_panel(
        panel=panel, values=typed | (slips or {}), confirmed=[("alert", code) for code in typed], collected_on=on,
        laboratory=laboratory, version=None, by=by,
        units={code: unit.unit for code, unit in units.items()},
    )  # fmt: skip


def units_of_laboratory(panel, laboratory, on, without=()):
    """The unit of each test that the laboratory reports in another one than the protocol's: that of its ranges."""
    tests = {test.code: test for test in panel.protocol.tests_of(panel.code) if not test.computed}
    held = {r.test: r.unit for r in ranges_for(panel, laboratory, on) if r.test in tests and r.test not in without}
    return {code: unit_of(tests[code], unit) for code, unit in held.items() if unit != tests[code].unit}


def in_its_unit(typed, unit):
    """A plain number in the protocol's unit as a laboratory reports it in another."""
    return f"{rounded(in_unit(Decimal(typed), unit), places=unit.decimals):f}" if typed else ""


def enter_visit(*, patient, code, by, on=None, body=None, panels=None, not_done=None, slips=None):
    """Enter the panels of a visit that are still expected: all, or those whose codes are in `panels`.

    `not_done` says, by the code of a panel, why it was not done; `slips` are typed by code of the test."""
    body, not_done, slips = body or body_of(patient), not_done or {}, slips or {}
    with acting(by, because("first entry")):
        visit = visit_of(patient, code)
        visit.patient = patient
        for panel in visit.panels.filter(state=PanelState.EXPECTED):
            panel.patient, panel.visit = patient, visit
            if panel.code in not_done:
                actions.mark_panel_not_done(panel=panel, not_done_because=not_done[panel.code], version=None, by=by)
            elif panels is None or panel.code in panels:
                tests = patient.protocol.panel(panel.code).tests
                mine = {test: typed for test, typed in slips.items() if test in tests}
                enter_panel(panel=panel, by=by, on=on, body=body, slips=mine)
    return visit_of(patient, code)


def enter_screening(*, patient, by, on=None, body=None, panels=None, slips=None):
    """Enter all screening visits, on the days for which they are planned (not after today). Gives the visits."""
    today = today_at(patient.site)
    return [
        enter_visit(
            patient=patient, code=visit.code, by=by, on=on or min(visit.planned_on, today), body=body, panels=panels,
            slips=slips,
        )
        for visit in Visit.objects.filter(patient=patient, day__lt=0)
    ]  # fmt: skip


def miss_visit(*, patient, code, by, because="The patient was travelling and could not be reached"):
    return actions.record_missed_visit(visit=visit_of(patient, code), missed_because=because, version=None, by=by)


# --- laboratories ------------------------------------------------------------------------------------


def make_laboratory(*, site, protocol, on, by, other_units=()):
    """The laboratory of a site, with a range for each test of blood for which the protocol has one, from a day on.

    It reports the tests in `other_units` in the first other unit of the protocol."""
    laboratory = actions.create_laboratory(
        site=site, code=f"LAB{site.code}", name=f"Clinical laboratory, {site.name}"[:200], by=by
    )
    there = []
    for test in [test for test in laboratory_tests(protocol) if test.reference]:
        unit = unit_of(test, test.units[0].unit if test.code in other_units and test.units else "")
        for reference in test.reference:
            low, high = (
                bound and rounded(in_unit(bound, unit), places=unit.decimals)
                for bound in (reference.low, reference.high)
            )
            there.append(Range(test.code, unit.unit, on, low, high, reference.sex or ""))
    if there:
        actions.import_ranges(laboratory=laboratory, text=to_csv(there), by=by)
    return laboratory


def change_ranges(*, laboratory, tests, on, by, by_percent=-10):
    """A new analyser: the upper limits of some tests differ from a day on."""
    present = [r for r in laboratory.ranges.in_force(on) if r.test in tests and r.high is not None]
    changed = [
        Range(r.test, r.unit, on, r.low, rounded(r.high * (100 + by_percent) / 100, places=2), r.sex) for r in present
    ]
    if changed:
        actions.import_ranges(laboratory=laboratory, text=to_csv(changed), ends_earlier=True, by=by)


# --- lots ------------------------------------------------------------------------------------------------


def lot_results(product, *, is_bad=False, seed=1):
    """Results of the release tests, as typed; of a bad lot the first one fails that has a lower limit."""
    lot, typed = chance(seed, "release tests"), {}
    for test in product.release_tests:
        if test.equals is not None:
            typed[test.code] = test.equals
        elif test.low is not None:
            top = 100 if test.unit == "%" else float(test.low) * 2
            typed[test.code] = f"{lot.uniform(float(test.low) + 0.2 * (top - float(test.low)), top - 0.5):.1f}"
        else:
            typed[test.code] = f"{float(test.high) * lot.uniform(0.05, 0.4):.1f}"
    if is_bad:
        limits = [test for test in product.release_tests if test.low is not None]
        worst = limits[-1] if limits else product.release_tests[0]
        typed[worst.code] = f"{float(worst.low) - 4.5:.1f}" if limits else "positive"
    return typed


def receive_lot(*, site, product, by, number=None, on=None, days=120):
    """A lot that arrives at the pharmacy today (or `on`) and can be used for so many days; in quarantine."""
    on = on or today_at(site)
    number = number or f"{product.code[:3]}-{on:%y%m%d}-{Lot.objects.filter(site=site).count() + 1}"
    lot = chance(number)
    is_cells = product.is_cell_product
    return actions.receive_lot(
        site=site, product=product.code, number=number, received_on=on, expires_on=on + timedelta(days=days), by=by,
        donor=f"UC{lot.randint(11, 89)}" if is_cells else "", passage=lot.choice([3, 4, 5]) if is_cells else None,
    )  # fmt: skip


def judge_lot(*, lot, protocol, by, is_bad=False):
    """Enter the release tests of a lot, then release it, or reject it when it is bad. Gives the lot."""
    product = protocol.product(lot.product)
    if product.release_tests:
        results = lot_results(product, is_bad=is_bad, seed=lot.number)
        lot = actions.record_lot_tests(lot=lot, protocol=protocol, results=results, version=None, by=by)
    if is_bad:
        return actions.reject_lot(lot=lot, reason="A release test is out of its limit", version=None, by=by)
    return actions.release_lot(lot=lot, protocol=protocol, version=None, by=by)


def released_lot(*, site, product, protocol, by, number=None, on=None, days=120):
    """A lot that may be used."""
    lot = receive_lot(site=site, product=product, by=by, number=number, on=on, days=days)
    return judge_lot(lot=lot, protocol=protocol, by=by)


# --- infusions ----------------------------------------------------------------------------------------------


def give_infusion(
    *, patient, by, pharmacist=None, number=1, on=None, lot=None, body=None, given_percent=100, reactions=(),
    interruption=None, slips=None,
):  # fmt: skip
    """Prepare and record an infusion that ran for an hour from 10:00. Gives the infusion.

    What must be known before it (weight, pregnancy test) is entered if it is not; without `lot` one of the arm's
    product is taken, or received and released. `reactions` are (term, minute, grade), `interruption` is (minute,
    minutes, cause); `slips` are typed by (code of the test, minute)."""
    pharmacist, body, site, protocol = pharmacist or by, body or body_of(patient), patient.site, patient.protocol
    visit = visit_of(patient, protocol.visit_of_infusion(number).code)
    on = on or visit.attended_on or min(visit.planned_on, today_at(site))
    rules = protocol.infusions
    first = [
        panel.code
        for panel in protocol.panels_of(visit.code, patient.sex)
        if panel.only_for_sex or rules.weight_test in panel.tests
    ]
    enter_visit(patient=patient, code=visit.code, by=by, on=on, body=body, panels=first)
    visit.refresh_from_db()
    preparation = Preparation.objects.filter(patient=patient, number=number).first() or prepare(
        patient=patient, visit=visit, number=number, lot=lot, on=on, by=pharmacist
    )
    start = at(site, on, "10:00")
    lasts = timedelta(minutes=60)
    monitoring, day = {}, (on - patient.day_0).days
    for minute in rules.monitoring_minutes:
        for code in rules.monitoring_tests:
            test = protocol.test(code)
            monitoring[code, minute] = _while_infused(body, test, day, visit.code, minute, reactions)
    stops = []
    if interruption:
        minute, minutes, cause = interruption
        halted = start + timedelta(minutes=minute)
        stops = [(halted, halted + timedelta(minutes=minutes), cause)]
        lasts += timedelta(minutes=minutes)
    low, high = rules.volume_ml
    return actions.record_infusion(
        visit=visit,
        started_at=start,
        stopped_at=start + lasts,
        volume_ml=((low + high) / 2 * given_percent / 100).quantize(Decimal("0.1")),
        given_percent=Decimal(given_percent),
        access_site=chance(preparation.label).choice(
            ["Left forearm vein", "Right forearm vein", "Left antecubital vein"]
        ),
        premedication="",
        monitoring=monitoring | (slips or {}),
        interruptions=stops,
        reactions=[(term, start + timedelta(minutes=minute), grade) for term, minute, grade in reactions],
        version=None,
        by=by,
    )


def prepare(*, patient, by, visit=None, number=1, lot=None, on=None):
    """Prepare the bag of an infusion at 09:30, from the lot that expires first. Gives the preparation."""
    site, protocol = patient.site, patient.protocol
    visit = visit or visit_of(patient, protocol.visit_of_infusion(number).code)
    on = on or visit.attended_on or min(visit.planned_on, today_at(site))
    product = protocol.product(protocol.arm(AllocationSlot.objects.get(patient=patient).arm).product)
    if lot is None:
        lots = Lot.objects.filter(site=site, product=product.code, received_on__lte=on).usable_on(on)
        lot = lots.order_by("expires_on").first() or released_lot(
            site=site, product=product, protocol=protocol, by=by, on=on - timedelta(days=10)
        )
    label = f"{patient.number}-{number}"
    return actions.prepare_infusion(
        visit=visit,
        lot=lot,
        weight_kg=actions.latest_weight(patient, protocol, on),
        viability_percent=Decimal(chance(label).randint(880, 955)) / 10 if product.is_cell_product else None,
        label=f"{protocol.trial.id.replace('_', '-')}-{label}",
        prepared_at=at(site, on, "09:30"),
        by=by,
    )


def _while_infused(body, test, day, visit, minute, reactions):
    """A vital sign so many minutes after the start: cells lower the blood pressure, a fever raises the rest."""
    name = test.code.removeprefix("M_")
    if name not in COURSES:
        return body.typed(test, day, f"{visit} {minute}")
    value = body.value(name, day, visit) + 0.5 * (
        body.value(name, day, f"{visit} {minute}") - body.value(name, day, visit)
    )
    if body.cells and minute:
        value += {"SYSBP": -5, "DIABP": -3}.get(name, 0)
    if any(term == "Fever" and minute >= began for term, began, _ in reactions):
        value += {"TEMP": 1.7, "PULSE": 18, "RESP": 2}.get(name, 0)
        return f"{value:.{test.decimals}f}"  # the fever is not smoothed away: it raises a query
    return in_plain_range(test, value)


# --- queries ---------------------------------------------------------------------------------------------------

ANSWERS = (
    "Checked against the laboratory report: the value is right.",
    "Right as entered; the measurement was repeated and confirmed it.",
    "The source document shows this value. The investigator judges it not clinically significant.",
)


def open_queries(patient):
    return Query.objects.filter(patient=patient, state=QueryState.OPEN).order_by("id")


def answer(*, query, by, text=None):
    return actions.answer_query(query=query, text=text or chance(query.text).choice(ANSWERS), version=None, by=by)


def close(*, query, by, text=""):
    return actions.close_query(query=query, text=text, version=None, by=by)


QUESTIONS = (
    "Please check this panel against the source document.",
    "The copy of the laboratory report that I saw has another date. Which one is right?",
    "The source document is not signed by the investigator. Please have it signed and confirm.",
    "Was the sample taken before or after breakfast? The source does not say.",
)


def ask(*, panel, by, test="", text=None):
    """A query by a person about a panel, or about one of its tests."""
    text = text or chance(panel.patient.number, panel.collected_on).choice(QUESTIONS)
    return actions.raise_query(panel=panel, test=test, text=text, by=by)


def mend_slip(*, query, body, by, reason="Slip of the keyboard; corrected after the source document"):
    """Type the right value over the one that a query is about; the check then closes the query. Gives the panel."""
    panel = query.panel
    test = query.patient.protocol.test(query.test)
    right = body.typed(test, _day(query.patient, panel.collected_on), panel.visit.code)
    return actions.record_panel(
        panel=panel, values={test.code: right}, units={test.code: test.unit}, collected_on=panel.collected_on,
        version=None, reason=reason, by=by,
    )  # fmt: skip


def _day(patient, on):
    return (on - patient.day_0).days if patient.day_0 else -1


# --- marks and holds -------------------------------------------------------------------------------------------


def forms_of(visit, patient):
    """The forms of a visit in which something is entered, with their marks."""
    wanted = {
        PANELS: visit.panels.exclude(state=PanelState.EXPECTED),
        INFUSIONS: Infusion.objects.filter(visit=visit),
    }
    return load_forms(wanted, patient=patient, reviews=True).values()


def verify(*, patient, code, by):
    """The monitor compares with the source what the protocol names."""
    forms = [(form, tuple(form.fields_to_verify)) for form in forms_of(visit_of(patient, code), patient)]
    seen = [actions.Seen(*form.key, form.record.version, fields) for form, fields in forms if fields]
    return actions.verify_forms(patient=patient, seen=seen, by=by)


def review(*, patient, code, by):
    seen = [actions.Seen(*form.key, form.record.version) for form in forms_of(visit_of(patient, code), patient)]
    return actions.review_forms(patient=patient, seen=seen, by=by)


def sign(*, patient, code, by):
    """The investigator signs what of a visit is ready."""
    seen = [actions.Seen(*form.key, form.record.version) for form in forms_of(visit_of(patient, code), patient)]
    return actions.sign_forms(patient=patient, seen=seen, meaning=MEANINGS[0], by=by)


def lock(*, patient, code, by):
    """Lock a visit when nothing stands in the way; gives whether it was locked."""
    try:
        actions.hold_visit(visit=visit_of(patient, code), step="lock", version=None, by=by)
    except Refused:
        return False
    return True


def correct(*, patient, code, by, reason="The time of collection was missing in the entry"):
    """Correct the first panel of a visit: what was signed of it is void."""
    panel = visit_of(patient, code).panels.filter(state=PanelState.ENTERED).first()
    return panel and actions.record_panel(
        panel=panel, values={}, collected_on=panel.collected_on, collected_at=time(8, 30), comment=panel.comment,
        version=None, reason=reason, by=by,
    )  # fmt: skip
