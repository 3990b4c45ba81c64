"""A report tells what was known at its instant: made again after any number of corrections, it is the same bytes."""

import re
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import InternalError, connection
from django.test.utils import CaptureQueriesContext

from patients.models import Disposition, Patient, State
from safety.actions.reports import draw_arm_letters, request_dsmb_report
from safety.dsmb.compute import compute_figures
from safety.dsmb.figures import PartFigures
from safety.dsmb.past import read_past
from safety.models import AdverseEvent, ArmLetter, DsmbReport, Release, ResultOfEvent
from safety.tasks import make_dsmb_report
from tests.dsmb_data import SmallTrial, in_force, small_protocol
from tests.test_dsmb_figures import fill, rows
from trialsite import outbox
from trialsite.audit import acting
from trialsite.models import JobState, OutboxMessage, Site, User
from trialsite.saving import Refused
from visits.models import Infusion, Measurement, Preparation, Query, Reaction, Visit

pytestmark = pytest.mark.django_db

DAY_0, CUTOFF = date(2026, 3, 2), date(2026, 6, 30)


@pytest.fixture
def trial(monkeypatch):
    monkeypatch.setattr(outbox, "send", lambda message: None)
    trial = SmallTrial(in_force(monkeypatch, small_protocol()))
    fill(trial)
    return trial


def ask(trial, **about):
    return request_dsmb_report(by=trial.by, **({"cutoff": CUTOFF} | about))


def make(report):
    message = OutboxMessage.objects.get(arguments={"report_id": report.pk})
    assert make_dsmb_report(report_id=report.pk, outbox_id=message.pk)
    report.refresh_from_db()
    assert report.state == JobState.DONE, report.failure
    return report


def digests(report):
    return list(report.files.order_by("part", "name").values_list("part", "name", "sha256"))


def figures(report):
    draw_arm_letters(by=report.requested_by)
    snapshot, arms, _ = read_past(report)
    return compute_figures(snapshot, arms)


def shown(report, number, part="open"):
    kept = report.files.get(part=part, name="figures.json").content
    return PartFigures.from_json(kept).item(number)


def correct_everything(trial):
    """A year of work: something is changed in every table that a report is made of, and much is added."""
    with acting(trial.by, "a correction"):
        Site.objects.update(name="Renamed hospital")
        Patient.objects.update(birth_date=date(1950, 1, 1), sex="M")
        AdverseEvent.objects.update(grade=4, term="Corrected term", relationship="related")
        AdverseEvent.objects.filter(pk=AdverseEvent.objects.first().pk).update(is_withdrawn=True)
        Measurement.objects.update(value=Decimal(7), operator="", flag="")
        Visit.objects.update(attended_on=DAY_0 - timedelta(days=3))
        Preparation.objects.update(planned_dose=50)
        Infusion.objects.update(given_percent=10)
        Reaction.objects.update(grade=4)
        Query.objects.update(state="closed")
        patient = Patient.objects.filter(slot__isnull=False).first()
        Disposition.objects.create(patient=patient, state=State.WITHDRAWN, on=DAY_0 + timedelta(days=2))
    fill(trial)


def test_a_report_made_again_after_a_year_of_corrections_is_the_same_bytes(trial):
    first = make(ask(trial))
    correct_everything(trial)
    again = make(ask(trial, cutoff=first.cutoff, entered_until=first.entered_until))
    assert again.pk != first.pk and len(digests(first)) == 20
    assert digests(again) == digests(first)
    assert (again.last_audit_event, again.held_back) == (first.last_audit_event, first.held_back)
    later = make(ask(trial))
    told = dict(((part, name), sha) for part, name, sha in digests(later))
    assert not {(part, name, told[part, name]) for part, name, _ in digests(first)} & set(digests(first))
    assert later.figures_sha256 != first.figures_sha256 == again.figures_sha256


