"""What is typed and not saved yet: the only place that keeps it, offers it again, and forgets it.

A draft belongs to one person and one opening of a form, so that two tabs, or a form opened anew, never write over
each other's; the page that continues with a draft takes it along (`_taken`). It is no data: no list, check, report or export reads it, and
saving the form removes it in the same transaction. One that was on its way meanwhile may be written after that; since
the form's key has its receipt then, it is not offered (`unsaved`). The page sends it to the form's own address every
few seconds (static/trialsite/drafts.js), so that the form's view decides, as for a save, who may; `draft=keep` instead
of the key `idem` tells it from one, so that a draft can never be taken for a save. Where the record was changed
meanwhile both versions are shown before one goes on, and then what this person did not touch
stays as it stands now (`merge`)."""

import json
import uuid
from datetime import datetime, timedelta

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

OPENED, TAKEN = "_opened", "_taken"  # what the form showed when it was opened; the draft that it continues with

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
    """The draft that the address names, else the latest of this form."""
    found = unsaved().filter(user=request.user, path=request.path).order_by("-kept_at", "-id")
    named = request.GET.get("kept", "")
    return (found.filter(pk=named).first() if is_number(named) else None) or found.first()


def is_number(text):
    return text.isascii() and text.isdigit() and len(text) < 10


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
            "url": f"{draft.path}?draft=yes&kept={draft.pk}",
            "path": draft.path,
            "kept": draft.pk,
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
    if opened := request.POST.get(OPENED, ""):
        fields[OPENED] = [opened]
    asked = form.read_asked(request.POST)
    text = json.dumps([fields, asked])
    if len(text) > LARGEST:
        return 413
    if "\\u0000" in text:
        return 422
    mine = Draft.objects.filter(user=request.user, path=request.path)
    pk, kept_at = taken(request)
    if pk and not mine.filter(form_key=key).exists():
        mine.filter(pk=pk, kept_at=kept_at).update(form_key=key)
    _draft, is_new = Draft.objects.update_or_create(
        user=request.user,
        path=request.path,
        form_key=key,
        defaults={
            "fields": fields, "asked": asked, "kept_at": timezone.now(),
            "record_version": int(version) if is_number(version) else None,
        },
    )  # fmt: skip
    if is_new:
        kept = Draft.objects.filter(user=request.user).order_by("-kept_at", "-id").values("id")[:MOST]
        Draft.objects.filter(user=request.user).exclude(id__in=list(kept.values_list("id", flat=True))).delete()
    return 200


def taken(request):
    """The draft that the page continued with, as it was then: its key and when it was kept; or (None, None).

    One that was typed on in another tab since is another, and stays."""
    pk, _space, at = request.POST.get(TAKEN, "").partition(" ")
    try:
        kept_at = datetime.fromisoformat(at)
    except ValueError:
        return None, None
    return (int(pk), kept_at) if is_number(pk) and timezone.is_aware(kept_at) else (None, None)


# --- offered again -----------------------------------------------------------------------------------------


class Offer:
    """What the page tells of a draft: its age, and where to continue with it."""

    def __init__(self, draft, form):
        self.path, self.kept_at, self.pk = draft.path, draft.kept_at, draft.pk
        self.version = form.initial.get("version")
        self.is_overtaken = form.record is not None and draft.record_version not in (None, self.version)
        self.is_shown = False
        self.rows = []  # of the comparison, where it has to be seen first
        self.contested = []  # rows of what both changed, once the form is filled

    @property
    def url(self):
        return f"{self.path}?draft=yes&kept={self.pk}"

    @property
    def url_over(self):
        """To continue although the record was changed: after both versions were seen."""
        return f"{self.url}&{urlencode({'over': self.version})}"


def offer(request, form):
    """The Offer of what this person typed here before, or None; with `?draft=yes` the form is filled with it.

    Where the record was changed since, the form is filled only with `over=` the version that was compared."""
    if not form.is_drafted:
        return None
    mark(form, "shown", **{OPENED: json.dumps(contents(form), separators=(",", ":"))})
    draft = draft_of(request)
    if draft is None:
        return None
    found = Offer(draft, form)
    wanted = request.GET.get("draft") == "yes"
    has_compared = not found.is_overtaken or request.GET.get("over") == str(found.version)
    if wanted and has_compared:
        found.contested = fill(form, draft)
        mark(form, "unsaved", **{TAKEN: f"{draft.pk} {draft.kept_at.isoformat()}"})
        found.is_shown = True
    elif wanted:
        found.rows = rows_of(form, draft)
    return found


def mark(form, state, **beside):
    """Let the page keep what is typed: `shown` as it is stored, or `unsaved` when it shows what was refused, or what
    was typed before. `beside` goes with the form's key."""
    widget = form.fields["idem"].widget
    widget.attrs |= {"data-draft": state}
    widget.beside = {**widget.beside, **beside}


