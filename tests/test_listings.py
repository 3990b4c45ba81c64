"""The listings: who sees which rows and columns, filters, order, columns, saved views, files, pictures."""

import csv
import hashlib
import io
from datetime import timedelta
from decimal import Decimal
from zipfile import ZipFile

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from patients.models import AllocationSlot, Medication
from safety import actions
from safety.coding.rules import Kind
from safety.listings.catalogue import LISTINGS
from safety.models import AdverseEvent, DictionaryTerm, ListingCopy, SavedView
from tests.dsmb_data import in_force
from tests.universe import send
from trialsite import trial
from trialsite.audit import acting
from trialsite.clock import today_at
from trialsite.exchange.files import never_a_formula
from trialsite.protocol.stopping import EventOfInterest
from visits import demo as visit_steps
from visits.models import Infusion, Measurement, Reaction

pytestmark = pytest.mark.django_db

PICTURES = ("classes", "shifts", "liver", "patients")


@pytest.fixture(scope="module")
def reviewed(world):
    """Two patients of two sites with events; made once for all tests of this file."""
    here = world.infused()
    there = world.randomised(site=world.other_site, by=world.li)
    world.event(here, term="Fever", grade=3, relationship="probable", infusion_number=1)
    world.event(here, term="Headache", grade=1)
    world.event(there, by=world.li, term="Nausea", grade=2)
    world.here, world.there = here, there
    return world


def rows_of(client, code, query=""):
    page = client.get(f"/safety/listings/{code}/?{query}")
    assert page.status_code == 200
    return [[cell["text"] for _column, cell in row] for row in page.context["rows"]]


def take(client, code, query="", format="csv"):
    return client.post(f"/safety/listings/{code}/file/", {"query": query, "format": format})


# --- rows and columns


@pytest.mark.parametrize("code", list(LISTINGS))
def test_every_listing_opens_sorts_by_each_column_and_is_taken_as_a_file(unchanged, reviewed, code):
    client = unchanged.client(unchanged.samuel)
    for column in LISTINGS[code].columns:
        for sign in ("", "-"):
            assert client.get(f"/safety/listings/{code}/?sort={sign}{column.code}&c={column.code}").status_code == 200
    for format in ("csv", "xlsx"):
        assert take(client, code, format=format).status_code == 200
    assert ListingCopy.objects.filter(listing=code).count() == 2


@pytest.mark.requirement("R44")
def test_a_site_sees_its_own_rows(unchanged, reviewed):
    mine = rows_of(unchanged.client(unchanged.chen), "events")
    everybodys = rows_of(unchanged.client(unchanged.samuel), "events")
    assert len(mine) == 2 and len(everybodys) == 3
    assert all(row[0] == reviewed.here.number for row in mine)
    assert reviewed.there.number.encode() not in take(unchanged.client(unchanged.chen), "events").content


FILTERED = [
    # filter -> terms that are left
    ("grade=2", {"Fever", "Nausea"}),
    ("grade=3", {"Fever"}),
    ("related=Y", {"Fever"}),
    ("serious=Y", set()),
    ("q=head", {"Headache"}),
    ("q=%25", set()),
    ("since=2099-01-01", set()),
    ("grade=99", {"Fever", "Headache", "Nausea"}),  # what cannot be read filters nothing, and is said at its field
    ("since=yesterday", {"Fever", "Headache", "Nausea"}),
]


@pytest.mark.parametrize(("query", "terms"), FILTERED)
def test_a_filter_leaves_the_rows_that_it_names(unchanged, reviewed, query, terms):
    rows = rows_of(unchanged.client(unchanged.samuel), "events", f"c=term&{query}")
    assert {text for (text,) in rows} == terms


def test_rows_are_sorted_as_asked_and_by_nothing_that_is_no_column(unchanged, reviewed):
    client = unchanged.client(unchanged.samuel)
    grades = [row[0] for row in rows_of(client, "events", "c=grade&sort=-grade")]
    assert grades == ["3", "2", "1"]
    for odd in ("patient__site__name", "?", "-", "narrative", "term)--"):
        assert len(rows_of(client, "events", f"sort={odd}")) == 3


