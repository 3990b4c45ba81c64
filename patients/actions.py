"""Everything that writes about who is in the trial. Views, commands, importers, demo data and tests call these."""

from datetime import timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection
from django.db.models import Max, OuterRef, Subquery
from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from patients import eligibility, randomisation
from patients.models import (
    TRANSITIONS,
    AllocationList,
    AllocationSlot,
    ArtRegimen,
    Blocked,
    Consent,
    CriterionAnswer,
    Disposition,
    EligibilityAssessment,
    Halt,
    HivHistory,
    Hold,
    Patient,
    Scope,
    State,
    Unmasking,
)
from trialsite import trial
from trialsite.audit import acting
from trialsite.clock import only_site
from trialsite.models import Site, VersionApproval
from trialsite.outbox import ask_for
from trialsite.reasons import because
from trialsite.saving import Refused, check_version
from trialsite.words import Sentence, for_the_record

# how long a patient's randomisation may wait for those before it
TURNSTILE_PATIENCE = "30s"
# any number; it names the advisory lock of the halts
HALT_GATE = 1213186


def lock_patient(patient, version=None):
    """The patient's row (with the day of the last assessment), locked until the end of the transaction. Raises Stale when `version` is not current."""
    last = EligibilityAssessment.objects.filter(patient=OuterRef("pk")).order_by("-id").values("assessed_on")[:1]
    patients = Patient.objects.annotate(assessed_on=Subquery(last)).select_related("site")
    locked = patients.select_for_update(of=("self",)).get(pk=patient.pk)
    check_version(locked, version)
    return locked


def refuse_when_held(patient, visit=None, *, even_frozen=False):
    """Raise Refused when the patient's records, or those of this visit, are frozen or locked.

    What changes no data (queries, marks) may still be done with what is frozen: `even_frozen`. Asked of rows that are
    locked, the patient's and the visit's, so that nothing is frozen between this look and the end of the transaction."""
    held = {patient.hold, visit.hold if visit else Hold.OPEN}
    if Hold.LOCKED in held:
        raise Refused(_("These records are locked: nothing is changed any more. The data manager can unlock them."))
    if Hold.FROZEN in held and not even_frozen:
        raise Refused(_("These records are frozen. Ask the data manager to open them, and say why."))


def lock_open_patient(patient, version=None, *, even_frozen=False):
    """`lock_patient`, and refuse when the patient's records are frozen or locked (see refuse_when_held)."""
    locked = lock_patient(patient, version)
    refuse_when_held(locked, even_frozen=even_frozen)
    return locked


def day_at(site, instant):
    """The date on the calendar of the site at an instant."""
    return instant.astimezone(ZoneInfo(site.timezone)).date()


def today_at(site):
    return day_at(site, timezone.now())


def today_for(user):
    """The date at the person's site; with several sites or none, the date in UTC."""
    site = only_site(user)
    return today_at(site) if site else timezone.now().date()


def _announce(setting, **arguments):
    """Tell the floors above, by the names in settings."""
    for name in getattr(settings, setting):
        import_string(name)(**arguments)


# --- screening and consent ------------------------------------------------------------------------


def screen_patient(*, site, sex, birth_date, screened_on, by):
    """Give the next number of the site to a new patient, under the protocol version in force there, and plan the screening
    visits."""
    if birth_date > screened_on:
        raise Refused({"birth_date": [_("The date of birth is after the day of screening.")]})
    if screened_on > today_at(site):
        raise Refused({"screened_on": [_("The day of screening is in the future.")]})
    with acting(by):
        site = Site.objects.select_for_update().get(pk=site.pk)
        refuse_when_halted(Blocked.ENROL)
        version = VersionApproval.objects.in_force(site, screened_on)
        sequence = (site.patients.aggregate(last=Max("sequence"))["last"] or 0) + 1
        patient = Patient.objects.create(
            site=site,
            sequence=sequence,
            number=f"{site.code}-{sequence:03d}",
            sex=sex,
            birth_date=birth_date,
            screened_on=screened_on,
            protocol_version=version,
        )
        _announce("AFTER_SCREENING", patient=patient, by=by)
    return patient


