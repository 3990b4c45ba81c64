"""What of adverse events and deviations is exported, and what is not."""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from safety.models import AdverseEvent, Deviation, DismissedProposal
from trialsite.exchange.tables import Table
from trialsite.roles import Permission

TABLES = [
    Table("adverse_events", _("Adverse events"), AdverseEvent, permission=Permission.VIEW_ADVERSE_EVENTS,
          notes={"grade": "DAIDS 2.1"}),
    Table("deviations", _("Deviations from the protocol"), Deviation, paths={"visit": "visit__code"}),
    Table("dismissed_proposals", _("Proposals judged to be no deviations"), DismissedProposal),
]  # fmt: skip

REPORTS = gettext_noop("reports to the safety board are kept and read as they were made")
COPIES = gettext_noop("machine-made copies of these records")
NOT_EXPORTED = {
    "safety.Casebook": COPIES,
    "safety.CasebookFile": COPIES,
    "safety.DsmbReport": REPORTS,
    "safety.DsmbFile": REPORTS,
    "safety.Crossing": gettext_noop("worked out from the events; it could tell arms"),
    "safety.ArmLetter": gettext_noop("which letter stands for which arm is nobody's to read"),
}
