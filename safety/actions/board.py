"""Reports released to the safety board, what it recommends, and what follows from that."""

import hashlib
import json
from datetime import timedelta

from django.core.exceptions import PermissionDenied
from django.utils import timezone
from django.utils.translation import gettext as _

from patients.actions import hold_halts, lift_halt, next_version, open_halt
from patients.models import Blocked, Halt, Scope
from safety.board_notices import RECEIVERS, tell_of_draft, tell_of_effect, tell_of_release
from safety.models import (
    HALTING,
    Acknowledgement,
    ActionItem,
    BoardSignature,
    ClosedMinutes,
    Decision,
    DsmbReport,
    LiftedHalt,
    ReadingReceipt,
    Recommendation,
    Release,
)
from safety.signing import board_members, signatures_in_force
from safety.stopping.notice import tell_of_lifting
from trialsite import trial
from trialsite.audit import acting
from trialsite.models import JobState
from trialsite.reasons import because
from trialsite.roles import Permission, can, require
from trialsite.saving import Refused, check_version
from trialsite.words import for_the_record

# --- reports ------------------------------------------------------------------------------------------


def release_report(*, report, note="", version, by):
    """Hand a finished report to the board. A release is not taken back: the board may have read it."""
    require(by, Permission.RELEASE_REPORTS)
    with acting(by, because("released to the board")):
        report = DsmbReport.objects.select_for_update().get(pk=report.pk)
        check_version(report, version)
        if report.state != JobState.DONE:
            raise Refused(_("Only a report that is made can be released."))
        if Release.objects.filter(report=report).exists():
            raise Refused(_("The report was released already."))
        release = Release.objects.create(report=report, note=note, released_by=by)
        tell_of_release(report)
    return release


def confirm_reading(*, report, part, by):
    """A member of the board says that the part was read. Saying it again changes nothing."""
    require(by, Permission.RECORD_DECISIONS)
    with acting(by):
        report = DsmbReport.objects.select_for_update().get(pk=report.pk)
        if not Release.objects.filter(report=report).exists():
            raise Refused(_("The report is not released yet."))
        receipt, _made = ReadingReceipt.objects.get_or_create(report=report, part=part, read_by=by)
    return receipt


# --- recommendations ----------------------------------------------------------------------------------


def record_recommendation(
    *, met_on, decision, rationale, conditions="", blocks=(), lifts=(), minutes="", action_items=(), report=None, by
):
    """Write down what the board recommends; it takes effect when it is signed (`sign_recommendation`).

    `lifts` are the halts that it ends, when the trial goes on; `blocks` is what a suspension stops. `action_items` are
    (text, responsible, due on). Raises Refused with what contradicts itself."""
    require(by, Permission.RECORD_DECISIONS)
    lifts, blocks = list(lifts), list(blocks)
    if decision == Decision.TERMINATE:
        blocks = list(Blocked.values)
    _refuse_contradictions(met_on, decision, rationale, conditions, blocks, lifts, report)
    with acting(by):
        recommendation = Recommendation.objects.create(
            report=report, met_on=met_on, decision=decision, rationale=rationale, conditions=conditions, blocks=blocks,
            recorded_by=by,
        )  # fmt: skip
        LiftedHalt.objects.bulk_create(LiftedHalt(recommendation=recommendation, halt=halt) for halt in lifts)
        ActionItem.objects.bulk_create(
            ActionItem(recommendation=recommendation, text=text, responsible=responsible, due_on=due_on)
            for text, responsible, due_on in action_items
        )
        if minutes.strip():
            ClosedMinutes.objects.create(recommendation=recommendation, text=minutes)
        tell_of_draft(recommendation, by)
    return recommendation


def _refuse_contradictions(met_on, decision, rationale, conditions, blocks, lifts, report):
    errors = {}
    if met_on > timezone.now().date() + timedelta(days=1):
        errors["met_on"] = [_("The date is in the future.")]
    if not rationale.strip():
        errors["rationale"] = [_("Write on which grounds the board recommends this.")]
    if decision in (Decision.MODIFY, Decision.SUSPEND) and not conditions.strip():
        errors["conditions"] = [_("Write what is to be changed, or met before the trial goes on.")]
    if decision == Decision.SUSPEND and not blocks:
        errors["blocks"] = [_("Say what is suspended.")]
    if decision not in HALTING and blocks:
        errors["blocks"] = [_("A trial that goes on has nothing suspended.")]
    if decision in HALTING and lifts:
        errors["lifts"] = [_("A trial that does not go on has no halt lifted.")]
    if any(halt.lifted_at for halt in lifts):
        errors["lifts"] = [_("One of these halts was lifted already. Open the form again.")]
    latest_known = met_on + timedelta(days=1)  # wherever the board met, by whichever clock
    if any(latest_known < halt.opened_at.date() for halt in lifts):
        errors["lifts"] = [_("One of these halts was opened after the day of the meeting.")]
    release = report and Release.objects.filter(report=report).first()
    if report is not None and release is None:
        errors["report"] = [_("The report is not released yet.")]
    elif release and latest_known < release.released_at.date():
        errors["report"] = [_("The report was released after the day of the meeting.")]
    if errors:
        raise Refused(errors)


