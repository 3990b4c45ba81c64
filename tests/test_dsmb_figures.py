"""The figures of a DSMB report against small trials in which everything can be counted by hand."""

import json
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from math import comb

import pytest
from django.db import transaction
from django.utils import translation

from patients.models import Halt, State, Unmasking
from safety.actions.reports import draw_arm_letters
from safety.dsmb import counting, measurements
from safety.dsmb.arms import read_arms
from safety.dsmb.changes import action_items
from safety.dsmb.compute import compute_figures, open_part
from safety.dsmb.figures import PartFigures, Table
from safety.dsmb.reading import read_patients, read_snapshot
from safety.dsmb.snapshot import Before
from safety.models import (
    ActionItem,
    AdverseEvent,
    ArmLetter,
    Causality,
    Coding,
    DeclinedResult,
    Deviation,
    Dictionary,
    Recommendation,
    ResultOfEvent,
    SeriousCase,
    SponsorAssessment,
)
from tests.dsmb_data import ARMS, SmallTrial, in_force, small_protocol
from trialsite.audit import acting
from trialsite.models import User
from visits.models import Infusion, Interruption, Measurement, PanelRecord, PanelState, Reaction, Visit, VisitState

pytestmark = pytest.mark.django_db

DAY_0, CUTOFF = date(2026, 3, 2), date(2026, 6, 30)
CELLS, WATER = ARMS


@pytest.fixture
def trial(monkeypatch):
    trial = SmallTrial(in_force(monkeypatch, small_protocol()))
    with acting(trial.by):
        ArmLetter.objects.create(arm=CELLS, letter="B")
        ArmLetter.objects.create(arm=WATER, letter="A")
    return trial


def figures(cutoff=CUTOFF):
    """Of the tables as they are now; what they were once is the matter of test_dsmb_past.py."""
    snapshot = read_snapshot(cutoff, datetime(2026, 7, 1, tzinfo=UTC), date(2026, 7, 1))
    return compute_figures(snapshot, read_arms(snapshot.patients, cutoff))


def rows(table, under=None):
    """{first cell: the other cells}, of all rows or of those under a heading."""
    found, heading = {}, None
    for row in table.rows:
        if row.kind == "heading":
            heading = row.cells[0]
        elif under is None or under == heading:
            found[row.cells[0]] = row.cells[1:]
    return found


def everything(part):
    return part.to_json().decode()


# --- how numbers are written


@pytest.mark.parametrize(("n", "of", "text"), [(3, 7, "3 (42.9)"), (0, 7, "0 (0.0)"), (7, 7, "7 (100.0)"), (0, 0, "0")])
def test_a_count_tells_its_percentage(n, of, text):
    assert counting.count(n, of) == text


@pytest.mark.parametrize(
    ("values", "decimals", "text"),
    [
        ([], 0, "–"),
        ([5], 0, "5.0 [5.0–5.0]"),
        ([1, 2, 3, 4], 0, "2.5 [1.8–3.3]"),  # R: quantile(1:4, type = 7) is 1.75 2.5 3.25
        ([Decimal("1.1"), Decimal("1.2"), Decimal("1.4")], 1, "1.20 [1.15–1.30]"),
    ],
)
def test_quartiles_are_those_of_r_type_7(values, decimals, text):
    assert counting.median_text(values, decimals) == text


@pytest.mark.parametrize(("n", "limit"), [(3, 0.632), (7, 0.348), (13, 0.206), (24, 0.117), (48, 0.061), (72, 0.041)])
def test_the_upper_limit_of_no_event_is_the_published_one(n, limit):
    assert round(counting.upper_limit_of_none(n), 3) == limit


@pytest.mark.parametrize(("k", "n"), [(1, 7), (2, 7), (6, 7), (3, 13), (40, 100)])
def test_an_exact_interval_leaves_two_and_a_half_per_cent_on_either_side(k, n):
    """The definition of Clopper and Pearson, with sums of binomial terms."""
    low, high = counting.exact_interval(k, n)
    term = lambda i, p: comb(n, i) * p**i * (1 - p) ** (n - i)  # noqa: E731
    assert sum(term(i, low) for i in range(k, n + 1)) == pytest.approx(0.025)
    assert sum(term(i, high) for i in range(k + 1)) == pytest.approx(0.025)


@pytest.mark.parametrize("n", [1, 7, 13, 10_000])
def test_an_exact_interval_of_none_and_of_all_has_its_closed_form(n):
    assert counting.exact_interval(0, n) == (0, pytest.approx(1 - 0.025 ** (1 / n)))
    assert counting.exact_interval(n, n) == (pytest.approx(0.025 ** (1 / n)), 1)


# --- an empty trial


def test_an_empty_trial_gives_a_whole_and_empty_report(trial):
    made = figures()
    assert rows(made.open.item("F1"))["Screened"] == ("0",)
    assert rows(made.open.item("F1"))["Randomised"] == ("0",)
    for part in made.parts:
        for number in ("T4", "T5", "T6", "T7", "L1", "L2", "L3", "T8"):
            assert part.item(number).rows == (), number
        assert not part.plots
    assert dict(made.open.about.key_figures)["Randomised"] == "0 of 10 planned"


# --- who came, and who is still there


def test_the_status_counts_every_patient_once(trial):
    trial.screen(date(2026, 6, 1))
    trial.fail(trial.screen(date(2026, 6, 1)), date(2026, 6, 10), "I1")
    trial.end(trial.screen(date(2026, 6, 1)), State.WITHDRAWN, date(2026, 6, 3))
    ends = [State.COMPLETED, State.WITHDRAWN, State.LOST, State.DIED, None]
    for arm, end in zip([CELLS, CELLS, WATER, WATER, WATER], ends, strict=True):
        patient = trial.enrol(arm, DAY_0)
        trial.treat(patient)
        if end:
            trial.end(patient, end, date(2026, 5, 1))
    made = figures()
    status = {name: cells[0] for name, cells in rows(made.open.item("F1")).items()}
    assert status == {
        "Screened": "8", "In screening": "1 (12.5)", "Eligible, not yet randomised": "0 (0.0)",
        "Screen failure": "1 (12.5)", "Withdrew before randomisation": "1 (12.5)",
        "Died before randomisation": "0 (0.0)", "Randomised": "5", "In follow-up": "1 (20.0)",
        "Completed": "1 (20.0)", "Withdrawn": "1 (20.0)", "Lost to follow-up": "1 (20.0)", "Died": "1 (20.0)",
        "At least one infusion begun": "5 (100.0)",
    }  # fmt: skip
    closed = rows(made.closed.item("F1"))
    assert closed["Randomised"] == ("3", "2", "5")  # A, B, all
    assert closed["Completed"] == ("0 (0.0)", "1 (50.0)", "1 (20.0)")
    assert "Screened" not in closed


def test_what_happened_after_the_cutoff_is_not_in_the_report(trial):
    patient = trial.enrol(CELLS, DAY_0)
    trial.treat(patient)
    trial.report(patient, "Fever", 2, CUTOFF + timedelta(days=1))
    trial.report(patient, "Cough", 1, CUTOFF, is_ongoing=False, ended_on=CUTOFF + timedelta(days=2))
    trial.end(patient, State.COMPLETED, CUTOFF + timedelta(days=1))
    trial.enrol(WATER, CUTOFF + timedelta(days=1))
    trial.screen(CUTOFF + timedelta(days=1))
    made = figures()
    assert rows(made.open.item("F1"))["Screened"] == ("2",)
    assert rows(made.open.item("F1"))["Randomised"] == ("1",)
    assert rows(made.open.item("F1"))["In follow-up"] == ("1 (100.0)",)
    assert [row.cells[2] for row in made.open.item("L3").rows] == ["Cough"]
    assert "ongoing" in made.open.item("L3").rows[0].cells  # its end came later
    assert "Fever" not in everything(made.open)


def test_a_patient_who_was_lost_and_found_is_in_follow_up(trial):
    patient = trial.enrol(CELLS, DAY_0)
    trial.end(patient, State.LOST, date(2026, 4, 1))
    trial.end(patient, State.RANDOMISED, date(2026, 5, 1))
    assert rows(figures().open.item("F1"))["In follow-up"] == ("1 (100.0)",)


def test_enrolment_is_told_by_site_and_month(trial):
    other = trial.add_site("S2", "Second hospital")
    trial.enrol(CELLS, date(2026, 3, 10))  # screened in February
    trial.enrol(WATER, date(2026, 3, 20), site=other)
    trial.fail(trial.screen(date(2026, 3, 5), site=other), date(2026, 4, 1), "I1")
    table = figures().open.item("T1")
    assert rows(table, "S1 First hospital") == {
        "2026-02": ("1", "0", "0"), "2026-03": ("0", "0", "1"), "All months": ("1", "0", "1"),
    }  # fmt: skip
    assert rows(table, "S2 Second hospital")["2026-04"] == ("0", "1", "0")
    assert table.rows[-1].cells == ("All sites", "3", "1", "2")


