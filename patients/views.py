"""Pages about who is in the trial. Each view guards, loads through the door, acts, redirects."""

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import Http404
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from patients import actions, forms
from patients.arms import arm_position, arms_seen_by
from patients.models import (
    TRANSITIONS,
    AllocationList,
    AllocationSlot,
    ArtRegimen,
    Consent,
    Halt,
    HivHistory,
    MedicalHistory,
    Medication,
    Patient,
    Scope,
    State,
)
from patients.randomisation import BadList
from trialsite import trial
from trialsite.models import Site
from trialsite.roles import Permission, can, can_see_arm, needs, require, sites_where
from trialsite.saving import Refused, Saved, answer_form

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

# slug: (model, form, heading)
LINES = {
    "hiv": (HivHistory, forms.HivHistoryForm, gettext_lazy("HIV history")),
    "art": (ArtRegimen, forms.ArtRegimenForm, gettext_lazy("Antiretroviral treatment")),
    "history": (MedicalHistory, forms.MedicalHistoryForm, gettext_lazy("Medical history")),
    "medication": (Medication, forms.MedicationForm, gettext_lazy("Concomitant medication")),
}


SEVERAL = ("art", "history", "medication")  # of these a patient may have any number


def load_patient(user, pk):
    return get_object_or_404(Patient.objects.visible_to(user).select_related("site"), pk=pk)


def strip_of(user, patient, arm=None):
    """The head of every page of a patient: number, state, arm where it may be seen, day in the trial."""
    arm = arm if arm is not None else arms_seen_by(user, [patient]).get(patient.pk)
    today = actions.today_at(patient.site)
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
    return _("unmasked on %(day)s") % {"day": actions.day_at(patient.site, first.unmasked_at)} if first else ""


@needs(Permission.VIEW_PATIENTS)
@require_GET
def list_patients(request):
    sites, states = request.GET.getlist("site"), request.GET.getlist("state")
    patients = Patient.objects.visible_to(request.user).select_related("site")
    chosen_sites = [int(pk) for pk in sites if pk.isascii() and pk.isdigit() and len(pk) < 10]
    if chosen_sites:
        patients = patients.filter(site__in=chosen_sites)
    chosen_states = [state for state in states if state in State.values]
    if chosen_states:
        patients = patients.filter(state__in=chosen_states)
    page = Paginator(patients, PER_PAGE).get_page(request.GET.get("page"))
    arms = arms_seen_by(request.user, page.object_list)
    for patient in page.object_list:
        patient.strip = strip_of(request.user, patient, arms.get(patient.pk, ""))
    context = {
        "page": page,
        "counts": counts_by_state(request.user),
        "sites": visible_sites(request.user),
        "states": State.choices,
        "chosen_sites": chosen_sites,
        "chosen_states": chosen_states,
        "find_form": forms.FindPatientForm(),
    }
    return render(request, "patients/list_patients.html", context)


def counts_by_state(user):
    counts = dict(
        Patient.objects.visible_to(user)
        .order_by()
        .values_list("state")
        .annotate(n=Count("id"))
        .values_list("state", "n")
    )
    return [(label, counts.get(state, 0)) for state, label in State.choices]


def visible_sites(user, permission=Permission.VIEW_PATIENTS):
    ids = sites_where(user, permission)
    return Site.objects.all() if ids is None else Site.objects.filter(pk__in=ids)


@needs(Permission.VIEW_PATIENTS)
@require_POST
def find_patient(request):
    """Go to a patient by number; by POST, so that no number stands in an address or a log."""
    form = forms.FindPatientForm(request.POST)
    number = form.cleaned_data["number"].strip() if form.is_valid() else ""
    patient = Patient.objects.visible_to(request.user).filter(number=number).first()
    if patient is None:
        messages.error(request, _("There is no patient with this number."))
        return redirect("patients:list_patients")
    return redirect("patients:show_patient", pk=patient.pk)


@needs(Permission.ENTER_DATA)
def screen_patient(request):
    sites = visible_sites(request.user, Permission.ENTER_DATA)
    form = forms.ScreenPatientForm(request.POST or None, sites=sites)

    def save(form):
        patient = actions.screen_patient(**form.values, by=request.user)
        message = _("Patient %(number)s is in screening.") % {"number": patient.number}
        return Saved(reverse("patients:show_patient", args=[patient.pk]), patient.version, message)

    context = {
        "heading": _("Screen a patient"),
        "submit": _("Start screening"),
        "cancel": reverse("patients:list_patients"),
    }
    return answer_form(request, form, "form.html", context, save)


