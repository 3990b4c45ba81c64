"""Coding: words as typed and the term beside them; coded by one person, approved by another; dictionaries as tables."""

from io import StringIO

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.db import transaction
from django.db.utils import ProgrammingError

from patients import actions as patient_actions
from patients.models import Medication
from safety import actions, dictionary
from safety.coding.everyday import phrases, terms_called
from safety.coding.reading import BadDictionary, read_csv, read_meddra
from safety.coding.rules import PATH, CodingState, Kind, codes_in_force, key_of
from safety.coding.search import dictionary_of, suggest
from safety.coding.versions import Fate, compare
from safety.coding.work import to_code, waiting_of
from safety.models import Coding, Dictionary, DictionaryTerm
from tests.universe import send
from trialsite.audit import acting
from trialsite.saving import Refused, Stale

pytestmark = pytest.mark.requirement("R42")


def words_of(event):
    return actions.Words(Kind.ADVERSE_EVENT, event.pk, event.term)


def term_of(text):
    return DictionaryTerm.objects.get(term=text)


def odd_event(world, term="hedache", patient=None, **changes):
    patient = patient or world.screened()
    return world.event(patient, term=term, body_system="Nervous system disorders", **changes)


def coded(world, event, term="Headache", by=None):
    [coding] = actions.code_terms(words=[words_of(event)], term=term_of(term), by=by or world.david)
    return coding


def approved(world, event, term="Headache"):
    coding = coded(world, event, term)
    [coding] = actions.approve_codings(seen=[(coding.pk, coding.version)], by=world.samuel)
    return coding


def code_in_force(event):
    rows = Coding.objects.filter(record_id=event.pk, kind=Kind.ADVERSE_EVENT).values()
    return codes_in_force(rows).get((Kind.ADVERSE_EVENT, event.pk))


# --- a bare installation ---------------------------------------------------------------------------------


def test_a_bare_installation_has_the_terms_of_ctcae(unchanged):
    ctcae = Dictionary.objects.get()
    assert str(ctcae) == "CTCAE 5.0" and ctcae.is_current
    assert ctcae.terms.count() == ctcae.terms_count == 837
    assert term_of("Headache").body_system == "Nervous system disorders"


def test_words_that_are_a_term_are_coded_at_once_and_marked_so(unchanged):
    event = unchanged.event(unchanged.screened(), term=" headache.")
    coding = Coding.objects.get(record_id=event.pk, kind=Kind.ADVERSE_EVENT)
    assert (coding.verbatim, coding.preferred_term) == (" headache.", "Headache")
    assert coding.state == CodingState.APPROVED and coding.is_automatic and coding.coded_by is None
    event.refresh_from_db()
    assert event.term == " headache."


def test_an_exact_match_waits_where_the_protocol_says_so(unchanged, monkeypatch):
    from safety.actions import coding as module
    from trialsite import trial

    class Plan:
        approve_exact, adverse_events = True, "CTCAE"

    class Protocol:
        coding_plan = Plan

    monkeypatch.setattr(module, "trial", type("T", (), {"current_protocol": staticmethod(lambda: Protocol)}))
    event = unchanged.event(unchanged.screened(), term="Headache")
    assert Coding.objects.get(record_id=event.pk).state == CodingState.PROPOSED
    assert code_in_force(event) is None and trial.current_protocol().coding_plan.approve_exact is False


