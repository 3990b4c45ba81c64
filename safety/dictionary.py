"""The term list that ships: CTCAE v5.0 (NCI, a work of the US government), terms with their classes."""

import csv
from functools import cache
from pathlib import Path

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as noop

# the body systems of the list: stored as they are here, told in the reader's language
MARKED = (
    noop("Blood and lymphatic system disorders"),
    noop("Cardiac disorders"),
    noop("Congenital, familial and genetic disorders"),
    noop("Ear and labyrinth disorders"),
    noop("Endocrine disorders"),
    noop("Eye disorders"),
    noop("Gastrointestinal disorders"),
    noop("General disorders and administration site conditions"),
    noop("Hepatobiliary disorders"),
    noop("Immune system disorders"),
    noop("Infections and infestations"),
    noop("Injury, poisoning and procedural complications"),
    noop("Investigations"),
    noop("Metabolism and nutrition disorders"),
    noop("Musculoskeletal and connective tissue disorders"),
    noop("Neoplasms benign, malignant and unspecified (incl cysts and polyps)"),
    noop("Nervous system disorders"),
    noop("Pregnancy, puerperium and perinatal conditions"),
    noop("Psychiatric disorders"),
    noop("Renal and urinary disorders"),
    noop("Reproductive system and breast disorders"),
    noop("Respiratory, thoracic and mediastinal disorders"),
    noop("Skin and subcutaneous tissue disorders"),
    noop("Social circumstances"),
    noop("Surgical and medical procedures"),
    noop("Vascular disorders"),
)

FILE = Path(__file__).parent / "dictionaries" / "ctcae-v5-terms.csv"


@cache
def terms() -> dict[str, str]:
    """Term to body system (MedDRA system organ class as CTCAE prints it), in the order of the list."""
    with FILE.open(encoding="utf-8", newline="") as lines:
        return {row["term"]: row["soc"] for row in csv.DictReader(lines)}


@cache
def body_systems() -> tuple[str, ...]:
    return tuple(sorted(set(terms().values())))


def told(system: str) -> str:
    """The name of a body system in the language of the reader."""
    return gettext(system) if system else ""
