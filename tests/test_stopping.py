"""Halts that open by themselves: when the record meets a stopping rule of the protocol, once, with all who must know."""

import re
from datetime import timedelta
from functools import partial
from html import unescape
from types import SimpleNamespace

import pytest
from django.urls import reverse

from patients import demo as patient_steps
from patients.models import AllocationSlot, Halt, Scope
from safety import actions
from safety.coding.rules import Kind
from safety.models import Crossing, Decision, DictionaryTerm
from safety.stopping import facts, notice
from tests.dsmb_data import in_force
from tests.universe import PASSWORD, send
from trialsite import trial
from trialsite.audit import acting
from trialsite.clock import day_at, today_at
from trialsite.models import AuditEvent, Email, OutboxMessage, User
from trialsite.protocol.stopping import AnyEventRule, EventSelector
from trialsite.saving import Refused, Stale
from visits import actions as visit_actions
from visits import demo as visit_steps
from visits.models import Reaction

SEVERE = {"grade": 3, "relationship": "probable"}


@pytest.fixture(scope="module")
def treated(world):
    """Patients with one infusion on a day that is past, by arm: enough of each for every rule."""
    patients = {"MSC": [], "SALINE": []}
    while min(map(len, patients.values())) < 2 or len(patients["MSC"]) < 3:
        patient = infused(world)
        patients[AllocationSlot.objects.get(patient=patient).arm].append(patient)
    return patients


def infused(universe):
    patient = universe.randomised(day_0=today_at(universe.site) - timedelta(days=3))
    visit_steps.give_infusion(patient=patient, by=universe.chen, pharmacist=universe.zhao)
    return patient_steps.fresh(patient)


def event(universe, patient, days=1, **about):
    began_on = patient.day_0 + timedelta(days=days)
    return universe.event(patient, began_on=began_on, **{**SEVERE, **about})


def serious(universe, patient, **about):
    return event(universe, patient, is_serious=True, is_important=True, narrative="Told at length.", **about)


def opened():
    """(rule, scope) of the halts in force."""
    return sorted(Halt.objects.open().values_list("rule", "scope"))


@pytest.mark.requirement("R57")
def test_the_second_severe_event_of_treated_patients_halts_the_trial_by_itself(unchanged, treated):
    first, second, third = treated["MSC"][:3]
    event(unchanged, first)
    # of the first patient nothing more is infused, and nobody else is held
    assert opened() == [("PATIENT_G3", "patient")]
    event(unchanged, second)
    halts = {halt.rule: halt for halt in Halt.objects.open()}
    assert set(halts) == {"PATIENT_G3", "RELATED_G3", "SENTINEL"}
    halt = halts["RELATED_G3"]
    assert (halt.scope, halt.blocks, halt.opened_by) == (Scope.TRIAL, ["randomise", "infuse"], User.objects.system())
    treated_so_far = len(treated["MSC"])
    assert halt.cause.endswith(f": 2 of {treated_so_far} treated patients; the rule stops at 2.")
    assert halt.cause == halt.reason
    crossing = Crossing.objects.get(halt=halt)
    assert (crossing.events, crossing.patients, crossing.least) == (2, treated_so_far, 2)
    assert crossing.who == [{"number": first.number, "events": [1]}, {"number": second.number, "events": [1]}]
    by_whom = AuditEvent.objects.filter(table="patients_halt", record_id=halt.pk).get()
    assert by_whom.by_id == halt.opened_by_id and unchanged.chen.full_name in by_whom.reason
    with pytest.raises(Refused, match="treated patients; the rule stops at"):
        patient_steps.randomise(patient=unchanged.eligible(), by=unchanged.chen)
    later = visit_steps.visit_of(third, "W4")
    with pytest.raises(Refused, match="Held since"):
        visit_steps.prepare(patient=third, visit=later, number=2, by=unchanged.zhao)


