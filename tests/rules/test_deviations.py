"""What the system sees as a deviation: one row, one case, in the words that a person reads."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from types import SimpleNamespace

import pytest

from patients.eligibility import Finding
from safety.deviations import (
    KINDS,
    Category,
    ConsentFact,
    Course,
    InfusionFact,
    Screening,
    UnmaskingFact,
    VisitFact,
    find_contradictions,
    find_proposals,
    unjudged,
)
from trialsite.protocol import Criterion
from trialsite.words import Name, Sentence
from visits.schedule import Window


def day(text):
    return date.fromisoformat(f"2026-{text}")


# visit W4 has its window from 25 April to 1 May; today is 10 May
W4 = VisitFact(Name("visit", "W4", "Week 4"), "planned", window=Window(day("04-28"), day("04-25"), day("05-01")))
CHEMISTRY = Name("panel", "chemistry", "Chemistry")
# infusion 1 on 1 April and 2 on 28 April, as planned
GIVEN = InfusionFact(
    number=1, visit="W0", on=day("04-01"), planned=Decimal(100), given=Decimal(100), tolerance_percent=Decimal(10),
    volume_ml=Decimal(100), volume_limits=(Decimal(50), Decimal(150)), least_days_between=21,
)  # fmt: skip
SECOND = replace(GIVEN, number=2, visit="W4", on=day("04-28"))
FORM_1, FORM_2, FORM_3 = (
    ConsentFact("1.0", day("01-01")), ConsentFact("2.0", day("04-10")), ConsentFact("3.0", day("04-30")),
)  # fmt: skip


def visits(**changes):
    return {"visits": (replace(W4, **changes),)}


def infusion(**changes):
    return {"infusions": (replace(GIVEN, **changes),)}


def infusion_visit(**changes):
    return visits(infusion=2, **changes)


def on_days(*days):
    """Visits attended on these days, unscheduled: they have no window."""
    return tuple(VisitFact(Name("visit", f"U{n}", f"U{n}"), "attended", day(on)) for n, on in enumerate(days, 1))


def consented(signed, *procedures, forms=(FORM_1,)):
    """`signed` are (form, day); then the days on which something was done."""
    return {
        "visits": on_days(*procedures), "forms": forms, "signed": tuple(ConsentFact(f, day(on)) for f, on in signed),
    }  # fmt: skip


def screening(holds, *, exclusion=False, overruled=False):
    finding = Finding(Criterion(code="C1", text="A criterion"), holds, "CD4 300 is not ≤ 250")
    return {
        "signed": (ConsentFact("1.0", day("03-01")),),
        "screening": Screening(
            day("03-20"), (finding,), frozenset(["C1"] if exclusion else []), frozenset(["C1"] if overruled else [])
        ),
    }


WINDOW = "its window of 2026-04-25 to 2026-05-01"
# what is known -> the key, and what is read; nothing where there is no deviation
TABLE = {
    # --- visit window
    "attended on the first day of the window": (visits(state="attended", attended_on=day("04-25")), []),
    "attended on the last day of the window": (visits(state="attended", attended_on=day("05-01")), []),
    "attended a day too early": (
        visits(state="attended", attended_on=day("04-24")),
        [("visit_out_of_window:W4", f"Week 4 took place on 2026-04-24, outside {WINDOW}.")],
    ),
    "attended a day too late": (
        visits(state="attended", attended_on=day("05-02")),
        [("visit_out_of_window:W4", f"Week 4 took place on 2026-05-02, outside {WINDOW}.")],
    ),
    "attended, day 0 not known or no window planned": (
        visits(state="attended", attended_on=day("05-02"), window=None), []
    ),
    "missed": (
        visits(state="missed"),
        [("visit_missed:W4", "Week 4 was missed; its window was 2026-04-25 to 2026-05-01.")],
    ),
    "the window has closed and nothing is recorded": (
        visits(),
        [("visit_overdue:W4", f"Nothing is recorded of Week 4, and {WINDOW} has closed.")],
    ),
    "nothing recorded, the last day of the window is today": ({**visits(), "today": day("05-01")}, []),
    "nothing recorded, and the patient has left the trial": ({**visits(), "is_open": False}, []),
    "missed before the patient left the trial": (
        {**visits(state="missed"), "is_open": False},
        [("visit_missed:W4", "Week 4 was missed; its window was 2026-04-25 to 2026-05-01.")],
    ),
    # --- panels
    "a required panel of an attended visit was not done": (
        visits(state="attended", attended_on=day("04-28"), not_done=(CHEMISTRY,)),
        [("panel_missed:W4.chemistry", "The panel Chemistry was not done at Week 4.")],
    ),
    "a panel not done, of a visit that was missed altogether": (
        visits(state="missed", not_done=(CHEMISTRY,)),
        [("visit_missed:W4", "Week 4 was missed; its window was 2026-04-25 to 2026-05-01.")],
    ),
    # --- infusions not given
    "the visit of infusion 2 was missed": (
        infusion_visit(state="missed"),
        [("infusion_missed:W4",
          "Infusion 2 was not given at Week 4; the window of the visit was 2026-04-25 to 2026-05-01.")],
    ),
    "the visit took place, the infusion did not, and the window is over": (
        infusion_visit(state="attended", attended_on=day("04-28")),
        [("infusion_missed:W4",
          "Infusion 2 was not given at Week 4; the window of the visit was 2026-04-25 to 2026-05-01.")],
    ),
    "the visit took place, the infusion not yet, and the window is open": (
        {**infusion_visit(state="attended", attended_on=day("04-28")), "today": day("05-01")}, []
    ),
    "the visit took place and the infusion was given": (
        infusion_visit(state="attended", attended_on=day("04-28"), is_given=True), []
    ),
    # --- dose, tolerance 10 %
    "the dose as planned": (infusion(), []),
    "as far off as is tolerated": (infusion(given=Decimal(90)), []),
    "more off than is tolerated": (
        infusion(given=Decimal("89.9")),
        [("dose_off_plan:1", "Infusion 1: the dose given differs from the planned one by -10.1 %; "
          "up to 10 % is tolerated.")],
    ),
    "more than planned": (
        infusion(given=Decimal("110.5")),
        [("dose_off_plan:1", "Infusion 1: the dose given differs from the planned one by +10.5 %; "
          "up to 10 % is tolerated.")],
    ),
    "the least and the most volume": (
        {"infusions": (replace(GIVEN, volume_ml=Decimal(50)), replace(SECOND, volume_ml=Decimal(150)))}, []
    ),
    "less than the least volume": (
        infusion(volume_ml=Decimal("49.9")),
        [("volume_off_limits:1", "Infusion 1: the volume of 49.9 mL is not from 50 to 150 mL.")],
    ),
    "more than the most volume": (
        infusion(volume_ml=Decimal(151)),
        [("volume_off_limits:1", "Infusion 1: the volume of 151 mL is not from 50 to 150 mL.")],
    ),
    # --- interval, at least 21 days
    "21 days between two infusions": ({"infusions": (GIVEN, replace(SECOND, on=day("04-22")))}, []),
    "20 days between two infusions": (
        {"infusions": (GIVEN, replace(SECOND, on=day("04-21")))},
        [("interval_too_short:2",
          "Infusion 2 was given 20 days after infusion 1; at least 21 days must lie between.")],
    ),
    "20 days after infusion 1, infusion 2 having been left out": (
        {"infusions": (GIVEN, replace(SECOND, number=3, on=day("04-21")))},
        [("interval_too_short:3",
          "Infusion 3 was given 20 days after infusion 1; at least 21 days must lie between.")],
    ),
    # --- safety of an infusion
    "vital signs missing": (
        infusion(missing_minutes=(30, 60)),
        [("monitoring_missed:1", "Infusion 1: no vital signs are recorded at 30, 60 minutes.")],
    ),
    "no pregnancy test is asked for": (infusion(pregnancy_test=""), []),
    "the pregnancy test was negative": (infusion(pregnancy_test="NEG"), []),
    "the pregnancy test does not apply": (infusion(pregnancy_test="NA"), []),
    "no pregnancy test before the infusion": (
        infusion(pregnancy_test=None),
        [("no_negative_pregnancy_test:1", "Infusion 1 was given without a pregnancy test before it.")],
    ),
    "the pregnancy test was positive": (
        infusion(pregnancy_test="POS"),
        [("no_negative_pregnancy_test:1", "Infusion 1 was given although the pregnancy test is not negative.")],
    ),
    # --- consent
    "consent on the day of the first procedure": (consented([("1.0", "03-01")], "03-01"), []),
    "consent a day after the first procedure": (
        consented([("1.0", "03-02")], "03-01", "03-05"),
        [("procedure_before_consent:first",
          "The consent was signed on 2026-03-02, after a first procedure on 2026-03-01.")],
    ),
    "a panel collected before the consent": (
        {**consented([("1.0", "03-02")], "03-05"), "first_panel_on": day("02-27")},
        [("procedure_before_consent:first",
          "The consent was signed on 2026-03-02, after a first procedure on 2026-02-27.")],
    ),
    "no consent at all": (
        consented([], "03-01"),
        [("procedure_before_consent:first",
          "A first procedure took place on 2026-03-01, and no consent is recorded.")],
    ),
    "no consent, and nothing done": (consented([]), []),
    # --- re-consent: form 2.0 is dated 10 April, form 3.0 30 April
    "nothing done since the new form": (
        consented([("1.0", "03-01")], "03-01", "04-10", forms=(FORM_1, FORM_2)), []
    ),
    "a procedure after the new form, on the old consent": (
        consented([("1.0", "03-01")], "03-01", "04-11", "04-20", forms=(FORM_1, FORM_2)),
        [("reconsent_missing:2.0",
          "The patient had not signed consent form 2.0, dated 2026-04-10, before a procedure on 2026-04-11.")],
    ),
    "signed again on the day of that procedure": (
        consented([("1.0", "03-01"), ("2.0", "04-11")], "03-01", "04-11", forms=(FORM_1, FORM_2)), []
    ),
    "signed again after that procedure": (
        consented([("1.0", "03-01"), ("2.0", "04-15")], "03-01", "04-11", "04-20", forms=(FORM_1, FORM_2)),
        [("reconsent_missing:2.0",
          "The patient had not signed consent form 2.0, dated 2026-04-10, before a procedure on 2026-04-11.")],
    ),
    "form 2.0 skipped, no procedure while it was in force": (
        consented([("1.0", "03-01"), ("3.0", "05-02")], "03-01", "05-02", forms=(FORM_1, FORM_2, FORM_3)), []
    ),
    "neither of two new forms": (
        consented([("1.0", "03-01")], "03-01", "04-11", "05-05", forms=(FORM_1, FORM_2, FORM_3)),
        [("reconsent_missing:2.0",
          "The patient had not signed consent form 2.0, dated 2026-04-10, before a procedure on 2026-04-11."),
         ("reconsent_missing:3.0",
          "The patient had not signed consent form 3.0, dated 2026-04-30, before a procedure on 2026-05-05.")],
    ),
    "entered with the second form": (consented([("2.0", "04-12")], "04-12", forms=(FORM_1, FORM_2)), []),
    # --- eligibility, by the values as they stand now
    "an inclusion criterion holds": (screening(True), []),
    "an inclusion criterion cannot be told": (screening(None), []),
    "an inclusion criterion does not hold any more": (
        screening(False),
        [("criterion_breached:C1",
          "Criterion C1 is not met by the values as they stand now: CD4 300 is not ≤ 250.")],
    ),
    "an exclusion criterion does not hold": (screening(False, exclusion=True), []),
    "an exclusion criterion cannot be told": (screening(None, exclusion=True), []),
    "an exclusion criterion holds": (
        screening(True, exclusion=True),
        [("criterion_breached:C1",
          "Criterion C1 is not met by the values as they stand now: CD4 300 is not ≤ 250.")],
    ),
    "the person who assessed had overruled the rule, and said why": (screening(False, overruled=True), []),
    # --- the blind
    "nobody was unmasked": ({"unmaskings": ()}, []),
    "the patient was unmasked, twice by two people": (
        {"unmaskings": (UnmaskingFact(7, day("04-03")), UnmaskingFact(9, day("04-04")))},
        [("emergency_unmasking:7", "The patient was unmasked in an emergency on 2026-04-03."),
         ("emergency_unmasking:9", "The patient was unmasked in an emergency on 2026-04-04.")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE)
def test_what_is_seen_as_a_deviation(case):
    known, expected = TABLE[case]
    known = {"today": day("05-10"), "signed": (ConsentFact("1.0", day("01-01")),), **known}
    found = find_proposals(Course(**known))
    assert [(proposal.key, str(proposal.sentence)) for proposal in found] == expected


SUGGESTED = {
    # kind: category, important
    "visit_out_of_window": (Category.VISIT_WINDOW, False),
    "visit_missed": (Category.VISIT_WINDOW, False),
    "visit_overdue": (Category.VISIT_WINDOW, False),
    "panel_missed": (Category.PROCEDURE, False),
    "infusion_missed": (Category.DOSE, True),
    "dose_off_plan": (Category.DOSE, True),
    "volume_off_limits": (Category.DOSE, False),
    "interval_too_short": (Category.DOSE, True),
    "monitoring_missed": (Category.PROCEDURE, False),
    "no_negative_pregnancy_test": (Category.PROCEDURE, True),
    "procedure_before_consent": (Category.CONSENT, True),
    "reconsent_missing": (Category.CONSENT, True),
    "criterion_breached": (Category.ELIGIBILITY, True),
    "emergency_unmasking": (Category.BLINDING, True),
}


def test_every_kind_suggests_a_category_and_an_importance_and_has_a_row_above():
    assert {kind.code: (kind.category, kind.is_important) for kind in KINDS} == SUGGESTED
    seen = {key.split(":")[0] for _known, expected in TABLE.values() for key, _text in expected}
    assert seen == set(SUGGESTED)


def test_a_deviation_is_dated_and_proposals_stand_in_that_order():
    course = Course(
        today=day("05-10"), signed=(FORM_1,),
        visits=(replace(W4, state="missed"),), infusions=(replace(GIVEN, volume_ml=Decimal(1)),),
    )  # fmt: skip
    assert [proposal.on for proposal in find_proposals(course)] == [day("04-01"), day("05-01")]


def test_a_sentence_is_read_again_from_what_is_stored():
    [proposal] = find_proposals(Course(today=day("05-10"), visits=(replace(W4, state="missed"),)))

    class Renamed:
        def visit(self, code):
            return SimpleNamespace(name="第4周")

    again = Sentence.of(proposal.sentence.stored(), Renamed())
    assert str(again) == "第4周 was missed; its window was 2026-04-25 to 2026-05-01."


JUDGED = [
    # recorded, dismissed -> is it still to be judged?
    ((), (), True),
    (("visit_missed:W4",), (), False),
    ((), ("visit_missed:W4",), False),
    (("visit_missed:W8",), (), True),
    # the visit was recorded as overdue, and is known by now to have been missed
    (("visit_overdue:W4",), (), False),
    # "not overdue, the entry is late" says nothing of a visit that was missed
    ((), ("visit_overdue:W4",), True),
]


@pytest.mark.parametrize(("recorded", "dismissed", "waits"), JUDGED)
def test_what_was_judged_is_not_proposed_again(recorded, dismissed, waits):
    proposals = find_proposals(Course(today=day("05-10"), visits=(replace(W4, state="missed"),)))
    assert bool(unjudged(proposals, recorded=recorded, dismissed=dismissed)) is waits


# --- what a record must say -------------------------------------------------------------------------

RECORD = {
    "began_on": day("05-01"), "ended_on": None, "discovered_on": day("05-03"), "is_important": False,
    "effect_on_safety": "", "corrective_action": "", "corrected_on": None, "reported_on": None,
}  # fmt: skip
CONTRADICTIONS = [
    ({}, set()),
    ({"began_on": day("05-10"), "discovered_on": day("05-10")}, set()),
    ({"began_on": day("05-11"), "discovered_on": day("05-11")}, {"began_on", "discovered_on"}),
    ({"began_on": day("01-30")}, {"began_on"}),
    ({"began_on": day("01-31")}, set()),
    ({"discovered_on": day("04-30")}, {"discovered_on"}),
    ({"discovered_on": day("05-01")}, set()),
    ({"ended_on": day("04-30")}, {"ended_on"}),
    ({"ended_on": day("05-01")}, set()),
    ({"ended_on": day("05-11")}, {"ended_on"}),
    ({"reported_on": day("04-30")}, {"reported_on"}),
    ({"reported_on": day("05-04")}, set()),
    ({"corrected_on": day("05-04")}, {"corrective_action"}),
    ({"corrected_on": day("05-04"), "corrective_action": "Staff trained"}, set()),
    ({"corrected_on": day("04-30"), "corrective_action": "Staff trained"}, {"corrected_on"}),
    ({"corrective_action": "Staff to be trained"}, set()),
    ({"is_important": True}, {"effect_on_safety"}),
    ({"is_important": True, "effect_on_safety": "none"}, set()),
]


@pytest.mark.parametrize(("differs", "fields"), CONTRADICTIONS)
def test_what_contradicts_itself_in_a_record_is_named_at_its_field(differs, fields):
    found = find_contradictions({**RECORD, **differs}, not_before=day("01-31"), today=day("05-10"))
    assert set(found) == fields
