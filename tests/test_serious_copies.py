"""The authority's copy of a serious case in a masked trial: it alone names the product, and who made it is written down."""

import subprocess

import pytest
from django.db import transaction
from django.urls import reverse

from patients.models import AllocationSlot
from safety import actions
from safety.cioms import cioms_pdf, lots_told
from safety.models import AuthorityCopy
from tests.test_blinding import TELLING, masked_universe, with_marker
from tests.universe import PASSWORD, send
from trialsite import trial
from trialsite.audit import acting
from trialsite.models import AuditEvent, Email
from trialsite.saving import Refused
from visits import demo as visit_steps
from visits.models import Lot

SUSAR = {"is_serious": True, "is_hospitalisation": True, "grade": 3, "relationship": "possible", "infusion_number": 1,
         "term": "Sepsis", "narrative": "Fever of 39.2 °C."}  # fmt: skip


@pytest.fixture(scope="module")
def masked_world(django_db_setup, django_db_blocker):
    """A masked trial that reports to an authority, with one who was infused."""
    with masked_universe(django_db_blocker) as universe:
        universe.patient = universe.randomised()
        visit_steps.give_infusion(patient=universe.patient, by=universe.chen, pharmacist=universe.zhao, number=1)
        for lot in Lot.objects.all():
            with_marker(universe, lot)
        yield universe


@pytest.fixture
def masked(masked_world):
    with transaction.atomic():
        yield masked_world
        transaction.set_rollback(True)


@pytest.fixture
def version(masked):
    return version_of(masked)


def version_of(masked, **changes):
    event = masked.event(masked.patient, **{**SUSAR, **changes})
    return actions.report_case(case=event.case, version=None, by=masked.wang)


def address(name, version):
    return reverse(f"safety:{name}", args=[version.pk])


def case_page(masked, name, version):
    return masked.client(getattr(masked, name)).get(reverse("safety:show_case", args=[version.case_id]))


def words_of(pdf):
    return subprocess.run(
        ["pdftotext", "-layout", "-", "-"], input=pdf, capture_output=True, check=True
    ).stdout.decode()


def product_given(patient):
    protocol = trial.current_protocol()
    return protocol.product(protocol.arm(AllocationSlot.objects.get(patient=patient).arm).product)


@pytest.mark.requirement("R45")
def test_the_officer_asks_the_statistician_makes_and_the_officer_sees_when_and_by_whom(masked, version):
    samuel, sofia = masked.client(masked.samuel), masked.client(masked.sofia)
    ask, make = address("ask_for_authority_copy", version), address("make_authority_copy", version)
    page = case_page(masked, "samuel", version).content.decode()
    assert ask in page and make not in page and "goes to ethics committees and investigators" in page
    assert send(samuel, ask, purpose="report").status_code == 302
    page = case_page(masked, "samuel", version).content.decode()
    assert "asked for" in page and "Samuel Said" in page and ask not in page
    assert make in sofia.get("/").content.decode(), "it waits on the start page of who can make it"
    answer = send(sofia, make, password=PASSWORD)
    assert answer["Content-Type"] == "application/pdf" and "no-store" in answer["Cache-Control"]
    assert product_given(masked.patient).name in words_of(answer.content)
    assert make not in sofia.get("/").content.decode()
    page = case_page(masked, "samuel", version)
    assert "made" in page.content.decode() and "Sofia Stern" in page.content.decode()
    assert not TELLING.search(page.content)
    assert list(AuthorityCopy.objects.values_list("step", "purpose", "by__username")) == [
        ("asked", "report", "samuel"), ("made", "report", "sofia"),
    ]  # fmt: skip


@pytest.mark.requirement("R45")
def test_the_authoritys_copy_names_product_dose_and_lot_and_says_for_whom_it_is(masked, version):
    answer = send(
        masked.client(masked.sofia), address("make_authority_copy", version), purpose="report", password=PASSWORD
    )
    text = words_of(answer.content)
    product = product_given(masked.patient)
    assert product.name in text and " or " not in text.partition("SUSPECT DRUG(S) (include")[2].partition("17.")[0]
    assert "ZQLOT" in text and "(infusion 1)" in text and "(masked)" not in text
    assert "UNMASKED COPY, FOR THE AUTHORITY ALONE" in text and "page 1 of 1" in text
    assert "authority" in answer["Content-Disposition"]


