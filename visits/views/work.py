"""The lists of work whose first lines stand on the start page."""

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404
from django.shortcuts import render
from django.views.decorators.http import require_GET

from patients.views import PER_PAGE
from trialsite.pages import sites_of
from trialsite.roles import Permission, needs
from trialsite.sections import chosen_site, section

WORKING = (Permission.ENTER_DATA, Permission.PREPARE_INFUSIONS, Permission.RECORD_INFUSIONS)


def known_list(user, kind):
    from visits.home import LISTS, opens

    if kind not in LISTS:
        raise Http404
    if not opens(user, kind):
        raise PermissionDenied
    return LISTS[kind]


@needs(*WORKING)
@require_GET
def list_work(request, kind):
    """All visits with this kind of work, page by page."""
    work = known_list(request.user, kind)
    page = Paginator(work.visits(request.user, request.GET), PER_PAGE).get_page(request.GET.get("page"))
    rows = work.items(request.user, list(page.object_list))
    found = section(work.title, rows, page.paginator.count, urgent=work.urgent, empty=work.empty)
    context = {"section": found, "page": page, "sites": sites_of(request.user), "chosen_site": chosen_site(request.GET)}
    return render(request, "visits/list_work.html", context)


@needs(*WORKING)
@require_GET
def show_work(request, kind):
    """The section of the start page, which asks for it once it is shown."""
    from visits.home import first_of_list

    known_list(request.user, kind)
    return render(request, "_work_list.html", {"section": first_of_list(request.user, request.GET, kind)})
