"""The blind holds: in a masked trial no page tells those who must not know which arm a patient is in.

Every code, name and lot number that tells an arm bears a mark of its own; what blinded roles can reach is searched for
it. The last test opens the same pages as those who may know, so that the search is known to find."""

import io
import re
import subprocess
import tomllib
import zipfile
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest
from django.db import transaction
from django.urls import resolve
from django.utils import timezone

from patients import actions as patient_actions
from patients.models import AllocationSlot, Halt, Patient, Scope, Unmasking
from safety import actions as safety_actions
from safety import demo as safety_steps
from safety.actions.reports import request_dsmb_report
from safety.casebook import job as casebook_job
from safety.models import (
    AdverseEvent,
    ArmLetter,
    AuthorityCopy,
    Casebook,
    CaseVersion,
    Crossing,
    Deviation,
    DismissedProposal,
    DsmbReport,
    LetterLook,
    SeriousCase,
)
from safety.proposals import unjudged_among
from safety.stopping.notice import words_of_halt
from safety.tasks import make_dsmb_report
from tests.test_dsmb_files import objects_of
from tests.universe import Universe, fields_of, send
from trialsite import outbox, trial
from trialsite.actions import grant_role
from trialsite.audit import acting
from trialsite.exchange import job
from trialsite.management.commands.check_roles_dump import routes
from trialsite.models import DataExport, OutboxMessage, Site, User
from trialsite.protocol import Protocol
from trialsite.roles import permissions_of
from trialsite.saving import Refused
from visits import actions as visit_actions
from visits import demo as visit_steps
from visits.models import Infusion, Lot, Measurement, PanelRecord, Preparation, Query, Visit
from visits.readiness import ASK_THE_PHARMACY

MASKED = Path(trial.__file__).parent / "protocols" / "examples" / "masked-dose-finding.toml"
BLIND = ("chen", "wang", "maria", "david", "samuel", "ines")
TELLING = re.compile(rb"ZQ(PROD|NAME|ARM|TITLE|LOT|DONOR)")


def marked_protocol():
    """The masked example, in which every code and name that tells an arm begins with ZQ."""
    raw = tomllib.loads(MASKED.read_text(encoding="utf-8"), parse_float=Decimal)
    for product in raw["products"]:
        product["code"], product["name"] = f"ZQPROD{product['code']}"[:24], f"ZQNAME {product['name']}"
    for arm in raw["arms"]:
        arm["product"] = f"ZQPROD{arm['product']}"[:24]
        arm["code"], arm["name"] = f"ZQARM{arm['code']}", f"ZQTITLE {arm['name']}"
    for rule in raw["stopping_rules"]:
        if "arms" in rule:
            rule["arms"] = [f"ZQARM{code}" for code in rule["arms"]]
    return Protocol.model_validate(raw)


@contextmanager
def masked_universe(blocker):
    """A universe of a masked trial, undone at the end."""
    protocol = marked_protocol()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(trial, "versions", lambda: {protocol.version: protocol})
        with blocker.unblock(), transaction.atomic():
            yield Universe()
            transaction.set_rollback(True)


