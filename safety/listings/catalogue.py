"""Which listings there are. A new one is an entry of LISTINGS."""

from django.db.models import BooleanField, Count, Exists, ExpressionWrapper, F, Max, Min, OuterRef, Q, Subquery
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from patients.models import Medication, Patient, State
from safety.listings.table import ARM, Column, Listing
from safety.models import RELATED, AdverseEvent, Causality, Deviation, ResultOfEvent, SponsorAssessment
from trialsite import trial
from trialsite.clock import day_where, told_at, zone_of
from trialsite.ctcae import term_told
from trialsite.grade_words import row_told
from trialsite.roles import Permission, within_sites
from visits.actions.grades import first_infusion_began, was_before_treatment
from visits.grading import TOLD
from visits.models import Measurement, Reaction

# --- rows -----------------------------------------------------------------------------------------------------


def events(user):
    found = AdverseEvent.objects.visible_to(user).filter(is_withdrawn=False)
    return judged(found).with_codes().select_related("patient__site")


def judged(events):
    """Events with `sponsor_causality`, as the sponsor judged last, and `counts_as_related`: investigator or sponsor cannot
    exclude it. The sponsor judges serious events alone."""
    last = SponsorAssessment.objects.filter(case__event=OuterRef("pk")).order_by("-id").values("causality")[:1]
    either = Q(relationship__in=RELATED) | Q(is_serious=True, sponsor_causality=Causality.SUSPECTED)
    return events.annotate(sponsor_causality=Subquery(last)).annotate(
        counts_as_related=ExpressionWrapper(either, output_field=BooleanField())
    )


def serious(user):
    return events(user).filter(is_serious=True)


def of_interest(user):
    """Events whose reported or coded term, or whose body system (that of the code, once there is one), the protocol
    watches, or that belong to a reaction to an infusion: what EventOfInterest.covers says, as a filter."""
    watched = trial.current_protocol().events_of_interest
    matching = Q(pk__in=[])
    for word in sorted({word for item in watched for word in item.words}):
        matching |= Q(term__iexact=word) | Q(coded_term__iexact=word)
    for system in sorted({system for item in watched for system in item.body_systems}):
        matching |= Q(coded_system__iexact=system) | Q(coded_system=None, body_system__iexact=system)
    if any(item.reactions for item in watched):
        matching |= Exists(ResultOfEvent.objects.of_reactions_of())
    return events(user).filter(matching)


def reactions(user):
    return (
        within_sites(Reaction.objects.filter(is_withdrawn=False), user, Permission.VIEW_ADVERSE_EVENTS)
        .select_related("patient__site", "infusion__visit")
        .annotate(began_on=day_where("patient__site", "began_at"))
    )  # fmt: skip


def abnormal(user):
    """Results that are graded 1 or worse, or lie outside their range."""
    found = within_sites(Measurement.objects.all(), user, Permission.VIEW_ADVERSE_EVENTS)
    return (
        found.filter(Q(grade__gte=1) | ~Q(flag=""))
        .select_related("patient__site", "panel__visit", "infusion__visit").annotate(treated_at=first_infusion_began())
    )  # fmt: skip


def deaths(user):
    """Patients who died, by the end of participation or by a fatal event."""
    patients = within_sites(Patient.objects.all(), user, Permission.VIEW_ADVERSE_EVENTS, "site")
    fatal = Q(adverse_events__is_fatal=True, adverse_events__is_withdrawn=False)
    theirs = AdverseEvent.objects.filter(patient=OuterRef("pk"), is_fatal=True, is_withdrawn=False)
    return (
        patients.filter(Q(state=State.DIED) | fatal)
        .annotate(
            fatal_term=Min("adverse_events__term", filter=fatal),
            fatal_relationship=Min("adverse_events__relationship", filter=fatal),
            died_on=Max("dispositions__on", filter=Q(dispositions__state=State.DIED)),
            fatal_end=Max("adverse_events__ended_on", filter=fatal),
            last_infusion=Max("infusions__started_at"),
            is_related_death=Exists(judged(theirs).filter(counts_as_related=True)),
        )
        .select_related("site")
    )


def deviations(user):
    found = Deviation.objects.visible_to(user).filter(is_withdrawn=False)
    return found.select_related("patient__site", "visit")


