"""Who reaches what: sites keep apart, the blind holds, the sponsor's side changes nothing, a GET writes nothing."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from patients import actions as patient_actions
from patients import demo as patient_steps
from patients.models import AllocationSlot, Consent, Medication, Patient, Scope, Unmasking
from safety import actions as safety_actions
from safety import demo as safety_steps
from safety.actions.reports import request_dsmb_report
from safety.models import AdverseEvent, Coding, Deviation, Release
from safety.proposals import unjudged_of
from tests.universe import CAST, fields_of, send
from trialsite import actions
from trialsite.audit import acting, audited_models
from trialsite.exchange.actions import request_export
from trialsite.management.commands.check_roles_dump import FOR_EVERYBODY_SIGNED_IN, routes
from trialsite.middleware import OPEN_PATHS
from trialsite.models import User
from trialsite.roles import Permission, can
from visits import actions as visit_actions
from visits import demo as visit_steps
from visits.models import Infusion, Lot, Measurement, PanelRecord, Visit

SITE_STAFF = ("chen", "wang", "zhao", "li")
# what only the sites do
SITES_OWN = {
    Permission.ENTER_DATA, Permission.DECIDE_ELIGIBILITY, Permission.REPORT_ADVERSE_EVENTS, Permission.RECORD_INFUSIONS,
    Permission.PREPARE_INFUSIONS, Permission.MANAGE_LOTS,
}  # fmt: skip
SPONSOR_SIDE = ("maria", "david", "sofia", "samuel", "dora", "ada", "ines")


def fill(universe):
    """Patients at both sites with everything that a page can show. Gives the records by the name of the page's key."""
    found = {}
    for site, by, seed in ((universe.site, universe.chen, 1), (universe.other_site, universe.li, 2)):
        patient = universe.randomised(site=site, by=by, seed=seed)
        visit_steps.give_infusion(patient=patient, by=by, number=1, reactions=[("Chills", 20, 2)])
        panel = visit_steps.enter_visit(patient=patient, code=code_of(patient, 1), by=by).panels.first()
        event = universe.event(patient, by=by)
        case = universe.event(patient, by=by, is_serious=True, is_important=True, grade=3).case
        safety_actions.report_case(case=case, version=None, by=by)
        query = visit_steps.ask(panel=panel, by=universe.maria)
        deviation, dismissed = deviate(patient, by)
        result, declined = derail(patient, by)
        universe.screened(site=site, by=by, seed=seed + 7)
        lot = Lot.objects.filter(site=site).first()
        laboratory = visit_steps.make_laboratory(
            site=site, protocol=patient.protocol, on=patient.screened_on, by=universe.david
        )
        line = patient_steps.add_medication(patient=patient, treatment="Aspirin", started_on="2020", by=by)
        seen = visit_actions.Seen(
            "visits.panelrecord", panel.pk, panel.version, (panel.protocol.panel(panel.code).tests[0],)
        )
        [mark], _ = visit_actions.verify_forms(patient=patient, seen=[seen], by=universe.maria)
        with acting(by):  # as if the trial were masked: an open one refuses it
            unmasking = Unmasking.objects.create(patient=patient, category="other", explanation="x", unmasked_by=by)
        casebook = safety_actions.request_casebook(patient=patient, cutoff=timezone.now(), language="en", by=by)
        found[site.code] = {
            "casebook": casebook, "case": case, "coding": Coding.objects.get(kind="adverse_event", record_id=event.pk),
            "unmasking": unmasking,
            "patient": patient, "visit": Visit.objects.get(patient=patient, code=code_of(patient, 1)), "panel": panel,
            "event": event, "query": query, "lot": lot, "line": line, "deviation": deviation, "dismissed": dismissed,
            "laboratory": laboratory, "range": laboratory.ranges.first(),
            "mark": mark, "result": result, "declined": declined, "reaction": patient.reactions.get(),
        }  # fmt: skip
    found["halt"] = patient_actions.open_halt(scope=Scope.TRIAL, blocks=["enrol"], cause="Pause", by=universe.samuel)
    found["retired"] = visit_actions.retire_check(code="weight_change", reason="Noise", by=universe.david)
    found["report"] = request_dsmb_report(cutoff=timezone.now().date(), by=universe.sofia)
    with acting(universe.sofia):
        Release.objects.create(report=found["report"], released_by=universe.sofia)
    found["recommendation"] = safety_actions.record_recommendation(
        met_on=timezone.now().date(), decision="continue", rationale="Nothing new", by=universe.dora,
        action_items=[("Tell the sites", "Sponsor", None)],
    )  # fmt: skip
    for member in (universe.dora, universe.dan):
        safety_actions.sign_recommendation(recommendation=found["recommendation"], version=1, by=member)
    sites = [universe.site.pk, universe.other_site.pk]
    found["export"] = request_export(cutoff=timezone.now(), sites=sites, kinds=["patients"], by=universe.sofia)
    return found