def correct_person(*, patient, birth_date, sex=None, version, reason, by):
    """Put a wrongly typed date of birth or sex right. Who was found eligible is assessed again before randomisation;
    panels that nobody entered yet follow the sex. What was entered stays, and so does the stratum of a randomisation."""
    if not reason.strip():
        raise Refused({"reason": [_("Write why the entry is changed.")]})
    with acting(by, reason):
        patient = lock_open_patient(patient, version)
        if birth_date > patient.screened_on:
            raise Refused({"birth_date": [_("The date of birth is after the day of screening.")]})
        moved = sex is not None and sex != patient.sex
        patient.birth_date, patient.sex = birth_date, sex or patient.sex
        _assess_again(patient)
        next_version(patient, "birth_date", "sex", "state")
        if moved:
            _announce("AFTER_SEX_CORRECTED", patient=patient, by=by)
        _announce("AFTER_CHANGE", record=patient, reason=reason, by=by)
    return patient


def _assess_again(patient):
    """What the assessment rests on was corrected: who is not randomised yet is assessed again."""
    if patient.state == State.ELIGIBLE:
        patient.state = State.SCREENING


def correct_consent(*, consent, signed_on, language, obtained_by, version, reason, by):
    """Put a wrongly typed consent right: its day, its language, who obtained it. The form stays, for the patient's
    protocol version may follow from it. Who was found eligible is assessed again when the day changes."""
    if not reason.strip():
        raise Refused({"reason": [_("Write why the entry is changed.")]})
    with acting(by, reason):
        patient = lock_open_patient(consent.patient)
        consent = Consent.objects.select_for_update(of=("self",)).get(pk=consent.pk)
        check_version(consent, version)
        form = next((f for f in consent.protocol.consent_forms if f.version == consent.form_version), None)
        approved_on = VersionApproval.objects.at(patient.site).get(consent.protocol_version)
        errors = _consent_errors(patient, form, consent.protocol_version, approved_on, signed_on)
        others = Consent.objects.filter(patient=patient, form_version=consent.form_version).exclude(pk=consent.pk)
        if others.filter(signed_on=signed_on).exists():
            errors["signed_on"] = [_("This consent is recorded already.")]
        if errors:
            raise Refused(errors)
        if signed_on != consent.signed_on and patient.state == State.ELIGIBLE:
            _assess_again(patient)
            next_version(patient, "state")
        consent.signed_on, consent.language, consent.obtained_by = signed_on, language, obtained_by
        next_version(consent, "signed_on", "language", "obtained_by")
        _announce("AFTER_CHANGE", record=consent, reason=reason, by=by)
    return consent


def _consent_errors(patient, form, version, approved_on, signed_on):
    """Why a form cannot have been signed on a day, by field."""
    errors = {}
    if form is not None and signed_on < form.dated:
        errors["signed_on"] = [
            _("Form %(form_version)s is dated %(dated)s: it cannot be signed before.")
            % {"form_version": form.version, "dated": form.dated}
        ]
    elif approved_on and signed_on < approved_on:
        words = _("Version %(version)s was approved at this site on %(approved_on)s, not before.")
        errors["signed_on"] = [words % {"version": version, "approved_on": approved_on}]
    if signed_on > today_at(patient.site):
        errors["signed_on"] = [_("The date is in the future.")]
    return errors


