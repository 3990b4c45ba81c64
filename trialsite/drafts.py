"""What is typed and not saved yet: the only place that keeps it, offers it again, and forgets it.

A draft belongs to one person and one form (its address). It is no data: no list, check, report or export reads it, and
saving the form removes it in the same transaction. One that was on its way meanwhile may be written after that; since
the form's key has its receipt then, it is not offered (`unsaved`). The page sends it to the form's own address every
few seconds (static/trialsite/drafts.js), so that the form's view decides, as for a save, who may; `draft=keep` instead
of the key `idem` tells it from one, so that a draft can never be taken for a save. Where the record was changed
meanwhile both versions are shown before one goes on."""

import json
import uuid
from datetime import timedelta

from django import forms
from django.db.models import Exists, OuterRef
from django.http import HttpResponse, JsonResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from trialsite.clock import told_at, zone_shown
from trialsite.models import Draft, FormReceipt
from trialsite.roles import Permission, can
from trialsite.sections import later, section
from trialsite.titles import titles_of

LARGEST = 100_000  # characters of one draft as JSON
MOST = 50  # drafts of one person; the oldest goes for a new one
KEPT_FOR = timedelta(days=30)


def unsaved():
    """The drafts of forms that were not saved. Asked where drafts are read, since whoever writes one cannot know of a
    save that is not committed yet."""
    return Draft.objects.exclude(Exists(FormReceipt.objects.filter(pk=OuterRef("form_key"))))


def drafts_of(user):
    """What this person typed and did not save, the latest first."""
    return list(unsaved().filter(user=user).order_by("-kept_at"))


def draft_of(request):
    return unsaved().filter(user=request.user, path=request.path).first()


def sections(user, filters):
    """What waits on the start page of those who enter data (settings.HOME_SECTIONS)."""
    if can(user, Permission.ENTER_DATA) and unsaved().filter(user=user).exists():
        yield later(HEADING, "show_drafts", {}, url=reverse("list_drafts"))


def section_of(user, shown=None):
    """What this person typed and did not save: the latest so many, or all."""
    drafts = drafts_of(user)
    first = drafts[:shown]
    rows = [
        {
            "label": title,
            "url": f"{draft.path}?draft=yes",
            "path": draft.path,
            "status": "draft",
            "status_text": _("not saved"),
            "when": told_at(draft.kept_at, zone_shown(user=user)),
        }
        for draft, title in zip(first, titles_of(user, [draft.path for draft in first]), strict=True)
    ]
    return section(HEADING, rows, len(drafts), url=reverse("list_drafts"), urgent=True, empty=_("All is saved."))


HEADING = gettext_lazy("Typed and not saved")


# --- kept ------------------------------------------------------------------------------------------------


def answer_draft(request, form):
    """The answer to a page that sends what is typed so far. Says 413 when it is too much, 422 when it cannot be kept."""
    try:
        key = uuid.UUID(request.POST.get("draft_of", ""))
    except ValueError:
        return HttpResponse(status=422)
    if FormReceipt.objects.filter(pk=key).exists():  # overtaken by the save itself
        return HttpResponse(status=204)
    status = keep(request, form, key=key, version=request.POST.get("draft_version", ""))
    return JsonResponse({"kept_at": timezone.now().isoformat()} if status == 200 else {}, status=status)


def keep(request, form, *, key, version):
    """Keep what was sent for the form of this `key`, whose page showed the record in this `version`. Gives an HTTP
    status."""
    if not form.is_drafted or len(request.path) > Draft._meta.get_field("path").max_length:
        return 422
    fields = {name: values for name, values in request.POST.lists() if form.keeps(name)}
    asked = form.read_asked(request.POST)
    text = json.dumps([fields, asked])
    if len(text) > LARGEST:
        return 413
    if "\\u0000" in text:
        return 422
    _draft, is_new = Draft.objects.update_or_create(
        user=request.user,
        path=request.path,
        defaults={
            "fields": fields, "asked": asked, "kept_at": timezone.now(), "form_key": key,
            "record_version": int(version) if version.isascii() and version.isdigit() and len(version) < 9 else None,
        },
    )  # fmt: skip
    if is_new:
        kept = Draft.objects.filter(user=request.user).order_by("-kept_at", "-id").values("id")[:MOST]
        Draft.objects.filter(user=request.user).exclude(id__in=list(kept.values_list("id", flat=True))).delete()
    return 200