def medications(user):
    found = within_sites(Medication.objects.filter(is_withdrawn=False), user, Permission.VIEW_PATIENTS)
    return found.select_related("patient__site")


# --- columns --------------------------------------------------------------------------------------------------


def patient_of(row):
    return row if isinstance(row, Patient) else row.patient


def patient_columns(path="patient__"):
    return (
        Column("patient", _("Patient"), lambda row: patient_of(row).number, f"{path}number",
               url=lambda row: reverse("safety:show_casebook", args=[patient_of(row).pk])),
        Column("site", _("Site"), lambda row: patient_of(row).site.name, f"{path}site__code", at_first=False),
        Column("sex", _("Sex"), lambda row: patient_of(row).get_sex_display(), f"{path}sex", at_first=False),
        Column(ARM, _("Arm"), lambda row: row.arm_told),
    )  # fmt: skip


def page_of_event(event):
    return reverse("safety:show_adverse_event", args=[event.pk])


def day_in_trial(event):
    day_0 = event.patient.day_0
    return (event.began_on - day_0).days if day_0 else None


EVENT_COLUMNS = (
    *patient_columns(),
    Column("number", _("Number"), lambda e: e.sequence, "sequence", at_first=False),
    Column("term", _("Event"), lambda e: term_told(e.term), "term", url=page_of_event),
    Column("coded", _("Coded term"), lambda e: term_told(e.coded_term), "coded_term", at_first=False),
    Column("class", _("Class"), lambda e: e.body_system_told, "body_system"),
    Column("grade", _("Grade"), lambda e: e.grade, "grade", look="grade", level=lambda e: e.grade),
    Column("serious", _("Serious"), lambda e: _("serious") if e.is_serious else "", "is_serious", look="serious"),
    Column("criteria", _("Serious because"), lambda e: "; ".join(e.seriousness), at_first=False),
    Column("onset", _("Onset"), lambda e: e.began_on, "began_on"),
    Column("end", _("End"), lambda e: _("ongoing") if e.is_ongoing else e.ended_on, "ended_on"),
    Column("day", _("Day in the trial"), day_in_trial, at_first=False),
    Column("infusion", _("After infusion"), lambda e: e.infusion_number, "infusion_number", at_first=False),
    Column("relationship", _("Relationship"), lambda e: e.get_relationship_display(), "relationship"),
    Column("sponsor", _("By the sponsor"), lambda e: Causality(e.sponsor_causality).label if e.sponsor_causality else "",
           "sponsor_causality", at_first=False),
    Column("related", _("Related (either)"), lambda e: _("related") if e.counts_as_related else "", "counts_as_related"),
    Column("action", _("Action taken"), lambda e: e.get_action_taken_display(), "action_taken", at_first=False),
    Column("outcome", _("Outcome"), lambda e: e.get_outcome_display(), "outcome"),
    Column("aware", _("Site became aware"), lambda e: told_at(e.aware_at, zone_of(e.patient.site)), "aware_at", at_first=False),
)  # fmt: skip

EVENT_FILTERS = {
    "site": "patient__site__in",
    "patient": "patient__number__iexact",
    "grade": "grade__gte",
    "serious": lambda rows, value: rows.filter(is_serious=True),
    "related": lambda rows, value: rows.filter(counts_as_related=True),
    "ongoing": lambda rows, value: rows.filter(is_ongoing=True),
    "body_system": lambda rows, value: rows.filter(Q(coded_system=value) | Q(coded_system=None, body_system=value)),
    "infusion": "infusion_number",
    "since": "began_on__gte",
    "until": "began_on__lte",
}

EVENT_FIGURES = (
    (_("events"), Count("id")), (_("patients with an event"), Count("patient", distinct=True)),
    (_("grade 3 or higher"), Count("id", filter=Q(grade__gte=3))), (_("serious"), Count("id", filter=Q(is_serious=True))),
    (_("related"), Count("id", filter=Q(counts_as_related=True))),
)  # fmt: skip


def test_of(m):
    return visit_of(m).protocol.test(m.test)


def visit_of(m):
    return (m.panel or m.infusion).visit


def page_of_result(m):
    if m.panel_id:
        return reverse("visits:enter_panel", args=[m.panel_id])
    return reverse("visits:show_visit", args=[m.infusion.visit_id])


