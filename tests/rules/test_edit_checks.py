"""Truth tables of the edit checks, one for each: what was entered, and whether the check speaks.

A clinician can read `TABLES` from top to bottom and sign it. Every table has lines on which its check speaks and lines
on which it is silent; no check can be declared without one."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from safety import consistency
from tests.rules.protocols import product, protocol
from trialsite.protocol import Infusions
from visits import infusing
from visits.edit_checks import (
    BY_CODE,
    CHECKS,
    PartsWithin,
    Subject,
    Surroundings,
    find_problems,
    is_in,
    looked_up,
    problems_between,
    problems_of_day,
    problems_of_event,
    problems_of_line,
    problems_of_regimens,
)
from visits.results import Result

SPEAKS, SILENT = True, False


def test_line(code, name, unit="", **keys):
    return {"code": code, "name": name, "unit": unit, "decimals": 1, "possible": (0, 10000), "required": False, **keys}


test_line.__test__ = False

TRIAL = protocol(
    tests=[
        test_line("WEIGHT", "Weight", "kg", possible=(20, 300)),
        test_line("SYSBP", "Systolic pressure", "mmHg", plausible=(80, 200)),
        test_line("DIABP", "Diastolic pressure", "mmHg"),
        test_line("M_SYSBP", "Systolic pressure", "mmHg"),
        test_line("M_DIABP", "Diastolic pressure", "mmHg"),
        test_line("CD4", "CD4", "cells/µL", operators=["<", ">"]),
        test_line("CD8", "CD8", "cells/µL", operators=["<"]),
        test_line("RATIO", "CD4/CD8", computed={"as": "ratio", "of": ("CD4", "CD8")}, plausible=(0, 2)),
        test_line("NVCD4P", "Naive", "%"), test_line("CMCD4P", "Central memory", "%"),
        test_line("EMCD4P", "Effector memory", "%"),
        test_line("NVCD4", "Naive", "cells/µL"), test_line("CMCD4", "Central memory", "cells/µL"),
        test_line("EMCD4", "Effector memory", "cells/µL"),
        test_line("WBC", "White cells", "10⁹/L"), test_line("NEUT", "Neutrophils", "10⁹/L", operators=["<"]),
        test_line("LYM", "Lymphocytes", "10⁹/L"),
        test_line("HIVRNA", "HIV RNA", "copies/mL", plausible=(0, 200), operators=["<", ">"]),
        {"code": "HCG", "name": "Pregnancy test", "kind": "choice",
         "choices": [{"code": "NEG", "label": "Negative"}, {"code": "POS", "label": "Positive", "alert": True}]},
    ],
    panels=[
        {"code": "vitals", "name": "Vital signs", "tests": ["WEIGHT", "SYSBP", "DIABP"]},
        {"code": "t_cells", "name": "T cells", "tests": ["CD4", "CD8", "RATIO", "NVCD4P", "CMCD4P", "EMCD4P", "NVCD4",
                                                         "CMCD4", "EMCD4"]},
        {"code": "blood", "name": "Blood count", "tests": ["WBC", "NEUT", "LYM"]},
        {"code": "virology", "name": "Virology", "tests": ["HIVRNA"]},
        {"code": "pregnancy", "name": "Pregnancy", "tests": ["HCG"], "only_for_sex": "F"},
    ],
)  # fmt: skip


def results(**typed):
    read = {}
    for code, text in typed.items():
        operator = text[0] if text[0] in "<>" else ""
        value = Decimal(text.removeprefix(operator)) if text[-1].isdigit() else None
        read[code] = Result(text, operator, value, "" if value is not None else text)
    return read


def problems(panel, typed, *, sex="F", before=None, same_visit=None, on=None, trial=TRIAL, **around):
    """What is said about these results; `before` are earlier ones, `same_visit` those of the visit's other forms."""
    known = Surroundings(
        sex=sex, previous=results(**(before or {})), same_visit=results(**(same_visit or {})), **around
    )
    return find_problems(trial, panel, results(**typed), around=known, on=on)


# --- what each table enters, and how it is judged -------------------------------------------------


def vitals(weight=None, sys=None, dia=None, before=None):
    typed = {code: value for code, value in (("WEIGHT", weight), ("SYSBP", sys), ("DIABP", dia)) if value}
    return problems("vitals", typed, before={"WEIGHT": before} if before else {})


def infused(sys=None, dia=None):
    watched = [test for test in TRIAL.tests if test.code.startswith("M_")]
    typed = {code: value for code, value in (("M_SYSBP", sys), ("M_DIABP", dia)) if value}
    return problems_between(watched, results(**typed))


def subsets(naive=None, central=None, effector=None):
    typed = {"NVCD4P": naive, "CMCD4P": central, "EMCD4P": effector}
    return problems("t_cells", {code: value for code, value in typed.items() if value})


