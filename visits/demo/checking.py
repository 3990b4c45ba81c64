"""Queries, marks and holds."""

from datetime import time

from trialsite.demo import chance
from trialsite.saving import Refused
from visits import actions
from visits.contents import INFUSIONS, PANELS, load_forms
from visits.demo.panels import visit_of
from visits.models import Infusion, PanelState, Query, QueryState
from visits.reviews import MEANINGS

ANSWERS = (
    "Checked against the laboratory report: the value is right.",
    "Right as entered; the measurement was repeated and confirmed it.",
    "The source document shows this value. The investigator judges it not clinically significant.",
)


def open_queries(patient):
    return Query.objects.filter(patient=patient, state=QueryState.OPEN).order_by("id")


def answer(*, query, by, text=None):
    return actions.answer_query(query=query, text=text or chance(query.text).choice(ANSWERS), version=None, by=by)


def close(*, query, by, text=""):
    return actions.close_query(query=query, text=text, version=None, by=by)


QUESTIONS = (
    "Please check this panel against the source document.",
    "The copy of the laboratory report that I saw has another date. Which one is right?",
    "The source document is not signed by the investigator. Please have it signed and confirm.",
    "Was the sample taken before or after breakfast? The source does not say.",
)


def ask(*, panel, by, test="", text=None):
    """A query by a person about a panel, or about one of its tests."""
    text = text or chance(panel.patient.number, panel.collected_on).choice(QUESTIONS)
    return actions.raise_query(panel=panel, test=test, text=text, by=by)


def mend_slip(*, query, body, by, reason="Slip of the keyboard; corrected after the source document"):
    """Type the right value over the one that a query is about; the check then closes the query. Gives the panel."""
    panel = query.panel
    test = query.patient.protocol.test(query.test)
    right = body.typed(test, _day(query.patient, panel.collected_on), panel.visit.code)
    return actions.record_panel(
        panel=panel, values={test.code: right}, units={test.code: test.unit}, collected_on=panel.collected_on,
        version=None, reason=reason, by=by,
    )  # fmt: skip


def _day(patient, on):
    return (on - patient.day_0).days if patient.day_0 else -1


def forms_of(visit, patient):
    """The forms of a visit in which something is entered, with their marks."""
    wanted = {
        PANELS: visit.panels.exclude(state=PanelState.EXPECTED),
        INFUSIONS: Infusion.objects.filter(visit=visit),
    }
    return load_forms(wanted, patient=patient, reviews=True).values()


def verify(*, patient, code, by):
    """The monitor compares with the source what the protocol names."""
    forms = [(form, tuple(form.fields_to_verify)) for form in forms_of(visit_of(patient, code), patient)]
    seen = [actions.Seen(*form.key, form.record.version, fields) for form, fields in forms if fields]
    return actions.verify_forms(patient=patient, seen=seen, by=by)


def review(*, patient, code, by):
    seen = [actions.Seen(*form.key, form.record.version) for form in forms_of(visit_of(patient, code), patient)]
    return actions.review_forms(patient=patient, seen=seen, by=by)


def sign(*, patient, code, by):
    """The investigator signs what of a visit is ready."""
    seen = [actions.Seen(*form.key, form.record.version) for form in forms_of(visit_of(patient, code), patient)]
    return actions.sign_forms(patient=patient, seen=seen, meaning=MEANINGS[0], by=by)


def lock(*, patient, code, by):
    """Lock a visit when nothing stands in the way; gives whether it was locked."""
    try:
        actions.hold_visit(visit=visit_of(patient, code), step="lock", version=None, by=by)
    except Refused:
        return False
    return True


def correct(*, patient, code, by, reason="The time of collection was missing in the entry"):
    """Correct the first panel of a visit: what was signed of it is void."""
    panel = visit_of(patient, code).panels.filter(state=PanelState.ENTERED).first()
    return panel and actions.record_panel(
        panel=panel, values={}, collected_on=panel.collected_on, collected_at=time(8, 30), comment=panel.comment,
        version=None, reason=reason, by=by,
    )  # fmt: skip