def grade_of_result(m):
    """0 to 4, "4?" while it is only proposed, or why there is none: never blank."""
    if m.grade is not None:
        return f"{m.grade}?" if m.grade_is_to_confirm else m.grade
    if m.ungraded_because:
        return _("not gradable: %s") % TOLD[m.ungraded_because]
    return _("not graded")


def baseline_of_result(m):
    """What a result is compared with; results until the treatment are compared with nothing."""
    if m.baseline_grade is not None or not m.grade_scale or was_before_treatment(m):
        return m.baseline_grade
    return _("not known")


def shift_of_result(m):
    """Worse than at baseline? A grade above 0 without a baseline may be."""
    if not m.grade or was_before_treatment(m):
        return ""
    if m.baseline_grade is None:
        return _("not known")
    return _("worse") if m.grade > m.baseline_grade else ""


RESULT_COLUMNS = (
    *patient_columns(),
    Column("visit", _("Visit"), lambda m: visit_of(m).code, "panel__visit__planned_on"),
    Column("date", _("Date"), lambda m: m.collected_on, "collected_on"),
    Column("test", _("Test"), lambda m: test_of(m).name, "test", url=page_of_result),
    Column("result", _("Result"), lambda m: m.typed, "value"),
    Column("unit", _("Unit"), lambda m: m.reported_unit or m.unit, look="unit"),
    Column("low", _("Lower limit"), lambda m: m.reported_low, at_first=False),
    Column("high", _("Upper limit"), lambda m: m.reported_high, at_first=False),
    Column("flag", _("Flag"), lambda m: m.get_flag_display(), "flag"),
    Column("grade", _("Grade"), grade_of_result, "grade", look="grade", level=lambda m: m.grade),
    Column("baseline", _("Grade at baseline"), baseline_of_result, "baseline_grade"),
    Column("shift", _("Worse than baseline"), shift_of_result),
    Column("row", _("Row of the scale"), lambda m: " ".join(filter(None, [m.grade_scale, m.grade_scale_version, row_told(m.grade_scale, m.grade_scale_version, m.grade_row)])),
           at_first=False),
)  # fmt: skip


def last_day(patient):
    return patient.died_on or patient.fatal_end


DEATH_COLUMNS = (
    *patient_columns(""),
    Column("died", _("Date of death"), last_day, "died_on"),
    Column("term", _("Fatal event"), lambda p: term_told(p.fatal_term), "fatal_term"),
    Column("relationship", _("Relationship"),
           lambda p: dict(AdverseEvent._meta.get_field("relationship").flatchoices).get(p.fatal_relationship, "")),
    Column("related", _("Related (either)"), lambda p: _("related") if p.is_related_death else ""),
    Column("infusion", _("Last infusion (UTC)"), lambda p: p.last_infusion and f"{p.last_infusion:%Y-%m-%d}", "last_infusion"),
    Column("after", _("Days after the last infusion"),
           lambda p: (last_day(p) - p.last_infusion.date()).days if p.last_infusion and last_day(p) else None),
)  # fmt: skip

DEVIATION_COLUMNS = (
    *patient_columns(),
    Column("date", _("Date"), lambda d: d.began_on, "began_on"),
    Column("category", _("Category"), lambda d: d.get_category_display(), "category",
           url=lambda d: reverse("safety:show_deviation", args=[d.pk])),
    Column("visit", _("Visit"), lambda d: d.visit and d.visit.code, "visit__planned_on"),
    Column("important", _("Important"), lambda d: _("important") if d.is_important else "", "is_important", look="serious"),
    Column("description", _("Description"), lambda d: d.told),
    Column("safety", _("Effect on the patient's safety"), lambda d: d.effect_on_safety, at_first=False),
    Column("action", _("Corrective action"), lambda d: d.corrective_action, at_first=False),
    Column("corrected", _("Corrected on"), lambda d: d.corrected_on or _("open"), "corrected_on"),
)  # fmt: skip

DEVIATION_FIGURES = (
    (_("deviations"), Count("id")), (_("patients with a deviation"), Count("patient", distinct=True)),
    (_("important"), Count("id", filter=Q(is_important=True))),
    (_("corrective action open"), Count("id", filter=Q(corrected_on=None))),
)  # fmt: skip

