"""Serious cases: opened with the event, followed as facts change, judged by the sponsor, frozen in versions, reported.

Nothing here changes what the site entered: the sponsor's judgement stands beside the investigator's (ICH E6(R3) 3.16.1)."""

from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _

from patients.actions import lock_open_patient, lock_patient
from patients.models import Medication
from safety.actions.stopping import watch_events
from safety.cases import (
    changed_between,
    clocks_of,
    content_of,
    digest_of,
    facts_of,
    next_due,
    proposal_for,
    with_clocks,
)
from safety.models import (
    CaseFact,
    CaseLink,
    CaseVersion,
    Expectedness,
    FactCause,
    ResultOfEvent,
    SeriousCase,
    SponsorAssessment,
    Submission,
)
from safety.notices import tell_of_opening
from trialsite import trial
from trialsite.audit import acting
from trialsite.reasons import because
from trialsite.saving import Refused, check_version
from visits.models import Measurement

# what made a case be looked at again, as the trail says it
BECAUSE_OF = {
    FactCause.EVENT_CHANGED: "the event of the case was changed",
    FactCause.EVENT_WITHDRAWN: "the event of the case was changed",
    FactCause.CODED: "the code of the event of the case was changed",
    FactCause.INFUSION: "an infusion of the patient was recorded or corrected",
    FactCause.RANDOMISED: "the patient of the case was randomised",
}


def follow_events(*, events, cause=FactCause.EVENT_CHANGED, by):
    """The one place where what is new about adverse events reaches their cases, clocks and the stopping rules.

    Every action that stores an event, its code or its mark of error ends with it, in the same transaction: cases of
    serious events are opened, or what the change means for their clocks is noted, and whatever rule may count an event is
    evaluated (tests/test_house.py). `events` are loaded with their patient and site where they are serious."""
    events = list(events)
    with_case = set(SeriousCase.objects.filter(event__in=events).values_list("event", flat=True))
    for event in events:
        if event.pk in with_case:
            follow_case(event=event, cause=cause, by=by)
        elif event.is_serious and not event.is_withdrawn:
            _open(event, by)
    watch_events(events=events, by=by)


def follow_case(*, event, cause, is_about_other_facts=False, by):
    """Note what is new about the event for its case; `is_about_other_facts`: whoever judged it knew something else."""
    case = SeriousCase.objects.select_for_update(of=("self",)).get(event=event)
    if event.is_withdrawn:
        cause = FactCause.EVENT_WITHDRAWN
    with acting(by, because(BECAUSE_OF[cause])):
        assessment, proposal = _last_assessment(case), proposal_for(event)
        noted = _note_facts(case, event, assessment, proposal, cause)
        waits = case.waits_for_judgement
        if assessment:  # it was about the event as it stood then
            waits = waits or noted or is_about_other_facts or proposal.differs_from(assessment.because)
        case.waits_for_judgement = waits and not event.is_withdrawn
        _settle(case, "waits_for_judgement")
    return case


def _open(event, by):
    patient = event.patient
    with connection.cursor() as cursor:
        cursor.execute("select nextval(pg_get_serial_sequence(%s, 'id'))", [SeriousCase._meta.db_table])
        pk = cursor.fetchone()[0]
    now = timezone.now()
    with acting(by, because("the case of a serious event is opened")):
        case = SeriousCase.objects.create(
            pk=pk, patient=patient, event=event, opened_by=by, opened_at=now,
            sponsor_knew_at=now if event.version > 1 else event.reported_at,
            number=f"{patient.site.country}-{trial.protocol(event.protocol_version).trial.id}-{pk:05d}",
            serious_since=now if event.version > 1 else None,
        )  # fmt: skip
        _note_facts(case, event, None, proposal_for(event), FactCause.OPENED)
        _settle(case)
        link_results_of(case)
        tell_of_opening(case)
    return case


def link_results_of(case):
    """The results from which the event was reported belong to its case without a further word (of a reaction the infusion
    does). Called inside an action that names its reason."""
    linked = CaseLink.objects.filter(case=case, measurement__isnull=False).values("measurement")
    missing = ResultOfEvent.objects.filter(event=case.event_id, measurement__isnull=False)
    missing = missing.exclude(measurement__in=linked)
    for pk in missing.order_by("pk").values_list("measurement", flat=True):
        CaseLink.objects.create(case=case, patient_id=case.patient_id, measurement_id=pk, is_suspect=False)


def _last_assessment(case):
    return SponsorAssessment.objects.filter(case=case).order_by("id").last()


