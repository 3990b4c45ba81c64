"""Whatever is sent, to every form and every list: never a 5xx, never a value that differs from what was typed."""

import os
import re
import uuid

import pytest
from django.urls import reverse

from patients.models import Patient
from tests.test_access import fill, pages
from tests.universe import fields_of, send
from trialsite.saving import DataForm
from visits import demo as visit_steps
from visits.models import CheckFiring, Measurement, PanelRecord

# every case goes to every fourth form, of which all are of a few kinds of field; to every form where there is time
EACH = 1 if os.environ.get("TRIALSITE_TEST_EVERYTHING") == "1" else 4
KEYS = ("csrfmiddlewaretoken", "version", "idem", "reason")

# names for the reader; what is sent
CORPUS = {
    "nothing": "", "blanks": "   ", "tab": "\t", "new lines": "\r\n\r\n",
    "huge": "9" * 400, "very large": "99999999999999999999", "too large for int8": "9223372036854775808",
    "negative": "-1", "minus zero": "-0", "plus": "+5", "leading zero": "007", "underscores": "1_2_0",
    "underscores in decimals": "7_0.5", "exponent": "1E2", "exponent below": "1e-7", "huge exponent": "1E999999",
    "hexadecimal": "0x1F", "comma": "12,5", "thousands": "1,000", "two points": "1.2.3", "point first": ".5",
    "point last": "5.", "NaN": "NaN", "infinity": "Infinity", "full-width digits": "１２３", "Arabic digits": "١٢٣",
    "superscript": "²", "fraction": "½", "blank inside": "1 2", "decimals": "1.123456789012345678",
    "less than": "<", "more than": ">50", "twice less": "<<50", "at most": "≤50", "about": "~50",
    "US date": "03/04/2026", "no such day": "2026-02-30", "year 1": "0001-01-01", "year 26": "0026-01-01",
    "year 9999": "9999-12-31", "beyond years": "99999-01-01", "month 13": "2026-13-01", "date and time": "2026-01-01T00:00",
    "time zone": "2026-01-01 10:00+02:00", "25 o'clock": "25:61", "full-width date": "２０２６-０１-０１",
    "zero-width space": "\u200b", "zero-width inside": "ab\u200bcd", "right to left": "\u202eabc", "byte order mark": "\ufeffabc",
    "Hangul filler": "\u3164", "replacement": "caf\ufffd", "NUL": "\x00", "NUL inside": "a\x00b", "escape": "\x1b[31m",
    "surrogate": "\ud800", "private use": "\ue000", "emoji": "👩🏽‍⚕️😀", "combining": "e\u0301" * 3, "Chinese": "头痛",
    "SQL": "'; drop table patients_patient; --", "SQL or": "1 or 1=1", "HTML": "<script>alert(1)</script>",
    "attribute": '" onmouseover="alert(1)', "template": "{{ 7*7 }}{% csrf_token %}", "format": "%(x)s %s %n {0}",
    "formula": "=1+1", "path": "../../../etc/passwd", "long word": "x" * 5000, "long line": "ab " * 30000,
}  # fmt: skip


@pytest.fixture(scope="module")
def records(world):
    return fill(world)


@pytest.fixture(scope="module")
def forms(world, records):
    """(address, name of who may send it, its fields as they are shown) of every data form there is."""
    found = []
    browsers = {
        name: world.client(getattr(world, name))
        for name in ("chen", "zhao", "maria", "david", "samuel", "dora", "sofia", "ada")
    }
    addresses = [url for _name, url, view in pages(records["01"], records) if getattr(view, "to_post", None)]
    here = records["01"]
    expected = PanelRecord.objects.filter(patient=here["patient"], state="expected").first()
    screened = Patient.objects.filter(site=world.site, state="screening").first()
    next_infusion = visit_steps.visit_of(here["patient"], "W4").pk
    addresses += [reverse("visits:enter_panel", args=[expected.pk]), f"/patients/{screened.pk}/eligibility/",
                  f"/visits/{next_infusion}/prepare/", f"/patients/{screened.pk}/disposition/",
                  *(f"/patients/{screened.pk}/lines/{kind}/" for kind in ("hiv", "art", "history"))]  # fmt: skip
    blank = PanelRecord.objects.filter(visit__patient=here["patient"], visit__code="W12", state="expected")
    for panel in [*here["visit"].panels.all(), *blank]:
        addresses.append(reverse("visits:enter_panel", args=[panel.pk]))
    kinds = set()  # a form that differs in nothing but its address is sent once
    for url in dict.fromkeys(addresses):
        for name, client in browsers.items():
            page = client.get(url)
            is_page = page.status_code == 200 and page["Content-Type"].startswith("text/html")
            fields = fields_of(page) if is_page else {}
            form = page.context.get("form") if is_page and page.context else None
            if isinstance(form, DataForm) and "idem" in fields:
                if (kind := (type(form), tuple(form.fields))) not in kinds:
                    found.append((url, name, fields))
                kinds.add(kind)
                break
    return found