@pytest.mark.requirement("R45")
def test_the_arm_is_a_column_for_those_alone_who_may_see_arms(unchanged, reviewed, monkeypatch):
    monkeypatch.setattr("safety.views.listings.sees_every_arm", lambda user, permission: False)
    blind = unchanged.client(unchanged.samuel)
    page = blind.get("/safety/listings/events/?c=arm&c=term&sort=arm&arm=MSC")
    assert "arm" not in [column.code for column, _shown in page.context["all_columns"]]
    assert len(page.context["rows"]) == 3 and all(len(row) == 1 for row in page.context["rows"])


def test_an_event_of_interest_is_one_whose_term_the_protocol_watches(unchanged, reviewed):
    unchanged.event(reviewed.here, term="Thromboembolic event", grade=2)
    assert [row[0] for row in rows_of(unchanged.client(unchanged.samuel), "interest", "c=term")] == [
        "Thromboembolic event"
    ]


def test_a_result_worse_than_baseline_is_found_by_its_shift(unchanged, reviewed):
    alt = Measurement.objects.filter(patient=reviewed.here, test="ALT").first()
    with acting(unchanged.system, "as if graded"):
        Measurement.objects.filter(pk=alt.pk).update(grade=2, baseline_grade=1)
    client = unchanged.client(unchanged.samuel)
    assert len(rows_of(client, "results", "test=ALT&worse=Y")) == 1
    with acting(unchanged.system, "as if graded"):
        Measurement.objects.filter(pk=alt.pk).update(baseline_grade=2)
    assert rows_of(client, "results", "test=ALT&worse=Y") == []


def as_if(universe, measurement, **columns):
    with acting(universe.system, "as if graded"):
        Measurement.objects.filter(pk=measurement.pk).update(**columns)


GRADED = {
    "grade_scale": "DAIDS",
    "grade_scale_version": "2.1",
    "grade_row": "alt_high",
    "ungraded_because": "",
    "flag": "H",
}
NOT_GRADABLE = {"grade": None, "ungraded_because": "no_upper_limit"}
# columns of the result, was it after the treatment? -> grade, grade at baseline, worse
TOLD_OF_RESULTS = [
    ({"grade": 2, "baseline_grade": 1}, True, "2", "1", "worse"),
    ({"grade": 1, "baseline_grade": 1}, True, "1", "1", "–"),
    ({"grade": 4, "baseline_grade": 1, "grade_is_to_confirm": True}, True, "4?", "1", "worse"),
    ({"grade": 2, "baseline_grade": None}, True, "2", "not known", "not known"),
    ({"grade": 0, "baseline_grade": None}, True, "0", "not known", "–"),
    ({"grade": 0, "baseline_grade": 0}, True, "0", "0", "–"),
    ({"grade": 2, "baseline_grade": None}, False, "2", "–", "–"),  # screening is worse than nothing
    (NOT_GRADABLE, False, "not gradable: no upper limit of normal", "–", "–"),
    ({"grade": None, "grade_scale": ""}, True, "not graded", "–", "–"),
]


@pytest.mark.parametrize(("columns", "is_after", "grade", "baseline", "shift"), TOLD_OF_RESULTS)
def test_a_result_tells_its_grade_never_blank_and_worse_only_against_a_baseline(
    unchanged, reviewed, columns, is_after, grade, baseline, shift
):
    alt = Measurement.objects.filter(patient=reviewed.here, test="ALT").first()
    on = reviewed.here.day_0 + timedelta(days=1 if is_after else -3)
    as_if(unchanged, alt, **{**GRADED, "collected_on": on, **columns})
    client, query = unchanged.client(unchanged.samuel), "test=ALT&patient={}&c=grade&c=baseline&c=shift"
    query = query.format(reviewed.here.number)
    assert rows_of(client, "results", query) == [[grade, baseline, shift]]
    line = take(client, "results", query).content.decode("utf-8-sig").splitlines()[1]
    assert line == ",".join("" if text == "–" else text for text in (grade, baseline, shift))
    assert len(rows_of(client, "results", query + "&worse=Y")) == (shift == "worse")
    assert len(rows_of(client, "results", query + "&proposed=Y")) == grade.endswith("?")