def test_the_enrolment_plot_ends_with_the_table(trial):
    for day in (1, 5, 5):
        trial.enrol(CELLS, DAY_0 + timedelta(days=day))
    screened, randomised, planned = figures().open.item("F2").lines
    assert [y for _, y in screened.points] == [1, 3, 3]
    assert [y for _, y in randomised.points] == [1, 3, 3]
    assert {y for _, y in planned.points} == {10}


def test_screen_failures_are_told_by_criterion(trial):
    trial.fail(trial.screen(DAY_0), DAY_0, "I1", "I2")
    trial.fail(trial.screen(DAY_0), DAY_0, "I1")
    trial.fail(trial.screen(DAY_0), DAY_0, explanation="Moved away")
    assert rows(figures().open.item("T2")) == {
        "I1: CD4 at most 250": ("2 (66.7)",), "I2: RNA at most 50": ("1 (33.3)",),
        "Other: Moved away": ("1 (33.3)",),
    }  # fmt: skip


# --- baseline, exposure, quality


def test_baseline_is_the_last_result_on_or_before_day_0(trial):
    cd4 = [100, 150, 200, 210]
    for arm, value in zip([CELLS, CELLS, WATER, WATER], cd4, strict=True):
        patient = trial.enrol(arm, DAY_0, art_since="2020")
        screening = trial.visit(patient, "SCR", DAY_0 - timedelta(days=14))
        trial.measure(screening, CD4=999, HIVRNA="<50", WEIGHT=60)
        trial.measure(trial.visit(patient, "W0", DAY_0), CD4=value)
        trial.measure(trial.visit(patient, "W4", DAY_0 + timedelta(days=28)), CD4=1, HIVRNA=90)
    made = figures()
    table = made.open.item("T4")
    assert [column.title for column in table.columns] == ["Characteristic", "Total (N = 4)"]
    assert rows(table, "CD4 T cells (cells/µL)") == {
        "n": ("4",), "Median [Q1–Q3]": ("175.0 [137.5–202.5]",), "Min–max": ("100–210",)
    }  # fmt: skip
    assert rows(table, "HIV-1 RNA (copies/mL)")["Below the limit of quantification (<50), n (%)"] == ("4 (100.0)",)
    assert rows(table, "Sex, n (%)") == {"Female": ("4 (100.0)",), "Male": ("0 (0.0)",)}
    assert rows(table, "Age (years)")["Min–max"] == ("45–45",)
    # ART since some day of 2020: the latest possible day counts, 62 whole months
    assert rows(table, "Time on antiretroviral therapy (months)")["Min–max"] == ("62–62",)
    closed = made.closed.item("T4")
    assert [column.title for column in closed.columns[1:]] == ["A (N = 2)", "B (N = 2)", "Total (N = 4)"]
    assert rows(closed, "CD4 T cells (cells/µL)")["Min–max"] == ("200–210", "100–150", "100–210")


def test_exposure_is_of_what_was_due(trial):
    early = trial.enrol(CELLS, DAY_0)
    trial.treat(early, interrupted=True, reaction_grades=[1, 2])
    trial.infuse(trial.visit(early, "W4", DAY_0 + timedelta(days=28)), 2, percent=50)
    missed = trial.enrol(WATER, DAY_0)
    trial.treat(missed, interrupted=True, reaction_grades=[3])
    with acting(trial.by, "entered in error"):
        for model in (Interruption, Reaction):
            model.objects.filter(patient=missed).update(is_withdrawn=True)
    trial.visit(missed, "W4", state=VisitState.MISSED)
    left = trial.enrol(WATER, DAY_0)
    trial.treat(left)
    trial.visit(left, "W4")
    trial.end(left, State.WITHDRAWN, DAY_0 + timedelta(days=10))
    late = trial.enrol(CELLS, CUTOFF - timedelta(days=10))
    trial.treat(late)
    trial.infuse(trial.visit(late, "W4", CUTOFF + timedelta(days=1)), 2)  # neither due nor given yet
    made = figures()
    table = made.open.item("T5")
    assert rows(table, "Infusion 1") == {"Given of due, n/N (%)": ("4/4 (100.0)",)}
    assert rows(table, "Infusion 2") == {"Given of due, n/N (%)": ("1/2 (50.0)",)}
    assert rows(table, "Infusions given, patients, n (%)") == {
        "0": ("0 (0.0)",),
        "1": ("3 (75.0)",),
        "2": ("1 (25.0)",),
    }
    # what can tell the product is in the closed part alone; A is the water, B the cells
    assert not any("Dose" in row.cells[0] or "Interrupted" in row.cells[0] for row in table.rows)
    closed = made.closed.item("T5")
    assert rows(closed, "Infusion 1")["Interrupted, n (%) of given"] == ("0 (0.0)", "1 (50.0)", "1 (25.0)")
    doses = rows(closed, "Dose given of dose planned (%), each infusion")
    assert doses["Min–max"] == ("100.0–100.0", "50.0–100.0", "50.0–100.0")
    assert doses["Below 80 %, n (%)"] == ("0 (0.0)", "1 (33.3)", "1 (20.0)")
    with pytest.raises(KeyError):
        made.open.item("T11")
    reactions = rows(made.closed.item("T11"))
    assert reactions["Infusion 1"] == (
        "2", "0 (0.0)", "0/0/0/0/0", "2", "1 (50.0)", "0/1/0/0/0", "4", "1 (25.0)", "0/1/0/0/0",
    )  # fmt: skip
    assert reactions["Infusion 2"][-3:] == ("1", "0 (0.0)", "0/0/0/0/0")
    assert reactions["Chills"][-3:] == ("5", "1 (20.0)", "0/1/0/0/0")


def test_data_quality_counts_what_was_due(trial):
    patient = trial.enrol(CELLS, DAY_0)
    first = trial.measure(trial.visit(patient, "W0", DAY_0 + timedelta(days=3)), CD4=1)  # its window is day 0 alone
    trial.measure(trial.visit(patient, "U1", date(2026, 4, 1), scheduled=False), state=PanelState.NOT_DONE)
    trial.visit(patient, "W4")  # nobody entered it
    trial.ask(first, date(2026, 6, 21))
    made = figures().open
    assert rows(made.item("DQ1"))["S1 First hospital"] == ("2", "1 (50.0)", "0 (0.0)", "1 (50.0)", "1 (100.0)")
    assert rows(made.item("DQ2"))["All sites"] == ("2", "1 (50.0)", "1 (50.0)", "0 (0.0)", "1", "0", "10.0")


# --- adverse events


def test_a_patient_counts_once_for_a_term_at_the_worst_grade(trial):
    first, second, third = (trial.enrol(arm, DAY_0) for arm in (CELLS, WATER, WATER))
    for patient in (first, second, third):
        trial.treat(patient)
    trial.report(first, "Fever", 1, DAY_0)
    trial.report(first, "fever ", 3, DAY_0 + timedelta(days=5))
    trial.report(second, "Fever", 2, DAY_0 + timedelta(days=9), relationship="possible")
    trial.report(second, "Rash", 1, DAY_0, body_system="Skin disorders")
    made = figures()
    table = made.open.item("T6")
    assert rows(table, "General disorders") == {
        "Any of this body system": ("2 (66.7)", "3"), "Fever": ("2 (66.7)", "3"),
    }  # fmt: skip
    assert rows(table, "Overview")["Any adverse event"] == ("2 (66.7)", "4")
    assert rows(table, "Overview")["Related to the study treatment"] == ("1 (33.3)", "1")
    assert rows(made.closed.item("T6"), "Overview")["Within 7 days of an infusion"][-2:] == ("2 (66.7)", "3")
    assert rows(made.open.item("T7"))["Fever"] == ("·", "1", "1", "·", "·")
    closed = rows(made.closed.item("T7"))["Fever"]  # A: the second, B: the first
    assert closed == ("·", "1", "·", "·", "·", "·", "·", "1", "·", "·", "·", "1", "1", "·", "·")


def coded(trial, event, term, state, kind="adverse_event"):
    who = {"coded_by": trial.by} if state == "proposed" else {"is_automatic": True}
    dictionary, _new = Dictionary.objects.get_or_create(
        name="Small", dictionary_version="1", defaults={"sha256": "0" * 64, "terms_count": 0}
    )
    with acting(trial.by):
        Coding.objects.create(
            patient=event.patient, kind=kind, record="safety.adverseevent", record_id=event.pk, verbatim=event.term,
            key=event.term, dictionary=dictionary, state=state, preferred_term=term, body_system="Blood", **who,
        )  # fmt: skip


def test_an_event_counts_by_the_code_that_is_approved_and_by_no_other(trial):
    for state, kind in (("approved", "adverse_event"), ("proposed", "adverse_event"), ("approved", "medical_history")):
        patient = trial.enrol(CELLS, DAY_0)
        trial.treat(patient)
        coded(trial, trial.report(patient, "Feels hot", 1, DAY_0), "Pyrexia", state, kind)
    table = figures().open.item("T6")
    assert rows(table, "Blood")["Pyrexia"] == ("1 (33.3)", "1")
    assert rows(table, "General disorders")["Feels hot"] == ("2 (66.7)", "2")


