"""One patient: where the patient stands, what was before, what was overtaken."""

from django.conf import settings
from django.shortcuts import render
from django.urls import reverse
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from patients import actions
from patients.models import HivHistory, State
from patients.views.parts import load_patient, strip_of, tabs_of, unmasked_text
from trialsite import trial
from trialsite.roles import Permission, can, needs
from trialsite.words import listed


@needs(Permission.VIEW_PATIENTS)
@require_GET
def show_patient(request, pk):
    """Where the patient stands: the way through the trial, visits, the course of CD4, adverse events."""
    patient = load_patient(request.user, pk)
    consents = list(patient.consents.all())
    assessment = patient.assessments.last()
    dispositions = list(patient.dispositions.all())
    is_masked = trial.current_protocol().is_masked
    context = {
        "patient": patient,
        "tabs": tabs_of(patient, "patients:show_patient"),
        "strip": strip_of(request.user, patient) | ({"note": unmasked_text(patient)} if is_masked else {}),
        "may_unmask": is_masked
        and patient.is_randomised
        and can(request.user, Permission.UNMASK_PATIENTS, patient.site),
        "consents": consents,
        "may_enter": can(request.user, Permission.ENTER_DATA, patient.site) and not patient.is_held,
        "may_decide": can(request.user, Permission.DECIDE_ELIGIBILITY, patient.site) and not patient.is_held,
        "to_sign": bool(consents) and actions.has_form_to_sign(patient, consents),
        "sections": {},
    }
    for name in settings.PATIENT_SECTIONS:
        context["sections"] |= import_string(name)(request.user, patient)
    context["steps"] = steps_of(patient, consents, assessment, dispositions, context["sections"]["timeline"])
    return render(request, "patients/show_patient.html", context)


def steps_of(patient, consents, assessment, dispositions, visits):
    """From screening to the end: where the patient stands, and what comes next. `visits` are those of the timeline."""

    def step(label, state, note="", url=""):
        words = {"done": _("done"), "current": _("next"), "failed": _("failed"), "": _("later")}
        return {"label": label, "state": state, "note": note, "url": url, "state_text": words[state]}

    def address(name):
        return "" if patient.is_held else reverse(f"patients:{name}", args=[patient.pk])

    ended = not patient.is_open
    screening = [visit for visit in visits if visit["is_screening"]]
    still_open = [visit for visit in screening if visit["status"] in ("expected", "due", "overdue", "draft")]
    in_screening = patient.state == State.SCREENING and consents
    steps = [step(_("Screened"), "done", patient.screened_on.isoformat())]
    if consents:
        steps.append(step(_("Consent"), "done", str(consents[-1])))
    else:
        steps.append(step(_("Consent"), "" if ended else "current", url="" if ended else address("record_consent")))
    if still_open and not patient.day_0:
        here = "current" if in_screening else ""
        steps.append(
            step(_("Screening visit"), here, still_open[0]["status_text"], still_open[0]["url"] if here else "")
        )
    elif screening:
        steps.append(step(_("Screening visit"), "done" if not still_open else "", screening[-1]["date"]))
    if assessment is None:
        here = "current" if in_screening and not still_open else ""
        steps.append(step(_("Eligibility"), here, url=address("assess_eligibility") if in_screening else ""))
    elif assessment.is_eligible:
        steps.append(step(_("Eligibility"), "done", _("eligible on %s") % assessment.assessed_on))
    else:
        unmet = _("not met: %s") % listed(assessment.unmet)
        steps.append(step(_("Eligibility"), "failed", unmet, address("assess_eligibility") if in_screening else ""))
    if patient.day_0:
        steps.append(step(_("Randomised"), "done", _("day 0: %s") % patient.day_0))
    else:
        ready = patient.state == State.ELIGIBLE
        url = address("randomise_patient") if ready else ""
        steps.append(step(_("Randomisation"), "current" if ready else "", url=url))
    if dispositions:
        last = dispositions[-1]
        good = last.state == State.COMPLETED
        steps.append(step(last.get_state_display(), "done" if good else "failed", last.on.isoformat()))
    elif patient.day_0:
        following = next((v for v in visits if v["status"] in ("expected", "due", "overdue", "draft")), None)
        if following:
            note = _("next: %(visit)s, %(date)s") % {"visit": following["label"], "date": following["date"]}
            steps.append(step(_("Treatment and follow-up"), "current", note, following["url"]))
        else:
            steps.append(step(_("End of the trial"), "current", url=address("record_disposition")))
    else:
        steps.append(step(_("Treatment and follow-up"), ""))
    return steps


@needs(Permission.VIEW_PATIENTS)
@require_GET
def show_background(request, pk):
    """What was before the trial and beside it: consent, eligibility, histories, medication."""
    patient = load_patient(request.user, pk)
    answers = list(patient.criterionanswers.select_related("assessment").order_by("-assessment", "id"))
    assessment = answers[0].assessment if answers else None
    context = {
        "patient": patient,
        "tabs": tabs_of(patient, "patients:show_background"),
        "strip": strip_of(request.user, patient),
        "consents": patient.consents.all(),
        "assessment": assessment,
        "answers": [answer for answer in answers if answer.assessment_id == assessment.pk],
        "criteria": {c.code: c.text for c in trial.protocol(assessment.protocol_version).eligibility.criteria}
        if assessment
        else {},
        "hiv": HivHistory.objects.filter(patient=patient).first(),
        "regimens": patient.artregimens.all(),
        "histories": patient.medical_histories.all(),
        "medications": patient.medications.all(),
        "may_enter": can(request.user, Permission.ENTER_DATA, patient.site) and not patient.is_held,
    }
    return render(request, "patients/show_background.html", context)


@needs(Permission.VIEW_PATIENTS)
@require_GET
def show_overtaken(request, pk):
    """What an assessment of eligibility rested on and is otherwise by now: the background page asks for it."""
    patient = load_patient(request.user, pk)
    answers = list(patient.criterionanswers.select_related("assessment").order_by("-assessment", "id"))
    overtaken = actions.overtaken_by(patient, answers[0].assessment, answers) if answers else {}
    return render(request, "patients/_overtaken.html", {"overtaken": overtaken})
