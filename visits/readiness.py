"""May an infusion be prepared or given, and what does it still wait for?

One rule (`infusing.problems_with_giving`), and one place that gathers what it asks, for who prepares the bag, who records
the infusion and the work-list alike: of one visit, or of many in the same number of statements. It only reads: whoever
acts on the answer holds patient, lot and the gate of the halts (visits/actions/infusions.py)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from patients.actions import held_since, waiting_among
from patients.models import AllocationSlot, Blocked, Halt, Scope, State
from trialsite.clock import day_at
from visits import infusing
from visits.edit_checks import Problem
from visits.models import UNFINISHED, Infusion, Lot, LotState, Measurement, PanelRecord, Preparation, Visit

ASK_THE_PHARMACY = gettext_noop("This bag may not be infused; ask the pharmacy.")
# what is still to be done, and no reason against it
STILL_TO_DO = frozenset({"pregnancy_untested", "no_lot"})
# what the start decides, asked again when that of a given infusion is corrected; what became of the lot later is no reason
OF_THE_START = frozenset(
    {"lot_expired", "previous_infusion_later", "interval", "next_infusion_earlier", "interval_to_next"}
)


@dataclass(frozen=True)
class Need:
    """Something that an infusion waits for: `what` is "weight", "pregnancy_test" or "bag"; `panel` is its form."""

    what: str
    name: str
    panel: PanelRecord | None = None


@dataclass(frozen=True)
class Readiness:
    """What is known about the infusion of a visit. `halts` are those in force that stop infusions, `waits` the sentences
    of the first patients' turns; weights in kg: the one of the visit and the latest. With `is_correction` the infusion was
    given, and its start is corrected."""

    visit: Visit
    on: date
    arm: str | None
    given: Collection[Infusion]
    pregnancy_result: str | None
    weight: Decimal | None
    latest_weight: Decimal | None
    halts: Collection[Halt]
    waits: Collection[str]
    preparation: Preparation | None
    is_correction: bool = False

    @property
    def number(self) -> int:
        return self.visit.protocol.visit(self.visit.code).infusion

    def _problems(self, **lot) -> list[Problem]:
        visit, patient = self.visit, self.visit.patient
        days = {i.number: day_at(patient.site, i.started_at) for i in self.given}
        later = [on for number, on in days.items() if number > self.number]
        problems = infusing.problems_with_giving(
            is_randomised=self.arm is not None and patient.state == State.RANDOMISED,
            open_halts=[],  # told with their day and cause
            on=self.on,
            previous_infusion_on=max((on for number, on in days.items() if number < self.number), default=None),
            next_infusion_on=min(later, default=None) if self.is_correction else None,
            least_days_between=visit.protocol.infusions.least_days_between,
            number=self.number,
            given_numbers={i.number for i in self.given},
            pregnancy_result=self.pregnancy_result,
            sex=patient.sex,
            age=patient.age_on(self.on),
            **lot,
        )
        return [p for p in problems if p.code in OF_THE_START] if self.is_correction else problems

    @property
    def of_the_patient(self) -> list[Problem]:
        """What speaks against any bag."""
        return self._problems(lot_state=LotState.RELEASED, lot_expires_on=self.on, lot_product="", arm_product="")

    def problems_with(self, lot: Lot) -> list[Problem]:
        """What speaks against a bag from this lot, or against any."""
        product = self.visit.protocol.arm(self.arm).product if self.arm else None
        return self._problems(
            lot_state=lot.state, lot_expires_on=lot.expires_on, lot_product=lot.product, arm_product=product
        )

    def reasons_against(self, lot: Lot) -> list[str]:
        """What speaks against a bag from this lot, a sentence each; but for what holds its patient, see `of_the_patient`."""
        site, of_the_patient = self.visit.patient.site, self.of_the_patient
        reasons = [str(problem.text) for problem in self.problems_with(lot) if problem not in of_the_patient]
        if lot.site_id != site.pk:
            reasons.append(_("The lot is at another site."))
        if self.on < lot.received_on:
            reasons.append(_("The lot was received later, on %(day)s.") % {"day": lot.received_on})
        return reasons + self.held_arm

    @property
    def held_arm(self) -> list[str]:
        return [held_since(halt) for halt in self.halts if halt.scope == Scope.ARM and halt.arm == self.arm][:1]

    def reasons_not_to_infuse(self, lot: Lot, *, masked_eyes: bool) -> list[str]:
        """Every reason but the turn of the first patients and a halt of the patient or the trial. `masked_eyes` are told
        nothing about the lot or the arm but that the bag may not be infused."""
        reasons, of_the_bag = [str(problem.text) for problem in self.of_the_patient], self.reasons_against(lot)
        return reasons + ([_(ASK_THE_PHARMACY)] if of_the_bag and masked_eyes else of_the_bag)

    def held(self, *, masked_eyes: bool) -> list[str]:
        """Why it may not be given now, whatever is still done for it: a sentence each."""
        halts = [held_since(h) for h in self.halts if h.scope == Scope.TRIAL or h.patient_id == self.visit.patient_id]
        of_the_patient = [str(p.text) for p in self.of_the_patient if p.code not in STILL_TO_DO]
        if self.preparation is None:  # before there is a bag, masked eyes learn nothing of the arm
            return [*self.waits, *halts, *of_the_patient, *([] if masked_eyes else self.held_arm)]
        of_the_bag = self.reasons_against(self.preparation.lot)
        told = [_(ASK_THE_PHARMACY)] if of_the_bag and masked_eyes else of_the_bag
        return [*self.waits, *halts, *of_the_patient, *told]

    @property
    def needs(self) -> list[Need]:
        """What is still to be done for it, in the order in which it is done. The weight is needed for the bag; the latest
        one will do once the visit's form is finished without."""
        protocol, code, sex = self.visit.protocol, self.visit.code, self.visit.patient.sex
        panels = {panel.code: panel for panel in self.visit.panels.all()}
        asked = {panel.code: panel for panel in protocol.panels_of(code, sex)}

        def form_of(test):
            home = next((panel for panel in asked.values() if test in panel.tests), None)
            return (home.name, panels.get(home.code)) if home else (protocol.test(test).name, None)

        needs = []
        if self.preparation is None and self.weight is None:
            name, panel = form_of(protocol.infusions.weight_test)
            if self.latest_weight is None or (panel and panel.state in UNFINISHED):
                needs.append(Need("weight", name, panel))
        if any(problem.code == "pregnancy_untested" for problem in self.of_the_patient):
            needs.append(Need("pregnancy_test", *form_of(infusing.pregnancy_test(protocol, code, sex))))
        if self.preparation is None:
            needs.append(Need("bag", _("the bag")))
        return needs