# --- suggestions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("hedache", "Headache"), ("head ache", "Headache"), ("anaemia", "Anemia"), ("diarrhoea", "Diarrhea"),
     ("count decreased platelet", "Platelet count decreased"), ("ALANINE AMINOTRANSFERASE", "Alanine aminotransferase increased"),
     ("vomitting", "Vomiting"), ("infection lung", "Lung infection"), ("neutrop", "Febrile neutropenia"),
     ("rash maculopapular", "Rash maculo-papular")],
)  # fmt: skip
def test_what_is_typed_in_haste_finds_its_term(unchanged, typed, meant):
    found = [suggestion.term.term for suggestion in suggest(dictionary_of(Kind.ADVERSE_EVENT), typed)]
    assert meant in found[:3], found


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("发热", "Fever"),
        ("淋巴细胞计数降低", "Lymphocyte count decreased"),
        ("反复头痛", "Headache"),
        ("痔", "Hemorrhoids"),
    ],
)
def test_the_chinese_name_finds_its_term_whatever_was_coded_like_it(unchanged, typed, meant):
    approved(unchanged, odd_event(unchanged, f"轻度{typed}"), "Fatigue")
    first, *_rest = suggest(dictionary_of(Kind.ADVERSE_EVENT), typed)
    assert first.term.term == meant and first.is_exact == (typed != "反复头痛")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("heart attack", "Myocardial infarction"), ("hart attack", "Myocardial infarction"),
        ("hepatic enzyme", "Alanine aminotransferase increased"), ("liver enzymes raised", "GGT increased"),
        ("raised ALT", "Alanine aminotransferase increased"), ("AST", "Aspartate aminotransferase increased"),
        ("low platelets", "Platelet count decreased"), ("low platlets", "Platelet count decreased"),
        ("stroke", "Stroke"), ("shivering", "Chills"), ("high temprature", "Fever"), ("itching", "Pruritus"),
        ("发烧", "Fever"), ("夜里拉肚子", "Diarrhea"), ("心梗", "Myocardial infarction"), ("打寒战", "Chills"),
        ("血小板低", "Platelet count decreased"), ("皮肤痒", "Pruritus"), ("中风", "Stroke"),
    ],
)  # fmt: skip
def test_what_people_call_it_finds_its_term_even_misspelt(unchanged, typed, meant):
    found = [suggestion.term.term for suggestion in suggest(dictionary_of(Kind.ADVERSE_EVENT), typed)]
    assert meant in found[:3], found


@pytest.mark.parametrize("typed", ["al", "gastric pain", "salt craving", "headache", "Heart failure", "x" * 200])
def test_words_that_mean_something_else_are_not_taken_for_everyday_ones(typed):
    assert terms_called(typed) == []


def test_everyday_words_mean_terms_of_the_dictionary_and_are_none_themselves():
    terms = {key_of(term) for term in dictionary.terms()}
    assert len(phrases()) > 150
    for phrase, term in phrases():
        assert key_of(term) in terms and phrase not in terms, (phrase, term)


@pytest.mark.parametrize("typed", ["", " ", "x", "%", "%_\\", "\x00ab", "(", "'; drop", "a" * 5000, "�☃"])
def test_anything_may_be_typed(unchanged, typed):
    assert len(suggest(dictionary_of(Kind.ADVERSE_EVENT), typed)) <= 10


def test_what_was_coded_before_comes_first_with_how_often(unchanged):
    for _ in range(2):
        approved(unchanged, odd_event(unchanged, "头痛"), "Headache")
    coded(unchanged, odd_event(unchanged, "头痛"), "Fatigue")  # proposed only: nothing is learned from it
    [first] = suggest(dictionary_of(Kind.ADVERSE_EVENT), "头痛。")
    assert (first.term.term, first.times) == ("Headache", 2)
    approved(unchanged, odd_event(unchanged, "Anemia of old"), "Fatigue")
    first, second, *_rest = suggest(dictionary_of(Kind.ADVERSE_EVENT), "anemia OF  old")
    assert (first.term.term, first.times, second.term.term) == ("Fatigue", 1, "Anemia")


# --- coding and approving ------------------------------------------------------------------------------------


@pytest.mark.requirement("R42")
def test_one_person_codes_and_another_approves(unchanged):
    event = odd_event(unchanged)
    coding = coded(unchanged, event)
    assert (coding.state, coding.verbatim, coding.coded_by) == (CodingState.PROPOSED, "hedache", unchanged.david)
    assert code_in_force(event) is None
    with pytest.raises(Refused, match="another person"):
        actions.approve_codings(seen=[(coding.pk, 1)], by=unchanged.david)
    with pytest.raises(Stale):
        actions.approve_codings(seen=[(coding.pk, 7)], by=unchanged.samuel)
    actions.approve_codings(seen=[(coding.pk, 1)], by=unchanged.samuel)
    assert code_in_force(event).preferred_term == "Headache"
    assert code_in_force(event).body_system == "Nervous system disorders"
    event.refresh_from_db()
    assert event.term == "hedache" and event.version == 1


