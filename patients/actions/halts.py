"""Halts, and the gate at which who acts under them and who opens or lifts one wait for each other."""

from django.conf import settings
from django.db import connection
from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from patients.actions.records import next_version
from patients.models import Halt, Scope
from trialsite import trial
from trialsite.audit import acting
from trialsite.saving import Refused
from trialsite.words import Sentence, for_the_record

# any number; it names the advisory lock of the halts
HALT_GATE = 1213186


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
    is_masked = halt.scope == Scope.ARM and arm is None and trial.current_protocol().is_masked
    # that an arm is held, and why, is not for masked eyes
    raise Refused(held_since(halt, cause=_("the safety board decides.") if is_masked else halt.reason))


def held_since(halt, cause=None):
    """The sentence about a halt that holds something up."""
    about = {"opened_at": f"{halt.opened_at:%Y-%m-%d}", "cause": cause or halt.reason}
    return _("Held since %(opened_at)s: %(cause)s") % about


def refuse_when_waiting(what, *, patient, on):
    """Raise Refused when the first patients are treated one after another and this one's turn has not come on this day.
    Asked before the halts."""
    if reasons := reasons_to_wait(what, patient=patient, on=on, is_final=True):
        raise Refused({"": reasons})


def reasons_to_wait(what, *, patient, on, is_final=False):
    """The same as sentences. Only what is `is_final` holds the gate of the halts; a page that is filled in does not."""
    return waiting_among(what, {patient: on}, is_final=is_final).get(patient.pk, [])


def waiting_among(what, days, *, is_final=False):
    """Why patients who were not treated yet must wait, {patient.pk: sentences}, each on the day that `days` names."""
    found = {}
    for name in settings.BEFORE_TREATMENT:
        for pk, reasons in import_string(name)(what=what, days=days, is_final=is_final).items():
            found.setdefault(pk, []).extend(map(str, reasons))
    return found


def hold_halts():
    """From here to the end of the transaction nobody else opens or lifts a halt, nor does what a halt would block."""
    _pass_halt_gate(shared=False)


def _pass_halt_gate(*, shared):
    """Who acts under the halts shares this gate; who opens or lifts one waits until they are through."""
    with connection.cursor() as cursor:
        cursor.execute(f"select pg_advisory_xact_lock{'_shared' if shared else ''}(%s)", [HALT_GATE])
