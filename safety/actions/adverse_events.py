"""Adverse events: reported, changed, taken back."""

from django.db.models import Max
from django.utils.translation import gettext as _

from patients.actions import lock_open_patient, next_version, refuse_when_withdrawn
from patients.models import Consent
from safety.actions.coding import follow_words
from safety.actions.serious import follow_events
from safety.coding.rules import Kind
from safety.coding.search import dictionary_of, exact_term
from safety.consistency import Surroundings, problems_within, questions_about
from safety.models import AdverseEvent
from trialsite import trial
from trialsite.audit import acting
from trialsite.clock import day_at, today_at
from trialsite.saving import Refused, check_version
from visits import edit_checks
from visits.actions import RefusedByChecks, by_field, checks_of, died_on, marks_void, raise_record_queries
from visits.models import Infusion


def surroundings_of(patient):
    """What an event of this patient is held against."""
    consent = Consent.objects.filter(patient=patient).order_by("signed_on").first()
    infusions = Infusion.objects.filter(patient=patient).order_by("number").values_list("number", "started_at")
    infusions = tuple((number, day_at(patient.site, started_at)) for number, started_at in infusions)
    return Surroundings(
        consented_on=consent.signed_on if consent else None,
        infusions_given=len(infusions),
        first_infusion_on=min((day for _number, day in infusions), default=None),
        today=today_at(patient.site),
        is_treated=bool(infusions) if trial.protocol(patient.protocol_version).infusions else patient.day_0 is not None,
        died_on=died_on(patient),
        infusions=infusions,
    )


def report_adverse_event(*, patient, values, confirmed=(), asked=None, at_once=None, by):
    """Report an event; `values` by the names of AdverseEvent's fields. Raises Refused with what contradicts itself.

    What the edit checks ask about it becomes a query, unless it is in `confirmed`: (check, field). Where `asked` is given,
    what is not among its tokens is asked first: Questions. `at_once` is called with the event before anything follows
    from it."""
    with acting(by):
        patient = lock_open_patient(patient)
        around = surroundings_of(patient)
        values = _checked(patient, values, around)
        last = AdverseEvent.objects.filter(patient=patient).aggregate(last=Max("sequence"))["last"] or 0
        event = AdverseEvent.objects.create(
            patient=patient, protocol_version=patient.protocol_version, sequence=last + 1, reported_by=by, **values
        )
        _ask_about(event, around, confirmed, asked, by)
        if at_once:
            at_once(event)
        follow_words(record=event, by=by)
        follow_events(events=[event], by=by)
    return event


def change_adverse_event(*, event, values, version, reason, confirmed=(), asked=None, by):
    """Change an event, with the reason."""
    if not reason.strip():
        raise Refused({"reason": [_("Write why the entry is changed.")]})
    with acting(by, reason):
        patient = lock_open_patient(event.patient)
        event = AdverseEvent.objects.select_for_update().get(pk=event.pk)
        check_version(event, version)
        refuse_when_withdrawn(event)
        stored = {field.attname: getattr(event, field.attname) for field in event._meta.concrete_fields}
        around = surroundings_of(patient)
        checked = _checked(patient, {**stored, **values}, around)
        values = {name: checked[name] for name in {*values, "body_system"}}
        for name, value in values.items():
            setattr(event, name, value)
        next_version(event, *values)
        _ask_about(event, around, confirmed, asked, by)
        follow_words(record=event, by=by)
        marks_void(record=event, reason=reason, by=by)
        follow_events(events=[event], by=by)
    return event


def withdraw_adverse_event(*, event, version, reason, by):
    """Mark an event as entered in error. It stays readable and counts nowhere."""
    if not reason.strip():
        raise Refused({"reason": [_("Write why this event is taken back.")]})
    with acting(by, reason):
        lock_open_patient(event.patient)
        event = AdverseEvent.objects.select_for_update().get(pk=event.pk)
        check_version(event, version)
        refuse_when_withdrawn(event)
        event.is_withdrawn = True
        next_version(event, "is_withdrawn")
        follow_words(record=event, by=by)
        marks_void(record=event, reason=reason, by=by)
        follow_events(events=[event], by=by)
    return event


def body_system_of(term):
    """The class of a term of the dictionary in use, "" when it has none: what stands there until the event is coded."""
    dictionary = dictionary_of(Kind.ADVERSE_EVENT)
    found = exact_term(dictionary, term) if dictionary else None
    return found.body_system if found else ""


def soft_problems_of(event, around):
    """What the edit checks ask about an event."""
    beside = edit_checks.Surroundings(consented_on=around.consented_on)
    return [*edit_checks.problems_of_event(event.began_on, beside), *questions_about(vars(event), around)]


def _ask_about(event, around, confirmed, asked, by):
    problems = soft_problems_of(event, around)
    raise_record_queries(problems=problems, record=event, confirmed=confirmed, asked=asked, by=by)


def _checked(patient, values, around):
    """The values with the body system filled in from the dictionary. Raises Refused."""
    values = dict(values)
    values["body_system"] = values.get("body_system") or body_system_of(values["term"])
    aware_on = day_at(patient.site, values["aware_at"])
    problems = list(problems_within({**values, "aware_on": aware_on}, around))
    errors = by_field(problems)
    if not values["body_system"]:
        errors.setdefault("body_system", []).append(_("The term is not in the list: choose the body system."))
    if errors:
        raise RefusedByChecks(errors, checks_of(problems), patient)
    return values
