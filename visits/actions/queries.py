"""Questions about values: raised by checks and by people, answered, closed, asked again."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from patients.actions import lock_open_patient, next_version, refuse_before_consent
from patients.models import ArtRegimen
from trialsite.audit import acting
from trialsite.clock import today_at
from trialsite.reasons import because
from trialsite.saving import Question, Questions, Refused, check_version
from visits import edit_checks
from visits.actions.plan import died_on, lock_visit
from visits.actions.refusals import refused_by
from visits.models import (
    CHANGED_SATISFIED,
    CHANGED_STILL_ASKS,
    QUERY_TRANSITIONS,
    CheckFiring,
    Outcome,
    PanelRecord,
    Query,
    QueryMessage,
    QueryState,
    RetiredCheck,
)


def raise_check_queries(
    problems, changed, *, read, patient, panel=None, infusion=None, whole="", confirmed=(), asked=None, shown=None, by
):  # fmt: skip
    """What becomes of the soft problems of what was just entered: a query each, unless one asks it already or the
    person confirmed the value (`confirmed`: keys check, test and, of an infusion, minute). Every time that a check
    speaks is kept as a CheckFiring; so is what it said while the form was filled in (`asked`: what was typed then, by
    the same keys) where the value was then corrected.

    `read` are the results as saved, `changed` what was typed before, by (test, minute); `whole` is what
    was typed that a check about the whole form looks at (of a panel the day). A change answers the open queries of checks about the value, and
    closes those whose check is now satisfied. Where `shown` is given, the tokens of what the person has been asked, what
    is neither among them nor confirmed raises Questions."""
    queries = list(_open_queries(panel, infusion).select_for_update(of=("self",)))
    firings = _firings(panel, infusion)
    entry = Entry(read, changed, whole, panel is not None)
    broken = {_identity(key_of(p)): p for p in problems}
    confirmed = {_identity((*key, None)[:3]) for key in confirmed}
    raised, fired = [], []
    to_ask = _still_to_ask(problems, entry, queries, firings)
    if shown is not None:
        ask_first([(question_of(p, entry), _identity(key_of(p))) for p in to_ask], shown, confirmed)
    for problem in to_ask:
        code, test, minute = key_of(problem)
        said = problem.text.stored()
        firing = CheckFiring(
            patient=patient, panel=panel, infusion=infusion, test=test, minute=minute, check_code=code,
            typed=entry.typed(test, minute), unit=entry.unit(test, minute), said=said, by=by,
            outcome=Outcome.CONFIRMED if _identity(key_of(problem)) in confirmed else Outcome.QUERIED,
        )  # fmt: skip
        fired.append(firing)
        if firing.outcome == Outcome.QUERIED:
            firing.query = Query(
                patient=patient, panel=panel, infusion=infusion, test=test, minute=minute, check_code=code, said=said,
                text=str(problem.text), raised_by=by,
            )  # fmt: skip
            raised.append(firing.query)
    for key, typed in (asked or {}).items():
        code, test, minute = (*key, None)[:3]
        if typed != entry.typed(test, minute) and _identity((code, test, minute)) not in broken:
            fired.append(
                CheckFiring(
                    patient=patient, panel=panel, infusion=infusion, test=test, minute=minute, check_code=code,
                    typed=typed[:500], outcome=Outcome.CORRECTED, has_changed_value=True, by=by,
                )
            )  # fmt: skip
    if raised:
        Query.objects.bulk_create(raised)
    if fired:
        CheckFiring.objects.bulk_create(fired)
    _note_changes([f for f in firings if entry.touches(f.check_code, f.test, f.minute) and entry.has_moved(f)])
    for query in queries:
        _answer_by_change(query, broken.get(_identity(key_of_query(query))), entry, by)
    return raised


@dataclass(frozen=True)
class Entry:
    """What was just entered: the results by test (of an infusion by test and minute), what was typed before by (test,
    minute) where it differs, and what checks about the whole look at."""

    read: dict
    changed: Collection
    whole: str
    is_panel: bool

    def typed(self, test, minute):
        result = self._result(test, minute)
        return self.whole if not test else result.typed if result else ""

    def unit(self, test, minute):
        """The unit in which it was typed; "" for the protocol's own."""
        result = self._result(test, minute)
        return result.unit if result else ""

    def _result(self, test, minute):
        return self.read.get(test if self.is_panel else (test, minute)) if test else None

    def touches(self, code, test, minute):
        """Was something changed that the check compares? What is about the whole is looked at at every save."""
        return not test or any((other, minute) in self.changed for other in edit_checks.compared_by(code, test))

    def has_moved(self, firing):
        """Does what was entered differ from what the check spoke about?"""
        if firing.test and len(edit_checks.compared_by(firing.check_code, firing.test)) > 1:
            return True
        now = self.typed(firing.test, firing.minute), self.unit(firing.test, firing.minute)
        return (firing.typed, firing.unit) != now