def _note_facts(case, event, assessment, proposal, cause):
    """Write down what is known from now on, if it differs from what was. Gives whether it did."""
    facts = facts_of(event, assessment, proposal)
    values = {name: getattr(facts, name) for name in ("is_serious", "is_grave", "is_suspected", "is_unexpected")}
    last = CaseFact.objects.filter(case=case).order_by("id").last()
    if last and all(getattr(last, name) == value for name, value in values.items()):
        return False
    CaseFact.objects.create(case=case, patient_id=case.patient_id, cause=cause, **values)
    return True


def _settle(case, *changed, touched=False):
    """Keep when the next reports are due, and store the case with it where anything is new."""
    whole = with_clocks(SeriousCase.objects.filter(pk=case.pk)).get()
    for name in changed:
        setattr(whole, name, getattr(case, name))
    found = clocks_of(whole)
    due = {"site_due_at": next_due(found, "site"), "sponsor_due_at": next_due(found, "sponsor")}
    if changed or touched or any(getattr(case, name) != value for name, value in due.items()):
        for name, value in due.items():
            setattr(case, name, value)
        case.version += 1
        case.save(update_fields=["site_due_at", "sponsor_due_at", "version", *changed])


def _locked(case, version):
    locked = (
        SeriousCase.objects.select_for_update(of=("self",)).select_related("event", "patient__site").get(pk=case.pk)
    )
    check_version(locked, version)
    return locked


def judge_case(*, case, causality, expectedness, comment, reason="", version, by):
    """Write down the sponsor's judgement; a later one needs the reason. Raises Refused."""
    with acting(by, reason or because("the sponsor judged the case")):
        lock_patient(case.patient)  # before the case, as whoever records an infusion does
        case = _locked(case, version)
        before = _last_assessment(case)
        if before and not reason.strip():
            raise Refused({"reason": [_("Write why the case is judged anew.")]})
        proposal = proposal_for(case.event)
        assessment = SponsorAssessment.objects.create(
            case=case, patient_id=case.patient_id, causality=causality, expectedness=expectedness, comment=comment,
            reason=reason if before else "", event_version=case.event.version, judged_by=by,
            proposed=Expectedness.EXPECTED if proposal.is_expected else Expectedness.UNEXPECTED,
            because=proposal.stored(),
        )  # fmt: skip
        _note_facts(case, case.event, assessment, proposal, FactCause.JUDGED)
        case.waits_for_judgement = False
        _settle(case, "waits_for_judgement")
        watch_events(events=[case.event], by=by)
    return assessment


def set_case_links(*, case, measurements, medications, suspects=(), version, by):
    """Say which results and medications belong to the case; `suspects` are the medications suspected beside the product.

    Records of another patient are refused."""
    with acting(by, because("the records linked to the case were chosen")):
        lock_open_patient(case.patient)
        case = _locked(case, version)
        wanted = {("measurement_id", pk): False for pk in measurements}
        wanted |= {("medication_id", pk): pk in set(suspects) for pk in {*medications, *suspects}}
        _refuse_records_of_others(case, wanted)
        for link in CaseLink.objects.select_for_update().filter(case=case):
            name = "measurement_id" if link.measurement_id else "medication_id"
            is_suspect = wanted.pop((name, getattr(link, name)), None)
            new = {"is_withdrawn": is_suspect is None, "is_suspect": bool(is_suspect)}
            if any(getattr(link, field) != value for field, value in new.items()):
                link.is_withdrawn, link.is_suspect = new["is_withdrawn"], new["is_suspect"]
                link.version += 1
                link.save(update_fields=["is_withdrawn", "is_suspect", "version"])
        CaseLink.objects.bulk_create(
            CaseLink(case=case, patient_id=case.patient_id, is_suspect=is_suspect, **{name: pk})
            for (name, pk), is_suspect in wanted.items()
        )
        case.version += 1
        case.save(update_fields=["version"])
    return case


def _refuse_records_of_others(case, wanted):
    for model, name in ((Measurement, "measurement_id"), (Medication, "medication_id")):
        asked = {pk for its, pk in wanted if its == name}
        if asked and model.objects.filter(pk__in=asked, patient=case.patient_id).count() != len(asked):
            raise Refused(_("A record of another patient cannot be linked."))


