"""Joins two branches of the same day."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("trialsite", "0003_data_capture"), ("trialsite", "0003_lost_factors")]
    operations = []