@pytest.fixture(scope="module")
def masked(django_db_setup, django_db_blocker):
    """A masked trial in which all has happened that could tell an arm."""
    with masked_universe(django_db_blocker) as universe:
        universe.patients = []
        for seed in range(1, 4):
            patient = universe.randomised(seed=seed)
            universe.patients.append(patient)
            visit_steps.give_infusion(patient=patient, by=universe.chen, pharmacist=universe.zhao, number=1)
        for lot in Lot.objects.all():
            with_marker(universe, lot)
        universe.event(universe.patients[0])
        case = universe.event(universe.patients[0], is_serious=True, is_important=True, grade=3).case
        version = safety_actions.report_case(case=case, version=None, by=universe.wang)
        safety_actions.ask_for_authority_copy(case_version=version, purpose="report", by=universe.samuel)
        safety_actions.make_authority_copy(case_version=version, purpose="report", by=universe.sofia)
        safety_actions.draw_arm_letters(series=1, by=universe.system)
        safety_actions.look_at_letters(series=1, reason="The board has asked", by=universe.sofia)
        deviate(universe)
        universe.halt = patient_actions.open_halt(
            scope=Scope.ARM, arm="ZQARMHIGH", blocks=["infuse"], cause="Under review", by=universe.dora
        )
        request_dsmb_report(cutoff=timezone.now().date(), by=universe.sofia)
        visit_steps.ask(panel=PanelRecord.objects.first(), by=universe.maria)
        patient_actions.unmask_patient(
            patient=universe.patients[0], category="medical_emergency", explanation="Anaphylaxis", by=universe.wang
        )
        yield universe


def deviate(universe):
    """Every infusion is off plan in the bag and in what was given: recorded, judged to be none, and waiting."""
    with acting(universe.zhao, "not as planned"):
        for preparation in Preparation.objects.all():
            Preparation.objects.filter(pk=preparation.pk).update(prepared_dose=preparation.planned_dose * 2)
        Infusion.objects.update(given_percent=Decimal(73), volume_ml=1)
    patient = universe.patients[0]
    proposal = next(p for who, p in unjudged_among(Patient.objects.filter(pk=patient.pk)) if "dose" in p.key)
    safety_steps.record_deviation(patient=patient, by=universe.chen, proposal=proposal)
    safety_actions.dismiss_proposal(
        patient=patient, proposal_key="volume_off_limits:1", reason="The pump was calibrated anew", by=universe.chen
    )


def with_marker(universe, lot):
    with acting(universe.zhao, "marked"):
        Lot.objects.filter(pk=lot.pk).update(number=f"ZQLOT{lot.pk}", donor=f"ZQDONOR{lot.pk}")


def crawl(client, start):
    """The addresses that can be reached by links from these, of each kind a few, and their answers."""
    waiting, seen, kinds = list(start), {}, Counter()
    while waiting:
        url = waiting.pop()
        kind = re.sub(r"\d+", "#", url)
        if url in seen or kinds[kind] >= 9:
            continue
        kinds[kind] += 1
        answer = client.get(url)
        assert answer.status_code < 500, url
        seen[url] = answer
        if answer.get("Content-Type", "").startswith("text/html"):
            links = re.findall(r'(?:href|hx-get|action)="(/[^"#]*)', answer.content.decode())
            waiting += [link.replace("&amp;", "&") for link in links if not link.startswith("/static/")]
    return seen


def starting_points(universe):
    """Every page that has one address, histories, and what no link leads those to who may not do it."""
    urls = [route for route, _name, _view in routes() if "<" not in route and not route.startswith("/healthz/")]
    urls += ["/visits/queries/?state=all"]
    for model, label in (
        (Patient, "patients/patient"), (Visit, "visits/visit"), (PanelRecord, "visits/panelrecord"),
        (Infusion, "visits/infusion"), (Preparation, "visits/preparation"), (Lot, "visits/lot"),
        (AllocationSlot, "patients/allocationslot"), (Query, "visits/query"), (AdverseEvent, "safety/adverseevent"),
        (SeriousCase, "safety/seriouscase"), (CaseVersion, "safety/caseversion"),
        (AuthorityCopy, "safety/authoritycopy"), (LetterLook, "safety/letterlook"), (ArmLetter, "safety/armletter"),
        (Deviation, "safety/deviation"), (DismissedProposal, "safety/dismissedproposal"),
        (Halt, "patients/halt"), (Unmasking, "patients/unmasking"), (DsmbReport, "safety/dsmbreport"), (Measurement, "visits/measurement"),
    ):  # fmt: skip
        urls += [f"/history/{label}/{pk}/" for pk in model.objects.order_by("pk").values_list("pk", flat=True)[:12]]
    for visit in Visit.objects.filter(patient__in=universe.patients).order_by("pk")[:12]:
        urls += [f"/visits/{visit.pk}/prepare/", f"/visits/{visit.pk}/infusion/"]
    return urls


