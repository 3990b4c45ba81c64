"""What pages about patients share: the door, the head, the tabs, the frame of a form."""

from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _

from patients.arms import arm_position, arms_seen_by
from patients.models import Patient, State
from trialsite.clock import day_at, today_at
from trialsite.models import Site
from trialsite.roles import Permission, sites_where

PER_PAGE = 50
STATE_CLASS = {
    State.SCREENING: "due",
    State.ELIGIBLE: "due",
    State.SCREEN_FAILED: "not-done",
    State.RANDOMISED: "active",
    State.COMPLETED: "entered",
    State.WITHDRAWN: "missed",
    State.LOST: "missed",
    State.DIED: "missed",
}


def load_patient(user, pk):
    return get_object_or_404(Patient.objects.visible_to(user).select_related("site"), pk=pk)


def visible_sites(user, permission=Permission.VIEW_PATIENTS):
    ids = sites_where(user, permission)
    return Site.objects.all() if ids is None else Site.objects.filter(pk__in=ids)


def strip_of(user, patient, arm=None):
    """The head of every page of a patient: number, state, arm where it may be seen, day in the trial."""
    arm = arm if arm is not None else arms_seen_by(user, [patient]).get(patient.pk)
    today = today_at(patient.site)
    running = patient.state == State.RANDOMISED
    return {
        "number": patient.number,
        "url": reverse("patients:show_patient", args=[patient.pk]),
        "site": str(patient.site),
        "sex": patient.get_sex_display(),
        "age": patient.age_on(today),
        "state": patient.get_state_display(),
        "state_class": STATE_CLASS[patient.state],
        "arm": patient.protocol.arm(arm).name if arm else "",
        "arm_class": str(arm_position(arm)) if arm else "masked",
        "day": (today - patient.day_0).days if running and patient.day_0 else None,
    }


def unmasked_text(patient):
    """The mark of a patient who was unmasked: that and when, which tells no arm. The log has its own readers."""
    first = patient.unmaskings.order_by("pk").first()
    return _("unmasked on %(day)s") % {"day": day_at(patient.site, first.unmasked_at)} if first else ""


def tabs_of(patient, here):
    pages = [
        ("patients:show_patient", _("Overview")),
        ("patients:show_background", _("Consent and history")),
        ("safety:show_casebook", _("Casebook")),
    ]
    return [(reverse(name, args=[patient.pk]), label, name == here) for name, label in pages]


def patient_form_context(request, patient, heading, **more):
    """The context of a form about a patient, worked out when the page is shown."""
    return lambda: {
        "patient": patient,
        "strip": strip_of(request.user, patient),
        "heading": heading,
        "cancel": reverse("patients:show_patient", args=[patient.pk]),
        **more,
    }
