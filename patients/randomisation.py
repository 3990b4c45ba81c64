"""The only place that makes, reads and seals randomisation lists, and that tells a patient's stratum.

A list gives each stratum its own row of slots, filled in the order of their sequence. Pure: who takes which
slot, and under which lock, is `patients.actions.randomisation`.

Random permuted blocks, with the conventions of the R package blockrand 1.5: the size of each block is drawn from
the sizes that the protocol allows, each arm stands in a block as often as its ratio says, the last block is
complete, so a list may be longer than asked for.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import product

from django.utils.translation import gettext

from patients.eligibility import meets
from trialsite.protocol import Factor, Protocol
from trialsite.ucum import unit_text

# Recorded with every list. A change to any step below that could change a list needs a new version.
#
# Version 1: the random numbers are the first 8 bytes (big endian) of SHA-256 over the ASCII/UTF-8 text
# "permuted-blocks/1\n<seed>\n<stratum>\n<counter>", counter = 0, 1, 2 ...; a number below `n` is such a
# number modulo n, where numbers at or above the largest multiple of n are skipped. Per block: draw the
# position of its size in the protocol's block_sizes; write down the arms in the protocol's order, each as
# often as its share; for i = last ... 1 swap place i with place (number below i + 1) (Fisher-Yates).
#
# Not Python's `random`: it promises the same sequence across versions for random() alone, not for randrange()
# or shuffle(), and its Mersenne Twister can be continued by who has seen enough of it. SHA-256 is the same in
# every version and language, so that a statistician can check a list without this program.
ALGORITHM = "permuted-blocks/1"

WITHOUT_STRATA = "all"
COLUMNS = ("stratum", "sequence", "block", "block_size", "arm")
BLOCK_COLUMNS = ("block", "block_size")

_COUNT = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


@dataclass(frozen=True)
class Slot:
    """One place of a list. `sequence` and `block` count from 1 in each stratum; imports may lack blocks."""

    stratum: str
    sequence: int
    block: int | None
    block_size: int | None
    arm: str


@dataclass(frozen=True)
class BadCell:
    """What is wrong in a list: the row (the heading is row 1), the column and what was expected there."""

    row: int
    column: str
    expected: str

    def __str__(self) -> str:
        return f"row {self.row}, {self.column}: {self.expected}"


class BadList(Exception):
    """A list that cannot be used: all faults in `cells`, the first also as `row`, `column`, `expected`."""

    def __init__(self, cells: Iterable[BadCell]):
        self.cells = tuple(cells)
        self.row, self.column, self.expected = self.cells[0].row, self.cells[0].column, self.cells[0].expected
        super().__init__("\n".join(str(cell) for cell in self.cells))


class NoStratum(Exception):
    """The patient belongs to no stratum yet: `missing` says what is missing, a sentence each."""

    def __init__(self, missing: Iterable[str]):
        self.missing = tuple(missing)
        super().__init__(" ".join(self.missing))


# --- strata --------------------------------------------------------------------------------------


def strata(protocol: Protocol, site_codes: Iterable[str]) -> list[str]:
    """The keys of all strata, e.g. "01/low": the levels joined with "/", site first; "all" without strata."""
    factors = _factors(protocol)
    if not factors:
        return [WITHOUT_STRATA]
    sites = list(site_codes)
    return ["/".join(levels) for levels in product(*(_levels(factor, sites) for factor in factors))]


def stratum_of(protocol: Protocol, *, site: str, sex: str, results: dict[str, Decimal]) -> str:
    """The key of the patient's stratum. `results` holds, by test code, the result that is to count.

    Raises NoStratum when a result is missing or fits no level of its factor.
    """
    levels, missing = [], []
    for factor in _factors(protocol):
        try:
            levels.append(_level_of(protocol, factor, site, sex, results))
        except NoStratum as error:
            missing.extend(error.missing)
    if missing:
        raise NoStratum(missing)
    return "/".join(levels) or WITHOUT_STRATA


def _factors(protocol: Protocol) -> list[Factor]:
    return sorted(protocol.allocation.strata, key=lambda factor: factor.by != "site")


def _levels(factor: Factor, sites: list[str]) -> list[str]:
    return {"site": sites, "sex": ["F", "M"], "test": [level.code for level in factor.levels]}[factor.by]


def _level_of(protocol: Protocol, factor: Factor, site: str, sex: str, results: dict[str, Decimal]) -> str:
    if factor.by == "site":
        if not site:
            raise NoStratum([gettext("The site is not known.")])
        return site
    if factor.by == "sex":
        if sex not in ("F", "M"):
            raise NoStratum([gettext("The sex is not known.")])
        return sex
    test, value = protocol.test(factor.test), results.get(factor.test)
    if value is None:
        raise NoStratum([gettext("There is no result of %(test)s.") % {"test": test.name}])
    fitting = [level.code for level in factor.levels if meets(level, value)]
    if len(fitting) != 1:
        levels = "; ".join(f"{level.name}: {level.words()}" for level in factor.levels)
        words = (
            gettext("%(result)s fits more than one level (%(levels)s).")
            if fitting
            else gettext("%(result)s fits no level (%(levels)s).")
        )
        result = f"{test.name} {value.normalize():f} {unit_text(test.unit)}".rstrip()
        raise NoStratum([words % {"result": result, "levels": levels}])
    return fitting[0]


# --- making a list -------------------------------------------------------------------------------


def make_list(protocol: Protocol, strata: Iterable[str], slots_per_stratum: int, seed: int | str) -> list[Slot]:
    """A list with at least `slots_per_stratum` slots in each stratum.

    The slots of a stratum depend on the seed, the stratum's key, the arms and the block sizes alone: adding a
    site or asking for more slots never changes a slot that an earlier list had. Raises ValueError when the
    protocol has its list imported, or for a seed that could not be typed again.
    """
    seed = str(seed)
    if protocol.allocation.method != "permuted_blocks" or not protocol.allocation.block_sizes:
        raise ValueError("The protocol does not ask for permuted blocks; its list is imported.")
    if not seed or not seed.isprintable() or seed != seed.strip():
        raise ValueError("The seed must be a number or a text on one line, without blanks at its ends.")
    if slots_per_stratum < 1:
        raise ValueError("A list needs at least one slot in each stratum.")
    return [slot for stratum in strata for slot in _slots(protocol, stratum, slots_per_stratum, seed)]


def _slots(protocol: Protocol, stratum: str, at_least: int, seed: str) -> list[Slot]:
    numbers = _random_numbers(seed, stratum)
    sizes = protocol.allocation.block_sizes
    slots: list[Slot] = []
    block = 0
    while len(slots) < at_least:
        block += 1
        size = sizes[_below(len(sizes), numbers)]
        for arm in _shuffled(_block(protocol, size), numbers):
            slots.append(Slot(stratum, len(slots) + 1, block, size, arm))
    return slots


def _block(protocol: Protocol, size: int) -> list[str]:
    """The arms of one block before they are shuffled, each as often as its ratio says."""
    repeats, rest = divmod(size, sum(arm.ratio for arm in protocol.arms))
    if rest:
        raise ValueError(f"A block of {size} cannot hold the arms in their ratio.")
    return [arm.code for arm in protocol.arms for _ in range(arm.ratio * repeats)]


def _random_numbers(seed: str, stratum: str) -> Iterator[int]:
    """Endless random whole numbers from 0 to 2^64 - 1, of this seed and stratum."""
    counter = 0
    while True:
        text = f"{ALGORITHM}\n{seed}\n{stratum}\n{counter}"
        yield int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
        counter += 1


def _below(n: int, numbers: Iterator[int]) -> int:
    """A number from 0 to n - 1, each as likely; numbers that would favour the small ones are skipped."""
    fair = 2**64 - 2**64 % n
    return next(number for number in numbers if number < fair) % n


def _shuffled(items: list[str], numbers: Iterator[int]) -> list[str]:
    items = list(items)
    for i in range(len(items) - 1, 0, -1):
        j = _below(i + 1, numbers)
        items[i], items[j] = items[j], items[i]
    return items


# --- a list as a file ----------------------------------------------------------------------------


def to_csv(slots: Iterable[Slot]) -> str:
    """The list in its one canonical form: by stratum and sequence, all columns, lines ending in LF."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for slot in sorted(slots, key=lambda slot: (slot.stratum, slot.sequence)):
        writer.writerow("" if (cell := getattr(slot, column)) is None else cell for column in COLUMNS)
    return text.getvalue()