def test_an_event_is_related_when_the_sponsor_judging_last_cannot_exclude_it(trial):
    for causalities in (("excluded", "suspected"), ("suspected", "excluded")):
        patient = trial.enrol(CELLS, DAY_0)
        trial.treat(patient)
        event = trial.report(patient, "Sepsis", 3, DAY_0, is_hospitalisation=True)
        with acting(trial.by):
            about = {"patient": patient, "case": SeriousCase.objects.create(
                patient=patient, event=event, number=f"T1-{event.pk}", opened_by=trial.by, sponsor_knew_at=event.aware_at,
            )}  # fmt: skip
            for causality in causalities:
                SponsorAssessment.objects.create(
                    **about, causality=causality, expectedness="expected", proposed="expected", comment="x",
                    event_version=1, judged_by=trial.by,
                )  # fmt: skip
    made = figures()
    assert rows(made.open.item("T6"), "Overview")["Serious and related"] == ("1 (50.0)", "1")
    told = [row.cells for row in made.closed.item("L1").rows]
    assert [next(cell for cell in cells if ";" in cell and "xpected" in cell).split(";")[0] for cells in told] == [
        str(Causality.SUSPECTED.label), str(Causality.EXCLUDED.label),
    ]  # fmt: skip


def test_events_before_treatment_are_listed_and_not_counted(trial):
    treated, untreated = trial.enrol(CELLS, DAY_0), trial.enrol(WATER, DAY_0)
    trial.treat(treated)
    trial.report(treated, "Cough", 1, DAY_0 - timedelta(days=1))
    trial.report(untreated, "Rash", 1, DAY_0 + timedelta(days=1))
    trial.report(trial.screen(DAY_0), "Fall", 3, DAY_0, is_hospitalisation=True)
    made = figures().open
    assert rows(made.item("T6"), "Overview")["Any adverse event"] == ("0 (0.0)", "0")
    assert made.item("T6").notes[-1].startswith("3 events before the first infusion")
    assert len(made.item("L3").rows) == 3
    assert [row.cells[2] for row in made.item("L1").rows] == ["Fall (General disorders)"]


def test_tables_and_listings_stand_in_the_order_of_their_numbers(trial):
    fill(trial)
    for part in (figures().open, figures().closed):
        numbers = [re.fullmatch(r"([A-Z]+)(\d+)", item.number).groups() for item in part.items]
        for letters in {letters for letters, _n in numbers}:
            found = [int(n) for its, n in numbers if its == letters]
            assert found == sorted(set(found)), (part.part, letters)


def test_terms_are_told_in_the_language_of_the_report(trial):
    patient = trial.enrol(CELLS, DAY_0)
    trial.treat(patient)
    trial.report(patient, "Headache", 1, DAY_0 + timedelta(days=1))
    with translation.override("zh-hans"):
        part = figures().closed
    for number in ("T6", "T7", "L3"):
        assert any("头痛（Headache）" in row.cells for row in part.item(number).rows), number


def test_an_event_entered_in_error_counts_nowhere(trial):
    patient = trial.enrol(CELLS, DAY_0)
    trial.treat(patient)
    trial.report(patient, "Phantom", 4, DAY_0, is_withdrawn=True)
    assert "Phantom" not in everything(figures().open)


def test_no_serious_event_is_told_with_what_it_proves(trial):
    for arm, n in ((CELLS, 7), (WATER, 6)):
        for _ in range(n):
            trial.treat(trial.enrol(arm, DAY_0))
    made = figures()
    assert made.open.item("L1").notes == (
        "None of 13 (all patients together): the true rate may be up to 20.6 % (one-sided 95 % upper limit; exact "
        "two-sided 95 % interval 0.0–24.7 %).",
    )
    assert made.closed.item("L2").notes[1].startswith("None of 7 (group B): the true rate may be up to 34.8 %")
    assert rows(made.closed.item("T9"))["Serious"] == (
        "0/6, 0.0 % (0.0–45.9; < 39.3)", "0/7, 0.0 % (0.0–41.0; < 34.8)", "0/13, 0.0 % (0.0–24.7; < 20.6)",
    )  # fmt: skip


def test_a_death_is_listed_with_its_last_infusion(trial):
    patient = trial.enrol(CELLS, DAY_0)
    trial.treat(patient)
    died_on = DAY_0 + timedelta(days=20)
    trial.report(patient, "Sepsis", 5, died_on, is_fatal=True, is_ongoing=False, ended_on=died_on, outcome="fatal")
    trial.end(patient, State.DIED, died_on)
    made = figures()
    (row,) = made.open.item("L2").rows
    assert row.cells[1:] == (
        "2026-03-22 (day 20)", "no. 1 on 2026-03-02, 20 days before", "Sepsis (not related)",
    )  # fmt: skip
    assert made.closed.item("L2").rows[0].cells[1] == "B"
    assert made.open.item("L2").notes == ()


def test_events_of_interest_are_counted(trial):
    patient = trial.enrol(CELLS, DAY_0)
    trial.treat(patient)
    trial.report(patient, "deep vein thrombosis", 2, DAY_0)
    assert rows(figures().open.item("T6"), "Overview")["Of interest: Thrombosis"] == (
        "1 (100.0)",
        "1",
    )


OF_INTEREST = [
    {"code": "REACTION", "name": "Infusion reaction", "terms": ["Anaphylaxis"], "reactions": True},
    {"code": "CLOT", "name": "Thrombosis", "terms": ["Deep vein thrombosis"]},
]


def test_an_event_that_belongs_to_a_reaction_is_of_interest_and_only_the_closed_part_says_so(monkeypatch):
    trial = SmallTrial(in_force(monkeypatch, small_protocol(events_of_interest=OF_INTEREST)))
    draw_arm_letters(by=trial.by)
    patient = trial.enrol(CELLS, DAY_0)
    infusion = trial.infuse(trial.visit(patient, "W0", DAY_0), 1, reaction_grades=(2, 2))
    first, _not_reported = Reaction.objects.filter(infusion=infusion).order_by("pk")
    chills = trial.report(patient, "Chills", 2, DAY_0)
    trial.report(patient, "Headache", 1, DAY_0)
    with acting(trial.by):
        link = ResultOfEvent.objects.create(
            patient=patient, event=chills, reaction=first, grade=2, judged_by=trial.by, protocol_version="1.0"
        )
    made = figures()
    of_interest = "Of interest: Infusion reaction"
    assert rows(made.closed.item("T6"), "Overview")[of_interest][-2:] == ("1 (100.0)", "1")
    assert of_interest not in rows(made.open.item("T6"), "Overview")
    assert (
        made.closed.item("T6")
        .notes[-1]
        .endswith("Reactions that were not reported as adverse events are in T11 alone.")
    )
    assert made.open.item("T6").notes[-1] == "Of interest, in the closed part alone: Infusion reaction."
    with acting(trial.by, "for this test"):
        ResultOfEvent.objects.filter(pk=link.pk).update(is_withdrawn=True)
    assert rows(figures().closed.item("T6"), "Overview")[of_interest][-2:] == ("0 (0.0)", "0")


# --- measurements


def test_the_laboratory_summary_has_median_range_and_flags_by_visit(trial, monkeypatch):
    monkeypatch.setattr(counting, "FEWEST", 1)
    for arm, alt in ((CELLS, 20), (CELLS, 31), (WATER, 90)):
        patient = trial.enrol(arm, DAY_0)
        trial.measure(trial.visit(patient, "W0", DAY_0), ALT=alt, HIVRNA="<50")
        trial.measure(trial.visit(patient, "U1", DAY_0 + timedelta(days=9), scheduled=False), ALT=10)
    trial.measure(trial.visit(trial.screen(DAY_0), "SCR", DAY_0, start=DAY_0), ALT=77)  # never randomised
    made = figures()
    assert rows(made.open.item("T8"), "ALT (U/L)") == {
        "Week 0": ("3", "31.0 (20–90)", "0/1/0"), "Unscheduled visits": ("3", "10.0 (10–10)", "0/0/0"),
    }  # fmt: skip
    assert rows(made.open.item("T8"), "HIV-1 RNA (copies/mL)")["Week 0"] == ("3", "50.0 (50–50)", "0/0/3")
    assert rows(made.closed.item("T8"), "ALT (U/L)")["Week 0"] == (
        "1", "90.0 (90–90)", "0/1/0", "2", "25.5 (20–31)", "0/0/0", "3", "31.0 (20–90)", "0/1/0",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("graded", "order"),
    [({"ALT"}, ["ALT", "CD4", "HIV-1", "Weight"]), (set(), ["CD4", "HIV-1", "Weight", "ALT"])],
)  # fmt: skip
def test_panels_of_which_most_tests_are_graded_stand_first_in_the_laboratory_summary(monkeypatch, graded, order):
    """The protocol says which: nothing is listed here or in the code."""
    parts = small_protocol().model_dump(exclude_unset=True)
    tests = [{**test, "grade_rows": ("alt_high",) if test["code"] in graded else ()} for test in parts["tests"]]
    panels = [
        {"code": "IMMUNE", "name": "Immune", "tests": ("CD4", "HIVRNA", "WEIGHT")},
        {"code": "LIVER", "name": "Liver", "tests": ("ALT",)},
    ]
    visits = [{**visit, "panels": ("IMMUNE", "LIVER")} for visit in parts["visits"]]
    trial = SmallTrial(in_force(monkeypatch, small_protocol(tests=tests, panels=panels, visits=visits)))
    visit = trial.visit(trial.enrol(CELLS, DAY_0), "W0", DAY_0)
    trial.measure(visit, panel="IMMUNE", CD4=1, HIVRNA=1, WEIGHT=1)
    trial.measure(visit, panel="LIVER", ALT=1)
    told = [row.cells[0] for row in figures_of_open().item("T8").rows if row.kind == "heading"]
    assert [name.split()[0] for name in told] == order