def test_events_of_the_other_arm_mild_and_unrelated_ones_and_those_before_treatment_halt_nothing(unchanged, treated):
    first, second = treated["MSC"][:2]
    for patient in treated["SALINE"][:2]:
        event(unchanged, patient)
    for patient in (first, second):
        event(unchanged, patient, grade=2)
        event(unchanged, patient, relationship="unlikely")
        event(unchanged, patient, days=-1)
        event(unchanged, patient, days=-2)
    assert {rule for rule, _scope in opened()} == {"PATIENT_G3"}
    assert Halt.objects.filter(patient__in=treated["SALINE"]).count() == 2 == Halt.objects.count()


def test_an_event_that_is_made_severe_later_counts_as_one_that_was_reported_so(unchanged, treated):
    patient = treated["MSC"][0]
    mild = event(unchanged, patient, grade=1)
    assert opened() == []
    changed = {"grade": 4}
    actions.change_adverse_event(event=mild, values=changed, version=1, reason="worse", by=unchanged.chen)
    assert opened() == [("PATIENT_G3", "patient")]


def test_a_serious_related_event_halts_the_trial_at_once(unchanged, treated):
    serious(unchanged, treated["SALINE"][0], grade=2)
    assert opened() == [("SERIOUS_REACTION", "trial")]
    assert Halt.objects.get().reason.startswith("Stopping rule: A serious related adverse event within 7 days")


def test_what_the_sponsor_cannot_exclude_halts_the_trial_when_it_is_judged(unchanged, treated):
    told = serious(unchanged, treated["SALINE"][0], grade=2, relationship="not_related")
    assert opened() == []
    judged = {"causality": "suspected", "expectedness": "unexpected", "comment": "close in time", "version": None}
    actions.judge_case(case=told.case, **{**judged, "causality": "excluded"}, by=unchanged.samuel)
    assert opened() == []
    actions.judge_case(case=told.case, **judged, reason="more is known", by=unchanged.samuel)
    assert opened() == [("SERIOUS_REACTION", "trial")], "the last judgement counts"


def test_a_code_that_is_approved_counts_as_the_term_that_it_is(unchanged, treated):
    about = {"grade": 1, "relationship": "not_related", "body_system": "Nervous system disorders"}
    told = event(unchanged, treated["MSC"][0], term="apoplexy", **about)
    words = actions.Words(Kind.ADVERSE_EVENT, told.pk, told.term)
    [coding] = actions.code_terms(words=[words], term=DictionaryTerm.objects.get(term="Stroke"), by=unchanged.david)
    assert opened() == []
    actions.approve_codings(seen=[(coding.pk, coding.version)], by=unchanged.samuel)
    assert opened() == [("EMBOLISM_TUMOUR", "arm")]


def test_an_arm_is_halted_for_infusions_and_nobody_is_randomised_meanwhile(unchanged, treated):
    tumour = trial.current_protocol().by_code["events_of_interest"]["TUMOUR"]
    event(
        unchanged, treated["MSC"][0], grade=1, relationship="not_related", term=tumour.terms[0], body_system="Neoplasms"
    )
    assert opened() == [("EMBOLISM_TUMOUR", "arm")]
    assert Halt.objects.get().arm == "MSC"
    with pytest.raises(Refused, match="Held since"):
        patient_steps.randomise(patient=unchanged.eligible(), by=unchanged.chen)
    with pytest.raises(Refused, match="Held since"):
        visit_steps.prepare(
            patient=treated["MSC"][1], visit=visit_steps.visit_of(treated["MSC"][1], "W4"), number=2, by=unchanged.zhao
        )


def test_a_death_recorded_as_the_end_of_participation_counts(unchanged, treated):
    patient = treated["SALINE"][0]
    patient_steps.end_participation(patient=patient, state="died", explanation="Stroke", by=unchanged.chen)
    assert opened() == [("EARLY_DEATH", "trial")]
    # the adverse event that is reported of it is no further event
    serious(unchanged, patient, is_fatal=True, grade=5, relationship="not_related", outcome="fatal", is_ongoing=False,
            ended_on=patient.day_0 + timedelta(days=2))  # fmt: skip
    assert opened() == [("EARLY_DEATH", "trial")]
    assert Crossing.objects.count() == 1


