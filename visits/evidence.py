"""What the rules of screening may look at: results that were entered, by test."""

from collections import defaultdict

from patients.eligibility import Evidence
from visits.models import Measurement


def screening_evidence(patient):
    """All results of panels of this patient, by test, as Evidence; one query."""
    results = defaultdict(list)
    measured = Measurement.objects.filter(patient=patient, panel__isnull=False).exclude(typed="")
    for m in measured.select_related("panel__visit").order_by("collected_on", "id"):
        source = f"visit {m.panel.visit.code}, panel {m.panel.code}"
        results[m.test].append(Evidence(m.test, m.operator, m.value, m.text, m.collected_on, source))
    return results
