"""The jobs about what was measured: grading a patient's results anew when the baseline was entered late or changed."""

from django.db import transaction

from patients.models import Patient
from trialsite.celery import app
from trialsite.models import User
from trialsite.outbox import mark_done
from visits import actions


@app.task(name=actions.REGRADE)
def regrade_patient(patient_id, outbox_id):
    """Give a patient's results the grades that follow from the baseline as it is now. Run twice, it finds nothing more to
    do. Gives how many were graded anew."""
    with transaction.atomic():
        patient = Patient.objects.get(pk=patient_id)
        changed, _left = actions.regrade_patient(patient=patient, by=User.objects.system())
        mark_done(outbox_id)
    return len(changed)