def cells(cd4=None, naive=None, central=None, effector=None):
    typed = {"CD4": cd4, "NVCD4": naive, "CMCD4": central, "EMCD4": effector}
    return problems("t_cells", {code: value for code, value in typed.items() if value})


def blood(wbc=None, neut=None, lym=None):
    typed = {"WBC": wbc, "NEUT": neut, "LYM": lym}
    return problems("blood", {code: value for code, value in typed.items() if value})


def lymphocytes(cd4=None, cd8=None, lym=None, entered="t_cells"):
    here = {code: value for code, value in (("CD4", cd4), ("CD8", cd8)) if value}
    there = {"LYM": lym} if lym else {}
    return (
        problems(entered, here, same_visit=there) if entered == "t_cells" else problems(entered, there, same_visit=here)
    )


def cd4(now, before=None):
    return problems("t_cells", {"CD4": now}, before={"CD4": before} if before else {})


def virus(now, before=None):
    return problems("virology", {"HIVRNA": now}, before={"HIVRNA": before} if before else {})


DAY = date(2026, 3, 10)


def days(number):
    return timedelta(days=number)


def day(*, hard=False, **around):
    return problems_of_day(DAY, Surroundings(visit="W4", **around), hard=hard)


def refused_day(**around):
    return day(hard=True, **around)


def visits(planned, *others):
    """This visit took place on DAY; the others are (planned, taken place), all in days from DAY."""
    told = tuple((DAY + days(plan), DAY + days(took_place), "W8") for plan, took_place in others)
    return day(planned_on=DAY + days(planned), other_visits=told)


CELLS = product(per_kg=Decimal(500_000))


def giving(**known):
    """A second infusion on DAY, of which everything is as it should be but what is named."""
    usual = {
        "is_randomised": True, "open_halts": [], "lot_state": "released", "lot_expires_on": DAY, "on": DAY,
        "lot_product": "UCMSC", "arm_product": "UCMSC", "previous_infusion_on": DAY - days(28),
        "least_days_between": 21, "number": 2, "given_numbers": {1}, "pregnancy_result": "NEG", "sex": "F", "age": 40,
    }  # fmt: skip
    return infusing.problems_with_giving(**usual | known)


def clock(text):
    hour, minute = map(int, text.split(":"))
    return datetime(2026, 3, 10, hour, minute, tzinfo=UTC)


def given(start="10:00", stop="11:00", stops=(), percent=100, volume=100, minutes=(0, 30), now="12:00", **known):
    """An infusion of 30 million cells as it was recorded; `stops` are (interrupted, resumed)."""
    rules = Infusions.model_validate({
        "count": 3, "route": "intravenous", "volume_ml": (50, 150), "least_days_between": 21,
        "monitoring_minutes": (0, 30), "monitoring_tests": ("T",), "reaction_window_days": 7, "weight_test": "W",
    })  # fmt: skip
    return infusing.infusion_problems(
        rules, product=CELLS, planned=Decimal(30_000_000), given=Decimal(30_000_000) * percent / 100,
        volume_ml=Decimal(volume), started_at=clock(start) if start else None, stopped_at=clock(stop) if stop else None,
        interruptions=[(clock(a), clock(b) if b else None) for a, b in stops], monitored_minutes=set(minutes),
        now=clock(now), **known,
    )  # fmt: skip


def weights(prepared_for, weight):
    return given(prepared_for=Decimal(prepared_for), weight=Decimal(weight) if weight else None)


def history(start, **around):
    return problems_of_line({"started_on": start, "ended_on": ""}, Surroundings(**around))


CONSENT = date(2026, 1, 10)


def treatment(*regimens):
    return problems_of_regimens(list(regimens), Surroundings(consented_on=CONSENT, today=date(2026, 6, 30)))


def event(began_on, died_on=None):
    return problems_of_event(began_on, Surroundings(consented_on=CONSENT, died_on=died_on))


def within(given=2, is_treated=None, consented_on=CONSENT, again=None, **differs):
    """The fields of one event, beside each other: a mild one that goes on, unless told otherwise."""
    usual = {"is_serious": False, "outcome": "not_recovered", "grade": 1, "is_ongoing": True, "ended_on": None,
             "began_on": DAY, "aware_on": DAY, "infusion_number": None, "relationship": "not_related"}  # fmt: skip
    around = consistency.Surroundings(
        consented_on=consented_on, infusions_given=given, first_infusion_on=DAY - days(5) if given else None,
        today=DAY + days(30), is_treated=given > 0 if is_treated is None else is_treated, infusions=((1, DAY - days(5)), *([(2, again)] if again else [])),
    )  # fmt: skip
    event = {**usual, **differs}
    return [*consistency.problems_within(event, around), *consistency.questions_about(event, around)]