def record_consent(*, patient, form_version, language, signed_on, obtained_by, version, by):
    """Add a consent. Who consents again on a form of a later protocol version moves to that version: what was entered
    stays as it is, what is still planned follows."""
    with acting(by, because("consent %(form)s signed on %(day)s", form=form_version, day=signed_on)):
        patient = lock_open_patient(patient, version)
        offered = consent_forms_for(patient)
        form, version, approved_on = offered.get(form_version, (None, "", None))
        errors = _consent_errors(patient, form, version, approved_on, signed_on)
        if form is None:
            errors["form_version"] = [
                _("The protocol has no consent form %(form_version)s.") % {"form_version": form_version}
            ]
        if not patient.is_open:
            errors[""] = [
                _("The patient is not in screening or in the trial: %(state)s.")
                % {"state": patient.get_state_display()}
            ]
        if Consent.objects.filter(patient=patient, form_version=form_version, signed_on=signed_on).exists():
            errors["signed_on"] = [_("This consent is recorded already.")]
        if errors:
            raise Refused(errors)
        consent = Consent.objects.create(
            patient=patient,
            protocol_version=version,
            form_version=form_version,
            language=language,
            signed_on=signed_on,
            obtained_by=obtained_by,
        )
        if version == patient.protocol_version:
            next_version(patient)
        else:
            patient.protocol_version = version
            next_version(patient, "protocol_version")
            _announce("AFTER_AMENDMENT", patient=patient, on=signed_on, by=by)
    return consent


def consent_forms_for(patient):
    """The consent forms that the patient may sign, each with the protocol version to which it leads (the patient's own,
    or the newest later one that has the form) and the day from which the site may use that: by the form's version."""
    at_site, offered = VersionApproval.objects.at(patient.site), {}
    versions = [*at_site] if patient.protocol_version in at_site else [patient.protocol_version, *at_site]
    for version in versions[versions.index(patient.protocol_version) :]:
        offered |= {
            form.version: (form, version, at_site.get(version)) for form in trial.protocol(version).consent_forms
        }
    return offered


def next_version(record, *fields):
    record.version += 1
    record.save(update_fields=[*fields, "version"])


# --- histories and medication --------------------------------------------------------------------


def save_line(*, model, patient, values, line=None, version=None, reason="", confirmed=(), asked=None, by):
    """Add a line to a list of the patient (history, treatment, medication), or change one.

    What the edit checks of the floors above ask about it becomes a query, unless it is in `confirmed`: (check, field).
    Where a person can be asked, `asked` are the tokens of what was asked (trialsite.saving.Question); what is not among
    them raises Questions, and nothing is saved."""
    answers = {"confirmed": confirmed, "asked": asked}
    with acting(by, reason):
        patient = lock_open_patient(patient)
        refuse_before_consent(patient)
        if line is None:
            if model is HivHistory and HivHistory.objects.filter(patient=patient).exists():
                raise Refused(_("The HIV history was entered already; change that one."))
            _refuse_impossible_span(model, values)
            line = model.objects.create(patient=patient, protocol_version=patient.protocol_version, **values)
            _announce("AFTER_LINE_SAVED", line=line, **answers, by=by)
            return line
        line = model.objects.select_for_update().get(pk=line.pk, patient=patient)
        check_version(line, version)
        refuse_when_withdrawn(line)
        if not reason.strip():
            raise Refused({"reason": [_("Write why the entry is changed.")]})
        for name, value in values.items():
            setattr(line, name, value)
        _refuse_impossible_span(model, line.__dict__)
        next_version(line, *values)
        _announce("AFTER_LINE_SAVED", line=line, **answers, by=by)
        _announce("AFTER_CHANGE", record=line, reason=reason, by=by)
        return line


def refuse_before_consent(patient, day=None, field=""):
    """Raise Refused when the patient has not consented, or (at `field`) when `day` is before the first consent.
    Gives the day of that consent."""
    consent = Consent.objects.filter(patient=patient).order_by("signed_on").first()
    if consent is None:
        raise Refused(_("Nothing is entered before the consent is recorded."))
    if day is not None and day < consent.signed_on:
        raise Refused(
            {field: [_("The date is before the consent of %(signed_on)s.") % {"signed_on": consent.signed_on}]}
        )
    return consent.signed_on


def _refuse_impossible_span(model, values):
    if values.get("is_ongoing") and values.get("ended_on"):
        raise Refused({"ended_on": [_("An end date contradicts “ongoing”.")]})
    if values.get("is_ongoing") is False and not values.get("ended_on") and model is not HivHistory:
        raise Refused({"ended_on": [_("Write the end date, or say that it is ongoing.")]})
    start, end = values.get("started_on") or "", values.get("ended_on") or ""
    if start and end and end[: len(start)] < start[: len(end)]:
        raise Refused({"ended_on": [_("The end is before the start.")]})


