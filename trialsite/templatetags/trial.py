"""Template words of this trial."""

from decimal import Decimal

from django import template
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from trialsite import trial
from trialsite.clock import told_at, told_day, zone_shown
from trialsite.ctcae import term_told
from trialsite.grade_words import grade_told, row_told
from trialsite.languages import LANGUAGES, tag
from trialsite.reasons import reason_told
from trialsite.roles import Permission, can
from trialsite.ucum import unit_text
from trialsite.words import Sentence

register = template.Library()


@register.filter
def number(value):
    """A number without trailing zeros: 12.5000 is 12.5, 300.0000 is 300."""
    if value is None or value == "":
        return ""
    if not isinstance(value, Decimal):
        return value
    text = format(value.normalize(), "f")
    return text


@register.filter
def amount(value):
    """A large number in groups of three: 33950000 is 33 950 000 (thin spaces)."""
    if not isinstance(value, Decimal):
        return value
    whole, _point, part = format(value.normalize(), "f").partition(".")
    return f"{int(whole):,}".replace(",", "\u202f") + (f".{part}" if part else "")


@register.filter
def may(user, permission):
    """`{% if user|may:"ENTER_DATA" %}`: hides what a person cannot do; the server decides again."""
    return can(user, Permission[permission])


@register.filter
def history_url(record):
    meta = record._meta
    return reverse("show_history", args=[meta.app_label, meta.model_name, record.pk])


@register.filter
def query_url(record):
    """Where a query about this record is raised."""
    meta = record._meta
    return reverse("visits:query_record", args=[meta.app_label, meta.model_name, record.pk])


@register.filter
def item(mapping, key):
    return mapping.get(key) if mapping else None


@register.simple_tag
def page_language():
    """For `<html lang>`: the language that this page is in."""
    return tag(get_language())


@register.simple_tag
def languages():
    """code, tag, name and is_current of every language that a person may choose."""
    return [
        {"code": code, "tag": tag(code), "name": name, "is_current": code == get_language()}
        for code, name in LANGUAGES.items()
    ]


@register.filter
def yes_no(value):
    return {True: "✓", False: "–", None: ""}.get(value, value)


@register.simple_tag(takes_context=True)
def clock_zone(context):
    """By whose clock this page shows instants (trialsite.clock)."""
    return zone_shown(context.get("patient"), context.get("user"))


@register.simple_tag(takes_context=True)
def clock(context, instant, seconds=False, day=False, of=None):
    """`{% clock panel.entered_at %}`: an instant by the clock of this page, with its difference from UTC. Of a row about
    a patient by that of the patient's site: `of=query.patient`. Where the day is enough: `day=True`."""
    zone = zone_shown(of, context.get("user")) if of else clock_zone(context)
    return told_day(instant, zone) if day else told_at(instant, zone, seconds=seconds)


@register.simple_tag(takes_context=True)
def clock_now(context):
    return clock(context, timezone.now())


@register.filter
def term(words):
    """A term of CTCAE with its name in the reader's language; words that a person typed as they are."""
    return term_told(words) if words else ""


@register.filter
def row_of(row, scale):
    """What a row of a grading scale is called, in the reader's language."""
    return row_told(scale.name, scale.version, row.id)


@register.filter
def words_of(step, scale):
    """The published words of a grade of the scale, in the reader's language."""
    return grade_told(scale.key, step.words)


@register.filter
def reason(stored):
    """A reason that the system gave in the reader's language; what a person typed as it is."""
    return reason_told(stored) if stored else ""


@register.filter
def told(value):
    """A value as people read it: a truth as a word, a sentence in the reader's language."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, dict) and value.keys() == {"template", "values"}:
        return Sentence.of(value, trial.current_protocol())
    return value


register.filter("unit_text", unit_text)