@pytest.fixture(scope="module")
def crawled(masked):
    """By name of a person, what that one's crawl found; once for all tests of this file."""
    return cache(lambda name: crawl(masked.client(getattr(masked, name)), starting_points(masked)))


@pytest.mark.requirement("R45")
@pytest.mark.parametrize("name", ["chen", "david", "samuel", "ines"])
def test_no_blinded_role_reads_an_arm_a_product_or_a_lot_anywhere(crawled, name):
    answers = crawled(name)
    assert sum(answer.status_code == 200 for answer in answers.values()) > 30
    for url, answer in answers.items():
        assert not TELLING.search(answer.content + str(answer.headers).encode()), url


@pytest.mark.requirement("R45", "R46")
def test_who_unmasked_one_patient_reads_that_arm_on_one_page_and_nothing_else_anywhere(masked, crawled):
    answers = crawled("wang")
    telling = {url for url, answer in answers.items() if TELLING.search(answer.content + str(answer.headers).encode())}
    assert telling == {f"/patients/unmaskings/{Unmasking.objects.get().pk}/"}


# pages that no crawl of a blinded person opens, and why that is right
NOT_CRAWLED = {
    "before the sign-in, or about the own account": (
        "sign_in", "choose_language", "enter_code", "set_password", "sign_out", "enrol_second_factor", "end_own_sessions",
        "discard_draft", "visits:calendar_feed"),
    "of the machine": ("live", "ready"),
    "answers POST alone, with a redirect, a file or the part of a page that was crawled": (
        "patients:find_patient", "visits:renew_feed", "visits:end_feed", "visits:check_infusion", "visits:check_panel",
        "visits:clear_panel", "visits:take_back_mark", "visits:restore_check", "safety:use_dictionary", "safety:restore_result",
        "safety:forget_view", "safety:take_listing", "safety:acknowledge_recommendation"),
    "a redirect to a listing, which is crawled": ("safety:list_adverse_events", "safety:list_deviations"),
    "opened, with its files, by the tests of exports, copies and reports below": (
        "show_export", "show_export_progress", "download_export", "safety:show_certified_copy", "safety:show_copy_progress",
        "safety:download_certified_copy", "safety:download_file"),
    "a form that the state of every patient here refuses": (
        "patients:record_consent", "patients:assess_eligibility", "patients:randomise_patient", "visits:prepare_infusion", "visits:hold_patient"),
    "laboratories and ranges know no patient; there are none here": (
        "visits:show_laboratory", "visits:change_laboratory", "visits:add_range", "visits:copy_ranges", "visits:import_ranges",
        "visits:show_range", "visits:end_range", "visits:withdraw_range", "visits:apply_range"),
    "forms about a record that this universe has none of; what they show is crawled on the page of the patient or the case": (
        "safety:report_proposed_event", "safety:add_result_to_event", "safety:decline_result", "safety:record_submission",
        "safety:acknowledge_submission", "visits:confirm_grade"),
    "of the board, whose words are searched in tests/test_board.py": (
        "safety:show_recommendation", "safety:resolve_action_item"),
}  # fmt: skip


@pytest.mark.requirement("R45")
def test_every_page_that_a_blinded_role_may_open_is_crawled(crawled):
    """The list of pages is that of the addresses: a new one is found by the crawl, or somebody says here why not."""
    opened = {
        resolve(url.partition("?")[0]).view_name
        for name in ("chen", "david", "samuel", "wang", "ines")
        for url, answer in crawled(name).items()
        if answer.status_code == 200
    }
    blind = ("coordinator", "investigator", "monitor", "data_manager", "safety_officer", "inspector")
    held = {permission for role in blind for permission in permissions_of(role)}
    theirs = {name for _route, name, view in routes() if not held.isdisjoint(getattr(view, "permissions", held))}
    explained = {name for names in NOT_CRAWLED.values() for name in names}
    assert sorted(theirs - opened - explained) == []
    assert sorted(explained - theirs) == [], "explained, and no page of theirs"
    assert len(theirs & opened) > 90


