"""Questions about values: raised by checks and by people, answered, closed, asked again."""

from django.utils import timezone

from patients.actions import lock_open_patient, next_version
from trialsite.audit import acting
from trialsite.saving import Refused, check_version
from trialsite.words import Sentence
from visits.actions.plan import lock_visit
from visits.models import QUERY_TRANSITIONS, CheckFiring, Outcome, Query, QueryMessage, QueryState


def raise_check_queries(problems, changed, *, read, patient, panel=None, infusion=None, confirmed=(), asked=None, by):
    """What becomes of the soft problems of what was just entered: a query each, unless one asks it already or the
    person confirmed the value (`confirmed`: keys check, test and, of an infusion, minute). Every time that a check
    speaks is kept as a CheckFiring; so is what it said while the form was filled in (`asked`: what was typed then, by
    the same keys) where the value was then corrected.

    `read` are the results as saved, `changed` what was typed before, by (test, minute). A change answers the open
    queries of checks about the value, and closes those whose check is now satisfied."""
    of_this = {"panel": panel, "infusion": infusion, "patient": patient}
    queries = list(
        Query.objects.select_for_update(of=("self",)).filter(**of_this)
        .exclude(check_code="").exclude(state=QueryState.CLOSED)
    )  # fmt: skip
    firings = list(CheckFiring.objects.filter(**of_this, has_changed_value=False))

    def typed_now(test, minute):
        result = read.get(test if panel else (test, minute)) if test else None
        return result.typed if result else ""

    broken = {key_of(p): p for p in problems if p.code != "missing"}
    open_keys = {(q.check_code, q.test, q.minute) for q in queries}
    settled = {(f.check_code, f.test, f.minute, f.typed) for f in firings if f.outcome == Outcome.CONFIRMED}
    confirmed = {(*key, None)[:3] for key in confirmed}
    asked = {(*key, None)[:3]: typed for key, typed in (asked or {}).items()}
    touched = {*changed, ("", None)}  # what is about the whole is looked at whenever anything is saved
    raised, fired = [], []
    for key, problem in broken.items():
        code, test, minute = key
        typed = typed_now(test, minute)
        if key in open_keys or (test, minute) not in touched or (*key, typed) in settled:
            continue
        said = problem.text.stored() if isinstance(problem.text, Sentence) else None
        firing = CheckFiring(
            patient=patient, panel=panel, infusion=infusion, test=test, minute=minute, check_code=code, typed=typed,
            said=said, outcome=Outcome.CONFIRMED if key in confirmed else Outcome.QUERIED, by=by,
        )  # fmt: skip
        fired.append(firing)
        if firing.outcome == Outcome.QUERIED:
            firing.query = Query(
                patient=patient, panel=panel, infusion=infusion, test=test, minute=minute, check_code=code, said=said,
                text=str(problem.text), raised_by=by,
            )  # fmt: skip
            raised.append(firing.query)
    for (code, test, minute), typed in asked.items():
        if typed != typed_now(test, minute) and (code, test, minute) not in broken:
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
    moved = [f for f in firings if (f.test, f.minute) in changed and f.typed != typed_now(f.test, f.minute)]
    for firing in moved:
        firing.has_changed_value = True
        firing.version += 1
    if moved:
        CheckFiring.objects.bulk_update(moved, ["has_changed_value", "version"])
    for query in queries:
        if (query.test, query.minute) in touched:
            _answer_by_change(query, (query.check_code, query.test, query.minute) in broken, by)
    return raised


def key_of(problem):
    """What tells one problem of a form from another: check, test and, while an infusion is watched, minute."""
    return problem.code, problem.test, getattr(problem, "minute", None)


def _answer_by_change(query, still_broken, by):
    """The value that a check asks about was changed: that is the site's answer; the check, satisfied, asks no more."""
    if still_broken and (query.state != QueryState.OPEN or not query.test):
        return
    text = (
        "The value was changed; the check still asks." if still_broken
        else "The value was changed; the check is satisfied."
    )  # fmt: skip
    QueryMessage.objects.create(query=query, patient_id=query.patient_id, text=text, by=by)
    query.state = QueryState.ANSWERED if still_broken else QueryState.CLOSED
    query.closed_at = None if still_broken else timezone.now()
    next_version(query, "state", "closed_at")


def raise_query(*, panel, test, text, by):
    """Ask the site about a value (or, without `test`, about the whole panel)."""
    if not text.strip():
        raise Refused({"text": ["Write the question."]})
    with acting(by, "query raised"):
        lock_visit(panel.visit, even_frozen=True)
        return Query.objects.create(patient=panel.patient, panel=panel, test=test, text=text, raised_by=by)


def answer_query(*, query, text, version, by):
    return _move_query(query, QueryState.ANSWERED, text, version, by)


def close_query(*, query, text="", version, by):
    return _move_query(query, QueryState.CLOSED, text, version, by)


def reopen_query(*, query, text, version, by):
    return _move_query(query, QueryState.OPEN, text, version, by)


def _move_query(query, state, text, version, by):
    with acting(by, f"query {state.label}"):
        _refuse_when_locked(query)
        query = Query.objects.select_for_update(of=("self",)).get(pk=query.pk)
        check_version(query, version)
        if state not in QUERY_TRANSITIONS[QueryState(query.state)]:
            raise Refused(f"The query is {query.get_state_display()} already.")
        if not text.strip() and state != QueryState.CLOSED:
            raise Refused({"text": ["Write a message."]})
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