def figures_of_open():
    return open_part(read_snapshot(CUTOFF, datetime(2026, 7, 1, tzinfo=UTC), date(2026, 7, 1)))


def test_the_trend_has_a_line_for_each_patient_and_a_median_for_each_letter(trial):
    for arm, values in ((CELLS, (100, 140)), (CELLS, (200, 260)), (WATER, (150, 155))):
        patient = trial.enrol(arm, DAY_0)
        for code, day, value in zip(("W0", "W4"), (0, 28), values, strict=True):
            trial.measure(trial.visit(patient, code, DAY_0 + timedelta(days=day)), CD4=value)
    made = figures()
    lines = made.closed.item("F3").lines
    assert {(line.group, line.points, line.counts) for line in lines if line.role == "median"} == {
        ("A", ((0, 150.0), (28, 155.0)), (1, 1)), ("B", ((0, 150.0), (28, 200.0)), (2, 2)),
    }  # fmt: skip
    assert sorted(line.group for line in lines if line.role == "patient") == ["A", "B", "B"]
    with pytest.raises(KeyError):  # of fewer than five there is no median for everybody to read
        made.open.item("F3")


def test_the_open_part_sums_nothing_up_of_fewer_than_five_and_draws_no_single_patient(trial):
    for n in range(5):
        patient = trial.enrol(CELLS, DAY_0)
        trial.measure(trial.visit(patient, "W0", DAY_0), CD4=100 + n)
        if n < 4:
            trial.measure(trial.visit(patient, "W4", DAY_0 + timedelta(days=28)), CD4=200)
    made = figures()
    cd4 = rows(made.open.item("T8"), "CD4 T cells (cells/µL)")
    assert cd4 == {"Week 0": ("5", "102.0 (100–104)", "0/0/0"), "Week 4": ("4", "*", "*")}
    assert "*: of fewer than 5 results nothing is summed up." in made.open.item("T8").notes
    assert rows(made.closed.item("T8"), "CD4 T cells (cells/µL)")["Week 4"][:2] == ("4", "200.0 (200–200)")
    lines = made.open.item("F3").lines
    assert {line.role for line in lines} == {"quartile", "median"}
    assert [line.points for line in lines if line.role == "median"] == [((0, 102.0),)]


def test_rebounds_of_the_viral_load_are_told_by_size_and_by_being_seen_twice(trial):
    for arm, loads in ((CELLS, (60, 300)), (CELLS, (5000, "<50")), (WATER, ("<50", "<50")), (WATER, ())):
        patient = trial.enrol(arm, DAY_0)
        trial.measure(trial.visit(patient, "W0", DAY_0), HIVRNA=9000)  # before treatment: no rebound
        for code, day, load in zip(("W4", "U1"), (28, 40), loads, strict=False):
            visit = trial.visit(patient, code, DAY_0 + timedelta(days=day), scheduled=code != "U1")
            trial.measure(visit, HIVRNA=load)
    table = figures().closed.item("T14")
    # A, the water: one patient with results; B, the cells: two
    assert rows(table)["Highest result after day 0"] == (
        "1", "0 (0.0)", "0 (0.0)", "0 (0.0)", "2", "2 (100.0)", "2 (100.0)", "1 (50.0)",
        "3", "2 (66.7)", "2 (66.7)", "1 (33.3)",
    )  # fmt: skip
    assert rows(table)["Two results in a row after day 0"][4:8] == ("2", "1 (50.0)", "0 (0.0)", "0 (0.0)")
    assert rows(table, "By visit")["Week 4"][-4:] == ("3", "2 (66.7)", "1 (33.3)", "1 (33.3)")


def test_many_patients_are_drawn_as_a_band(trial, monkeypatch):
    monkeypatch.setattr(measurements, "MOST_LINES", 1)
    monkeypatch.setattr(counting, "FEWEST", 1)
    for value in (100, 200):
        trial.measure(trial.visit(trial.enrol(CELLS, DAY_0), "W0", DAY_0), CD4=value)
    assert [line.role for line in figures().closed.item("F3").lines] == ["quartile", "quartile", "median"]


def grade(trial, patient, code, on, grade, way="H", test="ALT", value=1):
    panel = trial.measure(trial.visit(patient, code, on, scheduled=not code.startswith("U")), **{test: value})
    with acting(trial.by, "graded"):
        panel.measurements.filter(test=test).update(
            grade=grade, grade_direction=way if grade else "", grade_scale="DAIDS", grade_scale_version="2.1",
            baseline_grade=0, reported_unit="U/L", reported_high=Decimal("40.5"),
        )  # fmt: skip


def test_grades_are_told_by_the_worst_after_day_0_and_by_their_shift(trial):
    for arm, at_baseline, after in ((CELLS, 0, (1, 3)), (CELLS, 1, (1, 0)), (WATER, 0, (0, 0)), (WATER, 2, (2, 4))):
        patient = trial.enrol(arm, DAY_0)
        grade(trial, patient, "W0", DAY_0, at_baseline)
        for place, one in enumerate(after, 1):
            grade(trial, patient, f"U{place}", DAY_0 + timedelta(days=place), one)
    without_baseline = trial.enrol(CELLS, DAY_0)
    grade(trial, without_baseline, "U1", DAY_0 + timedelta(days=5), 1)
    made = figures()
    # A, the water: grades 0 and 4; B, the cells: 3, 1, 1
    assert rows(made.closed.item("T12"))["ALT, high"] == (
        "2", "·", "·", "·", "1", "3", "2", "·", "1", "·", "5", "2", "·", "1", "1",
    )  # fmt: skip
    assert rows(made.open.item("T13"), "ALT, high") == {
        "Grade 0": ("1", "·", "·", "1", "·"), "Grade 1": ("·", "1", "·", "·", "·"),
        "Grade 2": ("·", "·", "·", "·", "1"), "Not graded": ("·", "1", "·", "·", "·"),
    }  # fmt: skip
    assert made.open.about.scales == "DAIDS 2.1"
    listed = [row.cells[1:] for row in made.open.item("L4").rows]
    assert listed == [
        ("ALT", "2026-03-04 (day 2)", "1 U/L", "≤ 40.5", "3 high", "0", "–"),
        ("ALT", "2026-03-03 (day 1)", "1 U/L", "≤ 40.5", "2 high", "0", "–"),
        ("ALT", "2026-03-04 (day 2)", "1 U/L", "≤ 40.5", "4 high", "0", "–"),
    ]


def test_low_and_high_grades_of_a_test_do_not_mix(trial):
    patient = trial.enrol(CELLS, DAY_0)
    grade(trial, patient, "W0", DAY_0, 3, "L")
    grade(trial, patient, "U1", DAY_0 + timedelta(days=1), 2, "H")
    table = figures().open.item("T13")
    assert rows(table, "ALT, high") == {"Grade 0": ("·", "·", "1", "·", "·")}
    assert rows(figures().open.item("T12"))["ALT, low"] == ("1", "·", "·", "·", "·")


def graded_panel(trial, patient, on, grade, *, at=None, to_confirm=False, baseline=None, value=1):
    """An ALT of this grade, collected on a day at a time of the site."""
    code = f"U{Visit.objects.count()}"
    panel = trial.measure(trial.visit(patient, code, on, scheduled=False), ALT=value)
    with acting(trial.by, "graded"):
        PanelRecord.objects.filter(pk=panel.pk).update(collected_at=at)
        panel.measurements.update(
            grade=grade, grade_direction="H" if grade else "", grade_is_to_confirm=to_confirm, baseline_grade=baseline
        )
    return panel


# the infusion begins at 10:00 by the clock of the site: (when, whether that is after it)
HOURS = [(None, False), (time(9, 59), False), (time(10), False), (time(10, 1), True), (time(16), True)]