# what differs from one answer to the next whatever the arms are
PASSING = re.compile(
    rb'csrfmiddlewaretoken" value="[^"]*"|"token": "[^"]*"|\b[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\b|\b[0-2][0-9]:[0-5][0-9]\b'
)


@pytest.mark.requirement("R45")
@pytest.mark.parametrize("name", ["chen", "wang", "samuel", "ines"])
def test_pages_are_equal_whatever_the_arms_mean(masked, name, monkeypatch):
    """Each arm gets the name, product and place of the next one. What the unmasked page tells is left out: it must differ.

    (That a slot's arm itself is exchanged cannot be tried in one database: a slot that is taken stays as it is.)"""

    client = masked.client(getattr(masked, name))

    def pages():
        answers = crawl(client, starting_points(masked))
        told = f"/patients/unmaskings/{Unmasking.objects.get().pk}/"
        return {url: PASSING.sub(b"", answer.content) for url, answer in answers.items() if url != told}

    before = pages()
    other = turned(trial.current_protocol())
    monkeypatch.setattr(trial, "versions", lambda: {other.version: other})
    after = pages()
    assert before.keys() == after.keys() and len(before) > 30
    assert not [url for url in before if before[url] != after[url]]


def turned(protocol):
    """The protocol with its arms in another order, each with the name and the product of another."""
    arms = protocol.arms
    following = [
        arm.model_copy(update={"code": code.code}) for arm, code in zip([*arms[1:], arms[0]], arms, strict=True)
    ]
    return protocol.model_copy(update={"arms": type(arms)(following[::-1])})


@pytest.mark.requirement("R45")
def test_the_dose_that_was_prepared_tells_the_arm_and_is_shown_to_those_only_who_may_know_it(masked):
    """On the visit's page, on the infusion's, and in the history of the visit, to which the preparation belongs."""
    for preparation in Preparation.objects.select_related("visit", "infusion"):
        urls = [f"/visits/{preparation.visit_id}/", f"/visits/{preparation.visit_id}/infusion/",
                f"/history/visits/visit/{preparation.visit_id}/",
                f"/history/visits/infusion/{preparation.infusion.pk}/"]  # fmt: skip
        told = re.compile(rf"planned dose|prepared dose|\b{int(preparation.planned_dose)}\b", re.I)
        for name in ("chen", "david", "samuel"):
            client = masked.client(getattr(masked, name))
            for url in urls:
                page = re.sub(r'value="[^"]*"', "", client.get(url).content.decode())
                found = {text for text in told.findall(page) if text != "100"}
                assert not found, (name, url, found)
        zhao = masked.client(masked.zhao)
        assert told.search(zhao.get(urls[0]).content.decode())
        assert told.search(zhao.get(urls[2]).content.decode())


@pytest.mark.requirement("R45")
def test_a_dose_off_plan_is_judged_by_the_part_of_the_bag_and_reads_alike_in_every_arm(masked):
    """The bag held twice the dose, which differs by arm; of it the site and everybody else learns nothing."""
    told = [(p.key, str(p.sentence)) for _patient, p in unjudged_among(Patient.objects.all()) if "dose" in p.key]
    assert told == [("dose_off_plan:1", "Infusion 1: the dose given differs from the planned one by -27.0 %; "
                     "up to 10 % is tolerated.")] * 2  # fmt: skip
    page = masked.client(masked.zhao).get("/safety/deviations/proposals/").content.decode()
    assert "-27.0 %" in page and "+46.0 %" not in page
    assert "the trial is masked" in masked.client(masked.chen).get(
        f"/safety/deviations/record/{masked.patients[0].pk}/"
    ).content.decode()  # fmt: skip


