"""Queries: the list, the conversation, a new question about any record."""

from datetime import timedelta
from itertools import pairwise

from django.apps import apps
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import Http404
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from patients.models import Patient
from patients.views import PER_PAGE, patient_form_context, strip_of, visible_sites
from trialsite.queried import field_name, fields_of, queried_records
from trialsite.roles import Permission, can, needs, require, within_sites
from trialsite.saving import Saved, answer_form, conflict_row, is_about_an_older_version
from visits import actions, edit_checks, forms
from visits.laboratories import is_measured_in_laboratory
from visits.models import (
    QUERY_TRANSITIONS,
    Infusion,
    Measurement,
    Query,
    QueryState,
)
from visits.views.plan import load_panel, load_visit, visit_context

# the last day of each age, in days; what is older comes last
AGES = (7, 14, 30)


def with_its_records(queries):
    return queries.select_related("patient__site", "panel__visit", "infusion__visit", "raised_by")


@needs(Permission.VIEW_PATIENTS)
@require_GET
def list_queries(request):
    form = forms.QueryFilterForm(request.GET or None, sites=visible_sites(request.user))
    chosen = form.cleaned_data if form.is_valid() else {}
    now = timezone.now()
    queries = filtered(Query.objects.visible_to(request.user), request.user, chosen, now)
    counts = queries.order_by().aggregate(
        **{state: Count("id", filter=Q(state=state)) for state in QueryState.values},
        **{f"age_{n}": Count("id", filter=of_age) for n, of_age in enumerate(ages_as_of(now))},
    )
    state = request.GET.get("state", "open")
    shown = queries.filter(state=state) if state in QueryState.values else queries
    order = ("raised_at", "id") if chosen.get("sort") == "oldest" else ("-raised_at", "-id")
    page = Paginator(with_its_records(shown).order_by(*order), PER_PAGE).get_page(request.GET.get("page"))
    for query in page.object_list:
        query.about = about(query)
        query.age = ((query.closed_at or now) - query.raised_at).days
    tabs = [(value, label, counts[value]) for value, label in QueryState.choices]
    tabs.append(("all", _("all"), sum(counts[value] for value in QueryState.values)))
    first = (0, *(last + 1 for last in AGES))
    names = [_("%(first)s to %(last)s days") % {"first": a, "last": b} for a, b in zip(first, AGES, strict=False)]
    names.append(_("more than %(last)s days") % {"last": AGES[-1]})
    context = {
        "page": page, "tabs": tabs, "state": state, "form": form,
        "ages": [(name, counts[f"age_{n}"]) for n, name in enumerate(names)],
        "patient": Patient.objects.visible_to(request.user).filter(pk=chosen["patient"]).first()
        if chosen.get("patient") else None,
    }  # fmt: skip
    return render(request, "visits/list_queries.html", context)


def ages_as_of(now):
    """A condition for each age of queries that are not closed: up to each of AGES days, and older."""
    ends = [now - timedelta(days=days + 1) for days in AGES]
    waiting = ~Q(state=QueryState.CLOSED)
    yield waiting & Q(raised_at__gt=ends[0])
    for newer, older in pairwise(ends):
        yield waiting & Q(raised_at__lte=newer, raised_at__gt=older)
    yield waiting & Q(raised_at__lte=ends[-1])


def filtered(queries, user, chosen, now):
    """The queries that the filter of the list asks for, whatever their state."""
    if chosen.get("site"):
        queries = queries.filter(patient__site=chosen["site"])
    if chosen.get("patient"):
        queries = queries.filter(patient=chosen["patient"])
    if chosen.get("kind"):
        queries = queries.exclude(check_code="") if chosen["kind"] == "check" else queries.filter(check_code="")
    if chosen.get("older"):
        queries = queries.filter(raised_at__lte=now - timedelta(days=int(chosen["older"]) + 1))
    if chosen.get("whose") == "raised":
        queries = queries.filter(raised_by=user, check_code="")
    if chosen.get("whose") == "turn":
        answerable = within_sites(Query.objects.filter(state=QueryState.OPEN), user, Permission.ANSWER_QUERIES)
        to_review = within_sites(Query.objects.filter(state=QueryState.ANSWERED), user, Permission.RAISE_QUERIES)
        queries = queries.filter(Q(pk__in=answerable.values("pk")) | Q(pk__in=to_review.values("pk")))
    return queries


