"""Pages of the listings: which there are, one with its filters and columns, a copy as a file, saved views."""

import hashlib
import tempfile
from datetime import date
from pathlib import Path

from django.core.paginator import Paginator
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from patients.arms import arms_seen_by, sees_every_arm
from patients.models import AllocationSlot
from patients.views import PER_PAGE, visible_sites
from safety import actions
from safety.listing_forms import ListingFilter, SaveViewForm
from safety.listings.catalogue import LISTINGS, patient_of
from safety.listings.table import told
from safety.models import SavedView
from trialsite import trial
from trialsite.exchange.files import Workbook, as_text, csv_for_spreadsheets
from trialsite.roles import Permission, can, needs, require
from trialsite.saving import LONGEST_LOCATION, Saved, answer_form
from trialsite.ucum import unit_text

FORMATS = {"csv": "text/csv; charset=utf-8",
           "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}  # fmt: skip
MOST_ROWS = 100_000  # of a copy
LONGEST_QUERY = 2000  # characters
SHORT = 8  # characters of a cell that are not parted; Chinese may be parted between any two


def load_listing(user, code):
    listing = LISTINGS.get(code)
    if listing is None:
        raise Http404
    require(user, listing.permission)
    return listing


class Choice:
    """What the address of a listing asks for: filters, columns, order."""

    def __init__(self, listing, user, query):
        self.listing, self.user, self.query = listing, user, query
        self.sees_arms = sees_every_arm(user, listing.permission)
        sites = visible_sites(user, listing.permission)
        self.form = ListingFilter(query, listing=listing, sites=sites, sees_arms=self.sees_arms)
        self.all_columns = listing.columns_for(self.sees_arms)
        asked = set(query.getlist("c"))
        self.columns = [c for c in self.all_columns if c.code in asked] or [c for c in self.all_columns if c.at_first]

    def rows(self):
        chosen = self.form.chosen
        rows = self.listing.filtered(self.listing.rows(self.user), chosen)
        if chosen.get("arm"):
            taken = AllocationSlot.objects.taken().filter(arm=chosen["arm"]).values("patient")
            rows = rows.filter(**{f"{self.listing.patient}__in" if self.listing.patient else "pk__in": taken})
        return self.listing.sorted(rows, self.query.get("sort", ""))

    def with_arms(self, rows):
        """The rows, each with its patient's arm where the person may see it."""
        rows = list(rows)
        arms = arms_seen_by(self.user, {patient_of(row) for row in rows}) if self.sees_arms else {}
        names = {arm.code: arm.name for arm in trial.current_protocol().arms}
        for row in rows:
            arm = arms.get(patient_of(row).pk, "")
            row.arm_told = names.get(arm, arm)
        return rows

    @property
    def address(self):
        """The choice without the page, as it is kept and sent on."""
        kept = self.query.copy()
        for name in ("page", "csrfmiddlewaretoken", "format"):
            kept.pop(name, None)
        return kept.urlencode()[:LONGEST_QUERY]


def cell(column, row):
    value = column.tell(row)
    text = unit_text(value) if column.look == "unit" else str(told(value))
    return {
        "is_short": isinstance(value, date) or column.code in ("patient", "visit") or len(text) <= SHORT,
        "text": text,
        "url": column.url(row) if column.url else "",
        "look": column.look if value else "",
        "level": column.level(row) if column.level else None,
    }


def head(column, choice):
    """A column's head: where to click to sort by it."""
    now = choice.query.get("sort", "")
    query = choice.query.copy()
    query.pop("page", None)
    query["sort"] = f"-{column.code}" if now == column.code else column.code
    order = {column.code: "ascending", f"-{column.code}": "descending"}.get(now, "")
    return {"label": column.label, "url": f"?{query.urlencode()}" if column.sort else "", "order": order}


@needs(Permission.VIEW_ADVERSE_EVENTS, Permission.VIEW_PATIENTS)
@require_GET
def list_listings(request):
    shown = [listing for listing in LISTINGS.values() if can(request.user, listing.permission)]
    views = SavedView.objects.filter(owner=request.user, is_forgotten=False)
    return render(request, "safety/list_listings.html", {"listings": shown, "views": views})


@needs(Permission.VIEW_ADVERSE_EVENTS, Permission.VIEW_PATIENTS)
@require_GET
def show_listing(request, code):
    listing = load_listing(request.user, code)
    choice = Choice(listing, request.user, request.GET)
    page = Paginator(choice.rows(), PER_PAGE).get_page(request.GET.get("page"))
    rows = choice.with_arms(page.object_list)
    shown = {column.code for column in choice.columns}
    context = {
        "listing": listing,
        "figures": figures_of(listing, request.user),
        "form": choice.form,
        "page": page,
        "heads": [head(column, choice) for column in choice.columns],
        "rows": [list(zip(choice.columns, [cell(c, row) for c in choice.columns], strict=True)) for row in rows],
        "all_columns": [(column, column.code in shown) for column in choice.all_columns],
        "sort": request.GET.get("sort", ""),
        "query": choice.address,
        "views": SavedView.objects.filter(owner=request.user, listing=code, is_forgotten=False),
        "others": [one for one in LISTINGS.values() if can(request.user, one.permission)],
    }
    return render(request, "safety/show_listing.html", context)


def figures_of(listing, user):
    """[(label, count)] of all rows that the person may see, in one statement."""
    if not listing.figures:
        return []
    counts = listing.rows(user).aggregate(**{f"n{place}": of for place, (_label, of) in enumerate(listing.figures)})
    return [(label, counts[f"n{place}"]) for place, (label, _of) in enumerate(listing.figures)]


@needs(Permission.VIEW_ADVERSE_EVENTS, Permission.VIEW_PATIENTS)
@require_POST
def take_listing(request, code):
    """The listing as chosen, as a file. Asked by POST, since a GET writes nothing: who took it is written down first.

    Answers 413 when it has more rows than a page can carry; the data export has no such limit."""
    listing = load_listing(request.user, code)
    kind = request.POST.get("format", "")
    if kind not in FORMATS:
        raise Http404
    choice = Choice(listing, request.user, QueryDict(request.POST.get("query", "")[:LONGEST_QUERY]))
    rows = list(choice.rows()[: MOST_ROWS + 1])
    if len(rows) > MOST_ROWS:
        return render(request, "errors/413.html", status=413)
    names = [str(column.label) for column in choice.columns]
    values = [[_plain(column.tell(row)) for column in choice.columns] for row in choice.with_arms(rows)]
    content = csv_for_spreadsheets(names, values) if kind == "csv" else as_xlsx(str(listing.title), names, values)
    actions.record_copy(
        listing=code, query=choice.address, format=kind, rows=len(values),
        sha256=hashlib.sha256(content).hexdigest(), by=request.user,
    )  # fmt: skip
    response = HttpResponse(content, content_type=FORMATS[kind])
    response["Content-Disposition"] = f'attachment; filename="listing-{code}.{kind}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _plain(value):
    """Words of either language as text; numbers and dates stay what they are."""
    return (
        str(value)
        if value is not None and not isinstance(value, (int, float, str)) and hasattr(value, "_proxy____args")
        else value
    )


def as_xlsx(title, names, values):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "listing.xlsx"
        book = Workbook(path, Path(folder))
        sheet = book.sheet(title[:31].replace("/", "-"), names)
        for row in values:
            sheet.write(row, [as_text(value) for value in row])
        book.close()
        return path.read_bytes()


@needs(Permission.VIEW_ADVERSE_EVENTS, Permission.VIEW_PATIENTS)
def save_view(request, code):
    listing = load_listing(request.user, code)
    query = request.GET.urlencode()[:LONGEST_QUERY]
    form = SaveViewForm(request.POST or None)
    back, listings = f"{reverse('safety:show_listing', args=[code])}?{query}", reverse("safety:list_listings")

    def save(form):
        actions.save_view(listing=code, name=form.cleaned_data["name"], query=query, by=request.user)
        return Saved(back if len(back) <= LONGEST_LOCATION else listings, None, _("The view is saved."))

    context = {"heading": _("Save this view"), "cancel": back, "title": listing.title, "intro": _(
        "Filters, columns and order of the listing are kept for you under this name. The same name again replaces it.")}  # fmt: skip
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.VIEW_ADVERSE_EVENTS, Permission.VIEW_PATIENTS)
@require_POST
def forget_view(request, pk):
    view = get_object_or_404(SavedView, pk=pk, owner=request.user, is_forgotten=False)
    actions.forget_view(view=view, by=request.user)
    return redirect(reverse("safety:list_listings"))