@pytest.mark.requirement("R45")
def test_the_pharmacist_and_the_statistician_do(masked):
    """So that the test above can fail."""
    zhao = crawl(masked.client(masked.zhao), ["/visits/lots/", f"/patients/{masked.patients[0].pk}/"])
    assert any(b"ZQLOT" in answer.content for answer in zhao.values())
    assert any(b"ZQTITLE" in answer.content for answer in zhao.values())
    sofia = masked.client(masked.sofia).get(f"/patients/{masked.patients[0].pk}/")
    assert b"ZQTITLE" in sofia.content


@pytest.mark.requirement("R45")
def test_who_sees_the_arms_of_one_site_learns_nothing_of_the_others_by_filters_pictures_and_rules(masked):
    """A monitor of all sites who is a pharmacist at site 02, and the pharmacist of site 01."""
    pages = ["/safety/listings/events/?c=patient&c=arm&arm=ZQARMHIGH", "/safety/listings/deaths/?arm=ZQARMHIGH"]
    pages += [f"/safety/listings/pictures/{name}/?by=arm" for name in ("classes", "shifts", "liver", "patients")]
    rules = [
        "/safety/stopping/",
        *(f"/safety/stopping/rules/{rule.code}/" for rule in marked_protocol().stopping_rules),
    ]
    with transaction.atomic():
        grant_role(user=masked.maria, role="pharmacist", site=masked.other_site, by=masked.system)
        maria, sofia = (masked.client(User.objects.get(username=name)) for name in ("maria", "sofia"))
        with acting(masked.system):
            Crossing.objects.create(
                halt=masked.halt, rule="R", protocol_version="1.0", patients=3, events=1, least=1, counted=[], who=[]
            )
        for name, sees in (("maria", False), ("zhao", False), ("samuel", False), ("sofia", True), ("dora", True)):
            assert Crossing.objects.visible_to(User.objects.get(username=name)).exists() == sees, name
        zhao = masked.client(masked.zhao)
        for client, urls in ((maria, pages), (maria, rules), (zhao, rules)):
            for url in urls:
                answer = client.get(url)
                told = answer.content.replace(b"arm=ZQARMHIGH", b"")  # what was asked, in the page's own links
                assert answer.status_code == 200 and not TELLING.search(told), url
        assert all(TELLING.search(sofia.get(url).content) for url in (pages[0], pages[2], rules[1]))
        transaction.set_rollback(True)


