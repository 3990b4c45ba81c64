"""How a form is saved: once, against the version that was seen, and answered only after the commit.

Every data form carries `version` (of the record as it was shown) and `idem` (a key made when the form was rendered).
`answer_form` is the one path of all data forms:

    valid, saved            302 to the record, header X-Record-Version
    the same key again      the same answer, no second effect, whatever the record has become; with other content 409
    refused                 422, the errors at the fields, what was typed is kept
    soft checks ask         422, nothing is saved yet: each is answered by a tick, by another value, or by saving again
    stale version           409, what was typed beside what stands now; it may be taken over into the new version
    database unreachable    503 (trialsite/pages.py), the page stays open with what was typed

What is typed and not saved yet is kept as a draft of the person (trialsite/drafts.py).
"""

import hashlib
import logging
import uuid
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass, replace

from django import forms
from django.contrib import messages
from django.core.exceptions import NON_FIELD_ERRORS
from django.core.signing import Signer
from django.db import DatabaseError, connection
from django.http import HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.utils.crypto import constant_time_compare
from django.utils.html import format_html_join
from django.utils.translation import gettext as _
from psycopg.errors import UniqueViolation

from trialsite import drafts
from trialsite.audit import NO_REASON, acting
from trialsite.models import AuditEvent, FormReceipt

log = logging.getLogger(__name__)


# more than any form can ask
MOST_QUESTIONS, LONGEST_TOKEN = 200, 700
# characters of the address that a receipt keeps
LONGEST_LOCATION = FormReceipt._meta.get_field("location").max_length


class Refused(Exception):
    """An action refuses: `errors` are sentences by field name ("" for the whole form)."""

    def __init__(self, errors):
        self.errors = {"": [errors]} if isinstance(errors, str) else errors
        super().__init__("; ".join(str(text) for texts in self.errors.values() for text in texts))

    def count(self):
        """Called when nothing was saved: what is to be known of a refusal, however often it is repeated."""


class Stale(Exception):
    """The record was changed after it was shown. `current` is the record as it stands now."""

    def __init__(self, current):
        self.current = current
        super().__init__(f"{current} was changed by someone else")


@dataclass(frozen=True)
class Question:
    """What a soft check asks before a form is saved: about `typed`, which stands in a field ("" for the whole form)."""

    check: str
    field: str
    typed: str
    text: object
    signature: str = ""  # of the token, on a page: see signature_of

    @property
    def token(self):
        return f"{self.check}:{self.field}:{self.typed}"

    @property
    def signed(self):
        return f"{self.token}:{self.signature}"


def signature_of(about, token):
    """Signs what a page asks about this record. Only what a check of ours really asked counts as asked, or as confirmed."""
    return Signer(salt=f"asked {about._meta.label_lower} {about.pk}").signature(token)


class Questions(Exception):
    """Nobody has answered these yet: the person is asked before anything is saved."""

    def __init__(self, questions):
        self.questions = questions
        super().__init__("; ".join(question.token for question in questions))


def check_version(record, seen):
    """Raise Stale unless `seen` is the version of the (locked) record; None means the caller saw it just now."""
    if seen is not None and record.version != seen:
        raise Stale(record)


def require_reason(reason, text=""):
    """Raise Refused unless there is a reason. Every action that changes what is saved asks so, whatever its form did:
    that is what says whether a reason is required; a form only asks for it earlier."""
    if not reason.strip():
        raise Refused({"reason": [text or _("Write why the entry is changed.")]})


class KeyReused(Exception):
    """The idempotency key was used for something else."""


class KeyInput(forms.HiddenInput):
    """The form's key, and `beside` it what the page gives back with the form (trialsite/drafts.py)."""

    beside = {}

    def render(self, name, value, attrs=None, renderer=None):
        more = format_html_join("", '<input type="hidden" name="{}" value="{}">', self.beside.items())
        return super().render(name, value, attrs, renderer) + more


