"""What the rules of deviations look at, gathered from the database: the only place that does.

One statement for any number of patients: each row is a patient with all facts about them, as arrays of JSON."""

from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import CharField, Exists, F, OuterRef, Subquery
from django.db.models.functions import Cast, JSONObject
from django.utils import timezone

from patients.eligibility import Evidence, assess, facts_of
from patients.models import ArtRegimen, Consent, CriterionAnswer, EligibilityAssessment, Patient, Unmasking
from safety.deviations import (
    ConsentFact,
    Course,
    InfusionFact,
    Screening,
    UnmaskingFact,
    VisitFact,
    find_proposals,
    unjudged,
)
from safety.models import Deviation, DismissedProposal
from trialsite import trial
from trialsite.clock import day_at, today_at
from trialsite.words import Name
from visits.infusing import pregnancy_test
from visits.models import Infusion, Measurement, PanelRecord, PanelState, Visit, VisitState
from visits.schedule import window_for


def proposals_of(patient):
    """All that the system sees as deviations of one patient, judged or not, by key."""
    [patient] = _with_facts(Patient.objects.filter(pk=patient.pk))
    return {proposal.key: proposal for proposal in find_proposals(course_of(patient))}


def unjudged_of(patient):
    """The proposals about one patient that wait for a judgement."""
    return [proposal for _patient, proposal in unjudged_among(Patient.objects.filter(pk=patient.pk))]


def unjudged_among(patients):
    """(patient, proposal) of all these patients that wait for a judgement, earliest first; one statement."""
    waiting = []
    for patient in _with_facts(patients):
        proposals = find_proposals(course_of(patient))
        open_ones = unjudged(proposals, recorded=set(patient.recorded), dismissed=set(patient.dismissed))
        waiting += [(patient, proposal) for proposal in open_ones]
    return sorted(waiting, key=lambda pair: (pair[1].on, pair[0].number))


# --- from rows to facts --------------------------------------------------------------------------


def course_of(patient):
    """The course of a patient who was loaded `_with_facts`."""
    not_done = defaultdict(list)
    for panel in patient.panels_not_done:
        protocol = trial.protocol(panel["version"])
        if any(test.required and not test.computed for test in protocol.tests_of(panel["code"])):
            not_done[panel["visit"]].append(protocol.panel(panel["code"]))
    given = {infusion["visit"] for infusion in patient.infusions_given}
    return Course(
        today=today_at(patient.site),
        is_open=patient.is_open,
        visits=tuple(_visit(patient, row, row["code"] in given, not_done[row["pk"]]) for row in patient.visits_so_far),
        infusions=tuple(_infusion(patient, row) for row in patient.infusions_given),
        forms=tuple(ConsentFact(form.version, form.dated) for form in trial.current_protocol().consent_forms),
        signed=tuple(ConsentFact(row["form"], _day(row["on"])) for row in patient.consents_signed),
        first_panel_on=patient.first_panel_on,
        screening=_screening(patient),
        unmaskings=tuple(
            UnmaskingFact(row["pk"], day_at(patient.site, datetime.fromisoformat(row["at"])))
            for row in patient.unmasked
        ),
    )


def _visit(patient, row, is_given, not_done):
    protocol, code = trial.protocol(row["version"]), row["code"]
    attended_on = _day(row["attended_on"])
    if not row["is_scheduled"]:
        return VisitFact(Name("visit", code, code), row["state"], attended_on)
    planned = protocol.visit(code)
    return VisitFact(
        Name("visit", code, planned.name),
        row["state"],
        attended_on,
        # not the window that is stored: day 0 may have moved since the visit, and it is the judge
        window=patient.day_0 and window_for(planned, patient.day_0),
        infusion=planned.infusion,
        is_given=is_given,
        not_done=tuple(Name("panel", panel.code, panel.name) for panel in not_done),
    )


def _infusion(patient, row):
    protocol = trial.protocol(row["version"])
    infusions, product = protocol.infusions, protocol.product(row["product"])
    percent, prepared = Decimal(row["given_percent"]), Decimal(row["prepared"])
    on = day_at(patient.site, datetime.fromisoformat(row["started_at"]))
    test = pregnancy_test(protocol, row["visit"], patient.sex)
    results = [r["text"] for r in row["choices"] if r["test"] == test and _day(r["on"]) <= on]
    return InfusionFact(
        number=row["number"],
        visit=row["visit"],
        on=on,
        # in a masked trial only the part of the bag is judged: the dose in it would tell the arm
        planned=Decimal(100) if protocol.is_masked else Decimal(row["planned"]),
        given=percent if protocol.is_masked else prepared * percent / 100,
        tolerance_percent=product.dose.tolerance_percent,
        volume_ml=Decimal(row["volume_ml"]),
        volume_limits=infusions.volume_ml,
        missing_minutes=tuple(m for m in infusions.monitoring_minutes if m not in row["minutes"]),
        least_days_between=infusions.least_days_between,
        pregnancy_test="" if test is None else next(iter(results), None),
    )


def _screening(patient):
    if patient.day_0 is None or not patient.eligible_on:
        return None
    protocol, on = trial.protocol(patient.eligible_under), patient.eligible_on
    results = defaultdict(list)
    for row in patient.screening_results:
        value = Decimal(row["value"]) if row["value"] is not None else None
        evidence = Evidence(row["test"], row["operator"], value, row["text"], _day(row["on"]), "")
        results[row["test"]].append(evidence)
    facts = facts_of(
        birth_date=patient.birth_date, regimens=[(r["start"], r["is_ongoing"]) for r in patient.regimens], on=on
    )
    return Screening(
        assessed_on=on,
        findings=tuple(assess(protocol, sex=patient.sex, facts=facts, results=results, on=on)),
        exclusions=frozenset(criterion.code for criterion in protocol.eligibility.exclusion),
        overruled=frozenset(patient.overruled),
    )


