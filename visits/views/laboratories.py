"""Laboratories and their reference ranges: read by all who see patients, kept by the data manager."""

from functools import partial

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET

from patients.views import PER_PAGE, visible_sites
from trialsite.clock import today_at, today_for
from trialsite.forms import ReasonForm, answer_reason
from trialsite.roles import Permission, can, needs, sites_where
from trialsite.saving import Refused, Saved, answer_form
from trialsite.words import listed
from visits import actions, range_forms, ranges
from visits.actions.ranges import differing_results, known_tests
from visits.models import Laboratory, Measurement, ReferenceRange
from visits.units import rounded

RANGES_PER_PAGE, RESULTS_SHOWN = 200, 100


def may_keep(user, site):
    """May this person keep the ranges of a laboratory of this site, or, without one, of a laboratory for all?"""
    if site is None:
        return sites_where(user, Permission.MANAGE_RANGES) is None
    return can(user, Permission.MANAGE_RANGES, site)


def load_laboratory(user, pk, *, to_keep=False):
    laboratory = get_object_or_404(Laboratory.objects.visible_to(user).select_related("site"), pk=pk)
    if to_keep and not may_keep(user, laboratory.site):
        raise PermissionDenied(Permission.MANAGE_RANGES.value)
    return laboratory


def load_range(user, pk, *, to_keep=False):
    held = get_object_or_404(ReferenceRange.objects.visible_to(user).select_related("laboratory__site"), pk=pk)
    if to_keep and not may_keep(user, held.laboratory.site):
        raise PermissionDenied(Permission.MANAGE_RANGES.value)
    return held


@needs(Permission.VIEW_PATIENTS)
@require_GET
def list_laboratories(request):
    in_force = Count("ranges", filter=_in_force_on(today_for(request.user)))
    laboratories = Laboratory.objects.visible_to(request.user).select_related("site").annotate(in_force=in_force)
    page = Paginator(laboratories.order_by("-is_active", "code"), PER_PAGE).get_page(request.GET.get("page"))
    may_create = can(request.user, Permission.MANAGE_RANGES)
    return render(request, "visits/list_laboratories.html", {"page": page, "may_create": may_create})


def _in_force_on(day):
    return Q(ranges__is_withdrawn=False, ranges__valid_from__lte=day) & (
        Q(ranges__valid_to=None) | Q(ranges__valid_to__gte=day)
    )


@needs(Permission.MANAGE_RANGES)
def create_laboratory(request):
    form = range_forms.CreateLaboratoryForm(
        request.POST or None, sites=visible_sites(request.user, Permission.MANAGE_RANGES),
        may_serve_all=may_keep(request.user, None),
    )  # fmt: skip

    def save(form):
        made = actions.create_laboratory(**form.values, by=request.user)
        return Saved(reverse("visits:show_laboratory", args=[made.pk]), made.version, _("The laboratory is there."))

    context = {"heading": _("New laboratory"), "cancel": reverse("visits:list_laboratories"),
               "title": _("Laboratories")}  # fmt: skip
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.VIEW_PATIENTS)
@require_GET
def show_laboratory(request, pk):
    """The ranges of a laboratory by test: those in force today, or all that ever were."""
    laboratory = load_laboratory(request.user, pk)
    tests = known_tests()
    shows_all = request.GET.get("all") == "1"
    found = laboratory.ranges.all() if shows_all else laboratory.ranges.in_force(today_at(laboratory.site))
    place = {code: n for n, code in enumerate(tests)}
    rows = sorted(
        found,
        key=lambda r: (place.get(r.test, len(place)), r.test, r.unit, r.sex, ranges.ages_of(r), r.valid_from, r.pk),
    )
    page = Paginator(rows, RANGES_PER_PAGE).get_page(request.GET.get("page"))
    test = None
    for held in page.object_list:
        _in_words(held, tests)
        held.is_first_of_test, test = held.test != test, held.test
    context = {
        "laboratory": laboratory, "page": page, "shows_all": shows_all,
        "may_keep": may_keep(request.user, laboratory.site),
    }  # fmt: skip
    return render(request, "visits/show_laboratory.html", context)


