"""What of adverse events and deviations is exported, and what is not."""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from safety.models import AdverseEvent, Coding, Deviation, DismissedProposal
from trialsite.exchange.tables import Table
from trialsite.roles import Permission

TABLES = [
    Table("adverse_events", _("Adverse events"), AdverseEvent, permission=Permission.VIEW_ADVERSE_EVENTS,
          notes={"grade": "DAIDS 2.1"}),
    # as AELLT, AEDECOD, AEHLT, AEHLGT and AEBODSYS of SDTM stand beside AETERM
    Table("codings", _("Codes"), Coding, permission=Permission.VIEW_ADVERSE_EVENTS, leave_out=("key",),
          paths={"dictionary": "dictionary__name", "dictionary_version": "dictionary__dictionary_version"},
          notes={"record_id": "id in adverse_events.csv, medical_history.csv or medications.csv, as kind says"}),
    Table("deviations", _("Deviations from the protocol"), Deviation, paths={"visit": "visit__code"}),
    Table("dismissed_proposals", _("Proposals judged to be no deviations"), DismissedProposal),
]  # fmt: skip

REPORTS = gettext_noop("reports to the safety board are kept and read as they were made")
COPIES = gettext_noop("machine-made copies of these records")
NOT_EXPORTED = {
    "safety.Dictionary": gettext_noop("what of it records are coded with stands in codings.csv"),
    "safety.Casebook": COPIES,
    "safety.CasebookFile": COPIES,
    "safety.DsmbReport": REPORTS,
    "safety.DsmbFile": REPORTS,
    "safety.ArmLetter": gettext_noop("which letter stands for which arm is nobody's to read"),
}
