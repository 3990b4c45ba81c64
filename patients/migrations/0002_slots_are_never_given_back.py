"""A slot of the randomisation list that was taken stays as it is: the database itself refuses."""

from django.db import migrations

FORWARD = """
create function keep_taken_slots() returns trigger language plpgsql as $$
begin
    if old.patient_id is not null and new is distinct from old then
        raise exception 'slot % of stratum % is taken and stays as it is', old.sequence, old.stratum
            using errcode = 'TS004';
    end if;
    return new;
end $$;
create trigger keep_taken_slots before update on patients_allocationslot
for each row execute function keep_taken_slots();
"""
BACKWARD = "drop trigger keep_taken_slots on patients_allocationslot; drop function keep_taken_slots()"


class Migration(migrations.Migration):
    dependencies = [("patients", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