def dead(**differs):
    died = {"is_serious": True, "is_fatal": True, "outcome": "fatal", "grade": 5, "is_ongoing": False, "ended_on": DAY}
    return within(**{**died, **differs})


def over(**differs):
    return within(**{"is_ongoing": False, "ended_on": DAY + days(2), "outcome": "recovered", **differs})


# --- the tables: code of the check -> (what is looked at, lines of (what was entered, does it speak)) ----------

TABLES = {
    # one value; weight is possible from 20 to 300 kg, systolic pressure plausible from 80 to 200 mmHg
    "impossible": (vitals, [
        ({"weight": "19.9"}, SPEAKS), ({"weight": "20"}, SILENT), ({"weight": "300"}, SILENT),
        ({"weight": "300.1"}, SPEAKS), ({}, SILENT),
    ]),
    "implausible": (vitals, [
        ({"sys": "79"}, SPEAKS), ({"sys": "80"}, SILENT), ({"sys": "200"}, SILENT), ({"sys": "201"}, SPEAKS),
        ({}, SILENT),
    ]),
    "alert": (lambda hcg=None: problems("pregnancy", {"HCG": hcg} if hcg else {}), [
        ({"hcg": "NEG"}, SILENT), ({"hcg": "POS"}, SPEAKS), ({}, SILENT),
    ]),
    # one form
    "not_for_sex": (lambda sex: problems("pregnancy", {"HCG": "NEG"}, sex=sex), [
        ({"sex": "F"}, SILENT), ({"sex": "M"}, SPEAKS),
    ]),
    "not_in_panel": (lambda **typed: problems("vitals", typed), [
        ({"WEIGHT": "60"}, SILENT), ({"WEIGHT": "60", "CD4": "200"}, SPEAKS),
    ]),
    "pressure_order": (vitals, [
        ({"sys": "120", "dia": "80"}, SILENT), ({"sys": "120", "dia": "119"}, SILENT),
        ({"sys": "120", "dia": "120"}, SPEAKS), ({"sys": "80", "dia": "120"}, SPEAKS), ({"dia": "120"}, SILENT),
    ]),
    "pressure_order_infused": (infused, [
        ({"sys": "120", "dia": "80"}, SILENT), ({"sys": "80", "dia": "90"}, SPEAKS), ({"sys": "80"}, SILENT),
    ]),
    "subsets_over_100": (subsets, [
        ({"naive": "30", "central": "40", "effector": "30"}, SILENT),
        ({"naive": "31", "central": "40", "effector": "30"}, SILENT),  # 101 % is rounding
        ({"naive": "31.1", "central": "40", "effector": "30"}, SPEAKS),
        ({"naive": "70", "central": "40"}, SPEAKS),  # two alone are over 100 %
        ({"naive": "70"}, SILENT),
    ]),
    "subsets_over_total": (cells, [
        ({"cd4": "200", "naive": "60", "central": "80", "effector": "60"}, SILENT),
        ({"cd4": "200", "naive": "64", "central": "80", "effector": "60"}, SILENT),  # 1 % and 2 cells are rounding
        ({"cd4": "200", "naive": "65", "central": "80", "effector": "60"}, SPEAKS),
        ({"cd4": "200", "naive": "205"}, SPEAKS),
        ({"naive": "205"}, SILENT),
    ]),
    "cells_over_wbc": (blood, [
        ({"wbc": "5.0", "neut": "3.0", "lym": "2.0"}, SILENT),
        ({"wbc": "5.0", "neut": "3.1", "lym": "2.0"}, SILENT),  # 0.1 is rounding
        ({"wbc": "5.0", "neut": "3.2", "lym": "2.0"}, SPEAKS),
        ({"wbc": "5.0", "lym": "6.0"}, SPEAKS),
        ({"neut": "3.2", "lym": "2.0"}, SILENT),
        ({"wbc": "1.0", "neut": "<6", "lym": "0.5"}, SILENT),  # "<6" may be anything below
    ]),
    # several forms of one visit; lymphocytes in 10⁹/L, that is thousands per µL
    "t_cells_over_lymphocytes": (lymphocytes, [
        ({"cd4": "200", "cd8": "800", "lym": "1.0"}, SILENT),
        ({"cd4": "200", "cd8": "1000", "lym": "1.0"}, SILENT),  # a fifth more is the method
        ({"cd4": "201", "cd8": "1000", "lym": "1.0"}, SPEAKS),
        ({"cd4": "201", "cd8": "1000", "lym": "1.0", "entered": "blood"}, SPEAKS),  # whichever form comes last
        ({"cd8": "1300", "lym": "1.0"}, SPEAKS),
        ({"cd4": "200", "cd8": "<2000", "lym": "1.0"}, SILENT),
        ({"cd4": "200", "cd8": "1300"}, SILENT),
    ]),
    # the value before
    "weight_change": (vitals, [
        ({"weight": "66", "before": "60"}, SILENT), ({"weight": "66.1", "before": "60"}, SPEAKS),
        ({"weight": "54", "before": "60"}, SILENT), ({"weight": "53.9", "before": "60"}, SPEAKS),
        ({"weight": "66.1"}, SILENT), ({"before": "60"}, SILENT), ({"weight": "60", "before": "0"}, SILENT),
    ]),
    "cd4_fall": (cd4, [
        ({"now": "100", "before": "200"}, SILENT), ({"now": "99", "before": "200"}, SPEAKS),
        ({"now": "900", "before": "200"}, SILENT),  # it may rise
        ({"now": "<99", "before": "200"}, SPEAKS), ({"now": "<150", "before": "200"}, SILENT),
        ({"now": ">10", "before": "200"}, SILENT), ({"now": "10", "before": "<20"}, SILENT),
        ({"now": "0", "before": "1"}, SPEAKS), ({"now": "10"}, SILENT),
    ]),
    "hivrna_rebound": (virus, [
        ({"now": "201", "before": "<50"}, SPEAKS), ({"now": "201", "before": "50"}, SPEAKS),
        ({"now": "200", "before": "<50"}, SILENT), ({"now": ">200", "before": "20"}, SPEAKS),
        ({"now": "<400", "before": "<50"}, SILENT),  # it may still be suppressed
        ({"now": "201", "before": "51"}, SILENT), ({"now": "201", "before": ">10"}, SILENT), ({"now": "201"}, SILENT),
    ]),
    # days
    "day_in_future": (refused_day, [
        ({"today": DAY}, SILENT), ({"today": DAY - days(1)}, SPEAKS),
    ]),
    "day_after_death": (refused_day, [
        ({"died_on": DAY}, SILENT), ({"died_on": DAY - days(1)}, SPEAKS), ({}, SILENT),
    ]),
    "day_before_screening": (refused_day, [
        ({"screened_on": DAY + days(30)}, SILENT), ({"screened_on": DAY + days(31)}, SPEAKS), ({}, SILENT),
    ]),
    "day_before_consent": (refused_day, [
        ({"consented_on": DAY}, SILENT), ({"consented_on": DAY + days(1)}, SPEAKS),
    ]),
    "window": (day, [
        ({"window": (DAY, DAY)}, SILENT), ({"window": (DAY + days(1), DAY + days(7))}, SPEAKS),
        ({"window": (DAY - days(7), DAY - days(1))}, SPEAKS), ({}, SILENT),  # an unscheduled visit has none
    ]),
    "other_day": (day, [
        ({"visit_on": DAY}, SILENT), ({"visit_on": DAY - days(1)}, SPEAKS), ({"visit_on": DAY + days(1)}, SPEAKS),
        ({"visit_on": DAY - days(1), "is_screening": True}, SILENT), ({}, SILENT),
    ]),
    "visit_order": (lambda planned, others: visits(planned, *others), [
        ({"planned": 0, "others": [(28, 27)]}, SILENT), ({"planned": 0, "others": [(28, -1)]}, SPEAKS),
        ({"planned": 0, "others": [(-28, -30)]}, SILENT), ({"planned": 0, "others": [(-28, 1)]}, SPEAKS),
        ({"planned": 0, "others": [(-28, 0), (28, 0)]}, SILENT), ({"planned": 0, "others": []}, SILENT),
    ]),
    # may an infusion be given
    "not_randomised": (giving, [({}, SILENT), ({"is_randomised": False}, SPEAKS)]),
    "halted": (giving, [({}, SILENT), ({"open_halts": ["two related deaths"]}, SPEAKS)]),
    "no_lot": (giving, [({}, SILENT), ({"lot_state": None}, SPEAKS)]),
    "lot_not_released": (giving, [
        ({}, SILENT), ({"lot_state": "quarantined"}, SPEAKS), ({"lot_state": "rejected"}, SPEAKS),
    ]),
    "lot_without_expiry": (giving, [({}, SILENT), ({"lot_expires_on": None}, SPEAKS)]),
    "lot_expired": (giving, [({"lot_expires_on": DAY}, SILENT), ({"lot_expires_on": DAY - days(1)}, SPEAKS)]),
    "other_product": (giving, [
        ({}, SILENT), ({"lot_product": "SALINE"}, SPEAKS), ({"lot_product": "SALINE", "is_randomised": False}, SILENT),
    ]),
    "given_before": (giving, [({"number": 2}, SILENT), ({"number": 1}, SPEAKS)]),
    "later_one_given": (giving, [({}, SILENT), ({"given_numbers": {1, 3}}, SPEAKS), ({"number": 3}, SILENT)]),
    "first_not_given": (giving, [({}, SILENT), ({"given_numbers": set()}, SPEAKS)]),
    "previous_infusion_later": (giving, [({}, SILENT), ({"previous_infusion_on": DAY + days(1)}, SPEAKS)]),
    "interval": (giving, [
        ({"previous_infusion_on": DAY - days(21)}, SILENT), ({"previous_infusion_on": DAY - days(20)}, SPEAKS),
        ({"previous_infusion_on": DAY}, SPEAKS), ({"previous_infusion_on": None}, SILENT),
    ]),
    "next_infusion_earlier": (giving, [
        ({}, SILENT), ({"next_infusion_on": DAY - days(1)}, SPEAKS), ({"next_infusion_on": DAY}, SILENT),
    ]),
    "interval_to_next": (giving, [
        ({}, SILENT), ({"next_infusion_on": DAY + days(21)}, SILENT), ({"next_infusion_on": DAY + days(20)}, SPEAKS),
        ({"next_infusion_on": DAY}, SPEAKS),
    ]),
    "pregnancy_untested": (giving, [
        ({}, SILENT), ({"pregnancy_result": None}, SPEAKS), ({"pregnancy_result": None, "age": 59}, SPEAKS),
        ({"pregnancy_result": None, "age": 60}, SILENT), ({"pregnancy_result": None, "age": None}, SPEAKS),
        ({"pregnancy_result": None, "sex": "M"}, SILENT), ({"pregnancy_result": ""}, SILENT),  # none is asked for
    ]),
    "pregnancy_not_excluded": (giving, [
        ({}, SILENT), ({"pregnancy_result": "POS"}, SPEAKS), ({"pregnancy_result": "INDETERMINATE"}, SPEAKS),
        ({"pregnancy_result": "POS", "age": 61}, SPEAKS), ({"pregnancy_result": "POS", "sex": "M"}, SILENT),
    ]),
    # does the record of an infusion fit together
    "future": (given, [({}, SILENT), ({"now": "11:00"}, SILENT), ({"now": "10:59"}, SPEAKS),
        ({"reactions": [clock("12:01")]}, SPEAKS), ({"reactions": [clock("12:00")]}, SILENT),
    ]),
    "stop_before_start": (given, [({}, SILENT), ({"stop": "10:00"}, SPEAKS), ({"stop": "09:59"}, SPEAKS),
        ({"stop": ""}, SILENT), ({"start": ""}, SILENT),
    ]),
    "interruption_outside": (given, [
        ({"stops": [("10:10", "10:20")]}, SILENT), ({"stops": [("09:50", "10:20")]}, SPEAKS),
        ({"stops": [("10:50", "11:10")]}, SPEAKS),
    ]),
    "interruption_order": (given, [
        ({"stops": [("10:10", "10:20")]}, SILENT), ({"stops": [("10:20", "10:10")]}, SPEAKS),
    ]),
    "interruption_overlap": (given, [
        ({"stops": [("10:10", "10:20"), ("10:20", "10:30")]}, SILENT),
        ({"stops": [("10:10", "10:20"), ("10:15", "10:30")]}, SPEAKS),
    ]),
    "interruption_open": (given, [
        ({"stops": [("11:00", None)]}, SILENT), ({"stops": [("10:30", None)]}, SPEAKS),
    ]),
    "reaction_before_start": (lambda began, **known: given(reactions=[clock(began)], **known), [
        ({"began": "10:00"}, SILENT), ({"began": "09:59"}, SPEAKS), ({"began": "11:30"}, SILENT),  # after it, but of it
        ({"began": "09:59", "start": ""}, SILENT),
    ]),
    "dose_off_plan": (given, [  # 10 % are tolerated
        ({"percent": 90}, SILENT), ({"percent": 89}, SPEAKS), ({"percent": 110}, SILENT), ({"percent": 111}, SPEAKS),
    ]),
    "dose_for_weight": (lambda **kg: weights(**kg), [  # 10 % are tolerated
        ({"prepared_for": "60", "weight": "60"}, SILENT), ({"prepared_for": "66", "weight": "60"}, SILENT),
        ({"prepared_for": "66.1", "weight": "60"}, SPEAKS), ({"prepared_for": "53.9", "weight": "60"}, SPEAKS),
        ({"prepared_for": "66.1", "weight": ""}, SILENT),
    ]),
    "volume": (given, [
        ({"volume": 50}, SILENT), ({"volume": 49}, SPEAKS), ({"volume": 150}, SILENT), ({"volume": 151}, SPEAKS),
    ]),
    "monitoring": (given, [({}, SILENT), ({"minutes": (0,)}, SPEAKS), ({"minutes": ()}, SPEAKS),
        # while it is filled in, only once the last ones are there
        ({"minutes": (0,), "is_complete": False}, SILENT), ({"minutes": (30,), "is_complete": False}, SPEAKS),
    ]),
    "before_preparation": (lambda start: given(start=start, prepared_at=clock("09:30")), [
        ({"start": "09:30"}, SILENT), ({"start": "09:29"}, SPEAKS),
    ]),
    "infusion_other_day": (lambda **known: given(visit="W4", on=DAY, **known), [
        ({}, SILENT), ({"visit_on": DAY}, SILENT), ({"visit_on": DAY - days(1)}, SPEAKS),
        ({"visit_on": DAY + days(1)}, SPEAKS),
    ]),
    "infusion_window": (lambda **known: given(visit="W4", on=DAY, **known), [
        ({"window": (DAY, DAY)}, SILENT), ({"window": (DAY + days(1), DAY + days(2))}, SPEAKS),
        ({"window": (DAY - days(2), DAY - days(1))}, SPEAKS), ({}, SILENT),
    ]),
    # histories and medication
    "line_before_birth": (history, [
        ({"start": "1980-05-02", "birth_date": date(1980, 5, 2)}, SILENT),
        ({"start": "1980-05-01", "birth_date": date(1980, 5, 2)}, SPEAKS),
        ({"start": "1980-05", "birth_date": date(1980, 5, 2)}, SILENT),  # it may be after the 2nd
        ({"start": "1979", "birth_date": date(1980, 5, 2)}, SPEAKS),
        ({"start": "", "birth_date": date(1980, 5, 2)}, SILENT),
    ]),
    "line_after_death": (history, [
        ({"start": "2026-03-10", "died_on": DAY}, SILENT), ({"start": "2026-03-11", "died_on": DAY}, SPEAKS),
        ({"start": "2026-03", "died_on": DAY}, SILENT), ({"start": "2026-04", "died_on": DAY}, SPEAKS),
        ({"start": "2026-04"}, SILENT),
    ]),
    "art_gap": (lambda regimens: treatment(*regimens), [
        ({"regimens": [("2019-01-01", "2020-05-10"), ("2020-05-11", "")]}, SILENT),  # from one day to the next
        ({"regimens": [("2019-01-01", "2020-05-10"), ("2020-05-12", "")]}, SPEAKS),  # one day without
        ({"regimens": [("2019", "2020"), ("2021", "")]}, SILENT),  # nobody knows
        ({"regimens": [("2019", "2020-03"), ("2020-05", "")]}, SPEAKS),  # April, whatever the days
        ({"regimens": [("2019", "2020-03"), ("2020", "")]}, SILENT),
        ({"regimens": [("2018", ""), ("2020-05", "2020-06"), ("2021", "")]}, SILENT),  # one goes on all the time
        ({"regimens": [("2018", "2022"), ("2019", "2019-06"), ("2022-02", "")]}, SILENT),  # one within another
        ({"regimens": [("2020-05-12", ""), ("2019-01-01", "2020-05-10")]}, SPEAKS),  # in whatever order
        ({"regimens": []}, SILENT),
    ]),
    "art_stopped": (lambda regimens: treatment(*regimens), [
        ({"regimens": [("2019", "")]}, SILENT),
        ({"regimens": [("2019", "2026-03-10")]}, SPEAKS),  # in the trial, and none goes on
        ({"regimens": [("2019", "2026-03-10"), ("2026-03-11", "")]}, SILENT),
        ({"regimens": [("2019", "2026-01-09")]}, SILENT),  # before the consent: the list may not be complete yet
        ({"regimens": [("2019", "2026-06-30")]}, SILENT),  # until today
        ({"regimens": [("2019", "2026")]}, SILENT),  # it may still go on
        ({"regimens": []}, SILENT),
    ]),
    # adverse events
    "event_before_consent": (event, [
        ({"began_on": CONSENT}, SILENT), ({"began_on": CONSENT - days(1)}, SPEAKS),
    ]),
    "event_after_death": (event, [
        ({"began_on": DAY, "died_on": DAY}, SILENT), ({"began_on": DAY + days(1), "died_on": DAY}, SPEAKS),
        ({"began_on": DAY}, SILENT),
    ]),
    "event_no_criterion": (within, [
        ({}, SILENT), ({"is_serious": True}, SPEAKS), ({"is_serious": True, "is_hospitalisation": True}, SILENT),
    ]),
    "event_not_serious": (within, [
        ({}, SILENT), ({"is_important": True}, SPEAKS), ({"is_serious": True, "is_important": True}, SILENT),
    ]),
    # death: the criterion, the outcome and the grade stand or fall together
    "event_death_criterion": (dead, [
        ({}, SILENT), ({"is_fatal": False, "is_important": True}, SPEAKS), ({"outcome": "recovered", "grade": 4}, SILENT),
        ({"is_fatal": False, "is_important": True, "outcome": "recovered"}, SPEAKS),
        ({"is_fatal": False, "is_important": True, "outcome": "recovered", "grade": 4}, SILENT),
    ]),
    "event_death_outcome": (dead, [({}, SILENT), ({"outcome": "recovered"}, SPEAKS), ({"grade": 4}, SILENT)]),
    "event_death_grade": (dead, [({}, SILENT), ({"grade": 4}, SPEAKS), ({"outcome": "recovered"}, SILENT)]),
    # going on or over
    "event_ongoing_ended": (within, [
        ({}, SILENT), ({"ended_on": DAY}, SPEAKS), ({"ended_on": DAY, "is_ongoing": False}, SILENT),
    ]),
    "event_ongoing_resolved": (within, [
        ({}, SILENT), ({"outcome": "recovered"}, SPEAKS), ({"outcome": "recovered_with_sequelae"}, SPEAKS),
        ({"outcome": "fatal"}, SPEAKS), ({"outcome": "recovering"}, SILENT), ({"outcome": "unknown"}, SILENT),
    ]),
    "event_without_end": (over, [({}, SILENT), ({"ended_on": None}, SPEAKS), ({"is_ongoing": True, "ended_on": None}, SILENT)]),
    "event_ended_unresolved": (over, [
        ({}, SILENT), ({"outcome": "recovering"}, SPEAKS), ({"outcome": "not_recovered"}, SPEAKS),
        ({"outcome": "unknown"}, SILENT),
    ]),
    "event_end_before_onset": (over, [
        ({"ended_on": DAY}, SILENT), ({"ended_on": DAY - days(1)}, SPEAKS), ({"ended_on": None}, SILENT),
    ]),
    "event_in_future": (over, [
        ({"ended_on": DAY + days(30)}, SILENT), ({"ended_on": DAY + days(31)}, SPEAKS),
        ({"began_on": DAY + days(30)}, SILENT), ({"began_on": DAY + days(31)}, SPEAKS),
    ]),
    "event_unconsented": (within, [({}, SILENT), ({"consented_on": None}, SPEAKS)]),
    "event_aware_before": (within, [
        ({}, SILENT), ({"aware_on": DAY - days(1)}, SPEAKS), ({"aware_on": None}, SILENT),
    ]),
    "event_infusion_unknown": (within, [
        ({"infusion_number": 2}, SILENT), ({"infusion_number": 3}, SPEAKS), ({"infusion_number": 1, "given": 0}, SPEAKS),
    ]),
    "event_before_infusion": (within, [
        ({"infusion_number": 1, "began_on": DAY - days(5)}, SILENT),
        ({"infusion_number": 1, "began_on": DAY - days(6)}, SPEAKS), ({"began_on": DAY - days(6)}, SILENT),
    ]),
    "event_related_untreated": (within, [
        ({"given": 0}, SILENT), ({"given": 0, "relationship": "unlikely"}, SILENT),
        ({"given": 0, "relationship": "possible"}, SPEAKS), ({"given": 0, "relationship": "definite"}, SPEAKS),
        ({"relationship": "possible"}, SILENT),
        # a trial without infusions
        ({"given": 0, "is_treated": True, "relationship": "possible"}, SILENT),
    ]),
    # given again, or not
    "event_not_given_again": (within, [
        ({"reappeared": "yes"}, SPEAKS), ({"reappeared": "no", "again": DAY + days(1)}, SILENT), ({}, SILENT),
        ({"reappeared": "no", "again": DAY - days(1)}, SPEAKS), ({"reappeared": "unknown"}, SPEAKS),
        ({"reappeared": "no", "again": DAY + days(9), "infusion_number": 2}, SPEAKS),  # it came after the second
    ]),
    "event_given_again": (within, [
        ({"is_serious": True, "again": DAY + days(1)}, SPEAKS), ({"again": DAY + days(1)}, SILENT),
        ({"is_serious": True}, SILENT), ({"is_serious": True, "again": DAY + days(1), "reappeared": "unknown"}, SILENT),
        ({"is_serious": True, "again": DAY}, SILENT),  # on the day of the onset: which came first is not known
        ({"is_serious": True, "again": DAY, "infusion_number": 1}, SPEAKS),
    ]),
}  # fmt: skip