def test_a_severe_reaction_seen_at_an_infusion_counts(unchanged):
    patient = unchanged.randomised(day_0=today_at(unchanged.site) - timedelta(days=3))
    visit_steps.give_infusion(
        patient=patient, by=unchanged.chen, pharmacist=unchanged.zhao, reactions=[("Bronchospasm", 20, 3)]
    )
    assert opened() == [("PATIENT_G3", "patient")]
    [state] = [s for s in facts.states_now() if s.is_met]
    assert state.patient == patient.pk
    with acting(unchanged.chen, "entered in error"):
        Reaction.objects.filter(patient=patient).update(is_withdrawn=True)
    assert not any(s.is_met for s in facts.states_now()), "what was taken back counts nowhere"


@pytest.fixture
def reacted(unchanged):
    """An infusion with a reaction of grade 3 that halted its patient; the board has lifted the halt."""
    patient = unchanged.randomised(day_0=today_at(unchanged.site) - timedelta(days=3))
    infusion = visit_steps.give_infusion(
        patient=patient, by=unchanged.chen, pharmacist=unchanged.zhao, reactions=[("Bronchospasm", 20, 3)]
    )
    assert opened() == [("PATIENT_G3", "patient")]
    lift(Halt.objects.get(), unchanged)
    return infusion


def correct(universe, infusion, minute, grade):
    infusion.refresh_from_db()
    visit_actions.record_infusion(
        visit=infusion.visit, started_at=infusion.started_at, stopped_at=infusion.stopped_at, volume_ml=infusion.volume_ml,
        reactions=[("Bronchospasm", infusion.started_at + timedelta(minutes=minute), grade)], version=infusion.version,
        reason="read again", by=universe.chen,
    )  # fmt: skip


def of_reaction(universe, infusion, **about):
    """The site reports the reaction as an adverse event, by what proposes it."""
    reaction = infusion.reactions.get(is_withdrawn=False)
    began_on = day_at(universe.site, reaction.began_at)
    usual = {"term": reaction.term, "began_on": began_on, "grade": reaction.grade, "relationship": "probable",
             "infusion_number": 1}  # fmt: skip
    values = {**universe.event_values(infusion.patient), **usual, **about}
    return actions.report_proposed_event(seen=reaction, values=values, by=universe.chen)


@pytest.mark.requirement("R57")
def test_the_event_that_is_reported_from_a_decided_reaction_opens_no_second_halt(unchanged, reacted):
    reported = of_reaction(unchanged, reacted)
    assert opened() == [] and Halt.objects.count() == 1 == Crossing.objects.count()
    [state] = [s for s in facts.states_now() if s.rule.code == "PATIENT_G3" and s.is_met]
    assert state.met_at.counted == {f"event {reported.pk}"}, "both are one, and the event stands for it"
    assert state.who == ((reacted.patient.number, (reported.sequence,)),)
    # whatever else is saved, too
    actions.change_adverse_event(
        event=reported, values={"narrative": "More."}, version=1, reason="more", by=unchanged.chen
    )
    actions.watch_rules(by=unchanged.chen)
    assert opened() == []


def test_an_event_that_no_reaction_was_linked_to_is_a_further_one(unchanged, reacted):
    event(unchanged, reacted.patient, days=0, term="Bronchospasm")
    assert opened() == [("PATIENT_G3", "patient")] and Halt.objects.count() == 2


def test_a_reported_event_that_is_worse_than_the_decided_reaction_is_judged_anew(unchanged, reacted):
    of_reaction(unchanged, reacted, grade=4)
    assert opened() == [("PATIENT_G3", "patient")] and Halt.objects.count() == 2