REACTION_COLUMNS = (
    *patient_columns(),
    Column("infusion", _("Infusion"), lambda r: r.infusion.number, "infusion__number",
           url=lambda r: reverse("visits:show_visit", args=[r.infusion.visit_id])),
    Column("date", _("Began"), lambda r: told_at(r.began_at, zone_of(r.patient.site)), "began_at"),
    Column("minutes", _("Minutes after the start"),
           lambda r: int((r.began_at - r.infusion.started_at).total_seconds() // 60)),
    Column("term", _("Reaction"), lambda r: term_told(r.term), "term"),
    Column("grade", _("Grade"), lambda r: r.grade, "grade", look="grade", level=lambda r: r.grade),
)  # fmt: skip

MEDICATION_COLUMNS = (
    *patient_columns(),
    Column("treatment", _("Medication"), lambda m: m.treatment, "treatment",
           url=lambda m: reverse("patients:show_background", args=[m.patient_id])),
    Column("indication", _("Given for"), lambda m: m.indication, "indication"),
    Column("dose", _("Dose"), lambda m: f"{m.dose.normalize():f} {m.dose_unit}".strip() if m.dose is not None else ""),
    Column("frequency", _("Frequency"), lambda m: m.frequency),
    Column("route", _("Route"), lambda m: m.route, at_first=False),
    Column("start", _("Start"), lambda m: m.started_on, "started_on"),
    Column("end", _("End"), lambda m: _("ongoing") if m.is_ongoing else m.ended_on, "ended_on"),
)  # fmt: skip

WHO = {"site": "patient__site__in", "patient": "patient__number__iexact"}

LISTINGS = {
    listing.code: listing
    for listing in (
        Listing("events", _("Adverse events"), events, EVENT_COLUMNS, ("-began_on", "-id"), EVENT_FILTERS, ("term", "narrative"),
                figures=EVENT_FIGURES, beside=((_("Serious cases"), "safety:list_cases"),)),
        Listing("serious", _("Serious adverse events"), serious, EVENT_COLUMNS, ("-began_on", "-id"),
                {name: how for name, how in EVENT_FILTERS.items() if name != "serious"}, ("term", "narrative")),
        Listing("interest", _("Events of interest"), of_interest, EVENT_COLUMNS, ("-began_on", "-id"), EVENT_FILTERS, ("term",),
                note=_("Events that the protocol watches: by their term or body system, or since they are reactions to infusions.")),
        Listing("deaths", _("Deaths"), deaths, DEATH_COLUMNS, ("number",),
                {"site": "site__in", "patient": "number__iexact"}, patient=""),
        Listing("reactions", _("Infusion reactions"), reactions, REACTION_COLUMNS, ("-began_at", "-id"),
                WHO | {"grade": "grade__gte", "since": "began_on__gte", "until": "began_on__lte"}, ("term",)),
        Listing("results", _("Abnormal results"), abnormal, RESULT_COLUMNS, ("-collected_on", "-id"),
                WHO | {"grade": "grade__gte", "test": "test", "since": "collected_on__gte", "until": "collected_on__lte",
                       "worse": lambda rows, value: rows.filter(grade__gt=F("baseline_grade")),
                       "proposed": lambda rows, value: rows.filter(grade_is_to_confirm=True)},
                note=_("Graded 1 or worse, or outside the range that held on the day. A grade with a question mark is proposed and not confirmed.")),
        Listing("deviations", _("Deviations"), deviations, DEVIATION_COLUMNS, ("-began_on", "-id"),
                WHO | {"of": "patient", "category": "category", "important": lambda rows, value: rows.filter(is_important=True),
                       "open": lambda rows, value: rows.filter(corrected_on=None), "since": "began_on__gte",
                       "until": "began_on__lte"}, ("description",), permission=Permission.VIEW_PATIENTS,
                note=_("A deviation is recorded from the patient's page, or from what the system has seen."),
                figures=DEVIATION_FIGURES, beside=((_("Seen by the system, not judged yet"), "safety:list_proposals"),)),
        Listing("medications", _("Concomitant medication"), medications, MEDICATION_COLUMNS, ("patient__number", "started_on", "id"),
                WHO | {"ongoing": lambda rows, value: rows.filter(is_ongoing=True)}, ("treatment", "indication"),
                permission=Permission.VIEW_PATIENTS),
    )
}  # fmt: skip