@pytest.mark.requirement("R45")
def test_every_other_copy_is_masked_also_the_statisticians(masked, version):
    for name in ("samuel", "wang", "sofia"):
        text = words_of(masked.client(getattr(masked, name)).get(address("download_cioms", version)).content)
        assert "(masked)" in text and "ZQLOT" not in text and "UNMASKED" not in text, name
    assert cioms_pdf(version, masked.sofia) == cioms_pdf(version, masked.samuel)


@pytest.mark.requirement("R45", "R46")
def test_without_the_password_there_is_no_copy_and_a_form_sent_again_gives_none(masked, version):
    sofia, make = masked.client(masked.sofia), address("make_authority_copy", version)
    refused = send(sofia, make, purpose="report", password="guess")
    assert refused.status_code == 422 and not AuthorityCopy.objects.exists()
    page = sofia.get(make)
    assert send(sofia, make, page=page, purpose="report", password=PASSWORD).status_code == 200
    again = send(sofia, make, page=page, purpose="report", password=PASSWORD)
    assert again.status_code == 302 and AuthorityCopy.objects.count() == 1


@pytest.mark.requirement("R45")
def test_nobody_who_is_masked_can_make_it_and_the_trail_does_not_tell_it(masked, version):
    make = address("make_authority_copy", version)
    for name in ("chen", "wang", "maria", "david", "samuel", "ines", "zhao", "dora", "ada"):
        client = masked.client(getattr(masked, name))
        for answer in (client.get(make), client.post(make, {"purpose": "report", "password": PASSWORD})):
            assert answer.status_code in (403, 404) and not TELLING.search(answer.content), name
    send(masked.client(masked.sofia), make, purpose="question", password=PASSWORD)
    told = AuditEvent.objects.filter(table="safety_authoritycopy").values_list("after", flat=True)
    assert len(told) == 1 and not TELLING.search(str(told).encode())


@pytest.mark.parametrize(
    "changes", [{"relationship": "not_related"}, {"is_serious": False, "is_hospitalisation": False}], ids=str
)
def test_of_what_is_no_susar_no_patient_is_unmasked(masked, version, changes):
    actions.change_adverse_event(
        event=version.case.event, values=changes, version=None, reason="for this test", by=masked.chen
    )
    actions.judge_case(
        case=version.case, causality="excluded", expectedness="unexpected", comment="Not the product.", version=None,
        by=masked.samuel,
    )  # fmt: skip
    page = case_page(masked, "samuel", version).content.decode()
    assert "Ask the statistician" not in page and "is made for an authority alone" in page
    for by, act in (("samuel", actions.ask_for_authority_copy), ("sofia", actions.make_authority_copy)):
        url = address(act.__name__, version)
        assert masked.client(getattr(masked, by)).get(url).status_code == 404
        with pytest.raises(Refused):
            act(case_version=version, purpose="report", by=getattr(masked, by))


def test_it_is_asked_for_once_and_again_when_it_was_made(masked, version):
    actions.ask_for_authority_copy(case_version=version, purpose="report", by=masked.samuel)
    with pytest.raises(Refused, match="asked for already"):
        actions.ask_for_authority_copy(case_version=version, purpose="report", by=masked.samuel)
    actions.make_authority_copy(case_version=version, purpose="report", by=masked.sofia)
    assert actions.ask_for_authority_copy(case_version=version, purpose="question", by=masked.samuel)


def test_who_is_asked_and_who_waits_are_told_by_e_mail_and_nothing_of_the_event(masked, version):
    for user in (masked.samuel, masked.sofia, masked.dora, masked.zhao):
        user.email = f"{user.username}@hospital.example"
        with acting(masked.system, "for this test"):
            user.save(update_fields=["email"])
    before = set(Email.objects.values_list("pk", flat=True))
    actions.ask_for_authority_copy(case_version=version, purpose="report", by=masked.samuel)
    actions.make_authority_copy(case_version=version, purpose="report", by=masked.sofia)
    asked, made = Email.objects.exclude(pk__in=before).order_by("pk")
    assert (asked.user, made.user) == (masked.sofia, masked.samuel)
    for email in (asked, made):
        told = email.subject + email.text
        assert version.case.number in told and "Sepsis" not in told and masked.patient.number not in told
        assert not TELLING.search(told.encode())


@pytest.mark.parametrize(
    ("lots", "words"),
    [
        ([], ""),
        ([(1, "L7")], "; lot L7 (infusion 1)"),
        ([(1, "L7"), (2, "L7"), (3, "L9")], "; lot L7 (infusions 1, 2), L9 (infusion 3)"),
    ],
)
def test_a_lot_stands_once_with_the_infusions_made_of_it(lots, words):
    assert lots_told(lots) == words