@pytest.mark.requirement("R44")
def test_an_event_is_related_when_investigator_or_sponsor_cannot_exclude_it(unchanged, reviewed):
    event = unchanged.event(reviewed.here, term="Lung infection", grade=3, relationship="not_related", is_serious=True,
                            is_hospitalisation=True, narrative="Told at length.")  # fmt: skip
    samuel = unchanged.client(unchanged.samuel)

    def seen():
        figures = samuel.get("/safety/listings/events/").context["figures"]
        related = next(count for label, count in figures if label == "related")
        rows = rows_of(samuel, "events", "c=term&c=sponsor&c=related&sort=-related&related=Y")
        return related, {row[0]: tuple(row[1:]) for row in rows}

    assert seen() == (1, {"Fever": ("–", "related")})
    judge = {
        "case": event.case,
        "expectedness": "unexpected",
        "comment": "Read.",
        "version": None,
        "by": unchanged.samuel,
    }
    actions.judge_case(**judge, causality="suspected")
    assert seen() == (2, {"Fever": ("–", "related"), "Lung infection": ("cannot be excluded", "related")})
    event.case.refresh_from_db()
    actions.judge_case(**judge, causality="excluded", reason="more is known")
    assert seen() == (1, {"Fever": ("–", "related")}), "the last judgement counts"


def test_the_shift_table_tells_low_from_high_and_marks_what_is_only_proposed(unchanged, reviewed):
    day_0 = reviewed.here.day_0
    before, after = Measurement.objects.filter(patient=reviewed.here, test="K", panel__isnull=False), reviewed.here
    first = before.first()
    as_if(unchanged, first, grade=2, grade_direction="L", collected_on=day_0 - timedelta(days=3))
    other = Measurement.objects.filter(patient=after, panel__isnull=False).exclude(test="K").first()
    later = {
        "test": "K",
        "grade": 3,
        "grade_direction": "H",
        "collected_on": day_0 + timedelta(days=3),
        "ungraded_because": "",
    }
    as_if(unchanged, other, **later, typed="6.6", missing_because="", grade_is_to_confirm=True)

    def cells():
        tables = unchanged.client(unchanged.chen).get("/safety/listings/pictures/shifts/?test=K").context["tables"]
        return {
            table["heading"]: [(name, place - 1, cell["count"], cell["proposed"], cell["look"])
                               for name, row in table["rows"] for place, cell in enumerate(row) if cell["count"]]
            for table in tables
        }  # fmt: skip

    assert cells() == {"Potassium, low": [(2, 0, 1, 0, "better")], "Potassium, high": [(0, 3, 1, 1, "worse-3")]}
    as_if(unchanged, other, grade_is_to_confirm=False)
    assert cells()["Potassium, high"] == [(0, 3, 1, 0, "worse-3")]


def another_site(world):
    """One record of each kind at the other site; and one of each here that was entered in error."""
    here, there, codes = world.here, world.there, {"is_withdrawn": True}
    serious = {"is_serious": True, "is_fatal": True, "grade": 5, "outcome": "fatal", "is_ongoing": False}
    ended = {"ended_on": timezone.now().date(), "narrative": "Told at length."}
    world.event(there, by=world.li, term="Sepsis", **serious, **ended)
    wrong = world.event(here, term="Stroke", **serious, **ended)
    actions.withdraw_adverse_event(event=wrong, version=None, reason="another patient", by=world.chen)
    infusion = Infusion.objects.get(patient=here)
    with acting(world.system, "for the test"):
        reaction = {"began_at": infusion.started_at, "grade": 1, "infusion": infusion}
        Reaction.objects.create(patient=here, term="Chills", **reaction)
        Reaction.objects.create(patient=here, term="Flushing", **reaction, **codes)
        Reaction.objects.create(patient=there, term="Rigors", **reaction)
        for patient, treatment, is_withdrawn in (
            (here, "Zebramycin", False), (here, "Quaggacillin", True), (there, "Okapimab", False),
        ):  # fmt: skip
            Medication.objects.create(
                patient=patient, treatment=treatment, started_on="2024", is_ongoing=True, is_withdrawn=is_withdrawn
            )
        for patient in (here, there):
            last = Measurement.objects.filter(patient=patient, panel__isnull=False).latest("pk")
            Measurement.objects.filter(pk=last.pk).update(flag="H", grade=0)