class DataForm(forms.Form):
    """The base of all data forms: version and idempotency key, and a reason where a saved record is changed."""

    version = forms.IntegerField(required=False, widget=forms.HiddenInput, min_value=0, max_value=2**31 - 1)
    idem = forms.UUIDField(required=False, widget=KeyInput)

    use_required_attribute = True
    # fields that are used and forgotten (a password, a code): no digest, no page, no action gets them
    never_kept = ()
    # is what is typed kept before it is saved? Not where it must stand nowhere but in its place, as a seed
    is_drafted = True

    def __init__(self, *args, record=None, **kwargs):
        self.record = record
        initial = {"idem": uuid.uuid4(), "version": record.version if record else 0, **kwargs.pop("initial", {})}
        super().__init__(*args, initial=initial, **kwargs)

    def clean(self):
        cleaned = super().clean()
        for name in ("version", "idem"):
            if cleaned.get(name) in (None, "") and name not in self.errors:
                self.add_error(None, _("The form is incomplete. Open it again and repeat the entry."))
                break
        return cleaned

    @property
    def values(self):
        """What was entered, without the two keys of the form itself and what is never kept.

        A field of a saved record that was not sent at all is left out: not sent is not blank."""
        return {
            name: value
            for name, value in self.cleaned_data.items()
            if name not in ("version", "idem", *self.secrets) and (self.record is None or self.was_sent(name))
        }

    def sent_or(self, name, stored):
        """What was entered, or `stored` when the field was not sent at all: not sent is not blank."""
        return self.cleaned_data[name] if self.was_sent(name) else stored

    @property
    def secrets(self):
        """The names of `never_kept`, and of every password that the form forgot to name there."""
        passwords = [name for name, field in self.fields.items() if isinstance(field.widget, forms.PasswordInput)]
        return {*self.never_kept, *passwords}

    def forget_secrets(self):
        """The form is shown again: what is never kept is typed again."""
        sent = {self.add_prefix(name) for name in self.secrets} & set(self.data)
        if sent:
            self.data = self.data.copy()
            for name in sent:
                del self.data[name]

    def keeps(self, name):
        """Is what was sent under this name a part of the draft?"""
        return name in self.fields and name not in ("version", "idem", *self.secrets)

    def goes_with(self, name):
        """Fields that mean something only together have this in common."""
        return name

    def read_asked(self, data):
        """What the page was told by checks while it was filled in; forms without live checks were told nothing."""
        return {}

    def take_draft(self, draft):
        """What a form of its own kind takes from a draft, besides its fields."""

    def count_refusals(self):
        """Called when the form refuses what was entered, before any action saw it: what is to be known of that."""

    def was_sent(self, name):
        widget = self.fields[name].widget
        return not widget.value_omitted_from_data(self.data, self.files, self.add_prefix(name))


class AskingForm(DataForm):
    """The base of forms whose soft checks ask before they are saved (templates/_questions.html): what was asked, and
    what was ticked as looked up in the source, comes along, signed, each with the value that it was about.

    `about` is the record, or what a new one belongs to."""

    def __init__(self, *args, about, **kwargs):
        self.about = about
        super().__init__(*args, **kwargs)

    def signed(self, questions):
        """The questions as this form's page asks them."""
        return [replace(question, signature=signature_of(self.about, question.token)) for question in questions]

    @property
    def asked(self):
        """The tokens of what the person has been asked."""
        return self._tokens("asked")

    @property
    def ticked(self):
        return self._tokens("confirmed")

    def _tokens(self, name):
        sent = self.data.getlist(name)[:MOST_QUESTIONS] if self.is_bound else []
        parts = [text.rpartition(":") for text in sent if len(text) < LONGEST_TOKEN and "\x00" not in text]
        return {
            token for token, _, signature in parts if constant_time_compare(signature, signature_of(self.about, token))
        }

    @property
    def confirmed(self):
        """The (check, field) that were looked up in the source: of the value that stands there now."""
        parts = [token.split(":", 2) for token in self.ticked if token.count(":") >= 2]
        return {(check, field) for check, field, typed in parts if self.typed_now(field) == typed}

    def typed_now(self, field):
        value = self.cleaned_data.get(field)
        return "" if value is None else str(value)


