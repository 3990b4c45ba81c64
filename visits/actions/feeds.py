"""Addresses at which calendars of other programs read the planned visits."""

from django.utils import timezone

from trialsite.audit import acting
from trialsite.reasons import because
from visits.models import CalendarFeed


def renew_feed(*, user, digest, by):
    """Keep the digest of a new address; the person's older one ends."""
    with acting(by, because("address of the calendar renewed")):
        end_feed(user=user, by=by)
        return CalendarFeed.objects.create(user=user, digest=digest)


def end_feed(*, user, by):
    with acting(by, because("address of the calendar ended")):
        CalendarFeed.objects.filter(user=user, revoked_at=None).update(revoked_at=timezone.now())
