"""Records entered before they said their protocol version were entered under that of their patient."""

import json

from django.db import migrations

TABLES = (
    "patients_artregimen", "patients_consent", "patients_disposition", "patients_hivhistory", "patients_medicalhistory",
    "patients_medication", "safety_adverseevent", "visits_infusion", "visits_interruption", "visits_preparation",
    "visits_reaction",
)  # fmt: skip


def say_versions(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("select id, full_name from trialsite_user where username = 'system'")
        pk, name = cursor.fetchone()
        actor = {"id": pk, "name": name, "roles": "", "reason": "migration", "request": ""}
        cursor.execute("select set_config('trialsite.actor', %s, true)", [json.dumps(actor)])
        for table in TABLES:
            cursor.execute(
                f"update {table} r set protocol_version = p.protocol_version from patients_patient p "  # noqa: S608
                "where p.id = r.patient_id and r.protocol_version = ''"
            )


class Migration(migrations.Migration):
    dependencies = [("safety", "0002_data_capture")]
    operations = [migrations.RunPython(say_versions, migrations.RunPython.noop)]
