"""The calendar: which visits fall into the coming weeks, with their windows; on the page and for other calendars."""

import secrets
from datetime import date, timedelta
from hashlib import sha256

from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST
from icalendar import Calendar, Event

from patients.models import OPEN_STATES
from trialsite import trial
from trialsite.clock import today_for
from trialsite.models import User
from trialsite.pages import sites_of
from trialsite.roles import Permission, needs
from trialsite.sections import at_chosen_site, chosen_site
from visits import actions
from visits.models import CalendarFeed, Visit, VisitState
from visits.views.plan import STANDING_TEXT, planned_infusion, standing_of, visit_title, with_counts

WEEKS = 5
MOST = 300  # visits on one page; more than a ward can see in five weeks


def expected_visits(user):
    """Visits that may still take place, or are under way, of patients in screening or in the trial."""
    visits = Visit.objects.visible_to(user).filter(patient__state__in=OPEN_STATES)
    return visits.filter(state=VisitState.PLANNED).select_related("patient__site").order_by("planned_on", "id")


@needs(Permission.VIEW_PATIENTS)
@require_GET
def show_calendar(request):
    """Five weeks from a Monday; a visit stands in the row of its patient from the first to the last day of its window."""
    today = today_for(request.user)
    start = first_day(request.GET.get("from", ""), today)
    days = [start + timedelta(days=n) for n in range(7 * WEEKS)]
    visits = at_chosen_site(expected_visits(request.user), request.GET, "patient__site")
    overdue = visits.filter(latest__lt=today).count()
    shown = Q(earliest__lte=days[-1], latest__gte=days[0])
    if days[0] <= today <= days[-1]:
        shown |= Q(latest__lt=today)  # beside what is to come stands what should have been
    visits = visits.filter(shown)
    rows = [row_of(visit, days, today) for visit in with_counts(visits)[:MOST]]
    context = {
        "weeks": [days[n : n + 7] for n in range(0, len(days), 7)],
        "days": days,
        "today": today,
        "rows": rows,
        "overdue": overdue,
        "most": MOST if len(rows) == MOST else None,
        "sites": sites_of(request.user),
        "chosen_site": chosen_site(request.GET),
        "before": start - timedelta(days=7 * WEEKS),
        "after": start + timedelta(days=7 * WEEKS),
        "feed": CalendarFeed.objects.filter(user=request.user, revoked_at=None).exists(),
    }
    return render(request, "visits/show_calendar.html", context)


def first_day(asked, today):
    """The Monday of the week that the address names, or of this week."""
    try:
        day = date.fromisoformat(asked)
    except ValueError:
        day = today
    day = day if abs((day - today).days) < 3660 else today
    return day - timedelta(days=day.weekday())


def row_of(visit, days, today):
    window = range((visit.earliest - days[0]).days, (visit.latest - days[0]).days + 1)
    planned = (visit.planned_on - days[0]).days
    standing = standing_of(visit, today, visit.open_panels, is_open=True)
    return {
        "visit": visit,
        "title": visit_title(visit),
        "infusion": planned_infusion(visit),
        "standing": standing,
        "standing_text": STANDING_TEXT[standing],
        "cells": [
            {"day": day, "window": n in window, "planned": n == planned, "today": day == today, "monday": not n % 7}
            for n, day in enumerate(days)
        ],
    }


# --- for other calendars --------------------------------------------------------------------------------


@needs(Permission.VIEW_PATIENTS)
@require_POST
def renew_feed(request):
    """Give the address of a calendar that a phone or mail program may subscribe to; an older address ends with it."""
    token = secrets.token_urlsafe(32)
    actions.renew_feed(user=request.user, digest=digest_of(token), by=request.user)
    address = request.build_absolute_uri(reverse("visits:calendar_feed", args=[token]))
    # told once: only a digest is kept
    messages.success(request, _("The address of your calendar, shown this once: %(address)s") % {"address": address})
    return redirect("visits:show_calendar")


@needs(Permission.VIEW_PATIENTS)
@require_POST
def end_feed(request):
    actions.end_feed(user=request.user, by=request.user)
    messages.success(request, _("The calendar's address is no longer answered."))
    return redirect("visits:show_calendar")


def digest_of(token):
    return sha256(token.encode()).hexdigest()


@require_GET
def calendar_feed(request, token):
    """The visits of the coming year as iCalendar (RFC 5545): the patient's number, the visit, its window. Who holds the
    address needs no session; what it tells is what its owner may see now."""
    feed = CalendarFeed.objects.filter(digest=digest_of(token), revoked_at=None, user__is_active=True).first()
    if feed is None:
        raise Http404
    user = User.objects.get(pk=feed.user_id)
    today = timezone.now().date()
    visits = expected_visits(user).filter(
        latest__gte=today - timedelta(days=30), planned_on__lte=today + timedelta(days=365)
    )
    response = HttpResponse(calendar_of(visits[:2000]).to_ical(), content_type="text/calendar; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="visits.ics"'
    return response


def calendar_of(visits):
    calendar = Calendar()
    about = trial.current_protocol().trial
    calendar.add("prodid", "-//Trialsite//visits//EN")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", about.short_title)
    for visit in visits:
        event = Event()
        event.add("uid", f"visit-{visit.pk}-{about.id}@trialsite")
        event.add("dtstamp", timezone.now())
        event.add("dtstart", visit.planned_on)
        event.add("dtend", visit.planned_on + timedelta(days=1))
        event.add("summary", f"{visit.patient.number} {visit.code} {visit_title(visit)}")
        event.add(
            "description",
            _("Window: %(earliest)s to %(latest)s") % {"earliest": visit.earliest, "latest": visit.latest},
        )
        event.add("transp", "TRANSPARENT")
        calendar.add_component(event)
    return calendar