def _day(text):
    return date.fromisoformat(text) if text else None


# --- the one statement ---------------------------------------------------------------------------


def _with_facts(patients):
    """These patients, each with what `course_of` reads."""
    mine = {"patient": OuterRef("pk")}
    assessments = EligibilityAssessment.objects.filter(**mine, is_eligible=True).order_by("-id")
    asked = {
        rule.test
        for protocol in trial.versions().values()
        for criterion in protocol.eligibility.criteria if criterion.rule
        for rule in criterion.rule.leaves() if rule.test
    }  # fmt: skip
    return (
        patients.select_related("site")
        .annotate(
            eligible_on=Subquery(assessments.values("assessed_on")[:1]),
            eligible_under=Subquery(assessments.values("protocol_version")[:1]),
            assessment=Subquery(assessments.values("pk")[:1]),
        )
        .annotate(
            recorded=ArraySubquery(
                Deviation.objects.filter(**mine, is_withdrawn=False).exclude(proposal_key="").values("proposal_key")
            ),
            dismissed=ArraySubquery(
                DismissedProposal.objects.filter(**mine, is_withdrawn=False).values("proposal_key")
            ),
            consents_signed=_rows(Consent.objects.filter(**mine), form="form_version", on="signed_on"),
            visits_so_far=_visits(mine),
            panels_not_done=_rows(
                PanelRecord.objects.filter(**mine, state=PanelState.NOT_DONE).order_by("position"),
                visit="visit_id", code="code", version="protocol_version",
            ),
            first_panel_on=Subquery(
                PanelRecord.objects.filter(**mine, collected_on__isnull=False).order_by("collected_on")
                .values("collected_on")[:1]
            ),
            infusions_given=_infusions(mine),
            screening_results=_screening_results(mine, asked),
            # who looks again learns nothing new
            unmasked=_rows(Unmasking.objects.filter(**mine, is_again=False).order_by("pk"), pk="pk", at="unmasked_at"),
            regimens=_rows(
                ArtRegimen.objects.filter(**mine, is_withdrawn=False), start="started_on", is_ongoing="is_ongoing"
            ),
            overruled=ArraySubquery(
                CriterionAnswer.objects.filter(assessment=OuterRef("assessment"), computed__isnull=False)
                .exclude(computed=F("holds")).values("criterion")
            ),
        )
        .order_by("number")
    )  # fmt: skip


def _rows(records, **columns):
    """The rows of one patient as an array of objects; ordered as the records are."""
    return ArraySubquery(records.values(row=JSONObject(**columns)))


def _as_text(column):
    """A decimal as text: JSON would make a binary fraction of it."""
    return Cast(column, CharField())


def _visits(mine):
    """All visits but those that still have time."""
    tomorrow = timezone.now().date() + timedelta(days=1)  # nowhere is it later; the rule asks the site's own calendar
    return _rows(
        Visit.objects.filter(**mine).exclude(state=VisitState.PLANNED, latest__gte=tomorrow),
        pk="pk", code="code", version="protocol_version", state="state", is_scheduled="is_scheduled", attended_on="attended_on",
    )  # fmt: skip


def _infusions(mine):
    measured = Measurement.objects.filter(infusion=OuterRef("pk")).exclude(typed="")
    # the patient is named for the index: by the visit alone every result of the test would be looked at
    choices = Measurement.objects.filter(patient=OuterRef("patient"), panel__visit=OuterRef("visit")).exclude(typed="")
    only_for_women = {
        test.code
        for protocol in trial.versions().values()
        for panel in protocol.panels if panel.only_for_sex == "F"
        for test in protocol.tests_of(panel.code)
    }  # fmt: skip
    return _rows(
        Infusion.objects.filter(**mine).order_by("number"),
        number="number", visit="visit__code", version="visit__protocol_version", started_at="started_at",
        given_percent=_as_text("given_percent"), volume_ml=_as_text("volume_ml"),
        product="preparation__lot__product", planned=_as_text("preparation__planned_dose"),
        prepared=_as_text("preparation__prepared_dose"),
        minutes=ArraySubquery(measured.order_by().values("minute").distinct()),
        choices=_rows(choices.filter(test__in=only_for_women), test="test", text="text", on="collected_on"),
    )  # fmt: skip


def _screening_results(mine, asked):
    """The results that criteria ask for, of patients of whom a panel was saved since the assessment: nothing else can
    have changed what they were found to meet. A day of leeway is for the sites' clocks."""
    saved_since = PanelRecord.objects.filter(  # asked of the patient, not of each result: once for all of them
        patient=OuterRef(OuterRef("pk")), collected_on__lte=OuterRef(OuterRef("eligible_on")),
        entered_at__date__gte=OuterRef(OuterRef("eligible_on")) - timedelta(days=1),
    )  # fmt: skip
    results = Measurement.objects.filter(
        Exists(saved_since), **mine, test__in=asked, panel__isnull=False, collected_on__lte=OuterRef("eligible_on")
    )
    return _rows(
        results.exclude(typed="").order_by("collected_on", "id"),
        test="test", operator="operator", value=_as_text("value"), text="text", on="collected_on",
    )  # fmt: skip