# listing, its column -> what a site sees, what there is at the other one, what was entered in error
OF_ONE_SITE = [
    ("events", "term", "Fever", "Sepsis", "Stroke"), ("serious", "term", None, "Sepsis", "Stroke"),
    ("deaths", "term", None, "Sepsis", "Stroke"), ("reactions", "term", "Chills", "Rigors", "Flushing"),
    ("medications", "treatment", "Zebramycin", "Okapimab", "Quaggacillin"),
]  # fmt: skip


@pytest.mark.requirement("R44")
def test_no_listing_has_rows_of_another_site_nor_what_was_entered_in_error(unchanged, reviewed):
    another_site(unchanged)
    chen, samuel = unchanged.client(unchanged.chen), unchanged.client(unchanged.samuel)
    for code, column, mine, theirs, wrong in OF_ONE_SITE:
        seen, everybodys = ({text for (text,) in rows_of(who, code, f"c={column}")} for who in (chen, samuel))
        assert theirs in everybodys and theirs not in seen, code
        assert mine is None or mine in seen, code
        assert wrong not in everybodys, code
    numbers = [{row[0] for row in rows_of(who, "results", "c=patient&c=test")} for who in (chen, samuel)]
    assert numbers[0] == {reviewed.here.number} and reviewed.there.number in numbers[1]
    events = rows_of(samuel, "serious", "c=serious")
    assert events and all(text == "serious" for (text,) in events)


@pytest.mark.requirement("R44")
def test_no_picture_counts_patients_of_another_site_nor_what_was_entered_in_error(unchanged, reviewed):
    another_site(unchanged)
    chen, samuel = unchanged.client(unchanged.chen), unchanged.client(unchanged.samuel)

    def shown(client, picture):
        return client.get(f"/safety/listings/pictures/{picture}/").context

    for client, events in ((chen, 2), (samuel, 4)):
        [table] = shown(client, "classes")["tables"]
        assert sum(row["events"] for row in table["rows"]) == events
    assert [one.number for one in shown(chen, "patients")["swimmers"]] == [reviewed.here.number]
    assert len(shown(samuel, "patients")["swimmers"]) == 2


def test_an_event_that_is_coded_as_one_that_the_protocol_watches_is_of_interest(unchanged, reviewed):
    event = unchanged.event(reviewed.here, term="clot in the leg", body_system="Vascular disorders")
    words = actions.Words(Kind.ADVERSE_EVENT, event.pk, event.term)
    term = DictionaryTerm.objects.get(term="Thromboembolic event")
    [coding] = actions.code_terms(words=[words], term=term, by=unchanged.david)
    assert rows_of(unchanged.client(unchanged.samuel), "interest", "c=term") == []
    actions.approve_codings(seen=[(coding.pk, coding.version)], by=unchanged.samuel)
    assert rows_of(unchanged.client(unchanged.samuel), "interest", "c=term") == [["clot in the leg"]]


def test_an_event_of_a_body_system_that_the_protocol_watches_is_of_interest(unchanged, reviewed, monkeypatch):
    watched = EventOfInterest(code="VASC", name="Vessels", body_systems=("Vascular disorders",))
    in_force(monkeypatch, trial.current_protocol().model_copy(update={"events_of_interest": (watched,)}))
    assert rows_of(unchanged.client(unchanged.samuel), "interest", "c=term") == []
    unchanged.event(reviewed.here, term="Clot in the leg", body_system="Vascular disorders")
    assert rows_of(unchanged.client(unchanged.samuel), "interest", "c=term") == [["Clot in the leg"]]


def test_an_event_that_belongs_to_a_reaction_to_an_infusion_is_of_interest(unchanged):
    patient = unchanged.randomised(day_0=today_at(unchanged.site) - timedelta(days=3))
    infusion = visit_steps.give_infusion(
        patient=patient, by=unchanged.chen, pharmacist=unchanged.zhao, reactions=[("Flushing", 20, 2)]
    )
    event = unchanged.event(patient, term="Flushing", grade=2, began_on=patient.day_0)
    assert rows_of(unchanged.client(unchanged.samuel), "interest", "c=term") == []
    actions.add_result_to_event(seen=infusion.reactions.get(), event=event, by=unchanged.chen)
    assert rows_of(unchanged.client(unchanged.samuel), "interest", "c=term") == [["Flushing"]]


