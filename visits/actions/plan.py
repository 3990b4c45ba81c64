"""The plan of a patient's visits, and which of them took place."""

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from patients.actions import lock_open_patient, next_version, refuse_before_consent, refuse_when_held, set_day_0
from patients.models import Disposition, State
from trialsite.audit import acting
from trialsite.clock import today_at
from trialsite.reasons import because
from trialsite.saving import Refused, check_version, require_reason
from visits import edit_checks, schedule
from visits.actions.refusals import refused_by
from visits.models import PANEL_TRANSITIONS, WITH_VALUES, PanelRecord, PanelState, Visit, VisitState


def plan_screening(*, patient, by):
    """Plan the screening visits around the day on which screening starts."""
    windows = [
        (visit, schedule.screening_window(patient.protocol, visit, patient.screened_on))
        for visit in patient.protocol.screening_visits
    ]
    _plan(patient, windows, by)


def plan_visits(*, patient, by):
    """Plan the visits from day 0 on."""
    _plan(patient, schedule.plan(patient.protocol, patient.day_0), by)


def _plan(patient, windows, by):
    protocol = patient.protocol
    with acting(by):
        visits = Visit.objects.bulk_create(
            Visit(
                patient=patient,
                code=visit.code,
                protocol_version=protocol.version,
                day=visit.day,
                planned_on=window.planned,
                earliest=window.earliest,
                latest=window.latest,
            )
            for visit, window in windows
        )
        PanelRecord.objects.bulk_create(
            PanelRecord(
                patient=patient, visit=visit, code=panel.code, protocol_version=protocol.version, position=position
            )
            for visit in visits
            for position, panel in enumerate(protocol.panels_of(visit.code, patient.sex))
        )


def follow_amendment(*, patient, on, by):
    """Let what is still planned follow the version to which the patient moved on this day.

    Visits that took place, were missed or begun, and panels that were entered, stay under the version they were made
    under. A visit that the new version does without is cancelled, a panel not asked for any more is not done; a new
    visit is planned unless its window had closed."""
    protocol = patient.protocol
    windows = {
        visit.code: schedule.screening_window(protocol, visit, patient.screened_on)
        for visit in protocol.screening_visits
    }
    if patient.day_0:
        windows |= {visit.code: window for visit, window in schedule.plan(protocol, patient.day_0)}
    with acting(by, because("protocol version %(version)s followed from %(day)s", version=protocol.version, day=on)):
        there = Visit.objects.select_for_update(of=("self",)).filter(patient=patient, is_scheduled=True)
        codes, followed = set(), []
        for visit in there.order_by("id"):
            codes.add(visit.code)
            if visit.state != VisitState.PLANNED:
                continue
            visit.patient = patient
            if window := windows.get(visit.code):
                visit.protocol_version = protocol.version
                visit.day = protocol.visit(visit.code).day
                visit.planned_on, visit.earliest, visit.latest = window.planned, window.earliest, window.latest
                followed.append(visit)
            else:
                visit.state = VisitState.CANCELLED  # under the version that knows it
            next_version(visit, "protocol_version", "day", "planned_on", "earliest", "latest", "state")
        _follow_panels(patient, followed, by)
        new = [
            (protocol.visit(code), window)
            for code, window in windows.items()
            if code not in codes and window.latest >= on
        ]
        _plan(patient, new, by)


def _follow_panels(patient, visits, by):
    """Panels of planned visits in which nothing was entered are those of the new version."""
    protocol, by_id = patient.protocol, {visit.pk: visit for visit in visits}
    wanted = {
        visit.pk: {p.code: i for i, p in enumerate(protocol.panels_of(visit.code, patient.sex))} for visit in visits
    }
    changed = []
    for panel in PanelRecord.objects.select_for_update(of=("self",)).filter(visit__in=by_id):
        position = wanted[panel.visit_id].pop(panel.code, None)
        if panel.state != PanelState.EXPECTED:
            continue
        panel.version += 1
        panel.protocol_version = protocol.version
        if position is None:
            move_panel(panel, PanelState.NOT_DONE)
            panel.entered_by, panel.entered_at = by, timezone.now()
            panel.not_done_because = because(
                "No longer asked for under protocol version %(version)s", version=protocol.version
            )
        else:
            panel.position = position
        changed.append(panel)
    names = ["version", "protocol_version", "position", "state", "not_done_because", "entered_by", "entered_at"]
    PanelRecord.objects.bulk_update(changed, names)
    PanelRecord.objects.bulk_create(
        PanelRecord(patient=patient, visit_id=pk, code=code, protocol_version=protocol.version, position=position)
        for pk, codes in wanted.items()
        for code, position in codes.items()
    )


