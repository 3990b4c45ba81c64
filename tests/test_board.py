"""The safety board: reports are released to it and read, its recommendations are signed and take effect, halts are
lifted by nothing else."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.urls import reverse
from django.utils import timezone

from patients import actions as patient_actions
from patients.models import Blocked, Halt, Scope
from safety import actions
from safety.models import (
    BoardSignature,
    ClosedMinutes,
    Decision,
    DsmbReport,
    ReadingReceipt,
    Recommendation,
    Release,
)
from tests.universe import PASSWORD, send
from trialsite import actions as accounts
from trialsite import trial
from trialsite.audit import acting
from trialsite.models import Email, JobState
from trialsite.roles import Role
from trialsite.saving import Refused, Stale

pytestmark = pytest.mark.django_db

TODAY = timezone.now().date()
ADDRESS = "/safety/board/record/"


@pytest.fixture
def halt(unchanged):
    return patient_actions.open_halt(
        scope=Scope.TRIAL, blocks=[Blocked.INFUSE], cause="Two related events", by=unchanged.samuel
    )


def made_report(universe):
    with acting(universe.sofia, "made for a test"):
        return DsmbReport.objects.create(cutoff=TODAY, requested_by=universe.sofia, state=JobState.DONE)


def recommend(by, decision=Decision.CONTINUE, **values):
    values = {"met_on": TODAY, "rationale": "No safety concern", "decision": decision, **values}
    return actions.record_recommendation(**values, by=by)


def agree(recommendation, universe):
    """Both members sign; with the second signature it is in effect."""
    sign(recommendation, universe.dora)
    return sign(recommendation, universe.dan)


def sign(recommendation, by):
    return actions.sign_recommendation(recommendation=recommendation, version=recommendation.version, by=by)


# --- what the board decides, and what follows: a truth table

EFFECTS = [
    # decision, what it suspends, lifts the halt?  ->  is the old halt in force, what a new one blocks
    (Decision.CONTINUE, [], True, False, None),
    (Decision.CONTINUE, [], False, True, None),
    (Decision.MODIFY, [], True, False, None),
    (Decision.SUSPEND, ["enrol"], False, True, ["enrol"]),
    (Decision.TERMINATE, [], False, True, ["enrol", "randomise", "infuse"]),
]


@pytest.mark.parametrize(("decision", "blocks", "lifts", "still_halted", "new_blocks"), EFFECTS)
def test_a_signed_recommendation_does_to_halts_what_it_says(
    unchanged, halt, decision, blocks, lifts, still_halted, new_blocks
):
    recommendation = recommend(
        unchanged.dora, decision, blocks=blocks, conditions="half the rate", lifts=[halt] if lifts else []
    )
    halt.refresh_from_db()
    assert halt.lifted_at is None, "a recommendation that nobody signed does nothing"
    sign(recommendation, unchanged.dora)
    halt.refresh_from_db()
    assert halt.lifted_at is None and Halt.objects.count() == 1, "one member of two decides nothing"
    sign(recommendation, unchanged.dan)
    halt.refresh_from_db()
    assert (halt.lifted_at is None) == still_halted
    new = Halt.objects.exclude(pk=halt.pk).first()
    assert (new and new.blocks) == new_blocks
    if not still_halted:
        assert str(recommendation.pk) in halt.decision


REFUSED = [
    ({"rationale": " "}, "rationale"),
    ({"decision": Decision.MODIFY}, "conditions"),
    ({"decision": Decision.SUSPEND, "conditions": "x"}, "blocks"),
    ({"blocks": ["enrol"]}, "blocks"),
    ({"decision": Decision.TERMINATE, "lifts": "the halt"}, "lifts"),
    ({"met_on": TODAY + timezone.timedelta(days=2)}, "met_on"),  # tomorrow is today somewhere
]


@pytest.mark.parametrize(("values", "field"), REFUSED)
def test_a_recommendation_that_contradicts_itself_is_refused_at_the_field(unchanged, halt, values, field):
    values = {**values, "lifts": [halt]} if "lifts" in values else values
    with pytest.raises(Refused) as refusal:
        recommend(unchanged.dora, **values)
    assert list(refusal.value.errors) == [field]
    assert not Recommendation.objects.exists()


def test_nobody_but_the_board_decides_and_signs(unchanged, halt):
    with pytest.raises(PermissionDenied):
        recommend(unchanged.samuel)
    recommendation = recommend(unchanged.dora, lifts=[halt])
    for other in (unchanged.samuel, unchanged.sofia, unchanged.wang):
        with pytest.raises(PermissionDenied):
            sign(recommendation, other)


def test_what_only_some_may_do_is_refused_to_all_others_by_the_action_itself(unchanged):
    report, recommendation = (
        made_report(unchanged),
        recommend(unchanged.dora, action_items=[("Tell", "Sponsor", TODAY)]),
    )
    seen = {"recommendation": recommendation, "version": recommendation.version}
    for other in (unchanged.samuel, unchanged.wang, unchanged.dora):
        with pytest.raises(PermissionDenied):
            actions.release_report(report=report, version=report.version, by=other)
    actions.release_report(report=report, version=report.version, by=unchanged.sofia)
    for other in (unchanged.samuel, unchanged.sofia, unchanged.wang):
        with pytest.raises(PermissionDenied):
            actions.confirm_reading(report=report, part="open", by=other)
        with pytest.raises(PermissionDenied):
            actions.withdraw_recommendation(**seen, reason="not mine", by=other)
    agree(recommendation, unchanged)
    item = recommendation.action_items.get()
    for other in (unchanged.dora, unchanged.sofia, unchanged.wang):
        with pytest.raises(PermissionDenied):
            actions.resolve_action_item(item=item, resolution="done", version=item.version, by=other)
    for other in (unchanged.dora, unchanged.sofia, unchanged.maria):
        with pytest.raises(PermissionDenied):
            actions.acknowledge_recommendation(recommendation=recommendation, by=other)


def test_what_is_in_effect_is_neither_signed_nor_withdrawn_any_more(unchanged):
    recommendation = agree(recommend(unchanged.dora), unchanged)
    third = another_member(unchanged).user
    with pytest.raises(Refused, match="in effect already"):
        sign(recommendation, third)
    seen = {"recommendation": recommendation, "version": recommendation.version, "by": third}
    with pytest.raises(Refused, match="Record another"):
        actions.withdraw_recommendation(**seen, reason="wrong report")


def test_a_recommendation_rests_on_a_released_report_and_lifts_what_is_in_force(unchanged, halt):
    report = made_report(unchanged)
    with pytest.raises(Refused) as refusal:
        recommend(unchanged.dora, report=report)
    assert list(refusal.value.errors) == ["report"]
    dora = unchanged.client(unchanged.dora)
    assert (
        f'value="{report.pk}"' not in dora.get(ADDRESS).content.decode().split('name="report"')[1].split("</select>")[0]
    )
    agree(recommend(unchanged.dora, lifts=[halt]), unchanged)
    halt.refresh_from_db()
    with pytest.raises(Refused) as refusal:
        recommend(unchanged.dora, lifts=[halt])
    assert list(refusal.value.errors) == ["lifts"]


def test_a_board_decides_on_nothing_that_came_after_its_meeting(unchanged, halt):
    report = made_report(unchanged)
    with acting(unchanged.sofia):
        Release.objects.create(report=report, released_by=unchanged.sofia)
    for about, field in (({"lifts": [halt]}, "lifts"), ({"report": report}, "report")):
        with pytest.raises(Refused) as refusal:
            recommend(unchanged.dora, met_on=TODAY - timedelta(days=2), **about)
        assert list(refusal.value.errors) == [field]
        # whoever meets where it is still yesterday
        recommend(unchanged.dora, met_on=TODAY - timedelta(days=1), **about)


@pytest.mark.parametrize("asked", [1, 2, 3])
def test_it_takes_effect_with_the_last_signature_that_the_protocol_asks_for(unchanged, halt, monkeypatch, asked):
    protocol = trial.current_protocol()
    assert protocol.trial.board_signatures == 2, "no single member of the pilot's board lifts a halt"
    changed = protocol.model_copy(update={"trial": protocol.trial.model_copy(update={"board_signatures": asked})})
    monkeypatch.setattr(trial, "current_protocol", lambda: changed)
    members = [unchanged.dora, unchanged.dan, another_member(unchanged).user]
    recommendation = recommend(unchanged.dora, lifts=[halt])
    for n, member in enumerate(members[:asked], 1):
        sign(recommendation, member)
        recommendation.refresh_from_db()
        halt.refresh_from_db()
        assert bool(recommendation.effective_at) == bool(halt.lifted_at) == (n == asked)
        with pytest.raises(Refused, match=r"signed this already|in effect already"):
            sign(recommendation, member)


def test_the_signature_of_who_has_left_the_board_stays_and_does_not_count(unchanged, halt):
    recommendation = recommend(unchanged.dora, lifts=[halt])
    sign(recommendation, unchanged.dora)
    third = another_member(unchanged).user
    grant = unchanged.dora.grants.get(role=Role.DSMB_MEMBER)
    accounts.revoke_role(grant=grant, reason="a conflict of interest", by=unchanged.ada)
    sign(recommendation, unchanged.dan)
    halt.refresh_from_db()
    assert halt.lifted_at is None
    page = unchanged.client(unchanged.dan).get(reverse("safety:show_recommendation", args=[recommendation.pk]))
    assert "no longer a member of the board: does not count" in page.content.decode()
    assert "1 of 2 signatures" in page.content.decode()
    sign(recommendation, third)
    halt.refresh_from_db()
    assert halt.lifted_at


def test_what_was_signed_is_not_what_was_changed_behind_the_back(unchanged):
    recommendation = recommend(unchanged.dora, minutes="B had more fever")
    sign(recommendation, unchanged.dora)
    signature = BoardSignature.objects.get()
    assert signature.digest == actions.digest_of(recommendation)
    with connection.cursor() as cursor, acting(unchanged.system, "tampering"):
        from trialsite.audit import tell_database

        tell_database(unchanged.system, "tampering")
        cursor.execute("update safety_closedminutes set text = 'nothing'")
    assert signature.digest != actions.digest_of(recommendation)
    page = unchanged.client(unchanged.dora).get(reverse("safety:show_recommendation", args=[recommendation.pk]))
    assert "does not match" in page.content.decode()


TAMPERED = [
    "update safety_recommendation set decision = 'modify'",
    "update safety_recommendation set rationale = 'x'",
    "update safety_recommendation set conditions = 'x'",
    "update safety_recommendation set met_on = met_on - 1",
    """update safety_recommendation set blocks = '["infuse"]'""",
    "update safety_actionitem set text = 'x'",
    "update safety_actionitem set responsible = 'x'",
    "update safety_actionitem set due_on = due_on + 1",
    "update safety_liftedhalt set halt_id = {other}",
]


def test_a_signature_binds_every_word_of_the_recommendation(unchanged, halt):
    from trialsite.audit import tell_database

    other = patient_actions.open_halt(scope=Scope.TRIAL, blocks=[Blocked.INFUSE], cause="x", by=unchanged.samuel)
    recommendation = recommend(unchanged.dora, lifts=[halt], action_items=[("Tell the sites", "Sponsor", TODAY)])
    signed = actions.digest_of(recommendation)
    for statement in TAMPERED:
        with transaction.atomic():
            with connection.cursor() as cursor, acting(unchanged.system, "tampering"):
                tell_database(unchanged.system, "tampering")
                cursor.execute(statement.format(other=other.pk))
            assert actions.digest_of(Recommendation.objects.get(pk=recommendation.pk)) != signed, statement
            transaction.set_rollback(True)
    assert actions.digest_of(recommendation) == signed


def test_a_draft_is_withdrawn_with_a_reason_and_then_signs_no_more(unchanged):
    recommendation = recommend(unchanged.dora)
    with pytest.raises(Refused) as refusal:
        actions.withdraw_recommendation(recommendation=recommendation, version=1, reason=" ", by=unchanged.dora)
    assert "reason" in refusal.value.errors
    withdrawn = actions.withdraw_recommendation(
        recommendation=recommendation, version=1, reason="wrong report", by=unchanged.dora
    )
    with pytest.raises(Refused, match="withdrawn"):
        sign(withdrawn, unchanged.dora)
    with pytest.raises(Stale):
        actions.withdraw_recommendation(recommendation=recommendation, version=1, reason="again", by=unchanged.dora)


# --- reports


def test_a_report_is_the_boards_once_it_is_released_and_not_before(unchanged):
    report = made_report(unchanged)
    dora, ines, sofia = (unchanged.client(person) for person in (unchanged.dora, unchanged.ines, unchanged.sofia))
    page = reverse("safety:show_report", args=[report.pk])
    assert dora.get(page).status_code == ines.get(page).status_code == 404
    answer = send(sofia, reverse("safety:release_report", args=[report.pk]), note="Three patients")
    assert answer.status_code == 302 and Release.objects.get().released_by == unchanged.sofia
    assert DsmbReport.objects.visible_to(unchanged.dora).get() == report
    assert send(sofia, reverse("safety:release_report", args=[report.pk])).status_code == 422


def test_a_report_that_is_not_made_is_not_released(unchanged):
    with acting(unchanged.sofia):
        report = DsmbReport.objects.create(cutoff=TODAY, requested_by=unchanged.sofia)
    with pytest.raises(Refused, match="made"):
        actions.release_report(report=report, version=1, by=unchanged.sofia)


def test_a_report_that_changed_since_the_page_was_opened_is_not_released(unchanged):
    report = made_report(unchanged)
    with pytest.raises(Stale):
        actions.release_report(report=report, version=report.version - 1, by=unchanged.sofia)


def test_each_member_of_the_board_says_once_what_was_read(unchanged):
    report = made_report(unchanged)
    with pytest.raises(Refused, match="not released"):
        actions.confirm_reading(report=report, part="open", by=unchanged.dora)
    actions.release_report(report=report, version=1, by=unchanged.sofia)
    dora = unchanged.client(unchanged.dora)
    for _twice in range(2):
        assert send(dora, reverse("safety:confirm_reading", args=[report.pk, "closed"])).status_code == 302
    assert ReadingReceipt.objects.get().read_by == unchanged.dora
    assert dora.get(reverse("safety:confirm_reading", args=[report.pk, "secret"])).status_code == 404


# --- who is told by e-mail


SECRET = ("Two related events", "No safety concern", "half the rate", "QZARM")


def told(what):
    """{who was told: text} of the notices with these words in their key."""
    emails = Email.objects.filter(key__contains=f"/{what}/").select_related("user")
    for email in emails:
        assert not any(word in email.subject + email.text for word in SECRET), email.text
    return {email.user.username: email.text for email in emails}


def another_member(universe):
    user = accounts.create_account(
        username="dina", full_name="Dina Dorn", email="", password=PASSWORD, by=universe.system
    )
    return accounts.grant_role(user=user, role=Role.DSMB_MEMBER, site=None, reason="third member", by=universe.system)


def test_the_board_is_told_by_e_mail_of_a_released_report(unchanged):
    report = made_report(unchanged)
    actions.release_report(report=report, note="QZARMB had more", version=1, by=unchanged.sofia)
    assert set(told("released")) == {"dora", "dan"}
    assert f"cut-off {TODAY}" in told("released")["dora"]


def test_the_other_members_are_told_of_a_recommendation_and_all_whom_it_is_for_once_it_is_in_effect(unchanged, halt):
    another_member(unchanged)
    recommendation = recommend(
        unchanged.dora, Decision.MODIFY, conditions="half the rate", lifts=[halt], minutes="QZARMB"
    )
    assert set(told("recorded")) == {"dan", "dina"}
    sign(recommendation, unchanged.dora)
    assert not told("effect") and not told("lifted")
    sign(recommendation, unchanged.dan)
    for what in ("effect", "lifted"):
        assert set(told(what)) == {"dora", "dan", "dina", "samuel", "wang"}, what
    assert "Continue with modifications" in told("effect")["wang"] and "infusions" in told("lifted")["wang"].lower()


def test_a_notice_is_written_with_what_it_tells_of_or_not_at_all(unchanged, halt):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        agree(recommend(unchanged.dora, lifts=[halt]), unchanged)
        assert told("effect")
        raise ZeroDivisionError
    assert not Email.objects.exists()


def test_of_a_masked_arm_that_is_held_no_more_those_alone_are_told_who_may_see_arms(unchanged, monkeypatch):
    held = patient_actions.open_halt(scope=Scope.ARM, arm="MSC", blocks=["infuse"], cause="QZARM", by=unchanged.dora)
    protocol = trial.current_protocol()
    masked = protocol.trial.model_copy(update={"masking": "double"})
    monkeypatch.setattr(trial, "current_protocol", lambda: protocol.model_copy(update={"trial": masked}))
    assert trial.current_protocol().is_masked
    agree(recommend(unchanged.dora, lifts=[held]), unchanged)
    assert set(told("lifted")) == {"dora", "dan"}
    assert not Email.objects.visible_to(unchanged.samuel).filter(key__contains="/lifted/").exists()
    assert "a halt is lifted" in unchanged.client(unchanged.dora).get(reverse("list_emails")).content.decode()


@pytest.mark.requirement("R45")
def test_that_a_masked_arm_was_held_is_not_told_with_the_decision_that_lifted_it(unchanged, monkeypatch):
    held = patient_actions.open_halt(scope=Scope.ARM, arm="MSC", blocks=["infuse"], cause="QZARM", by=unchanged.dora)
    protocol = trial.current_protocol()
    masked = protocol.trial.model_copy(update={"masking": "double"})
    monkeypatch.setattr(trial, "current_protocol", lambda: protocol.model_copy(update={"trial": masked}))
    recommendation = recommend(unchanged.dora, lifts=[held])
    agree(recommendation, unchanged)
    page = reverse("safety:show_recommendation", args=[recommendation.pk])
    assert "QZARM" in unchanged.client(unchanged.dora).get(page).content.decode()
    for name in ("samuel", "maria", "wang", "chen", "ines", "david"):
        told = unchanged.client(getattr(unchanged, name)).get(page).content.decode()
        assert "QZARM" not in told and "Halts that it lifts" not in told, name


# --- pages


def test_the_board_records_and_signs_on_its_pages_and_the_halt_is_lifted(unchanged, halt):
    dora = unchanged.client(unchanged.dora)
    assert f"{ADDRESS}?halt={halt.pk}" in dora.get("/patients/halts/").content.decode()
    answer = send(
        dora, f"{ADDRESS}?halt={halt.pk}", decision="modify", met_on=TODAY.isoformat(), rationale="Resolved in a day",
        conditions="Paracetamol before", minutes="Arm B", item_1="Tell the sites", responsible_1="Sponsor",
    )  # fmt: skip
    assert answer.status_code == 302, answer.content.decode()
    page = dora.get(answer.url).content.decode()
    assert "Two related events" in page and "Tell the sites" in page and "Arm B" in page
    wrong = send(dora, f"{answer.url}sign/", password="not this one")
    assert wrong.status_code == 422 and not BoardSignature.objects.exists()
    assert send(dora, f"{answer.url}sign/", password=PASSWORD).status_code == 302
    halt.refresh_from_db()
    assert halt.lifted_at is None
    page = dora.get(answer.url).content.decode()
    assert "Signed: 1 of 2 signatures. It waits for Dan Drei." in page
    assert "1 of 2 signatures" in page and "waits for Dan Drei" in page
    assert "1 of 2 signatures" in dora.get(reverse("safety:list_recommendations")).content.decode()
    dan = unchanged.client(unchanged.dan)
    assert "waits for your signature" in dan.get("/").content.decode()
    assert "waits for your signature" not in dora.get("/").content.decode()
    assert send(dan, f"{answer.url}sign/", password=PASSWORD).status_code == 302
    page = dan.get(answer.url).content.decode()
    assert "Signed; it is in effect now." in page and "waits for" not in page
    halt.refresh_from_db()
    assert halt.lifted_at and halt.lifted_by == unchanged.dan


def test_a_board_with_too_few_members_is_told_so_and_may_not_wait_for_nobody(unchanged):
    """The protocol asks for two signatures; where one person is left, the page says that another must be appointed."""
    recommendation = recommend(unchanged.dora)
    sign(recommendation, unchanged.dora)
    accounts.deactivate_account(user=unchanged.dan, reason="has left", by=unchanged.ada)
    page = unchanged.client(unchanged.dora).get(reverse("safety:show_recommendation", args=[recommendation.pk]))
    assert "No other member of the board has an account" in page.content.decode()


def test_the_board_finds_the_halts_of_single_patients_that_it_decides_on(unchanged):
    halt = patient_actions.open_halt(
        scope=Scope.PATIENT, patient=unchanged.screened(), blocks=[Blocked.INFUSE], cause="x", by=unchanged.samuel
    )
    dora = unchanged.client(unchanged.dora)
    for page in ("/", "/patients/halts/"):
        assert f"{ADDRESS}?halt={halt.pk}" in dora.get(page).content.decode()
    assert halt.patient.number not in unchanged.client(unchanged.li).get("/patients/halts/").content.decode()


def test_action_items_say_what_and_who(unchanged):
    dora = unchanged.client(unchanged.dora)
    answer = send(dora, ADDRESS, decision="continue", met_on=TODAY.isoformat(), rationale="x", responsible_1="Sponsor")
    assert answer.status_code == 422 and "Write what is to be done." in answer.content.decode()


def test_minutes_of_the_closed_session_are_read_by_those_alone_who_read_closed_reports(unchanged):
    recommendation = recommend(unchanged.dora, minutes="QZARMB had more")
    agree(recommendation, unchanged)
    pages = [reverse("safety:show_recommendation", args=[recommendation.pk]), reverse("safety:list_recommendations"),
             reverse("show_history", args=["safety", "recommendation", recommendation.pk])]  # fmt: skip
    for name in ("samuel", "maria", "wang", "ines", "david"):
        client = unchanged.client(getattr(unchanged, name))
        assert not any("QZARMB" in client.get(page).content.decode() for page in pages), name
    assert "QZARMB" in unchanged.client(unchanged.sofia).get(pages[0]).content.decode()
    assert not ClosedMinutes.objects.visible_to(unchanged.samuel).exists()


def test_others_see_a_recommendation_once_it_is_in_effect(unchanged):
    recommendation = recommend(unchanged.dora, action_items=[("Tell the sites", "Sponsor", TODAY)])
    address, listed = (
        reverse("safety:show_recommendation", args=[recommendation.pk]),
        reverse("safety:list_recommendations"),
    )
    samuel, dora = unchanged.client(unchanged.samuel), unchanged.client(unchanged.dora)
    assert samuel.get(address).status_code == 404 and address not in samuel.get(listed).content.decode()
    assert address in dora.get(listed).content.decode()
    assert "Tell the sites" not in dora.get(listed).content.decode(), "nobody was asked for it yet"
    agree(recommendation, unchanged)
    assert samuel.get(address).status_code == 200 and address in samuel.get(listed).content.decode()
    assert "Tell the sites" in samuel.get(listed).content.decode()


def test_sponsor_and_investigator_confirm_receipt_and_the_sponsor_resolves_what_was_asked(unchanged):
    recommendation = recommend(unchanged.dora, action_items=[("Tell the sites", "Sponsor", TODAY)])
    with pytest.raises(Refused, match="not in effect"):
        actions.acknowledge_recommendation(recommendation=recommendation, by=unchanged.samuel)
    agree(recommendation, unchanged)
    address = reverse("safety:show_recommendation", args=[recommendation.pk])
    for person in (unchanged.samuel, unchanged.wang):
        assert send(unchanged.client(person), f"{address}acknowledge/").status_code == 302
    assert recommendation.acknowledgements.count() == 2
    item = recommendation.action_items.get()
    samuel = unchanged.client(unchanged.samuel)
    draft = recommend(unchanged.dora, action_items=[("Not yet told", "Sponsor", TODAY)])
    hidden = reverse("safety:resolve_action_item", args=[draft.action_items.get().pk])
    assert samuel.get(hidden).status_code == 404, "a draft of the board is the board's"
    assert send(samuel, reverse("safety:resolve_action_item", args=[item.pk]), resolution="").status_code == 422
    assert (
        send(samuel, reverse("safety:resolve_action_item", args=[item.pk]), resolution="Letter sent").status_code == 302
    )
    item.refresh_from_db()
    with pytest.raises(Refused, match="resolved already"):
        actions.resolve_action_item(item=item, resolution="Again", version=item.version, by=unchanged.samuel)
    assert item.resolved_by == unchanged.samuel and "Letter sent" in samuel.get(address).content.decode()