# --- offered again -----------------------------------------------------------------------------------------


class Offer:
    """What the page tells of a draft: its age, and where to continue with it."""

    def __init__(self, draft, form):
        self.path, self.kept_at = draft.path, draft.kept_at
        self.version = form.initial.get("version")
        self.is_overtaken = form.record is not None and draft.record_version not in (None, self.version)
        self.is_shown = False
        self.rows = []  # of the comparison, where it has to be seen first

    @property
    def url(self):
        return f"{self.path}?draft=yes"

    @property
    def url_over(self):
        """To continue although the record was changed: after both versions were seen."""
        return take_over_url(self.path, self.version)


def take_over_url(path, version):
    return f"{path}?{urlencode({'draft': 'yes', 'over': version})}"


def offer(request, form):
    """The Offer of what this person typed here before, or None; with `?draft=yes` the form is filled with it.

    Where the record was changed since, the form is filled only with `over=` the version that was compared."""
    if not form.is_drafted:
        return None
    mark(form, "shown")
    draft = draft_of(request)
    if draft is None:
        return None
    found = Offer(draft, form)
    wanted = request.GET.get("draft") == "yes"
    has_compared = not found.is_overtaken or request.GET.get("over") == str(found.version)
    if wanted and has_compared:
        fill(form, draft)
        found.is_shown = True
    elif wanted:
        found.rows = rows_of(form, draft)
    return found


def mark(form, state):
    """Let the page keep what is typed: `shown` as it is stored, or `unsaved` when it shows what was refused."""
    form.fields["idem"].widget.attrs |= {"data-draft": state}


def fill(form, draft):
    """Show what was typed, in the words in which it was typed."""
    for name, field in form.fields.items():
        if name in draft.fields:
            values = draft.fields[name]
            several = isinstance(field.widget, forms.SelectMultiple | forms.CheckboxSelectMultiple)
            form.initial[name] = values if several else values[-1]
        elif isinstance(field.widget, forms.CheckboxInput | forms.CheckboxSelectMultiple | forms.RadioSelect):
            form.initial[name] = None
    form.take_draft(draft)


def rows_of(form, draft):
    """What was typed beside what stands now, as the page of a conflict shows it."""
    from trialsite.saving import conflict_row

    rows = []
    for bound in form.visible_fields():
        if bound.name in draft.fields:
            typed, now = ", ".join(words(bound, one) for one in draft.fields[bound.name]), shown(bound)
            if typed or now:
                rows.append(conflict_row(bound.label, typed, now))
    return rows


def shown(bound):
    """What an unbound field shows, in words."""
    value = bound.value()
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(words(bound, str(one)) for one in value)
    written = bound.field.widget.format_value(value)
    if isinstance(written, list | tuple):
        written = written[0] if written else ""
    return words(bound, "" if written is None else str(written))


def words(bound, typed):
    """The label of what was chosen from a list, else what was typed."""
    choices = getattr(bound.field, "choices", None) or getattr(bound.field.widget, "choices", ())
    return next((str(label) for value, label in choices if typed and str(value) == typed), typed)


# --- forgotten: by saving the form (trialsite/saving.py), or here -------------------------------------------


def discard(user, path):
    if "\x00" in path:  # no text that the database can hold, and so no form's address
        return
    Draft.objects.filter(user=user, path=path).delete()


def forget_old(now):
    """Remove what nobody came back to; gives how many."""
    return Draft.objects.filter(kept_at__lt=now - KEPT_FOR).delete()[0]