def correct_knowledge(*, case, reason, sponsor_knew_at=None, serious_since=None, version, by):
    """Correct from when the sponsor, or the site, knew. Later than the case was opened it cannot have been."""
    if not reason.strip():
        raise Refused({"reason": [_("Write why the entry is changed.")]})
    with acting(by, reason):
        case = _locked(case, version)
        given = {"sponsor_knew_at": sponsor_knew_at, "serious_since": serious_since}
        given = {name: value for name, value in given.items() if value is not None}
        for name, value in given.items():
            if value > case.opened_at:
                raise Refused({name: [_("The case was opened before: it was known then at the latest.")]})
            setattr(case, name, value)
        _settle(case, *given)
    return case


def make_case_version(*, case, summary="", by_site=False, version, by):
    """Freeze the case as it stands. A version that would say the same as the last one is refused."""
    with acting(by, because("the case is frozen in a version")):
        case = _locked(case, version)
        made = _freeze(case, summary, by_site, by)
        _settle(case, touched=True)
    return made


def _freeze(case, summary, by_site, by):
    last = CaseVersion.objects.filter(case=case).order_by("number").last()
    content = content_of(case)
    changed = changed_between(last.content, content) if last else []
    if last and not changed and not summary.strip():
        raise Refused(_("Nothing has changed since the last version: there is nothing to follow up."))
    return CaseVersion.objects.create(
        case=case, patient_id=case.patient_id, number=last.number + 1 if last else 0, summary=summary, content=content,
        digest=digest_of(content), changed=changed, by_site=by_site, made_by=by,
    )  # fmt: skip


def report_case(*, case, summary="", version, by):
    """The site reports to the sponsor: freezes the case in a version that the sponsor has with it."""
    with acting(by, because("the site reported the case to the sponsor")):
        lock_open_patient(case.patient, even_frozen=True)  # no cleaning of data may hold a clock up
        case = _locked(case, version)
        made = _freeze(case, summary, True, by)
        for duty in trial.protocol(case.protocol_version).safety_reporting:
            if duty.to == "sponsor":
                is_first = not Submission.objects.filter(case=case, duty=duty.code, stage="first").exists()
                _submit(case, made, duty.code, "first" if is_first else "follow_up", made.made_at, "", by)
        _settle(case, touched=True)
    return made


def record_submission(*, case, case_version, duty, stage, sent_at, reference="", version, by):
    """Write down that a version was sent to whom the protocol names `duty`. Raises Refused."""
    if sent_at > timezone.now():
        raise Refused({"sent_at": [_("The date is in the future.")]})
    if stage != "follow_up" and case.submissions.filter(duty=duty, stage=stage).exists():
        raise Refused(_("This report was recorded before."))
    with acting(by, because("a report of the case was recorded")):
        case = _locked(case, version)
        if sent_at < case.site_knew_at.replace(second=0, microsecond=0):  # typed to the minute
            raise Refused({"sent_at": [_("The report cannot be older than the knowledge of the event.")]})
        sent = _submit(case, case_version, duty, stage, sent_at, reference, by)
        _settle(case, touched=True)
    return sent


def _submit(case, case_version, duty, stage, sent_at, reference, by):
    found = clocks_of(with_clocks(SeriousCase.objects.filter(pk=case.pk)).get())
    due = [
        clock.due_at
        for clock in found
        if clock.duty.code == duty and clock.stage.name.lower() == stage and clock.is_open
    ]
    return Submission.objects.create(
        case=case, patient_id=case.patient_id, case_version=case_version, duty=duty, stage=stage, sent_at=sent_at,
        reference=reference, sent_by=by, due_at=min(due, default=None),
    )  # fmt: skip


def acknowledge_submission(*, submission, acknowledged_at, acknowledgement, version, reason="", by):
    """Write down what was answered to a report; a later change needs the reason."""
    if acknowledged_at > timezone.now():
        raise Refused({"acknowledged_at": [_("The date is in the future.")]})
    with acting(by, reason or because("the report was acknowledged")):
        submission = Submission.objects.select_for_update(of=("self",)).get(pk=submission.pk)
        check_version(submission, version)
        if submission.acknowledged_at and not reason.strip():
            raise Refused({"reason": [_("Write why the entry is changed.")]})
        if acknowledged_at < submission.sent_at.replace(second=0, microsecond=0):  # typed to the minute
            raise Refused({"acknowledged_at": [_("The answer is older than the report.")]})
        submission.acknowledged_at, submission.acknowledgement = acknowledged_at, acknowledgement
        submission.version += 1
        submission.save(update_fields=["acknowledged_at", "acknowledgement", "version"])
    return submission