def tabs_of(patient, here):
    pages = [
        ("patients:show_patient", _("Overview")),
        ("patients:show_background", _("Consent and history")),
        ("safety:show_casebook", _("Casebook")),
    ]
    return [(reverse(name, args=[patient.pk]), label, name == here) for name, label in pages]


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
        "sections": {},
    }
    for name in settings.PATIENT_SECTIONS:
        context["sections"] |= import_string(name)(request.user, patient)
    context["steps"] = steps_of(patient, consents, assessment, dispositions, context["sections"]["timeline"])
    return render(request, "patients/show_patient.html", context)


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
        steps.append(step(_("Consent"), "done", str(consents[0])))
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
        unmet = _("not met: %s") % ", ".join(assessment.unmet)
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


def patient_form_context(request, patient, heading, **more):
    """The context of a form about a patient, worked out when the page is shown."""
    return lambda: {
        "patient": patient,
        "strip": strip_of(request.user, patient),
        "heading": heading,
        "cancel": reverse("patients:show_patient", args=[patient.pk]),
        **more,
    }


@needs(Permission.ENTER_DATA)
def correct_person(request, pk):
    patient = load_patient(request.user, pk)
    require(request.user, Permission.ENTER_DATA, patient.site)
    form = forms.PersonForm(
        request.POST or None, record=patient, initial={"birth_date": patient.birth_date, "sex": patient.sex}
    )

    def save(form):
        saved = actions.correct_person(
            patient=patient, **form.values, version=form.cleaned_data["version"], by=request.user
        )
        return Saved(
            reverse("patients:show_background", args=[pk]), saved.version, corrected(patient, saved)
        )

    context = patient_form_context(request, patient, _("Correct date of birth or sex"))
    return answer_form(request, form, "form.html", context, save)


def corrected(before, after):
    """What is told after a correction: also that the patient is to be assessed again."""
    if before.state == State.ELIGIBLE and after.state == State.SCREENING:
        return _("Corrected. Eligibility rests on this: assess it again.")
    return _("Corrected.")


@needs(Permission.ENTER_DATA)
def correct_consent(request, pk):
    consent = get_object_or_404(Consent.objects.visible_to(request.user).select_related("patient__site"), pk=pk)
    patient = consent.patient
    require(request.user, Permission.ENTER_DATA, patient.site)
    form = forms.CorrectConsentForm(request.POST or None, record=consent)

    def save(form):
        saved = actions.correct_consent(
            consent=consent, **form.values, version=form.cleaned_data["version"], by=request.user
        )
        after = load_patient(request.user, patient.pk)
        return Saved(reverse("patients:show_background", args=[patient.pk]), saved.version, corrected(patient, after))

    context = patient_form_context(
        request, patient, _("Correct the consent"), intro=_("Form %(version)s") % {"version": consent.form_version}
    )
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.ENTER_DATA)
def record_consent(request, pk):
    patient = load_patient(request.user, pk)
    require(request.user, Permission.ENTER_DATA, patient.site)
    forms_there = [form for form, _version, _approved in actions.consent_forms_for(patient).values()]
    form = forms.ConsentForm(request.POST or None, forms_there=forms_there, record=patient)

    def save(form):
        actions.record_consent(patient=patient, **form.values, version=form.cleaned_data["version"], by=request.user)
        return Saved(reverse("patients:show_patient", args=[pk]), patient.version + 1, _("The consent is recorded."))

    return answer_form(request, form, "form.html", patient_form_context(request, patient, _("Informed consent")), save)