def deviate(patient, by):
    """A deviation by hand, a proposal that was judged to be none, and one that waits."""
    deviation = safety_steps.record_deviation(patient=patient, by=by)
    with acting(by, "less than was planned"):
        Infusion.objects.filter(patient=patient).update(volume_ml=1, given_percent=50)
    dismissed = safety_actions.dismiss_proposal(
        patient=patient, proposal_key="volume_off_limits:1", reason="The pump is calibrated anew", by=by
    )
    assert "dose_off_plan:1" in {proposal.key for proposal in unjudged_of(patient)}
    return deviation, dismissed


def derail(patient, by):
    """A result whose grade proposes an adverse event, and one that was judged to be none."""
    for test, value in (("ALT", "400"), ("HGB", "60")):
        panel = Measurement.objects.filter(patient=patient, test=test).first().panel
        visit_actions.record_panel(
            panel=panel, values={test: value}, collected_on=panel.collected_on, version=None, reason="misread", by=by
        )
    result, other = (Measurement.objects.filter(patient=patient, test=test, grade=4).get() for test in ("ALT", "HGB"))
    return result, safety_actions.decline_result(seen=other, reason="A clotted tube", by=by)


def code_of(patient, infusion):
    return patient.protocol.visit_of_infusion(infusion).code


@pytest.fixture(scope="module")
def records(world):
    return fill(world)


CASE_PAGES = ("show_case", "judge_case", "report_case", "freeze_case", "choose_case_records", "correct_knowledge",
              "record_submission")  # fmt: skip


