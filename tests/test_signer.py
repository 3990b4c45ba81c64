"""Who signs proves it each time: the door before every electronic signature, and the form that carries the proof.

R20, R25: the signing itself is tested where records are signed."""

import re
import uuid

import pytest
from axes.models import AccessAttempt
from django import forms as django_forms
from django.core import mail
from django.http import HttpResponse
from django.utils import timezone

from tests.test_people import SECRET, code
from tests.universe import PASSWORD
from trialsite import actions, forms, mails, outbox, saving, sign_in, tasks
from trialsite.audit import acting
from trialsite.models import Email, FormReceipt, OutboxMessage, SecurityEvent
from trialsite.saving import DataForm, Saved, answer_form
from trialsite.sign_in import SignerRefused, confirm_signer


@pytest.fixture
def wang(unchanged):
    """An investigator, who signs."""
    return unchanged.wang


@pytest.fixture
def wang_with_phone(wang):
    actions.enrol_second_factor(user=wang, secret=SECRET, by=wang)
    return wang


@pytest.fixture
def request_of(rf):
    def make(user, path="/sign/", **sent):
        request = rf.post(path, sent)
        request.user, request.axes_locked_out = user, False
        return request

    return make


def kinds(user):
    return [event.kind for event in SecurityEvent.objects.filter(user=user).order_by("id")]


def refusal_of(request, **given):
    with pytest.raises(SignerRefused) as refusal:
        confirm_signer(request, **given)
    return refusal.value.errors


@pytest.mark.requirement("R20")
def test_the_own_password_confirms_the_signer(wang, request_of):
    assert confirm_signer(request_of(wang), password=PASSWORD) is None
    assert kinds(wang) == []


@pytest.mark.requirement("R20")
@pytest.mark.parametrize(
    "password", ["", "wrong words altogether", PASSWORD.upper(), PASSWORD + " ", "\x00", "x" * 2000]
)
def test_another_or_no_password_signs_nothing(wang, request_of, password):
    assert list(refusal_of(request_of(wang), password=password)) == ["password"]
    assert kinds(wang) == ["signature failed"]


@pytest.mark.requirement("R20")
def test_the_password_of_another_person_signs_nothing(wang, unchanged, request_of):
    other = "another long sentence of Chen"
    actions.change_password(user=unchanged.chen, password=other, by=unchanged.chen)
    assert refusal_of(request_of(wang, username="chen"), password=other)


@pytest.mark.requirement("R20")
def test_with_a_device_the_password_alone_signs_nothing(wang_with_phone, request_of):
    for given in ({}, {"code": ""}, {"code": "000000"}, {"code": code(steps=-1)}, {"code": code("A" * 32)}):
        assert list(refusal_of(request_of(wang_with_phone), password=PASSWORD, **given)) == ["code"]
    the_code = code()
    assert list(refusal_of(request_of(wang_with_phone), password="wrong words altogether", code=the_code)) == [
        "password"
    ]
    confirm_signer(request_of(wang_with_phone), password=PASSWORD, code=the_code)
    assert list(refusal_of(request_of(wang_with_phone), password=PASSWORD, code=the_code)) == ["code"], "it works once"


@pytest.mark.requirement("R20", "R31")
def test_failed_signatures_and_failed_sign_ins_are_counted_together(wang, client, request_of):
    for _ in range(6):
        refusal_of(request_of(wang), password="wrong words altogether")
    for _ in range(4):
        client.post("/sign-in/", {"username": "wang", "password": "wrong words altogether"})
    assert "Too many" in refusal_of(request_of(wang), password=PASSWORD)["password"][0]
    assert client.post("/sign-in/", {"username": "wang", "password": PASSWORD}).status_code == 429


def test_wrong_codes_at_signatures_are_counted_too(wang_with_phone, request_of):
    for _ in range(10):
        refusal_of(request_of(wang_with_phone), password=PASSWORD, code="000000")
    assert "Too many" in refusal_of(request_of(wang_with_phone), password=PASSWORD, code=code())["password"][0]