def test_an_event_of_a_decided_reaction_that_gets_worse_later_is_judged_anew(unchanged, reacted):
    reported = of_reaction(unchanged, reacted)
    actions.change_adverse_event(event=reported, values={"grade": 4}, version=1, reason="worse", by=unchanged.chen)
    assert opened() == [("PATIENT_G3", "patient")]


def test_what_is_decided_of_a_reaction_says_nothing_of_another_rule(unchanged, reacted):
    of_reaction(unchanged, reacted, is_serious=True, is_important=True, narrative="Told at length.")
    assert opened() == [("SERIOUS_REACTION", "trial")]


def test_linking_a_reaction_to_an_event_that_was_decided_on_opens_nothing(unchanged, reacted):
    told = event(unchanged, reacted.patient, days=0, term="Bronchospasm")
    lift(Halt.objects.open().get(), unchanged)
    actions.add_result_to_event(seen=reacted.reactions.get(), event=told, by=unchanged.chen)
    actions.watch_rules(by=unchanged.chen)
    assert opened() == []
    # and an event that was taken back leaves the reaction as it was decided on
    actions.withdraw_adverse_event(event=told, version=1, reason="the wrong patient", by=unchanged.chen)
    actions.watch_rules(by=unchanged.chen)
    assert opened() == []


def test_an_event_that_is_told_to_belong_to_a_reaction_is_one_of_interest_from_then_on(unchanged, monkeypatch):
    """Whatever its term: linking it may meet a rule that nothing met before."""
    rule = AnyEventRule(
        code="OF_REACTION", name="A serious infusion reaction", kind="any_event", blocks=("infuse",), scope="trial",
        counts=EventSelector(serious=True, of_interest=("INFUSION_REACTION",)),
    )  # fmt: skip
    in_force(monkeypatch, trial.current_protocol().model_copy(update={"stopping_rules": (rule,)}))
    patient = unchanged.randomised(day_0=today_at(unchanged.site) - timedelta(days=3))
    infusion = visit_steps.give_infusion(
        patient=patient, by=unchanged.chen, pharmacist=unchanged.zhao, reactions=[("Bronchospasm", 20, 3)]
    )
    told = serious(unchanged, patient, term="Headache", grade=3)
    assert opened() == []
    actions.add_result_to_event(seen=infusion.reactions.get(), event=told, by=unchanged.chen)
    assert opened() == [("OF_REACTION", "trial")]


def test_a_correction_of_a_decided_reaction_is_nothing_new_unless_it_is_worse(unchanged, reacted):
    correct(unchanged, reacted, minute=25, grade=3)
    assert opened() == [] and Crossing.objects.count() == 1
    of_reaction(unchanged, reacted)
    assert opened() == []
    correct(unchanged, reacted, minute=25, grade=4)
    assert opened() == [("PATIENT_G3", "patient")], "a reaction that is worse than its event counts beside it"


def test_keys_that_were_stored_before_a_correction_was_traced_hold(unchanged, reacted):
    correct(unchanged, reacted, minute=25, grade=3)
    later = reacted.reactions.get(is_withdrawn=False)
    with acting(unchanged.chen, "as it was stored once"):
        Crossing.objects.update(counted=[f"reaction {later.pk}"])
    actions.watch_rules(by=unchanged.chen)
    assert opened() == []


def test_a_reaction_that_was_fatal_and_the_death_are_one(unchanged):
    patient = unchanged.randomised(day_0=today_at(unchanged.site) - timedelta(days=3))
    visit_steps.give_infusion(
        patient=patient, by=unchanged.chen, pharmacist=unchanged.zhao, reactions=[("Bronchospasm", 20, 5)]
    )
    reaction = Reaction.objects.get(patient=patient)
    for halt in Halt.objects.open():
        lift(halt, unchanged)
    crossings = Crossing.objects.count()
    patient_steps.end_participation(patient=patient, state="died", explanation="Bronchospasm", by=unchanged.chen)
    assert opened() == [] and Crossing.objects.count() == crossings
    with acting(unchanged.chen, "as it was stored once"):
        for crossing in Crossing.objects.all():
            keys = [f"reaction {reaction.pk}" if key.startswith("death") else key for key in crossing.counted]
            Crossing.objects.filter(pk=crossing.pk).update(counted=keys)
    actions.watch_rules(by=unchanged.chen)
    assert opened() == []