def test_the_forms_are_all_found(forms):
    """So that a form that is not tried does not go unnoticed."""
    kinds = {re.sub(r"\d+", "#", url) for url, _name, _fields in forms}
    assert len(kinds) >= 24, sorted(kinds)
    for needed in ("/patients/screen/", "/visits/panels/#/", "/visits/#/infusion/", "/visits/#/prepare/",
                   "/safety/events/report/#/", "/safety/deviations/record/#/", "/safety/deviations/dismiss/#/",
                   "/safety/deviations/#/change/", "/visits/lots/receive/", "/patients/halts/open/", "/safety/reports/new/",
                   "/exports/new/", "/visits/queries/#/", "/accounts/new/", "/patients/#/eligibility/"):  # fmt: skip
        assert needed in kinds, needed


def sent_all(fields, value):
    """Every field holds this value, but the form's own keys."""
    return {
        name: values
        if name in ("version", "csrfmiddlewaretoken")
        else [str(uuid.uuid4())]
        if name == "idem"
        else [value]
        for name, values in fields.items()
    }


@pytest.fixture
def post(unchanged):
    """Send something to a form as the person who may."""
    browsers = {}

    def send(name, url, data, content_type=None):
        if name not in browsers:
            browsers[name] = unchanged.client(getattr(unchanged, name))
            browsers[name].raise_request_exception = False
        if content_type is None:
            answer = browsers[name].post(url, data)
        else:
            answer = browsers[name].generic("POST", url, data, content_type=content_type)
        assert not answer.get("Location", "").startswith("/sign-in/"), (name, url)
        return answer

    return send


@pytest.mark.requirement("R51", "R52")
@pytest.mark.parametrize("name", list(CORPUS))
def test_no_value_in_any_field_of_any_form_is_a_fault_of_ours(post, forms, name):
    value = CORPUS[name]
    first = list(CORPUS).index(name) % EACH
    if name == "surrogate":
        value = value.encode("utf-8", "surrogatepass")
    for url, sender, fields in forms[first::EACH]:
        answer = post(sender, url, sent_all(fields, value))
        assert answer.status_code in (302, 400, 404, 409, 413, 422), (url, answer.status_code)
        assert b"Traceback" not in answer.content and b"psycopg" not in answer.content
        if answer.status_code == 422:
            assert b"<script>alert" not in answer.content and b' onmouseover="alert' not in answer.content
            assert b"49<" not in answer.content.replace(b"149<", b"").replace(b"249<", b"") or name != "template"


@pytest.mark.requirement("R52")
@pytest.mark.parametrize("field", ["version", "idem"])
@pytest.mark.parametrize(
    "value", ["", "x", "-1", "9" * 30, "1_0", "\x00", "{}", "1.0", "01234567-89ab", "🙂", "x" * 9000]
)
def test_no_value_of_the_forms_own_keys_is_a_fault_of_ours(post, forms, field, value):
    for url, sender, fields in forms[:: EACH + 2]:
        answer = post(sender, url, {**fields, field: value})
        assert answer.status_code in (302, 409, 422) if (field, value) == ("version", "1_0") else (409, 422), url
        assert answer.status_code in (302, 409, 422)


# how a body can be sent other than as a browser does
BODIES = {
    "json": (b'{"version": 1}', "application/json"),
    "json list": (b"[1, 2]", "application/json"),
    "no type": (b"version=1", ""),
    "odd type": (b"version=1", "application/x-nothing"),
    "xml": (b"<a/>", "text/xml"),
    "utf-7": (b"version=1", "application/x-www-form-urlencoded; charset=utf-7"),
    "utf-16": ("version=1".encode("utf-16"), "application/x-www-form-urlencoded; charset=utf-16"),
    "latin-1": (b"version=1&comment=caf\xe9", "application/x-www-form-urlencoded; charset=latin-1"),
    "unknown charset": (b"version=1", "application/x-www-form-urlencoded; charset=klingon"),
    "invalid utf-8": (b"comment=\xff\xfe\xe9&version=1", "application/x-www-form-urlencoded"),
    "invalid percent": (b"comment=%FF%FE%E9%ZZ&version=1", "application/x-www-form-urlencoded"),
    "too many fields": (b"&".join(b"f%d=1" % n for n in range(1001)), "application/x-www-form-urlencoded"),
    "too large": (b"comment=" + b"x" * 1_000_001, "application/x-www-form-urlencoded"),
    "no boundary": (b"version=1", "multipart/form-data"),
    "wrong boundary": (b"--a\r\nversion", "multipart/form-data; boundary=b"),
    "broken part": (b'--b\r\nContent-Disposition: form-data; name="version"\r\n', "multipart/form-data; boundary=b"),
    "part without name": (b"--b\r\n\r\n1\r\n--b--\r\n", "multipart/form-data; boundary=b"),
    "file for a field": (
        b'--b\r\nContent-Disposition: form-data; name="version"; filename="a.txt"\r\n\r\n1\r\n--b--\r\n',
        "multipart/form-data; boundary=b",
    ),
    "base64": (
        b'--b\r\nContent-Disposition: form-data; name="version"\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!\r\n--b--\r\n',
        "multipart/form-data; boundary=b",
    ),
}
EXPECTED = {"too many fields": {413}, "too large": {413}, "utf-7": {400}, "utf-16": {400}, "latin-1": {400},
            "unknown charset": {400}, "invalid utf-8": {400}, "no boundary": {400}}  # fmt: skip


