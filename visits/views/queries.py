"""Queries: the list, the conversation, a new question."""

from django.core.paginator import Paginator
from django.db.models import Count
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from patients.views import PER_PAGE, strip_of
from trialsite.roles import Permission, can, needs, require
from trialsite.saving import Saved, answer_form
from visits import actions, forms
from visits.models import (
    QUERY_TRANSITIONS,
    Measurement,
    Query,
    QueryState,
)
from visits.views.plan import load_panel, visit_context


@needs(Permission.VIEW_PATIENTS)
@require_GET
def list_queries(request):
    queries = Query.objects.visible_to(request.user).select_related(
        "patient__site", "panel__visit", "infusion__visit", "raised_by"
    )
    state = request.GET.get("state", "open")
    if state in QueryState.values:
        queries = queries.filter(state=state)
    page = Paginator(queries, PER_PAGE).get_page(request.GET.get("page"))
    for query in page.object_list:
        query.about = about(query)
        query.age = (timezone.now() - query.raised_at).days
    counts = dict(Query.objects.visible_to(request.user).order_by().values_list("state").annotate(n=Count("id")))
    tabs = [(value, label, counts.get(value, 0)) for value, label in QueryState.choices]
    return render(request, "visits/list_queries.html", {"page": page, "tabs": tabs, "state": state})


def about(query):
    """What a query is about, in words: visit, panel, test."""
    protocol = query.panel.protocol if query.panel else query.patient.protocol
    words = []
    if query.panel:
        words += [query.panel.visit.code, protocol.panel(query.panel.code).name]
    elif query.infusion:
        words += [query.infusion.visit.code, _("Infusion %d") % query.infusion.number]
    if query.test:
        words.append(protocol.test(query.test).name)
    if query.minute is not None:
        words.append(_("%d min") % query.minute)
    return " · ".join(words)


STEPS = {
    "answer": (QueryState.ANSWERED, gettext_lazy("answer the query"), Permission.ANSWER_QUERIES),
    "close": (QueryState.CLOSED, gettext_lazy("close the query"), Permission.RAISE_QUERIES),
    "reopen": (QueryState.OPEN, gettext_lazy("ask again"), Permission.RAISE_QUERIES),
}


@needs(Permission.VIEW_PATIENTS, to_post=(Permission.ANSWER_QUERIES, Permission.RAISE_QUERIES))
def show_query(request, pk):
    queries = Query.objects.visible_to(request.user).select_related(
        "patient__site", "panel__visit", "infusion__visit", "raised_by"
    )
    query = get_object_or_404(queries.prefetch_related("messages__by"), pk=pk)
    site = query.patient.site
    allowed = QUERY_TRANSITIONS[QueryState(query.state)]
    steps = [
        (code, words) for code, (state, words, permission) in STEPS.items()
        if state in allowed and can(request.user, permission, site)
    ]  # fmt: skip
    form = forms.QueryMessageForm(request.POST or None, record=query, steps=steps)

    def save(form):
        move = {"answer": actions.answer_query, "close": actions.close_query, "reopen": actions.reopen_query}
        step = form.cleaned_data["step"]
        require(request.user, STEPS[step][2], site)
        saved = move[step](
            query=query, text=form.cleaned_data["text"], version=form.cleaned_data["version"], by=request.user
        )
        return Saved(reverse("visits:list_queries"), saved.version, _("Saved."))

    visit = query.panel.visit if query.panel else query.infusion.visit if query.infusion else None
    m = None
    if query.test:
        m = Measurement.objects.filter(
            panel=query.panel_id, infusion=query.infusion_id, minute=query.minute, test=query.test
        ).first()
    context = {
        "patient": query.patient, "strip": strip_of(request.user, query.patient), "query": query, "about": about(query),
        "steps": steps, "visit": visit, "measurement": m, "heading": _("Query"), "cancel": reverse("visits:list_queries"),
    }  # fmt: skip
    return answer_form(request, form, "visits/show_query.html", context, save)


@needs(Permission.RAISE_QUERIES)
def raise_query(request, panel_pk):
    panel = load_panel(request.user, panel_pk)
    require(request.user, Permission.RAISE_QUERIES, panel.patient.site)
    tests = panel.protocol.tests_of(panel.code)
    form = forms.RaiseQueryForm(request.POST or None, tests=tests, initial={"test": request.GET.get("test", "")})

    def save(form):
        query = actions.raise_query(panel=panel, **form.values, by=request.user)
        return Saved(reverse("visits:enter_panel", args=[panel.pk]), query.version, _("The query is raised."))

    name = panel.protocol.panel(panel.code).name
    return answer_form(request, form, "form.html", visit_context(request, panel.visit, _("Query: %s") % name), save)
