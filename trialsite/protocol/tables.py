"""What every table of a protocol file is made of: types of values, the base of all tables, and faults.

The tables themselves stand in the modules beside it, one for each section."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from trialsite.ucum import is_ucum


def _number(value) -> Decimal:
    # pydantic alone would also take "5" and true for numbers
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise ValueError("expected a number")
    return Decimal(value)


def _loinc(value: str) -> str:
    if value and not (re.fullmatch(r"[0-9]{1,7}-[0-9]", value) and _luhn_digit(value[:-2]) == value[-1]):
        raise ValueError("expected a LOINC code with its check digit, like 24467-3")
    return value


def _ucum(value: str) -> str:
    if value and not is_ucum(value):
        raise ValueError("expected a unit in UCUM's case-sensitive codes, like umol/L or 10*9/L")
    return value


def _luhn_digit(digits: str) -> str:
    """The check digit of a LOINC code (Luhn, modulus 10)."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if position % 2 == 0 else 1)
        total += doubled // 10 + doubled % 10
    return str(-total % 10)


CODE, NOT_BLANK = r"^[A-Za-z][A-Za-z0-9_]{0,23}$", r"\S"
CENTURY = 36_525  # days; what lies further off is a slip of the keyboard, and no date

Code = Annotated[str, Field(pattern=CODE)]
Text = Annotated[str, Field(pattern=NOT_BLANK)]
Number = Annotated[Decimal, BeforeValidator(_number)]
Percent = Annotated[Number, Field(ge=0, le=100)]
Probability = Annotated[Number, Field(gt=0, lt=1)]
AboveZero = Annotated[Number, Field(gt=0)]
Whole = Annotated[int, Field(strict=True)]
Days = Annotated[Whole, Field(ge=0, le=CENTURY)]
Positive = Annotated[Whole, Field(ge=1)]
Minutes = Annotated[Whole, Field(ge=0)]
Flag = Annotated[bool, Field(strict=True)]
DictionaryName = Annotated[str, Field(pattern=r"^(\S(.*\S)?)?$", max_length=40)]
Day = Annotated[date, Field(strict=True)]
Loinc = Annotated[str, BeforeValidator(_loinc)]
Ucum = Annotated[str, BeforeValidator(_ucum)]


class Fault(Exception):
    """One thing wrong in a protocol file: its `key` (dotted, list items by position), what was `expected`."""

    def __init__(self, key: str, expected: str):
        self.key, self.expected = key, expected
        super().__init__(f"{key}: {expected}")


class ProtocolError(Exception):
    """A protocol file that cannot be used, with all its faults."""

    def __init__(self, path: Path, faults: list[Fault]):
        self.path, self.faults = path, faults
        super().__init__("\n".join(f"{path}: {fault}" for fault in faults))


class Part(BaseModel):
    """A table of the protocol file. Unknown keys are refused: a misspelt key must not be ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# --- faults between tables --------------------------------------------------------------------------------


def at(table: str, i: int, item) -> str:
    return f"{table}[{i}] ({item.code})"


def unknown(key: str, codes: Iterable[str], known: dict, what: str) -> Iterator[Fault]:
    for code in codes:
        if code not in known:
            yield Fault(key, f"expected the code of {what}, found {code!r}")


def repeated(key: str, codes: Iterable[str], what: str = "each code") -> Iterator[Fault]:
    for code, times in Counter(codes).items():
        if times > 1:
            yield Fault(key, f"expected {what} once, found {code!r} {times} times")
