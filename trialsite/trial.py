"""The trial that this deployment runs: its protocol versions, from settings.TRIAL_PROTOCOL, in the language of the reader.

The versions in two languages differ in names and other texts alone; what is stored or compared are codes, numbers and
words that are the same in both.
"""

from functools import cache

from django.conf import settings
from django.utils.translation import get_language

from trialsite.protocol import Protocol, load_versions


@cache
def versions_in(language: str | None) -> dict[str, Protocol]:
    """All protocol versions, oldest first, with the texts of this language where they are translated."""
    return load_versions(settings.TRIAL_PROTOCOL, "" if language in (None, settings.LANGUAGE_CODE) else language)


def versions() -> dict[str, Protocol]:
    """All protocol versions, oldest first, in the language that is spoken now. Raises ProtocolError."""
    return versions_in(get_language())


def current_protocol() -> Protocol:
    """The newest version: the one that a new patient enters under."""
    return list(versions().values())[-1]


def named(kind: str, code: str, first: Protocol | None = None) -> str:
    """What the protocol calls a test, a panel, a visit or an arm: the version `first`, else the newest that has it; the
    code itself where none does."""
    for version in (*filter(None, [first]), *reversed(versions().values())):
        try:
            return getattr(version, kind)(code).name
        except (KeyError, AttributeError):
            continue
    return code


def protocol(version: str) -> Protocol:
    """The version a record was entered under. Raises KeyError when its file is not there any more."""
    return versions()[version]