def arguments_of(name, here, records):
    """The values of an address's keys for the records of one site; None when the address has none of its own."""
    patient = here["patient"].pk
    line = {"pk": patient, "kind": "medication", "line_pk": here["line"].pk}
    table = {
        "patients:add_line": {"pk": patient, "kind": "medication"},
        "patients:correct_consent": {"pk": here["patient"].consents.first().pk},
        "patients:change_line": line,
        "patients:withdraw_line": line,
        "patients:show_unmasking": {"pk": here["unmasking"].pk},
        **{
            f"safety:{verb}_recommendation": {"pk": records["recommendation"].pk}
            for verb in ("show", "sign", "withdraw", "acknowledge")
        },
        "safety:resolve_action_item": {"pk": records["recommendation"].action_items.get().pk},
        "safety:release_report": {"pk": records["report"].pk},
        "safety:confirm_reading": {"pk": records["report"].pk, "part": "open"},
        **{f"safety:{name}": {"code": "events"} for name in ("show_listing", "take_listing", "save_view")},
        "safety:forget_view": {"pk": 1},
        **{f"safety:{name}": {"pk": here["case"].pk} for name in CASE_PAGES},
        "safety:download_cioms": {"pk": here["case"].versions.get().pk},
        **{f"safety:{verb}_authority_copy": {"pk": here["case"].versions.get().pk} for verb in ("ask_for", "make")},
        "safety:read_letters": {"series": 1},
        "safety:acknowledge_submission": {"pk": here["case"].submissions.get().pk},
        "visits:add_unscheduled_visit": {"patient_pk": patient},
        "visits:calendar_feed": {"token": "guessed"},
        **{f"visits:{name}": {"pk": here["laboratory"].pk} for name in ("add_range", "copy_ranges", "import_ranges")},
        "visits:raise_query": {"panel_pk": here["panel"].pk},
        "visits:query_record": {"app": "patients", "model": "medication", "pk": here["line"].pk},
        "visits:retire_check": {"key": "implausible-CD4"},
        "visits:restore_check": {"pk": records["retired"].pk},
        "visits:show_query": {"pk": here["query"].pk},
        "safety:show_casebook": {"patient_pk": patient},
        "safety:request_certified_copy": {"patient_pk": patient},
        "safety:show_certified_copy": {"pk": here["casebook"].pk},
        "safety:show_copy_progress": {"pk": here["casebook"].pk},
        "safety:download_certified_copy": {"pk": here["casebook"].pk},
        "safety:report_adverse_event": {"patient_pk": patient},
        "safety:code_term": {"kind": "adverse_event", "pk": here["event"].pk},
        "safety:reject_code": {"pk": here["coding"].pk},
        "safety:compare_dictionary": {"pk": here["coding"].dictionary_id},
        "safety:use_dictionary": {"pk": here["coding"].dictionary_id},
        "safety:count_abnormal_results": {"patient_pk": patient},
        "safety:report_proposed_event": {"kind": "reaction", "pk": here["reaction"].pk},
        "safety:add_result_to_event": {"kind": "measurement", "pk": here["result"].pk},
        "safety:decline_result": {"kind": "reaction", "pk": here["reaction"].pk},
        "safety:restore_result": {"pk": here["declined"].pk},
        "visits:confirm_grade": {"pk": here["result"].pk},
        "safety:record_deviation": {"patient_pk": patient},
        "safety:list_deviations_of_patient": {"pk": patient},
        "safety:dismiss_proposal": {"patient_pk": patient},
        "safety:restore_proposal": {"pk": here["dismissed"].pk},
        "safety:download_file": {"pk": records["report"].pk, "part": "open", "name": "report.pdf"},
        "show_export": {"pk": records["export"].pk},
        "show_export_progress": {"pk": records["export"].pk},
        "show_history": {"app": "visits", "model": "panelrecord", "pk": here["panel"].pk},
        "visits:list_to_check": {"step": "verify"},
        "visits:list_work": {"kind": "infusions"},
        "visits:show_work": {"kind": "begun"},
        "visits:show_waiting": {"step": "verify"},
        "visits:check_visit": {"step": "verify", "pk": here["visit"].pk},
        "visits:check_patient": {"step": "verify", "pk": patient},
        "visits:check_record": {"step": "verify", "app": "visits", "model": "panelrecord", "pk": here["panel"].pk},
        "visits:take_back_mark": {"pk": here["mark"].pk},
        "visits:hold_patient": {"pk": patient},
        "safety:show_stopping_rule": {"code": "RELATED_G3"},
        "set_password": {"account": "1", "token": "x"},
    }
    if name in table:
        return table[name]
    for part, record in (
        ("laboratory", here["laboratory"]), ("range", here["range"]),
        ("lot", here["lot"]), ("panel", here["panel"]), ("adverse_event", here["event"]),
        ("deviation", here["deviation"]),
        ("patients:", here["patient"]),
        ("visits:", here["visit"]), ("report", records["report"]), ("progress", records["report"]),
    ):  # fmt: skip
        if part in name:
            return {"pk": record.pk}
    return {"pk": User.objects.get(username="ines").pk}


def pages(here, records):
    """(name, address, view) of every address, with the records of one site."""
    for route, name, view in routes():
        if name in ("ready", "sign_out"):  # asks a broker that is not there; ends the session
            continue
        if "<" in route:
            values = arguments_of(name, here, records)
            yield name, reverse(name, kwargs=values), view
        else:
            yield name, route, view


def addresses_of_records(here, records):
    """(name, address) of what belongs to a site."""
    everybodys = (
        "halt",
        "show_report",
        "progress",
        "download",
        "request_report",
        "_check",
        "recommendation",
        "release_report",
        "reading",
        "action_item",
        "listing",
        "_view",
        "stopping",
        "_work",
    )
    with_key = {name for route, name, _view in routes() if "<" in route}
    return [
        (name, url)
        for name, url, _view in pages(here, records)
        if name in with_key and name.startswith(("patients", "visits", "safety", "show_history"))
        and not any(word in name for word in everybodys)
    ]  # fmt: skip


# --- sites keep apart ---------------------------------------------------------------------------------