@pytest.mark.parametrize(("at", "is_after"), HOURS)
def test_a_result_of_day_0_is_parted_from_the_baseline_by_the_hour_of_the_first_infusion(trial, at, is_after):
    patient = trial.enrol(CELLS, DAY_0)
    trial.treat(patient)
    graded_panel(trial, patient, DAY_0 - timedelta(days=1), 1, value=11)
    graded_panel(trial, patient, DAY_0, 4, at=at, baseline=1, value=44)
    graded_panel(trial, patient, DAY_0 + timedelta(days=9), 0, value=10)
    made = figures().open
    assert rows(made.item("T12"))["ALT, high"] == ("1", "·", "·", "·", "1" if is_after else "·")
    assert [row.cells[1:4] for row in made.item("L4").rows] == [("ALT", "2026-03-02 (day 0)", "44")] * is_after
    if is_after:
        assert rows(made.item("T13"), "ALT, high") == {"Grade 1": ("·", "·", "·", "·", "1")}
    else:
        assert made.item("T13").rows == ()


@pytest.mark.parametrize(("at", "is_after"), HOURS)
def test_the_baseline_and_the_rebound_of_the_viral_load_part_day_0_likewise(trial, at, is_after):
    patient = trial.enrol(CELLS, DAY_0)
    visit = trial.treat(patient)
    trial.measure(trial.visit(patient, "SCR", DAY_0 - timedelta(days=14)), HIVRNA=20)
    panel = trial.measure(visit, HIVRNA=900)
    with acting(trial.by, "at this time"):
        PanelRecord.objects.filter(pk=panel.pk).update(collected_at=at)
    made = figures().open
    assert rows(made.item("T4"), "HIV-1 RNA (copies/mL)")["Min–max"] == ("20–20" if is_after else "900–900",)
    assert ("Highest result after day 0" in rows(made.item("T14"))) == is_after


def test_a_fever_while_an_infusion_runs_is_in_the_results_and_no_baseline(trial):
    patient = trial.enrol(CELLS, DAY_0)
    trial.treat(patient)
    with acting(trial.by):
        for minute, typed, grade in ((0, "41", 4), (30, "39.6", 3)):
            Measurement.objects.create(
                patient=patient, infusion=Infusion.objects.get(), minute=minute, test="TEMP", typed=typed, reported_unit="°C",
                value=Decimal(typed), collected_on=DAY_0, grade=grade, grade_direction="H", grade_is_to_confirm=minute > 0,
            )  # fmt: skip
    made = figures()
    # that of minute 0 was taken as the infusion began: before it
    assert rows(made.open.item("T12"))["Temperature (at infusions), high"] == ("1", "·", "·", "1", "·")
    assert made.open.item("T13").rows == ()
    (told,) = made.open.item("L4").rows
    assert told.cells[1:] == ("Temperature", "2026-03-02 (day 0)", "39.6 °C", "–", "3? high", "–", "–")
    (told,) = made.closed.item("L4").rows
    assert told.cells[1:4] == ("B", "Temperature", "2026-03-02 (day 0), infusion 1, minute 30")
    assert "minute 30" not in everything(made.open)


def test_grades_that_wait_for_an_answer_are_marked_and_counted(trial):
    patient = trial.enrol(CELLS, DAY_0)
    graded_panel(trial, patient, DAY_0, 0)
    graded_panel(trial, patient, DAY_0 + timedelta(days=1), 3, baseline=0)
    graded_panel(trial, patient, DAY_0 + timedelta(days=2), 4, to_confirm=True, baseline=0)
    other = trial.enrol(WATER, DAY_0)
    graded_panel(trial, other, DAY_0, 2, to_confirm=True)
    for day, to_confirm in ((1, True), (2, False)):  # the same grade, confirmed once: it stands
        graded_panel(trial, other, DAY_0 + timedelta(days=day), 3, to_confirm=to_confirm, baseline=2)
    made = figures().open
    assert [row.cells[-3] for row in made.item("L4").rows] == ["3 high", "4? high", "3? high", "3 high"]
    assert made.item("L4").notes[-1] == (
        "?: the grade is proposed, and waits for an investigator's confirmation (2 of 4 results)."
    )
    assert made.item("T12").notes[-1].startswith("1 of the 2 grades above 0")
    assert made.item("T13").notes[-1].startswith("2 of the 3 grades above 0")


RULES_OF_GRADES = [
    # the protocol's rule, and which of the results it lists: (grade, grade at baseline)
    ({"propose_from_grade": 3, "propose_worse_from_grade": 2}, [(2, 1), (2, None), (3, 3), (3, None)]),
    ({"propose_from_grade": 3}, [(3, 3), (3, None)]),
    ({"propose_worse_from_grade": 1}, [(1, 0), (1, None), (2, 1), (2, None), (3, None)]),
    ({"propose_from_grade": 2}, [(2, 1), (2, None), (2, 2), (3, 3), (3, None)]),
    ({}, [(2, 1), (2, None), (3, 3), (3, None)]),  # it has none: the usual one
]  # fmt: skip


@pytest.mark.parametrize(("rule", "listed"), RULES_OF_GRADES)
def test_results_are_listed_by_the_protocols_rule(monkeypatch, rule, listed):
    trial = SmallTrial(in_force(monkeypatch, small_protocol(grading={"scale": "daids-2.1", **rule})))
    draw_arm_letters(by=trial.by)
    patient = trial.enrol(CELLS, DAY_0)
    for place, (grade, baseline) in enumerate(
        [(1, 0), (1, None), (1, 1), (2, 1), (2, None), (2, 2), (3, 3), (3, None)], 1
    ):
        graded_panel(trial, patient, DAY_0 + timedelta(days=place), grade, baseline=baseline)
    table = figures().open.item("L4")
    assert [(row.cells[-3], row.cells[-2]) for row in table.rows] == [
        (f"{grade} high", "–" if baseline is None else str(baseline)) for grade, baseline in listed
    ]
    for grade in rule.values():
        assert f"grade {grade} or worse" in table.notes[0]


BECAME = [
    # what was done of a result of grade 3, what the board is told
    ("nothing", {}, "not judged yet"),
    ("linked", {}, "Raised ALT (no. 1)"),
    ("linked", {"term": "Alanine aminotransferase increased"}, "Alanine aminotransferase increased (no. 1)"),
    ("linked", {"is_withdrawn": True}, "not judged yet"),
    ("linked", {"began_on": CUTOFF + timedelta(days=1)}, "not judged yet"),
    ("declined", {}, "judged to be none"),
    ("declined at a milder grade", {}, "not judged yet"),
    ("an earlier one of the same row linked", {}, "Raised ALT (no. 1)"),
    ("an earlier one of the same row linked", {"is_ongoing": False, "ended_on": DAY_0 + timedelta(days=4)}, "not judged yet"),
]  # fmt: skip


@pytest.mark.parametrize(("done", "event", "told"), BECAME)
def test_the_board_is_told_what_became_of_a_result_and_in_no_words_of_a_site(monkeypatch, done, event, told):
    grading = {"scale": "daids-2.1", "propose_from_grade": 3}
    trial = SmallTrial(in_force(monkeypatch, small_protocol(grading=grading)))
    draw_arm_letters(by=trial.by)
    patient = trial.enrol(CELLS, DAY_0)
    panels = [graded_panel(trial, patient, DAY_0 + timedelta(days=day), 3) for day in (2, 6)]
    first, last = (panel.measurements.get() for panel in panels)
    with acting(trial.by, "as if graded"):
        Measurement.objects.update(grade_row="alt_high")
        judged = {"patient": patient, "grade_row": "alt_high", "judged_by": trial.by, "protocol_version": "1.0"}
        about = dict(event)
        if "linked" in done:
            seen = last if done == "linked" else first
            term, began_on = about.pop("term", "Raised ALT"), about.pop("began_on", DAY_0 + timedelta(days=2))
            reported = trial.report(patient, term, 3, began_on, **about)
            ResultOfEvent.objects.create(**judged, measurement=seen, event=reported, grade=3)
        elif "declined" in done:
            grade = 3 if done == "declined" else 2
            DeclinedResult.objects.create(**judged, measurement=last, grade=grade, reason="TYPED, of zebra cells")
    made = figures()
    for part in made.parts:
        assert part.item("L4").rows[-1].cells[-1] == told
        assert "TYPED" not in everything(part)


# --- stopping rules, halts, unmaskings


RULES = [
    {"code": "SAE", "name": "Related grade 3", "kind": "k_of_first_m", "events": 2, "patients": 3, "blocks": ["infuse"],
     "counts": {"least_grade": 3, "related": True}},
    {"code": "ZEBRARULE", "name": "Any death of zebra cells", "kind": "any_event", "blocks": ["infuse"],
     "counts": {"fatal": True}, "arms": [CELLS]},
]  # fmt: skip


