"""The bodies that what was measured comes from.

A `Body` gives what a laboratory or a thermometer would: a level of its own for each test, a course over the trial and
the scatter from day to day. No patient's data of a trial of these cells are public, so the numbers are invented: CD4
as in the trial's criteria, its rise in a year near that of R's boot::cd4 (in hundreds, e.g. 2.12 to 2.47, 4.35 to
4.61), naive and central-memory cells, IFN-γ and IL-2 rising and activation falling after cells as the paper's abstract
says, the blood pressure during cells as in Regenerative Therapy 2023;24:282. A test that has no line in COURSES is
drawn from its reference or plausible range, so that any protocol can be shown."""

import math
from decimal import Decimal

from patients.models import AllocationSlot
from trialsite.demo import chance


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