# the name of a field, which is kept with what was asked about it
ASKED_FIELD = re.compile(r"[A-Za-z0-9_]{0,24}")
# asked at one form of a visit, and about all of them
OF_THE_VISIT = [c.code for c in edit_checks.CHECKS if c.once_a_visit or c.subject == edit_checks.Subject.VISIT]
ACROSS_FORMS = [c.code for c in edit_checks.CHECKS if c.subject == edit_checks.Subject.VISIT]


def _open_queries(panel, infusion):
    """The queries of checks that wait, about a panel or an infusion; of checks that compare forms, also those that
    stand at another form of the visit, for a change of this one may answer them."""
    queries = Query.objects.exclude(check_code="").exclude(state=QueryState.CLOSED)
    if panel is None:
        return queries.filter(infusion=infusion)
    visit = PanelRecord.objects.filter(visit=panel.visit_id)
    return queries.filter(Q(panel=panel) | Q(panel__in=visit, check_code__in=ACROSS_FORMS))


def _firings(panel, infusion):
    """What checks have said about a panel or an infusion and has changed nothing yet; of checks of the visit, what they
    said at any of its forms."""
    firings = CheckFiring.objects.filter(has_changed_value=False)
    if panel is None:
        return list(firings.filter(infusion=infusion))
    return list(firings.filter(Q(panel=panel) | Q(panel__visit=panel.visit_id, check_code__in=OF_THE_VISIT)))


def _still_to_ask(problems, entry, queries, firings):
    """The soft problems that nobody was asked about yet, nor confirmed, for what stands there now."""
    open_keys = {_identity(key_of_query(q)) for q in queries}
    about_whole = {(f.check_code, f.typed) for f in firings if not f.test}
    settled = {(*_identity(key_of_query(f)), f.typed, f.unit) for f in firings if f.outcome == Outcome.CONFIRMED}
    waiting = [
        problem for problem in problems
        if not problem.hard and _identity(key_of(problem)) not in open_keys and entry.touches(*key_of(problem))
        and (*_identity(key_of(problem)), entry.typed(*key_of(problem)[1:]), entry.unit(*key_of(problem)[1:])) not in settled
        and (problem.test or (problem.code, entry.whole) not in about_whole)
    ]  # fmt: skip
    gone = retired_checks() if waiting else ()
    return [problem for problem in waiting if edit_checks.retirement_key(problem.code, problem.test) not in gone]


def not_asked_yet(problems, changed, *, read, panel=None, infusion=None, whole):
    """Those soft problems of a panel or an infusion that saving it would ask about. `changed` are the (test, minute)
    that differ."""
    entry = Entry(read, changed, whole, panel is not None)
    if panel is None and infusion is None:
        return _still_to_ask(problems, entry, [], [])
    return _still_to_ask(problems, entry, _open_queries(panel, infusion), _firings(panel, infusion))


def field_of(test, minute):
    """The name of the field of a form in which a value stands."""
    return test if minute is None else f"{test}_{minute}"


def question_of(problem, entry):
    code, test, minute = key_of(problem)
    return Question(code, field_of(test, minute), entry.typed(test, minute), problem.text)


def key_of(problem):
    """What tells one problem of a form from another: check, test and, while an infusion is watched, minute."""
    return problem.code, problem.test, getattr(problem, "minute", None)


def key_of_query(query):
    return query.check_code, query.test, query.minute


def _identity(key):
    """What makes two questions the same: a check that compares values asks once, at whichever field."""
    code, test, minute = key
    return (*edit_checks.retirement_key(code, test), minute)


def _note_changes(firings):
    for firing in firings:
        firing.has_changed_value = True
        firing.version += 1
    if firings:
        CheckFiring.objects.bulk_update(firings, ["has_changed_value", "version"])


def _answer_by_change(query, problem, entry, by):
    """The value that a check asks about was changed: that is the site's answer; the check, satisfied, asks no more."""
    if problem is not None and (
        query.state != QueryState.OPEN or not query.test or not entry.touches(*key_of_query(query))
    ):
        return
    # English in the database, in the reader's language on the page
    text = CHANGED_STILL_ASKS if problem else CHANGED_SATISFIED
    QueryMessage.objects.create(query=query, patient_id=query.patient_id, text=text, by=by)
    query.state = QueryState.ANSWERED if problem else QueryState.CLOSED
    query.closed_at = None if problem else timezone.now()
    next_version(query, "state", "closed_at")


# --- checks that are retired ------------------------------------------------------------------------