def test_a_batch_is_approved_whole_or_not_at_all(unchanged):
    mine, other = odd_event(unchanged), odd_event(unchanged, "headach")
    first, second = coded(unchanged, mine), coded(unchanged, other, by=unchanged.samuel)
    with pytest.raises(Refused):
        actions.approve_codings(seen=[(first.pk, 1), (second.pk, 1)], by=unchanged.samuel)
    assert set(Coding.objects.filter(pk__in=[first.pk, second.pk]).values_list("state", flat=True)) == {"proposed"}


def test_a_rejected_code_leaves_the_words_to_code(unchanged):
    event = odd_event(unchanged)
    coding = coded(unchanged, event)
    assert event.pk not in waiting(unchanged)
    with pytest.raises(Refused):
        actions.reject_coding(coding=coding, version=1, reason=" ", by=unchanged.samuel)
    actions.reject_coding(coding=coding, version=1, reason="A sinusitis by the narrative", by=unchanged.samuel)
    assert waiting(unchanged)[event.pk].was_rejected
    with pytest.raises(Refused):
        actions.approve_codings(seen=[(coding.pk, 2)], by=unchanged.samuel)


def waiting(world):
    return {one.record_id: one for one in waiting_of(to_code(world.david, kinds=[Kind.ADVERSE_EVENT]))}


def test_alike_words_are_coded_together_or_not_at_all(unchanged):
    first, second = odd_event(unchanged, "Hedache"), odd_event(unchanged, "hedache")
    actions.code_terms(words=[words_of(first), words_of(second)], term=term_of("Headache"), by=unchanged.david)
    assert not {first.pk, second.pk} & set(waiting(unchanged))
    third = odd_event(unchanged, "hedache")
    with pytest.raises(Refused):
        actions.code_terms(words=[words_of(third), words_of(second)], term=term_of("Headache"), by=unchanged.david)
    assert third.pk in waiting(unchanged)


@pytest.mark.requirement("R1")
def test_other_words_make_the_code_void_and_ask_again(unchanged):
    event = odd_event(unchanged)
    coding = approved(unchanged, event)
    change = {"event": event, "version": None, "by": unchanged.wang}
    event = actions.change_adverse_event(values={"grade": 2}, reason="Worse", **change)
    assert code_in_force(event).preferred_term == "Headache"
    event = actions.change_adverse_event(values={"term": "hed ache, left"}, reason="More exact", **change)
    coding.refresh_from_db()
    assert (coding.state, coding.reason) == (CodingState.VOID, "The words were changed")
    assert code_in_force(event) is None and event.pk in waiting(unchanged)
    event = actions.change_adverse_event(values={"term": "Fatigue"}, reason="Another", **change)
    assert code_in_force(event).preferred_term == "Fatigue"


def test_an_event_entered_in_error_has_no_code(unchanged):
    event = odd_event(unchanged)
    coding = approved(unchanged, event)
    actions.withdraw_adverse_event(event=event, version=1, reason="Another patient's", by=unchanged.wang)
    coding.refresh_from_db()
    assert coding.state == CodingState.VOID and event.pk not in waiting(unchanged)


def test_a_code_in_force_stays_until_the_one_for_it_is_approved(unchanged):
    event = odd_event(unchanged)
    approved(unchanged, event)
    new = {"words": [words_of(event)], "term": term_of("Fatigue"), "by": unchanged.david}
    with pytest.raises(Refused):
        actions.code_terms(**new)
    [coding] = actions.code_terms(**new, reason="The narrative speaks of fatigue")
    assert code_in_force(event).preferred_term == "Headache"
    actions.approve_codings(seen=[(coding.pk, 1)], by=unchanged.samuel)
    assert code_in_force(event).preferred_term == "Fatigue"
    assert Coding.objects.filter(record_id=event.pk, state=CodingState.VOID).count() == 1