@pytest.mark.requirement("R44", "R48")
@pytest.mark.parametrize("name", ["chen", "wang", "zhao"])
def test_what_belongs_to_another_site_answers_like_what_is_not_there(unchanged, records, name):
    client = unchanged.client(getattr(unchanged, name))
    foreign = addresses_of_records(records["02"], records)
    assert len(foreign) > 25
    for page, url in foreign:
        missing = re.sub(r"/\d+/", "/987654/", url)
        for method in ("get", "post"):
            theirs, nothing = getattr(client, method)(url), getattr(client, method)(missing)
            assert theirs.status_code == nothing.status_code, (page, method)
            assert theirs.status_code in (403, 404, 405), (page, method, theirs.status_code)
            assert b"02-0" not in theirs.content


@pytest.mark.requirement("R44")
@pytest.mark.parametrize("name", ["chen", "zhao"])
def test_no_page_of_a_site_names_a_patient_or_lot_of_another(unchanged, records, name):
    client = unchanged.client(getattr(unchanged, name))
    theirs = [patient.number.encode() for patient in Patient.objects.filter(site=unchanged.other_site)]
    theirs += [lot.number.encode() for lot in Lot.objects.filter(site=unchanged.other_site)]
    assert len(theirs) >= 3
    for page, url, _view in pages(records["01"], records):
        filtered = [f"{url}?site={unchanged.other_site.pk}"] if "list" in page or "grid" in page else []
        for address in (url, *filtered):
            body = client.get(address).content
            assert not [secret for secret in theirs if secret in body], (page, address)


@pytest.mark.requirement("R44")
def test_a_form_cannot_reach_across_sites(unchanged, records):
    """The key of a record of site 02 in the body of a form of site 01."""
    chen, zhao = unchanged.client(unchanged.chen), unchanged.client(unchanged.zhao)
    here, there = records["01"], records["02"]
    answer = send(chen, "/patients/screen/", site=unchanged.other_site.pk, sex="M", birth_date="1980-01-01",
                  screened_on="2026-01-01")  # fmt: skip
    assert answer.status_code == 422
    answer = send(zhao, "/visits/lots/receive/", site=unchanged.other_site.pk, product="UCMSC", number="X",
                  received_on="2026-01-01", expires_on="2027-01-01")  # fmt: skip
    assert answer.status_code == 422
    visit = Visit.objects.get(patient=here["patient"], code=code_of(here["patient"], 2))
    answer = send(zhao, f"/visits/{visit.pk}/prepare/", lot=there["lot"].pk, weight_kg="60", label="X1")
    assert answer.status_code == 422
    # a line of a foreign patient under the address of an own one
    foreign = reverse("patients:change_line", args=[here["patient"].pk, "medication", there["line"].pk])
    assert chen.get(foreign).status_code == 404
    answer = chen.post("/patients/find/", {"number": there["patient"].number})
    assert answer["Location"] == "/patients/"


# their addresses lead to the listings that took their place
MOVED = {"safety:list_adverse_events", "safety:list_deviations"}


# --- each role, each address ---------------------------------------------------------------------------


@pytest.mark.requirement("R44", "R52")
@pytest.mark.parametrize("name", list(CAST))
def test_every_address_answers_each_role_as_its_permissions_say(unchanged, records, name):
    user = getattr(unchanged, name)
    here = records["02" if name == "li" else "01"]
    client = unchanged.client(user)
    for page, url, view in pages(here, records):
        status = client.get(url).status_code
        assert status < 500, (page, url)
        if page in FOR_EVERYBODY_SIGNED_IN or url.startswith(OPEN_PATHS):
            assert status in (200, 302, 404, 405, 503), (page, status)
        elif any(can(user, permission) for permission in view.permissions):
            assert status in ((302,) if page in MOVED else (200, 403, 404, 405)), (page, status)
        else:
            assert status in (403, 405), (page, status)
        for method in ("put", "patch", "delete"):
            answer = getattr(client, method)(url)
            assert answer.status_code in (400, 403, 404, 405, 302), (page, method, answer.status_code)


def digest_of_everything():
    """One value that changes when any row of any table but the sessions changes."""
    with connection.cursor() as cursor:
        cursor.execute("select table_name from information_schema.tables where table_schema = 'public' order by 1")
        tables = [name for (name,) in cursor.fetchall() if not name.startswith("django_session")]
        ask = " union all ".join(
            f"select '{t}', count(*), coalesce(sum(hashtextextended(x::text, 0)), 0) from {t} x" for t in tables
        )
        cursor.execute(ask)
        return sorted(cursor.fetchall())  # a parallel plan gives them in any order