def test_rows_are_chosen_by_arm_and_the_file_holds_the_columns_and_rows_that_were_chosen(unchanged, reviewed):
    client, arms = (
        unchanged.client(unchanged.samuel),
        dict(AllocationSlot.objects.taken().values_list("patient_id", "arm")),
    )
    for arm in trial.current_protocol().arms:
        members = {p.number for p in (reviewed.here, reviewed.there) if arms[p.pk] == arm.code}
        assert {row[0] for row in rows_of(client, "events", f"arm={arm.code}&c=patient&c=term")} == members
    answer = take(client, "events", "grade=3&c=term")
    assert answer.content.startswith(b"\xef\xbb\xbf"), "by this mark spreadsheets know UTF-8"
    assert answer.content.decode("utf-8-sig") == "Event\r\nFever\r\n"
    copy = ListingCopy.objects.get()
    assert (copy.rows, copy.query, copy.taken_by) == (1, "grade=3&c=term", unchanged.samuel)
    assert copy.sha256 == hashlib.sha256(answer.content).hexdigest()


def test_a_copy_of_more_rows_than_a_page_carries_is_refused(unchanged, reviewed, monkeypatch):
    monkeypatch.setattr("safety.views.listings.MOST_ROWS", 2)
    assert take(unchanged.client(unchanged.samuel), "events").status_code == 413
    assert not ListingCopy.objects.exists()


@pytest.mark.requirement("R45")
def test_who_may_not_see_arms_reads_none_in_the_row_either(unchanged, reviewed, monkeypatch):
    monkeypatch.setattr("safety.views.listings.sees_every_arm", lambda user, permission: False)
    samuel = unchanged.client(unchanged.samuel)
    for query in ("c=arm&c=term&sort=arm&arm=MSC", "c=patient&arm=SALINE"):
        page = samuel.get(f"/safety/listings/events/?{query}")
        assert "arm" not in page.context["form"].fields and len(page.context["rows"]) == 3
        content = take(samuel, "events", query).content.decode()
        assert not any(arm.name in content for arm in trial.current_protocol().arms)


# --- views and files


def test_a_view_is_kept_for_its_owner_replaced_by_its_name_and_forgotten(unchanged, reviewed):
    samuel, maria = unchanged.client(unchanged.samuel), unchanged.client(unchanged.maria)
    for query in ("grade=3", "grade=4&c=term"):
        assert send(samuel, f"/safety/listings/events/save/?{query}", name="Severe").status_code == 302
    view = SavedView.objects.get()
    assert view.query == "grade=4&c=term"
    assert "Severe" in samuel.get("/safety/listings/").content.decode()
    assert "Severe" not in maria.get("/safety/listings/").content.decode()
    assert not maria.get("/safety/listings/events/").context["views"], "nor beside the listing"
    assert send(maria, "/safety/listings/events/save/?grade=1", name="Severe").status_code == 302
    view.refresh_from_db()
    assert view.query == "grade=4&c=term", "the same name of another person is another view"
    assert maria.post(f"/safety/listings/views/{view.pk}/forget/").status_code == 404
    assert samuel.post(f"/safety/listings/views/{view.pk}/forget/").status_code == 302
    assert "Severe" not in samuel.get("/safety/listings/").content.decode()


def test_a_view_of_many_choices_is_kept_too(unchanged, reviewed):
    query = "&".join(f"c={column.code}" for column in LISTINGS["events"].columns) + "&q=" + "fever" * 60
    answer = send(unchanged.client(unchanged.samuel), f"/safety/listings/events/save/?{query[:1900]}", name="Long")
    assert (answer.status_code, answer["Location"]) == (302, "/safety/listings/")
    assert SavedView.objects.get().query == query[:1900]


def test_a_file_holds_the_rows_that_were_chosen_and_no_formula(unchanged, reviewed):
    unchanged.event(reviewed.here, term="=1+1", body_system="Investigations")
    client = unchanged.client(unchanged.samuel)
    lines = list(
        csv.reader(io.StringIO(take(client, "events", "c=term&c=grade&sort=-grade").content.decode("utf-8-sig")))
    )
    assert lines[0] == ["Event", "Grade"] and lines[1] == ["Fever", "3"]
    assert ["'=1+1"] in list(csv.reader(io.StringIO(take(client, "events", "c=term").content.decode("utf-8-sig"))))
    book = ZipFile(io.BytesIO(take(client, "events", "c=term", "xlsx").content))
    sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet and sheet.count("<row") == 5
    assert client.get("/safety/listings/events/file/").status_code == 405
    assert take(client, "events", format="exe").status_code == 404 == take(client, "secrets").status_code