def test_words_that_were_changed_meanwhile_are_not_coded(unchanged):
    event = odd_event(unchanged)
    seen = words_of(event)
    actions.change_adverse_event(
        event=event, values={"term": "headach"}, version=None, reason="Typing error", by=unchanged.wang
    )
    with pytest.raises(Refused):
        actions.code_terms(words=[seen], term=term_of("Headache"), by=unchanged.david)


def test_histories_and_indications_are_coded_too(unchanged):
    patient = unchanged.screened()
    values = {"treatment": "Paracetamol", "indication": "Headache", "started_on": "2026", "is_ongoing": True}
    line = patient_actions.save_line(model=Medication, patient=patient, values=values, by=unchanged.chen)
    [coding] = Coding.objects.filter(record="patients.medication", record_id=line.pk)  # no dictionary for medications
    assert (coding.kind, coding.preferred_term) == (Kind.INDICATION, "Headache")
    patient_actions.save_line(
        model=Medication, patient=patient, values={"indication": "pain in head"}, line=line, version=1, reason="As told",
        by=unchanged.chen,
    )  # fmt: skip
    assert [
        one.verbatim for one in waiting_of(to_code(unchanged.david, kinds=[Kind.INDICATION], patients=[patient]))
    ] == ["pain in head"]
    coding.refresh_from_db()
    assert coding.state == CodingState.VOID


def test_only_who_may_codes_and_approves(unchanged):
    event = odd_event(unchanged)
    with pytest.raises(PermissionDenied):
        coded(unchanged, event, by=unchanged.wang)
    coding = coded(unchanged, event)
    with pytest.raises(PermissionDenied):
        actions.approve_codings(seen=[(coding.pk, 1)], by=unchanged.maria)


def locked(world, patient):
    with acting(world.david, "for the test"):
        type(patient).objects.filter(pk=patient.pk).update(hold="locked")


def test_what_is_locked_or_entered_in_error_is_neither_coded_nor_approved(unchanged):
    event, wrong = odd_event(unchanged), odd_event(unchanged)
    coding = coded(unchanged, event)
    seen = words_of(wrong)
    actions.withdraw_adverse_event(event=wrong, version=1, reason="Another patient's", by=unchanged.wang)
    with pytest.raises(Refused, match="was changed"):
        actions.code_terms(words=[seen], term=term_of("Headache"), by=unchanged.david)
    other = odd_event(unchanged, patient=event.patient)
    locked(unchanged, event.patient)
    with pytest.raises(Refused, match="locked"):
        coded(unchanged, other)
    with pytest.raises(Refused, match="locked"):
        actions.approve_codings(seen=[(coding.pk, 1)], by=unchanged.samuel)


def test_the_terms_of_a_dictionary_are_never_changed(unchanged):
    with pytest.raises(ProgrammingError), transaction.atomic():
        DictionaryTerm.objects.filter(term="Headache").update(term="Fatigue")


# --- pages ---------------------------------------------------------------------------------------------------


def test_words_are_coded_and_approved_on_the_pages(unchanged):
    event, other = odd_event(unchanged), odd_event(unchanged, "Hedache")
    david, samuel = unchanged.client(unchanged.david), unchanged.client(unchanged.samuel)
    address = f"/safety/coding/adverse_event/{event.pk}/"
    assert address in david.get("/safety/coding/").content.decode()
    page = david.get(address)
    assert "Headache" in page.content.decode() and other.patient.number in page.content.decode()
    answer = send(david, address, term="")
    assert answer.status_code == 422
    answer = send(david, address, term=term_of("Headache").pk)
    assert answer.status_code == 302
    codings = Coding.objects.filter(record_id__in=[event.pk, other.pk], kind="adverse_event")
    assert {coding.state for coding in codings} == {"proposed"} and len(codings) == 2
    assert b"coded by you" in david.get("/safety/coding/approve/").content
    tokens = [f"{coding.pk}:{coding.version}" for coding in codings]
    assert send(david, "/safety/coding/approve/", chosen=tokens).status_code == 422
    assert send(samuel, "/safety/coding/approve/", chosen=tokens).status_code == 302
    assert code_in_force(event) and code_in_force(other)
    assert "hedache" in samuel.get("/safety/coding/?state=approved").content.decode()


