"""Which records a query may be about beside panels and infusions: each floor names its own (settings.QUERIED_RECORDS)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from django.apps import apps
from django.conf import settings
from django.utils.module_loading import import_string

from trialsite.roles import Permission

# columns that say nothing about the patient, or that nobody types
UNASKED = {"id", "version", "protocol_version", "is_withdrawn", "sequence", "proposal_key", "seen"}


@dataclass(frozen=True)
class Queried:
    """What such a record is called, the page (address) that shows it, by the keys of patient and record, and the
    permission that it takes to see it."""

    name: str
    page: Callable[[int, int], str]
    permission: Permission = Permission.VIEW_PATIENTS


@cache
def queried_records() -> dict[str, Queried]:
    """By the model's label in small letters."""
    return {label: queried for name in settings.QUERIED_RECORDS for label, queried in import_string(name).items()}


def fields_of(label) -> list:
    """The fields of a record that a query may be about."""
    fields = apps.get_model(label)._meta.concrete_fields
    return [field for field in fields if field.name not in UNASKED and not field.is_relation and field.verbose_name]


def field_name(label, name) -> str:
    return str(apps.get_model(label)._meta.get_field(name).verbose_name)