@pytest.mark.requirement("R50")
@pytest.mark.parametrize("name", list(CAST))
def test_reading_writes_nothing(unchanged, records, name):
    client = unchanged.client(getattr(unchanged, name))
    here = records["02" if name == "li" else "01"]
    before = digest_of_everything()
    writes = re.compile(r"\s*(insert|update|delete|truncate|with .*(insert|update|delete))\b", re.I)
    for page, url, _view in pages(here, records):
        if page == "live":
            continue
        with CaptureQueriesContext(connection) as asked:
            client.get(url)
        written = [q["sql"] for q in asked if writes.match(q["sql"])]
        assert not written, (page, written)
    assert digest_of_everything() == before


@pytest.mark.requirement("R14", "R44")
@pytest.mark.parametrize("name", SPONSOR_SIDE)
def test_the_sponsors_side_cannot_change_data_of_the_sites(unchanged, records, name):
    """Each form of the site's own, opened by the coordinator, sent by somebody of the sponsor's side."""
    user = getattr(unchanged, name)
    here = records["01"]
    owner, zhao = unchanged.client(unchanged.chen), unchanged.client(unchanged.zhao)
    client = unchanged.client(user)
    tables = [m for m in audited_models() if m._meta.app_label in ("patients", "visits", "safety")]
    before = {model: model.objects.count() for model in tables}
    versions = patient_versions()
    tried = 0
    for page, url, view in pages(here, records):
        needed = set(getattr(view, "to_post", ()))
        if not needed or not needed <= SITES_OWN:
            continue
        shown = owner.get(url)
        shown = shown if shown.status_code == 200 else zhao.get(url)
        data = fields_of(shown) if shown.status_code == 200 else {}
        assert client.post(url, data).status_code == 403, page
        tried += 1
    assert tried > 20
    assert {model: model.objects.count() for model in tables} == before
    assert patient_versions() == versions


def patient_versions():
    models = (Patient, PanelRecord, Visit, Measurement, Infusion, AdverseEvent, Deviation, Medication, Consent, Lot)
    return [list(model.objects.order_by("pk").values_list("pk", "version")) for model in models]


@pytest.mark.requirement("R44")
def test_who_enters_data_at_one_site_and_only_looks_at_another_changes_nothing_there(unchanged, records):
    """Roles at two sites do not mix: a monitor of all sites who is a coordinator at site 02, at each form of site 01."""
    actions.grant_role(user=unchanged.maria, role="coordinator", site=unchanged.other_site, by=unchanged.ada)
    actions.grant_role(user=unchanged.maria, role="pharmacist", site=unchanged.other_site, by=unchanged.ada)
    here, versions = records["01"], patient_versions()
    owner, client = unchanged.client(unchanged.chen), unchanged.client(User.objects.get(username="maria"))
    tried = 0
    for page, url, view in pages(here, records):
        needed = set(getattr(view, "to_post", ()))
        if not needed or not needed <= SITES_OWN or "<" not in next(r for r, name, _ in routes() if name == page):
            continue
        shown = owner.get(url)
        answer = client.post(url, fields_of(shown) if shown.status_code == 200 else {})
        assert answer.status_code in (403, 404, 405), (page, answer.status_code)
        tried += 1
    assert tried > 20
    assert patient_versions() == versions


@pytest.mark.requirement("R49")
def test_a_revoked_role_is_gone_at_the_next_request(unchanged, records):
    client = unchanged.client(unchanged.chen)
    assert client.get("/patients/").status_code == 200
    actions.revoke_role(grant=unchanged.chen.grants.get(), reason="left", by=unchanged.ada)
    assert client.get("/patients/").status_code in (302, 403)


def test_without_a_session_no_address_shows_anything(world, records, client):
    for page, url, _view in pages(records["01"], records):
        if url.startswith(OPEN_PATHS):
            continue
        for method in ("get", "post"):
            answer = getattr(client, method)(url)
            assert answer.status_code in (302, 405), (page, method)
            if answer.status_code == 302:
                assert answer["Location"].startswith("/sign-in/")


def test_an_open_trial_shows_the_arm_to_the_site(unchanged, records):
    patient = records["01"]["patient"]
    arm = patient.protocol.arm(AllocationSlot.objects.get(patient=patient).arm)
    page = unchanged.client(unchanged.chen).get(f"/patients/{patient.pk}/").content.decode()
    assert f">{arm.name}<" in page
