"""What of visits, measurements, infusions and queries is exported, and what is not."""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from trialsite.exchange.tables import Table
from visits.models import (
    CheckFiring,
    Infusion,
    Interruption,
    Laboratory,
    Lot,
    LotTest,
    Measurement,
    PanelRecord,
    Preparation,
    Query,
    QueryMessage,
    Reaction,
    ReferenceRange,
    Review,
    SupersededGrade,
    Visit,
)

CODES = "codes.csv has the name"
VISIT = {"visit": "visit__code"}
IN_A_PANEL_OR_AT_AN_INFUSION = {"visit": ("panel__visit__code", "infusion__visit__code"), "panel": "panel__code"}
INFUSION_NUMBER = {"infusion": "infusion__number"}

TABLES = [
    Table("visits", _("Visits"), Visit, notes={"code": CODES, "day": "days from day 0"}),
    Table("panels", _("Panels"), PanelRecord, paths=VISIT, notes={"code": CODES}),
    Table("measurements", _("Measurements"), Measurement, paths=IN_A_PANEL_OR_AT_AN_INFUSION,
          units={"minute": "min after the start of the infusion", "value": "see unit", "low": "see unit", "high": "see unit"},
          notes={"test": "tests.csv has name, LOINC and bounds", "typed": "as it was entered",
                 "value": "what was typed, as a number in unit; operator stands before it",
                 "low": "reference range on that day, in unit", "high": "reference range on that day, in unit",
                 "reported_low": "reference range of the laboratory, in reported_unit",
                 "reported_high": "reference range of the laboratory, in reported_unit",
                 "grade": "0 to 5 by grade_row of grade_scale; blank: not graded, see ungraded_because"}),
    Table("superseded_grades", _("Grades that were given anew"), SupersededGrade,
          paths={"visit": ("measurement__panel__visit__code", "measurement__infusion__visit__code"), "test": "measurement__test"}),
    Table("laboratories", _("Laboratories"), Laboratory, site="site", everybodys=True),
    Table("reference_ranges", _("Reference ranges of laboratories"), ReferenceRange, site="laboratory__site", everybodys=True,
          paths={"laboratory": "laboratory__code"}, units={"low": "see unit", "high": "see unit"}),
    # lot and dose tell the arm
    Table("lots", _("Product lots"), Lot, site="site", shows_arm=True),
    Table("lot_tests", _("Release tests of lots"), LotTest, site="lot__site", shows_arm=True, paths={"lot": "lot__number"}),
    Table("preparations", _("Preparations"), Preparation, shows_arm=True, paths={**VISIT, "lot": "lot__number",
          "product": "lot__product"}, units={"weight_kg": "kg", "viability_percent": "%",
          "planned_dose": "unit of the product", "prepared_dose": "unit of the product"}),
    Table("infusions", _("Infusions"), Infusion, paths=VISIT, leave_out=("preparation",),
          units={"volume_ml": "mL", "given_percent": "% of the bag"}),
    Table("interruptions", _("Interruptions of infusions"), Interruption, paths=INFUSION_NUMBER),
    Table("reactions", _("Reactions to infusions"), Reaction, paths=INFUSION_NUMBER),
    Table("queries", _("Queries"), Query, paths=IN_A_PANEL_OR_AT_AN_INFUSION),
    Table("query_messages", _("Messages of queries"), QueryMessage),
    Table("check_firings", _("What edit checks said"), CheckFiring, paths=IN_A_PANEL_OR_AT_AN_INFUSION),
    Table("reviews", _("Verifications, reviews and signatures"), Review, paths={"visit": "visit__code"}),
]  # fmt: skip

NOT_EXPORTED = {
    "visits.RetiredCheck": gettext_noop("says which questions are asked, and holds no data of a patient"),
    "visits.CalendarFeed": gettext_noop("a person's key to the own calendar is no data of the trial"),
}
