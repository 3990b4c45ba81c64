"""Sentences that are stored and read later, by people of either language: the only place that knows how they are kept.

A `Sentence` is an English template with named values. `str()` gives it in the language of whoever reads; `stored()` is
what goes into the database, from which `Sentence.of()` makes it again. A value may be a `Name`: the code of something
that the protocol names (a test, a panel, a visit), so that the name, too, is read in the reader's language. The value
`term` is a term of CTCAE, told with its name.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from django.conf import settings
from django.utils.translation import gettext, override, pgettext

from trialsite.ctcae import term_told


def for_the_record(text, protocol_of=None) -> str:
    """A text in the one language of the record, whoever acts: for what is stored as plain words.

    For a `Sentence` with names give the record whose `.protocol` has them."""
    with override(settings.LANGUAGE_CODE):
        return str(Sentence.of(text.stored(), protocol_of.protocol) if protocol_of else text)


def language_told(code) -> str:
    """The language of a consent form in words; a code that nobody named stays as the protocol has it."""
    return {"en": gettext("English"), "zh": gettext("Chinese"), "zh-hans": gettext("Chinese")}.get(code.lower(), code)


def listed(things) -> str:
    """Things side by side, with the comma of the reader's language."""
    return pgettext("between the things of a list", ", ").join(map(str, things))


@dataclass(frozen=True)
class Name:
    """What the protocol calls the thing of this `kind` ("test", "panel", "visit") and `code`; `text` is its name now."""

    kind: str
    code: str
    text: str

    def __str__(self):
        return self.text


@dataclass(frozen=True)
class Sentence:
    """`template` has placeholders %(name)s; it is marked for translation where it is written (gettext_noop)."""

    template: str
    values: dict = field(default_factory=dict)

    def __str__(self):
        told = {name: self._in_words(value) for name, value in self.values.items()}
        if "term" in told:
            told["term"] = term_told(told["term"])
        return gettext(self.template) % told if told else gettext(self.template)

    def __hash__(self):
        return hash((self.template, tuple(sorted((name, str(value)) for name, value in self.values.items()))))

    @staticmethod
    def _in_words(value):
        return "".join(str(part) for part in value) if isinstance(value, (list, tuple)) else str(value)

    def stored(self) -> dict:
        """JSON: {"template": ..., "values": {name: text, or a list of texts and {"test": "CD4"}}}."""
        return {"template": self.template, "values": {name: _stored(value) for name, value in self.values.items()}}

    @classmethod
    def of(cls, stored: dict, protocol) -> Sentence:
        """The sentence again; names are read from `protocol`, whichever language that speaks."""
        return cls(stored["template"], {name: _read(value, protocol) for name, value in stored["values"].items()})


def _stored(value):
    if isinstance(value, (list, tuple)):
        return [_stored(part) for part in value]
    if isinstance(value, Sentence):
        return value.stored()
    return {value.kind: value.code} if isinstance(value, Name) else str(value)


def _read(value, protocol):
    if isinstance(value, list):
        return [_read(part, protocol) for part in value]
    if isinstance(value, dict) and "template" in value:
        return Sentence.of(value, protocol)
    if isinstance(value, dict):
        [(kind, code)] = value.items()
        try:
            return Name(kind, code, getattr(protocol, kind)(code).name)
        except KeyError:
            return code
    return value