def everything_exported(universe, by):
    """All bytes of what this person can export, unpacked, and the pages around it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(outbox, "send", lambda message: None)
        client = universe.client(User.objects.get(pk=by.pk))
        asked = send(client, "/exports/new/")["Location"]
        export = DataExport.objects.latest("pk")
        assert job.run(export.pk, OutboxMessage.objects.latest("pk").pk), export.failure
    found = [client.get(url).content for url in ("/exports/", "/exports/new/", asked)]
    found += [str(export.__dict__).encode()]
    for file in export.files.all():
        answer = client.post(f"/exports/files/{file.pk}/")
        found.append(str(answer.headers).encode())
        with zipfile.ZipFile(io.BytesIO(answer.getvalue())) as archive:
            found += [archive.read(name) for name in archive.namelist()]
    return b"\n".join(found)


@pytest.mark.requirement("R45")
@pytest.mark.parametrize("name", ["david", "wang"])
def test_no_export_of_a_blinded_role_tells_an_arm_in_any_byte(masked, name):
    with transaction.atomic():
        everything = everything_exported(masked, getattr(masked, name))
        assert b"01-001" in everything and b"measurements.csv" in everything
        assert not TELLING.search(everything)
        for secret in (b"allocations", b"preparations", b"lot_tests", b"prepared_dose", b"Under review"):
            assert secret not in everything, secret
        for preparation in Preparation.objects.all():
            assert str(int(preparation.planned_dose)).encode() not in everything or preparation.planned_dose < 1000
        transaction.set_rollback(True)


def casebook_of(universe, by):
    """All bytes of the casebook of the first patient for this person: content, PDF opened, its words, and the pages around."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(outbox, "send", lambda message: None)
        client = universe.client(User.objects.get(pk=by.pk))
        asked = send(client, f"/safety/casebook/{universe.patients[0].pk}/copy/")["Location"]
        casebook = Casebook.objects.latest("pk")
        assert casebook_job.run(casebook.pk, OutboxMessage.objects.latest("pk").pk), casebook.failure
    found = [client.get(asked).content, client.get(f"/safety/casebook/{universe.patients[0].pk}/").content]
    for file in casebook.files.all():
        answer = client.post(f"/safety/copies/files/{file.pk}/")
        found += [str(answer.headers).encode(), objects_of(answer.content)]
        if answer.content.startswith(b"%PDF"):
            read = ["pdftotext", "-layout", "-", "-"]
            found.append(subprocess.run(read, input=answer.content, capture_output=True, check=True).stdout)
    return b"\n".join(found)


@pytest.mark.requirement("R45")
@pytest.mark.parametrize("name", ["chen", "maria"])
def test_no_casebook_of_a_blinded_role_tells_an_arm_in_any_byte(masked, name):
    with transaction.atomic():
        everything = casebook_of(masked, getattr(masked, name))
        assert b"Audit trail" in everything and b"Infusion 1" in everything
        assert (
            b"emergency unmaskings and their reasons" in b" ".join(everything.split())
            and b"Anaphylaxis" not in everything
        )
        assert not TELLING.search(everything)
        for secret in (
            b"allocationslot",
            b"visits_preparation",
            b"prepared_dose",
            b"prepared dose",
            b"planned dose",
            b"preparation_id",
        ):
            assert secret not in everything, secret
        transaction.set_rollback(True)


@pytest.mark.requirement("R45")
def test_the_pharmacists_casebook_names_arm_and_lot_and_no_free_place(masked):
    """So that the test above can fail."""
    with transaction.atomic():
        everything = casebook_of(masked, masked.zhao)
        assert {found.group() for found in TELLING.finditer(everything)} >= {b"ZQARM", b"ZQTITLE", b"ZQLOT", b"ZQPROD"}
        assert b"prepared dose" in everything and b"block_size" not in everything
        assert b"emergency unmaskings" not in everything and b"Anaphylaxis" in everything
        transaction.set_rollback(True)


@pytest.mark.requirement("R45")
def test_the_statistician_exports_arms_and_lots(masked):
    """So that the test above can fail."""
    with transaction.atomic():
        everything = everything_exported(masked, masked.sofia)
        assert {found.group() for found in TELLING.finditer(everything)} >= {
            b"ZQPROD",
            b"ZQARM",
            b"ZQLOT",
            b"ZQTITLE",
            b"ZQDONOR",
        }
        assert b"Under review" in everything
        transaction.set_rollback(True)


