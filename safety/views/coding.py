"""Pages of coding: what waits, giving a code, approving and rejecting it; the terms that are suggested."""

from functools import partial

from django.apps import apps
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import Http404
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET

from patients.models import Patient
from patients.views import PER_PAGE, strip_of, visible_sites
from safety import actions
from safety.coding import work
from safety.coding.forms import ApproveForm, CodeForm, CodingFilter, VersionForm
from safety.coding.rules import SOURCES, CodingState, Kind
from safety.coding.search import LONGEST, dictionary_of, name_of_dictionary, suggest
from safety.coding.versions import Fate
from safety.home import words_to_code
from safety.models import Coding, Dictionary
from trialsite.ctcae import term_told
from trialsite.forms import answer_reason
from trialsite.queried import queried_records
from trialsite.roles import Permission, can, needs, require, within_sites
from trialsite.saving import Refused, Saved, answer_form

CODING = (Permission.CODE_TERMS, Permission.APPROVE_CODES)
TO_CODE = "to_code"


@needs(Permission.CODE_TERMS, Permission.REPORT_ADVERSE_EVENTS)
@require_GET
def suggest_terms(request):
    """Asked for as one types: the terms that fit, to be filled into the field `fills`, or to choose from."""
    kind = request.GET.get("kind", Kind.ADVERSE_EVENT)
    text = request.GET.get("term") or request.GET.get("q") or ""
    dictionary = dictionary_of(kind) if kind in Kind.values else None
    return render(request, "safety/suggest_terms.html", {
        "suggestions": suggest(dictionary, text[:LONGEST]), "dictionary": dictionary, "typed": text.strip(),
        "fills": "term" in request.GET,
    })  # fmt: skip


# --- the work-list ---------------------------------------------------------------------------------------


def chosen_of(request):
    """The filter of the list, with the patients and kinds that it asks for (None: all)."""
    form = CodingFilter(request.GET, sites=visible_sites(request.user, Permission.VIEW_PATIENTS))
    site, kind = form.chosen.get("site"), form.chosen.get("kind")
    return form, Patient.objects.filter(site=site) if site else None, Kind(kind) if kind else None


def filtered(codings, patients, kind):
    codings = codings.filter(patient__in=patients) if patients is not None else codings
    return codings.filter(kind=kind) if kind else codings


def tabs_of(request, here):
    """(state, label, number, address) of the tabs."""
    counts, query = work.counts_of(request.user), request.GET.copy()
    for name in ("state", "page"):
        query.pop(name, None)
    kept = f"&{query.urlencode()}" if query else ""
    listed = reverse("safety:list_codes")
    tabs = [(TO_CODE, _("To code"), work.to_code(request.user).count(), f"{listed}?state={TO_CODE}{kept}")]
    if can(request.user, Permission.APPROVE_CODES):
        tabs.append(("approve", _("To approve"), counts["proposed"], reverse("safety:approve_codes") + f"?{kept[1:]}"))
    for state, label in (
        (CodingState.APPROVED, _("Coded")), (CodingState.REJECTED, _("Rejected")), (CodingState.VOID, _("Void")),
    ):  # fmt: skip
        tabs.append((state.value, label, counts[state.value], f"{listed}?state={state.value}{kept}"))
    tabs.append(("dictionaries", _("Dictionaries"), None, reverse("safety:list_dictionaries")))
    return {"tabs": tabs, "here": here}


@needs(*CODING)
@require_GET
def list_codes(request):
    """The words without a code, alike ones together; or the codes in a state."""
    form, patients, kind = chosen_of(request)
    states = (CodingState.APPROVED, CodingState.REJECTED, CodingState.VOID)
    state = request.GET.get("state") if request.GET.get("state") in states else TO_CODE
    if state == TO_CODE:
        kinds = work.coded_kinds()
        wanted = [one for one in kinds if kind in (None, one)]
        rows = work.to_code(request.user, kinds=wanted, patients=patients)
    else:
        rows = filtered(work.codes(request.user, state), patients, kind)
    page = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    shown = work.waiting_of(page.object_list) if state == TO_CODE else page.object_list
    context = {"page": page, "rows": shown, "form": form, "state": state, **tabs_of(request, state)}
    return render(request, "safety/list_codes.html", context)


@needs(Permission.CODE_TERMS)
@require_GET
def show_to_code(request):
    """The section of the start page, which asks for it once it is shown."""
    return render(request, "_work_list.html", {"section": words_to_code(request.user, request.GET)})