ROWS = [(code, look, entered, speaks) for code, (look, rows) in TABLES.items() for entered, speaks in rows]


@pytest.mark.requirement("R51", "R53")
@pytest.mark.parametrize(("code", "look", "entered", "speaks"), ROWS, ids=[f"{row[0]} {row[2]}" for row in ROWS])
def test_each_check_speaks_and_is_silent_as_its_table_says(code, look, entered, speaks):
    said = [problem for problem in look(**entered) if problem.code == code]
    assert bool(said) is speaks
    assert {problem.hard for problem in said} <= {BY_CODE[code].hard}


def test_every_check_has_a_table_with_lines_on_which_it_speaks_and_is_silent():
    assert set(TABLES) == {check.code for check in CHECKS}
    for code, (_look, rows) in TABLES.items():
        assert {speaks for _entered, speaks in rows} == {SPEAKS, SILENT}, code


def test_every_check_has_a_code_of_its_own_a_title_a_sentence_and_a_reason():
    assert len(BY_CODE) == len(CHECKS)
    for check in CHECKS:
        assert check.title and check.says.endswith((".", "?")) and check.why.endswith("."), check.code
        assert len(check.code) <= 40


def test_every_sentence_names_the_values_that_it_tells():
    for _code, look, entered, _speaks in ROWS:
        for problem in look(**entered):
            assert "%(" not in str(problem.text)