@pytest.mark.requirement("R45")
@pytest.mark.parametrize("name", ["chen", "wang", "samuel"])
def test_no_refusal_tells_a_blinded_role_the_arm(masked, name):
    """What is answered when an infusion is refused, a halt asks for an arm, or a form is sent blank."""
    client = masked.client(getattr(masked, name))
    with transaction.atomic():
        for patient in masked.patients:
            for visit in Visit.objects.filter(patient=patient, code__in=["V3", "V4"]):
                for path in ("infusion", "prepare"):
                    url = f"/visits/{visit.pk}/{path}/"
                    page = client.get(url)
                    data = fields_of(page) if page.status_code == 200 else {}
                    start = timezone.now() - timedelta(hours=3)
                    data |= {"started_at": f"{start:%Y-%m-%d %H:%M}", "volume_ml": "100", "given_percent": "50"}
                    data |= {"stopped_at": f"{start + timedelta(hours=1):%Y-%m-%d %H:%M}", "reason": "x"}
                    for sent in (data, {}):
                        answer = client.post(url, sent)
                        assert answer.status_code in (302, 403, 404, 422), url
                        assert not TELLING.search(answer.content), url
        page = client.get("/patients/halts/open/")
        if page.status_code == 200:
            sent = send(client, "/patients/halts/open/", page, scope="arm", arm="ZQARMLOW", blocks="infuse", cause="x")
            assert sent.status_code == 422 and Halt.objects.count() == 1
        transaction.set_rollback(True)


@pytest.mark.requirement("R45")
def test_the_closed_part_of_a_report_is_not_there_for_those_who_may_not_read_it(masked):
    report = DsmbReport.objects.get()
    for name in (*BLIND, "zhao"):
        client = masked.client(getattr(masked, name))
        for url in (
            f"/safety/reports/{report.pk}/?part=closed",
            f"/safety/reports/{report.pk}/files/closed/report.pdf",
            f"/safety/reports/{report.pk}/files/closed/figures.json",
        ):
            assert client.get(url).status_code in (403, 404), (name, url)
            refused = client.post(url)  # who may ask for reports is told what the form lacks, on no page of the part
            assert refused.status_code in (403, 404, 405, 422), (name, url)
            assert b"ZQARM" not in refused.content


@pytest.mark.requirement("R45")
def test_no_file_of_a_report_tells_an_arm_in_any_byte(masked):
    """Not even the closed part: its letters stand for the arms."""
    with transaction.atomic():
        report = DsmbReport.objects.get()
        assert make_dsmb_report(report_id=report.pk, outbox_id=0)
        for file in report.files.all():
            content = bytes(file.content)
            found = [content]
            if content.startswith(b"%PDF"):
                read = ["pdftotext", "-layout", "-", "-"]
                found += [
                    objects_of(content),
                    subprocess.run(read, input=content, capture_output=True, check=True).stdout,
                ]
            elif content.startswith(b"PK"):
                for name, one in unzipped(content):
                    found += [one, *(inner for _name, inner in unzipped(one))] if name.endswith("xlsx") else [one]
            assert not TELLING.search(b"\n".join(found)), (file.part, file.name)
        assert report.files.count() > 10
        transaction.set_rollback(True)


