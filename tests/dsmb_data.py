"""A small trial for the tests of the DSMB report, built row by row so that each test says what is in it."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count

from patients.models import (
    AllocationList,
    AllocationSlot,
    ArtRegimen,
    Disposition,
    EligibilityAssessment,
    Patient,
    State,
)
from safety.models import AdverseEvent
from tests.rules.protocols import protocol
from trialsite import trial as the_trial
from trialsite.audit import acting
from trialsite.models import Site, User
from visits.models import (
    Infusion,
    Interruption,
    Lot,
    Measurement,
    PanelRecord,
    PanelState,
    Preparation,
    Query,
    Reaction,
    Visit,
    VisitState,
)

# codes and names that nothing else contains, so that a file can be searched for them
ARMS = {"ZEBRAARM": "Zebra cells", "QUAGGAARM": "Quagga water"}


def small_protocol(**parts):
    """Two arms, two infusions, three visits, four tests."""
    number = {"kind": "number", "possible": (Decimal(0), Decimal(9999))}
    return protocol(**{
        "trial": {
            "id": "T1", "version": "1.0", "dated": date(2026, 1, 1), "short_title": "Small trial",
            "title": "A small trial", "registry": "NCT00000000", "sponsor": "Sponsor", "phase": "I",
            "masking": "double", "planned_patients": 10, "follow_up_days": 60,
        },
        "products": [
            {"code": f"P{arm}", "name": f"Product {arm}",
             "dose": {"absolute": 1, "unit": "mL", "tolerance_percent": 0}} for arm in ARMS
        ],
        "arms": [{"code": code, "name": name, "product": f"P{code}"} for code, name in ARMS.items()],
        "tests": [
            {"code": "WEIGHT", "name": "Weight", "unit": "kg", "decimals": 1, **number},
            {"code": "CD4", "name": "CD4 T cells", "unit": "cells/µL", **number},
            {"code": "HIVRNA", "name": "HIV-1 RNA", "unit": "copies/mL", "operators": ("<",), **number},
            {"code": "ALT", "name": "ALT", "unit": "U/L", **number},
            {"code": "TEMP", "name": "Temperature", "unit": "°C", "decimals": 1, **number},
        ],
        "panels": [{"code": "BLOOD", "name": "Blood", "tests": ("WEIGHT", "CD4", "HIVRNA", "ALT")}],
        "eligibility": {
            "inclusion": [
                {"code": "I1", "text": "CD4 at most 250", "rule": {"test": "CD4", "at_most": 250}},
                {"code": "I2", "text": "RNA at most 50", "rule": {"test": "HIVRNA", "at_most": 50}},
            ],
        },
        "infusions": {
            "count": 2, "route": "intravenous", "volume_ml": (1, 2), "least_days_between": 1,
            "monitoring_minutes": (0,), "monitoring_tests": ("TEMP",), "reaction_window_days": 7,
            "weight_test": "WEIGHT",
        },
        "events_of_interest": [{"code": "CLOT", "name": "Thrombosis", "terms": ("Deep vein thrombosis",)}],
        "visits": [
            {"code": "SCR", "name": "Screening", "day": -14, "phase": "screening", "panels": ("BLOOD",)},
            {"code": "W0", "name": "Week 0", "day": 0, "phase": "treatment", "infusion": 1, "panels": ("BLOOD",)},
            {"code": "W4", "name": "Week 4", "day": 28, "before": 3, "after": 3, "phase": "treatment",
             "infusion": 2, "panels": ("BLOOD",)},
        ],
    } | parts)  # fmt: skip


def in_force(monkeypatch, protocol):
    """Let this be the protocol of the trial. Gives it."""
    monkeypatch.setattr(the_trial, "versions", lambda: {"1.0": protocol})
    return protocol


class SmallTrial:
    """Rows of a trial, written in the system's name."""

    def __init__(self, protocol, site_code="S1"):
        self.protocol, self.by, self._numbers = protocol, User.objects.system(), count(1)
        with acting(self.by):
            self.site = self.add_site(site_code, "First hospital")
            self.slots = AllocationList.objects.create(
                protocol_version="1.0", algorithm="imported", sha256="0" * 64, made_by=self.by
            )
            self.lots = {
                product.code: Lot.objects.create(
                    site=self.site, product=product.code, number=f"LOT-{product.code}",
                    received_on=date(2026, 1, 1), expires_on=date(2030, 1, 1), state="released",
                )
                for product in protocol.products
            }  # fmt: skip

    def add_site(self, code, name):
        with acting(self.by):
            return Site.objects.create(code=code, name=name, country="CN", timezone="Asia/Shanghai")

    def screen(self, on, *, sex="F", birth_date=date(1980, 6, 15), site=None, art_since=""):
        sequence = next(self._numbers)
        site = site or self.site
        with acting(self.by):
            patient = Patient.objects.create(
                site=site, number=f"{site.code}-{sequence:03d}", sequence=sequence, sex=sex,
                birth_date=birth_date, screened_on=on, protocol_version="1.0",
            )  # fmt: skip
            if art_since:
                ArtRegimen.objects.create(patient=patient, drugs="TDF", started_on=art_since, is_ongoing=True)
        return patient

    def fail(self, patient, on, *unmet, explanation=""):
        with acting(self.by, "test"):
            EligibilityAssessment.objects.create(
                patient=patient, assessed_on=on, protocol_version="1.0", is_eligible=not unmet, unmet=list(unmet)
            )
        self.end(patient, State.SCREEN_FAILED, on, explanation)

    def randomise(self, patient, arm, day_0, stratum="ALL"):
        with acting(self.by, "test"):
            patient.state, patient.day_0 = State.RANDOMISED, day_0
            patient.save()
            AllocationSlot.objects.create(
                allocation_list=self.slots, stratum=stratum, sequence=patient.sequence, arm=arm, patient=patient,
                taken_at=datetime(day_0.year, day_0.month, day_0.day, 1, tzinfo=UTC), taken_by=self.by,
            )  # fmt: skip
            patient.arm = arm
        return patient

    def enrol(self, arm, day_0, *, stratum="ALL", **about):
        """Screened two weeks before day 0 and randomised on it."""
        return self.randomise(self.screen(day_0 - timedelta(days=14), **about), arm, day_0, stratum)

    def end(self, patient, state, on, explanation="said nothing"):
        with acting(self.by, "test"):
            Disposition.objects.create(patient=patient, state=state, on=on, explanation=explanation)
            patient.state = state
            patient.save()

    def visit(self, patient, code, on=None, *, state=VisitState.ATTENDED, start=None, scheduled=True):
        """`start` is the day that the plan counts from; by default the patient's day 0."""
        day = self.protocol.visit(code) if scheduled else None
        planned = (start or patient.day_0) + timedelta(days=day.day) if day else on
        with acting(self.by):
            return Visit.objects.create(
                patient=patient, code=code, protocol_version="1.0", is_scheduled=scheduled,
                day=day.day if day else None, planned_on=planned,
                earliest=planned - timedelta(days=day.before if day else 0),
                latest=planned + timedelta(days=day.after if day else 0),
                state=state if on or state != VisitState.ATTENDED else VisitState.PLANNED, attended_on=on,
            )  # fmt: skip

    def measure(self, visit, *, panel="BLOOD", state=PanelState.ENTERED, **results):
        """Results by test: a number, or `"<50"`."""
        on = visit.attended_on
        with acting(self.by):
            record = PanelRecord.objects.create(
                patient=visit.patient, visit=visit, code=panel, protocol_version="1.0", state=state,
                collected_on=on, not_done_because="refused" if state == PanelState.NOT_DONE else "",
            )  # fmt: skip
            Measurement.objects.bulk_create(
                Measurement(
                    patient=visit.patient, panel=record, test=test, typed=str(value), collected_on=on,
                    operator="<" if str(value)[0] == "<" else "", value=Decimal(str(value).lstrip("<")),
                    flag="H" if test == "ALT" and str(value) > "50" else "",
                )
                for test, value in results.items()
            )  # fmt: skip
        return record

    def ask(self, record, on):
        with acting(self.by):
            Query.objects.create(
                patient=record.patient, panel=record, text="?", raised_by=self.by,
                raised_at=datetime(on.year, on.month, on.day, tzinfo=UTC),
            )  # fmt: skip

    def infuse(self, visit, number, *, percent=100, interrupted=False, reaction_grades=()):
        product = self.protocol.arm(visit.patient.arm).product
        on = visit.attended_on
        start = datetime(on.year, on.month, on.day, 2, tzinfo=UTC)
        with acting(self.by):
            bag = Preparation.objects.create(
                patient=visit.patient,
                visit=visit,
                number=number,
                lot=self.lots[product],
                weight_kg=60,
                planned_dose=100,
                prepared_dose=100,
                label=f"{visit.patient.number}-{number}",
                prepared_at=start,
            )
            infusion = Infusion.objects.create(
                patient=visit.patient,
                visit=visit,
                preparation=bag,
                number=number,
                started_at=start,
                stopped_at=start + timedelta(hours=1),
                volume_ml=100,
                given_percent=percent,
            )
            if interrupted:
                Interruption.objects.create(patient=visit.patient, infusion=infusion, stopped_at=start, cause="vein")
            for grade in reaction_grades:
                Reaction.objects.create(
                    patient=visit.patient, infusion=infusion, term="Chills", began_at=start, grade=grade
                )
        return infusion  # fmt: skip

    def treat(self, patient, **about):
        """The first infusion, on day 0."""
        visit = self.visit(patient, "W0", patient.day_0)
        self.infuse(visit, 1, **about)
        return visit

    def report(self, patient, term, grade, on, **values):
        serious = any(name.startswith("is_") and value for name, value in values.items() if name != "is_withdrawn")
        usual = {
            "body_system": "General disorders", "is_ongoing": True, "relationship": "not_related",
            "action_taken": "dose_not_changed", "outcome": "recovering",
            "aware_at": datetime(on.year, on.month, on.day, tzinfo=UTC), "is_serious": serious,
        }  # fmt: skip
        with acting(self.by):
            return AdverseEvent.objects.create(
                patient=patient, sequence=AdverseEvent.objects.filter(patient=patient).count() + 1, term=term,
                grade=grade, began_on=on, reported_by=self.by, **(usual | values),
            )  # fmt: skip