@needs(Permission.APPROVE_CODES)
def approve_codes(request):
    """The codes that wait for a second person, each with a tick; one's own are shown without."""
    filter_form, patients, kind = chosen_of(request)
    waiting = within_sites(work.codes(request.user, CodingState.PROPOSED), request.user, Permission.APPROVE_CODES)
    waiting = filtered(waiting, patients, kind).order_by("key", "id")
    form = ApproveForm(request.POST or None)

    def save(form):
        seen = [tuple(map(int, token.split(":"))) for token in form.cleaned_data["chosen"]]
        if not seen or waiting.filter(pk__in=[pk for pk, _version in seen]).count() != len(seen):
            raise Refused(_("Choose at least one code of the list."))
        approved = actions.approve_codings(seen=seen, by=request.user)
        message = ngettext("%(n)d code is in force.", "%(n)d codes are in force.", len(approved)) % {"n": len(approved)}
        return Saved(request.get_full_path(), None, message)

    def context():
        page = Paginator(waiting, PER_PAGE).get_page(request.GET.get("page"))
        for coding in page.object_list:
            coding.token, coding.is_own = f"{coding.pk}:{coding.version}", coding.coded_by_id == request.user.pk
        ticked = set(form.data.getlist("chosen")) if form.is_bound else set()
        may_approve = not all(coding.is_own for coding in page.object_list)
        return {
            "page": page,
            "may_approve": may_approve,
            "filter_form": filter_form,
            "ticked": ticked,
            **tabs_of(request, "approve"),
        }

    return answer_form(request, form, "safety/approve_codes.html", context, save)


# --- one code ---------------------------------------------------------------------------------------------


def load_words(user, kind, pk):
    """The record of this kind, through its own door, where the person codes."""
    if kind not in Kind.values:
        raise Http404
    model = apps.get_model(SOURCES[Kind(kind)].label)
    records = within_sites(model.objects.visible_to(user), user, Permission.CODE_TERMS)
    return get_object_or_404(records.select_related("patient__site"), pk=pk)


@needs(Permission.CODE_TERMS)
def code_term(request, kind, pk):
    """Choose the term for the words of a record, and of others with the same words."""
    record = load_words(request.user, kind, pk)
    kind, user = Kind(kind), request.user
    words, dictionary = getattr(record, SOURCES[kind].field), dictionary_of(kind)
    codings = list(
        Coding.objects.filter(kind=kind, record_id=pk)
        .select_related("dictionary", "coded_by", "judged_by")
        .order_by("-id")
    )
    for coding in codings:
        coding.patient = record.patient
    live = {coding.state: coding for coding in codings if coding.state in work.LIVE}
    recodes = CodingState.APPROVED in live
    form = CodeForm(request.POST or None, recodes=recodes, initial={"verbatim": words})

    def alike(verbatim):
        """The record and the others that wait with the same words, for the same dictionary."""
        own = work.Waiting(kind.value, pk, record.patient_id, record.patient.number, words, False)
        if recodes:
            return [own]
        kinds = [one for one in Kind if name_of_dictionary(one) == name_of_dictionary(kind)]
        others = work.waiting_of(work.to_code(user, kinds=kinds, verbatim=verbatim)[:PER_PAGE])
        return [own, *(one for one in others if (one.kind, one.record_id) != (kind.value, pk))]

    def save(form):
        if form.cleaned_data["verbatim"] != words:
            raise Refused(_("“%(words)s” was changed after you opened the page. Open it again.")
                          % {"words": form.cleaned_data["verbatim"]})  # fmt: skip
        offered = {f"{one.kind}:{one.record_id}": one for one in alike(words)}
        if not form.cleaned_data["chosen"] or not set(form.cleaned_data["chosen"]) <= set(offered):
            raise Refused(_("Tick at least one record of the list."))
        chosen = [offered[token] for token in form.cleaned_data["chosen"]]
        made = actions.code_terms(
            words=[actions.Words(Kind(one.kind), one.record_id, one.verbatim) for one in chosen],
            term=form.cleaned_data["term"], reason=form.cleaned_data.get("reason", ""), by=user,
        )  # fmt: skip
        message = ngettext(
            "%(n)d record is coded; another person approves.",
            "%(n)d records are coded; another person approves.",
            len(made),
        )
        return Saved(next_to_code(user), None, message % {"n": len(made)})

    def context():
        asked = request.GET.get("q", "").strip()
        bound = form.data if form.is_bound else {}
        return {
            "strip": strip_of(user, record.patient), "patient": record.patient, "record": record, "words": words,
            "kind": kind, "dictionary": dictionary, "codings": codings, "waits": live.get(CodingState.PROPOSED),
            "in_force": live.get(CodingState.APPROVED), "alike": alike(words), "asked": asked,
            "suggestions": suggest(dictionary, asked or words), "typed": asked or words,
            "chosen_term": str(bound.get("term", "")),
            "record_url": queried_records()[SOURCES[kind].label].page(record.patient_id, pk),
            "may_approve": can(user, Permission.APPROVE_CODES, record.patient.site),
        }  # fmt: skip

    return answer_form(request, form, "safety/code_term.html", context, save)


def next_to_code(user):
    """The next words without a code, or the list."""
    for one in work.waiting_of(work.to_code(user)[:1]):
        return reverse("safety:code_term", args=[one.kind, one.record_id])
    return reverse("safety:list_codes")


