"""Pages about adverse events: reporting, changing and marking one. All of them are a listing."""

from functools import partial
from zoneinfo import ZoneInfo

from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from patients.views import load_patient, strip_of
from safety import actions
from safety.abnormal_results import seen_told
from safety.forms import AdverseEventForm, grade_words
from safety.listings.table import address_of
from safety.models import AdverseEvent
from trialsite import trial
from trialsite.clock import day_at
from trialsite.ctcae import term_told
from trialsite.forms import answer_reason
from trialsite.roles import Permission, can, needs, require
from trialsite.saving import Saved, answer_form
from visits.models import Infusion
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


def event_form(request, patient, **more):
    """The form of an event of this patient. Whether it came back is asked once a second infusion was given."""
    return AdverseEventForm(
        request.POST or None, protocol=patient.protocol, zone=ZoneInfo(patient.site.timezone),
        was_given_again=Infusion.objects.filter(patient=patient).count() > 1, **more,
    )  # fmt: skip


@needs(Permission.REPORT_ADVERSE_EVENTS)
def report_adverse_event(request, patient_pk):
    patient = load_patient(request.user, patient_pk)
    require(request.user, Permission.REPORT_ADVERSE_EVENTS, patient.site)
    initial = {name: request.GET[name] for name in ("term", "infusion_number") if name in request.GET}
    form = event_form(request, patient, about=patient, initial=initial)

    def save(form):
        event = actions.report_adverse_event(
            patient=patient, values=form.event_values, confirmed=form.confirmed, asked=form.asked, by=request.user
        )
        return Saved(reverse("safety:show_adverse_event", args=[event.pk]), event.version, _("The event is reported."))

    context = event_context(request, patient, _("Report an adverse event"))
    return answer_form(request, form, "safety/adverse_event_form.html", context, save)


@needs(Permission.REPORT_ADVERSE_EVENTS)
@require_GET
def show_event_grades(request):
    """The published words of the grades of an event, put beside the choice while it is entered."""
    words = grade_words(trial.current_protocol(), request.GET.get("term", ""), request.GET.get("grade", ""))
    return render(request, "visits/show_grade_words.html", words)


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
    results = list(event.results.filter(is_withdrawn=False).select_related("measurement", "reaction__infusion"))
    for one in results:
        one.on = day_at(event.patient.site, one.reaction.began_at) if one.reaction else one.measurement.collected_on
        one.told = seen_told(one.reaction) if one.reaction else ""
    results.sort(key=lambda one: (one.on, one.pk))
    context = event_context(
        request, event.patient, event.term, event=event, may_change=may_change, marks=marks, results=results
    )
    return render(request, "safety/show_adverse_event.html", context())


@needs(Permission.REPORT_ADVERSE_EVENTS)
def change_adverse_event(request, pk):
    event = load_event(request.user, pk)
    patient = event.patient
    require(request.user, Permission.REPORT_ADVERSE_EVENTS, patient.site)
    form = event_form(request, patient, record=event, about=event)

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
    cancel = reverse("safety:show_adverse_event", args=[pk])
    heading = _("Mark “%s” as entered in error") % term_told(event.term)
    context = event_context(request, event.patient, heading, cancel=cancel)
    return answer_reason(
        request, event, partial(actions.withdraw_adverse_event, event=event), context,
        back=address_of("events"), said=_("The event is marked as an error."),
    )  # fmt: skip