def unzipped(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def test_the_masked_universe_is_masked(masked):
    assert trial.current_protocol().is_masked
    assert AllocationSlot.objects.filter(arm__startswith="ZQARM").count() == AllocationSlot.objects.count()
    assert Site.objects.count() == 2 and User.objects.count() > 10
    assert visit_actions.latest_weight(masked.patients[0], trial.current_protocol(), timezone.now().date())


@pytest.mark.requirement("R45")
def test_a_site_is_not_told_why_a_bag_may_not_be_infused(masked):
    """Lot state, expiry, receipt and a halt of the arm would tell which patients share a lot, and so an arm."""
    patient = masked.patients[0]
    visit = visit_steps.visit_of(patient, patient.protocol.visit_of_infusion(2).code)
    with transaction.atomic():
        for panel in visit.panels.all():
            visit_steps.enter_panel(panel=panel, by=masked.chen, on=timezone.now().date())
        with acting(masked.zhao, "the interval is of no matter here"):
            Infusion.objects.filter(patient=patient).update(
                started_at=timezone.now() - timedelta(days=40), stopped_at=timezone.now() - timedelta(days=39)
            )
        preparation = visit_steps.prepare(
            patient=patient, visit=visit, number=2, on=timezone.now().date(), by=masked.zhao
        )
        with acting(masked.zhao, "rejected after the preparation"):
            Lot.objects.filter(pk=preparation.lot_id).update(state="rejected")
        started = timezone.now() - timedelta(minutes=30)
        with pytest.raises(Refused) as refusal:
            visit_actions.record_infusion(
                visit=visit, started_at=started, stopped_at=started + timedelta(minutes=20), volume_ml=Decimal(100),
                version=None, by=masked.chen,
            )  # fmt: skip
        assert refusal.value.errors == {"": [ASK_THE_PHARMACY]}
        transaction.set_rollback(True)


@pytest.mark.requirement("R45")
def test_a_halt_of_one_arm_is_shown_to_those_alone_who_may_see_arms(masked):
    for name in BLIND:
        page = masked.client(getattr(masked, name)).get("/patients/halts/").content.decode()
        assert "Under review" not in page, name
    assert "Under review" in masked.client(masked.dora).get("/patients/halts/").content.decode()


@pytest.mark.requirement("R45")
def test_a_halt_that_a_rule_of_one_arm_opens_tells_masked_eyes_neither_rule_nor_count(masked):
    """Every halt of a rule reads alike while the trial is masked; what it rests on is for those who may see arms."""
    protocol, arms = trial.current_protocol(), AllocationSlot.objects.filter(patient__in=masked.patients[:2])
    [toxicity] = [rule for rule in protocol.stopping_rules if rule.code == "TOXICITY"]
    toxicity = toxicity.model_copy(update={"arms": tuple(arms.values_list("arm", flat=True))})
    changed = protocol.model_copy(update={"stopping_rules": (toxicity,)})
    with pytest.MonkeyPatch.context() as patched, transaction.atomic():
        patched.setattr(trial, "versions", lambda: {protocol.version: changed})
        for patient in masked.patients[:2]:
            masked.event(patient, grade=3, relationship="probable")
        halt = Halt.objects.exclude(pk=masked.halt.pk).get()
        crossing = Crossing.objects.get()
        assert (crossing.rule, crossing.events) == ("TOXICITY", 2)
        assert (halt.scope, halt.rule, halt.opened_by_id) == (Scope.TRIAL, "", masked.system.pk)
        secret = re.compile(r"TOXICITY|on the high dose|2 of [23]", re.I)
        subject, text = words_of_halt(halt)
        assert not secret.search(subject + text)
        for name in BLIND:
            client = masked.client(getattr(masked, name))
            for url in ("/", "/patients/halts/", f"/history/patients/halt/{halt.pk}/"):
                answer = client.get(url)
                assert answer.status_code in (200, 404) and not TELLING.search(answer.content), (name, url)
                assert not secret.search(answer.content.decode()), (name, url)
            assert "A stopping rule of the protocol was met." in client.get("/patients/halts/").content.decode()
            assert not Crossing.objects.visible_to(getattr(masked, name)).exists()
            assert client.get(f"/history/safety/crossing/{crossing.pk}/").status_code in (403, 404)
        for name in ("sofia", "dora"):
            assert Crossing.objects.visible_to(getattr(masked, name)).exists()
        everything = everything_exported(masked, masked.david)
        assert b"A stopping rule of the protocol was met" in everything and not secret.search(
            everything.decode(errors="ignore")
        )
        transaction.set_rollback(True)


@pytest.mark.requirement("R45")
def test_who_is_not_randomised_because_one_arm_is_held_is_not_told_so(masked):
    with transaction.atomic():
        patient_actions.open_halt(
            scope=Scope.ARM, arm="ZQARMLOW", blocks=["randomise"], cause="Two deaths in ZQARMLOW", by=masked.dora
        )
        with pytest.raises(Refused) as refusal:
            masked.randomised(seed=9)
        [words] = refusal.value.errors[""]
        assert words.endswith("the safety board decides.") and "ZQ" not in words
        transaction.set_rollback(True)
