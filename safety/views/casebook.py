"""Pages of a patient's casebook: everything about one patient on one page, and its certified copies."""

from django.shortcuts import render
from django.views.decorators.http import require_GET

from patients.views import load_patient, strip_of, tabs_of
from safety.casebook import page
from safety.casebook.trail import hidden_tables
from trialsite.pages import sees_secret_tables
from trialsite.roles import Permission, can, needs


@needs(Permission.VIEW_PATIENTS)
@require_GET
def show_casebook(request, patient_pk):
    """The way of a patient on one axis, the course of what is followed, every panel's state, the last changes."""
    patient = load_patient(request.user, patient_pk)
    visits = page.visits_of(patient)
    panels = page.panels_of(patient, visits)
    sees_trail = can(request.user, Permission.VIEW_AUDIT_TRAIL, patient.site)
    eyes = eyes_of(request.user, patient)
    context = {
        "patient": patient,
        "strip": strip_of(request.user, patient),
        "tabs": tabs_of(patient, "safety:show_casebook"),
        "lanes": page.lanes_of(request.user, patient, visits),
        "courses": page.courses_of(patient, visits),
        "grid": page.grid_of(visits, panels),
        "counts": page.counts_of(panels),
        "legend": page.LEGEND,
        "sees_trail": sees_trail,
        "history": page.last_changes(patient, visits, panels, hidden_tables(**eyes)) if sees_trail else [],
    }
    return render(request, "safety/show_casebook.html", context)


def eyes_of(user, patient):
    """What of this patient the person may see, beyond the plain records."""
    return {
        "sees_arm": sees_secret_tables(user, patient.site),
        "sees_events": can(user, Permission.VIEW_ADVERSE_EVENTS, patient.site),
    }