def withdraw_recommendation(*, recommendation, version, reason, by):
    """Mark a recommendation that is not in effect as recorded in error. Its signatures end with it."""
    require(by, Permission.RECORD_DECISIONS)
    if not reason.strip():
        raise Refused({"reason": [_("Write why the recommendation is withdrawn.")]})
    with acting(by, reason):
        recommendation = _lock(recommendation, version)
        if recommendation.effective_at:
            raise Refused(_("It is in effect. Record another recommendation instead."))
        recommendation.is_withdrawn = True
        next_version(recommendation, "is_withdrawn")
    return recommendation


def sign_recommendation(*, recommendation, version, by):
    """Sign as a member of the board. Who signs was asked for the password before: that is the page's business.

    With the last signature that the protocol asks for it takes effect: its halts are lifted, or the trial is halted.
    Signatures of an earlier version, and of those who have left the board, do not count."""
    require(by, Permission.RECORD_DECISIONS)
    with acting(by, because("signed")):
        hold_halts()  # nothing more meets a rule from here on
        recommendation = _lock(recommendation, version)
        if recommendation.effective_at:
            raise Refused(_("It is in effect already."))
        signers = signatures_in_force([recommendation], board_members()).get(recommendation.pk, set())
        if by.pk in signers:
            raise Refused(_("You have signed this already."))
        BoardSignature.objects.create(
            recommendation=recommendation, signed_by=by, printed_name=by.full_name, meaning=BoardSignature.MEANING,
            record_version=recommendation.version, digest=digest_of(recommendation),
        )  # fmt: skip
        if len(signers) + 1 >= trial.current_protocol().trial.board_signatures:
            _put_into_effect(recommendation, by)
    return recommendation


def _put_into_effect(recommendation, by):
    words = because(
        "Recommendation %(number)s of the safety board, %(day)s: %(decision)s.",
        number=recommendation.pk, day=recommendation.met_on, decision=for_the_record(Decision(recommendation.decision).label),
    )  # fmt: skip
    for halt in Halt.objects.filter(recommendations__recommendation=recommendation, lifted_at=None).order_by("pk"):
        tell_of_lifting(lift_halt(halt=halt, decision=words, by=by))
    if recommendation.decision in HALTING:
        open_halt(scope=Scope.TRIAL, blocks=recommendation.blocks, cause=words, by=by)
    recommendation.effective_at = timezone.now()
    next_version(recommendation, "effective_at")
    tell_of_effect(recommendation)


def digest_of(recommendation):
    """SHA-256 over all that a member signs, the minutes of the closed session and what met the rules of the halts that it
    lifts included."""
    minutes = ClosedMinutes.objects.filter(recommendation=recommendation).values_list("text", flat=True).first()
    content = {
        "recommendation": recommendation.pk,
        "report": recommendation.report_id,
        "met_on": recommendation.met_on.isoformat(),
        "decision": recommendation.decision,
        "rationale": recommendation.rationale,
        "conditions": recommendation.conditions,
        "blocks": recommendation.blocks,
        "lifts": [
            [halt.pk, [crossing.pk for crossing in halt.crossings.order_by("pk")]]
            for halt in Halt.objects.filter(recommendations__recommendation=recommendation).order_by("pk")
        ],
        "action_items": [
            [item.text, item.responsible, item.due_on.isoformat() if item.due_on else None]
            for item in recommendation.action_items.order_by("pk")
        ],
        "minutes": minutes or "",
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def look_again(halt):
    """Something more met the rule of this halt: who has signed, or is about to sign, that it is lifted, looks again."""
    waiting = Recommendation.objects.filter(lifted__halt=halt, effective_at=None, is_withdrawn=False)
    for recommendation in waiting.select_for_update():
        next_version(recommendation)


def _lock(recommendation, version):
    recommendation = Recommendation.objects.select_for_update().get(pk=recommendation.pk)
    check_version(recommendation, version)
    if recommendation.is_withdrawn:
        raise Refused(_("It was withdrawn."))
    return recommendation


# --- what becomes of it -------------------------------------------------------------------------------


def acknowledge_recommendation(*, recommendation, by):
    """Sponsor or investigator has received it. Saying it again changes nothing."""
    if not any(can(by, permission) for permission in RECEIVERS):
        raise PermissionDenied("receive recommendations")
    with acting(by):
        recommendation = Recommendation.objects.select_for_update().get(pk=recommendation.pk)
        if not recommendation.effective_at:
            raise Refused(_("It is not in effect yet."))
        acknowledgement, _made = Acknowledgement.objects.get_or_create(recommendation=recommendation, by=by)
    return acknowledgement


def resolve_action_item(*, item, resolution, version, by):
    """Write how an action item was resolved."""
    require(by, Permission.JUDGE_SERIOUS_EVENTS)
    if not resolution.strip():
        raise Refused({"resolution": [_("Write how it was resolved.")]})
    with acting(by, resolution):
        item = ActionItem.objects.select_for_update().get(pk=item.pk)
        check_version(item, version)
        if item.resolved_at:
            raise Refused(_("It was resolved already."))
        item.resolution, item.resolved_by, item.resolved_at = resolution, by, timezone.now()
        next_version(item, "resolution", "resolved_by", "resolved_at")
    return item
