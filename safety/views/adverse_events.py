"""Pages about adverse events: reporting, changing and marking one. All of them are a listing."""

from zoneinfo import ZoneInfo

from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from patients.forms import ReasonForm
from patients.views import load_patient, strip_of
from safety import actions
from safety.forms import AdverseEventForm
from safety.listings.table import address_of
from safety.models import AdverseEvent
from trialsite.roles import Permission, can, needs, require
from trialsite.saving import Saved, answer_form
from visits.views import marks_of_parts


@needs(Permission.VIEW_ADVERSE_EVENTS)
@require_GET
def list_adverse_events(request):
    """The address above those of single events: the listing has them all."""
    return redirect(address_of("events", **dict(request.GET.lists())))


@needs(Permission.VIEW_ADVERSE_EVENTS)
@require_GET
def show_serious(request):
    """The section of the start page, which asks for it once it is shown."""
    from safety.home import serious_and_open

    return render(request, "_work_list.html", {"section": serious_and_open(request.user, request.GET)})


def event_context(request, patient, heading, **more):
    """The context of a page about an event, worked out when the page is shown."""
    context = {
        "patient": patient,
        "heading": heading,
        "cancel": reverse("patients:show_patient", args=[patient.pk]),
        **more,
    }
    return lambda: {"strip": strip_of(request.user, patient), **context}


@needs(Permission.REPORT_ADVERSE_EVENTS)
def report_adverse_event(request, patient_pk):
    patient = load_patient(request.user, patient_pk)
    require(request.user, Permission.REPORT_ADVERSE_EVENTS, patient.site)
    form = AdverseEventForm(
        request.POST or None, about=patient, protocol=patient.protocol, zone=ZoneInfo(patient.site.timezone),
        initial={name: request.GET[name] for name in ("term", "infusion_number") if name in request.GET},
    )  # fmt: skip

    def save(form):
        event = actions.report_adverse_event(patient=patient, values=form.event_values, confirmed=form.confirmed, asked=form.asked, by=request.user)
        return Saved(reverse("safety:show_adverse_event", args=[event.pk]), event.version, _("The event is reported."))

    context = event_context(request, patient, _("Report an adverse event"))
    return answer_form(request, form, "safety/adverse_event_form.html", context, save)


def load_event(user, pk):
    events = AdverseEvent.objects.visible_to(user).with_codes().select_related("patient__site", "reported_by", "case")
    return get_object_or_404(events, pk=pk)


@needs(Permission.VIEW_ADVERSE_EVENTS)
@require_GET
def show_adverse_event(request, pk):
    event = load_event(request.user, pk)
    may_change = (
        can(request.user, Permission.REPORT_ADVERSE_EVENTS, event.patient.site)
        and not event.is_withdrawn and not event.patient.is_held
    )  # fmt: skip
    marks = marks_of_parts(request.user, event, [])
    results = event.results.filter(is_withdrawn=False).select_related("measurement").order_by("measurement__collected_on")
    context = event_context(
        request, event.patient, event.term, event=event, may_change=may_change, marks=marks, results=results
    )
    return render(request, "safety/show_adverse_event.html", context())


@needs(Permission.REPORT_ADVERSE_EVENTS)
def change_adverse_event(request, pk):
    event = load_event(request.user, pk)
    patient = event.patient
    require(request.user, Permission.REPORT_ADVERSE_EVENTS, patient.site)
    form = AdverseEventForm(
        request.POST or None, record=event, about=event, protocol=patient.protocol, zone=ZoneInfo(patient.site.timezone)
    )

    def save(form):
        saved = actions.change_adverse_event(
            event=event, values=form.event_values, version=form.cleaned_data["version"],
            reason=form.cleaned_data["reason"], confirmed=form.confirmed, asked=form.asked, by=request.user,
        )  # fmt: skip
        return Saved(reverse("safety:show_adverse_event", args=[pk]), saved.version, _("The change is saved."))

    back = reverse("safety:show_adverse_event", args=[pk])
    context = event_context(request, patient, _("Change the adverse event"), event=event, cancel=back)
    return answer_form(request, form, "safety/adverse_event_form.html", context, save)


@needs(Permission.REPORT_ADVERSE_EVENTS)
def withdraw_adverse_event(request, pk):
    event = load_event(request.user, pk)
    require(request.user, Permission.REPORT_ADVERSE_EVENTS, event.patient.site)
    form = ReasonForm(request.POST or None, record=event)

    def save(form):
        saved = actions.withdraw_adverse_event(
            event=event, reason=form.cleaned_data["reason"], version=form.cleaned_data["version"], by=request.user
        )
        return Saved(address_of("events"), saved.version, _("The event is marked as an error."))

    back = reverse("safety:show_adverse_event", args=[pk])
    context = event_context(request, event.patient, _("Mark “%s” as entered in error") % event.term, cancel=back)
    return answer_form(request, form, "form.html", context, save)