def test_ten_thousand_events_cost_no_more_statements(unchanged, reviewed):
    client = unchanged.client(unchanged.samuel)

    def statements():
        with CaptureQueriesContext(connection) as asked:
            assert client.get("/safety/listings/events/?sort=grade").status_code == 200
        return len(asked)

    before = statements()
    event = AdverseEvent.objects.filter(patient=reviewed.here).first()
    with acting(unchanged.system):
        AdverseEvent.objects.bulk_create(
            AdverseEvent(
                patient=reviewed.here, protocol_version="1.0", sequence=100 + n, term="Cough", body_system="x", grade=1,
                began_on=event.began_on - timedelta(days=n % 300), is_ongoing=True, is_serious=False, outcome="unknown",
                relationship="unlikely", action_taken="unknown", aware_at=timezone.now(), reported_by=unchanged.chen,
            )
            for n in range(200)
        )  # fmt: skip
    assert statements() == before <= 12


# --- pictures


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("query", ["", "by=arm", "by=nonsense&test=nonsense&page=x"])
def test_every_picture_opens_in_few_statements(unchanged, reviewed, picture, query):
    client = unchanged.client(unchanged.samuel)
    with CaptureQueriesContext(connection) as asked:
        assert client.get(f"/safety/listings/pictures/{picture}/?{query}").status_code == 200
    assert len(asked) <= 12


@pytest.mark.requirement("R45")
def test_pictures_are_split_by_arm_for_those_alone_who_may_see_arms(unchanged, reviewed, monkeypatch):
    open_eyes = unchanged.client(unchanged.samuel).get("/safety/listings/pictures/classes/?by=arm")
    assert len(open_eyes.context["tables"]) == 2
    monkeypatch.setattr("safety.views.pictures.sees_arms", lambda user: False)
    blind = unchanged.client(unchanged.samuel)
    for picture in PICTURES:
        page = blind.get(f"/safety/listings/pictures/{picture}/?by=arm")
        assert len(page.context.get("tables") or [1]) == 1 and not page.context.get("arms")


def test_the_heat_map_counts_what_the_listing_lists(unchanged, reviewed):
    [table] = unchanged.client(unchanged.samuel).get("/safety/listings/pictures/classes/").context["tables"]
    assert sum(row["events"] for row in table["rows"]) == 3


def test_saving_a_view_without_a_name_is_refused(unchanged, reviewed):
    answer = send(unchanged.client(unchanged.samuel), "/safety/listings/events/save/?grade=3", name="  ")
    assert answer.status_code == 422 and not SavedView.objects.exists()
    with pytest.raises(Exception, match="name"):
        actions.save_view(listing="events", name=" ", query="", by=unchanged.samuel)


ENTRIES = [
    ("/safety/listings/events/", "Adverse events"), ("/safety/events/{event}/", "Adverse events"),
    ("/safety/listings/deviations/", "Deviations"), ("/safety/deviations/proposals/", "Deviations"),
    ("/safety/listings/", "Listings"), ("/safety/listings/results/", "Listings"), ("/patients/", "Patients"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "entry"), ENTRIES)
def test_the_menu_says_where_a_page_belongs(unchanged, reviewed, path, entry):
    event = AdverseEvent.objects.filter(patient=reviewed.here).latest("pk")
    page = unchanged.client(unchanged.samuel).get(path.format(event=event.pk)).context
    menu = page["nav"].first + page["nav"].more
    assert [one["label"] for one in menu if one["active"]] == [entry]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=1+1", "'=1+1"), ("+1 tablet", "'+1 tablet"), ("-cmd", "'-cmd"), ("@a", "'@a"), ("\tx", "'\tx"), ("＝1", "'＝1"),
        ("-0.5", "-0.5"), ("+12", "+12"), (Decimal("-0.5"), "-0.5"), (-3, "-3"), ("Fever", "Fever"), ("", ""), (None, ""),
        ("a=b", "a=b"), ("-1+1", "'-1+1"),
    ],
)  # fmt: skip
def test_in_a_csv_for_spreadsheets_no_text_becomes_a_formula(value, written):
    assert never_a_formula(value) == written
