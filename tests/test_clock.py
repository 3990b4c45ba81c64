"""Instants are shown by one clock a page, with the difference from UTC (R8)."""

import re
from collections import namedtuple
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from django.apps import apps
from django.db.models import DateTimeField
from django.template import Context, Template

from patients import actions as patients_actions
from patients.home import halts_to_decide
from trialsite.audit import acting
from trialsite.clock import day_at, only_site, today_at, told_at, told_day, zone_shown
from trialsite.models import Site
from visits import actions

pytestmark = pytest.mark.requirement("R8")
AT = datetime(2026, 7, 12, 18, 5, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        ("Asia/Shanghai", "2026-07-13 02:05 UTC+08:00"),
        ("America/New_York", "2026-07-12 14:05 UTC-04:00"),
        ("Asia/Kathmandu", "2026-07-12 23:50 UTC+05:45"),
        ("UTC", "2026-07-12 18:05 UTC"),
    ],
)
def test_an_instant_is_told_by_the_clock_of_the_site(zone, told):
    assert told_at(AT, ZoneInfo(zone)) == told


def test_seconds_are_told_where_they_matter_and_nothing_is_told_of_nothing():
    assert told_at(AT, seconds=True) == "2026-07-12 18:05:09 UTC"
    assert told_at(None) == ""


def test_a_page_takes_the_clock_of_its_patient_else_that_of_the_readers_only_site():
    Place = namedtuple("Place", "timezone")
    here, there = Place("Asia/Shanghai"), Place("Europe/Berlin")

    def person(*sites):
        return SimpleNamespace(current_grants=[SimpleNamespace(site=site) for site in sites])

    patient = SimpleNamespace(site=here)
    assert str(zone_shown(patient, person(there))) == "Asia/Shanghai"
    assert str(zone_shown(None, person(there, there))) == "Europe/Berlin"
    assert zone_shown(None, person(here, there)) == zone_shown(None, None) == zone_shown(None, person(None)) == UTC
    assert only_site(SimpleNamespace()) is None


def test_which_day_it_is_depends_on_where():
    here, there = SimpleNamespace(timezone="Asia/Shanghai"), SimpleNamespace(timezone="America/New_York")
    assert (str(day_at(here, AT)), str(day_at(there, AT)), str(day_at(None, AT))) == (
        "2026-07-13",
        "2026-07-12",
        "2026-07-12",
    )
    assert told_day(AT, ZoneInfo("Asia/Shanghai")) == "2026-07-13"
    assert told_day(None) == ""


def test_a_row_about_a_patient_is_told_by_the_clock_of_the_patients_site():
    row = SimpleNamespace(at=AT, patient=SimpleNamespace(site=SimpleNamespace(timezone="Asia/Shanghai")))

    def shown(template):
        return Template(template).render(Context({"row": row, "nobody": None}))

    assert shown("{% clock row.at %}") == "2026-07-12 18:05 UTC", "the page's own: nobody's"
    assert shown("{% clock row.at of=row.patient %}") == "2026-07-13 02:05 UTC+08:00"
    assert shown("{% clock row.at day=True of=row.patient %}") == "2026-07-13"
    assert shown("{% clock row.at day=True of=nobody %}") == "2026-07-12", "a halt of the whole trial"


# --- templates ------------------------------------------------------------------------------------------------


def names_of_instants():
    """What instants are called in the database, but for names that days and told instants go by, too."""
    instants, others = set(), {"at"}
    for field in (field for model in apps.get_models() for field in model._meta.concrete_fields):
        (instants if isinstance(field, DateTimeField) else others).add(field.name)
    return instants - others


SHOWING = re.compile(r"\{\{.*?\}\}|\{% (?:blocktranslate|with|include) .*?%\}")


def told_without_clock(template, names):
    """The places of a template that show an instant, or its day, by the clock of the server."""
    instant = rf"\.(?:{'|'.join(sorted(names))})\b(?!\|date:.c)"
    by_name = (token for token in SHOWING.findall(template) if re.search(instant, token) and "{{ form." not in token)
    by_filter = re.findall(r"[^ ]*(?:_|\b)at\|date(?!:.c)[^ ]*|\|date:\"[^\"]*[GHis].*?\"", template)
    return [*by_name, *by_filter]


