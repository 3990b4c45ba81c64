"""The only place that says what the system can see as a deviation from the protocol, and what a record of one must say.

Plain values in, proposals out; a person judges each of them. To see a further kind of deviation takes one entry in
KINDS and, where it needs a fact that is not known yet, one field of Course. What cannot be seen in the data (a
prohibited medication, a procedure done in the wrong way) is recorded by hand.

Nothing here knows arm, product or lot: a sentence of a proposal can be read by everybody who sees the patient.
Sources: CDASHIG 2.1 DV domain; ICH E3 Q&A R1 and ICH E6(R3) for "important protocol deviation".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop as noop

from patients.eligibility import Finding
from trialsite.words import Name, Sentence
from visits.infusing import NOT_PREGNANT, dose_deviation_percent
from visits.schedule import ATTENDED, MISSED, Standing, Window, days_out_of_window, standing


class Category(StrEnum):
    """What a deviation is about."""

    CONSENT = "consent"
    ELIGIBILITY = "eligibility"
    VISIT_WINDOW = "visit_window"
    DOSE = "dose"
    MEDICATION = "medication"
    PROCEDURE = "procedure"
    BLINDING = "blinding"
    OTHER = "other"


# --- what is looked at ---------------------------------------------------------------------------


@dataclass(frozen=True)
class VisitFact:
    """A visit of a patient. `window` is the one that day 0 gives it; None while day 0 is not known, and for an
    unscheduled visit. `infusion` is the number of the infusion planned at it, `is_given` whether it is recorded;
    `not_done` are the required panels that were marked as not done."""

    name: Name
    state: str
    attended_on: date | None = None
    window: Window | None = None
    infusion: int | None = None
    is_given: bool = False
    not_done: tuple[Name, ...] = ()


@dataclass(frozen=True)
class InfusionFact:
    """An infusion as it was given. `planned` and `given` are doses in one unit, whichever; in a masked trial they
    are 100 and the part of the bag in %, since the dose in the bag would tell the arm. `pregnancy_test` is the code
    of its result on or before that day, None when there is none, "" when none is asked for."""

    number: int
    visit: str
    on: date
    planned: Decimal
    given: Decimal
    tolerance_percent: Decimal
    volume_ml: Decimal
    volume_limits: tuple[Decimal, Decimal]
    missing_minutes: tuple[int, ...] = ()
    least_days_between: int = 0
    pregnancy_test: str | None = ""


@dataclass(frozen=True)
class ConsentFact:
    """A version of the consent form, with the day it is dated or the day it was signed."""

    form: str
    on: date


@dataclass(frozen=True)
class UnmaskingFact:
    """The patient was unmasked: the number of the entry in the log, and the day. Not the arm."""

    number: int
    on: date


@dataclass(frozen=True)
class Screening:
    """What the rules say now of the criteria that a randomised patient was found to meet, as of that day.

    `overruled` are the codes of the criteria where the person who assessed differed from the rule, and said why."""

    assessed_on: date
    findings: tuple[Finding, ...]
    exclusions: frozenset[str] = frozenset()
    overruled: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Course:
    """All that is looked at of one patient. `first_panel_on` is the day of the first panel that was collected."""

    today: date
    is_open: bool = True
    visits: tuple[VisitFact, ...] = ()
    infusions: tuple[InfusionFact, ...] = ()
    forms: tuple[ConsentFact, ...] = ()
    signed: tuple[ConsentFact, ...] = ()
    first_panel_on: date | None = None
    screening: Screening | None = None
    unmaskings: tuple[UnmaskingFact, ...] = ()

    @property
    def procedures(self) -> list[date]:
        """The days on which something was done with the patient, earliest first."""
        days = [visit.attended_on for visit in self.visits] + [infusion.on for infusion in self.infusions]
        return sorted({day for day in [*days, self.first_panel_on] if day})


@dataclass(frozen=True)
class Seen:
    """One deviation of a kind: which thing of the patient it is about, since when, and in words."""

    about: str
    on: date
    sentence: Sentence
    visit: str = ""


# --- the kinds -----------------------------------------------------------------------------------


def visits_out_of_window(course: Course) -> Iterator[Seen]:
    for visit in course.visits:
        if visit.state == ATTENDED and visit.window and days_out_of_window(visit.window, visit.attended_on):
            text = noop("%(visit)s took place on %(day)s, outside its window of %(earliest)s to %(latest)s.")
            yield _of_visit(visit, visit.attended_on, text, day=visit.attended_on)


def visits_missed(course: Course) -> Iterator[Seen]:
    for visit in course.visits:
        if visit.state == MISSED and visit.window and visit.infusion is None:
            text = noop("%(visit)s was missed; its window was %(earliest)s to %(latest)s.")
            yield _of_visit(visit, visit.window.latest, text)


def visits_overdue(course: Course) -> Iterator[Seen]:
    for visit in course.visits:
        if not (visit.window and course.is_open):
            continue
        if standing(state=visit.state, window=visit.window, today=course.today) == Standing.OVERDUE:
            text = noop("Nothing is recorded of %(visit)s, and its window of %(earliest)s to %(latest)s has closed.")
            yield _of_visit(visit, visit.window.latest, text)


def infusions_missed(course: Course) -> Iterator[Seen]:
    for visit in course.visits:
        if not visit.window or visit.infusion is None or visit.is_given:
            continue
        has_passed = visit.state == ATTENDED and course.today > visit.window.latest
        if visit.state == MISSED or has_passed:
            text = noop(
                "Infusion %(number)s was not given at %(visit)s; the window of the visit was %(earliest)s to %(latest)s."
            )
            yield _of_visit(visit, visit.window.latest, text, number=visit.infusion)


def panels_missed(course: Course) -> Iterator[Seen]:
    for visit in course.visits:
        for panel in visit.not_done if visit.state == ATTENDED else ():
            text = noop("The panel %(panel)s was not done at %(visit)s.")
            sentence = Sentence(text, {"panel": panel, "visit": visit.name})
            yield Seen(f"{visit.name.code}.{panel.code}", visit.attended_on, sentence, visit.name.code)


def doses_off_plan(course: Course) -> Iterator[Seen]:
    for infusion in course.infusions:
        deviation = dose_deviation_percent(infusion.planned, infusion.given)
        if abs(deviation) > infusion.tolerance_percent:
            text = noop(
                "Infusion %(number)s: the dose given differs from the planned one by %(deviation)s %%; "
                "up to %(tolerance)s %% is tolerated."
            )
            yield _of_infusion(infusion, text, deviation=f"{deviation:+.1f}", tolerance=infusion.tolerance_percent)


def volumes_off_limits(course: Course) -> Iterator[Seen]:
    for infusion in course.infusions:
        low, high = infusion.volume_limits
        if not low <= infusion.volume_ml <= high:
            text = noop("Infusion %(number)s: the volume of %(volume)s mL is not from %(low)s to %(high)s mL.")
            yield _of_infusion(infusion, text, volume=infusion.volume_ml, low=low, high=high)


def intervals_too_short(course: Course) -> Iterator[Seen]:
    given = sorted(course.infusions, key=lambda infusion: infusion.on)
    for earlier, later in pairwise(given):
        days = (later.on - earlier.on).days
        if days < later.least_days_between:
            text = noop(
                "Infusion %(number)s was given %(days)s days after infusion %(earlier)s; "
                "at least %(least)s days must lie between."
            )
            values = {"days": days, "earlier": earlier.number, "least": later.least_days_between}
            yield _of_infusion(later, text, **values)


def monitoring_missed(course: Course) -> Iterator[Seen]:
    for infusion in course.infusions:
        if infusion.missing_minutes:
            text = noop("Infusion %(number)s: no vital signs are recorded at %(minutes)s minutes.")
            yield _of_infusion(infusion, text, minutes=", ".join(map(str, infusion.missing_minutes)))


def infusions_without_pregnancy_test(course: Course) -> Iterator[Seen]:
    for infusion in course.infusions:
        if infusion.pregnancy_test is None:
            yield _of_infusion(infusion, noop("Infusion %(number)s was given without a pregnancy test before it."))
        elif infusion.pregnancy_test and infusion.pregnancy_test.upper() not in NOT_PREGNANT:
            yield _of_infusion(
                infusion, noop("Infusion %(number)s was given although the pregnancy test is not negative.")
            )


def procedures_before_consent(course: Course) -> Iterator[Seen]:
    signed = min((consent.on for consent in course.signed), default=None)
    first = next(iter(course.procedures), None)
    if first is None or (signed and signed <= first):
        return
    if signed is None:
        text = noop("A first procedure took place on %(first)s, and no consent is recorded.")
        yield Seen("first", first, Sentence(text, {"first": first}))
    else:
        text = noop("The consent was signed on %(signed)s, after a first procedure on %(first)s.")
        yield Seen("first", first, Sentence(text, {"signed": signed, "first": first}))


def reconsents_missing(course: Course) -> Iterator[Seen]:
    """A form binds from the day after it is dated until the day the next one is dated."""
    forms = sorted(course.forms, key=lambda form: form.on)
    dated = {form.form: form.on for form in forms}
    signed = [(consent.on, dated[consent.form]) for consent in course.signed if consent.form in dated]
    if not signed:
        return
    _day, first_form = min(signed)
    for form, following in zip(forms, [*forms[1:], None], strict=True):
        if form.on <= first_form:
            continue
        until = following.on if following else course.today
        for day in course.procedures:
            has_signed = any(on <= day and of_form >= form.on for on, of_form in signed)
            if form.on < day <= until and not has_signed:
                text = noop(
                    "The patient had not signed consent form %(form)s, dated %(dated)s, before a procedure on %(day)s."
                )
                yield Seen(form.form, day, Sentence(text, {"form": form.form, "dated": form.on, "day": day}))
                break


def criteria_breached(course: Course) -> Iterator[Seen]:
    screening = course.screening
    for finding in screening.findings if screening else ():
        code = finding.criterion.code
        is_unmet = finding.holds is (code in screening.exclusions)
        if is_unmet and code not in screening.overruled:
            text = noop("Criterion %(criterion)s is not met by the values as they stand now: %(because)s.")
            yield Seen(code, screening.assessed_on, Sentence(text, {"criterion": code, "because": finding.because}))


def emergency_unmaskings(course: Course) -> Iterator[Seen]:
    for unmasking in course.unmaskings:
        text = noop("The patient was unmasked in an emergency on %(day)s.")
        yield Seen(str(unmasking.number), unmasking.on, Sentence(text, {"day": unmasking.on}))


def _of_visit(visit: VisitFact, on: date, text: str, **values) -> Seen:
    window = {"earliest": visit.window.earliest, "latest": visit.window.latest}
    return Seen(visit.name.code, on, Sentence(text, {"visit": visit.name, **window, **values}), visit.name.code)


def _of_infusion(infusion: InfusionFact, text: str, **values) -> Seen:
    sentence = Sentence(text, {"number": infusion.number, **values})
    return Seen(str(infusion.number), infusion.on, sentence, infusion.visit)


@dataclass(frozen=True)
class Kind:
    """One kind of deviation that the system can see, with the category and importance it suggests.

    `find` gives what is seen of it in a course. A record of the kind `settled_by` about the same thing settles this
    one too: a visit recorded as overdue, say, that is then attended late."""

    code: str
    category: Category
    is_important: bool
    find: Callable[[Course], Iterable[Seen]]
    settled_by: str = ""


KINDS = (
    Kind("visit_out_of_window", Category.VISIT_WINDOW, False, visits_out_of_window, settled_by="visit_overdue"),
    Kind("visit_missed", Category.VISIT_WINDOW, False, visits_missed, settled_by="visit_overdue"),
    Kind("visit_overdue", Category.VISIT_WINDOW, False, visits_overdue),
    Kind("panel_missed", Category.PROCEDURE, False, panels_missed),
    Kind("infusion_missed", Category.DOSE, True, infusions_missed),
    Kind("dose_off_plan", Category.DOSE, True, doses_off_plan),
    Kind("volume_off_limits", Category.DOSE, False, volumes_off_limits),
    Kind("interval_too_short", Category.DOSE, True, intervals_too_short),
    Kind("monitoring_missed", Category.PROCEDURE, False, monitoring_missed),
    Kind("no_negative_pregnancy_test", Category.PROCEDURE, True, infusions_without_pregnancy_test),
    Kind("procedure_before_consent", Category.CONSENT, True, procedures_before_consent),
    Kind("reconsent_missing", Category.CONSENT, True, reconsents_missing),
    Kind("criterion_breached", Category.ELIGIBILITY, True, criteria_breached),
    Kind("emergency_unmasking", Category.BLINDING, True, emergency_unmaskings),
)


@dataclass(frozen=True)
class Proposal:
    """A deviation that the system sees. `key` stays the same for as long as it is about the same thing."""

    key: str
    on: date
    category: Category
    is_important: bool
    sentence: Sentence
    visit: str = ""
    settled_by: str = ""


def find_proposals(course: Course) -> list[Proposal]:
    """Everything that the system sees as a deviation in a patient's course, earliest first."""
    found = [
        Proposal(
            key=f"{kind.code}:{seen.about}", on=seen.on, category=kind.category, is_important=kind.is_important,
            sentence=seen.sentence, visit=seen.visit,
            settled_by=f"{kind.settled_by}:{seen.about}" if kind.settled_by else "",
        )
        for kind in KINDS for seen in kind.find(course)
    ]  # fmt: skip
    return sorted(found, key=lambda proposal: proposal.on)