def test_the_page_of_an_event_tells_its_code(unchanged):
    event = odd_event(unchanged)
    chen = unchanged.client(unchanged.chen)
    assert "not coded yet" in chen.get(f"/safety/events/{event.pk}/").content.decode()
    approved(unchanged, event)
    shown = chen.get(f"/safety/events/{event.pk}/").content.decode()
    assert "hedache" in shown and "Headache" in shown and "not coded yet" not in shown


def test_the_code_of_an_event_is_seen_by_those_who_see_events(unchanged):
    coding = approved(unchanged, odd_event(unchanged))
    history = f"/history/safety/coding/{coding.pk}/"
    assert unchanged.client(unchanged.chen).get(history).status_code == 200
    for name in ("zhao", "li"):  # the pharmacist sees no events, the other site no patient
        user = getattr(unchanged, name)
        assert not Coding.objects.visible_to(user).filter(pk=coding.pk).exists()
        assert unchanged.client(user).get(history).status_code == 404


def test_a_coordinator_is_offered_terms_while_typing(unchanged):
    chen, zhao = unchanged.client(unchanged.chen), unchanged.client(unchanged.zhao)
    answer = chen.get("/safety/coding/suggest/?term=hedache")
    assert b'data-fills="term" value="Headache"' in answer.content
    assert b"No term" in chen.get("/safety/coding/suggest/?term=qqqqqqq").content
    assert b"qq<b>" not in chen.get("/safety/coding/suggest/?term=qq<b>").content
    assert zhao.get("/safety/coding/suggest/?term=hedache").status_code == 403
    assert chen.get("/safety/coding/").status_code == 403


# --- dictionaries as files, and their versions -------------------------------------------------------------

# an invented dictionary in the shape of MedDRA's files: LLT, PT, HLT, HLGT, SOC
HEADS = [
    ("10000001", "Aching head", "20000001", "Y"), ("10000002", "Head ache NOS", "20000001", "N"),
    ("10000003", "Feeling hot", "20000002", "Y"), ("10000004", "Spinning", "20000003", "Y"),
]  # fmt: skip
WAYS = {"20000001": ("30000001", "40000001", "50000001"), "20000002": ("30000002", "40000002", "50000002"),
        "20000003": ("30000001", "40000001", "50000001")}  # fmt: skip
NAMES = {
    "pt": {"20000001": "Head pain", "20000002": "Warmth", "20000003": "Giddiness"},
    "hlt": {"30000001": "Head things", "30000002": "Warm things"},
    "hlgt": {"40000001": "Head group", "40000002": "Warm group"},
    "soc": {"50000001": "Nervous system disorders", "50000002": "General disorders"},
}


def write_asc(folder, heads=HEADS, ways=WAYS, names=NAMES):
    folder.mkdir(parents=True, exist_ok=True)
    lines = {
        f"{kind}.asc": [f"{code}${name}$ABBR$$$$$" for code, name in found.items()] for kind, found in names.items()
    }
    lines["pt.asc"] = [f"{pt}${name}$$50000001$$$$$$$$" for pt, name in names["pt"].items()]
    lines["llt.asc"] = [f"{llt}${name}${pt}$$$$$$${current}$$" for llt, name, pt, current in heads]
    lines["mdhier.asc"] = []
    for pt, (hlt, hlgt, soc) in ways.items():
        lines["mdhier.asc"].append(f"{pt}${hlt}${hlgt}${soc}$a$b$c$d$$$$Y$")
        lines["mdhier.asc"].append(f"{pt}${hlt}${hlgt}$50000002$a$b$c$d$$$$N$")
    for name, found in lines.items():
        (folder / name).write_text("\r\n".join(found) + "\r\n", encoding="utf-8", newline="")
    return folder


