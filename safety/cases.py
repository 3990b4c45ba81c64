"""Serious cases as they stand: the facts that start clocks, the clocks, and the content of a version. Reads, writes nothing.

The content of a version holds no arm, lot, product or dose: in a masked trial nobody who reads it is unmasked."""

import hashlib
import json
from zoneinfo import ZoneInfo

from django.db.models import Exists, OuterRef, Prefetch, Subquery, Value
from django.db.models.functions import Concat, JSONObject
from django.utils import timezone

from patients.models import ArtRegimen, HivHistory, MedicalHistory
from safety.clocks import Facts, Known, Made, Sent, clocks, is_suspected
from safety.coding.rules import CodingState, Kind
from safety.expectedness import Coded, propose
from safety.models import (
    RELATED,
    SERIOUSNESS,
    AdverseEvent,
    AuthorityCopy,
    CaseLink,
    CaseVersion,
    Causality,
    Coding,
    CopyStep,
    Expectedness,
)
from trialsite import trial
from trialsite.roles import Permission, can, within_sites
from visits.models import Infusion


def zone_of(case):
    return ZoneInfo(case.patient.site.timezone)


def codes_in_force(event):
    """The code in force of the event with this key (an expression, too), as the arguments of `Coded`."""
    codings = Coding.objects.filter(kind=Kind.ADVERSE_EVENT, record_id=event, state=CodingState.APPROVED)
    dictionary = Concat("dictionary__name", Value(" "), "dictionary__dictionary_version")
    code = JSONObject(term="term", preferred_term="preferred_term", dictionary=dictionary)
    return codings.order_by("-id").values_list(code, flat=True)[:1]


def code_of(event):
    """The code in force of an event, or None."""
    return next((Coded(**code) for code in codes_in_force(event.pk)), None)


def with_code(cases):
    """The cases with the code of their event as `event_code`, in the same statement."""
    return cases.annotate(event_code=Subquery(codes_in_force(OuterRef("event"))))


def proposal_in(case):
    """What the reference says of the event of a case that was loaded `with_code`."""
    return proposal_for(case.event, Coded(**case.event_code) if case.event_code else None)


NOT_LOADED = object()


def proposal_for(event, code=NOT_LOADED):
    """What the reference safety information of the protocol says of the event (safety/expectedness.py)."""
    return propose(
        trial.protocol(event.protocol_version).expected_events, reported=event.term,
        coded=code_of(event) if code is NOT_LOADED else code,
        grade=event.grade, is_serious=event.is_serious, is_fatal=event.is_fatal,
    )  # fmt: skip


def was_treated_before(event):
    """Had the patient had an infusion (in a trial without them: been randomised) by the day of the onset?"""
    if not trial.protocol(event.protocol_version).infusions:
        return event.patient.day_0 is not None and event.patient.day_0 <= event.began_on
    first = Infusion.objects.filter(patient=event.patient_id).order_by("started_at").first()
    zone = ZoneInfo(event.patient.site.timezone)
    return first is not None and first.started_at.astimezone(zone).date() <= event.began_on


def days_since(onset, infused_on):
    """Days from the last of these infusions on or before the onset; None when there was none."""
    return min(((onset - day).days for day in infused_on if day <= onset), default=None)


def facts_of(event, assessment, proposal):
    """What is known now, with the sponsor's last judgement (None: not judged yet) and what the reference says.

    Where the reference said "expected" to the sponsor and does so no more, the event counts as unexpected until it is
    judged anew: no clock waits for a judgement."""
    if assessment is None:
        unexpected = not proposal.is_expected
    else:
        fell_out = assessment.proposed == Expectedness.EXPECTED and not proposal.is_expected
        unexpected = assessment.expectedness == Expectedness.UNEXPECTED or fell_out
    return Facts(
        is_serious=event.is_serious and not event.is_withdrawn,
        is_grave=event.is_fatal or event.is_life_threatening,
        is_suspected=is_suspected(
            was_treated=was_treated_before(event),
            by_investigator=event.relationship in RELATED,
            by_sponsor=None if assessment is None else assessment.causality == Causality.SUSPECTED,
        ),
        is_unexpected=unexpected,
    )