def test_the_closed_part_says_where_stopping_rules_stand_without_telling_an_arm(monkeypatch):
    trial = SmallTrial(in_force(monkeypatch, small_protocol(stopping_rules=RULES)))
    draw_arm_letters(by=trial.by)
    for arm in (CELLS, CELLS, WATER):
        patient = trial.enrol(arm, DAY_0)
        trial.treat(patient)
        trial.report(patient, "Rash", 3, DAY_0 + timedelta(days=1), relationship="possible")
    later = trial.enrol(CELLS, DAY_0 + timedelta(days=1))
    trial.treat(later)
    trial.report(later, "Fever", 5, CUTOFF + timedelta(days=1), is_fatal=True)
    made = figures()
    table = made.closed.item("T15")
    assert [row.cells for row in table.rows] == [
        ("Rule 1: Related grade 3", "3/3 (100.0)", "2", "reached"),
        ("Rule 2: fatal; applied to each group alike", "", "", ""),
        ("Group A", *("0/1 (0.0)" if letter_of(WATER) == "A" else "0/3 (0.0)",), "1", "not reached"),
        ("Group B", *("0/1 (0.0)" if letter_of(WATER) == "B" else "0/3 (0.0)",), "1", "not reached"),
    ]
    assert "zebra" not in everything(made.closed).lower()
    with pytest.raises(KeyError):
        made.open.item("T15")


def letter_of(arm):
    return ArmLetter.objects.get(arm=arm).letter


BAYES = {
    "code": "G3", "kind": "beta_binomial", "name": "Zebra cells, grade 3", "counts": {"least_grade": 3, "related": True},
    "blocks": ["infuse"], "patients": 7, "prior": [Decimal("0.2"), Decimal("1.8")], "acceptable_rate": Decimal("0.10"),
    "confidence": Decimal("0.90"), "arms": [CELLS],
}  # fmt: skip
LOOKS = {
    "code": "LOOK", "kind": "k_of_first_m", "name": "First zebras", "counts": {"least_grade": 3}, "blocks": ["infuse"],
    "events": 2, "patients": 2, "arms": [CELLS], "scope": "arm",
}  # fmt: skip


def a_trial_with(monkeypatch, rules, swapped=False):
    """Three patients with grade 3 in group A, and one without in B, whichever arm the letters stand for."""
    trial = SmallTrial(in_force(monkeypatch, small_protocol(stopping_rules=rules)))
    letters = {"A": WATER, "B": CELLS} if swapped else {"A": CELLS, "B": WATER}
    with acting(trial.by):
        for letter, arm in letters.items():
            ArmLetter.objects.create(arm=arm, letter=letter)
    for place, letter in enumerate("AAAB"):
        patient = trial.enrol(letters[letter], DAY_0 + timedelta(days=place))
        trial.treat(patient)
        if letter == "A":
            trial.report(patient, "Rash", 3, DAY_0 + timedelta(days=place + 1), relationship="possible")
    return trial


def test_a_rule_about_an_arm_shows_where_the_boundary_stands_for_every_group(monkeypatch):
    a_trial_with(monkeypatch, [BAYES, LOOKS])
    told = [row.cells for row in figures().closed.item("T15").rows]
    # Beta(0.2 + 3, 1.8) and Beta(0.2, 1.8 + 1) above 0.1, integrated numerically: 0.99803 and 0.20426
    assert told == [
        ("Rule 1: grade 3 or worse; related; applied to each group alike", "", "", "", ""),
        ("Group A", "3/3 (100.0)", "2", "Pr(p > 10 %) = 0.998, stops above 0.9", "reached"),
        ("Group B", "0/1 (0.0)", "–", "Pr(p > 10 %) = 0.204, stops above 0.9", "not reached"),
        ("Rule 2: grade 3 or worse; applied to each group alike", "", "", "", ""),
        ("Group A", "2/2 (100.0)", "2", "–", "reached"),
        ("Group B", "0/1 (0.0)", "–", "–", "not reached"),
    ]


def test_where_the_boundary_stands_is_the_same_whichever_arm_the_rule_is_made_for(monkeypatch):
    """What the closed part prints of the rules, and all else in it, does not depend on what the letters stand for."""
    made = []
    for swapped in (False, True):
        with transaction.atomic():
            a_trial_with(monkeypatch, [BAYES, LOOKS], swapped)
            made.append(figures().closed.to_json())
            transaction.set_rollback(True)
    assert made[0] == made[1] and b"zebra" not in made[0].lower()


def test_a_rule_about_two_of_three_arms_is_shown_for_each_choice_of_two_groups(monkeypatch):
    arms = [{"code": code, "name": code, "product": f"P{CELLS}"} for code in ("ONE", "TWO", "THREE")]
    rule = {**LOOKS, "arms": ["ONE", "THREE"]}
    trial = SmallTrial(in_force(monkeypatch, small_protocol(arms=arms, stopping_rules=[rule])))
    draw_arm_letters(by=trial.by)
    told = [row.cells[0] for row in figures().closed.item("T15").rows]
    assert told == [
        "Rule 1: grade 3 or worse; applied to each choice of 2 groups alike", "Group A + B", "Group A + C", "Group B + C",
    ]  # fmt: skip


def test_a_rule_that_halts_single_patients_says_whether_any_has_met_it(monkeypatch):
    rule = {"code": "ONE", "kind": "any_event", "name": "No more for this patient", "counts": {"least_grade": 3},
            "blocks": ["infuse"], "scope": "patient"}  # fmt: skip
    a_trial_with(monkeypatch, [rule])
    (told,) = [row.cells for row in figures().closed.item("T15").rows]
    assert told == ("Rule 1: No more for this patient", "3/4 (75.0)", "1", "reached")


def test_a_boundary_that_was_reached_on_the_way_is_told_with_when(monkeypatch):
    rule = {**BAYES, "arms": [], "patients": 20}
    trial = a_trial_with(monkeypatch, [rule])
    for place in range(16):
        trial.treat(trial.enrol(WATER, DAY_0 + timedelta(days=20 + place)))
    (told,) = [row.cells for row in figures().closed.item("T15").rows]
    assert told[1] == "3/20 (15.0)" and told[-1].startswith("reached, at ")


def test_halts_and_unmaskings_are_listed_without_words_that_could_tell_an_arm(trial):
    patient = trial.enrol(CELLS, DAY_0)
    at = datetime(2026, 4, 1, 10, tzinfo=UTC)
    with acting(trial.by):
        Unmasking.objects.create(
            patient=patient, category="pregnancy", explanation="had zebra cells", unmasked_at=at, unmasked_by=trial.by
        )
        for scope, cause in (("trial", "All wait"), ("arm", "Zebra cells wait")):
            Halt.objects.create(
                scope=scope, arm=CELLS if scope == "arm" else "", blocks=["infuse"], cause=cause, opened_at=at,
                opened_by=trial.by,
            )  # fmt: skip
        Halt.objects.create(
            scope="trial", blocks=["infuse"], cause="Any death of zebra cells: 1 of 2", rule="ZEBRARULE",
            cause_told={"text": "Any death of zebra cells: 1 of 2"}, opened_at=at, opened_by=trial.by, decision="Go on",
            lifted_at=datetime(2026, 7, 1, 1, tzinfo=UTC), lifted_by=trial.by,
        )  # fmt: skip
        Halt.objects.create(
            scope="trial", blocks=["infuse"], cause="After the cut-off", opened_by=trial.by,
            opened_at=datetime(2026, 7, 1, 1, tzinfo=UTC),
        )  # fmt: skip
    made = figures()
    causes = {
        "open": ["a person", "a person", "a stopping rule"],
        "closed": ["All wait", "–", "A stopping rule of the protocol was met."],
    }
    for part in made.parts:
        assert [row.cells[-3:] for row in part.item("L5").rows] == [("2026-04-01 10:00", "pregnancy", "–")]
        # the last one was lifted after the cut-off
        assert [(row.cells[3], row.cells[4]) for row in part.item("L6").rows] == [
            (cause, "not lifted") for cause in causes[part.part]
        ]
        assert "zebra" not in everything(part).lower()


def test_the_open_part_has_no_word_that_people_wrote_of_a_halt_or_of_an_infusion(trial):
    """Who is held after an infusion reacted to it, and reactions may all be of one group."""
    patient = trial.enrol(CELLS, DAY_0)
    infusion = trial.infuse(trial.visit(patient, "W0", DAY_0), 1)
    about = {"patient": patient, "infusion": infusion}
    at = datetime(2026, 4, 1, 10, tzinfo=UTC)
    with acting(trial.by):
        for scope, who in (("patient", {"patient": patient}), ("trial", {}), ("arm", {"arm": CELLS})):
            Halt.objects.create(
                scope=scope, **who, blocks=["infuse"], cause=f"TYPED fever of {scope}", opened_at=at, opened_by=trial.by,
                decision="TYPED decision", lifted_at=at, lifted_by=trial.by,
            )  # fmt: skip
        Reaction.objects.create(**about, term="TYPED chills", began_at=infusion.started_at, grade=2)
        Interruption.objects.create(**about, stopped_at=infusion.started_at, cause="TYPED vein")
    made = figures()
    assert "TYPED" not in everything(made.open)
    assert "TYPED fever of patient" in everything(made.closed)
    assert [row.cells[1] for row in made.open.item("L6").rows] == ["one patient", "the whole trial", "one arm"]
    assert made.closed.item("L6").rows[0].cells[1] == patient.number