def _in_words(held, tests):
    held.test_name = tests[held.test].name if held.test in tests else held.test
    held.range_text = ranges.range_text(held.low, held.high)
    held.ages_text = ranges.ages_text(held)


@needs(Permission.MANAGE_RANGES)
def change_laboratory(request, pk):
    laboratory = load_laboratory(request.user, pk, to_keep=True)
    initial = {"name": laboratory.name, "is_active": laboratory.is_active}
    form = range_forms.ChangeLaboratoryForm(request.POST or None, record=laboratory, initial=initial)

    def save(form):
        saved = actions.change_laboratory(
            laboratory=laboratory, name=form.sent_or("name", laboratory.name),
            is_active=form.cleaned_data["is_active"], reason=form.cleaned_data["reason"],
            version=form.cleaned_data["version"], by=request.user,
        )  # fmt: skip
        return Saved(reverse("visits:show_laboratory", args=[pk]), saved.version, _("The laboratory is changed."))

    return answer_form(request, form, "form.html", _about(laboratory, _("Change the laboratory")), save)


def _about(laboratory, heading, **more):
    url = reverse("visits:show_laboratory", args=[laboratory.pk])
    return {"heading": heading, "title": laboratory.name, "cancel": url, **more}


@needs(Permission.MANAGE_RANGES)
def add_range(request, pk):
    laboratory = load_laboratory(request.user, pk, to_keep=True)
    form = range_forms.AddRangeForm(request.POST or None, tests=known_tests(), test=request.GET.get("test"))

    def save(form):
        made = actions.add_range(laboratory=laboratory, **form.values, by=request.user)
        return Saved(reverse("visits:show_range", args=[made.pk]), made.version, _("The range is there."))

    return answer_form(request, form, "form.html", _about(laboratory, _("New reference range")), save)


@needs(Permission.MANAGE_RANGES)
def copy_ranges(request, pk):
    laboratory = load_laboratory(request.user, pk, to_keep=True)
    form = range_forms.CopyRangesForm(request.POST or None, record=laboratory)

    def save(form):
        made = actions.copy_ranges(
            laboratory=laboratory, **form.values, version=form.cleaned_data["version"], by=request.user
        )
        told = ngettext("%(count)d range is copied.", "%(count)d ranges are copied.", len(made)) % {"count": len(made)}
        return Saved(reverse("visits:show_laboratory", args=[pk]) + "?all=1", laboratory.version, told)

    intro = _(
        "Each range in force ends on the day before, and one like it begins. To change limits as well, import a "
        "table: it can start from the present ranges."
    )
    about = _about(laboratory, _("Copy all ranges to a new date"), intro=intro, submit=_("Copy"))
    return answer_form(request, form, "form.html", about, save)


@needs(Permission.MANAGE_RANGES)
def import_ranges(request, pk):
    """Many ranges at once, as a table of text; it may start from those in force."""
    laboratory = load_laboratory(request.user, pk, to_keep=True)
    initial = {}
    if request.method == "GET" and request.GET.get("present") == "1":
        initial["text"] = ranges.to_csv(laboratory.ranges.in_force(today_at(laboratory.site)))
    form = range_forms.ImportRangesForm(request.POST or None, initial=initial)

    def save(form):
        try:
            made = actions.import_ranges(laboratory=laboratory, **form.values, by=request.user)
        except ranges.BadTable as bad:
            raise Refused({"text": [_cell_text(cell) for cell in bad.cells[:20]]}) from None
        told = ngettext("%(count)d range is there.", "%(count)d ranges are there.", len(made)) % {"count": len(made)}
        return Saved(reverse("visits:show_laboratory", args=[pk]) + "?all=1", laboratory.version, told)

    about = _about(laboratory, _("Import ranges"), submit=_("Import"))
    about["present_url"] = reverse("visits:import_ranges", args=[pk]) + "?present=1"
    return answer_form(request, form, "visits/import_ranges.html", about, save)


def _cell_text(cell):
    return _("Row %(row)s, column %(column)s: %(text)s") % {"row": cell.row, "column": cell.column, "text": cell.text}


# --- one range --------------------------------------------------------------------------------------


