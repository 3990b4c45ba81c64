"""No page speaks English to who reads Chinese, and none Chinese to who reads English, whoever wrote what is stored.

Every address as each role sees it, and a few pages of each kind that links lead to. What is read is every text of a
page, and what browsers say of its parts (titles, labels, placeholders, charts). Left out are names, units, identifiers,
an English term beside its Chinese name, and what somebody typed."""

import ast
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from django.utils import timezone, translation

from safety.actions.reports import draw_arm_letters
from safety.casebook import words
from safety.casebook.record import eyes_of, read_record
from safety.dsmb.arms import read_arms
from safety.dsmb.compute import compute_figures
from safety.dsmb.reading import read_snapshot
from safety.dsmb.render import words_of as words_around
from tests.test_access import fill, pages
from tests.universe import CAST
from tests.words import words_of_page
from trialsite import actions, trial
from trialsite.as_of import CutOff
from trialsite.ctcae import names
from trialsite.models import AuditEvent

ROOT = Path(__file__).resolve().parent.parent
EACH = 2  # so many pages of a kind, of those that links lead to
DATA = re.compile(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', re.S)
CHINESE = re.compile("[\u4e00-\u9fff]")
READERS = (
    "chen",
    "wang",
    "zhao",
    "maria",
    "david",
    "sofia",
    "samuel",
    "dora",
    "ada",
)  # all roles but one who only reads


def typed_in_demonstrations():
    """Every text that the steps of the demonstrations may type, which of them is left to chance: they begin with a
    capital, and no code does."""
    for file in sorted(ROOT.glob("*/demo.py")) + sorted(ROOT.glob("*/demo/*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.match("[A-Z][a-z]", node.value):
                yield node.value


# what people typed
TYPED = (
    *typed_in_demonstrations(),
    "A clotted tube", "Allergic rhinitis", "Aspirin", "Dr Chen Wei", "Dr Li Na", "Headache", "Herpes zoster",
    "Hyperlipidaemia", "Left antecubital vein", "less than was planned", "misread", "Noise", "Nothing new",
    "once a day", "as needed", "oral", "Oral candidiasis", "Pause", "Prophylaxis of pneumocystis pneumonia", "Rash",
    "Seborrhoeic dermatitis", "Source seen.", "Syphilis, treated", "Tell the sites", "The pump is calibrated anew",
    "The copy of the laboratory report that I saw has another date. Which one is right?",
    "The tubes stood at room temperature for six hours before they were sent", "Trimethoprim/sulfamethoxazole",
    "Was the sample taken before or after breakfast? The source does not say.", "Sponsor",
)  # fmt: skip
# names, units and abbreviations that Chinese sites write so
AS_THEY_ARE = (
    "Trialsite", "English", "Beijing 302 Hospital", "Beijing Ditan Hospital", "Clinical laboratory,", "America/New_York",
    "Asia/Shanghai", "Europe/Berlin", "Pacific/Auckland", "UCMSC-INR", "UCMSC_INR", "(UCMSC)", "casebook.json", "Clopper-Pearson", "cells/µL", "copies/mL", "mmHg", "mmol/L", " cells", "（cells）", "Chen 和 Chaloner",
    "YYYY", "alpha", "permuted-blocks", "Karnofsky", "Wang–Tsiatis", "O'Brien–Fleming", "Pocock", "Beta(", "SALINE",
    "CDASH", "CIOMS", "CTCAE", "DAIDS", "DSMB", "NMPA", "SUSAR", "XLSX", "Stevens-Johnson", "Excel",
    "National Cancer Institute: a work of the US government, in the public domain.",  # as the licence says it
    "DHHS", "SPRT", *(name for name, _role, _site in CAST.values()),
)  # fmt: skip
# where codes stand as identifiers: the code of a test beside its name, the columns of a file, a command
IDENTIFIERS = {
    r"/visits/panels/": {test.code for test in trial.current_protocol().tests},
    r"/visits/queries/checks/": {test.code for test in trial.current_protocol().tests},
    r"/import/": {"test", "unit", "from_age", "to_age", "high", "valid_from", "valid_to", "stratum", "sequence", "block",
                   "block_size"},
    r"/coding/dictionaries/$": {"load_dictionary"},
}  # fmt: skip


@pytest.fixture(scope="module")
def records(world):
    """Records of every kind, made by people who work in Chinese."""
    with translation.override("zh-hans"):
        for name in CAST:
            actions.choose_language(language="zh-hans", by=getattr(world, name))
        return fill(world)


def english_in(piece, url=""):
    """The English words, and codes of the machine, in a piece of text."""
    named = names("zh-hans")
    left = re.sub(r"(?<=[\u4e00-\u9fff）])（([^（）]*)）", lambda found: "" if found[1] in named else found[0], piece)
    left = re.sub(rf"\b([0-9a-f]{{32,}}|{'|'.join(CAST)})\b|\S+@\S+|\(\w{{7,}}-dirty\)", " ", left)
    for known in sorted((*TYPED, *AS_THEY_ARE), key=len, reverse=True):
        left = left.replace(known, " ")
    allowed = [codes for where, codes in IDENTIFIERS.items() if re.search(where, url)]
    found = re.findall(r"\w*[A-Za-z]{4,}\w*|[A-Za-z0-9]+_\w+", left, re.ASCII)
    return [word for word in found if not any(word in codes for codes in allowed)]


def texts_of(answer):
    """All that a page shows, with the labels of its charts."""
    html = answer.content.decode()
    yield from words_of_page(html)
    for data in DATA.findall(html):
        yield from strings_in(json.loads(data))


def strings_in(value, but=()):
    """All texts in lists and tables, but what stands under these names."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from strings_in([one for name, one in value.items() if name not in but], but)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from strings_in(one, but)


def read(client, waiting):
    """(address, answer) of these pages, and of a few of each kind that links lead to."""
    waiting, seen, kinds = list(waiting), set(), Counter()
    while waiting:
        url = waiting.pop()
        kind = re.sub(r"=[^&]*", "=", re.sub(r"\d+", "#", url))
        if url in seen or kinds[kind] >= EACH:
            continue
        seen.add(url)
        kinds[kind] += 1
        answer = client.get(url)
        if answer.get("Content-Type", "").startswith("text/html"):
            yield url, answer
            links = re.findall(r'(?:href|hx-get)="(/[^"#]*)', answer.content.decode())
            waiting += [link.replace("&amp;", "&") for link in links if not link.startswith("/static/")]


def reader(universe, name, language):
    """A browser in which this person has chosen the language."""
    user = getattr(universe, name)
    actions.choose_language(language=language, by=user)
    client = universe.client(user)
    client.cookies["language"] = language
    return client


@pytest.mark.parametrize("name", READERS)
def test_no_page_speaks_english_to_who_reads_chinese(unchanged, records, name):
    found = {}
    addresses = [url for _page, url, _view in pages(records["01"], records)]
    for url, answer in read(reader(unchanged, name, "zh-hans"), addresses):
        for piece in texts_of(answer):
            if english := english_in(piece, url):
                found.setdefault(piece, (url, english))
    assert not found


@pytest.mark.parametrize("name", ["david", "dora"])
def test_no_page_speaks_chinese_to_who_reads_english_although_those_who_wrote_it_spoke_chinese(
    unchanged, records, name
):
    found = {}
    addresses = [url for _page, url, _view in pages(records["01"], records)]
    for url, answer in read(reader(unchanged, name, "en"), addresses):
        for piece in texts_of(answer):
            if CHINESE.search(piece.replace("简体中文", "")) and url != "/emails/":  # as they were sent
                found.setdefault(piece, url)
    assert not found


# what a thing is and how it stands, said to those who draw and typeset
NOT_READ = ("kind", "align", "style", "part", "file", "role", "name", "lang", "language", "page_of")


def casebook(universe, records):
    """The words of a casebook as the inspector's copy has them."""
    patient = records["01"]["patient"]
    cutoff = CutOff.after(AuditEvent.objects.latest("pk").pk)
    record = read_record(patient.pk, cutoff, eyes_of(universe.ines, patient))
    return words.told(record, digest="", made_at=timezone.now(), made_for="Ines Iser", program="1")


def report(universe, records):
    """Both parts of a report to the board."""
    now = timezone.now()
    draw_arm_letters(series=1, by=universe.system)
    snapshot = read_snapshot(now.date(), now, now.date())
    parts = compute_figures(snapshot, read_arms(snapshot.patients, now.date())).parts
    return [[json.loads(part.to_json()), words_around(part)] for part in parts]


@pytest.mark.parametrize("document", [casebook, report])
def test_no_document_speaks_the_language_that_its_reader_does_not(unchanged, records, document):
    with translation.override("zh-hans"):
        found = {piece for piece in strings_in(document(unchanged, records), NOT_READ) if english_in(piece)}
    assert not found
    with translation.override("en"):
        assert not {piece for piece in strings_in(document(unchanged, records), NOT_READ) if CHINESE.search(piece)}


@pytest.mark.parametrize(
    ("piece", "is_found"),
    [
        ("The visit is locked.", True), ("访视 locked", True), ("alp_high", True), ("naive_cd4", True), ("NEUT", True),
        ("发热（Fever）", False), ("发热（Bad night）", True), ("受试者 01-001 · Trialsite", False), ("CD4 200 cells/µL", False),
    ],
)  # fmt: skip
def test_english_words_and_codes_are_found(piece, is_found):
    assert bool(english_in(piece)) == is_found
