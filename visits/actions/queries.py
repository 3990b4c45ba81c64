"""Questions about values: raised by checks and by people, answered, closed, asked again."""

from django.utils import timezone

from patients.actions import next_version
from trialsite.audit import acting
from trialsite.saving import Refused, check_version
from visits.models import QUERY_TRANSITIONS, Query, QueryMessage, QueryState


def raise_check_queries(problems, changed, *, patient, panel=None, infusion=None, by):
    """Ask about soft problems of what was just entered, unless the same question is open already.

    A changed value answers the open questions of checks about it that it no longer breaks."""
    open_queries = list(
        Query.objects.select_for_update(of=("self",)).filter(panel=panel, infusion=infusion, patient=patient)
        .exclude(check_code="").exclude(state=QueryState.CLOSED)
    )  # fmt: skip
    asked = {(q.check_code, q.test, q.minute) for q in open_queries}
    broken = {(p.code, p.test, getattr(p, "minute", None)): p for p in problems if p.code != "missing"}
    touched = {code for code, _ in changed}
    raised = [
        Query(
            patient=patient, panel=panel, infusion=infusion, test=problem.test, minute=key[2],
            check_code=problem.code, text=problem.text, raised_by=by,
        )
        for key, problem in broken.items()
        if key not in asked and (not problem.test or problem.test in touched)
    ]  # fmt: skip
    if raised:
        Query.objects.bulk_create(raised)
    for query in open_queries:
        # what is about a single value is looked at when that value changes; what is about the whole, at every save
        if (query.test in touched or not query.test) and (query.check_code, query.test, query.minute) not in broken:
            QueryMessage.objects.create(
                query=query, patient=patient, text="The value was changed; the check is satisfied.", by=by
            )
            query.state, query.closed_at = QueryState.CLOSED, timezone.now()
            next_version(query, "state", "closed_at")
    return raised


def raise_query(*, panel, test, text, by):
    """Ask the site about a value (or, without `test`, about the whole panel)."""
    if not text.strip():
        raise Refused({"text": ["Write the question."]})
    with acting(by, "query raised"):
        return Query.objects.create(patient=panel.patient, panel=panel, test=test, text=text, raised_by=by)


def answer_query(*, query, text, version, by):
    return _move_query(query, QueryState.ANSWERED, text, version, by)


def close_query(*, query, text="", version, by):
    return _move_query(query, QueryState.CLOSED, text, version, by)


def reopen_query(*, query, text, version, by):
    return _move_query(query, QueryState.OPEN, text, version, by)


def _move_query(query, state, text, version, by):
    with acting(by, f"query {state.label}"):
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
