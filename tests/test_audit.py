"""The trail: written by the database, about everything, and out of everybody's reach."""

import json
from decimal import Decimal
from itertools import pairwise

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, connections, transaction
from django.db.models import F
from django.urls import reverse

from patients.models import AllocationSlot, Consent, Medication, Patient
from tests.test_saving import page_with, url_of
from tests.universe import send
from trialsite import actions, audit
from trialsite.audit import LEFT_OUT, UNAUDITED, NobodyNamed, acting, audited_models, history_of, tell_database
from trialsite.models import AuditEvent, Grant, SecurityEvent, User
from visits import actions as visit_actions
from visits import demo as visit_steps
from visits.models import Measurement, PanelRecord, Query

FLOORS = ("trialsite", "patients", "visits", "safety")


def last_events(model, number=1):
    events = AuditEvent.objects.filter(table=model._meta.db_table).order_by("-id")[:number]
    return list(reversed(events))


def nobody_acts():
    """As at the beginning of a transaction: the tests' own one may still remember who acted last."""
    with connection.cursor() as cursor:
        cursor.execute("select set_config('trialsite.actor', '', true)")


def refused_by_database(code, run):
    """Run; the database must refuse with this SQLSTATE."""
    with pytest.raises(DatabaseError) as refusal, transaction.atomic():
        run()
    assert refusal.value.__cause__.sqlstate == code, refusal.value