@dataclass
class Saved:
    """What an action's caller answers: where to go, the new version of the record, and a word for the person."""

    location: str
    version: int | None = None
    message: str = ""
    # what the actions told besides (`tell_whoever_saves`)
    warnings: tuple[str, ...] = ()


# what actions tell while a form is saved; None where none is
_told: ContextVar[list[str] | None] = ContextVar("told", default=None)


def tell_whoever_saves(text):
    """Something that follows from what a form saves, which no page can know: shown as a warning beside the page's own
    word, once the form is saved. Without a form (a job, a command) nobody is there to be told."""
    told = _told.get()
    if told is not None and text not in told:
        told.append(text)


def answer_form(request, form, template, context, save, *, conflict=None, confirm=None):
    """Answer GET and POST of a data form. `save(form)` calls the actions and returns `Saved`.

    `confirm(form)` is asked before, outside the transaction, so that what it notes stays; it raises Refused. It is not
    asked again when the form was saved already: its code of the second factor is used up.
    `context` may be a function, called only when the page is shown. `conflict(form, stale)` gives the rows of the 409
    page (see `conflict_row`); by default the form's own fields against the attributes of the current record."""

    def page(status, template=template, **more):
        if form.is_bound:
            form.forget_secrets()
            if form.is_drafted and status == 422:
                drafts.mark_again(request, form)
        shown = context() if callable(context) else context
        return render(request, template, {"form": form, **shown, **more}, status=status)

    if request.method != "POST":
        offer = drafts.offer(request, form)
        if offer and offer.rows:
            return page(200, "conflict.html", conflict={**last_change_of(form.record), "rows": offer.rows}, draft=offer)
        return page(200, draft=offer)
    if request.POST.get("draft") == "keep":
        return drafts.answer_draft(request, form)
    if not form.is_bound:  # an empty body is a form too: one that lacks everything
        form.data, form.is_bound = request.POST, True
    if is_about_an_older_version(form) and "reason" in form.fields:
        form.fields["reason"].required = False  # what changed meanwhile is shown first
    try:
        # a form saved before may be invalid by now: the record, being saved, asks for a reason or allows other steps
        saved = answer_given(request, form) if confirm or not form.is_valid() else None
        if saved is None and form.is_valid():
            if confirm:
                confirm(form)
            saved = save_once(request, form, save)
        if saved is None:
            form.count_refusals()
            return page(422)
    except Refused as refusal:
        refusal.count()
        for name, texts in refusal.errors.items():
            for text in texts:
                form.add_error(name if name in form.fields else None, text)
        return page(422)
    except Questions as asking:
        return page(422, questions=form.signed(asking.questions))
    except Stale as stale:
        key = form.cleaned_data["idem"]
        is_kept = drafts.keep(request, form, key=key, version=request.POST.get("version", "")) == 200
        if is_kept and conflict is None and (compared := compare(request)):
            return compared
        rows = (conflict or conflict_rows)(form, stale)
        return page(409, "conflict.html", conflict={**last_change_of(stale.current), "rows": rows})
    except KeyReused:
        form.add_error(NON_FIELD_ERRORS, _("This form was already saved with other content. Open it again."))
        return page(409)
    if saved.message:
        messages.success(request, saved.message)
    for warning in saved.warnings:
        messages.warning(request, warning)
    response = HttpResponseRedirect(saved.location)
    if saved.version is not None:
        response["X-Record-Version"] = str(saved.version)
    return response


def compare(request):
    """The page that compares what was just kept with what stands now, as whoever opens the draft sees it; answered
    with 409. None where the form has no such page."""
    asked = copy(request)
    asked.method, asked.POST, asked.GET = "GET", QueryDict(), QueryDict("draft=yes")
    match = request.resolver_match
    page = match.func(asked, *match.args, **match.kwargs)
    if page.status_code != 200:
        return None
    page.status_code = 409
    return page


