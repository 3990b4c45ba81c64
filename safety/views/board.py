"""Pages of the safety board: reports released and read, recommendations recorded, signed, acknowledged, carried out."""

from functools import partial

from django.core.paginator import Paginator
from django.db.models import Prefetch
from django.http import Http404
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from patients.models import Halt
from patients.views import PER_PAGE
from safety import actions
from safety.board_forms import PlainForm, RecommendationForm, ReleaseForm, ResolutionForm, SignRecommendationForm
from safety.models import ActionItem, BoardSignature, ClosedMinutes, Crossing, DsmbReport, Part, Recommendation
from safety.models.board import meaning_told
from safety.signing import add_signing, board_members, signatures_in_force
from trialsite.clock import today_for
from trialsite.forms import answer_reason, confirming
from trialsite.roles import Permission, can, needs
from trialsite.saving import Saved, answer_form

READERS = (Permission.RECORD_DECISIONS, Permission.READ_OPEN_REPORTS, Permission.VIEW_ADVERSE_EVENTS)


# --- reports ------------------------------------------------------------------------------------------


@needs(Permission.RELEASE_REPORTS)
def release_report(request, pk):
    report = get_object_or_404(DsmbReport.objects.visible_to(request.user), pk=pk)
    form = ReleaseForm(request.POST or None, record=report)
    back = reverse("safety:show_report", args=[pk])

    def save(form):
        note, version = form.cleaned_data["note"], form.cleaned_data["version"]
        actions.release_report(report=report, note=note, version=version, by=request.user)
        return Saved(back, None, _("The board can read the report now."))

    context = {
        "heading": _("Release the report to the board"), "cancel": back, "title": str(report), "submit": _("Release"),
        "intro": _("From now on the board, the sponsor and all others who may read it see it. A release is not taken back."),
    }  # fmt: skip
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.RECORD_DECISIONS)
def confirm_reading(request, pk, part):
    report = get_object_or_404(DsmbReport.objects.visible_to(request.user), pk=pk)
    if part not in Part.values:
        raise Http404
    part = Part(part)
    back = f"{reverse('safety:show_report', args=[pk])}?part={part}"
    form = PlainForm(request.POST or None, record=report)

    def save(form):
        actions.confirm_reading(report=report, part=part, by=request.user)
        return Saved(back, None, _("Noted that you have read it."))

    context = {"heading": _("I have read this part"), "intro": f"{report}, {part.label}", "cancel": back,
               "title": str(report), "submit": _("I have read it")}  # fmt: skip
    return answer_form(request, form, "form.html", context, save)


# --- recommendations ----------------------------------------------------------------------------------


@needs(*READERS)
@require_GET
def list_recommendations(request):
    rows = Recommendation.objects.visible_to(request.user).select_related("report", "recorded_by")
    page = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    add_signing(page.object_list)
    open_items = ActionItem.objects.filter(recommendation__in=rows.exclude(effective_at=None), resolved_at=None)
    context = {"page": page, "open_items": open_items.select_related("recommendation")[:PER_PAGE],
               "today": today_for(request.user)}  # fmt: skip
    return render(request, "safety/list_recommendations.html", context)


@needs(Permission.RECORD_DECISIONS)
def record_recommendation(request):
    halts = Halt.objects.open().select_related("patient")
    reports = DsmbReport.objects.exclude(release=None)
    initial = {"report": request.GET.get("report", ""), "lifts": request.GET.getlist("halt")}
    form = RecommendationForm(request.POST or None, reports=reports, halts=halts, initial=initial)

    def save(form):
        names = ("report", "met_on", "decision", "rationale", "conditions", "blocks", "lifts", "minutes")
        values = {name: form.cleaned_data[name] for name in names}
        made = actions.record_recommendation(**values, action_items=form.action_items, by=request.user)
        return Saved(_address(made), made.version, _("Recorded. It takes effect when it is signed."))

    context = {"cancel": reverse("safety:list_recommendations")}
    return answer_form(request, form, "safety/record_recommendation.html", context, save)


def load_recommendation(user, pk):
    recommendations = Recommendation.objects.visible_to(user).select_related("report", "recorded_by")
    return get_object_or_404(recommendations, pk=pk)


def _address(recommendation):
    return reverse("safety:show_recommendation", args=[recommendation.pk])


def lifted_by(recommendation, user):
    """The halts that it lifts, as far as this person may know of them, each with what met its rule (`met`)."""
    halts = Halt.objects.visible_to(user).filter(recommendations__recommendation=recommendation)
    seen = Prefetch("crossings", Crossing.objects.visible_to(user).order_by("pk"), to_attr="met")
    return halts.select_related("patient__site").prefetch_related(seen).order_by("pk")