def execute(sql, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


# --- every table -------------------------------------------------------------------------------------


@pytest.mark.requirement("R1")
def test_every_model_of_the_four_floors_is_audited_or_said_not_to_be(world):
    models = {
        model._meta.label
        for label in FLOORS
        for model in apps.get_app_config(label).get_models(include_auto_created=True)
    }
    audited = {model._meta.label for model in audited_models()}
    assert audited | UNAUDITED == models
    assert not audited & UNAUDITED
    assert set(LEFT_OUT) <= audited


@pytest.mark.requirement("R1")
def test_every_audited_table_has_its_triggers_and_they_are_on(world):
    with connection.cursor() as cursor:
        cursor.execute("""
            select c.relname, t.tgname, t.tgenabled::text, t.tgtype, p.proname from pg_trigger t
            join pg_class c on c.oid = t.tgrelid join pg_proc p on p.oid = t.tgfoid where not t.tgisinternal""")
        triggers = {(table, name): (on, kind, function) for table, name, on, kind, function in cursor.fetchall()}
    # tgtype: 1 row level, 2 before, 4 insert, 8 delete, 16 update, 32 truncate
    expected = {"audit_insert": (4, "write_audit_trail"), "audit_update": (16, "write_audit_trail"),
                "audit_delete": (8, "write_audit_trail"), "never_truncated": (2 + 32, "keep_the_trail")}  # fmt: skip
    for model in audited_models():
        for name, (kind, function) in expected.items():
            assert triggers.get((model._meta.db_table, name)) == ("O", kind, function), (model, name)
    assert triggers["trialsite_auditevent", "keep_the_trail"] == ("O", 2 + 8 + 16 + 32, "keep_the_trail")


# --- who, when, what, why -------------------------------------------------------------------------------


@pytest.mark.requirement("R1")
def test_a_first_entry_and_a_change_are_recorded_with_who_when_old_new_and_why(unchanged):
    patient = unchanged.screened()
    panel = unchanged.panel(patient, "SCR", "virology")
    chen, wang = unchanged.client(unchanged.chen), unchanged.client(unchanged.wang)
    assert send(chen, url_of(panel), HIVRNA="<50").status_code == 302
    answer = wang.get(url_of(panel), headers={"X-Request-ID": "request-0815"})
    answer = send(wang, url_of(panel), answer, HIVRNA="77", reason="The laboratory corrected its report")
    assert answer.status_code == 302
    measurement = Measurement.objects.get(panel=panel)
    first, change = history_of(measurement)
    assert (first.operation, first.by_id, first.by_name, first.by_roles) == (
        "insert", unchanged.chen.pk, "Chen Wei", "coordinator",
    )  # fmt: skip
    assert (first.before, first.after["typed"], first.after["operator"]) == (None, "<50", "<")
    assert (change.operation, change.by_name, change.by_roles) == ("update", "Wang Jun", "investigator")
    assert change.reason == "The laboratory corrected its report"
    assert ("typed", "<50", "77") in change.changes and ("operator", "<", "") in change.changes
    assert change.patient_id == patient.pk and change.request_id == answer["X-Request-ID"]
    assert abs((change.at - connection_time()).total_seconds()) < 5 and change.at.microsecond % 1000 == 0


def connection_time():
    with connection.cursor() as cursor:
        cursor.execute("select clock_timestamp()")
        return cursor.fetchone()[0]


@pytest.mark.requirement("R1")
@pytest.mark.parametrize("way", ["save", "update", "bulk_create", "bulk_update", "raw insert", "raw update", "with"])
def test_no_way_of_writing_goes_round_the_trail(unchanged, way):
    patient = unchanged.screened(with_histories=False)
    line = {"patient": patient, "treatment": "Aspirin", "started_on": "2020", "is_ongoing": True}
    with acting(unchanged.chen, "first"):
        stored = Medication.objects.bulk_create([Medication(**line), Medication(**line)])
    before = AuditEvent.objects.count()
    with acting(unchanged.wang, "by hand"):
        if way == "save":
            stored[0].treatment = "Ibuprofen"
            stored[0].save()
        elif way == "update":
            Medication.objects.filter(patient=patient).update(treatment="Ibuprofen", version=F("version") + 1)
        elif way == "bulk_create":
            Medication.objects.bulk_create([Medication(**{**line, "treatment": "Ibuprofen"}) for _ in range(3)])
        elif way == "bulk_update":
            for each in stored:
                each.treatment = "Ibuprofen"
            Medication.objects.bulk_update(stored, ["treatment"])
        elif way == "raw insert":
            execute("""insert into patients_medication (patient_id, version, protocol_version, is_withdrawn, treatment, indication,
                dose_unit, frequency, route, started_on, is_ongoing, ended_on)
                values (%s, 1, '1.0', false, 'Ibuprofen', '', '', '', '', '2020', true, '')""", patient.pk)  # fmt: skip
        elif way == "raw update":
            execute("update patients_medication set treatment = 'Ibuprofen' where patient_id = %s", patient.pk)
        else:
            execute("with x as (update patients_medication set treatment = 'Ibuprofen' where id = %s returning 1) "
                    "select * from x", stored[0].pk)  # fmt: skip
    written = AuditEvent.objects.count() - before
    assert written == {"save": 1, "bulk_create": 3, "raw insert": 1, "with": 1}.get(way, 2)
    for event in last_events(Medication, written):
        assert event.after["treatment"] == "Ibuprofen"
        assert (event.by_name, event.reason) == ("Wang Jun", "by hand")
        assert event.before is None or event.before["treatment"] == "Aspirin"


def test_a_save_that_changes_nothing_leaves_no_event(unchanged):
    patient = unchanged.screened()
    before = AuditEvent.objects.count()
    with acting(unchanged.chen, "nothing"):
        patient.save()
    assert AuditEvent.objects.count() == before


@pytest.mark.requirement("R2")
def test_what_is_undone_leaves_no_event(unchanged):
    patient, before = unchanged.screened(), AuditEvent.objects.count()
    with pytest.raises(RuntimeError), acting(unchanged.chen, "undone"):
        patient.sex = "M"
        patient.save()
        raise RuntimeError
    assert AuditEvent.objects.count() == before + len(AuditEvent.objects.filter(reason="undone"))
    assert not AuditEvent.objects.filter(reason="undone").exists()


@pytest.mark.requirement("R3")
def test_every_earlier_state_of_a_record_can_be_rebuilt_from_the_trail(unchanged):
    panel = unchanged.panel(unchanged.screened(), "SCR", "haematology")
    visit_steps.enter_panel(panel=panel, by=unchanged.chen, slips={"HGB": "120"})
    states = []
    for value in ("121", "", "122"):
        states.append(Measurement.objects.filter(panel=panel, test="HGB").values().get())
        visit_actions.record_panel(
            panel=panel, values={"HGB": value}, collected_on=states[0]["collected_on"], version=None,
            reason=f"now {value!r}", by=unchanged.chen,
        )  # fmt: skip
    events = AuditEvent.objects.of(Measurement.objects.get(panel=panel, test="HGB"))

    def plain(value):
        return str(value.normalize()) if isinstance(value, Decimal) else str(value)

    for state, event in zip(states, events, strict=False):
        shown = json.loads(json.dumps(event.after), parse_float=Decimal)
        assert {name: plain(v) for name, v in shown.items()} == {name: plain(v) for name, v in state.items()}
    for earlier, later in pairwise(events):
        assert later.before == earlier.after


# --- nobody, and no reason ----------------------------------------------------------------------------


@pytest.mark.requirement("R1")
def test_a_write_that_names_nobody_is_refused_by_the_database(unchanged):
    patient = unchanged.screened()
    nobody_acts()
    refused_by_database("TS001", lambda: Patient.objects.filter(pk=patient.pk).update(sex="M"))
    refused_by_database(
        "TS001", lambda: Medication.objects.create(patient=patient, treatment="x", started_on="2020", is_ongoing=True)
    )


@pytest.mark.parametrize("model", list(audited_models()) if apps.ready else [], ids=lambda model: model._meta.label)
def test_no_audited_table_takes_a_write_that_names_nobody(unchanged, model):
    """The trigger is one of statements: it fires even where no row is met."""
    nobody_acts()
    column = model._meta.pk.column
    refused_by_database("TS001", lambda: execute(f"update {model._meta.db_table} set {column} = {column} where false"))


@pytest.mark.requirement("R1")
@pytest.mark.parametrize("reason", ["", "   ", "\n"])
def test_a_change_without_a_reason_is_refused_by_the_database(unchanged, reason):
    patient = unchanged.screened()

    def change():
        with acting(unchanged.chen, reason):
            Patient.objects.filter(pk=patient.pk).update(sex="M")

    refused_by_database("TS002", change)


@pytest.mark.parametrize("by", [None, User(username="not saved")])
def test_nobody_cannot_act(by):
    with pytest.raises(NobodyNamed), acting(by, "anything"):
        pass


@pytest.mark.requirement("R1")
def test_after_the_one_who_acted_nobody_acts(committed_universe):
    """Each transaction ends with the name forgotten, also on a connection that is used again."""
    with acting(committed_universe.chen, "first"):
        Patient.objects.update(version=F("version") + 1)
    refused_by_database("TS001", lambda: Patient.objects.update(version=F("version") + 1))


# --- nesting ----------------------------------------------------------------------------------------------


def touch(patient):
    Patient.objects.filter(pk=patient.pk).update(version=F("version") + 1)


@pytest.mark.requirement("R1")
def test_an_inner_person_and_reason_hold_for_the_inner_block_only(unchanged):
    patient = unchanged.screened()
    with acting(unchanged.chen, "outer"):
        touch(patient)
        with acting(unchanged.wang, "inner"):
            touch(patient)
            with acting(unchanged.wang):
                touch(patient)
        touch(patient)
        with pytest.raises(RuntimeError), acting(unchanged.zhao, "fails"):
            raise RuntimeError
        touch(patient)
    named = [(event.by_name, event.reason) for event in last_events(Patient, 5)]
    assert named == [
        ("Chen Wei", "outer"), ("Wang Jun", "inner"), ("Wang Jun", "inner"), ("Chen Wei", "outer"), ("Chen Wei", "outer"),
    ]  # fmt: skip


@pytest.mark.requirement("R1")
def test_a_savepoint_that_is_rolled_back_does_not_change_who_acts(unchanged):
    """The database forgets, with the savepoint, whom it was told of; the next write must name the right one again."""
    patient = unchanged.screened()
    with acting(unchanged.chen, "outer"):
        touch(patient)
        with acting(unchanged.wang, "inner"):
            with pytest.raises(RuntimeError), transaction.atomic():
                touch(patient)
                raise RuntimeError
            touch(patient)
        with pytest.raises(RuntimeError), transaction.atomic():
            touch(patient)
            raise RuntimeError
        touch(patient)
    named = [(event.by_name, event.reason) for event in last_events(Patient, 3)]
    assert named == [("Chen Wei", "outer"), ("Wang Jun", "inner"), ("Chen Wei", "outer")]


# --- out of reach ------------------------------------------------------------------------------------------

DENIED = "42501"  # insufficient_privilege

OUT_OF_REACH = [
    'insert into trialsite_auditevent (at, transaction, "table", record_id, operation, by_id, by_name, by_roles, '
    "reason, request_id) values (now(), 1, 'x', 1, 'insert', 1, 'x', '', '', '')",
    "update trialsite_auditevent set by_name = 'Nobody'",
    "delete from trialsite_auditevent",
    "truncate trialsite_auditevent",
    "truncate patients_patient cascade",
    "drop table trialsite_auditevent",
    "alter table trialsite_auditevent disable trigger all",
    "alter table patients_patient disable trigger audit_update",
    "drop trigger audit_update on patients_patient",
    "create or replace function write_audit_trail() returns trigger language plpgsql as $$begin return null; end$$",
    "create or replace function keep_the_trail() returns trigger language plpgsql as $$begin return null; end$$",
    "drop function write_audit_trail cascade",
    "set session_replication_role = replica",
    "set local session_replication_role = replica",
    "select set_config('session_replication_role', 'replica', true)",
    "alter table patients_patient add column x int",
    "create table mine (id int)",
    "create schema mine",
    "update trialsite_securityevent set kind = 'x'",
    "delete from trialsite_securityevent",
    "delete from trialsite_formreceipt",
    "delete from trialsite_outboxmessage",
]


@pytest.mark.requirement("R4")
@pytest.mark.parametrize("sql", OUT_OF_REACH, ids=lambda sql: sql[:60])
def test_the_programs_own_role_cannot_touch_the_trail_or_switch_it_off(unchanged, sql):
    def attempt():
        with acting(unchanged.ada, "trying"):
            execute(sql)

    refused_by_database(DENIED, attempt)


@pytest.mark.requirement("R4")
@pytest.mark.parametrize("role", ["owner", "superuser"])
def test_nor_can_the_program_become_the_owner(unchanged, role):
    name = connections["owner"].settings_dict["USER"] if role == "owner" else "postgres"
    with pytest.raises(DatabaseError), transaction.atomic():
        execute(f'set role "{name}"')


@pytest.mark.requirement("R13")
@pytest.mark.parametrize("model", list(audited_models()) if apps.ready else [], ids=lambda model: model._meta.label)
def test_no_row_of_an_audited_table_can_be_deleted(unchanged, model):
    def delete():
        with acting(unchanged.chen, "trying"):
            execute(f"delete from {model._meta.db_table}")

    refused_by_database(DENIED, delete)


@pytest.mark.requirement("R74")
def test_the_programs_role_owns_nothing_and_is_nothing_special(world):
    with connection.cursor() as cursor:
        cursor.execute(
            "select rolsuper, rolcreaterole, rolcreatedb, rolbypassrls from pg_roles where rolname = current_user"
        )
        assert cursor.fetchone() == (False,) * 4
        cursor.execute("select count(*) from pg_class where pg_get_userbyid(relowner) = current_user")
        assert cursor.fetchone() == (0,)


def test_a_place_that_was_taken_is_never_given_to_another(unchanged):
    patient, other = unchanged.randomised(), unchanged.eligible()
    slot = AllocationSlot.objects.get(patient=patient)
    free = AllocationSlot.objects.filter(patient=None).first()

    def change(**values):
        def run():
            with acting(unchanged.sofia, "trying"):
                AllocationSlot.objects.filter(pk=slot.pk).update(**values)

        return run

    other_arm = "SALINE" if slot.arm == "MSC" else "MSC"
    for values in (
        {"patient": other},
        {"patient": None, "taken_at": None, "taken_by": None},
        {"arm": other_arm},
        {"sequence": 999},
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            change(**values)()
    slot.refresh_from_db()
    assert (slot.patient_id, slot.arm) == (patient.pk, slot.arm)
    assert free.patient_id is None


@pytest.mark.requirement("R82")
def test_no_password_stands_in_the_trail_or_in_the_log_of_comings(unchanged):
    secret = "a-very-secret-sentence-88"
    user = actions.create_account(username="newone", full_name="New One", password=secret, by=unchanged.ada)
    actions.change_password(user=user, password=secret + "-2", by=user)
    users = AuditEvent.objects.filter(table="trialsite_user", record_id=user.pk)
    assert users.count() >= 1
    stored = User.objects.get(pk=user.pk).password
    for event in users:
        text = f"{event.before} {event.after} {event.reason}"
        assert "password" not in (event.after or {}) and secret not in text and stored not in text
    assert not any(secret in str(row) for row in SecurityEvent.objects.values_list())


@pytest.mark.requirement("R7")
def test_accounts_and_roles_are_in_the_trail(unchanged):
    user = actions.create_account(username="newone", full_name="New One", by=unchanged.ada)
    grant = actions.grant_role(user=user, role="monitor", reason="joins", by=unchanged.ada)
    actions.revoke_role(grant=grant, reason="leaves", by=unchanged.ada)
    entered, revoked = history_of(Grant.objects.get(pk=grant.pk))
    assert (entered.by_name, entered.reason) == ("Ada Adler", "joins")
    assert [column for column, old, new in revoked.changes] == ["revoked_at"] and revoked.reason == "leaves"


# --- shown ------------------------------------------------------------------------------------------------


def history_page(client, record):
    meta = record._meta
    answer = client.get(reverse("show_history", args=[meta.app_label, meta.model_name, record.pk]))
    assert answer.status_code == 200, answer
    return answer


@pytest.mark.requirement("R3")
def test_the_history_of_a_panel_shows_old_and_new_values_of_its_measurements(unchanged, django_assert_max_num_queries):
    panel = unchanged.panel(unchanged.screened(), "SCR", "haematology")
    visit_steps.enter_panel(panel=panel, by=unchanged.chen, slips={"HGB": "123"})
    wang = unchanged.client(unchanged.wang)
    assert send(wang, url_of(panel), HGB="132", reason="Digits exchanged").status_code == 302
    with django_assert_max_num_queries(12):
        page = history_page(wang, PanelRecord.objects.get(pk=panel.pk))
    newest = page.context["history"][0]
    assert (newest["by"], newest["reason"]) == ("Wang Jun", "Digits exchanged")
    changes = {change["field"]: (change["old"], change["new"]) for change in newest["changes"]}
    assert changes["Haemoglobin"] == ("123", "132")
    text = page.content.decode()
    assert "<del" in text and ">123<" in text and ">132<" in text and "Digits exchanged" in text
    first = {change["field"]: change["new"] for change in page.context["history"][-2]["changes"]}
    assert first["Haemoglobin"] == "123" and "White blood cells" in first


@pytest.mark.requirement("R3")
def test_the_history_of_an_infusion_shows_its_lines_and_vital_signs(unchanged, django_assert_max_num_queries):
    patient = unchanged.infused()
    visit = visit_steps.visit_of(patient, "W0")
    chen = unchanged.client(unchanged.chen)
    url = f"/visits/{visit.pk}/infusion/"
    start = page_with(chen, url).context["form"].initial["started_at"]
    local = start.astimezone(page_with(chen, url).context["form"].zone).strftime("%Y-%m-%d")
    answer = send(
        chen, url, M_PULSE_15="99", reason="as on the sheet", reaction1_term="Chills", reaction1_grade="2",
        reaction1_began=f"{local} 10:15", stop1_stopped=f"{local} 10:10", stop1_resumed=f"{local} 10:12", stop1_cause="Bag",
    )  # fmt: skip
    assert answer.status_code == 302, answer.content.decode()
    with django_assert_max_num_queries(12):
        page = history_page(chen, visit.infusion)
    newest = page.context["history"][0]
    values = {str(change["field"]): change["new"] for change in newest["changes"]}
    assert newest["reason"] == "as on the sheet"
    assert values["Pulse, 15 min"] == "99"
    assert "Chills" in values.values() and "Bag" in values.values()


def test_the_history_of_an_assessment_shows_its_answers(unchanged, django_assert_max_num_queries):
    patient = unchanged.eligible()
    chen = unchanged.client(unchanged.chen)
    with django_assert_max_num_queries(12):
        page = history_page(chen, patient.assessments.get())
    fields = [str(change["field"]) for change in page.context["history"][0]["changes"]]
    assert any(field.startswith("I3") for field in fields), fields


@pytest.mark.requirement("R10")
@pytest.mark.parametrize("name", ["chen", "wang", "zhao", "maria", "david", "sofia", "samuel", "ines"])
def test_who_sees_patients_sees_their_history(unchanged, name):
    panel = unchanged.panel(unchanged.screened(), "SCR", "haematology")
    visit_steps.enter_panel(panel=panel, by=unchanged.chen)
    history_page(unchanged.client(getattr(unchanged, name)), panel)


@pytest.mark.parametrize(("name", "status"), [("li", 404), ("dora", 403), ("ada", 403)])
def test_who_does_not_see_the_patient_does_not_see_the_history(unchanged, name, status):
    panel = unchanged.panel(unchanged.screened(), "SCR", "haematology")
    client = unchanged.client(getattr(unchanged, name))
    assert client.get(f"/history/visits/panelrecord/{panel.pk}/").status_code == status


@pytest.mark.parametrize(
    "path",
    ["trialsite/user/1", "trialsite/grant/1", "auth/group/1", "patients/allocationslot/1", "patients/nothing/1",
     "nothing/nothing/1", "visits/panelrecord/999999999999999999999999", "sessions/session/1"],
)  # fmt: skip
def test_what_has_no_door_has_no_history_page(unchanged, path):
    assert unchanged.client(unchanged.ines).get(f"/history/{path}/").status_code == 404


@pytest.mark.requirement("R4")
def test_no_address_writes_to_the_trail(unchanged):
    panel = unchanged.panel(unchanged.screened(), "SCR", "haematology")
    for name in ("chen", "ada", "sofia", "ines"):
        client = unchanged.client(getattr(unchanged, name))
        for method in ("post", "put", "patch", "delete"):
            answer = getattr(client, method)(f"/history/visits/panelrecord/{panel.pk}/")
            assert answer.status_code in (403, 405), (name, method)


def test_a_query_and_its_messages_are_in_the_trail(unchanged):
    panel = unchanged.panel(unchanged.screened(), "SCR", "chemistry")
    visit_steps.enter_panel(panel=panel, by=unchanged.chen, slips={"CREAT": "400"})
    query = Query.objects.get(panel=panel)
    visit_actions.answer_query(query=query, text="It is right", version=None, by=unchanged.wang)
    visit_actions.close_query(query=query, version=None, by=unchanged.david)
    assert [e.by_name for e in history_of(query)] == ["Chen Wei", "Wang Jun", "David Dao"]


def test_the_consent_carries_its_reason(unchanged):
    consent = Consent.objects.filter(patient=unchanged.screened()).get()
    (event,) = history_of(consent)
    assert event.reason.startswith("consent 1.0 signed on")
    assert audit.changes_of(event)


@pytest.mark.requirement("R4")
@pytest.mark.parametrize(
    "statement",
    [
        "update patients_patient set id = id + 1000000, sex = 'M' where id = %s",
        "insert into patients_patient select (p).* from (select p from patients_patient p where id = %s) q "
        "on conflict (id) do update set id = excluded.id + 1000000",
    ],
)
def test_a_row_cannot_slip_past_the_trail_under_another_key(unchanged, statement):
    patient = unchanged.screened()
    before = AuditEvent.objects.count()
    with pytest.raises(DatabaseError, match="key of a row"), transaction.atomic(), acting(unchanged.chen, "slipping"):
        tell_database(unchanged.chen, "slipping")
        with connection.cursor() as cursor:
            cursor.execute(statement, [patient.pk])
    assert AuditEvent.objects.count() == before


@pytest.mark.requirement("R4")
def test_the_runtime_role_cannot_burn_the_numbers_of_the_trail(unchanged):
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("select nextval('trialsite_auditevent_id_seq')")
