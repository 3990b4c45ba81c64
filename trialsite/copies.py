"""Many more patients for a demonstration: those who are there again and again, by SQL, where actions would take hours.

The copies have events in the audit trail, as everything has. Marks (verified, signed) are left out: they are bound to the
form on which they were set."""

from django.apps import apps
from django.db import connection, connections

from trialsite.audit import acting, audited_models
from trialsite.models import User

OFFSET = 10_000_000  # between the keys of a row and of its copy
LEFT_OUT = {"visits_review"}
# what must differ in a copy, the k-th
TOLD_APART = {
    "patients_patient": {"number": "number || '-' || k", "sequence": "sequence + 1000 * k"},
    "patients_allocationslot": {"sequence": "sequence + 1000 * k"},
    "safety_seriouscase": {"number": "number || '-' || k"},
    "visits_preparation": {"label": "left(label, 34) || '-' || k"},
}
AT_ONCE = 20  # copies in a transaction


def copy_patients(times, tell=None):
    """Add each patient with all records `times` more times, in the system's name. `tell` is called with how many are
    done."""
    patient = apps.get_model("patients", "Patient")
    models = [m for m in audited_models() if m is patient or any(f.name == "patient" for f in m._meta.fields)]
    models = in_order([m for m in models if m._meta.db_table not in LEFT_OUT])
    for first in range(1, times + 1, AT_ONCE):
        last = min(first + AT_ONCE - 1, times)
        with acting(User.objects.system()), connection.cursor() as cursor:
            cursor.execute("set local statement_timeout = 0")
            for model in models:
                cursor.execute(copy_statement(model, models), [first, last])
        if tell:
            tell(last)
    if "owner" in connections:  # else the database's own housekeeping comes to it
        with connections["owner"].cursor() as cursor:
            cursor.execute("analyze")  # or the first pages are planned for the few that there were


def in_order(models):
    """Those that others point at first."""
    ordered = []
    while len(ordered) < len(models):
        for model in models:
            needed = {f.related_model for f in model._meta.fields if f.is_relation} & set(models) - {model}
            if model not in ordered and needed <= set(ordered):
                ordered.append(model)
    return ordered


def copy_statement(model, models):
    """The rows of a patient in this table again, with keys that are moved on; takes the first and the last copy."""
    names, values, table = [], [], model._meta.db_table
    apart = TOLD_APART.get(table, {})
    for field in model._meta.concrete_fields:
        value = apart.get(field.name, f'"{field.column}"')
        if field.primary_key or field.related_model in models or field.name == "record_id":
            value = f"{value} + {OFFSET} * k"
        names.append(f'"{field.column}"')
        values.append(value)
    of_a_patient = "" if model._meta.model_name == "patient" else "patient_id is not null and "
    return f"""insert into {table} ({", ".join(names)})
        select {", ".join(values)} from {table} cross join generate_series(%s::bigint, %s) k
        where {of_a_patient} id < {OFFSET}"""  # noqa: S608 - names of our own tables