def refuse_when_withdrawn(line):
    if getattr(line, "is_withdrawn", False):
        raise Refused(_("This was marked as entered in error, and stays as it is."))


def withdraw_line(*, line, version, reason, by):
    """Mark a line as entered in error. It stays in the history and no longer counts."""
    with acting(by, reason):
        lock_open_patient(line.patient)
        line = type(line).objects.select_for_update().get(pk=line.pk)
        check_version(line, version)
        refuse_when_withdrawn(line)
        line.is_withdrawn = True
        next_version(line, "is_withdrawn")
        _announce("AFTER_LINE_SAVED", line=line, by=by)
        _announce("AFTER_CHANGE", record=line, reason=reason, by=by)
    return line


# --- eligibility -----------------------------------------------------------------------------------


def facts_about(patient, on):
    """The facts that criteria may ask for, as of a day: age in years, whole months of treatment (at least)."""
    regimens = ArtRegimen.objects.filter(patient=patient, is_withdrawn=False).values_list("started_on", "is_ongoing")
    return eligibility.facts_of(birth_date=patient.birth_date, regimens=list(regimens), on=on)


def findings_about(patient, on):
    """What the rules say about each criterion on a day, from what was entered so far."""
    results = import_string(settings.SCREENING_EVIDENCE)(patient)
    return eligibility.assess(patient.protocol, sex=patient.sex, facts=facts_about(patient, on), results=results, on=on)


def overtaken_by(patient, assessment, answers):
    """What an assessment rested on and is otherwise by now, after corrections: `consent`, the day of the first consent
    when that is later than the assessment; `criteria`, (code, why) of those that the rules judge otherwise."""
    first = Consent.objects.filter(patient=patient).order_by("signed_on").first()
    late = first.signed_on if first and first.signed_on > assessment.assessed_on else None
    if assessment.protocol_version != patient.protocol_version:
        return {"consent": late, "criteria": []}
    then = {answer.criterion: answer.computed for answer in answers if answer.assessment_id == assessment.pk}
    now = findings_about(patient, assessment.assessed_on)
    return {"consent": late, "criteria": [
        (f.criterion.code, str(f.because)) for f in now
        if f.criterion.code in then and f.holds is not None and f.holds != then[f.criterion.code]
    ]}  # fmt: skip


def assess_eligibility(*, patient, assessed_on, answers, comments, version, by):
    """Record the answers to all criteria; the patient is then eligible, or stays in screening with what is unmet.

    `answers` says of each criterion whether its statement holds; `comments` explain an answer that differs from
    what the rule worked out."""
    with acting(by, because("eligibility assessed on %(day)s", day=assessed_on)):
        patient = lock_open_patient(patient, version)
        if patient.state not in (State.SCREENING, State.ELIGIBLE):
            raise Refused(
                _("Eligibility is assessed in screening; the patient is: %(state)s.")
                % {"state": patient.get_state_display()}
            )
        protocol = patient.protocol
        errors = {}
        if not Consent.objects.filter(patient=patient, signed_on__lte=assessed_on).exists():
            errors[""] = [_("There is no consent signed on or before this day.")]
        if not patient.screened_on <= assessed_on <= today_at(patient.site):
            errors["assessed_on"] = [_("The day must lie between screening and today.")]
        findings = findings_about(patient, assessed_on)
        for finding in findings:
            code = finding.criterion.code
            if answers.get(code) is None:
                errors[f"holds_{code}"] = [_("Answer this criterion.")]
            elif finding.holds is not None and answers[code] != finding.holds and not comments.get(code, "").strip():
                errors[f"comment_{code}"] = [_("The results say otherwise; write why you differ.")]
        if errors:
            raise Refused(errors)
        unmet = eligibility.unmet_criteria(protocol, sex=patient.sex, answers=answers)
        assessment = EligibilityAssessment.objects.create(
            patient=patient,
            assessed_on=assessed_on,
            protocol_version=protocol.version,
            is_eligible=not unmet,
            unmet=[criterion.code for criterion in unmet],
        )
        CriterionAnswer.objects.bulk_create(
            CriterionAnswer(
                patient=patient,
                assessment=assessment,
                criterion=finding.criterion.code,
                holds=answers[finding.criterion.code],
                computed=finding.holds,
                because=for_the_record(finding.because, protocol_of=patient),
                because_told=finding.because.stored(),
                evidence=[
                    {"test": e.test, "value": f"{e.operator}{e.value if e.value is not None else e.text}",
                     "on": e.collected_on.isoformat(), "source": e.source}
                    for e in finding.evidence
                ],
                comment=comments.get(finding.criterion.code, ""),
            )
            for finding in findings
        )  # fmt: skip
        patient.state = State.SCREENING if unmet else State.ELIGIBLE
        next_version(patient, "state")
    return assessment