def digest(slots: Iterable[Slot]) -> str:
    """SHA-256 of the canonical CSV in UTF-8, in hex: the seal that is recorded with the list."""
    return hashlib.sha256(to_csv(slots).encode()).hexdigest()


def from_csv(text: str, protocol: Protocol, strata: Iterable[str]) -> list[Slot]:
    """A list that was made elsewhere, in the order of its rows.

    Strict: known columns and codes only, each stratum present, its sequence 1, 2, 3 ... in this order, blocks
    (when given) as long as they say, but for the last one of a stratum. Arms within a block are not counted:
    a statistician may unbalance a list on purpose. Raises BadList with all faults.
    """
    try:
        reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
        lines = [(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        raise BadList(
            [BadCell(reader.line_num, "(row)", gettext("expected comma-separated cells: %(error)s") % {"error": error})]
        ) from None
    while lines and not lines[-1][1]:
        lines.pop()
    if not lines:
        raise BadList([BadCell(1, "(heading)", gettext("expected %(expected)s") % {"expected": ",".join(COLUMNS)})])
    (_, heading), *rows = lines
    if faults := list(_faults_of_heading(heading)):
        raise BadList(faults)
    strata = list(strata)
    faults, read = [], []
    for row, cells in rows:
        if len(cells) != len(heading):
            faults.append(
                BadCell(
                    row,
                    "(row)",
                    gettext("expected %(expected)s cells, found %(found)s")
                    % {"expected": len(heading), "found": len(cells)},
                )
            )
            continue
        cell_of = dict(zip(heading, cells, strict=True))
        if wrong := list(_faults_of_cells(row, cell_of, protocol, strata)):
            faults.extend(wrong)
        read.append((row, cell_of))
    faults.extend(_faults_of_order(read, strata, last_row=lines[-1][0]))
    if not faults:
        slots = [_slot(cell_of) for _, cell_of in read]
        faults.extend(_faults_of_blocks([row for row, _ in read], slots))
    if faults:
        raise BadList(sorted(dict.fromkeys(faults), key=lambda fault: fault.row))
    return slots


def _slot(cell_of: dict[str, str]) -> Slot:
    block, block_size = (int(cell) if (cell := cell_of.get(name)) else None for name in BLOCK_COLUMNS)
    return Slot(cell_of["stratum"], int(cell_of["sequence"]), block, block_size, cell_of["arm"])


def _faults_of_heading(heading: list[str]) -> Iterator[BadCell]:
    for name in COLUMNS:
        if name not in heading and name not in BLOCK_COLUMNS:
            yield BadCell(1, name, gettext("expected this column, found none"))
    for name in dict.fromkeys(heading):
        if name not in COLUMNS:
            yield BadCell(
                1, _shown(name), gettext("expected only the columns %(columns)s") % {"columns": ", ".join(COLUMNS)}
            )
        elif heading.count(name) > 1:
            yield BadCell(
                1, name, gettext("expected this column once, found it %(count)s times") % {"count": heading.count(name)}
            )
    if len(given := [name for name in BLOCK_COLUMNS if name in heading]) == 1:
        yield BadCell(1, given[0], gettext("expected block and block_size together, or neither"))


def _faults_of_cells(row: int, cell_of: dict[str, str], protocol: Protocol, strata: list[str]) -> Iterator[BadCell]:
    arms = [arm.code for arm in protocol.arms]
    for name, known in (("stratum", strata), ("arm", arms)):
        if cell_of[name] not in known:
            yield BadCell(
                row,
                name,
                gettext("expected one of %(known)s, found %(found)s")
                % {"known": ", ".join(known), "found": _shown(cell_of[name])},
            )
    if not _COUNT.fullmatch(cell_of["sequence"]):
        yield BadCell(
            row,
            "sequence",
            gettext("expected a whole number from 1, found %(found)s") % {"found": _shown(cell_of["sequence"])},
        )
    given = [cell_of.get(name, "") for name in BLOCK_COLUMNS]
    if any(given):
        for name, cell in zip(BLOCK_COLUMNS, given, strict=True):
            if not _COUNT.fullmatch(cell):
                yield BadCell(
                    row, name, gettext("expected a whole number from 1, found %(found)s") % {"found": _shown(cell)}
                )


def _faults_of_order(read: list[tuple[int, dict[str, str]]], strata: list[str], last_row: int) -> Iterator[BadCell]:
    seen = dict.fromkeys(strata, 0)
    for row, cell_of in read:
        stratum, sequence = cell_of["stratum"], cell_of["sequence"]
        if stratum in seen:
            seen[stratum] += 1
            if _COUNT.fullmatch(sequence) and int(sequence) != seen[stratum]:
                yield BadCell(
                    row,
                    "sequence",
                    gettext("expected %(next)s, the next of %(stratum)s, found %(found)s")
                    % {"next": seen[stratum], "stratum": stratum, "found": sequence},
                )
    for stratum, count in seen.items():
        if not count:
            yield BadCell(
                last_row, "stratum", gettext("expected at least one row for %(stratum)s") % {"stratum": stratum}
            )


def _faults_of_blocks(rows: list[int], slots: list[Slot]) -> Iterator[BadCell]:
    """Blocks of a stratum are numbered 1, 2, 3 ..., of one size each, and full before the next one begins."""
    last: dict[str, Slot] = {}
    filled: dict[str, int] = {}
    for row, slot in zip(rows, slots, strict=True):
        before = last.get(slot.stratum)
        number, size = (before.block, before.block_size) if before else (0, 0)
        if before and (number is None) != (slot.block is None):
            yield BadCell(
                row,
                "block",
                gettext("expected a block for all or for no row of %(stratum)s") % {"stratum": slot.stratum},
            )
        elif slot.block is not None:
            is_full = filled.get(slot.stratum, 0) == size
            expected = number + 1 if is_full else number
            if slot.block != expected:
                yield BadCell(
                    row,
                    "block",
                    gettext("expected %(expected)s, found %(found)s") % {"expected": expected, "found": slot.block},
                )
            elif not is_full and slot.block_size != size:
                yield BadCell(
                    row,
                    "block_size",
                    gettext("expected %(size)s, as in the block's first row, found %(found)s")
                    % {"size": size, "found": slot.block_size},
                )
            filled[slot.stratum] = 1 if is_full else filled[slot.stratum] + 1
        last[slot.stratum] = slot


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= 40 else cell[:40] + "…")