def with_clocks(cases):
    """The cases with all that `clocks_of` asks for, in four statements."""
    return cases.select_related("event", "patient__site").prefetch_related(
        "facts", "submissions", Prefetch("versions", CaseVersion.objects.defer("content"))
    )


def clocks_of(case, now=None):
    """Every deadline that the case has or had; see safety/clocks.py."""
    known = [
        Known(fact.known_at, Facts(fact.is_serious, fact.is_grave, fact.is_suspected, fact.is_unexpected))
        for fact in case.facts.all()
    ]
    if known:
        known[0] = Known(case.sponsor_knew_at, known[0].facts)
    numbers = {version.pk: version.number for version in case.versions.all()}
    return clocks(
        trial.protocol(case.protocol_version).safety_reporting,
        known,
        site_knew_at=case.site_knew_at,
        zone=zone_of(case),
        versions=[Made(version.number, version.made_at, version.by_site) for version in case.versions.all()],
        sent=[Sent(s.duty, s.stage, numbers[s.case_version_id], s.sent_at) for s in case.submissions.all()],
        now=now or timezone.now(),
    )


def next_due(found, owed_by):
    """The earliest open deadline of these clocks that the site, or the sponsor, owes; None when there is none."""
    return min((clock.due_at for clock in found if clock.is_open and clock.duty.owed_by == owed_by), default=None)


# --- the copy that names the product ------------------------------------------------------------------


def goes_to_authority(case):
    """Is the case reported to an authority that must be told what a masked patient was given (ICH E2A, III.D)? All others
    get copies in which the product stays masked."""
    if not trial.current_protocol().is_masked:
        return False
    to_authority = any(duty.to == "authority" for duty in trial.protocol(case.protocol_version).safety_reporting)
    facts = max(case.facts.all(), key=lambda fact: fact.pk, default=None)
    return bool(
        to_authority
        and facts
        and Facts(facts.is_serious, facts.is_grave, facts.is_suspected, facts.is_unexpected).is_susar
    )


def may_make_copy(user, patient):
    """Who sees this patient's arm while the trial is masked, and the case itself."""
    return can(user, Permission.SEE_ARM, patient.site) and can(user, Permission.VIEW_ADVERSE_EVENTS, patient.site)


def copies_asked_for(user):
    """The requests for authorities' copies that wait for this person: those after which none was made."""
    made_later = AuthorityCopy.objects.filter(
        step=CopyStep.MADE, case_version=OuterRef("case_version"), pk__gt=OuterRef("pk")
    )
    waiting = AuthorityCopy.objects.visible_to(user).filter(~Exists(made_later), step=CopyStep.ASKED)
    return within_sites(waiting, user, Permission.SEE_ARM)


# --- what a version says ------------------------------------------------------------------------------

EVENT_FIELDS = (
    "term", "body_system", "began_on", "is_ongoing", "ended_on", "grade", "is_serious", *SERIOUSNESS, "relationship",
    "procedure_relationship", "action_taken", "other_action", "outcome", "infusion_number", "reappeared", "aware_at",
)  # fmt: skip
MEDICATION_FIELDS = ("treatment", "indication", "dose", "dose_unit", "frequency", "route", "started_on", "is_ongoing",
                     "ended_on")  # fmt: skip


