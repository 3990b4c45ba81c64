"""Infusions: the pharmacy prepares, the site records."""

import re
from zoneinfo import ZoneInfo

from django.db.models import prefetch_related_objects
from django.http import Http404
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from patients.models import AllocationSlot
from trialsite import trial
from trialsite.clock import today_at
from trialsite.protocol.plans import REACTIONS_PROPOSE_FROM
from trialsite.roles import Permission, can, can_see_arm, needs, require
from trialsite.saving import Saved, answer_form
from trialsite.ucum import unit_text
from visits import actions, forms
from visits.grading import reaction_row
from visits.infusing import planned_dose
from visits.models import (
    Lot,
    Preparation,
    QueryState,
)
from visits.views.grades import grade_of, grade_told
from visits.views.marks import marks_of_parts
from visits.views.plan import is_open, load_visit, planned_infusion, visit_context


@needs(Permission.PREPARE_INFUSIONS)
def prepare_infusion(request, pk):
    """The pharmacy's page: it names lot and product, so nobody opens it who may not see the arm."""
    visit = load_visit(request.user, pk)
    patient, protocol = visit.patient, visit.protocol
    require(request.user, Permission.PREPARE_INFUSIONS, patient.site)
    if not can_see_arm(request.user, masked=protocol.is_masked, site=patient.site) or not planned_infusion(visit):
        raise Http404
    today = today_at(patient.site)
    slot = AllocationSlot.objects.filter(patient=patient).first()
    product = protocol.product(protocol.arm(slot.arm).product) if slot else None
    lots = Lot.objects.filter(site=patient.site, product=product.code if product else "").usable_on(today)
    weight = actions.latest_weight(patient, protocol, today)
    zone = ZoneInfo(patient.site.timezone)
    form = forms.PrepareInfusionForm(
        request.POST or None, about=visit, record=visit, lots=lots, zone=zone,
        unit=unit_text(product.dose.unit) if product else "", planned=planned_in_words(product, weight),
        initial={"weight_kg": f"{weight.normalize():f}" if weight else "", "prepared_at": timezone.now()},
    )  # fmt: skip

    def save(form):
        actions.prepare_infusion(
            visit=visit,
            **form.values,
            confirmed=form.confirmed,
            asked=form.asked,
            version=form.cleaned_data["version"],
            by=request.user,
        )
        return Saved(reverse("visits:show_visit", args=[pk]), visit.version, _("The infusion is prepared."))

    intro = ""
    if product:
        dose = product.dose
        amount = f"{_plain(dose.per_kg or dose.absolute)} {unit_text(dose.unit)}"
        intro = f"{product.name} · " + (_("%s per kg of body weight") % amount if dose.per_kg else amount)
    heading = _("Prepare infusion %d") % planned_infusion(visit)
    context = visit_context(
        request, visit, heading, intro=intro, lack=lack_of_lots(request.user, product, lots, patient.site)
    )
    return answer_form(request, form, "visits/prepare_infusion.html", context, save)


def lack_of_lots(user, product, lots, site):
    """Why there is no lot to choose, with the page where that is mended; None when there is one."""
    if product is None:
        return {"text": _("The patient is not randomised: which product is given is not known yet.")}
    if lots.exists():
        return None
    url = reverse("visits:list_lots") if can(user, Permission.MANAGE_LOTS, site) else ""
    text = _("No lot of %(product)s is released at this site, or all have expired: nothing can be prepared.")
    return {"text": text % {"product": product.name}, "url": url}


def planned_in_words(product, weight):
    """The planned dose of this body weight (kg); nothing where either is not known."""
    if product is None or (weight is None and product.dose.per_kg):
        return ""
    dose = f"{_plain(planned_dose(product, weight or 1))} {unit_text(product.dose.unit)}"
    return (
        _("%(dose)s for %(weight)s kg") % {"dose": dose, "weight": weight.normalize()} if product.dose.per_kg else dose
    )


def _plain(number):
    return f"{number:,.0f}".replace(",", "\u202f")


@needs(Permission.VIEW_PATIENTS, to_post=(Permission.RECORD_INFUSIONS,))
def record_infusion(request, pk):
    visit = load_visit(request.user, pk, WITH_INFUSION)
    patient, protocol = visit.patient, visit.protocol
    if request.method == "POST":
        require(request.user, Permission.RECORD_INFUSIONS, patient.site)
    number = planned_infusion(visit)
    if not number:
        raise Http404
    infusion = load_infusion(visit)
    queries = list(infusion.queries.exclude(state=QueryState.CLOSED)) if infusion else []
    form = form_of(request.POST or None, visit, infusion, [query for query in queries if query.test])

    def save(form):
        names = ("started_at", "stopped_at", "volume_ml", "given_percent", "access_site", "premedication", "comment")
        saved = actions.record_infusion(
            visit=visit, **{name: form.sent_or(name, getattr(infusion, name, "")) for name in names},
            monitoring=form.monitoring, interruptions=form.interruptions, reactions=form.reactions, confirmed=form.confirmed, asked=form.asked,
            version=form.cleaned_data["version"],
            reason=form.cleaned_data.get("reason", ""), by=request.user,
        )  # fmt: skip
        return Saved(reverse("visits:show_visit", args=[pk]), saved.version, _("The infusion is recorded."))

    context = visit_context(
        request, visit, _("Infusion %d") % number, infusion=infusion,
        whole_queries=[query for query in queries if not query.test], marks=marks_of_infusion(request.user, infusion, visit), minutes=protocol.infusions.monitoring_minutes,
        preparation=infusion.preparation if infusion else Preparation.objects.filter(visit=visit).first(),
        reaction_terms=[(term, protocol.infusions.reaction_label(term)) for term in protocol.infusions.reaction_terms],
        may_enter=can(request.user, Permission.RECORD_INFUSIONS, patient.site) and is_open(visit),
        interruptions=standing(infusion.interruptions) if infusion else [],
        reactions=standing(infusion.reactions) if infusion else [],
        proposes_from=protocol.grading.propose_reactions_from_grade if protocol.grading else REACTIONS_PROPOSE_FROM,
    )  # fmt: skip

    return answer_form(request, form, "visits/record_infusion.html", context, save)


