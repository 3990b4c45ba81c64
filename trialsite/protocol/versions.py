"""All versions of one trial, and what an amendment may not do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from trialsite.protocol.reading import load
from trialsite.protocol.tables import Fault, ProtocolError, at
from trialsite.protocol.translation import load_translation
from trialsite.protocol.whole import Protocol


def load_versions(path: Path | str, language: str = "") -> dict[str, Protocol]:
    """All versions of one trial, oldest first: from a folder of files, or from a single file.

    In `language` where a version has a translation, else with the texts of the protocol file."""
    path = Path(path)
    files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
    if not files:
        raise ProtocolError(path, [Fault("(folder)", "expected at least one .toml file")])
    versions: dict[str, tuple[Protocol, Path]] = {}
    for file in files:
        protocol = load(file)
        for other, its_file in versions.values():
            if protocol.trial.id != other.trial.id:
                expected = f"expected {other.trial.id!r} as in {its_file.name}, found {protocol.trial.id!r}"
                raise ProtocolError(file, [Fault("trial.id", expected)])
            if protocol.version == other.version:
                expected = f"expected a version of its own, found {protocol.version!r} as in {its_file.name}"
                raise ProtocolError(file, [Fault("trial.version", expected)])
            if protocol.trial.dated == other.trial.dated:
                # the newest date is the version in force; two of one date would leave it to chance
                expected = f"expected a date of its own, found {protocol.trial.dated} as in {its_file.name}"
                raise ProtocolError(file, [Fault("trial.dated", expected)])
        versions[protocol.version] = protocol, file
    oldest_first = sorted(versions.values(), key=lambda found: found[0].trial.dated)
    for (older, _), (newer, file) in pairwise(oldest_first):
        if faults := list(faults_between(older, newer)):
            raise ProtocolError(file, faults)
    return {protocol.version: _in_language(protocol, file, language) for protocol, file in oldest_first}


def _in_language(protocol: Protocol, file: Path, language: str) -> Protocol:
    translation = file.parent / language / file.name
    return load_translation(translation).protocol if language and translation.exists() else protocol


def faults_between(older: Protocol, newer: Protocol) -> Iterator[Fault]:
    """What an amendment may not do: take from results already entered, or from patients randomised, their meaning."""
    for arm in older.arms:
        if arm.code not in newer.by_code["arms"]:
            yield Fault("arms", f"expected arm {arm.code!r} of version {older.version}, too: patients are in it")
    tests = newer.by_code["tests"]
    for test in older.tests:
        same = tests.get(test.code)
        for name in ("kind", "unit"):
            if same and getattr(same, name) != getattr(test, name):
                expected = (
                    f"expected {getattr(test, name)!r} as in version {older.version}, found {getattr(same, name)!r}"
                )
                yield Fault(f"{at('tests', newer.tests.index(same), same)}.{name}", f"{expected}: give it another code")
    for i, visit in enumerate(newer.visits):
        same = older.by_code["visits"].get(visit.code)
        if same and (same.infusion, same.phase == "screening") != (visit.infusion, visit.phase == "screening"):
            expected = f"expected the phase and infusion of {visit.code!r} as in version {older.version}"
            yield Fault(at("visits", i, visit), f"{expected}: give it another code")