def load(folder, version, *more):
    told = StringIO()
    call_command("load_dictionary", "--kind", "meddra", "--version", version, str(folder), *more, stdout=told)
    return told.getvalue()


def test_meddra_files_are_read_with_the_primary_way_up(tmp_path):
    [aching, old, hot, spinning] = read_meddra(write_asc(tmp_path)).rows
    assert (aching["term"], aching["preferred_term"], aching["high_level_term"]) == (
        "Aching head",
        "Head pain",
        "Head things",
    )
    assert (aching["group_term"], aching["body_system"], aching["is_current"]) == (
        "Head group",
        "Nervous system disorders",
        True,
    )
    assert not old["is_current"] and hot["body_system_code"] == "50000002" and spinning["key"] == "spinning"


def broken(tmp_path, name, change):
    folder = write_asc(tmp_path)
    (folder / name).write_text(change((folder / name).read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(BadDictionary) as bad:
        read_meddra(folder)
    return "\n".join(bad.value.faults)


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("llt.asc", lambda text: text + "10000009$x", "llt.asc, line 5: expected at least 10 fields"),
        ("llt.asc", lambda text: text.replace("$20000002$", "$29999999$"), "llt.asc, line 3: its preferred term 29999999"),
        ("llt.asc", lambda text: text.replace("10000002", "10000001"), "llt.asc, line 2: code 10000001 stands already"),
        ("llt.asc", lambda text: text.replace("$N$", "$?$"), "llt.asc, line 2: currency is Y or N"),
        ("llt.asc", lambda text: text.replace("Spinning", " "), "llt.asc, line 4: llt_name is blank"),
        ("pt.asc", lambda text: text.replace("20000003$Gid", "20000002$Gid"), "pt.asc, line 3: code 20000002 stands there twice"),
        ("mdhier.asc", lambda text: text.replace("$Y$", "$N$", 1), "pt.asc, line 1: preferred term 20000001 has no primary way"),
        ("mdhier.asc", lambda text: text.replace("$N$", "$Y$", 1), "mdhier.asc, line 2: preferred term 20000001 has a second"),
        ("mdhier.asc", lambda text: text.replace("$30000002$", "$39999999$", 1), "mdhier.asc, line 3: 39999999 is not in hlt.asc"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_by_file_and_line(tmp_path, name, change, told):
    assert told in broken(tmp_path, name, change)


def test_a_file_that_is_missing_or_no_text_is_named(tmp_path):
    folder = write_asc(tmp_path)
    (folder / "soc.asc").write_bytes(b"1$ok$\n2$\xff\xfe$\n")
    with pytest.raises(BadDictionary, match=r"soc\.asc, line 2: not UTF-8"):
        read_meddra(folder)
    (folder / "hlt.asc").unlink()
    with pytest.raises(BadDictionary, match=r"hlt\.asc: not there"):
        read_meddra(folder)


def test_any_other_dictionary_is_a_csv(tmp_path):
    file = tmp_path / "atc.csv"
    file.write_text('\ufeffcode,term,body_system_code,body_system\nX01,Paracetamol,X,"Pain, fever"\n', encoding="utf-8")
    [row] = read_csv(file).rows
    assert (row["code"], row["preferred_term"], row["body_system"]) == ("X01", "Paracetamol", "Pain, fever")
    file.write_text("term,colour\nA,red\n", encoding="utf-8")
    with pytest.raises(BadDictionary, match="line 1: expected the column term"):
        read_csv(file)
    file.write_text("term,code\nA,1\nB\nC,1\n,2\n", encoding="utf-8")
    with pytest.raises(BadDictionary) as bad:
        read_csv(file)
    assert [fault.split(":")[0] for fault in bad.value.faults] == [
        "atc.csv, line 3",
        "atc.csv, line 4",
        "atc.csv, line 5",
    ]


def test_a_dictionary_is_loaded_once_and_whole(unchanged, tmp_path):
    folder = write_asc(tmp_path / "a")
    assert "MedDRA 27.1: 4 terms loaded; in use" in load(folder, "27.1")
    assert "was loaded already" in load(folder, "27.1")
    assert DictionaryTerm.objects.filter(dictionary__name="MedDRA").count() == 4
    other = write_asc(tmp_path / "b", heads=HEADS[:3])
    with pytest.raises(CommandError, match="loaded already, from other files"):
        load(other, "27.1")
    (other / "llt.asc").write_text("x", encoding="utf-8")
    with pytest.raises(CommandError, match=r"llt.asc, line 1"):
        load(other, "28.0")
    assert Dictionary.objects.filter(name="MedDRA").count() == 1
    assert "not in use yet" in load(write_asc(tmp_path / "c", heads=HEADS[:2]), "28.0")
    assert Dictionary.objects.in_use("MedDRA").dictionary_version == "27.1"


@pytest.mark.parametrize(
    ("after", "is_current", "fate", "moved"),
    [
        ({}, True, Fate.UNCHANGED, []),
        ({"body_system": "B"}, True, Fate.MOVED, [("system organ class", "A", "B")]),
        ({"preferred_term": "Q", "preferred_code": "2"}, True, Fate.MOVED,
         [("preferred term", "P", "Q")]),
        ({"preferred_code": "2"}, True, Fate.MOVED, [("code of the preferred term", "1", "2")]),
        ({}, False, Fate.NOT_CURRENT, []),
        (None, True, Fate.GONE, []),
    ],
)  # fmt: skip
def test_what_another_version_does_to_a_code(after, is_current, fate, moved):
    before = {**dict.fromkeys(PATH, ""), "preferred_code": "1", "preferred_term": "P", "body_system": "A"}
    change = compare(before, None if after is None else {**before, **after}, is_current=is_current)
    assert change.fate == fate and list(change.moved) == moved


@pytest.fixture
def coded_with_meddra(unchanged, monkeypatch, tmp_path):
    """Three events coded with an invented MedDRA 27.1, and 28.0 in use, in which a PT moved and an LLT is not current."""
    from trialsite import trial
    from trialsite.protocol import CodingPlan

    monkeypatch.setattr(type(trial.current_protocol()), "coding_plan", CodingPlan(adverse_events="MedDRA"))
    load(write_asc(tmp_path / "27"), "27.1")
    patient = unchanged.screened()
    events = {term: odd_event(unchanged, term, patient=patient) for term in ("Aching head", "Feeling hot", "Spinning")}
    assert {code_in_force(event).preferred_term for event in events.values()} == {"Head pain", "Warmth", "Giddiness"}
    heads = [*HEADS[:3], (*HEADS[3][:3], "N")]
    load(write_asc(tmp_path / "28", heads, {**WAYS, "20000002": WAYS["20000001"]}), "28.0", "--use")
    return unchanged, events


def test_a_new_version_changes_no_code_by_itself(coded_with_meddra):
    world, events = coded_with_meddra
    assert code_in_force(events["Feeling hot"]).body_system == "General disorders"
    assert world.event(events["Spinning"].patient, term="Aching head").term == "Aching head"
    new = Coding.objects.latest("id")
    assert str(new.dictionary) == "MedDRA 28.0"


def test_what_was_coded_with_an_earlier_version_is_suggested_in_the_one_in_use(coded_with_meddra):
    first, *_rest = suggest(Dictionary.objects.in_use("MedDRA"), "aching head")
    assert (str(first.term.dictionary), first.term.code, first.times) == ("MedDRA 28.0", "10000001", 1)


def test_codes_are_taken_over_into_a_new_version_by_people(coded_with_meddra):
    world, events = coded_with_meddra
    dictionary = Dictionary.objects.in_use("MedDRA")
    address = f"/safety/coding/dictionaries/{dictionary.pk}/"
    david, samuel = world.client(world.david), world.client(world.samuel)
    shown = david.get(address).content.decode()
    assert "1 code means the same" in shown and "Warm things" in shown and "Code anew" in shown
    assert send(david, address, what="restate", chosen=None).status_code == 302
    kept = Coding.objects.get(record_id=events["Aching head"].pk, state=CodingState.APPROVED)
    assert kept.dictionary == dictionary and kept.is_automatic and kept.judged_by == world.david
    assert Coding.objects.filter(record_id=events["Aching head"].pk, state=CodingState.VOID).count() == 1
    moved = Coding.objects.get(record_id=events["Feeling hot"].pk)
    assert send(david, address, what="recode", chosen=None).status_code == 422
    assert send(david, address, what="recode", chosen=f"{moved.pk}:{moved.version}").status_code == 302
    assert code_in_force(events["Feeling hot"]).body_system == "General disorders"  # until another person approves
    proposed = Coding.objects.get(record_id=events["Feeling hot"].pk, state=CodingState.PROPOSED)
    assert proposed.reason == "MedDRA 27.1 → MedDRA 28.0"
    send(samuel, "/safety/coding/approve/", chosen=f"{proposed.pk}:{proposed.version}")
    assert code_in_force(events["Feeling hot"]).body_system == "Nervous system disorders"
    with pytest.raises(Refused):  # what is not current any more is coded anew by hand
        old = Coding.objects.get(record_id=events["Spinning"].pk)
        actions.recode_codings(dictionary=dictionary, seen=[(old.pk, old.version)], by=world.david)
    assert actions.restate_codings(dictionary=dictionary, seen=[(old.pk, old.version)], by=world.david) == []


def test_nobody_codes_with_a_version_that_is_not_in_use_nor_with_a_term_that_is_not_current(coded_with_meddra):
    world, events = coded_with_meddra
    words = {"words": [words_of(events["Aching head"])], "reason": "another", "by": world.david}
    for version, code in (("27.1", "10000001"), ("28.0", "10000004")):
        term = DictionaryTerm.objects.get(dictionary__dictionary_version=version, code=code)
        assert version == "27.1" or not term.is_current
        with pytest.raises(Refused) as refusal:
            actions.code_terms(**words, term=term)
        assert "term" in refusal.value.errors


def test_versions_are_changed_and_codes_taken_over_by_those_alone_who_may(coded_with_meddra):
    world, events = coded_with_meddra
    old, new = (Dictionary.objects.get(dictionary_version=version) for version in ("27.1", "28.0"))
    code = Coding.objects.get(record_id=events["Aching head"].pk, kind=Kind.ADVERSE_EVENT)
    seen = [(code.pk, code.version)]
    for other in (world.wang, world.maria):
        with pytest.raises(PermissionDenied):
            actions.use_dictionary(dictionary=old, version=None, reason="x", by=other)
        for take_over in (actions.restate_codings, actions.recode_codings):
            with pytest.raises(PermissionDenied):
                take_over(dictionary=new, seen=seen, by=other)
    with pytest.raises(Refused) as refusal:
        actions.use_dictionary(dictionary=old, version=None, reason=" ", by=world.david)
    assert "reason" in refusal.value.errors
    with pytest.raises(Refused, match="not in use"):
        actions.restate_codings(dictionary=old, seen=seen, by=world.david)
    locked(world, events["Aching head"].patient)
    assert actions.restate_codings(dictionary=new, seen=seen, by=world.david) == [], "what is locked is left"


def test_a_version_is_taken_into_use_with_the_reason(coded_with_meddra):
    world, _events = coded_with_meddra
    old = Dictionary.objects.get(dictionary_version="27.1")
    david = world.client(world.david)
    address = f"/safety/coding/dictionaries/{old.pk}/use/"
    assert send(david, address, reason=" ").status_code == 422
    assert send(david, address, reason="28.0 is not approved by the sponsor yet").status_code == 302
    assert Dictionary.objects.in_use("MedDRA") == old
    assert "MedDRA 28.0" in david.get("/safety/coding/dictionaries/").content.decode()
    assert world.client(world.chen).get(address).status_code == 403