def test_a_problem_is_told_in_words_with_its_values():
    found = problems("vitals", {"WEIGHT": "70.5", "SYSBP": "75", "DIABP": "80"}, before={"WEIGHT": "60"})
    assert [str(problem.text) for problem in found] == [
        "Systolic pressure 75 mmHg is unusual; expected is 80 to 200. Is it right?",
        "Diastolic pressure 80 mmHg is not below Systolic pressure 75 mmHg.",
        "Weight 70.5 kg: changed by more than 10 % (previously 60 kg).",
    ]
    [found] = subsets("70", "40")
    assert str(found.text) == "Naive 70 %, Central memory 40 %, Effector memory (blank) are together more than 100 %."
    [found] = vitals(weight="10")
    assert str(found.text) == "Weight 10 kg is not possible; only values from 20 to 300 are."
    [found] = blood(wbc="1", lym="3")
    assert str(found.text) == ("Neutrophils (blank), Lymphocytes 3 10⁹/L are together more than White cells 1 10⁹/L.")


def test_a_sentence_that_was_stored_is_read_again_from_the_protocol():
    for said in (*vitals(weight="70.5", sys="75", dia="80", before="60"), *subsets("70", "40"), *virus("201", "<50")):
        assert str(type(said.text).of(said.text.stored(), TRIAL)) == str(said.text)