@needs(*READERS)
@require_GET
def show_recommendation(request, pk):
    recommendation, user = load_recommendation(request.user, pk), request.user
    signatures = list(recommendation.signatures.all())
    digest, members = actions.digest_of(recommendation), board_members()
    in_force = signatures_in_force([recommendation], members).get(recommendation.pk, set())
    for signature in signatures:
        signature.is_valid = signature.digest == digest
        signature.is_overtaken = not recommendation.effective_at and signature.record_version != recommendation.version
        signature.has_left = not recommendation.effective_at and signature.signed_by_id not in {m.pk for m in members}
    acknowledgements = list(recommendation.acknowledgements.select_related("by"))
    is_receiver = any(can(user, permission) for permission in actions.RECEIVERS)
    decides = can(user, Permission.RECORD_DECISIONS) and not recommendation.is_withdrawn
    add_signing([recommendation])
    context = {
        "recommendation": recommendation,
        "signatures": signatures,
        "lifted": lifted_by(recommendation, user),
        "minutes": ClosedMinutes.objects.visible_to(user).filter(recommendation=recommendation).first(),
        "action_items": recommendation.action_items.select_related("resolved_by"),
        "acknowledgements": acknowledgements,
        "may_sign": decides and not recommendation.effective_at and user.pk not in in_force,
        "may_withdraw": decides and not recommendation.effective_at,
        "may_acknowledge": is_receiver and recommendation.effective_at and user.pk not in {a.by_id for a in acknowledgements},
        "may_resolve": can(user, Permission.JUDGE_SERIOUS_EVENTS) and recommendation.effective_at,
        "today": today_for(request.user),
    }  # fmt: skip
    return render(request, "safety/show_recommendation.html", context)


def waits_text(signing):
    told = {"count": signing.count_text, "names": signing.others_text}
    return _("Signed: %(count)s. It waits for %(names)s.") % told if signing.others else _("Signed: %(count)s.") % told


@needs(Permission.RECORD_DECISIONS)
def sign_recommendation(request, pk):
    recommendation = load_recommendation(request.user, pk)
    form = SignRecommendationForm(request.POST or None, record=recommendation, signer=request.user)

    def save(form):
        signed = actions.sign_recommendation(
            recommendation=recommendation, version=form.cleaned_data["version"], by=request.user
        )
        add_signing([signed])
        done = _("Signed; it is in effect now.") if signed.effective_at else waits_text(signed.signing)
        return Saved(_address(signed), signed.version, done)

    context = {
        "recommendation": recommendation, "meaning": meaning_told(BoardSignature.MEANING), "cancel": _address(recommendation),
        "lifted": lifted_by(recommendation, request.user),
        "minutes": ClosedMinutes.objects.visible_to(request.user).filter(recommendation=recommendation).first(),
        "action_items": recommendation.action_items.all(),
    }  # fmt: skip
    return answer_form(request, form, "safety/sign_recommendation.html", context, save, confirm=confirming(request))


@needs(Permission.RECORD_DECISIONS)
def withdraw_recommendation(request, pk):
    recommendation = load_recommendation(request.user, pk)
    back = _address(recommendation)
    context = {"heading": _("Withdraw the recommendation"), "danger": True, "submit": _("Withdraw"),
               "cancel": back, "title": str(recommendation)}  # fmt: skip
    return answer_reason(
        request, recommendation, partial(actions.withdraw_recommendation, recommendation=recommendation), context,
        back=back, said=_("The recommendation is withdrawn."),
    )  # fmt: skip


@needs(*actions.RECEIVERS)
def acknowledge_recommendation(request, pk):
    recommendation = load_recommendation(request.user, pk)
    form = PlainForm(request.POST or None, record=recommendation)

    def save(form):
        actions.acknowledge_recommendation(recommendation=recommendation, by=request.user)
        return Saved(_address(recommendation), None, _("Noted that you have received it."))

    context = {
        "heading": _("Confirm receipt"), "intro": recommendation.get_decision_display(), "title": str(recommendation),
        "submit": _("I have received it"), "cancel": _address(recommendation),
    }  # fmt: skip
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.JUDGE_SERIOUS_EVENTS)
def resolve_action_item(request, pk):
    visible = Recommendation.objects.visible_to(request.user)
    item = get_object_or_404(ActionItem.objects.select_related("recommendation"), pk=pk, recommendation__in=visible)
    form = ResolutionForm(request.POST or None, record=item)

    def save(form):
        resolution, version = form.cleaned_data["resolution"], form.cleaned_data["version"]
        resolved = actions.resolve_action_item(item=item, resolution=resolution, version=version, by=request.user)
        return Saved(_address(item.recommendation), resolved.version, _("The action item is resolved."))

    context = {"heading": _("Resolve an action item"), "intro": item.text, "cancel": _address(item.recommendation),
               "title": str(item.recommendation)}  # fmt: skip
    return answer_form(request, form, "form.html", context, save)
