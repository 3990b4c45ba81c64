"""Views of listings that people keep, and the note of each copy that is taken."""

from django.utils.translation import gettext as _

from safety.models import ListingCopy, SavedView
from trialsite.audit import acting
from trialsite.reasons import because
from trialsite.saving import Refused

MOST_VIEWS = 50  # of one person


def save_view(*, listing, name, query, by):
    """Keep a choice of filters, columns and order under a name; the same name again replaces it."""
    if not name.strip():
        raise Refused({"name": [_("Give the view a name.")]})
    with acting(by, because("view of a listing saved")):
        mine = SavedView.objects.filter(owner=by)
        view = mine.filter(listing=listing, name=name).select_for_update().first()
        if view is None and mine.filter(is_forgotten=False).count() >= MOST_VIEWS:
            raise Refused(_("You have as many saved views as one person may have. Forget one first."))
        if view is None:
            return SavedView.objects.create(owner=by, listing=listing, name=name, query=query)
        view.query, view.is_forgotten = query, False
        view.save(update_fields=["query", "is_forgotten"])
    return view


def forget_view(*, view, by):
    """Offer a saved view no longer."""
    with acting(by, because("saved view forgotten")):
        view = SavedView.objects.select_for_update().get(pk=view.pk, owner=by)
        view.is_forgotten = True
        view.save(update_fields=["is_forgotten"])
    return view


def record_copy(*, listing, query, format, rows, sha256, by):
    """That a listing was taken as a file, written down before the first byte is sent."""
    with acting(by):
        return ListingCopy.objects.create(
            listing=listing, query=query[:2000], format=format, rows=rows, sha256=sha256, taken_by=by
        )