@needs(Permission.APPROVE_CODES)
def reject_code(request, pk):
    """Reject a code that waits, or take one in force back, with the reason."""
    codings = Coding.objects.visible_to(request.user).select_related("patient__site")
    coding = get_object_or_404(codings, pk=pk)
    require(request.user, Permission.APPROVE_CODES, coding.patient.site)
    back = reverse("safety:approve_codes")

    def context():
        told = {"words": coding.verbatim, "term": term_told(coding.preferred_term)}
        return {
            "strip": strip_of(request.user, coding.patient), "patient": coding.patient, "title": _("Coding"), "cancel": back,
            "heading": _("Reject the code"), "intro": _("“%(words)s” coded as %(term)s") % told, "submit": _("Reject"),
        }  # fmt: skip

    act = partial(actions.reject_coding, coding=coding)
    return answer_reason(request, coding, act, context, back=back, said=_("The words are to code again."))


# --- dictionaries -----------------------------------------------------------------------------------------


@needs(*CODING)
@require_GET
def list_dictionaries(request):
    """What is loaded, what is in use, and how many codes were given with it."""
    in_force = Count("codings", filter=Q(codings__state=CodingState.APPROVED))
    dictionaries = Dictionary.objects.visible_to(request.user).annotate(in_force=in_force)
    context = {"dictionaries": dictionaries, **tabs_of(request, "dictionaries")}
    return render(request, "safety/list_dictionaries.html", context)


@needs(Permission.APPROVE_CODES)
def use_dictionary(request, pk):
    """Code with another version from now on."""
    dictionary = get_object_or_404(Dictionary.objects.visible_to(request.user), pk=pk)
    compare_url = reverse("safety:compare_dictionary", args=[pk])

    context = {
        "heading": _("Use %(dictionary)s from now on") % {"dictionary": dictionary}, "title": _("Dictionaries"),
        "cancel": compare_url, "submit": _("Use it"),
        "intro": _("What was coded with another version stays as it is until somebody takes it over."),
    }  # fmt: skip
    said = _("%(dictionary)s is in use.") % {"dictionary": dictionary}
    act = partial(actions.use_dictionary, dictionary=dictionary)
    return answer_reason(request, dictionary, act, context, back=compare_url, said=said)


@needs(*CODING, to_post=CODING)
def compare_dictionary(request, pk):
    """The codes that were given with other versions: what becomes of each in this one, and taking them over."""
    user = request.user
    dictionary = get_object_or_404(Dictionary.objects.visible_to(user), pk=pk)
    form = VersionForm(request.POST or None, initial={"what": "recode"})

    def compared():
        codings = list(work.of_other_versions(user, dictionary))
        terms = work.terms_after(dictionary, codings)
        found = {fate: [] for fate in Fate}
        for coding in codings:
            coding.change = work.fate_of(coding, terms.get(coding.code))
            coding.token = f"{coding.pk}:{coding.version}"
            found[coding.change.fate].append(coding)
        return found

    def save(form):
        restates = form.cleaned_data["what"] == "restate"
        found = compared()[Fate.UNCHANGED if restates else Fate.MOVED]
        chosen = [coding for coding in found if restates or coding.token in form.cleaned_data["chosen"]]
        if not chosen:
            raise Refused(_("Choose at least one code of the list."))
        act = actions.restate_codings if restates else actions.recode_codings
        made = act(dictionary=dictionary, seen=[(coding.pk, coding.version) for coding in chosen], by=user)
        if restates:
            message = ngettext("%(n)d code is taken over.", "%(n)d codes are taken over.", len(made))
        else:
            message = ngettext(
                "%(n)d code is proposed; another person approves.", "%(n)d codes are proposed; another person approves.",
                len(made),
            )  # fmt: skip
        return Saved(request.path, None, message % {"n": len(made)})

    def context():
        found = compared()
        waiting = set(
            work.codes(user, CodingState.PROPOSED).filter(dictionary=dictionary).values_list("kind", "record_id")
        )
        for coding in found[Fate.MOVED]:
            coding.waits = (coding.kind, coding.record_id) in waiting
        same_by_term = {}
        for coding in found[Fate.UNCHANGED]:
            same_by_term.setdefault(coding.term, []).append(coding)
        differing = [coding for fate in (Fate.MOVED, Fate.NOT_CURRENT, Fate.GONE) for coding in found[fate]]
        return {
            "dictionary": dictionary, "found": found, "counts": [(fate.label, len(found[fate])) for fate in Fate],
            "page": Paginator(differing, PER_PAGE).get_page(request.GET.get("page")), "same": len(found[Fate.UNCHANGED]),
            "same_by_term": sorted(same_by_term.items()),
            "may_use": can(user, Permission.APPROVE_CODES), "ticked": set(form.data.getlist("chosen") if form.is_bound else ()),
        }  # fmt: skip

    return answer_form(request, form, "safety/compare_dictionary.html", context, save)
