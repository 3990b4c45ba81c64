"""What of adverse events and deviations is exported, and what is not."""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from safety.models import (
    AdverseEvent,
    AuthorityCopy,
    CaseFact,
    CaseLink,
    CaseVersion,
    Coding,
    DeclinedResult,
    Deviation,
    DismissedProposal,
    ResultOfEvent,
    SeriousCase,
    SponsorAssessment,
    Submission,
)
from trialsite.exchange.tables import Table
from trialsite.roles import Permission

EVENTS = Permission.VIEW_ADVERSE_EVENTS
TABLES = [
    Table("adverse_events", _("Adverse events"), AdverseEvent, permission=EVENTS,
          notes={"grade": "1 to 5, by the published words of the scales that the protocol names"}),
    # as AELLT, AEDECOD, AEHLT, AEHLGT and AEBODSYS of SDTM stand beside AETERM
    Table("codings", _("Codes"), Coding, permission=EVENTS, leave_out=("key",),
          paths={"dictionary": "dictionary__name", "dictionary_version": "dictionary__dictionary_version"},
          notes={"record_id": "id in adverse_events.csv, medical_history.csv or medications.csv, as kind says"}),
    Table("results_of_events", _("Graded results and reactions that belong to adverse events"), ResultOfEvent, permission=EVENTS,
          paths={"test": "measurement__test", "term": "reaction__term"}),
    Table("declined_results", _("Graded results and reactions judged to be no adverse events"), DeclinedResult, permission=EVENTS,
          paths={"test": "measurement__test", "term": "reaction__term"}),
    Table("deviations", _("Deviations from the protocol"), Deviation, paths={"visit": "visit__code"},
          sentences=("seen",)),
    Table("dismissed_proposals", _("Proposals judged to be no deviations"), DismissedProposal, sentences=("seen",)),
    Table("serious_cases", _("Serious cases"), SeriousCase, permission=EVENTS),
    Table("case_facts", _("What was known of serious cases, and since when"), CaseFact, permission=EVENTS),
    Table("sponsor_assessments", _("The sponsor's judgements of serious cases"), SponsorAssessment, permission=EVENTS),
    Table("case_versions", _("Versions of serious cases"), CaseVersion, permission=EVENTS),
    Table("case_submissions", _("Reports of serious cases"), Submission, permission=EVENTS),
    Table("authority_copies", _("Copies of serious cases for the authority"), AuthorityCopy, permission=EVENTS),
    Table("case_links", _("Results and medications of serious cases"), CaseLink, permission=EVENTS),
]  # fmt: skip

REPORTS = gettext_noop("reports to the safety board are kept and read as they were made")
BOARD = gettext_noop("what the safety board is given, recommends and signs is read on its pages")
COPIES = gettext_noop("machine-made copies of these records")
NOT_EXPORTED = {
    "safety.Dictionary": gettext_noop("what of it records are coded with stands in codings.csv"),
    "safety.Casebook": COPIES,
    "safety.CasebookFile": COPIES,
    "safety.CasebookDownload": COPIES,
    "safety.DsmbReport": REPORTS,
    "safety.DsmbFile": REPORTS,
    "safety.ReportDownload": REPORTS,
    "safety.Crossing": gettext_noop("worked out from the events; it could tell arms"),
    **{
        f"safety.{name}": BOARD
        for name in (
            "Release",
            "ReadingReceipt",
            "Recommendation",
            "LiftedHalt",
            "ClosedMinutes",
            "BoardSignature",
            "Acknowledgement",
            "ActionItem",
        )
    },
    "safety.SavedView": gettext_noop("how people like to look at listings"),
    "safety.ListingCopy": COPIES,
    "safety.ArmLetter": gettext_noop("which letter stands for which arm is read on one page, each time with a reason"),
    "safety.LetterLook": gettext_noop("who read the letters of the closed reports is read on its page"),
}