def test_an_event_entered_before_the_infusion_counts_when_the_infusion_is_recorded(unchanged):
    on = today_at(unchanged.site) - timedelta(days=3)
    while True:
        patient = unchanged.randomised(day_0=on)
        if AllocationSlot.objects.get(patient=patient).arm == "MSC":
            break
    event(unchanged, patient, grade=1, relationship="not_related", **thrombosis())
    assert opened() == []
    visit_steps.give_infusion(patient=patient, by=unchanged.chen, pharmacist=unchanged.zhao)
    assert opened() == [("EMBOLISM_TUMOUR", "arm")]


def thrombosis():
    return {"term": trial.current_protocol().by_code["events_of_interest"]["THROMBOEMBOLISM"].terms[0]}


@pytest.mark.requirement("R57")
def test_a_halt_opens_once_and_again_only_when_a_further_event_comes(unchanged, treated):
    patient, other = treated["SALINE"][:2]
    one = serious(unchanged, patient, grade=2)
    halt = Halt.objects.get()
    # a correction that changes nothing, and a further event while the halt is in force
    actions.change_adverse_event(event=one, values={"narrative": "More."}, version=1, reason="more", by=unchanged.chen)
    assert Crossing.objects.count() == 1
    second = serious(unchanged, other, grade=2)
    assert Halt.objects.count() == 1
    assert list(halt.crossings.values_list("events", flat=True)) == [2, 1]
    lift(halt, unchanged)
    actions.change_adverse_event(event=one, values={"narrative": "Yet more."}, version=2, reason="x", by=unchanged.chen)
    actions.watch_rules(by=unchanged.chen)
    assert opened() == []
    actions.withdraw_adverse_event(event=second, version=1, reason="the wrong patient", by=unchanged.chen)
    actions.watch_rules(by=unchanged.chen)
    assert opened() == [], "fewer events than the board has decided on are nothing new"
    serious(unchanged, other, grade=2, term="Chills")
    assert opened() == [("SERIOUS_REACTION", "trial")]
    assert Halt.objects.count() == 2 and Halt.objects.open().get().crossings.get().events == 2


@pytest.mark.requirement("R23")
def test_who_has_signed_that_a_halt_is_lifted_looks_again_when_more_meets_its_rule(unchanged, treated):
    """Nobody lifts a halt for an event that the board has not seen."""
    patient, other = treated["SALINE"][:2]
    serious(unchanged, patient, grade=2)
    halt = Halt.objects.get()
    recommendation = actions.record_recommendation(
        met_on=today_at(unchanged.site),
        decision=Decision.CONTINUE,
        rationale="One event",
        lifts=[halt],
        by=unchanged.dora,
    )
    sign = partial(actions.sign_recommendation, recommendation=recommendation)
    dora, dan, page = (
        unchanged.client(unchanged.dora),
        unchanged.client(unchanged.dan),
        f"/safety/board/{recommendation.pk}/",
    )
    sign(version=1, by=unchanged.dora)
    seen = dan.get(f"{page}sign/")
    assert patient.number in seen.content.decode() and other.number not in seen.content.decode()

    serious(unchanged, other, grade=2)
    assert Halt.objects.count() == 1
    told = Email.objects.filter(key__startswith=f"halt/{halt.pk}/more/")
    assert {"dora", "dan", "samuel", "wang"} <= set(told.values_list("user__username", flat=True))
    assert patient.number not in "".join(told.values_list("text", flat=True))

    answer = dan.post(f"{page}sign/", {**sent_with(seen), "password": PASSWORD})
    assert answer.status_code == 409
    with pytest.raises(Stale):
        sign(version=1, by=unchanged.dan)
    assert other.number in dan.get(f"{page}sign/").content.decode()
    sign(version=2, by=unchanged.dan)
    halt.refresh_from_db()
    assert halt.lifted_at is None, "the first signature was for less"
    told = unescape(dora.get(page).content.decode())
    assert "given before more met the rule: does not count" in told and "waits for Dora" in told
    assert "waits for your signature" in dora.get("/").content.decode()
    sign(version=2, by=unchanged.dora)
    halt.refresh_from_db()
    assert halt.lifted_at and opened() == []
    assert "does not count" not in dora.get(page).content.decode()


