"""Translations: the texts of a protocol file in another language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from trialsite.protocol.reading import load, read, shown
from trialsite.protocol.tables import Fault, ProtocolError
from trialsite.protocol.whole import Protocol


class Translation(NamedTuple):
    """A protocol with the texts of a translation, and the keys of the texts that it does not have."""

    protocol: Protocol
    missing: tuple[str, ...]


Key = tuple[str, ...]  # of a text, in a translation
Place = tuple[dict, str]  # a table of the protocol file and the name of the text in it


def load_translation(path: Path | str) -> Translation:
    """Read `LANGUAGE/FILE.toml`, the translation of the protocol file of that name one folder above.

    Where a text is missing that of the protocol file stands. Raises ProtocolError with the faults of either file."""
    path = Path(path)
    file = path.parent.parent / path.name
    own = load(file)
    raw = read(file)
    known: dict[Key, list[Place]] = {}
    for key, place in _texts(raw):
        known.setdefault(key, []).append(place)
    given = dict(_flat(read(path)))
    if faults := list(_faults_of_translation(given, known)):
        raise ProtocolError(path, faults)
    for key, text in given.items():
        for table, name in known[key]:
            table[name] = text
    protocol = Protocol.model_validate(raw)
    _show(protocol, given, own)
    return Translation(protocol, tuple(_dotted(key) for key in known if key not in given))


def _texts(raw: dict) -> Iterator[tuple[Key, Place]]:
    """Every text of a protocol file that people read: its key in a translation, and where it stands.

    Words that are compared stand nowhere: they are only shown otherwise (`_show`)."""

    def of(table, names, *key):
        for name in names:
            if table.get(name):
                yield (*key, name), (table, name)

    def one_each(items, name, *key):
        """Items with one text alone: the code itself is the key."""
        for item in items:
            yield (*key, item["code"]), (item, name)

    def specimen_of(table):
        if table.get("specimen"):
            yield ("specimens", table["specimen"]), (table, "specimen")

    yield from of(raw["trial"], ("short_title", "title", "sponsor", "sponsor_address", "indication", "phase"), "trial")
    for product in raw["products"]:
        yield from of(product, ("name",), "products", product["code"])
        tests = product.get("release_tests", ())
        yield from one_each(tests, "name", "products", product["code"], "release_tests")
        for test in tests:
            if "equals" in test:
                yield ("products", product["code"], "results", test["equals"]), ({}, "")
    yield from one_each(raw["arms"], "name", "arms")
    for factor in raw["allocation"].get("strata", ()):
        yield from one_each(factor.get("levels", ()), "name", "levels", factor["code"])
    if infusions := raw.get("infusions"):
        yield from of(infusions, ("route",), "infusions")
        for term in infusions.get("reaction_terms", ()):
            yield ("infusions", "reaction_terms", term), ({}, "")
    for kind in ("inclusion", "exclusion"):
        yield from one_each(raw["eligibility"].get(kind, ()), "text", "eligibility")
    for test in raw["tests"]:
        yield from of(test, ("name", "help"), "tests", test["code"])
        yield from one_each(test.get("choices", ()), "label", "tests", test["code"], "choices")
        yield from specimen_of(test)
    for panel in raw["panels"]:
        yield from of(panel, ("name", "instructions"), "panels", panel["code"])
        yield from specimen_of(panel)
    for table in ("visits", "events_of_interest", "stopping_rules", "safety_reporting"):
        yield from one_each(raw.get(table, ()), "name", table)


def _flat(table: dict, *key: str) -> Iterator[tuple[Key, object]]:
    for name, value in table.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, *key, name)
        else:
            yield (*key, name), value


def _dotted(key: Key) -> str:
    return ".".join(part if re.fullmatch(r"\w+", part) else repr(part) for part in key)


def _faults_of_translation(given: dict[Key, object], known: dict[Key, list[Place]]) -> Iterator[Fault]:
    names = [_dotted(key) for key in known]
    for key, text in given.items():
        name = _dotted(key)
        if key not in known:
            meant = get_close_matches(name, names, n=1, cutoff=0.8)
            expected = "expected the key of a text of the protocol file"
            yield Fault(name, expected + (f"; did you mean {meant[0]}?" if meant else ""))
        elif not isinstance(text, str):
            yield Fault(name, f"expected text in quotes (found {shown(text)})")
        elif not text.strip():
            yield Fault(name, "expected some text")


def _show(protocol: Protocol, given: dict[Key, str], own: Protocol) -> None:
    """Let words that are compared, and therefore stay, be shown as the translation has them. `own` is the protocol in
    the language of its file."""
    for interest, untranslated in zip(protocol.events_of_interest, own.events_of_interest, strict=True):
        interest._name_compared = untranslated.name
    for product in protocol.products:
        for test in product.release_tests:
            test._equals_label = given.get(("products", product.code, "results", test.equals), "")
    if infusions := protocol.infusions:
        for term in infusions.reaction_terms:
            infusions._reaction_labels[term] = given.get(("infusions", "reaction_terms", term), term)


def translations_of(path: Path | str) -> dict[str, list[Path]]:
    """The translations that stand beside a protocol file or in its folder, by language.

    A folder may also hold another trial with its versions. Raises ProtocolError for one that translates no protocol file."""
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    found = {}
    for file in sorted(folder.glob("*/*.toml")):
        if not (folder / file.name).exists():
            if ("trial", "id") in dict(_flat(read(file))):
                continue  # a protocol: no translation names its trial
            raise ProtocolError(file, [Fault("(file)", f"expected the name of a protocol file in {folder.name}/")])
        if path.is_dir() or file.name == path.name:
            found.setdefault(file.parent.name, []).append(file)
    return found