def test_the_throttle_keeps_nothing_of_what_was_to_be_signed(wang, request_of):
    refusal_of(request_of(wang, reason="the haemoglobin of 01-003", password="guess"), password="guess")
    kept = AccessAttempt.objects.get(username="wang")
    assert "haemoglobin" not in kept.post_data and "guess" not in kept.post_data


def test_the_signer_is_confirmed_before_the_transaction(wang, request_of):
    with pytest.raises(RuntimeError, match="before the transaction"), acting(wang):
        confirm_signer(request_of(wang), password=PASSWORD)


# --- the alert -----------------------------------------------------------------------------------------


@pytest.mark.requirement("R25")
def test_three_failures_raise_an_alert_and_send_an_e_mail(wang, request_of, caplog, settings):
    settings.ALERT_EMAIL = ["security@hospital.example", "sponsor@hospital.example"]
    for number in range(1, 4):
        refusal_of(request_of(wang, reason="the haemoglobin"), password="wrong words altogether")
        assert kinds(wang).count("signature failed") == number
        assert kinds(wang).count("failed signatures") == (number == 3)
    line = next(record for record in caplog.records if record.levelname == "ERROR")
    assert line.getMessage() == "failed signatures for one account: wang"
    for message in OutboxMessage.objects.order_by("pk"):
        assert tasks.send_email(**message.arguments, outbox_id=message.pk)
    assert not OutboxMessage.objects.filter(done_at=None).exists()
    assert [address for sent in mail.outbox for address in sent.to] == settings.ALERT_EMAIL
    sent = mail.outbox[0]
    assert "wang" in sent.subject and "127.0.0.1" in sent.body and "wrong words" not in sent.subject + sent.body


@pytest.mark.requirement("R25")
def test_the_outbox_carries_the_alert_even_when_the_broker_was_away(
    wang, request_of, monkeypatch, django_capture_on_commit_callbacks
):
    given = []
    monkeypatch.setattr(outbox, "send", lambda message: False)
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(3):
            refusal_of(request_of(wang), password="wrong words altogether")
    monkeypatch.setattr(outbox, "send", lambda message: given.append(message.task) or True)
    assert outbox.drain() == 1
    assert given == ["trialsite.tasks.send_email"]
    assert outbox.drain() == 0  # it is given time


def test_what_died_before_it_was_sent_is_sent_later(wang, request_of, monkeypatch):
    given = []
    for _ in range(3):
        refusal_of(request_of(wang), password="wrong words altogether")  # and nothing runs after the commit
    monkeypatch.setattr(outbox, "send", lambda message: given.append(message.task) or True)
    assert outbox.drain() == 0
    OutboxMessage.objects.update(sent_at=timezone.now() - outbox.SEND_AGAIN_AFTER)
    assert outbox.drain() == 1
    assert given == ["trialsite.tasks.send_email"]
    assert OutboxMessage.objects.get().times_sent == 2


def test_a_mail_server_that_is_down_leaves_the_alert_in_the_outbox(wang, request_of, monkeypatch):
    for _ in range(3):
        refusal_of(request_of(wang), password="wrong words altogether")
    message = OutboxMessage.objects.get()
    monkeypatch.setattr(mails, "message_of", lambda email: (_ for _ in ()).throw(ConnectionRefusedError()))
    with pytest.raises(ConnectionRefusedError):
        tasks.send_email(**message.arguments, outbox_id=message.pk)
    assert OutboxMessage.objects.get(pk=message.pk).done_at is None


def test_each_third_failure_is_told_again_until_the_pause(wang, request_of):
    for _ in range(20):
        refusal_of(request_of(wang), password="wrong words altogether")
    assert kinds(wang).count("failed signatures") == 3


def test_without_an_address_the_log_says_so(wang, request_of, settings, caplog):
    settings.ALERT_EMAIL = []
    sign_in.raise_alert(request_of(wang), sign_in.Event.SIGNATURE_ALERT, wang)
    assert "nobody has an address" in caplog.text and not OutboxMessage.objects.exists()
    assert Email.objects.get().state == "no_address", "and so does the page of e-mails"


# --- the form ------------------------------------------------------------------------------------------


class Signing(forms.SigningForm):
    meaning = django_forms.CharField()