NOT_FOR_SEX = because("Not asked for in the corrected sex")


def follow_sex(*, patient, by):
    """Let panels in which nothing was entered follow the sex of the patient, which was corrected: those of the other sex
    are not done, those of this one expected. Held visits stay as they are."""
    with acting(by):
        visits = {
            visit.pk: visit for visit in Visit.objects.select_for_update(of=("self",)).filter(
                patient=patient, is_scheduled=True, hold="", state__in=[VisitState.PLANNED, VisitState.ATTENDED]
            )
        }  # fmt: skip
        wanted = {
            pk: {p.code: n for n, p in enumerate(visit.protocol.panels_of(visit.code, patient.sex))}
            for pk, visit in visits.items()
        }
        for panel in PanelRecord.objects.select_for_update(of=("self",)).filter(visit__in=visits):
            is_wanted = wanted[panel.visit_id].pop(panel.code, None) is not None
            if is_wanted and panel.not_done_because == NOT_FOR_SEX:
                move_panel(panel, PanelState.EXPECTED)
            elif not is_wanted and panel.state == PanelState.EXPECTED:
                move_panel(panel, PanelState.NOT_DONE)
            else:
                continue
            panel.not_done_because = "" if is_wanted else NOT_FOR_SEX
            panel.entered_by, panel.entered_at = by, timezone.now()
            next_version(panel, "state", "not_done_because", "entered_by", "entered_at")
        PanelRecord.objects.bulk_create(
            PanelRecord(
                patient=patient, visit_id=pk, code=code, protocol_version=visits[pk].protocol_version, position=position
            )
            for pk, codes in wanted.items()
            for code, position in codes.items()
        )


def move_plan(*, patient, day_0, reason, by):
    """Move day 0, and with it the windows of the visits after it.

    Those that took place follow too: whether they were on time is a question about the true day 0, and only these
    windows answer it. Week 0 itself, once attended, stays where the randomisation planned it, so that a late first
    infusion is seen; and what is frozen or locked stays as it is."""
    with acting(by, reason):
        patient = set_day_0(patient=patient, day_0=day_0, reason=reason, by=by)
        planned = list(
            Visit.objects.select_for_update(of=("self",))
            .filter(Q(state=VisitState.PLANNED, day__gte=0) | Q(day__gt=0), patient=patient, is_scheduled=True, hold="")
            .exclude(state=VisitState.CANCELLED)
        )
        for visit in planned:
            window = schedule.window_for(visit.protocol.visit(visit.code), day_0)
            visit.planned_on, visit.earliest, visit.latest = window.planned, window.earliest, window.latest
            visit.version += 1
        Visit.objects.bulk_update(planned, ["planned_on", "earliest", "latest", "version"])


def move_panel(panel, state):
    """Put a panel into another state, where PANEL_TRANSITIONS has the way there; raises Refused elsewhere."""
    if state != panel.state and state not in PANEL_TRANSITIONS[PanelState(panel.state)]:
        told = {"now": panel.get_state_display(), "wanted": PanelState(state).label}
        raise Refused(_("This panel is %(now)s: it cannot become %(wanted)s. Take the entry back first.") % told)
    panel.state = state


def add_unscheduled_visit(*, patient, on, panels, by):
    """A visit that the plan does not have, with the panels that were done."""
    with acting(by, because("unscheduled visit")):
        patient = lock_open_patient(patient)
        refuse_before_consent(patient, on, "on")
        errors = {}
        if not patient.is_open:
            errors[""] = [_("The patient is not in the trial: %(state)s.") % {"state": patient.get_state_display()}]
        if not patient.screened_on <= on <= today_at(patient.site):
            errors["on"] = [_("The date must lie between screening and today.")]
        if not panels:
            errors["panels"] = [_("Choose at least one panel.")]
        if errors:
            raise Refused(errors)
        count = Visit.objects.filter(patient=patient, is_scheduled=False).count()
        visit = Visit.objects.create(
            patient=patient,
            code=f"U{count + 1}",
            protocol_version=patient.protocol_version,
            is_scheduled=False,
            planned_on=on,
            earliest=on,
            latest=on,
            state=VisitState.ATTENDED,
            attended_on=on,
        )
        PanelRecord.objects.bulk_create(
            PanelRecord(
                patient=patient, visit=visit, code=code, protocol_version=patient.protocol_version, position=position
            )
            for position, code in enumerate(panels)
        )
    return visit


