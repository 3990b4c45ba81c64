"""The listings: who sees which rows and columns, filters, order, columns, saved views, files, pictures."""

import csv
import io
from datetime import timedelta
from zipfile import ZipFile

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from safety import actions
from safety.listings.catalogue import LISTINGS
from safety.models import AdverseEvent, ListingCopy, SavedView
from tests.universe import send
from trialsite.audit import acting
from visits.models import Measurement

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


# --- views and files


def test_a_view_is_kept_for_its_owner_replaced_by_its_name_and_forgotten(unchanged, reviewed):
    samuel, maria = unchanged.client(unchanged.samuel), unchanged.client(unchanged.maria)
    for query in ("grade=3", "grade=4&c=term"):
        assert send(samuel, f"/safety/listings/events/save/?{query}", name="Severe").status_code == 302
    view = SavedView.objects.get()
    assert view.query == "grade=4&c=term"
    assert "Severe" in samuel.get("/safety/listings/").content.decode()
    assert "Severe" not in maria.get("/safety/listings/").content.decode()
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
