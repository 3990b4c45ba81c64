"""One adverse event, one deviation: the steps that tests use as well."""

from datetime import timedelta

from safety import actions
from safety.deviations import Category
from safety.models import ActionTaken, Expectedness, Outcome, Relationship
from trialsite.clock import today_at
from trialsite.demo import at


def report_event(*, patient, by, term="Headache", on=None, days=2, grade=1, aware_on=None, seen=None, **values):
    """An adverse event that lasts `days` (None: it goes on). Any field of the event can be given. `seen` is the result or
    reaction that proposes it."""
    today = today_at(patient.site)
    on = on or patient.day_0 or today
    aware_on = max(aware_on or on, on)
    ended_on = None if days is None else on + timedelta(days=days)
    if ended_on and ended_on > today:
        ended_on = None
    content = {
        "term": term,
        "body_system": "",
        "began_on": on,
        "is_ongoing": ended_on is None,
        "ended_on": ended_on,
        "grade": grade,
        "is_serious": False,
        "relationship": Relationship.UNLIKELY,
        "expectedness": Expectedness.NOT_JUDGED,
        "action_taken": ActionTaken.NOT_APPLICABLE,
        "other_action": "",
        "outcome": Outcome.RECOVERING if ended_on is None else Outcome.RECOVERED,
        "infusion_number": None,
        "aware_at": at(patient.site, aware_on, "09:15"),
        "narrative": "",
    }
    if seen:
        return actions.report_proposed_event(seen=seen, values=content | values, by=by)
    return actions.report_adverse_event(patient=patient, values=content | values, by=by)


def report_serious_event(*, patient, by, term="Lung infection", on=None, days=None, grade=3, **values):
    """A serious event: by default an unrelated pneumonia that needs the hospital."""
    content = {
        "is_serious": True,
        "is_hospitalisation": True,
        "relationship": Relationship.NOT_RELATED,
        "expectedness": Expectedness.UNEXPECTED,
        "other_action": "Admitted; intravenous antibiotics",
        "narrative": "Fever and productive cough for two days, infiltrate of the right lower lobe in the X-ray. "
        "Sputum: Streptococcus pneumoniae. Admitted for intravenous ceftriaxone, no oxygen needed.",
    }
    return report_event(patient=patient, by=by, term=term, on=on, days=days, grade=grade, **content | values)


def end_event(*, event, on, by, outcome=Outcome.RECOVERED):
    """Record that an event that went on has ended."""
    values = {"is_ongoing": False, "ended_on": on, "outcome": outcome}
    return actions.change_adverse_event(
        event=event, values=values, version=None, reason=f"The event ended on {on}", by=by
    )


def record_deviation(*, patient, by, on=None, proposal=None, **values):
    """A deviation recorded by hand, or as the system proposes it. Any field of the deviation can be given."""
    today = today_at(patient.site)
    content = {
        "began_on": on or today,
        "ended_on": None,
        "discovered_on": today,
        "visit": None,
        "category": Category.PROCEDURE.value,
        "description": "The tubes stood at room temperature for six hours before they were sent",
        "is_important": False,
        "effect_on_safety": "",
        "effect_on_data": "",
        "corrective_action": "",
        "corrected_on": None,
        "preventive_action": "",
        "reported_on": None,
    }
    if proposal:
        content |= {
            "began_on": proposal.on, "category": proposal.category.value, "is_important": proposal.is_important,
            "description": "", "visit": patient.visits.filter(code=proposal.visit).first(),
        }  # fmt: skip
        if proposal.is_important:
            content |= {"effect_on_safety": "None seen; the patient is followed as planned.", "reported_on": today}
    return actions.record_deviation(
        patient=patient, values=content | values, proposal_key=proposal.key if proposal else "", by=by
    )
