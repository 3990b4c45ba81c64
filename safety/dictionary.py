"""The term list that ships: CTCAE v5.0 (NCI, a work of the US government), terms with their classes."""

import csv
from functools import cache
from pathlib import Path

FILE = Path(__file__).parent / "dictionaries" / "ctcae-v5-terms.csv"


@cache
def terms() -> dict[str, str]:
    """Term to body system (MedDRA system organ class as CTCAE prints it), in the order of the list."""
    with FILE.open(encoding="utf-8", newline="") as lines:
        return {row["term"]: row["soc"] for row in csv.DictReader(lines)}


@cache
def body_systems() -> tuple[str, ...]:
    return tuple(sorted(set(terms().values())))


@cache
def _folded() -> dict[str, str]:
    return {term.casefold(): system for term, system in terms().items()}


def body_system_of(term: str) -> str:
    """The body system of a term of the list, whatever its letter case; "" when it is not in the list."""
    return _folded().get(" ".join(term.split()).casefold(), "")
