"""What still waits for a monitor, a data manager or an investigator, and where a form, a visit or a patient stands."""

from dataclasses import replace

from django.db.models import Case, Exists, F, IntegerField, OuterRef, Q, Value, When
from django.db.models.functions import Coalesce

from patients.models import Patient
from trialsite import trial
from trialsite.roles import Permission, within_sites
from visits.contents import CASEBOOK, INFUSIONS, PANELS, asked_of, kinds, number_of
from visits.models import (
    UNFINISHED,
    WITH_VALUES,
    Infusion,
    Mark,
    Measurement,
    Missing,
    PanelRecord,
    PanelState,
    Query,
    QueryState,
    Review,
    Visit,
    VisitState,
    open_queries,
)
from visits.reviews import Standing, stricter

# panels about which a mark can be set
DONE = (PanelState.ENTERED, PanelState.NOT_DONE)
# the day that a visit took place or is planned for, which its page and the lists show (Visit.on)
DAY_SHOWN = Coalesce("attended_on", "planned_on")
OVER = (VisitState.ATTENDED, VisitState.MISSED, VisitState.CANCELLED)


def marks_on(label, mark, of="pk"):
    """The marks that stand on the form whose key the outer query has in the column `of`."""
    return Review.objects.standing().filter(record=label, record_id=OuterRef(of), mark=mark)


def values_to_verify(panel="panel__"):
    """Which measurements the protocol wants compared: a value is there, or why there is none, in a panel that is done."""
    wanted = Q(pk=None)
    for version, protocol in trial.versions().items():
        if protocol.verified_tests:
            wanted |= Q(**{f"{panel}protocol_version": version}, test__in=sorted(protocol.verified_tests))
    is_there = ~Q(typed="") | (~Q(missing_because="") & ~Q(missing_because=Missing.PENDING))
    return wanted & is_there & Q(**{f"{panel}state__in": WITH_VALUES})


def with_standing(visits):
    """Visits with what `standing_of_visit` asks."""
    of_visit = Q(panel__visit=OuterRef("pk")) | Q(infusion__visit=OuterRef("pk"))
    return visits.annotate(
        pending=number_of(PanelRecord.objects.filter(visit=OuterRef("pk"), state__in=UNFINISHED)),
        done=number_of(PanelRecord.objects.filter(visit=OuterRef("pk"), state__in=DONE)),
        given=number_of(Infusion.objects.filter(visit=OuterRef("pk"))),
        signed=number_of(Review.objects.standing().filter(visit=OuterRef("pk"), mark=Mark.SIGNED, record=PANELS)),
        signed_infusions=number_of(
            Review.objects.standing().filter(visit=OuterRef("pk"), mark=Mark.SIGNED, record=INFUSIONS)
        ),
        waiting_queries=number_of(Query.objects.filter(of_visit).filter(open_queries())),
        unclosed_queries=number_of(Query.objects.filter(of_visit).exclude(state=QueryState.CLOSED)),
    ).annotate(unsigned=_unsigned())


def _unsigned():
    """How many forms of a visit lack the signature that the protocol of the visit asks for."""
    panels, infusions = F("done") - F("signed"), F("given") - F("signed_infusions")
    by_version = [
        When(
            protocol_version=version,
            then=int(protocol.is_signed("panels")) * panels + int(protocol.is_signed("infusions")) * infusions,
        )
        for version, protocol in trial.versions().items()
    ]
    return Case(*by_version, default=panels + infusions, output_field=IntegerField())


def standing_of_visit(visit):
    """Where a visit of `with_standing` stands, whose patient is at hand."""
    return Standing(
        is_over=visit.state in OVER,
        pending=visit.pending if visit.state == VisitState.ATTENDED else 0,
        open_queries=visit.waiting_queries,
        unclosed_queries=visit.unclosed_queries,
        unsigned=visit.unsigned,
        hold=visit.hold,
        hold_above=visit.patient.hold,
    )


def standing_of_patient(patient):
    """Where all records of a patient stand, together."""
    visits = list(with_standing(Visit.objects.filter(patient=patient)))
    for visit in visits:
        visit.patient = patient
    each = [standing_of_visit(visit) for visit in visits]
    unclosed = Query.objects.filter(patient=patient).exclude(state=QueryState.CLOSED).values_list("state", flat=True)
    states = list(unclosed)
    unsigned = sum(standing.unsigned for standing in each)
    for label, kind in kinds().items():
        if label in (PANELS, INFUSIONS) or not patient.protocol.is_signed(kind.code):
            continue
        rows = (
            kind.model.objects.filter(pk=patient.pk)
            if label == CASEBOOK
            else kind.model.objects.filter(patient=patient)
        )
        if any(f.name == "is_withdrawn" for f in kind.model._meta.fields):
            rows = rows.filter(is_withdrawn=False)
        unsigned += rows.filter(~Exists(marks_on(label, Mark.SIGNED))).count()
    return Standing(
        is_over=not patient.is_open,
        pending=sum(standing.pending for standing in each),
        open_queries=states.count(QueryState.OPEN),
        unclosed_queries=len(states),
        unsigned=unsigned,
        hold=patient.hold,
    )