@needs(Permission.ENTER_DATA)
def save_line(request, pk, kind, line_pk=None):
    """Add or change a line of a history or medication list."""
    if kind not in LINES:
        raise Http404
    model, form_class, heading = LINES[kind]
    patient = load_patient(request.user, pk)
    require(request.user, Permission.ENTER_DATA, patient.site)
    line = get_object_or_404(model.objects.filter(patient=patient), pk=line_pk) if line_pk else None
    form = form_class(request.POST or None, record=line, about=line or patient)

    def save(form):
        saved = actions.save_line(
            model=model, patient=patient, values=form.line_values, line=line,
            version=form.cleaned_data["version"] if line else None,
            reason=form.cleaned_data.get("reason", ""), confirmed=form.confirmed, asked=form.asked, by=request.user,
        )  # fmt: skip
        if more and request.POST.get("next") == "another":
            message = _("Saved: %(line)s. Enter the next one.") % {"line": saved}
            return Saved(reverse("patients:add_line", args=[pk, kind]), saved.version, message)
        return Saved(reverse("patients:show_background", args=[pk]) + f"#{kind}", saved.version, _("Saved."))

    more = line is None and kind in SEVERAL
    withdraw = ""
    if line is not None and hasattr(line, "is_withdrawn") and not line.is_withdrawn:
        withdraw = reverse("patients:withdraw_line", args=[pk, kind, line.pk])
    context = patient_form_context(request, patient, heading, line=line, withdraw=withdraw, another=more)
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.ENTER_DATA)
def withdraw_line(request, pk, kind, line_pk):
    if kind not in SEVERAL:
        raise Http404
    model, _form, heading = LINES[kind]
    patient = load_patient(request.user, pk)
    require(request.user, Permission.ENTER_DATA, patient.site)
    line = get_object_or_404(model.objects.filter(patient=patient), pk=line_pk)
    form = forms.ReasonForm(request.POST or None, record=line)

    def save(form):
        saved = actions.withdraw_line(
            line=line, version=form.cleaned_data["version"], reason=form.cleaned_data["reason"], by=request.user
        )
        return Saved(
            reverse("patients:show_background", args=[pk]) + f"#{kind}", saved.version, _("Marked as an error.")
        )

    heading = _("%(list)s: mark “%(line)s” as entered in error") % {"list": heading, "line": line}
    return answer_form(request, form, "form.html", patient_form_context(request, patient, heading), save)


@needs(Permission.DECIDE_ELIGIBILITY)
def assess_eligibility(request, pk):
    patient = load_patient(request.user, pk)
    require(request.user, Permission.DECIDE_ELIGIBILITY, patient.site)
    today = actions.today_at(patient.site)
    criteria = patient.protocol.criteria_for(patient.sex)
    findings = [] if request.method == "POST" else actions.findings_about(patient, today)
    form = forms.EligibilityForm(
        request.POST or None, record=patient, initial={"assessed_on": today}, criteria=criteria,
        proposed={finding.criterion.code: finding.holds for finding in findings},
    )  # fmt: skip

    def save(form):
        assessment = actions.assess_eligibility(
            patient=patient, assessed_on=form.cleaned_data["assessed_on"], answers=form.answers,
            comments=form.comments, version=form.cleaned_data["version"], by=request.user,
        )  # fmt: skip
        message = _("The patient is eligible.") if assessment.is_eligible else _("The patient is not eligible.")
        return Saved(reverse("patients:show_patient", args=[pk]), patient.version + 1, message)

    def context():
        on = form.cleaned_data.get("assessed_on", today) if form.is_bound else today
        return {
            **patient_form_context(request, patient, _("Eligibility"))(),
            "rows": form.rows_with(findings or actions.findings_about(patient, on)),
            "is_exclusion": {criterion.code for criterion in patient.protocol.eligibility.exclusion},
        }

    return answer_form(request, form, "patients/assess_eligibility.html", context, save)


@needs(Permission.DECIDE_ELIGIBILITY)
def randomise_patient(request, pk):
    patient = load_patient(request.user, pk)
    require(request.user, Permission.DECIDE_ELIGIBILITY, patient.site)
    today = actions.today_at(patient.site)
    form = forms.RandomiseForm(request.POST or None, record=patient, initial={"day_0": today})

    def save(form):
        actions.randomise_patient(
            patient=patient, day_0=form.cleaned_data["day_0"], version=form.cleaned_data["version"], by=request.user
        )
        message = _("Patient %(number)s is randomised; the visits are planned.") % {"number": patient.number}
        return Saved(reverse("patients:show_patient", args=[pk]), patient.version + 1, message)

    context = patient_form_context(
        request, patient, _("Randomise"), submit=_("Randomise %(number)s") % {"number": patient.number},
        intro=_("The next place of the randomisation list is taken. This cannot be undone."),
    )  # fmt: skip
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.ENTER_DATA)
def record_disposition(request, pk):
    patient = load_patient(request.user, pk)
    require(request.user, Permission.ENTER_DATA, patient.site)
    choices = [
        s for s in State if s in TRANSITIONS[State(patient.state)] and s not in (State.ELIGIBLE, State.SCREENING)
    ]
    choices = [s for s in choices if s != State.RANDOMISED]
    form = forms.DispositionForm(request.POST or None, choices=choices, record=patient)

    def save(form):
        actions.record_disposition(
            patient=patient, **form.values, version=form.cleaned_data["version"], by=request.user
        )
        return Saved(reverse("patients:show_patient", args=[pk]), patient.version + 1, _("Recorded."))

    context = patient_form_context(request, patient, _("End of screening or of the trial"))
    return answer_form(request, form, "form.html", context, save)