def about(query):
    """What a query is about, in words: visit, panel, test; or the record and its field."""
    protocol = query.protocol
    words = []
    if query.panel:
        words += [query.panel.visit.code, protocol.panel(query.panel.code).name]
    elif query.infusion:
        words += [query.infusion.visit.code, _("Infusion %d") % query.infusion.number]
    elif query.record in queried_records():
        words.append(str(queried_records()[query.record].name))
    if query.test:
        words.append(protocol.test(query.test).name)
    if query.minute is not None:
        words.append(_("%d min") % query.minute)
    if query.field:
        own = "visits.panelrecord" if query.panel_id else "visits.infusion"
        words.append(field_name(query.record or own, query.field))
    return " · ".join(words)


def page_of(query):
    """The address of the record that a query is about, and what the link to it says."""
    if query.panel_id:
        return reverse("visits:enter_panel", args=[query.panel_id]), _("open the panel")
    if query.infusion_id:
        return reverse("visits:record_infusion", args=[query.infusion.visit_id]), _("open the infusion")
    queried = queried_records().get(query.record)
    return (queried.page(query.patient_id, query.record_id), _("open the record")) if queried else ("", "")


STEPS = {
    "answer": (QueryState.ANSWERED, gettext_lazy("answer the query"), Permission.ANSWER_QUERIES),
    "close": (QueryState.CLOSED, gettext_lazy("close the query"), Permission.RAISE_QUERIES),
    "reopen": (QueryState.OPEN, gettext_lazy("ask again"), Permission.RAISE_QUERIES),
}


@needs(Permission.VIEW_PATIENTS, to_post=(Permission.ANSWER_QUERIES, Permission.RAISE_QUERIES))
def show_query(request, pk):
    queries = with_its_records(Query.objects.visible_to(request.user))
    query = get_object_or_404(queries.prefetch_related("messages__by"), pk=pk)
    site = query.patient.site
    allowed = QUERY_TRANSITIONS[QueryState(query.state)]
    steps = [
        (code, words) for code, (state, words, permission) in STEPS.items()
        if state in allowed and can(request.user, permission, site)
    ]  # fmt: skip
    form = forms.QueryMessageForm(request.POST or None, record=query, steps=steps)
    if form.is_bound and is_about_an_older_version(form):  # a step of then: what was said meanwhile is shown first
        form.fields["step"].choices = [(code, words) for code, (_state, words, _needs) in STEPS.items()]

    def save(form):
        move = {"answer": actions.answer_query, "close": actions.close_query, "reopen": actions.reopen_query}
        step = form.cleaned_data["step"]
        require(request.user, STEPS[step][2], site)
        saved = move[step](
            query=query, text=form.cleaned_data["text"], version=form.cleaned_data["version"], by=request.user
        )
        return Saved(reverse("visits:show_query", args=[pk]), saved.version, _("Saved."))

    def context():
        address, link = page_of(query)
        return {
            "patient": query.patient, "strip": strip_of(request.user, query.patient), "query": query,
            "about": about(query), "steps": steps, "measurement": measurement_of(query), "address": address,
            "check": check_title(query.check_code), "link": link, "next": next_of(query, request.user), "heading": _("Query"),
            "cancel": reverse("visits:list_queries"),
        }  # fmt: skip

    def conflict(form, stale):
        last = stale.current.messages.select_related("by").last()
        said = f"{last.by}: {last.words}" if last else ""
        states = [STEPS[form.cleaned_data["step"]][0].label, stale.current.get_state_display()]
        return [conflict_row(_("Message"), form.cleaned_data["text"], said), conflict_row(_("Status"), *states)]

    return answer_form(request, form, "visits/show_query.html", context, save, conflict=conflict)


def check_title(code):
    check = edit_checks.BY_CODE.get(code)
    return _(check.title) if check else code


def measurement_of(query):
    if not query.test:
        return None
    return Measurement.objects.filter(
        panel=query.panel_id, infusion=query.infusion_id, minute=query.minute, test=query.test
    ).first()


def next_of(query, user):
    """Another query of this patient on which this person can act now: the one to go to when this one is dealt with."""
    waiting = filtered(Query.objects.visible_to(user), user, {"whose": "turn", "patient": query.patient_id}, None)
    return waiting.exclude(pk=query.pk).order_by("raised_at", "id").first()