def retired_checks():
    """The keys of all checks that do not speak now; one query."""
    return set(RetiredCheck.objects.filter(restored_at=None).values_list("check_code", "test"))


def retire_check(*, code, test="", reason, by):
    """Let a soft check of this trial be silent, with the reason; of checks of single values, for one test."""
    _refuse_without_reason(reason)
    check = edit_checks.BY_CODE[code]
    if check.hard:
        raise Refused(_("A hard check cannot be retired."))
    with acting(by, reason):
        if RetiredCheck.objects.filter(check_code=code, test=test, restored_at=None).exists():
            raise Refused(_("This check is retired already."))
        return RetiredCheck.objects.create(check_code=code, test=test, reason=reason, retired_by=by)


def restore_check(*, retired, version, reason, by):
    """Let a retired check speak again, with the reason."""
    _refuse_without_reason(reason)
    with acting(by, reason):
        retired = RetiredCheck.objects.select_for_update().get(pk=retired.pk)
        check_version(retired, version)
        if retired.restored_at:
            raise Refused(_("This check speaks already."))
        retired.restored_at, retired.restored_by = timezone.now(), by
        next_version(retired, "restored_at", "restored_by")
    return retired


def _refuse_without_reason(reason):
    if not reason.strip():
        raise Refused({"reason": [_("Write the reason.")]})


# --- queries about any record -----------------------------------------------------------------------


def raise_record_queries(*, problems, record, confirmed=(), asked=None, by):
    """The same for a record that is no panel and no infusion (a line, an adverse event): `problems` are all the soft
    ones that its checks say now, with their field as `test`. What is asked already, confirmed or retired is not asked
    again; a query whose check is satisfied is closed. Where `asked` is given, what is neither among its tokens nor
    confirmed raises Questions; what was asked, and corrected since, is kept as such."""
    label = record._meta.label_lower
    queries = list(
        Query.objects.select_for_update(of=("self",)).filter(record=label, record_id=record.pk)
        .exclude(check_code="").exclude(state=QueryState.CLOSED)
    )  # fmt: skip
    firings = list(CheckFiring.objects.filter(record=label, record_id=record.pk, has_changed_value=False))
    values = {p.test: str(getattr(record, p.test)) for p in problems}
    open_keys = {(q.check_code, q.field) for q in queries}
    settled = {(f.check_code, f.test, f.typed) for f in firings if f.outcome == Outcome.CONFIRMED}
    gone = retired_checks() if problems else ()
    to_ask = [
        problem for problem in problems
        if (problem.code, problem.test) not in open_keys and (problem.code, "") not in gone
        and (problem.code, problem.test, values[problem.test]) not in settled
    ]  # fmt: skip
    if asked is not None:
        ask_first(
            [(Question(p.code, p.test, values[p.test], p.text), (p.code, p.test)) for p in to_ask], asked, confirmed
        )
    for problem in to_ask:
        code, name = problem.code, problem.test
        said = problem.text.stored()
        firing = CheckFiring(
            patient_id=record.patient_id, record=label, record_id=record.pk, test=name, check_code=code,
            typed=values[name][:500], said=said, by=by,
            outcome=Outcome.CONFIRMED if (code, name) in confirmed else Outcome.QUERIED,
        )  # fmt: skip
        if firing.outcome == Outcome.QUERIED:
            firing.query = Query.objects.create(
                patient_id=record.patient_id, record=label, record_id=record.pk, field=name, check_code=code, said=said,
                text=str(problem.text), raised_by=by,
            )  # fmt: skip
        CheckFiring.objects.bulk_create([firing])
    still = {(p.code, p.test) for p in problems}
    CheckFiring.objects.bulk_create(
        CheckFiring(
            patient_id=record.patient_id, record=label, record_id=record.pk, test=name, check_code=code, typed=typed[:500],
            outcome=Outcome.CORRECTED, has_changed_value=True, by=by,
        )
        for code, name, typed in corrected(asked or (), still)
    )  # fmt: skip
    with acting(by, because("the edit checks looked again")):
        _note_changes([f for f in firings if (f.check_code, f.test) not in still])
        for query in queries:
            if (query.check_code, query.field) not in still:
                QueryMessage.objects.create(
                    query=query, patient_id=query.patient_id, text=CHANGED_SATISFIED, by=by
                )  # fmt: skip
                query.state, query.closed_at = QueryState.CLOSED, timezone.now()
                next_version(query, "state", "closed_at")


def ask_first(questions, asked, confirmed):
    """Raise Questions with all of `questions`, (Question, its key) each, where one was neither shown nor confirmed."""
    if any(question.token not in asked and key not in confirmed for question, key in questions):
        raise Questions([question for question, _key in questions])