def mark_again(request, form):
    """Mark a form that was refused: it goes on from what it showed at first."""
    mark(form, "unsaved", **{name: request.POST[name] for name in (OPENED, TAKEN) if request.POST.get(name)})


BOXES = forms.CheckboxInput | forms.CheckboxSelectMultiple | forms.RadioSelect


def contents(form):
    """What an unbound form would send if nobody touched it: the values by field, blanks left out."""
    return {name: content(untouched(form, name)) for name in form.fields if form.keeps(name)}


def untouched(form, name):
    """The field as it is now; `form[name]` would remember that and not see what is filled in afterwards."""
    return form.fields[name].get_bound_field(form, name)


def content(bound):
    value, widget = bound.value(), bound.field.widget
    if isinstance(widget, forms.CheckboxInput):
        return ["on"] if value else []
    written = widget.format_value(value)
    several = written if isinstance(written, list | tuple) else [written]
    return sent([str(one) for one in several if one is not None])


def sent(values):
    """Values as they compare: a browser sends line ends of its own, and blanks."""
    return [one.replace("\r\n", "\n") for one in values if one != ""]


def merge(form, draft):
    """What each field is to show: {name: (whose, values)}, whose being `mine`, `theirs`, or `both` where both changed it.

    What this person did not touch since the form was opened stays as it stands now. Fields that mean something only
    together (a value and its unit) go together. Where it is not known what the form showed at first, all that differs
    counts as changed by both."""
    opened = opened_of(draft)
    mine, theirs, differ, found = set(), set(), set(), {}
    for name, field in form.fields.items():
        if not form.keeps(name) or (name not in draft.fields and not isinstance(field.widget, BOXES)):
            continue
        values, now = draft.fields.get(name, []), content(untouched(form, name))
        was, group = opened.get(name), form.goes_with(name)
        found[name] = values
        if sent(values) != now:
            differ.add(group)
        if was is None or sent(values) != was:
            mine.add(group)
        if was is None or now != was:
            theirs.add(group)
    both = mine & theirs & differ
    return {
        name: ("both" if (group := form.goes_with(name)) in both else "theirs" if group not in mine else "mine", values)
        for name, values in found.items()
    }


def opened_of(draft):
    """What the form showed when it was opened, as far as the page told."""
    try:
        opened = json.loads(draft.fields.get(OPENED, ["{}"])[-1])
    except (ValueError, RecursionError):
        return {}
    if not isinstance(opened, dict):
        return {}
    return {name: sent([str(one) for one in values]) for name, values in opened.items() if isinstance(values, list)}


def fill(form, draft):
    """Show what was typed, in the words in which it was typed. Gives the rows of what a colleague changed as well."""
    merged = merge(form, draft)
    is_overtaken = form.record is not None and draft.record_version not in (None, form.initial.get("version"))
    contested = [
        row_of(untouched(form, name), draft) for name, (whose, _values) in merged.items()
        if is_overtaken and whose == "both" and name != "reason" and not form.fields[name].widget.is_hidden
    ]  # fmt: skip
    for name, (whose, values) in merged.items():
        if whose == "theirs" and is_overtaken:
            continue
        several = isinstance(form.fields[name].widget, forms.SelectMultiple | forms.CheckboxSelectMultiple)
        form.initial[name] = values if several else values[-1] if values else None
    form.take_draft(draft)
    return [row for row in contested if row["differs"]]


def rows_of(form, draft):
    """What was typed beside what stands now, as the page of a conflict shows it. What goes with another field (a unit
    with its value) is shown where it differs."""
    rows = [
        (bound.name, row_of(bound, draft)) for bound in form.visible_fields()
        if bound.name != "reason" and (bound.name in draft.fields or isinstance(bound.field.widget, BOXES))
    ]  # fmt: skip
    return [
        row for name, row in rows
        if row["differs"] or ((row["yours"] or row["saved"]) and form.goes_with(name) == name)
    ]  # fmt: skip


def row_of(bound, draft):
    from trialsite.saving import conflict_row

    typed = [words(bound, one) for one in draft.fields.get(bound.name, [])]
    now = shown(bound)
    if isinstance(bound.field.widget, forms.CheckboxInput):
        typed, now = [_("yes")] if typed else [], _("yes") if bound.value() else ""
    return conflict_row(bound.label, ", ".join(typed).replace("\r\n", "\n"), now)


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


def discard(user, path, kept=""):
    """Forget the draft `kept` of a form, or all of them where none is named."""
    if "\x00" in path:  # no text that the database can hold, and so no form's address
        return
    found = Draft.objects.filter(user=user, path=path)
    (found.filter(pk=kept) if is_number(kept) else found).delete()


def forget_old(now):
    """Remove what nobody came back to; gives how many."""
    return Draft.objects.filter(kept_at__lt=now - KEPT_FOR).delete()[0]