def sent_with(page):
    form = page.context["form"]
    return {name: form[name].value() for name in ("version", "idem")}


def lift(halt, universe):
    with acting(universe.dora, "the board has decided"):
        Halt.objects.filter(pk=halt.pk).update(lifted_at=halt.opened_at, lifted_by=universe.dora, decision="Go on")


def test_an_event_taken_back_counts_nowhere(unchanged, treated):
    first, second = treated["MSC"][:2]
    one = event(unchanged, first)
    actions.withdraw_adverse_event(event=one, version=1, reason="the wrong patient", by=unchanged.chen)
    event(unchanged, second)
    assert {rule for rule, _scope in opened()} == {"PATIENT_G3"}


# --- who is told -------------------------------------------------------------------------------------------


def give_addresses(universe):
    names = ("chen", "wang", "samuel", "dora", "dan", "sofia", "maria")
    for name in names:
        with acting(universe.ada, "an address"):
            User.objects.filter(pk=getattr(universe, name).pk).update(email=f"{name}@trialsite.invalid")


def test_those_who_decide_the_sponsor_and_the_investigators_are_told_by_mail(unchanged, treated):
    give_addresses(unchanged)
    serious(unchanged, treated["SALINE"][0], grade=2, by=User.objects.get(pk=unchanged.chen.pk))
    told = Email.objects.filter(key__startswith="halt/", key__contains="/opened/")
    # and who reported it
    assert {email.user.username for email in told} == {"wang", "samuel", "dora", "dan", "chen"}
    assert all(OutboxMessage.objects.filter(arguments={"email_id": email.pk}).exists() for email in told)
    for email in told:
        assert "randomisation, infusions" in email.text.lower()
        assert "A serious related adverse event" in email.text
        assert treated["SALINE"][0].number not in email.text + email.subject


def test_of_a_patient_who_is_held_only_the_own_site_is_told(unchanged):
    give_addresses(unchanged)
    for site, told in ((unchanged.site, True), (unchanged.other_site, False)):
        halt = SimpleNamespace(scope="patient", patient_id=1, patient=SimpleNamespace(site=site))
        assert ("wang" in [person.username for person in notice.people_to_tell(halt)]) is told


@pytest.mark.requirement("R57")
def test_who_saves_what_meets_a_rule_is_told_at_once_which_rule_and_what_is_halted(unchanged, treated):
    """Whatever was saved: a report, a change, a judgement, a code; each goes through the one path of all forms."""
    patient, other = treated["MSC"][:2]
    told = report_by_hand(unchanged, patient)
    infusions = f"A halt is open now: Infusions ({patient.number}). Stopping rule: A severe related reaction"
    assert [infusions in text for text in told] == [False, True] and told[0] == "The event is reported."
    mild = event(unchanged, other, grade=1)
    changed = warnings_of(unchanged, unchanged.chen, f"/safety/events/{mild.pk}/change/", grade="3", reason="worse")
    assert changed[0] == "The change is saved."
    assert any(f"Infusions ({other.number})" in text for text in changed)
    assert any("Randomisation, infusions. Related grade 3 or worse" in text for text in changed)
    again = warnings_of(
        unchanged, unchanged.chen, f"/safety/events/{mild.pk}/change/", outcome="recovering", reason="better"
    )
    assert again == ["The change is saved."], "of a halt that is open already nobody is told again"