@pytest.mark.parametrize(
    "change",
    [
        lambda: AdverseEvent.objects.update(grade=4),
        lambda: Measurement.objects.filter(test="CD4").update(value=Decimal(7)),
        lambda: Patient.objects.update(birth_date=date(1950, 1, 1)),
        lambda: Infusion.objects.update(given_percent=10),
        lambda: Site.objects.update(name="Renamed hospital"),
    ],
)
def test_a_correction_is_in_the_next_report_alone(trial, change):
    before = ask(trial)
    with acting(trial.by, "a correction"):
        change()
    after = ask(trial)
    assert before.entered_until < after.entered_until
    told = [figures(report).closed.items for report in (before, after)]
    assert told[0] != told[1]
    assert figures(before).closed.items == told[0]


def test_what_was_entered_later_does_not_count_whenever_it_happened(trial):
    report = ask(trial)
    late = trial.enrol("ZEBRAARM", DAY_0)
    trial.report(late, "Cough", 1, DAY_0)
    assert rows(figures(report).open.item("F1"))["Screened"] == ("4",)
    assert rows(figures(ask(trial)).open.item("F1"))["Screened"] == ("5",)


def test_nothing_can_be_written_while_the_past_is_read(trial):
    from trialsite.as_of import CutOff, tables_as_of

    report = ask(trial)
    cutoff = CutOff.at(report.entered_until)
    with pytest.raises(InternalError, match="read-only"), tables_as_of(cutoff, [Patient]), acting(trial.by, "now"):
        Patient.objects.update(sex="M")
    with acting(trial.by, "after it"):
        Patient.objects.update(sex="M")


def test_the_number_of_queries_grows_with_nothing(trial):
    report = ask(trial)
    draw_arm_letters(by=trial.by)

    def queries(report):
        with CaptureQueriesContext(connection) as queries:
            read_past(report)
        return len(queries)

    before = queries(report)
    fill(trial, 5)
    correct_everything(trial)
    assert queries(report) == before == queries(ask(trial))


# --- what a report is of


def test_the_same_report_again_keeps_its_date_and_what_it_is_compared_with(trial):
    earlier = ask(trial, cutoff=CUTOFF - timedelta(days=30))
    first = ask(trial)
    assert first.compared_with == earlier
    with acting(trial.by, "a year passes"):
        DsmbReport.objects.filter(pk=first.pk).update(reported_on=date(2026, 7, 1))
    ask(trial, cutoff=CUTOFF - timedelta(days=10), entered_until=first.entered_until)
    again = ask(trial, entered_until=first.entered_until)
    assert (again.reported_on, again.compared_with, again.series) == (date(2026, 7, 1), earlier, 1)
    assert ask(trial).reported_on == datetime.now(UTC).date()


def release(report, trial, at=None):
    with acting(trial.by):
        Release.objects.create(report=report, released_by=trial.by, **({"released_at": at} if at else {}))


def test_a_report_is_compared_with_the_last_one_that_the_board_got(trial):
    got, *never_seen = (ask(trial, cutoff=CUTOFF - timedelta(days=days)) for days in (90, 60, 30))
    release(got, trial, at=datetime.now(UTC) - timedelta(seconds=1))  # an instant is known to the millisecond
    report = ask(trial)
    assert report.compared_with == got
    assert "had not got" not in " ".join(figures(report).open.item("C1").notes)
    release(never_seen[-1], trial, at=report.entered_until + timedelta(milliseconds=1))
    time.sleep(0.01)
    assert ask(trial).compared_with == never_seen[-1]
    # as of an instant before it was released, the board had only the older one
    assert ask(trial, cutoff=CUTOFF - timedelta(days=1), entered_until=report.entered_until).compared_with == got


def test_a_report_of_the_same_day_tells_what_changed_since_the_one_that_the_board_got(trial):
    first = ask(trial)
    assert ask(trial).compared_with is None, "the board has not got it"
    release(first, trial, at=datetime.now(UTC) - timedelta(seconds=1))
    time.sleep(0.01)
    assert ask(trial).compared_with == first