def unjudged(proposals: Iterable[Proposal], *, recorded: Collection[str], dismissed: Collection[str]) -> list[Proposal]:
    """Those nobody has judged yet; `recorded` and `dismissed` are the keys of those that were."""
    return [
        proposal
        for proposal in proposals
        if proposal.key not in recorded and proposal.key not in dismissed and proposal.settled_by not in recorded
    ]


# --- does the record fit together ----------------------------------------------------------------


def find_contradictions(deviation: dict, *, not_before: date, today: date) -> dict[str, list[str]]:
    """What contradicts itself in a record, by field; empty when it is consistent. `deviation` is by field name."""
    found: dict[str, list[str]] = {}

    def say(field, sentence):
        found.setdefault(field, []).append(sentence)

    began, discovered = deviation["began_on"], deviation["discovered_on"]
    for field in ("began_on", "ended_on", "discovered_on", "corrected_on", "reported_on"):
        if deviation.get(field) and deviation[field] > today:
            say(field, _("The date is in the future."))
    if began < not_before:
        say("began_on", _("The date is long before the screening of this patient."))
    if discovered < began:
        say("discovered_on", _("It cannot be discovered before it happened."))
    if deviation.get("ended_on") and deviation["ended_on"] < began:
        say("ended_on", _("The end is before the date of the deviation."))
    if deviation.get("corrected_on") and deviation["corrected_on"] < began:
        say("corrected_on", _("It cannot be corrected before it happened."))
    if deviation.get("reported_on") and deviation["reported_on"] < began:
        say("reported_on", _("It cannot be reported before it happened."))
    if deviation.get("corrected_on") and not deviation.get("corrective_action"):
        say("corrective_action", _("Write what was done, or why nothing had to be done."))
    if deviation["is_important"] and not deviation.get("effect_on_safety"):
        say("effect_on_safety", _("Write for an important deviation what it means for the patient's safety."))
    return found
