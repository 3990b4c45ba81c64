"""The account in whose name the machine itself acts: jobs, and what is done before there is anybody else."""

from django.db import migrations


def create_system_account(apps, schema_editor):
    apps.get_model("trialsite", "User").objects.using(schema_editor.connection.alias).get_or_create(
        username="system", defaults={"full_name": "Trialsite", "is_system": True, "password": "!"}
    )


class Migration(migrations.Migration):
    dependencies = [("trialsite", "0001_initial")]
    operations = [migrations.RunPython(create_system_account, migrations.RunPython.noop)]