ITEMS = [
    # what, due in days from the cut-off, resolved in days from it  ->  what the report says, whether it is new or resolved since
    ("Tell the sites", -10, -5, "resolved, 2026-06-25", "resolved since"),
    ("Weigh again", -10, None, "overdue", "–"),
    ("Ask the lab", 0, None, "open", "–"),
    ("Read the letter", None, 3, "open", "–"),
]


def test_what_the_board_asked_for_is_told_with_what_became_of_it(trial):
    def recommend(on, **values):
        return Recommendation.objects.create(
            met_on=on, decision="modify", rationale="x", recorded_by=trial.by, **values
        )

    def instant(days):
        return datetime(2026, 6, 30, 10, tzinfo=UTC) + timedelta(days=days)

    with acting(trial.by, "for this test"):
        effective = recommend(DAY_0, effective_at=instant(-60))
        for text, due, resolved, _state, _since in ITEMS:
            ActionItem.objects.create(
                recommendation=effective, text=text, responsible="Sponsor",
                due_on=CUTOFF + timedelta(days=due) if due is not None else None,
                **({"resolution": "done so", "resolved_at": instant(resolved)} if resolved else {}),
            )  # fmt: skip
        for other in (
            recommend(DAY_0),
            recommend(DAY_0, effective_at=instant(1)),
            recommend(DAY_0, effective_at=instant(-2)),
        ):
            ActionItem.objects.create(recommendation=other, text=f"Of {other.effective_at}", responsible="x")
    wanted = {text: (state, since) for text, _due, _resolved, state, since in ITEMS}
    wanted[f"Of {instant(-2)}"] = ("open", "new")
    for before in (None, Before(CUTOFF - timedelta(days=30), instant(-30), {})):
        snapshot = read_snapshot(CUTOFF, datetime(2026, 7, 9, tzinfo=UTC), CUTOFF)
        snapshot.before = before
        table = action_items(snapshot)
        assert {row.cells[1]: row.cells[4] for row in table.rows} == {
            text: state for text, (state, _) in wanted.items()
        }
        assert [row.cells[4] for row in table.rows][-1] == "resolved, 2026-06-25" and table.rows[-1].cells[
            5
        ] == "done so"
        if before:
            assert {row.cells[1]: row.cells[6] for row in table.rows} == {
                text: since for text, (_, since) in wanted.items()
            }
    assert figures().open.item("C4").rows and figures().closed.item("C4").rows


NO_NAME = ("a stopping rule", "A stopping rule of the protocol was met.")
MET = "Related grade 3: 2 of 3"


@pytest.mark.parametrize(
    ("masking", "code", "about", "opened_by", "cause"),
    [
        ("open", "SAE", {}, "a stopping rule: Related grade 3", MET),  # it counts everybody
        # its name would tell the open part that an event came after an infusion
        ("open", "SAE", {"within_days_of_infusion": 7}, "a stopping rule", MET),
        ("open", "SAE", {"of_interest": ["REACTION"]}, "a stopping rule", MET),
        ("open", "SAE", {"of_interest": ["CLOT"]}, "a stopping rule: Related grade 3", MET),
        ("open", "ZEBRARULE", {}, *NO_NAME),
        ("double", "", {}, *NO_NAME),  # no halt says which, while the trial is masked
    ],
)
def test_the_halt_of_a_rule_that_counts_everybody_is_named(monkeypatch, masking, code, about, opened_by, cause):
    the_trial = small_protocol().trial.model_dump() | {"masking": masking}
    rules = [RULES[0] | {"counts": RULES[0]["counts"] | about}, RULES[1]]
    protocol = small_protocol(trial=the_trial, stopping_rules=rules, events_of_interest=OF_INTEREST)
    trial = SmallTrial(in_force(monkeypatch, protocol))
    draw_arm_letters(by=trial.by)
    with acting(trial.by):
        Halt.objects.create(
            scope="trial", blocks=["infuse"], cause=MET, rule=code, protocol_version="1.0",
            cause_told={"template": "%(rule)s: 2 of 3", "values": {"rule": "Related grade 3"}}, opened_by=trial.by,
            opened_at=datetime(2026, 4, 1, 10, tzinfo=UTC),
        )  # fmt: skip
    made = figures()
    assert [made.item("L6").rows[0].cells[3] for made in (made.open, made.closed)] == [opened_by, cause]


def test_deviations_are_counted_by_category(trial):
    first, second = trial.enrol(CELLS, DAY_0), trial.enrol(WATER, DAY_0)
    with acting(trial.by):
        for place, (patient, category, values) in enumerate(
            ((first, "dose", {"is_important": True}), (first, "dose", {"effect_on_safety": "Chills"}),
             (second, "consent", {}), (second, "dose", {"is_withdrawn": True}),
             (second, "dose", {"began_on": CUTOFF + timedelta(days=1)}))
        ):  # fmt: skip
            Deviation.objects.create(**{
                "patient": patient, "sequence": place, "category": category, "began_on": DAY_0, "discovered_on": DAY_0,
                "description": "x", "is_important": False, "reported_by": trial.by, **values,
            })  # fmt: skip
    table = rows(figures().open.item("T3"))
    assert table["Any deviation"] == ("2 (100.0)", "3")
    assert table["Important"] == ("1 (50.0)", "1") == table["With an effect on the patient's safety"]
    assert table["dose"] == ("1 (50.0)", "2") and table["informed consent"] == ("1 (50.0)", "1")
    assert table["Corrective action not completed"] == ("2 (100.0)", "3")


def test_visit_windows_and_how_current_the_data_are(trial):
    patient = trial.enrol(CELLS, DAY_0)
    on_time = trial.measure(trial.visit(patient, "W0", DAY_0), CD4=1)
    late = trial.measure(trial.visit(patient, "W4", DAY_0 + timedelta(days=40)), CD4=1)
    with acting(trial.by, "entered"):
        for panel, days in ((on_time, 2), (late, 10)):
            panel.entered_at = datetime(2026, 3, 2, 3, tzinfo=UTC) + timedelta(days=days if panel is on_time else 50)
            panel.save()
    event = trial.report(patient, "Fever", 1, DAY_0)
    with acting(trial.by, "reported"):
        event.reported_at = event.aware_at + timedelta(days=3)
        event.save()
    made = figures().open
    assert rows(made.item("DQ3")) == {
        "Week 0": ("1", "1 (100.0)", "1 (100.0)", "0 (0.0)", "0 (0.0)"),
        "Week 4": ("1", "1 (100.0)", "0 (0.0)", "0 (0.0)", "0 (0.0)"),
        "All visits": ("2", "2 (100.0)", "1 (50.0)", "0 (0.0)", "0 (0.0)"),
    }
    assert rows(made.item("DQ4"))["All sites"] == ("2", "6 [4–8]", "1 (50.0)", "1", "3 [3–3]", "0 (0.0)")


# --- the introduction, and strata


def test_the_introduction_tells_design_visits_rules_and_reporting_of_events(monkeypatch):
    duty = {"code": "S", "name": "Sponsor", "to": "sponsor", "owed_by": "site", "events": "serious", "hours": 24}
    in_force(monkeypatch, small_protocol(
        stopping_rules=[*RULES, BAYES], safety_reporting=[duty],
        grading={"scale": "daids-2.1", "propose_from_grade": 3},
        allocation={"method": "permuted_blocks", "block_sizes": [2], "strata": [{"code": "SEX", "by": "sex"}]},
    ))  # fmt: skip
    SmallTrial(small_protocol())
    draw_arm_letters(by=User.objects.system())
    for part in figures().parts:
        synopsis = rows(part.item("I1"))
        assert synopsis["Design"] == ("I; double-masked; 2 groups; allocated 1 : 1",)
        assert synopsis["Randomisation stratified by"] == ("sex",)
        assert synopsis["Inclusion"] == ("CD4 at most 250; RNA at most 50",)
        assert rows(part.item("I2"))["Week 4"] == ("28", "25…31", "2", "Blood")
        assert [row.cells for row in part.item("I3").rows] == [
            ("Rule 1: Related grade 3", "grade 3 or worse; related", "all treated patients",
             "So many of the first patients: 2 of 2 to 3 patients", "the whole trial: infusions"),
            ("Rule 2", "fatal", "patients of 1 group", "at the first such event", "the whole trial: infusions"),
            ("Rule 3", "grade 3 or worse; related", "patients of 1 group",
             "Beta-binomial (Bayesian): 2 of 2 to 5; 3 of 6 and more patients", "the whole trial: infusions"),
        ]  # fmt: skip
        reporting = rows(part.item("I4"))
        assert reporting["Sponsor"] == ("within 24 hours",)
        assert reporting["Grading"] == ("by DAIDS 2.1",)
        assert reporting["Results that propose an adverse event"][0].endswith("of grade 3 or worse.")
        assert "zebra" not in everything(part).lower()