# --- the randomisation list ------------------------------------------------------------------------


@needs(Permission.MANAGE_ALLOCATION)
@require_GET
def show_allocation(request):
    lists = AllocationList.objects.select_related("made_by").order_by("pk")
    strata = (
        AllocationSlot.objects.order_by().values("stratum")
        .annotate(total=Count("id"), taken=Count("id", filter=Q(patient__isnull=False))).order_by("stratum")
    )  # fmt: skip
    slots = AllocationSlot.objects.select_related("patient", "taken_by")
    page = Paginator(slots, 100).get_page(request.GET.get("page"))
    context = {"lists": lists, "strata": strata, "page": page, "protocol": trial.current_protocol()}
    return render(request, "patients/show_allocation.html", context)


@needs(Permission.MANAGE_ALLOCATION)
def make_allocation_list(request):
    form = forms.MakeListForm(request.POST or None)

    def save(form):
        made = actions.make_allocation_list(**form.values, by=request.user)
        message = _("The list is made; its digest is %(sha256)s.") % {"sha256": made.sha256[:16]}
        return Saved(reverse("patients:show_allocation"), 1, message)

    context = {"heading": _("Make the randomisation list"), "cancel": reverse("patients:show_allocation")}
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.MANAGE_ALLOCATION)
def import_allocation_list(request):
    form = forms.ImportListForm(request.POST or None)

    def save(form):
        try:
            actions.import_allocation_list(text=form.cleaned_data["text"], by=request.user)
        except BadList as bad:
            raise Refused({"text": [_cell_text(cell) for cell in bad.cells[:20]]}) from None
        return Saved(reverse("patients:show_allocation"), 1, _("The list is imported."))

    context = {"heading": _("Import a randomisation list"), "cancel": reverse("patients:show_allocation")}
    return answer_form(request, form, "form.html", context, save)


def _cell_text(cell):
    return _("Row %(row)s, column %(column)s: %(expected)s.") % {
        "row": cell.row, "column": cell.column, "expected": cell.expected,
    }  # fmt: skip


# --- halts --------------------------------------------------------------------------------------------


def visible_halts(user):
    """Halts of the trial and of the person's patients, of all patients for who decides on halts; of one arm only for eyes
    that may see arms."""
    halts = Halt.objects.all()
    if not can(user, Permission.RECORD_DECISIONS):
        halts = halts.filter(Q(patient=None) | Q(patient__in=Patient.objects.visible_to(user)))
    sees_arms = can_see_arm(user, masked=trial.current_protocol().is_masked)
    return halts if sees_arms else halts.exclude(scope=Scope.ARM)


@needs(Permission.VIEW_PATIENTS, Permission.RECORD_DECISIONS)
@require_GET
def list_halts(request):
    halts = visible_halts(request.user).select_related("patient", "opened_by", "lifted_by")
    page = Paginator(halts, PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "patients/list_halts.html", {"page": page})


@needs(Permission.OPEN_HALTS)
def open_halt(request):
    protocol = trial.current_protocol()
    arms = protocol.arms if can(request.user, Permission.SEE_ARM) or not protocol.is_masked else ()
    form = forms.OpenHaltForm(request.POST or None, arms=arms, patients=Patient.objects.visible_to(request.user))

    def save(form):
        values = form.values
        values["patient"] = values.pop("number")
        halt = actions.open_halt(**values, by=request.user)
        return Saved(reverse("patients:list_halts"), halt.version, _("The halt is in force."))

    context = {
        "heading": _("Open a halt"),
        "submit": _("Halt"),
        "danger": True,
        "cancel": reverse("patients:list_halts"),
    }
    return answer_form(request, form, "form.html", context, save)