@needs(Permission.VIEW_PATIENTS)
@require_GET
def show_range(request, pk):
    """A range, and the results that were held against another one although it holds for them, or against it although
    it does not."""
    held = load_range(request.user, pk)
    tests = known_tests()
    _in_words(held, tests)
    keeps = may_keep(request.user, held.laboratory.site)
    mine = Measurement.objects.visible_to(request.user)
    differing = differing_results(held, mine) if keeps else []
    context = {
        "held": held, "laboratory": held.laboratory, "may_keep": keeps, "used": mine.filter(reference=held).count(),
        "rows": [_difference(one, tests) for one in differing[:RESULTS_SHOWN]], "count": len(differing),
        "changes": sum(one.flag != one.measurement.flag for one in differing),
        "closed": sum(one.is_closed for one in differing),
    }  # fmt: skip
    return render(request, "visits/show_range.html", context)


def _difference(one, tests):
    m, now = one.measurement, one.held
    return {
        "m": m,
        "unit": m.reported_unit or m.unit,
        "old": ranges.range_text(m.reported_low, m.reported_high) or ranges.range_text(m.low, m.high),
        "old_is_of_protocol": m.reference_id is None,
        "new": ranges.range_text(*(rounded(b) for b in (now.reported_low, now.reported_high))) if now else "",
        "new_is_of_protocol": now is not None and now.reference is None,
        "flag": _flag_text(m.flag),
        "new_flag": _flag_text(one.flag),
        "changes": one.flag != m.flag,
        "hold": (m.patient.get_hold_display() if m.patient.hold else m.panel.visit.get_hold_display())
        if one.is_closed else "",
    }  # fmt: skip


def _flag_text(flag):
    return {"L": _("low"), "H": _("high")}.get(flag, _("none"))


def _about_range(held, heading, **more):
    url = reverse("visits:show_range", args=[held.pk])
    name = str(held)
    return {"heading": heading, "title": name, "cancel": url, **more}


@needs(Permission.MANAGE_RANGES)
def end_range(request, pk):
    held = load_range(request.user, pk, to_keep=True)
    form = range_forms.EndRangeForm(request.POST or None, record=held, initial={"valid_to": held.valid_to})

    def save(form):
        saved = actions.end_range(
            held=held, valid_to=form.cleaned_data["valid_to"], reason=form.cleaned_data["reason"],
            version=form.cleaned_data["version"], by=request.user,
        )  # fmt: skip
        return Saved(reverse("visits:show_range", args=[pk]), saved.version, _("The last day is saved."))

    return answer_form(request, form, "form.html", _about_range(held, _("End the range")), save)


@needs(Permission.MANAGE_RANGES)
def withdraw_range(request, pk):
    held = load_range(request.user, pk, to_keep=True)
    intro = _("It will hold for no further result. Results that were held against it keep it until you say otherwise.")
    about = _about_range(held, _("Entered in error"), intro=intro, danger=True)
    return answer_reason(
        request, held, partial(actions.withdraw_range, held=held), about,
        back=reverse("visits:show_range", args=[pk]), said=_("Marked as entered in error."),
    )  # fmt: skip


@needs(Permission.MANAGE_RANGES)
def apply_range(request, pk):
    held = load_range(request.user, pk, to_keep=True)
    form = ReasonForm(request.POST or None, record=held)

    def save(form):
        changed, left = actions.apply_range(
            held=held, reason=form.cleaned_data["reason"], version=form.cleaned_data["version"], by=request.user
        )
        told = ngettext("%(count)d result is changed.", "%(count)d results are changed.", len(changed)) % {
            "count": len(changed)
        }
        if left:
            told += " " + _("Left, because frozen or locked: %(places)s.") % {"places": listed(places_of(left))}
        return Saved(reverse("visits:show_range", args=[pk]), held.version, told)

    intro = _(
        "The results listed on the page of the range get the range that holds by now, and their flags follow. Each "
        "change stands in the history of its panel with your reason; no query is raised."
    )
    about = _about_range(held, _("Apply to these results"), intro=intro, submit=_("Apply"))
    return answer_form(request, form, "form.html", about, save)


def places_of(differing, most=20):
    """Patient and visit of results, each once; the first of them when there are many."""
    places = list(dict.fromkeys(f"{d.measurement.patient.number} {d.measurement.panel.visit.code}" for d in differing))
    return [*places[:most], "…"] if len(places) > most else places
