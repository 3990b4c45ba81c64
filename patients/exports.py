"""What of the patients is exported, and what is not."""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from patients.models import (
    AllocationSlot,
    ArtRegimen,
    Consent,
    CriterionAnswer,
    Disposition,
    EligibilityAssessment,
    Halt,
    HivHistory,
    MedicalHistory,
    Medication,
    Patient,
    Unmasking,
)
from trialsite.exchange.tables import Table
from trialsite.roles import Permission

PARTIAL = gettext_noop("day, or day and month, may be missing")
PARTIAL_DATES = {"started_on": PARTIAL, "ended_on": PARTIAL}

TABLES = [
    Table("patients", _("Patients"), Patient, site="site", paths={"patient": "number"}),
    Table("consents", _("Consents"), Consent),
    Table("hiv_history", _("HIV history"), HivHistory, units={"nadir_cd4": "cells/µL"},
          notes={"diagnosed_on": PARTIAL, "nadir_on": PARTIAL}),
    Table("art_regimens", _("Antiretroviral treatment"), ArtRegimen, notes=PARTIAL_DATES),
    Table("medical_history", _("Medical history"), MedicalHistory, notes=PARTIAL_DATES),
    Table("medications", _("Medication"), Medication, notes=PARTIAL_DATES),
    Table("eligibility", _("Eligibility assessments"), EligibilityAssessment),
    Table("eligibility_answers", _("Eligibility, criterion by criterion"), CriterionAnswer,
          notes={"criterion": "codes.csv has the text"}),
    Table("dispositions", _("Ends of participation"), Disposition),
    # the free places, blocks and seeds are nobody's but the statistician's
    Table("allocations", _("Allocations"), AllocationSlot, shows_arm=True,
          leave_out=("allocation_list", "block", "block_size"), notes={"arm": "codes.csv has the name"}),
    Table("unmaskings", _("Unmasked patients"), Unmasking, permission=Permission.VIEW_UNMASKINGS),
    Table("halts", _("Halts"), Halt, everybodys=True, arm_rows={"scope": "arm"}),
]  # fmt: skip

NOT_EXPORTED = {
    "patients.AllocationList": gettext_noop("seeds and free places would tell what comes next"),
}