def readiness_of(visit: Visit, *, at: datetime, halted_at: datetime | None = None) -> Readiness:
    """What is known about the infusion of this visit at an instant; its halts as of `halted_at`, by default now."""
    return readiness_among([visit], at=at, halted_at=halted_at)[visit.pk]


def readiness_among(
    visits: Iterable[Visit], *, at: datetime, halted_at: datetime | None = None
) -> dict[int, Readiness]:
    """The same for visits at which an infusion is planned, by their keys. In four statements, and those that load patient,
    panels and preparation of the visits where they are not at hand."""
    visits = list(visits)
    patients = [visit.patient for visit in visits]
    days = {visit.pk: day_at(visit.patient.site, at) for visit in visits}
    arms = dict(AllocationSlot.objects.filter(patient__in=patients).values_list("patient", "arm"))
    given, results, weights = defaultdict(list), {}, defaultdict(list)
    for infusion in Infusion.objects.filter(patient__in=patients):
        given[infusion.patient_id].append(infusion)
    tests = {
        visit.pk: infusing.pregnancy_test(visit.protocol, visit.code, visit.patient.sex) for visit in visits
    }  # fmt: skip
    of_weight = {visit.protocol.infusions.weight_test for visit in visits}
    for m in Measurement.objects.filter(
        Q(panel__visit__in=visits, test__in={test for test in tests.values() if test})
        | Q(patient__in=patients, test__in=of_weight, value__isnull=False, panel__isnull=False)
    ).exclude(typed="").order_by("collected_on", "id").annotate(of_visit=F("panel__visit")):  # fmt: skip
        if m.test in of_weight:
            weights[m.patient_id].append(m)
        else:
            results.setdefault((m.of_visit, m.test), m.text)
    until = halted_at or timezone.now()
    halts = list(Halt.objects.open().filter(blocks__contains=[Blocked.INFUSE], opened_at__lte=until))
    first = {v.patient: days[v.pk] for v in visits if v.protocol.visit(v.code).infusion == 1}
    waits = waiting_among(Blocked.INFUSE, first)
    found = {}
    for visit in visits:
        on, test = days[visit.pk], tests[visit.pk]
        before = [m for m in weights[visit.patient_id] if m.collected_on <= on]
        own = [m for m in before if m.of_visit == visit.pk]
        found[visit.pk] = Readiness(
            visit=visit,
            on=on,
            arm=arms.get(visit.patient_id),
            given=given[visit.patient_id],
            pregnancy_result="" if test is None else results.get((visit.pk, test)),
            weight=own[-1].value if own else None,
            latest_weight=before[-1].value if before else None,
            halts=halts,
            waits=waits.get(visit.patient_id, []) if visit.patient in first else [],
            preparation=getattr(visit, "preparation", None),
        )
    return found
