"""The trial that this deployment runs: its protocol versions, from settings.TRIAL_PROTOCOL."""

from functools import cache

from django.conf import settings

from trialsite.protocol import Protocol, load_versions


@cache
def versions() -> dict[str, Protocol]:
    """All protocol versions, oldest first. Raises ProtocolError."""
    return load_versions(settings.TRIAL_PROTOCOL)


def current_protocol() -> Protocol:
    """The newest version: the one that a new patient enters under."""
    return list(versions().values())[-1]


def protocol(version: str) -> Protocol:
    """The version a record was entered under. Raises KeyError when its file is not there any more."""
    return versions()[version]