def test_no_template_writes_an_instant_or_its_day_by_itself():
    names = names_of_instants()
    assert {"raised_at", "opened_at", "dismissed_at"} <= names
    for path in sorted((Path(__file__).parent.parent / "templates").rglob("*.html")):
        assert not told_without_clock(path.read_text(), names), f"{path.name}: use {{% clock %}}"


@pytest.mark.parametrize(
    ("template", "is_refused"),
    [
        ('{{ query.raised_at|date:"Y-m-d" }}', True),
        ("{{ query.raised_at|date }}", True),
        ("{{ query.raised_at }}", True),
        ("{{ event.at|date }}", True),
        ('{{ event|date:"Y-m-d H:i" }}', True),
        ("{% blocktranslate with day=halt.opened_at|date %}since {{ day }}{% endblocktranslate %}", True),
        ("<time datetime=\"{{ query.raised_at|date:'c' }}\">", False),
        ("{% clock query.raised_at day=True of=query.patient %}", False),
        ("{% if halt.lifted_at %}{% endif %}{{ form.started_at|as_crispy_field }}{{ visit.attended_on|date }}", False),
    ],
)
def test_the_day_of_an_instant_is_refused_in_any_form(template, is_refused):
    assert bool(told_without_clock(template, names_of_instants())) is is_refused


# --- pages ----------------------------------------------------------------------------------------------------

FOOT = "Times of a patient are by the clock of the patient's site, other times in UTC."


@pytest.fixture
def elsewhere(unchanged):
    """The universe, with its first site where the calendar shows another day than that of UTC."""
    zone = "Pacific/Kiritimati" if datetime.now(UTC).hour >= 10 else "Etc/GMT+12"
    with acting(unchanged.system, "the clock of the site is another one"):
        Site.objects.filter(pk=unchanged.site.pk).update(timezone=zone)
    unchanged.site.refresh_from_db()
    assert today_at(unchanged.site) != datetime.now(UTC).date()
    return unchanged


@pytest.mark.django_db
def test_a_query_is_of_the_day_of_its_site_whoever_looks(elsewhere):
    patient = elsewhere.randomised()
    panel = elsewhere.panel(patient, "W0", "haematology")
    actions.raise_query(panel=panel, test="HGB", text="Please check.", by=elsewhere.maria)
    day, other = str(today_at(elsewhere.site)), str(datetime.now(UTC).date())
    for person in (elsewhere.chen, elsewhere.maria, elsewhere.david, elsewhere.ines):
        page = elsewhere.client(person).get("/visits/queries/").content.decode()
        row = re.search(r"Please check\..*?</tr>", page, re.S)[0]
        assert day in row and other not in row, person
        assert (FOOT in page) is (person is not elsewhere.chen)


@pytest.mark.django_db
def test_values_of_the_trail_are_told_by_the_same_clock_as_its_stamps(elsewhere):
    patient = elsewhere.randomised()
    panel = elsewhere.panel(patient, "W0", "haematology")
    query = actions.raise_query(panel=panel, test="HGB", text="Please check.", by=elsewhere.maria)
    at = told_at(query.raised_at, zone_shown(patient), seconds=True)
    for address in (f"/history/visits/query/{query.pk}/", f"/safety/casebook/{patient.pk}/"):
        page = elsewhere.client(elsewhere.maria).get(address).content.decode()
        assert f">{at}</ins>" in page, address
        assert not re.findall(r"\d\d:\d\d:\d\d UTC<", page), address


@pytest.mark.django_db
def test_the_start_page_tells_the_day_of_the_site(elsewhere):
    halt = patients_actions.open_halt(
        scope="patient", patient=elsewhere.randomised(), blocks=["infuse"], cause="Fever", by=elsewhere.samuel
    )  # fmt: skip
    [section] = [halts_to_decide()]
    assert [item["when"] for item in section["rows"]] == [day_at(elsewhere.site, halt.opened_at)]