def test_a_question_names_the_field_of_the_form_that_is_open_and_all_that_could_settle_it():
    [problem] = lymphocytes("201", "1000", "1.0", entered="blood")
    assert (problem.test, problem.compared) == ("LYM", ("CD4", "CD8", "LYM"))
    [problem] = lymphocytes("201", "1000", "1.0")
    assert problem.test == "CD8", "the greatest part is the likeliest to be wrong"


def test_a_rebound_is_one_question_and_not_two():
    assert [problem.code for problem in virus("5000", "<50")] == ["hivrna_rebound"]
    assert [problem.code for problem in virus("5000")] == ["implausible"]


def test_blank_and_absent_are_the_same():
    for blank in ({}, {"WEIGHT": None}):
        assert find_problems(TRIAL, "vitals", blank, around=Surroundings(previous={"WEIGHT": None})) == []


def test_checks_are_silent_in_a_protocol_without_their_tests():
    other = protocol(
        tests=[test_line("SYSBP", "Systolic pressure"), test_line("CD4", "CD4")],
        panels=[{"code": "vitals", "name": "Vital signs", "tests": ["SYSBP", "CD4"]}],
    )
    assert problems("vitals", {"SYSBP": "10", "CD4": "10"}, same_visit={"LYM": "0.1", "DIABP": "90"}, trial=other) == []
    speaking = {check.code for check in CHECKS if check.tests and is_in(check, other)}
    assert speaking == {"cd4_fall"}
    assert not any(is_in(check, other) for check in CHECKS if check.subject == Subject.INFUSION)


def test_parts_that_are_computed_from_the_whole_say_nothing():
    computed = {"as": "percent_of", "of": ("CD4", "P")}
    other = protocol(
        tests=[test_line("CD4", "CD4"), test_line("P", "P"),
               *(test_line(code, code, computed=computed) for code in ("NVCD4", "CMCD4", "EMCD4"))],
        panels=[{"code": "t", "name": "T", "tests": ["CD4", "P", "NVCD4", "CMCD4", "EMCD4"]}],
    )  # fmt: skip
    assert problems("t", {"CD4": "100", "NVCD4": "200"}, trial=other) == []
    assert not is_in(BY_CODE["subsets_over_total"], other)
    assert isinstance(BY_CODE["subsets_over_total"], PartsWithin)


def test_only_what_a_check_needs_is_looked_up():
    assert looked_up(TRIAL, "t_cells") == ({"LYM"}, {"CD4"})
    assert looked_up(TRIAL, "blood") == ({"CD4", "CD8"}, set())
    assert looked_up(TRIAL, "pregnancy") == (set(), set())
