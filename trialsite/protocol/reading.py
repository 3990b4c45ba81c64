"""Reading one protocol file: every fault names its key and what was expected."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path

from pydantic import ValidationError

from trialsite.protocol.faults import find_faults
from trialsite.protocol.tables import CODE, NOT_BLANK, Fault, Part, ProtocolError
from trialsite.protocol.whole import Protocol


def load(path: Path | str) -> Protocol:
    """Read one protocol file. Raises ProtocolError with the faults found in it."""
    path = Path(path)
    raw = read(path)
    try:
        protocol = Protocol.model_validate(raw)
    except ValidationError as error:
        faults = [_fault_of_shape(raw, fault) for fault in error.errors(include_url=False)]
        raise ProtocolError(path, faults) from None
    if faults := list(find_faults(protocol, raw)):
        raise ProtocolError(path, faults)
    return protocol


def read(path: Path) -> dict:
    try:
        # a byte order mark, which some editors write, is taken off
        return tomllib.loads(path.read_text(encoding="utf-8-sig"), parse_float=Decimal)
    except OSError as error:
        fault = f"expected a readable file: {error.strerror}"
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        fault = f"expected text in UTF-8, found byte 0x{byte:02x} at position {error.start}"
    except tomllib.TOMLDecodeError as error:
        fault = f"expected TOML: {error}"
    except (ValueError, ArithmeticError, RecursionError):
        # tomllib lets these through for numbers of thousands of digits and for brackets a thousand deep
        fault = "expected TOML with numbers and nesting of ordinary size"
    raise ProtocolError(path, [Fault("(file)", fault)])


def _fault_of_shape(raw: dict, fault: dict) -> Fault:
    key = _key(raw, fault["loc"])
    if fault["type"].startswith("union_tag"):
        key += ".kind"
    return Fault(key, _expectation(fault))


def _key(raw: dict, location: tuple) -> str:
    """`visits[3] (W4).day` for ("visits", 3, "day"): position from 0 and, where there is one, the code."""
    text, here = "", raw
    for step in location:
        if isinstance(step, int):
            here = here[step] if isinstance(here, list) and step < len(here) else None
            code = here.get("code") if isinstance(here, dict) else None
            text += f"[{step}]" + (f" ({code})" if code else "")
        else:
            if isinstance(here, dict) and step not in here and here.get("kind") == step:
                continue  # pydantic names the kind of a stopping rule; the file has no such key
            here = here.get(step) if isinstance(here, dict) else None
            text += f".{step}" if text else str(step)
    return text


EXPECTED = {
    "missing": "expected, but it is not there",
    "int_type": "expected a whole number",
    "bool_type": "expected true or false",
    "string_type": "expected text in quotes",
    "date_type": "expected a date like 2026-01-31, without quotes",
    "tuple_type": "expected a list in [ ]",
    "model_type": "expected a table",
    "finite_number": "expected a number",
    "literal_error": "expected {expected}",
    "union_tag_invalid": "expected one of {expected_tags}",
    "union_tag_not_found": "expected, but it is not there",
    "greater_than": "expected a number above {gt}",
    "greater_than_equal": "expected at least {ge}",
    "less_than": "expected a number below {lt}",
    "less_than_equal": "expected at most {le}",
    "too_short": "expected at least {min_length} in this list",
    "too_long": "expected at most {max_length} in this list",
    "string_too_short": "expected some text",
    "string_too_long": "expected at most {max_length} characters",
    CODE: "expected a code: a letter, then letters, digits or _, 24 at most",
    NOT_BLANK: "expected some text",
}


def _expectation(fault: dict) -> str:
    context, found = fault.get("ctx", {}), fault.get("input")
    if fault["type"] == "extra_forbidden":
        meant = get_close_matches(str(fault["loc"][-1]), _known_keys(), n=1)
        return "expected no such key" + (f"; did you mean {meant[0]!r}?" if meant else "")
    template = EXPECTED.get(context.get("pattern", fault["type"]))
    if template:
        message = template.format(**context)
    else:
        message = fault["msg"].removeprefix("Value error, ")
        if not message.startswith("expected"):
            message = f"expected something else: {message}"
    if isinstance(found, (dict, list, tuple, Part, type(None))):
        return message
    return f"{message} (found {shown(found)})"


def shown(value) -> str:
    """A value as it may stand in the file."""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, str) else str(value)


def _known_keys() -> set[str]:
    return {field.alias or name for part in parts() for name, field in part.model_fields.items()}


def parts(of: type[Part] = Part) -> Iterator[type[Part]]:
    """Every class that stands for a table of the file."""
    for part in of.__subclasses__():
        yield part
        yield from parts(part)