# --- the randomisation list -------------------------------------------------------------------------


def make_allocation_list(*, slots_per_stratum, seed, by):
    """Make places for every stratum that has none yet. The seed is recorded; the same seed makes the same list."""
    protocol = trial.current_protocol()
    if protocol.allocation.method != "permuted_blocks":
        raise Refused(_("This protocol's list is made elsewhere; import it."))
    with acting(by, because("randomisation list made")):
        strata = _strata_without_slots(protocol)
        slots = randomisation.make_list(protocol, strata, slots_per_stratum, seed)
        return _store_list(protocol, slots, algorithm=randomisation.ALGORITHM, seed=seed, by=by)


def import_allocation_list(*, text, by):
    """Take over a list that was made elsewhere. Raises BadList with every bad cell."""
    protocol = trial.current_protocol()
    with acting(by, because("randomisation list imported")):
        slots = randomisation.from_csv(text, protocol, _strata_without_slots(protocol))
        return _store_list(protocol, slots, algorithm="imported", seed="", by=by)


def _strata_without_slots(protocol):
    wanted = randomisation.strata(protocol, Site.objects.order_by("code").values_list("code", flat=True))
    there = set(AllocationSlot.objects.values_list("stratum", flat=True).distinct())
    missing = [stratum for stratum in wanted if stratum not in there]
    if not missing:
        raise Refused(_("Every stratum has its places already; a list is never made twice."))
    return missing


def _store_list(protocol, slots, *, algorithm, seed, by):
    made = AllocationList.objects.create(
        protocol_version=protocol.version,
        algorithm=algorithm,
        seed=seed,
        sha256=randomisation.digest(slots),
        made_by=by,
    )
    AllocationSlot.objects.bulk_create(
        AllocationSlot(
            allocation_list=made,
            stratum=slot.stratum,
            sequence=slot.sequence,
            block=slot.block,
            block_size=slot.block_size,
            arm=slot.arm,
        )
        for slot in slots
    )
    return made


# --- randomisation ------------------------------------------------------------------------------------


def randomise_patient(*, patient, day_0, version, by):
    """Take the next place of the patient's stratum and plan the visits from day 0.

    The place is taken last: who comes at the same time waits a few milliseconds at a lock on the first list and
    then sees which places are gone, so that places go out one after another and none twice."""
    with acting(by, because("randomised, day 0 planned for %(day)s", day=day_0)):
        patient = lock_open_patient(patient, version)
        if patient.state != State.ELIGIBLE:
            raise Refused(
                _("Only an eligible patient is randomised; this one is: %(state)s.")
                % {"state": patient.get_state_display()}
            )
        today = today_at(patient.site)
        refuse_when_waiting(Blocked.RANDOMISE, patient=patient, on=today)
        refuse_when_halted(Blocked.RANDOMISE, patient=patient)
        earliest = patient.assessed_on or patient.screened_on
        if not earliest <= day_0 <= today + timedelta(days=14):
            raise Refused(
                {
                    "day_0": [
                        _("Day 0 must lie between the assessment of %(earliest)s and 14 days from now.")
                        % {"earliest": earliest}
                    ]
                }
            )
        stratum = _stratum_of(patient, day_0)
        patient.state, patient.day_0 = State.RANDOMISED, day_0
        next_version(patient, "state", "day_0")
        _announce("AFTER_RANDOMISATION", patient=patient, by=by)
        _take_next_slot(patient, stratum, by)
    return patient