def standing_of_form(form, patient):
    """Where one form stands, as `load_forms` read it."""
    if form.kind.label == CASEBOOK:
        return replace(standing_of_patient(patient), marks=form.standing_marks)
    state = form.record.state if form.kind.label == PANELS else ""
    return Standing(
        has_entries=state != PanelState.EXPECTED,
        pending=int(state == PanelState.BEGUN),
        open_queries=form.record.waiting_queries,
        is_withdrawn=getattr(form.record, "is_withdrawn", False),
        hold=stricter(patient.hold, form.visit.hold if form.visit else ""),
        marks=form.standing_marks,
    )


# --- the lists ---------------------------------------------------------------------------------------


def to_verify(user):
    """Visits in which values wait for source data verification: each with `fields` and, of them, `fields_done`."""
    verified = Exists(marks_on(PANELS, Mark.VERIFIED, "panel").filter(field__in=("", OuterRef("test"))))
    values = Measurement.objects.filter(values_to_verify(), panel__visit=OuterRef("pk"))
    visits = within_sites(Visit.objects.all(), user, Permission.VERIFY_SOURCE).select_related("patient__site")
    counted = visits.annotate(
        fields=number_of(values),
        fields_done=number_of(values.annotate(is_verified=verified).filter(is_verified=True)),
    )
    # which visits wait is asked once for all; what waits in them is counted for those that are shown
    waiting = Measurement.objects.filter(values_to_verify()).exclude(verified).order_by()
    return counted.filter(pk__in=waiting.values("panel__visit")).order_by(DAY_SHOWN, "id")


def to_review(user):
    """Visits with forms that are complete and not reviewed: each with `fields` (forms) and `fields_done`."""
    return _forms_without(Mark.REVIEWED, user, Permission.REVIEW_DATA)


def to_sign(user, permission=Permission.SIGN_DATA):
    """Visits with forms that are complete and not signed: each with `fields` (forms) and `fields_done`; where the person
    signs, or has another `permission`."""
    return _forms_without(Mark.SIGNED, user, permission)


def _forms_without(mark, user, permission):
    panels = PanelRecord.objects.filter(visit=OuterRef("pk"), state__in=DONE)
    infusions = Infusion.objects.filter(visit=OuterRef("pk"))
    visits = within_sites(Visit.objects.all(), user, permission).select_related("patient__site")
    counted = visits.annotate(
        fields=number_of(panels) + number_of(infusions),
        fields_done=number_of(panels.filter(Exists(marks_on(PANELS, mark))))
        + number_of(infusions.filter(Exists(marks_on(INFUSIONS, mark)))),
    )
    panels_waiting = PanelRecord.objects.filter(state__in=DONE).exclude(Exists(marks_on(PANELS, mark))).order_by()
    infusions_waiting = Infusion.objects.exclude(Exists(marks_on(INFUSIONS, mark))).order_by()
    waiting = Q(pk__in=panels_waiting.values("visit")) | Q(pk__in=infusions_waiting.values("visit"))
    return counted.filter(waiting).order_by(DAY_SHOWN, "id")


def patients_with_records_to(mark, user, permission):
    """Patients with records outside the visits (consents, adverse events) that lack this mark, each with `n` of them."""
    total = Value(0)
    for label in asked_of(trial.current_protocol(), mark):
        kind = kinds()[label]
        rows = kind.model.objects.filter(~Exists(marks_on(label, mark)), patient=OuterRef("pk"))
        if any(f.name == "is_withdrawn" for f in kind.model._meta.fields):
            rows = rows.filter(is_withdrawn=False)
        total = total + number_of(rows)
    patients = within_sites(Patient.objects.all(), user, permission, "site").select_related("site")
    return patients.annotate(n=total).filter(n__gt=0).order_by("number")


def to_freeze(user):
    """Visits that are open, over, complete and without a query that waits for the site."""
    visits = within_sites(Visit.objects.all(), user, Permission.REVIEW_DATA).filter(hold="", patient__hold="")
    over = visits.filter(Q(state=VisitState.MISSED) | Q(state=VisitState.ATTENDED))
    ready = with_standing(over).filter(Q(pending=0) | Q(state=VisitState.MISSED), waiting_queries=0)
    return ready.select_related("patient__site").order_by("patient__number", "planned_on", "id")
