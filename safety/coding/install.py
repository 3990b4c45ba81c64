"""The dictionary that ships, put in place after every migration: a bare installation codes at once."""

import hashlib
import json

from django.db import connections, transaction

from safety import dictionary
from safety.coding.rules import key_of
from trialsite.models import User

NAME, VERSION = "CTCAE", "5.0"
LICENCE = "CTCAE v5.0, National Cancer Institute: a work of the US government, in the public domain."


def install_ctcae(using):
    """Load CTCAE v5.0, unless it is there. As the owner role: it runs where no person acts."""
    from safety.models import Dictionary, DictionaryTerm

    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        if "safety_dictionary" not in connections[using].introspection.table_names(cursor):
            return
        loaded = Dictionary.objects.using(using)
        if loaded.filter(name=NAME, dictionary_version=VERSION).exists():
            return
        system = User.objects.using(using).get(username="system")
        actor = {"id": system.pk, "name": system.full_name, "roles": "", "reason": "", "request": ""}
        cursor.execute("select set_config('trialsite.actor', %s, true)", [json.dumps(actor)])
        terms = dictionary.terms()
        made = loaded.bulk_create([
            Dictionary(
                name=NAME, dictionary_version=VERSION, licence=LICENCE, terms_count=len(terms),
                is_current=not loaded.filter(name=NAME).exists(),
                sha256=hashlib.sha256(dictionary.FILE.read_bytes()).hexdigest(),
            )
        ])[0]  # fmt: skip
        DictionaryTerm.objects.using(using).bulk_create(
            DictionaryTerm(
                dictionary=made, code=term, term=term, key=key_of(term), preferred_code=term, preferred_term=term,
                body_system_code=system_class, body_system=system_class,
            )
            for term, system_class in terms.items()
        )  # fmt: skip


def after_migration(*, using, **kwargs):
    install_ctcae(using)