def is_about_an_older_version(form):
    """Was the form filled in on a page that showed another version than the record has now?"""
    if form.record is None:
        return False
    try:
        shown = form.fields["version"].clean(form.data.get(form.add_prefix("version"), ""))
    except forms.ValidationError:
        return False  # told at the form
    return shown != form.record.version


def save_once(request, form, save):
    """Run `save` and store the receipt of the form's key in one transaction; a second time, give the first answer.

    The receipt is written last. Who sends the same form twice at once therefore does the work twice, but keeps it
    once: the second writer fails at the receipt, or finds the record changed, and is undone."""
    key, digest = form.cleaned_data["idem"], digest_of(request, form)
    told = []
    token = _told.set(told)
    try:
        with acting(request.user):
            saved = save(form)
            saved = replace(saved, location=fitting(saved.location))
            _finish(request, key, digest, saved)
            return replace(saved, warnings=tuple(told))
    except (Refused, Stale, DatabaseError) as failure:
        saved = answer_given(request, form)
        if saved is not None:
            return saved
        if isinstance(failure.__cause__, UniqueViolation):  # two people made the same thing at the same moment
            log.warning("refused: %s", failure.__cause__.diag.constraint_name)
            raise Refused(_("The same was saved by someone else at this moment. Open the form again.")) from None
        if getattr(failure.__cause__, "sqlstate", "") == NO_REASON:  # no action asked, so the trail did
            log.error("an action changes something without a reason: %s", failure.__cause__)
            require_reason("")
        raise
    finally:
        _told.reset(token)


# one statement, for every save makes it: what was typed is data now, and the form is answered
FINISH = """
with forgotten as (delete from trialsite_draft where user_id = %(user)s and path = %(path)s
    and (form_key = %(key)s or (id = %(taken)s::bigint and kept_at = %(kept_at)s::timestamptz)))
insert into trialsite_formreceipt (key, user_id, path, digest, location, record_version, at)
values (%(key)s, %(user)s, %(path)s, %(digest)s, %(location)s, %(version)s, now())
"""


def _finish(request, key, digest, saved):
    taken, kept_at = drafts.taken(request)
    with connection.cursor() as cursor:
        cursor.execute(FINISH, {
            "key": key, "user": request.user.pk, "path": request.path[:300], "digest": digest,
            "location": saved.location, "version": saved.version, "taken": taken, "kept_at": kept_at,
        })  # fmt: skip


def fitting(location):
    """An address that a receipt can hold: a long one without what was searched for."""
    return location if len(location) <= LONGEST_LOCATION else location.partition("?")[0]


def answer_given(request, form):
    """What was answered when the form with this key was saved, or None. Raises KeyReused for other content."""
    try:
        key = uuid.UUID(request.POST.get("idem", ""))
    except ValueError:
        return None
    receipt = FormReceipt.objects.filter(pk=key).first()
    if receipt is None:
        return None
    if (receipt.user_id, receipt.path, receipt.digest) != (request.user.pk, request.path, digest_of(request, form)):
        raise KeyReused(str(key))
    return Saved(receipt.location, receipt.record_version)


def digest_of(request, form):
    left_out = {"csrfmiddlewaretoken", drafts.OPENED, drafts.TAKEN, *(form.add_prefix(name) for name in form.secrets)}
    sent = sorted((name, values) for name, values in request.POST.lists() if name not in left_out)
    return hashlib.sha256(repr((request.path, sent)).encode()).hexdigest()


def last_change_of(record):
    """Who saved the record last, and when, from the trail."""
    event = AuditEvent.objects.of(record).last()
    return {"by": event.by_name, "at": event.at} if event else {"by": "", "at": None}


def conflict_row(label, yours, saved):
    return {"field": label, "yours": yours, "saved": saved, "differs": (yours or "") != (saved or "")}


def conflict_rows(form, stale):
    """What was typed beside what stands now, for the fields that the record has."""
    return [
        conflict_row(bound.label, form.cleaned_data.get(bound.name), getattr(stale.current, bound.name))
        for bound in form.visible_fields()
        if bound.name not in ("reason", *form.secrets) and hasattr(stale.current, bound.name)
    ]