def _stratum_of(patient, on):
    protocol = patient.protocol
    results = {}
    if any(factor.by == "test" for factor in protocol.allocation.strata):
        known = import_string(settings.SCREENING_EVIDENCE)(patient)
        for test, evidence in known.items():
            newest = max((e for e in evidence if e.collected_on <= on), key=lambda e: e.collected_on, default=None)
            if newest and newest.value is not None and not newest.operator:
                results[test] = newest.value
    try:
        return randomisation.stratum_of(protocol, site=patient.site.code, sex=patient.sex, results=results)
    except randomisation.NoStratum as lack:
        raise Refused(_("The stratum cannot be told: %(missing)s") % {"missing": " ".join(lack.missing)}) from None


def _take_next_slot(patient, stratum, by):
    with connection.cursor() as cursor:
        cursor.execute(
            "select set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true)",
            [TURNSTILE_PATIENCE, TURNSTILE_PATIENCE],
        )
    AllocationList.objects.select_for_update().order_by("pk").first()
    slot = AllocationSlot.objects.filter(stratum=stratum, patient=None).order_by("sequence").first()
    if slot is None:
        raise Refused(
            _("No place is left for stratum %(stratum)s; the statistician must add to the list.") % {"stratum": stratum}
        )
    slot.patient, slot.taken_at, slot.taken_by = patient, timezone.now(), by
    slot.save(update_fields=["patient", "taken_at", "taken_by"])


def set_day_0(*, patient, day_0, reason, by):
    """Move day 0 to the day on which the first infusion was really given."""
    with acting(by, reason):
        patient = lock_open_patient(patient)
        if patient.day_0 != day_0:
            patient.day_0 = day_0
            next_version(patient, "day_0")
    return patient


# --- emergency unmasking ----------------------------------------------------------------------------------

UNMASKING_NOTICE = "patients.tasks.send_unmasking_notice"


def unmask_patient(*, patient, category, explanation, by):
    """Write down that `by` is told the arm of one patient, and why; the sponsor is told that, not the arm. Raises Refused.

    Call it after `confirm_signer`; `patients.arms.arm_told_by` then tells the arm. It waits for no lock of ours and asks
    for no hold: in an emergency nothing may stand in the way."""
    if not trial.current_protocol().is_masked:
        raise Refused(_("This trial is open: nothing is masked."))
    if not AllocationSlot.objects.filter(patient=patient).exists():
        raise Refused(_("The patient is not randomised: there is no arm to tell."))
    if not explanation.strip():
        raise Refused({"explanation": [_("Write why the arm must be known.")]})
    with acting(by):
        unmasking = Unmasking.objects.create(
            patient=patient,
            category=category,
            explanation=explanation,
            unmasked_by=by,
            is_again=Unmasking.objects.filter(patient=patient, unmasked_by=by).exists(),
        )
        ask_for(UNMASKING_NOTICE, unmasking_id=unmasking.pk)
    return unmasking


# --- the end of a patient's way -------------------------------------------------------------------------


def record_disposition(*, patient, state, on, explanation="", version, by):
    """Record that screening failed, or that the patient completed, withdrew, was lost or died."""
    with acting(by, because("end of participation on %(day)s", day=on)):
        patient = lock_open_patient(patient, version)
        errors = {}
        if state not in TRANSITIONS[State(patient.state)] or state in (State.ELIGIBLE, State.SCREENING):
            errors["state"] = [
                _("This cannot follow: the patient is %(state)s.") % {"state": patient.get_state_display()}
            ]
        if not patient.screened_on <= on <= today_at(patient.site):
            errors["on"] = [_("The date must lie between screening and today.")]
        if state == State.SCREEN_FAILED and not explanation.strip():
            assessment = EligibilityAssessment.objects.filter(patient=patient).last()
            if assessment is None or assessment.is_eligible:
                errors["explanation"] = [_("Write why screening failed.")]
            else:
                explanation = because("Criteria: %(criteria)s", criteria=", ".join(assessment.unmet))
        if state in (State.WITHDRAWN, State.DIED) and not explanation.strip():
            errors["explanation"] = [_("Write the reason or the cause.")]
        if errors:
            raise Refused(errors)
        disposition = Disposition.objects.create(
            patient=patient, protocol_version=patient.protocol_version, state=state, on=on, explanation=explanation
        )
        patient.state = state
        next_version(patient, "state")
        _announce("AFTER_DISPOSITION", disposition=disposition, by=by)
    return disposition