@pytest.mark.requirement("R52", "R61")
@pytest.mark.parametrize("name", list(BODIES))
def test_no_kind_of_body_is_a_fault_of_ours(post, forms, name):
    body, content_type = BODIES[name]
    for url, sender, _fields in forms[:: EACH + 2]:
        answer = post(sender, url, body, content_type=content_type)
        assert answer.status_code in EXPECTED.get(name, {400, 415, 422}), (url, answer.status_code)


@pytest.mark.requirement("R52")
def test_an_odd_charset_is_refused_at_the_door_too(client, world):
    client.raise_request_exception = False
    for charset in ("utf-7", "utf-16", "latin-1", "klingon"):
        content_type = f"application/x-www-form-urlencoded; charset={charset}"
        answer = client.generic("POST", "/sign-in/", b"username=a", content_type=content_type)
        assert answer.status_code == 400, charset


@pytest.mark.requirement("R52")
def test_a_repeated_field_is_no_fault_of_ours(post, forms):
    for url, sender, fields in forms:
        doubled = {name: [*values, *values, "x"] if name not in KEYS else values for name, values in fields.items()}
        answer = post(sender, url, doubled)
        assert answer.status_code in (302, 409, 422), (url, answer.status_code)


# --- what is accepted ----------------------------------------------------------------------------------------

ACCEPTED_TEXT = ["plain", " blanks around ", "a  b", "头痛 🙂", "e\u0301", "<b>&amp;</b>", "=1+1", "{{ 7*7 }}", "%s %(x)s",
                 "'; drop table x; --", "a\\b", "x" * 200, "ﬁ ½ ² Å", "0", "None", "null"]  # fmt: skip


@pytest.mark.requirement("R53", "R62")
@pytest.mark.parametrize("text", ACCEPTED_TEXT)
def test_a_text_is_stored_and_shown_as_it_was_typed(unchanged, records, text):
    chen = unchanged.client(unchanged.chen)
    patient = records["01"]["patient"]
    url = f"/patients/{patient.pk}/lines/history/"
    data = {**fields_of(chen.get(url)), "term": text, "is_ongoing": "Y", "started_on": "2019-05"}
    answer = chen.post(url, data)
    assert answer.status_code == 302, answer.content.decode()
    line = patient.medical_histories.last()
    assert (line.term, line.started_on) == (text, "2019-05")
    assert fields_of(chen.get(f"{url}{line.pk}/"))["term"] == [text]
    page = chen.get(f"/patients/{patient.pk}/background/").content.decode()
    assert "<b>&amp;</b>" not in page.replace("<b>Reason", "")


ACCEPTED_NUMBERS = [("<50", "<"), ("50", ""), (">100000", ">"), ("0", ""), ("100000000", ""), ("< 20", "<")]


@pytest.mark.requirement("R53")
@pytest.mark.parametrize(("number", "operator"), ACCEPTED_NUMBERS)
def test_a_result_is_stored_and_shown_as_it_was_typed(unchanged, records, number, operator):
    chen = unchanged.client(unchanged.chen)
    panel = unchanged.panel(records["01"]["patient"], "SCR", "virology")
    url = f"/visits/panels/{panel.pk}/"
    answer = chen.post(url, {**fields_of(chen.get(url)), "HIVRNA": number, "reason": "again"})
    assert answer.status_code == 302
    measurement = Measurement.objects.get(panel=panel, test="HIVRNA")
    assert (measurement.typed, measurement.operator) == (number, operator)
    assert fields_of(chen.get(url))["HIVRNA"] == [number]


REFUSED_NUMBERS = [
    "1_2_0",
    "7_0.5",
    "1E2",
    "１２０",
    "12,5",
    "+5",
    "007",
    "<<50",
    "<",
    "-1",
    "1 2",
    "0x1F",
    "120.5",
    "NaN",
    "\x00",
]