@needs(Permission.RECORD_INFUSIONS)
@require_POST
def check_infusion(request, pk):
    """What saving would ask or refuse, while the form is filled in. Writes nothing."""
    visit = load_visit(request.user, pk, WITH_INFUSION)
    require(request.user, Permission.RECORD_INFUSIONS, visit.patient.site)
    if not planned_infusion(visit):
        raise Http404
    form = form_of(request.POST, visit, load_infusion(visit))
    form.is_valid()
    known = {name: form.cleaned_data.get(name) for name in forms.WHOLE}
    reasons, questions = actions.preview_infusion(
        visit=visit, **known, monitoring=form.monitoring, interruptions=form.interruptions, reactions=form.reactions
    )
    wrong = [
        (bound, [error.messages[0] for error in form.errors.as_data()[bound.name] if error.code != "required"])
        for bound in form.visible_fields() if bound.name in form.errors
    ]  # fmt: skip
    context = {"form": form, "questions": form.signed(questions), "reasons": reasons,
               "wrong": [(bound, texts) for bound, texts in wrong if texts], "is_live": True,
              "grades": form.cells_with({
                  key: grade_told(grade.grade, grade.is_to_confirm, grade.because)
                  for key, grade in actions.preview_grades(visit=visit, monitoring=form.monitoring).items()
              })}  # fmt: skip
    return render(request, "visits/check_infusion.html", context)


def load_infusion(visit):
    """The infusion of a visit with its vital signs and lines, or None. The visit was loaded `WITH_INFUSION`."""
    infusion = getattr(visit, "infusion", None)
    if infusion is not None:
        prefetch_related_objects([infusion], "measurements", "interruptions", "reactions")
    return infusion


WITH_INFUSION = "infusion__preparation"


def form_of(data, visit, infusion, queries=()):
    """`queries` are those of single vital signs that the page shows."""
    planned = visit.protocol.infusions
    return forms.InfusionForm(
        data, record=infusion, about=visit, infusions=planned,
        tests=[visit.protocol.test(code) for code in planned.monitoring_tests],
        zone=ZoneInfo(visit.patient.site.timezone), reactions=planned.reaction_terms,
        stored={(m.test, m.minute): m.typed for m in infusion.measurements.all()} if infusion else {},
        grades={(m.test, m.minute): grade_of(m) for m in infusion.measurements.all()} if infusion else {},
        queries={(query.test, query.minute): {"url": reverse("visits:show_query", args=[query.pk]), "text": _("Query")}
                 for query in queries},
        scale=scale_of_reactions(visit.protocol),
        initial=initial_of(infusion),
    )  # fmt: skip


def scale_of_reactions(protocol):
    return found[0] if (found := reaction_row(protocol, "")) else None


@needs(Permission.VIEW_PATIENTS)
@require_GET
def show_grade_words(request):
    """The published words of the grades of a reaction, put beside the choice while it is entered."""
    scale = scale_of_reactions(trial.current_protocol())
    term = next((value for name, value in request.GET.items() if re.fullmatch(r"reaction[0-9]{1,2}_term", name)), "")
    grade = next((value for name, value in request.GET.items() if re.fullmatch(r"reaction[0-9]{1,2}_grade", name)), "")
    return render(request, "visits/show_grade_words.html", {
        "scale": scale, "row": scale and scale.row_of_term(term), "chosen": int(grade) if grade in list("12345") else None,
    })  # fmt: skip


def marks_of_infusion(user, infusion, visit):
    if infusion is None:
        return None
    infusion.visit, infusion.patient = visit, visit.patient
    parts = [*infusion.measurements.all(), *infusion.interruptions.all(), *infusion.reactions.all()]
    return marks_of_parts(user, infusion, parts)


def standing(lines):
    """The lines that were not entered in error."""
    return [line for line in lines.all() if not line.is_withdrawn]


def initial_of(infusion):
    if infusion is None:
        return {}
    initial = {
        name: getattr(infusion, name)
        for name in (
            "started_at",
            "stopped_at",
            "volume_ml",
            "given_percent",
            "access_site",
            "premedication",
            "comment",
        )
    }
    for n, line in enumerate(standing(infusion.interruptions), start=1):
        initial |= {
            f"stop{n}_stopped": line.stopped_at,
            f"stop{n}_resumed": line.resumed_at,
            f"stop{n}_cause": line.cause,
        }
    for n, line in enumerate(standing(infusion.reactions), start=1):
        initial |= {
            f"reaction{n}_term": line.term,
            f"reaction{n}_began": line.began_at,
            f"reaction{n}_grade": line.grade,
        }
    return initial
