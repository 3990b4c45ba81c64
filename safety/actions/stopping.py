"""The watch: stopping rules are evaluated inside the transaction that saves what may meet them, and open halts by
themselves. One evaluation at a time: whoever evaluates holds the gate of the halts until the end of the transaction,
so that two events saved at once are counted together by the second, and nobody randomises or infuses in between."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from patients.actions import hold_halts, open_halt
from patients.models import Blocked, Halt, Patient, Scope, State
from safety.actions.board import look_again
from safety.models import AdverseEvent, Crossing
from safety.stopping.evaluation import may_count
from safety.stopping.facts import event_of_death, event_of_reaction, known_of, states_now
from safety.stopping.notice import tell_of_halt, tell_of_more
from safety.stopping.standing import is_new
from trialsite import trial
from trialsite.audit import acting
from trialsite.models import User
from trialsite.protocol.stopping import AnyEventRule
from trialsite.reasons import because
from trialsite.saving import tell_whoever_saves
from trialsite.words import Name, Sentence

MET = gettext_noop("%(rule)s: %(events)s of %(patients)s treated patients; the rule stops at %(least)s.")
MET_BY_ONE = gettext_noop("Stopping rule: %(rule)s.")
# all that is told while the trial is masked, whichever rule it was: its name could tell an arm
MET_MASKED = gettext_noop("A stopping rule of the protocol was met. The safety board decides.")


def watch_events(*, events, by):
    """After adverse events were reported, changed or coded, judged by the sponsor, or told to belong to a reaction."""
    if _may_matter(known_of([event for event in events if not event.is_withdrawn])):
        watch_rules(by=by)


def watch_after_infusion(*, infusion, by):
    """After an infusion was recorded: its reactions count, and so do earlier entered events of a patient who is only now
    known to be treated."""
    reactions = infusion.reactions.filter(is_withdrawn=False).select_related("patient__site")
    watch_after_treatment(patient=infusion.patient_id, more=map(event_of_reaction, reactions), by=by)


def watch_after_treatment(*, patient, more=(), by):
    """After it became known that the patient is treated: the events entered earlier count now, and `more`."""
    events = AdverseEvent.objects.filter(patient=patient, is_withdrawn=False)
    if _may_matter([*more, *known_of(list(events))]):
        watch_rules(by=by)


def watch_after_disposition(*, disposition, by):
    if disposition.state == State.DIED and _may_matter([event_of_death(disposition.patient_id, disposition.on)]):
        watch_rules(by=by)


def _may_matter(events):
    protocol = trial.current_protocol()
    interest = protocol.events_of_interest
    return any(may_count(rule.counts, event, interest) for rule in protocol.stopping_rules for event in events)


def watch_rules(*, by):
    """Evaluate every stopping rule and open the halts of those that are met by something new. Gives the halts opened.

    `by` saved what is evaluated, and is told of the halts, by mail too; they are opened by the system."""
    with acting(by):
        hold_halts()
        met = [(state, target) for state in states_now() if state.is_met for target in state.targets]
        if not met:
            return []
        known = {}
        for crossing in Crossing.objects.select_related("halt").order_by("id"):
            known.setdefault((crossing.rule, *crossing.known.target), []).append(crossing)
        system = User.objects.system()
        with acting(system, because("a stopping rule is met by what %(name)s saved", name=by.full_name)):
            opened = [
                _answer(state, target, known.get((state.rule.code, *target), ()), system, saved_by=by)
                for state, target in met
            ]
    opened = [halt for halt in opened if halt]
    for halt in (
        Halt.objects.visible_to(by).filter(pk__in=[halt.pk for halt in opened]).order_by("pk") if opened else ()
    ):
        tell_whoever_saves(_("A halt is open now: %(what)s. %(why)s") % {"what": halt.what, "why": halt.reason})
    return opened


def _answer(state, target, crossings, by, *, saved_by):
    """Note that the rule is met by something that no crossing has yet, and open a halt unless one is in force."""
    if not is_new(state, [crossing.known for crossing in crossings]):
        return None
    in_force = next((crossing.halt for crossing in crossings if crossing.halt.lifted_at is None), None)
    halt = in_force or _open(state, target, by)
    crossing = Crossing.objects.create(
        halt=halt, rule=state.rule.code, protocol_version=trial.current_protocol().version, patients=state.met_at.n,
        events=state.met_at.y, least=state.least, counted=sorted(state.met_at.counted),
        who=[{"number": number, "events": events} for number, events in state.who],
    )  # fmt: skip
    if in_force is None:
        tell_of_halt(halt, saved_by)
        return halt
    look_again(halt)
    tell_of_more(halt, crossing, saved_by)
    return None


def _open(state, target, by):
    scope, patient, arm = target
    rule, masked = state.rule, trial.current_protocol().is_masked
    return open_halt(
        scope=Scope(scope), patient=patient and Patient.objects.get(pk=patient), arm=arm, blocks=[Blocked(what) for what in rule.blocks], cause=_cause(state, masked),
        rule="" if masked else rule.code, by=by,
    )  # fmt: skip


def _cause(state, masked):
    rule = state.rule
    if masked:
        return Sentence(MET_MASKED)
    name = Name("stopping_rule", rule.code, rule.name)
    if isinstance(rule, AnyEventRule):
        return Sentence(MET_BY_ONE, {"rule": name})
    counts = {"events": state.met_at.y, "patients": state.met_at.n, "least": state.least}
    return Sentence(MET, {"rule": name, **counts})
