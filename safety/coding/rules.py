"""What coding is, without a database: the kinds of terms, the states of a code, and which code is in force.

Reports keep the words of the site (AETERM); the code stands in a record of its own beside them (`safety.Coding`). DSMB
tables, listings and exports ask `codes_in_force`, with rows of today or of a cut-off, so that there is one answer."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Kind(TextChoices):
    """What is coded."""

    ADVERSE_EVENT = "adverse_event", _("adverse event")
    MEDICAL_HISTORY = "medical_history", _("medical history")
    INDICATION = "indication", _("indication of a medication")
    MEDICATION = "medication", _("medication")


@dataclass(frozen=True)
class Source:
    """Where the words of a kind stand: the model's label, its field, and the key of the protocol's `[coding]`."""

    label: str
    field: str
    plan: str


SOURCES = {
    Kind.ADVERSE_EVENT: Source("safety.adverseevent", "term", "adverse_events"),
    Kind.MEDICAL_HISTORY: Source("patients.medicalhistory", "term", "medical_history"),
    Kind.INDICATION: Source("patients.medication", "indication", "indications"),
    Kind.MEDICATION: Source("patients.medication", "treatment", "medications"),
}


class CodingState(TextChoices):
    PROPOSED = "proposed", _("to approve")
    APPROVED = "approved", _("in force")
    REJECTED = "rejected", _("rejected")
    VOID = "void", _("void")


# from each state, where a code can go. A code that is proposed for a record that has one leaves that in force until it
# is approved; then the earlier one becomes void
CODING_TRANSITIONS = {
    CodingState.PROPOSED: {CodingState.APPROVED, CodingState.REJECTED, CodingState.VOID},
    CodingState.APPROVED: {CodingState.VOID},
    CodingState.REJECTED: set(),
    CodingState.VOID: set(),
}

# a term and the way up from it: MedDRA's levels; of ATC the fifth to the first
PATH = ("code", "term", "preferred_code", "preferred_term", "high_level_code", "high_level_term", "group_code",
        "group_term", "body_system_code", "body_system")  # fmt: skip


def key_of(text: str) -> str:
    """The words as they are compared: letter case, width, blanks and a full stop at the end do not matter."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text).casefold()).strip(" .,;:。；，")


def may_approve(coding, by) -> bool:
    """A second person approves; what the machine coded may be approved by anybody who may approve."""
    return coding.state == CodingState.PROPOSED and coding.coded_by_id != by.pk


@dataclass(frozen=True)
class Code:
    """What a report tells of a code: MedDRA's preferred term (AEDECOD) and system organ class (AEBODSYS)."""

    preferred_term: str
    body_system: str


def codes_in_force(rows: Iterable[dict]) -> dict[tuple[str, int], Code]:
    """(kind, key of the record) -> the code in force. `rows` are those of safety.Coding: `.values()` of today, or
    `rows_as_of(Coding, cutoff)`."""
    return {
        (row["kind"], row["record_id"]): Code(row["preferred_term"], row["body_system"])
        for row in rows
        if row["state"] == CodingState.APPROVED
    }