# --- halts -------------------------------------------------------------------------------------------------


def open_halt(*, scope, blocks, cause, patient=None, arm="", rule="", by):
    """Hold the trial, an arm or a patient until a decision lifts it. A halt that a stopping rule opens has a `Sentence`
    as its cause and, unless that could tell an arm, the code of the `rule`."""
    if (scope == Scope.PATIENT) != (patient is not None):
        raise Refused({"patient": [_("Name the patient exactly when one patient is held.")]})
    if (scope == Scope.ARM) != bool(arm):
        raise Refused({"arm": [_("Name the arm exactly when one arm is held.")]})
    if not blocks:
        raise Refused({"blocks": [_("Say what is blocked.")]})
    protocol = trial.current_protocol()
    told = cause.stored() if isinstance(cause, Sentence) else {}
    words = for_the_record(cause, protocol_of=Halt(protocol_version=protocol.version)) if told else cause
    with acting(by, "" if told else words):  # a rule's halt keeps the reason of the watch: who saved what met it
        hold_halts()
        return Halt.objects.create(
            scope=scope, patient=patient, arm=arm, blocks=list(blocks), cause=words, cause_told=told, rule=rule,
            protocol_version=protocol.version, opened_by=by,
        )  # fmt: skip


def lift_halt(*, halt, decision, by):
    """End a halt. `decision` names the recommendation of the safety board that does it (safety.actions.board)."""
    if not decision.strip():
        raise Refused({"decision": [_("Write the decision that lifts the halt.")]})
    with acting(by, decision):
        _pass_halt_gate(shared=False)
        halt = Halt.objects.select_for_update().get(pk=halt.pk)
        if halt.lifted_at:
            raise Refused(_("The halt was lifted already."))
        halt.lifted_at, halt.lifted_by, halt.decision = timezone.now(), by, decision
        next_version(halt, "lifted_at", "lifted_by", "decision")
    return halt


def refuse_when_halted(what, *, patient=None, arm=None, at=None):
    """Raise Refused when an open halt blocks this, by default now; `at` asks about an instant in the past.

    No halt can open between this look and the end of the transaction."""
    _pass_halt_gate(shared=True)
    blocking = Halt.objects.blocking(what, patient=patient, arm=arm)
    halt = blocking.filter(opened_at__lte=at or timezone.now()).first()
    if halt is None:
        return
    cause = halt.reason
    if halt.scope == Scope.ARM and arm is None and trial.current_protocol().is_masked:
        cause = _("the safety board decides.")  # that an arm is held, and why, is not for masked eyes
    raise Refused(
        _("Held since %(opened_at)s: %(cause)s") % {"opened_at": f"{halt.opened_at:%Y-%m-%d}", "cause": cause}
    )


def refuse_when_waiting(what, *, patient, on):
    """Raise Refused when the first patients are treated one after another and this one's turn has not come on this day.
    Asked before the halts."""
    reasons = [
        str(reason)
        for name in settings.BEFORE_TREATMENT
        for reason in import_string(name)(what=what, patient=patient, on=on)
    ]
    if reasons:
        raise Refused({"": reasons})


def hold_halts():
    """From here to the end of the transaction nobody else opens or lifts a halt, nor does what a halt would block."""
    _pass_halt_gate(shared=False)


def _pass_halt_gate(*, shared):
    """Who acts under the halts shares this gate; who opens or lifts one waits until they are through."""
    with connection.cursor() as cursor:
        cursor.execute(f"select pg_advisory_xact_lock{'_shared' if shared else ''}(%s)", [HALT_GATE])