@pytest.mark.requirement("R51", "R53")
@pytest.mark.parametrize("typed", REFUSED_NUMBERS)
def test_what_is_no_plain_number_is_refused_at_its_field_and_kept_in_the_page(unchanged, records, typed):
    chen = unchanged.client(unchanged.chen)
    panel = unchanged.panel(records["01"]["patient"], "SCR", "haematology")
    before = Measurement.objects.get(panel=panel, test="HGB").typed
    url = f"/visits/panels/{panel.pk}/"
    answer = chen.post(url, {**fields_of(chen.get(url)), "HGB": typed, "reason": "again"})
    assert answer.status_code == 422
    assert "HGB" in answer.context["form"].errors
    if typed != "\x00":
        assert fields_of(answer)["HGB"] == [typed]
    assert Measurement.objects.get(panel=panel, test="HGB").typed == before


# --- addresses ------------------------------------------------------------------------------------------------

GARBAGE = ["abc", "-1", "0", "99999999999999999999", "1e5", "²", "１", "%00", "%FF", "'", "1;drop", "<script>", "%0d%0aX:1",
           "x" * 5000, "1&page=2", "[]", "../"]  # fmt: skip


@pytest.mark.requirement("R52", "R71")
@pytest.mark.parametrize("value", GARBAGE, ids=range(len(GARBAGE)))
def test_no_query_string_is_a_fault_of_ours(unchanged, records, value):
    client = unchanged.client(unchanged.chen)
    client.raise_request_exception = False
    names = ("page", "site", "state", "grade", "sort", "infusion", "body_system", "serious", "test", "term", "q", "role",
             "active", "part", "infusion_number", "category", "important", "open", "patient", "proposal")  # fmt: skip
    laboratory = records["01"]["laboratory"].pk
    for url in ("/", "/patients/", "/visits/", "/visits/queries/", "/visits/laboratories/",
                f"/visits/laboratories/{laboratory}/", "/safety/listings/events/", "/patients/halts/", "/safety/listings/deviations/",
                "/safety/deviations/proposals/", f"/safety/deviations/record/{records['01']['patient'].pk}/",
                f"/safety/events/report/{records['01']['patient'].pk}/"):  # fmt: skip
        together = "&".join(f"{name}={value}" for name in names)
        answer = client.get(f"{url}?{together}")
        assert answer.status_code in (200, 400, 404), (url, answer.status_code)
        assert b"<script>" not in answer.content
    ada = unchanged.client(unchanged.ada)
    ada.raise_request_exception = False
    assert ada.get(f"/accounts/?page={value}&q={value}&role={value}&active={value}").status_code in (200, 400)
    zhao = unchanged.client(unchanged.zhao)
    assert zhao.get(f"/visits/lots/?page={value}").status_code == 200


@pytest.mark.requirement("R52")
@pytest.mark.parametrize(
    "key", ["0", "2147483648", "9223372036854775808", "9" * 300, "٣", "-1", "1.0", "abc", "%00", "1%2F2"]
)
def test_no_key_in_an_address_is_a_fault_of_ours(unchanged, records, key):
    for name in ("chen", "zhao", "sofia", "ada"):
        client = unchanged.client(getattr(unchanged, name))
        client.raise_request_exception = False
        for path in ("patients/{}/", "visits/{}/", "visits/panels/{}/", "visits/queries/{}/", "visits/lots/{}/",
                     "safety/events/{}/", "safety/deviations/{}/", "safety/deviations/record/{}/", "safety/reports/{}/", "exports/{}/", "exports/files/{}/", "accounts/{}/", "safety/board/{}/sign/",
                     "history/visits/visit/{}/", "history/auth/user/{}/", "history/trialsite/user/{}/", "visits/check/sign/visit/{}/", "visits/{}/hold/", "patients/{}/lines/medication/", "sign-in/set-password/{}/x-y/"):  # fmt: skip
            for method in ("get", "post"):
                answer = getattr(client, method)("/" + path.format(key))
                assert answer.status_code in (403, 404, 405), (name, path, method, answer.status_code)


@pytest.mark.parametrize(
    "asked", ["[" * 19_000, r'{"implausible:ALT": "\ud800"}', '{"made_up:ALT": "1"}', '{"impossible:ALT": "1"}']
)
def test_nothing_odd_is_stored_of_what_checks_said_while_the_form_was_filled_in(unchanged, records, asked):
    panel = PanelRecord.objects.get(patient=records["01"]["patient"], code="chemistry", visit__day__lt=0)
    browser = unchanged.client(unchanged.chen)
    saved = send(browser, reverse("visits:enter_panel", args=[panel.pk]), asked=asked, reason="Read again")
    assert saved.status_code == 302
    assert not CheckFiring.objects.filter(panel=panel, outcome="corrected").exists()