def sign(request, saved, saved_at="/"):
    """A view that signs; `saved` collects what the action got."""
    form = Signing(request.POST, signer=request.user)
    save = lambda form: saved.append(form.values) or Saved(saved_at, 1)  # noqa: E731
    return form, answer_form(request, form, "form.html", {}, save, confirm=forms.confirming(request))


@pytest.fixture
def quiet_pages(monkeypatch):
    """The page is not drawn: what a template would get is the answer."""
    monkeypatch.setattr(
        saving, "render",
        lambda request, template, context, status: HttpResponse(context["form"].as_p(), status=status),
    )  # fmt: skip
    monkeypatch.setattr(saving.messages, "success", lambda *a: None)


def entries(**changes):
    return {"version": 1, "idem": uuid.uuid4(), "meaning": "reviewed", "password": PASSWORD, **changes}


def test_a_signing_form_asks_for_the_code_only_where_a_device_is_enrolled(wang):
    assert list(forms.SignerForm(signer=wang).fields) == ["password"]
    actions.enrol_second_factor(user=wang, secret=SECRET, by=wang)
    assert list(forms.SignerForm(signer=wang).fields) == ["password", "code"]
    assert not isinstance(forms.SignerForm(signer=wang), DataForm)


@pytest.mark.requirement("R20")
def test_a_signature_is_saved_once_and_its_receipt_knows_nothing_of_the_password(wang, request_of, quiet_pages):
    sent, saved = entries(), []
    assert sign(request_of(wang, **sent), saved)[1].status_code == 302
    digest = FormReceipt.objects.get(pk=sent["idem"]).digest
    form = Signing(signer=wang)
    others = [saving.digest_of(request_of(wang, **{**sent, "password": text, "code": text}), form) for text in "ab"]
    assert others == [digest, digest]
    assert saving.digest_of(request_of(wang, **{**sent, "meaning": "approved"}), form) != digest
    assert saved == [{"meaning": "reviewed"}], "no action gets the password"


def test_sent_again_with_a_used_code_it_gives_the_same_answer_and_signs_nothing_more(
    wang_with_phone, request_of, quiet_pages
):
    sent, saved = entries(code=code()), []
    answers = [sign(request_of(wang_with_phone, **sent), saved)[1] for _ in range(2)]
    assert [answer.status_code for answer in answers] == [302, 302] and len(saved) == 1
    assert kinds(wang_with_phone) == []


def test_with_other_content_the_key_is_refused(wang, request_of, quiet_pages):
    sent, saved = entries(), []
    sign(request_of(wang, **sent), saved)
    assert sign(request_of(wang, **{**sent, "meaning": "approved"}), saved)[1].status_code == 409
    assert len(saved) == 1


@pytest.mark.requirement("R20")
@pytest.mark.parametrize("changes", [{"password": ""}, {"password": "a wrong password here"}, {"meaning": ""}])
def test_what_is_refused_is_shown_again_without_the_password(wang_with_phone, request_of, quiet_pages, changes):
    sent, saved = entries(code="123456", **changes), []
    form, answer = sign(request_of(wang_with_phone, **sent), saved)
    page = answer.content.decode()
    assert answer.status_code == 422 and saved == [] and not FormReceipt.objects.filter(pk=sent["idem"]).exists()
    assert PASSWORD not in page and "a wrong password here" not in page and "123456" not in page
    assert form.errors
    if changes.get("meaning") is None:
        assert 'value="reviewed"' in page, "the rest is kept"


def test_a_password_field_that_nobody_named_is_not_kept_either(wang, request_of):
    class Careless(DataForm):
        pin = django_forms.CharField(widget=django_forms.PasswordInput)

    form = Careless(entries(pin="secret"))
    assert form.is_valid() and form.values == {}
    assert saving.digest_of(request_of(wang, pin="a"), form) == saving.digest_of(request_of(wang, pin="b"), form)


def test_no_password_is_read_back_from_a_conflict(wang):
    class Record:
        meaning, password, code = "approved", "x", "y"

    form = Signing(entries(), signer=wang)
    form.is_valid()
    rows = saving.conflict_rows(form, saving.Stale(Record()))
    assert [re.sub(r"\W", "", row["field"]) for row in rows] == ["Meaning"]