def test_before_any_is_released_it_is_compared_with_the_last_one_made_which_it_says(trial):
    last = ask(trial, cutoff=CUTOFF - timedelta(days=30))
    report = ask(trial)
    assert report.compared_with == last
    told = figures(report)
    for part in told.parts:
        assert part.item("C1").notes[-1].startswith("The board had not got that report")
    release(last, trial)  # later: the report still says the same
    assert figures(report).open.to_json() == told.open.to_json()
    again = ask(trial, entered_until=report.entered_until)
    assert again.compared_with == last and figures(again).open.to_json() == told.open.to_json()


def test_the_author_is_who_first_asked_by_the_name_of_that_day(trial):
    with acting(trial.by):
        author, other = (User.objects.create(username=name, full_name=f"Dr {name.title()}") for name in ("li", "wang"))
    first = request_dsmb_report(cutoff=CUTOFF, by=author)
    told = figures(first).open.about.author
    with acting(trial.by, "married"):
        User.objects.filter(pk=author.pk).update(full_name="Dr Li-Wang")
    again = request_dsmb_report(cutoff=CUTOFF, entered_until=first.entered_until, by=other)
    assert told == figures(again).open.about.author == "Dr Li"
    assert figures(ask(trial)).closed.about.author == ""  # the system


def test_a_report_is_not_compared_with_one_that_failed_or_knew_more(trial):
    failed = ask(trial, cutoff=CUTOFF - timedelta(days=5))
    with acting(trial.by, "it failed"):
        DsmbReport.objects.filter(pk=failed.pk).update(state=JobState.FAILED)
    instant = datetime.now(UTC) - timedelta(seconds=5)
    ask(trial, cutoff=CUTOFF - timedelta(days=9))
    assert ask(trial, entered_until=instant).compared_with is None


@pytest.mark.parametrize(
    ("cutoff", "until", "at"),
    [
        (date(2099, 1, 1), None, "cutoff"),
        (CUTOFF, datetime(2099, 1, 1, tzinfo=UTC), "entered_until"),
        (CUTOFF, datetime(2026, 6, 29, 23, 59, tzinfo=UTC), "entered_until"),
    ],
)
def test_a_cutoff_that_cannot_be_is_refused(trial, cutoff, until, at):
    with pytest.raises(Refused) as refusal:
        ask(trial, cutoff=cutoff, entered_until=until)
    assert list(refusal.value.errors) == [at]


def test_a_new_series_draws_new_letters_and_leaves_the_old_ones(trial, monkeypatch):
    first = ask(trial)
    make(first)
    monkeypatch.setattr("safety.actions.reports.secrets.SystemRandom.shuffle", lambda self, arms: None)
    second = ask(trial, new_series=True)
    make(second)
    assert (first.series, second.series, ask(trial).series) == (1, 2, 2)
    assert dict(ArmLetter.objects.filter(series=2).values_list("arm", "letter")) == {"QUAGGAARM": "A", "ZEBRAARM": "B"}
    assert ArmLetter.objects.filter(series=1).count() == 2


# --- what changed since the last report