def stratified(monkeypatch):
    allocation = {"method": "permuted_blocks", "block_sizes": [2], "strata": [{"code": "SITE", "by": "site"}]}
    trial = SmallTrial(in_force(monkeypatch, small_protocol(allocation=allocation)))
    with acting(trial.by):
        ArmLetter.objects.create(arm=CELLS, letter="B")
        ArmLetter.objects.create(arm=WATER, letter="A")
    other = trial.add_site("S2", "Second hospital")
    for place in range(7):
        site = trial.site if place < 5 else other
        patient = trial.enrol(CELLS, DAY_0, site=site, stratum=site.code)
        trial.treat(patient)
        if place in (0, 1, 6):
            trial.report(patient, "Fever", place + 2 if place < 2 else 4, DAY_0, is_hospitalisation=place == 6)
    return trial


def test_safety_is_told_by_stratum_and_not_of_few_patients_in_the_open_part(monkeypatch):
    stratified(monkeypatch)
    made = figures()
    assert rows(made.open.item("T16")) == {
        "S1 First hospital": ("5", "2 (40.0)", "1 (20.0)", "0 (0.0)"), "S2 Second hospital": ("2", "*", "*", "*"),
        "All strata": ("7", "3 (42.9)", "2 (28.6)", "1 (14.3)"),
    }  # fmt: skip
    assert made.open.item("T16").notes[-1] == "*: of fewer than 5 patients nothing is summed up."
    assert rows(made.closed.item("T16"))["S2 Second hospital"] == (
        "2", "1 (50.0)", "1 (50.0)", "1 (50.0)", "2", "1 (50.0)", "1 (50.0)", "1 (50.0)",
    )  # fmt: skip


def test_a_trial_without_strata_has_no_table_of_them(trial):
    fill(trial)
    with pytest.raises(KeyError):
        figures().open.item("T16")


# --- what must not be told, and what must stay so


def test_the_open_part_has_no_action_taken_no_infusion_of_an_event_and_no_reaction(trial):
    for term, action in (("Chill", "drug_withdrawn"), ("Shiver", "drug_interrupted")):
        patient = trial.enrol(CELLS, DAY_0)
        trial.treat(patient, interrupted=True, reaction_grades=[3])
        event = trial.report(
            patient,
            term,
            3,
            DAY_0,
            action_taken=action,
            is_hospitalisation=True,
            infusion_number=1,
            relationship="related",
        )
    before = Before(CUTOFF - timedelta(days=30), datetime(2026, 5, 31, tzinfo=UTC), read_patients(CUTOFF))
    with acting(trial.by, "changed"):
        AdverseEvent.objects.filter(pk=event.pk).update(action_taken="dose_not_changed")
    snapshot = read_snapshot(CUTOFF, datetime(2026, 7, 1, tzinfo=UTC), date(2026, 7, 1))
    snapshot.before = before
    made = compute_figures(snapshot, read_arms(snapshot.patients, CUTOFF))
    actions = {str(label) for _value, label in AdverseEvent._meta.get_field("action_taken").choices}
    for part, is_told in ((made.open, False), (made.closed, True)):
        cells = {cell for item in part.items if isinstance(item, Table) for row in item.rows for cell in row.cells}
        titles = {column.title for item in part.items if isinstance(item, Table) for column in item.columns}
        assert bool(cells & actions) == is_told
        assert ({"Action", "After infusion"} <= titles, bool({"Action", "After infusion"} & titles)) == (
            is_told,
            is_told,
        )
        assert any("action: " in cell for cell in cells) == is_told
        assert ("Treatment withdrawn" in cells, "Within 7 days of an infusion" in cells) == (is_told, is_told)
        assert any("Interrupted" in cell for cell in cells) == is_told
        assert ("T11" in [item.number for item in part.items]) == is_told


def fill(trial, n=2):
    for arm in (CELLS, WATER) * n:
        patient = trial.enrol(arm, DAY_0, art_since="2019-05")
        trial.measure(trial.visit(patient, "SCR", DAY_0 - timedelta(days=14)), CD4=120, HIVRNA="<50", WEIGHT=60)
        visit = trial.treat(patient, reaction_grades=[1], interrupted=True)
        trial.ask(trial.measure(visit, CD4=130, ALT=80), date(2026, 6, 1))
        trial.report(patient, "Fever", 2, DAY_0 + timedelta(days=1), is_hospitalisation=True)


def test_neither_part_names_an_arm_and_the_open_part_has_no_group(trial):
    fill(trial)
    made = figures()
    for part in made.parts:
        for arm, name in ARMS.items():
            assert arm not in everything(part) and name not in everything(part)
            assert f"P{arm}" not in everything(part) and f"LOT-P{arm}" not in everything(part)
    for item in made.open.items:
        if isinstance(item, Table):
            words = [column.title for column in item.columns] + [column.group for column in item.columns]
            assert not any(word == "Group" or word.startswith(("A (", "B (")) for word in words)
        else:
            assert {line.group for line in item.lines} == {""}
    assert {"A (N = 2)", "B (N = 2)"} <= {column.group for column in made.closed.item("T6").columns}


def test_the_open_part_is_the_same_whatever_arm_a_patient_is_in(trial):
    made = []
    for arms in ((CELLS, WATER, WATER), (WATER, CELLS, CELLS)):
        with transaction.atomic():
            other = SmallTrial(trial.protocol, site_code="S9")
            for arm in arms:
                other.treat(other.enrol(arm, DAY_0))
            made.append(figures())
            transaction.set_rollback(True)
    assert made[0].open.to_json() == made[1].open.to_json()
    assert made[0].closed.to_json() != made[1].closed.to_json()


def test_who_was_randomised_after_the_cutoff_is_in_no_group(trial):
    trial.treat(trial.enrol(WATER, DAY_0))
    later = trial.enrol(CELLS, CUTOFF + timedelta(days=1))
    trial.report(later, "Cough", 1, CUTOFF)
    made = figures().closed
    assert [column.title for column in made.item("T4").columns[1:]] == ["A (N = 1)", "Total (N = 1)"]
    assert [row.cells[1] for row in made.item("L3").rows] == ["–"]


def test_each_arm_gets_one_letter_and_keeps_it(trial):
    before = dict(ArmLetter.objects.values_list("arm", "letter"))
    draw_arm_letters(by=trial.by)
    assert dict(ArmLetter.objects.values_list("arm", "letter")) == before


def test_letters_are_drawn_at_random(monkeypatch):
    protocol = in_force(monkeypatch, small_protocol())
    drawn = []
    monkeypatch.setattr(
        "safety.actions.reports.secrets.SystemRandom.shuffle", lambda self, arms: drawn.append(list(arms))
    )
    draw_arm_letters(by=SmallTrial(protocol).by)
    assert drawn == [sorted(ARMS)]
    assert dict(ArmLetter.objects.values_list("letter", "arm")) == dict(zip("AB", sorted(ARMS), strict=True))


def test_figures_come_back_from_their_json(trial):
    fill(trial)
    for part in figures().parts:
        again = PartFigures.from_json(part.to_json())
        assert again == part
        assert again.to_json() == part.to_json()
    assert json.loads(figures().open.to_json())["about"]["cutoff"] == "2026-06-30"


def test_the_number_of_queries_does_not_grow_with_the_patients(trial, django_assert_num_queries):
    fill(trial, 1)
    with django_assert_num_queries(39):
        figures()
    fill(trial, 5)
    with django_assert_num_queries(39):
        figures()


def test_a_protocol_without_infusions_and_cd4_has_its_report_too(monkeypatch):
    plain = small_protocol(
        infusions=None, eligibility={"inclusion": [{"code": "I1", "text": "Well"}]}, events_of_interest=[],
        tests=[{"code": "ALT", "name": "ALT", "unit": "U/L", "possible": (Decimal(0), Decimal(9999))}],
        panels=[{"code": "BLOOD", "name": "Blood", "tests": ("ALT",)}],
        visits=[{"code": "W0", "name": "Week 0", "day": 0, "phase": "treatment", "panels": ("BLOOD",)}],
        arms=[{"code": code, "name": code, "product": f"P{CELLS}"} for code in ("ONE", "TWO", "THREE")],
    )  # fmt: skip
    in_force(monkeypatch, plain)
    trial = SmallTrial(plain)
    draw_arm_letters(by=trial.by)
    for arm in ("ONE", "TWO", "THREE"):
        patient = trial.enrol(arm, DAY_0)
        trial.report(patient, "Cough", 1, DAY_0)
        trial.measure(trial.visit(patient, "W0", DAY_0), ALT=30)
    made = figures()
    assert rows(made.open.item("T6"), "General disorders")["Cough"] == ("3 (100.0)", "3")
    assert [c.title for c in made.closed.item("T4").columns[1:]] == [
        "A (N = 1)",
        "B (N = 1)",
        "C (N = 1)",
        "Total (N = 3)",
    ]
    open_part = everything(made.open).lower().replace("after infusion", "").replace("last infusion", "")
    assert "infusion" not in open_part
    assert [plot.number for plot in made.open.plots] == ["F2"]