def test_the_sponsor_who_judges_is_told_of_the_halt_that_opens(unchanged, treated):
    told = serious(unchanged, treated["SALINE"][0], grade=2, relationship="not_related")
    address = reverse("safety:judge_case", args=[told.case.pk])
    said = warnings_of(unchanged, unchanged.samuel, address, causality="suspected", expectedness="unexpected", comment="close in time",
                       password=PASSWORD)  # fmt: skip
    assert said[0] == "The judgement is signed." and "A serious related adverse event within 7 days" in said[1]


def test_of_a_halt_that_one_may_not_see_nothing_is_told(unchanged, treated, monkeypatch):
    """One arm is held in a masked trial: who reported the event does not hear of it, on the page or by mail."""
    give_addresses(unchanged)
    protocol = trial.current_protocol()
    masked = protocol.trial.model_copy(update={"masking": "double"})
    monkeypatch.setattr(trial, "current_protocol", lambda: protocol.model_copy(update={"trial": masked}))
    told = report_by_hand(unchanged, treated["MSC"][0], grade="1", relationship="not_related", **thrombosis())
    assert opened() == [("", "arm")] and told == ["The event is reported."]
    assert not Email.objects.filter(key__contains="/opened/", user=unchanged.chen).exists()


def test_in_a_masked_trial_the_reporter_is_told_that_a_rule_was_met_and_not_which(unchanged, treated, monkeypatch):
    protocol = trial.current_protocol()
    masked = protocol.trial.model_copy(update={"masking": "double"})
    monkeypatch.setattr(trial, "current_protocol", lambda: protocol.model_copy(update={"trial": masked}))
    _reported, told = report_by_hand(unchanged, treated["SALINE"][0])
    assert "A stopping rule of the protocol was met. The safety board decides." in told and "severe" not in told


def report_by_hand(universe, patient, **changes):
    values = {"term": "Rash", "began_on": str(patient.day_0 + timedelta(days=1)), "is_ongoing": "Y", "grade": "3", "is_serious": "N",
              "relationship": "probable", "action_taken": "dose_not_changed", "outcome": "not_recovered",
              "body_system": "Skin and subcutaneous tissue disorders", "aware_at": f"{patient.day_0 + timedelta(days=1)} 08:00", **changes}  # fmt: skip
    return warnings_of(universe, universe.chen, f"/safety/events/report/{patient.pk}/", **values)


def warnings_of(universe, user, address, **values):
    """What is said on the page after a form was saved."""
    client = universe.client(user)
    answer = send(client, address, **values)
    assert answer.status_code == 302, re.findall(r"invalid-feedback.*?</|question.*?</", answer.content.decode(), re.S)
    page = client.get(answer.url).content.decode()
    return [unescape(text) for text in re.findall(r'role="status"><div>(.*?)</div>', page)]


def test_who_was_told_that_a_halt_opened_is_told_that_it_is_lifted(unchanged, treated):
    give_addresses(unchanged)
    serious(unchanged, treated["SALINE"][0], grade=2, by=User.objects.get(pk=unchanged.chen.pk))
    lift(Halt.objects.get(), unchanged)
    notice.tell_of_lifting(Halt.objects.get())
    assert Email.objects.filter(key__contains="/lifted/", user=unchanged.chen).exists()


def test_start_pages_tell_of_the_halt_to_those_who_decide_and_every_page_to_all(unchanged, treated):
    serious(unchanged, treated["SALINE"][0], grade=2)
    for name in ("dora", "chen", "samuel"):
        assert (
            "A serious related adverse event within 7 days"
            in unchanged.client(getattr(unchanged, name)).get("/").content.decode()
        )
    halts = unchanged.client(unchanged.chen).get("/patients/halts/").content.decode()
    assert "A serious related adverse event within 7 days" in halts


def test_ordinary_events_cost_no_evaluation(unchanged, treated, monkeypatch):
    monkeypatch.setattr("safety.actions.stopping.states_now", lambda: pytest.fail("evaluated"))
    event(unchanged, treated["MSC"][0], grade=2, relationship="unlikely")