def test_the_next_report_tells_what_changed_since_the_last_one(trial):
    last = ask(trial, cutoff=CUTOFF - timedelta(days=30))
    regraded, withdrawn, *_same = AdverseEvent.objects.order_by("pk")
    new = trial.enrol("ZEBRAARM", CUTOFF - timedelta(days=10))
    trial.treat(new)
    trial.report(new, "Cough", 1, CUTOFF - timedelta(days=9))
    trial.report(Patient.objects.first(), "Ache", 1, DAY_0)
    with acting(trial.by, "corrected"):
        AdverseEvent.objects.filter(pk=regraded.pk).update(grade=3, relationship="possible")
        AdverseEvent.objects.filter(pk=withdrawn.pk).update(is_withdrawn=True)
    trial.end(withdrawn.patient, State.WITHDRAWN, CUTOFF - timedelta(days=3), "moved away")
    report = ask(trial)
    assert report.compared_with == last
    made = figures(report)
    assert rows(made.open.item("C1")) == {
        "Screened patients": ("4 → 5",), "Randomised patients": ("4 → 5",),
        "Patients who received an infusion": ("4 → 5",), "Infusions given": ("4 → 5",), "Completed": ("0 → 0",),
        "Withdrawn or lost to follow-up, of the randomised": ("0 → 1",), "Died": ("0 → 0",),
        "Adverse events": ("4 → 5",), "Related adverse events": ("0 → 1",),
        "Adverse events of grade 3 or worse": ("0 → 1",), "Serious adverse events": ("4 → 3",),
        "Deviations from the protocol": ("0 → 0",),
    }  # fmt: skip
    told = {(row.cells[0], row.cells[2]): row.cells[4:] for row in made.open.item("C2").rows}
    assert told == {
        ("S1-001", "Fever"): ("changed", "grade: 2 → 3; relationship: not related → possible"),
        ("S1-001", "Ache"): ("new, entered late", "grade 1; not related; recovering"),
        ("S1-002", "Fever"): ("no longer counted", "grade 2; serious; not related; recovering"),
        ("S1-005", "Cough"): ("new", "grade 1; not related; recovering"),
    }
    assert [row.cells for row in made.open.item("C3").rows] == [
        ("S1-002", "withdrawn", "2026-06-27", "moved away"), ("S1-005", "randomised", "2026-06-20", ""),
    ]  # fmt: skip
    # why somebody left, in people's own words, does not stand beside a letter
    assert [(row.cells[0], *row.cells[2:]) for row in made.closed.item("C3").rows] == [
        ("S1-002", "withdrawn", "2026-06-27"), ("S1-005", "randomised", "2026-06-20"),
    ]  # fmt: skip
    assert "moved away" not in made.closed.to_json().decode()
    closed = made.closed.item("C1")
    assert [column.title for column in closed.columns] == ["", "A", "B", "Total"]
    assert "Screened patients" not in rows(closed)
    assert {row.cells[1] for row in made.closed.item("C2").rows} <= {"A", "B"}


def test_the_first_report_says_that_it_is_the_first(trial):
    table = figures(ask(trial)).open.item("C1")
    assert table.rows == () and table.empty == "This is the first report."


def test_the_numbers_are_the_same_in_both_languages(trial):
    report = make(ask(trial))
    number = re.compile(r"[\d.,/()–;<%→ *·-]+")
    for part in ("open", "closed"):
        english, chinese = (
            PartFigures.from_json(report.files.get(part=part, name=f"figures{language}.json").content)
            for language in ("", ".zh-hans")
        )
        assert english.about.language == "en" and chinese.about.language == "zh-Hans"
        assert [item.number for item in english.items] == [item.number for item in chinese.items]
        for one, other in zip(english.items, chinese.items, strict=True):
            if hasattr(one, "rows"):
                cells = [[c for row in item.rows for c in row.cells if number.fullmatch(c)] for item in (one, other)]
                assert cells[0] == cells[1], one.number
            else:
                assert [line.points for line in one.lines] == [line.points for line in other.lines]


def test_a_reaction_and_the_event_reported_from_it_are_one_in_reports_from_when_that_was_known(monkeypatch):
    rule = {"code": "ONE", "kind": "any_event", "name": "Related grade 3", "blocks": ["infuse"],
            "counts": {"least_grade": 3, "related": True}}  # fmt: skip
    monkeypatch.setattr(outbox, "send", lambda message: None)
    trial = SmallTrial(in_force(monkeypatch, small_protocol(stopping_rules=[rule])))
    patient = trial.enrol("ZEBRAARM", DAY_0)
    trial.treat(patient, reaction_grades=[3])
    event = trial.report(patient, "Chills", 3, DAY_0, relationship="not_related")
    before = ask(trial)
    with acting(trial.by, "reported from it"):
        reaction = Reaction.objects.get()
        ResultOfEvent.objects.create(patient=patient, reaction=reaction, event=event, grade=3, judged_by=trial.by)

    def counted(report):
        return [row.cells[1] for row in figures(report).closed.item("T15").rows]

    # the reaction was taken for related until its event was judged
    assert counted(before) == ["1/1 (100.0)"] and counted(ask(trial)) == ["0/1 (0.0)"]
    assert counted(before) == ["1/1 (100.0)"]
