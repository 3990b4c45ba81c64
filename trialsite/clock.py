"""The only place that writes an instant for people, and that says which day it is where: by the clock of a site.

Instants are stored in UTC. What is about a patient is told by the clock of the patient's site, on whatever page it
stands; the rest by that of the reader's site, or in UTC for who has several or none. The foot of a page says so."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from django.db.models import DateField, DateTimeField, F, Func
from django.db.models.functions import Cast
from django.utils import timezone


def told_at(instant, zone=UTC, *, seconds=False):
    """2026-03-12 14:05 UTC+08:00, and with a difference of nothing 2026-03-12 06:05 UTC."""
    if instant is None:
        return ""
    at = instant.astimezone(zone)
    offset = at.strftime("%z")
    difference = f"{offset[:3]}:{offset[3:5]}" if at.utcoffset() else ""
    return f"{at:{'%Y-%m-%d %H:%M:%S' if seconds else '%Y-%m-%d %H:%M'}} UTC{difference}"


def told_day(instant, zone=UTC):
    """2026-03-12: the date on the calendar of the zone; nothing of nothing."""
    return "" if instant is None else f"{instant.astimezone(zone):%Y-%m-%d}"


def instant_of(value):
    """An instant as the trail keeps it (text), or as it is."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def zone_of(site):
    """The time zone of a site; UTC without one."""
    return ZoneInfo(site.timezone) if site is not None else UTC


def day_at(site, instant):
    """The date at an instant on the calendar of the site; without one in UTC."""
    return instant.astimezone(zone_of(site)).date()


def day_where(site, instant):
    """`day_at` as an expression of SQL: the paths of the site and of the instant."""
    return Cast(
        Func(F(f"{site}__timezone"), F(instant), function="timezone", output_field=DateTimeField()), DateField()
    )


def today_at(site):
    return day_at(site, timezone.now())


def only_site(user):
    """The site of a person who works at one only, or None."""
    sites = {grant.site for grant in getattr(user, "current_grants", ())}
    return next(iter(sites)) if len(sites) == 1 else None


def today_for(user):
    """The date at the person's site; with several sites or none, the date in UTC."""
    return today_at(only_site(user))


def zone_shown(patient=None, user=None):
    """By whose clock a page shows instants; `patient` is whom they are about, if anybody."""
    return zone_of(patient.site if patient is not None else only_site(user))
