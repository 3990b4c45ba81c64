"""The only place that writes an instant for people: by the clock of a site, with its difference from UTC.

Instants are stored in UTC. A page about a patient shows them by the clock of the patient's site; another page by that of
the reader's site, or in UTC for who has several or none."""

from datetime import UTC
from zoneinfo import ZoneInfo


def told_at(instant, zone=UTC, *, seconds=False):
    """2026-03-12 14:05 UTC+08:00, and with a difference of nothing 2026-03-12 06:05 UTC."""
    if instant is None:
        return ""
    at = instant.astimezone(zone)
    offset = at.strftime("%z")
    difference = f"{offset[:3]}:{offset[3:5]}" if at.utcoffset() else ""
    return f"{at:{'%Y-%m-%d %H:%M:%S' if seconds else '%Y-%m-%d %H:%M'}} UTC{difference}"


def zone_of(site):
    """The time zone of a site; UTC without one."""
    return ZoneInfo(site.timezone) if site is not None else UTC


def only_site(user):
    """The site of a person who works at one only, or None."""
    sites = {grant.site for grant in getattr(user, "current_grants", ())}
    return next(iter(sites)) if len(sites) == 1 else None


def zone_shown(patient=None, user=None):
    """By whose clock a page shows instants."""
    return zone_of(patient.site if patient is not None else only_site(user))