def content_of(case):
    """The case as it stands now, as values for JSON: codes, numbers and texts as entered, in no language."""
    event, patient = case.event, case.patient
    protocol = trial.protocol(case.protocol_version)
    assessment = case.assessments.order_by("id").last()
    links = CaseLink.objects.filter(case=case, is_withdrawn=False).select_related("measurement", "medication")
    histories = MedicalHistory.objects.filter(patient=patient, is_withdrawn=False)
    regimens = ArtRegimen.objects.filter(patient=patient, is_withdrawn=False)
    hiv = HivHistory.objects.filter(patient=patient).first()
    infusions = Infusion.objects.filter(patient=patient).order_by("number")
    code = code_of(event)
    return {
        "case": {"number": case.number, "opened_at": at(case.opened_at), "site_knew_at": at(case.site_knew_at),
                 "sponsor_knew_at": at(case.sponsor_knew_at)},
        "trial": {"id": protocol.trial.id, "version": protocol.version, "registry": protocol.trial.registry},
        "patient": {"number": patient.number, "sex": patient.sex, "birth_year": patient.birth_date.year,
                    "age": patient.age_on(event.began_on), "country": patient.site.country,
                    "site": str(patient.site), "zone": patient.site.timezone},
        "event": {name: plain(getattr(event, name)) for name in EVENT_FIELDS},
        "code": {"term": code.preferred_term, "dictionary": code.dictionary} if code else None,
        "came_again": [plain(day) for day in _same_again(event, code)],
        "narrative": event.narrative,
        "reporter": {"name": event.reported_by.full_name, "at": at(event.reported_at)},
        "sponsor": None if assessment is None else {
            "causality": assessment.causality, "expectedness": assessment.expectedness, "comment": assessment.comment,
            "by": assessment.judged_by.full_name, "at": at(assessment.judged_at),
        },
        "infusions": [{"number": i.number, "started_at": at(i.started_at), "stopped_at": at(i.stopped_at),
                       "volume_ml": plain(i.volume_ml), "given_percent": plain(i.given_percent)} for i in infusions],
        "labs": [
            {"test": m.test, "result": f"{m.operator}{plain(m.value)}" if m.value is not None else m.text or m.typed,
             "unit": m.unit, "low": plain(m.low), "high": plain(m.high), "flag": m.flag, "on": plain(m.collected_on)}
            for m in (link.measurement for link in links if link.measurement_id)
        ],
        "medications": [
            {**{name: plain(getattr(link.medication, name)) for name in MEDICATION_FIELDS}, "suspect": link.is_suspect}
            for link in links if link.medication_id
        ],
        "histories": [{"term": h.term, "started_on": h.started_on, "is_ongoing": h.is_ongoing, "ended_on": h.ended_on}
                      for h in histories],
        "hiv": {"diagnosed_on": hiv.diagnosed_on, "stage": hiv.cdc_stage} if hiv else None,
        "regimens": [{"drugs": r.drugs, "started_on": r.started_on, "is_ongoing": r.is_ongoing, "ended_on": r.ended_on}
                     for r in regimens],
    }  # fmt: skip


def _same_again(event, code):
    """When later events of the same term began, by the code in force or, without one, in the same words."""
    later = AdverseEvent.objects.filter(patient=event.patient_id, is_withdrawn=False, began_on__gt=event.began_on)
    same = later.with_codes().filter(coded_term=code.preferred_term) if code else later.filter(term__iexact=event.term)
    return same.order_by("began_on").values_list("began_on", flat=True)


def at(instant):
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ") if instant else None


def plain(value):
    """A value as JSON keeps it; numbers as text without trailing zeros, so that none is rounded."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if hasattr(value, "hour"):
        return at(value)
    return value.isoformat() if hasattr(value, "isoformat") else f"{value.normalize():f}"


def digest_of(content):
    """SHA-256 of the content as canonical JSON: keys sorted, no spaces."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _differs(before, after):
    """Nothing, and what an older version did not ask for, are alike."""
    return before != after and not (before in (None, "") and after in (None, "", []))


def changed_between(old, new):
    """The names of what differs: `event.grade`, `labs`, `narrative`."""
    found = []
    for section in new:
        before, after = old.get(section), new[section]
        if isinstance(after, dict) and isinstance(before, dict):
            found += [f"{section}.{name}" for name in after if _differs(before.get(name), after[name])]
        elif _differs(before, after):
            found.append(section)
    return found


def duty_told(code):
    """To whom a report goes, as the protocol names it."""
    for protocol in reversed(trial.versions().values()):
        for duty in protocol.safety_reporting:
            if duty.code == code:
                return duty.name
    return code