def lock_visit(visit, version=None, *, even_frozen=False):
    """The visit's row and its patient's, locked until the end of the transaction; refuses when they are held.

    Raises Stale when `version` is not current. What changes no data (`even_frozen`) is also done with a visit that is no
    longer planned: a question about it can still be answered and closed. Who locks both takes the patient first, here and everywhere."""
    visits = Visit.objects.select_for_update(of=("patient", "self")).select_related("patient__site")
    locked = visits.get(pk=visit.pk)
    check_version(locked, version)
    refuse_when_held(locked.patient, locked, even_frozen=even_frozen)
    if locked.state == VisitState.CANCELLED and not even_frozen:
        raise Refused(_("This visit is no longer planned: the patient moved to a protocol version without it."))
    return locked


def record_attendance(*, visit, attended_on, version, reason="", by):
    """Record the day on which a visit took place, or correct it."""
    with acting(by, reason or because("visit took place on %(day)s", day=attended_on)):
        visit = lock_visit(visit, version)
        refuse_impossible_day(visit.patient, attended_on, "attended_on")
        if visit.was_told:
            require_reason(reason, _("Write why the date is changed."))
        visit.state, visit.attended_on, visit.missed_because = VisitState.ATTENDED, attended_on, ""
        next_version(visit, "state", "attended_on", "missed_because")
    return visit


def record_missed_visit(*, visit, missed_because, version, reason="", by):
    """Record that a planned visit did not take place, and why, or correct that."""
    with acting(by, reason or because("visit missed: %(why)s", why=missed_because)):
        visit = lock_visit(visit, version)
        errors = {}
        if not missed_because.strip():
            errors["missed_because"] = [_("Write why the visit was missed.")]
        if visit.panels.filter(state__in=WITH_VALUES).exists() or hasattr(visit, "infusion"):
            errors[""] = [_("Data of this visit were entered: it was not missed.")]
        if visit.earliest > today_at(visit.patient.site):
            errors[""] = [_("The window of this visit has not opened.")]
        if errors:
            raise Refused(errors)
        if visit.was_told:
            require_reason(reason)
        visit.state, visit.attended_on, visit.missed_because = VisitState.MISSED, None, missed_because
        next_version(visit, "state", "attended_on", "missed_because")
    return visit


def refuse_impossible_day(patient, day, field):
    """Raise Refused (at `field`) for a day on which nothing of this patient can have been done."""
    around = edit_checks.Surroundings(
        today=today_at(patient.site), screened_on=patient.screened_on, died_on=died_on(patient),
        consented_on=refuse_before_consent(patient),
    )  # fmt: skip
    if impossible := edit_checks.problems_of_day(day, around, hard=True):
        raise refused_by(impossible[:1], patient, field)


def died_on(patient):
    """The day of the patient's death, or None."""
    death = patient.state == State.DIED and Disposition.objects.filter(patient=patient, state=State.DIED).last()
    return death.on if death else None


def plan_again_when_empty(visit):
    """A visit whose last entry was taken back has not taken place, for all that is known."""
    visit = lock_visit(visit)
    done = visit.panels.exclude(state=PanelState.EXPECTED).exists() or hasattr(visit, "infusion")
    if visit.is_scheduled and visit.state == VisitState.ATTENDED and not done:
        visit.state, visit.attended_on = VisitState.PLANNED, None
        next_version(visit, "state", "attended_on")


def mark_attended(visit, on):
    if visit.state == VisitState.ATTENDED:
        return
    visit = lock_visit(visit)  # somebody may have recorded its day meanwhile
    if visit.state != VisitState.ATTENDED:
        visit.state, visit.attended_on, visit.missed_because = VisitState.ATTENDED, on, ""
        next_version(visit, "state", "attended_on", "missed_because")