# fields of a panel that a person may ask about, beside its tests
OF_PANEL = ("collected_on", "collected_at", "laboratory", "comment")


@needs(Permission.RAISE_QUERIES)
def raise_query(request, panel_pk):
    panel = load_panel(request.user, panel_pk)
    require(request.user, Permission.RAISE_QUERIES, panel.patient.site)
    asked_for = OF_PANEL if is_measured_in_laboratory(panel) else [name for name in OF_PANEL if name != "laboratory"]
    fields = [(name, field_name("visits.panelrecord", name)) for name in asked_for]
    form = forms.RaiseQueryForm(
        request.POST or None, whole=_("the whole panel"), initial={"about": request.GET.get("test", "")},
        choices=[*fields, *((test.code, test.name) for test in panel.protocol.tests_of(panel.code))],
    )  # fmt: skip

    def save(form):
        about = form.cleaned_data["about"]
        asked = {"field" if about in OF_PANEL else "test": about}
        query = actions.raise_query(panel=panel, **asked, text=form.cleaned_data["text"], by=request.user)
        return Saved(reverse("visits:enter_panel", args=[panel.pk]), query.version, _("The query is raised."))

    name = panel.protocol.panel(panel.code).name
    return answer_form(request, form, "form.html", visit_context(request, panel.visit, _("Query: %s") % name), save)


# fields of an infusion that a person may ask about
OF_INFUSION = ("started_at", "stopped_at", "volume_ml", "given_percent", "access_site", "premedication", "comment")


@needs(Permission.RAISE_QUERIES)
def query_infusion(request, pk):
    """Ask about an infusion: a field of its record, or a vital sign at a minute."""
    visit = load_visit(request.user, pk)
    require(request.user, Permission.RAISE_QUERIES, visit.patient.site)
    infusion = get_object_or_404(Infusion.objects.visible_to(request.user), visit=visit)
    infusion.patient = visit.patient
    rules = visit.protocol.infusions
    signs = [
        (f"{code}-{minute}", _("%(test)s, %(minute)s min") % {"test": visit.protocol.test(code).name, "minute": minute})
        for code in rules.monitoring_tests for minute in rules.monitoring_minutes
    ]  # fmt: skip
    fields = [(name, field_name("visits.infusion", name)) for name in OF_INFUSION]
    form = forms.RaiseQueryForm(request.POST or None, whole=_("the whole infusion"), choices=[*fields, *signs])

    def save(form):
        test, _dash, minute = form.cleaned_data["about"].partition("-")
        asked = {"test": test, "minute": int(minute)} if minute else {"field": test}
        query = actions.raise_query(infusion=infusion, **asked, text=form.cleaned_data["text"], by=request.user)
        return Saved(reverse("visits:record_infusion", args=[pk]), query.version, _("The query is raised."))

    heading = _("Query: %s") % (_("Infusion %d") % infusion.number)
    return answer_form(request, form, "form.html", visit_context(request, visit, heading), save)


@needs(Permission.RAISE_QUERIES)
def query_record(request, app, model, pk):
    """Ask about a record that is no panel and no infusion: a line, an event, a consent."""
    label = f"{app}.{model}"
    queried = queried_records().get(label)
    if queried is None:
        raise Http404
    records = apps.get_model(label).objects.visible_to(request.user).select_related("patient__site")
    record = get_object_or_404(records, pk=pk)
    patient = record.patient
    require(request.user, Permission.RAISE_QUERIES, patient.site)
    form = forms.RaiseQueryForm(
        request.POST or None, whole=_("the whole record"), initial={"about": request.GET.get("field", "")},
        choices=[(field.name, field.verbose_name) for field in fields_of(label)],
    )  # fmt: skip
    back = queried.page(patient.pk, record.pk)

    def save(form):
        query = actions.raise_query(
            record=record, field=form.cleaned_data["about"], text=form.cleaned_data["text"], by=request.user
        )
        return Saved(back, query.version, _("The query is raised."))

    context = patient_form_context(request, patient, _("Query: %s") % queried.name, intro=str(record), cancel=back)
    return answer_form(request, form, "form.html", context, save)