def corrected(asked, still):
    """(check, field, value) of what was asked by a soft check of ours and stands no more; `still` are (check, field)."""
    for token in sorted(asked):
        code, name, typed = (*token.split(":", 2), "", "")[:3]
        known = edit_checks.BY_CODE.get(code)
        if known and not known.hard and ASKED_FIELD.fullmatch(name) and (code, name) not in still:
            yield code, name, typed


def check_line(*, line, confirmed=(), asked=None, by):
    """What the edit checks say about a line of a history or medication: refuse, or raise queries."""
    patient = line.patient
    around = edit_checks.Surroundings(
        birth_date=patient.birth_date, died_on=died_on(patient), consented_on=refuse_before_consent(patient),
        today=today_at(patient.site),
    )  # fmt: skip
    names = ("started_on", "ended_on", "diagnosed_on", "nadir_on")
    dates = {name: getattr(line, name) for name in names if hasattr(line, name)}
    if not getattr(line, "is_withdrawn", False) and (hard := edit_checks.problems_of_line(dates, around)):
        raise refused_by(hard, patient)
    if isinstance(line, ArtRegimen):
        _check_regimens(line, around, confirmed, asked, by)


def _check_regimens(line, around, confirmed, asked, by):
    """The treatment is one thing in several lines: a query about it that another line answers is closed as well."""
    label = line._meta.label_lower
    regimens = list(ArtRegimen.objects.filter(patient=line.patient_id, is_withdrawn=False))
    spans = [(r.started_on, "" if r.is_ongoing else r.ended_on) for r in regimens]
    problems = edit_checks.problems_of_regimens(spans, around)
    raised = Query.objects.filter(patient=line.patient_id, record=label).exclude(check_code="")
    asking = {q.record_id: q for q in raised.exclude(state=QueryState.CLOSED)}
    others = {q.check_code for pk, q in asking.items() if pk != line.pk}
    for regimen in (r for r in regimens if r.pk in asking and r.pk != line.pk):
        raise_record_queries(
            problems=[p for p in problems if p.code == asking[regimen.pk].check_code], record=regimen, by=by
        )
    mine = [] if line.is_withdrawn else [p for p in problems if p.code not in others]
    raise_record_queries(problems=mine, record=line, confirmed=confirmed, asked=asked, by=by)


def raise_query(*, panel=None, infusion=None, record=None, test="", minute=None, field="", text, by):
    """Ask the site about a value of a panel (`test`), of an infusion (`test` at `minute`, or a `field`) or of any other
    record of a patient (a `field`); without any of these, about the whole."""
    if not text.strip():
        raise Refused({"text": [_("Write the question.")]})
    about = panel or infusion or record
    named = {"record": record._meta.label_lower, "record_id": record.pk} if record else {}
    with acting(by, because("query raised")):
        if panel or infusion:
            lock_visit(about.visit, even_frozen=True)
        else:
            lock_open_patient(about.patient, even_frozen=True)
        return Query.objects.create(
            patient=about.patient, panel=panel, infusion=infusion, test=test, minute=minute, field=field, text=text,
            raised_by=by, **named,
        )  # fmt: skip


def answer_query(*, query, text, version, by):
    return _move_query(query, QueryState.ANSWERED, text, version, by)


def close_query(*, query, text="", version, by):
    return _move_query(query, QueryState.CLOSED, text, version, by)


def reopen_query(*, query, text, version, by):
    return _move_query(query, QueryState.OPEN, text, version, by)


MOVED = {QueryState.ANSWERED: "query answered", QueryState.CLOSED: "query closed", QueryState.OPEN: "query re-opened"}


def _move_query(query, state, text, version, by):
    with acting(by, because(MOVED[state])):
        _refuse_when_locked(query)
        query = Query.objects.select_for_update(of=("self",)).get(pk=query.pk)
        check_version(query, version)
        if state not in QUERY_TRANSITIONS[QueryState(query.state)]:
            raise Refused(_("The query is %(state)s already.") % {"state": query.get_state_display()})
        if not text.strip() and state != QueryState.CLOSED:
            raise Refused({"text": [_("Write a message.")]})
        if text.strip():
            QueryMessage.objects.create(query=query, patient_id=query.patient_id, text=text, by=by)
        query.state = state
        query.closed_at = timezone.now() if state == QueryState.CLOSED else None
        next_version(query, "state", "closed_at")
    return query


def _refuse_when_locked(query):
    """About what is frozen one may still talk; about what is locked not."""
    about = query.panel or query.infusion
    if about is not None:
        lock_visit(about.visit, even_frozen=True)
    else:
        lock_open_patient(query.patient, even_frozen=True)
