"""The page on which a panel is entered: what it shows beside a field, what it asks before saving, why a value is missing."""

import re
from decimal import Decimal

import pytest
from django.urls import reverse

from tests.universe import fields_of, send
from trialsite.clock import told_at, zone_of
from trialsite.models import AuditEvent
from trialsite.telling import Teller
from visits import demo as steps
from visits import trend
from visits.models import CheckFiring, Measurement, Missing, PanelRecord, PanelState, Query
from visits.views.panels import earlier_of


@pytest.fixture
def panel(unchanged, screened):
    """T cells of screening, not yet entered."""
    return unchanged.panel(screened, "SCR", "t_cells")


def url_of(panel):
    return f"/visits/panels/{panel.pk}/"


def check(client, panel, **typed):
    """What the page sends when a field is left. Gives the answer by row: its text, and whether it refuses."""
    fields = {**fields_of(client.get(url_of(panel))), **typed}
    answer = client.post(f"{url_of(panel)}check/", fields, headers={"X-Background": "1"})
    assert answer.status_code == 200
    return {row["code"]: row for row in answer.context["rows"]}, answer.content.decode()


def test_what_saving_would_refuse_or_ask_comes_back_at_its_field_and_nothing_is_written(unchanged, panel):
    chen, events = unchanged.client(unchanged.chen), AuditEvent.objects.count()
    rows, page = check(chen, panel, CD4="4000", CD8="8OO", NVCD4P="0.1", collected_on="2001-01-01")
    assert "plain number" in rows["CD8"]["errors"][0]
    assert rows["CD4"]["questions"][0]["name"] == "confirm_implausible_CD4" and rows["CD4"]["flag"]["kind"] == "high"
    assert rows["collected_on"]["errors"] and not rows["CMCD4P"]["errors"]
    assert "Confirmed: source checked" in page and 'value="4000"' in page
    assert AuditEvent.objects.count() == events and not Measurement.objects.filter(panel=panel).exists()


@pytest.mark.parametrize(("name", "status"), [("maria", 403), ("li", 404), ("dora", 403), ("zhao", 403)])
def test_who_may_not_enter_may_not_ask(unchanged, panel, name, status):
    client = unchanged.client(getattr(unchanged, name))
    assert client.post(f"{url_of(panel)}check/", {"CD4": "1"}).status_code == status


def test_a_value_confirmed_on_the_page_is_documented_and_raises_no_query(unchanged, panel):
    chen = unchanged.client(unchanged.chen)
    typed = {"CD4": "4000", "confirm_implausible_CD4": "4000"}
    assert send(chen, url_of(panel), **typed).status_code == 302
    assert not Query.objects.filter(panel=panel, test="CD4", check_code="implausible").exists()
    assert CheckFiring.objects.get(panel=panel, test="CD4", check_code="implausible").outcome == "confirmed"


def test_a_tick_holds_for_the_value_that_was_looked_up_and_for_no_other(unchanged, panel):
    chen = unchanged.client(unchanged.chen)
    assert send(chen, url_of(panel), CD4="4100", confirm_implausible_CD4="4000").status_code == 302
    assert Query.objects.filter(panel=panel, test="CD4", check_code="implausible").count() == 1


@pytest.mark.parametrize("reason", [reason for reason in Missing.values if reason != Missing.PENDING])
def test_every_blank_may_say_why_and_the_panel_is_then_whole(unchanged, panel, reason):
    chen = unchanged.client(unchanged.chen)
    blanks = {name: reason for name in fields_of(chen.get(url_of(panel))) if name.startswith("missing_")}
    assert len(blanks) >= 5
    answer = send(chen, url_of(panel), **{**blanks, "missing_CD4": ""}, CD4="180")
    assert answer.status_code == 302
    saved = PanelRecord.objects.get(pk=panel.pk)
    assert saved.state == "entered"
    assert Measurement.objects.get(panel=panel, test="CD8").missing_because == reason
    page = chen.get(url_of(panel))
    assert fields_of(page)["missing_CD8"] == [reason]
    # a value beside its reason is refused at its field; taken out, the reason makes room
    assert send(chen, url_of(panel), page, CD8="800", reason="found").status_code == 422
    assert send(chen, url_of(panel), page, CD8="800", missing_CD8="", reason="found").status_code == 302


def test_a_part_of_a_panel_is_saved_and_the_page_says_what_is_still_to_come(unchanged, panel):
    chen = unchanged.client(unchanged.chen)
    assert send(chen, url_of(panel), CD4="180", missing_CD8="pending").status_code == 302
    assert PanelRecord.objects.get(pk=panel.pk).state == "begun"
    page = chen.get(url_of(panel))
    assert fields_of(page)["missing_CD8"] == ["pending"] and "Save and next panel" in page.content.decode()


def test_a_field_that_the_page_did_not_show_keeps_its_value_and_its_reason(unchanged, panel):
    """Hiding a field never erases what is stored."""
    chen = unchanged.client(unchanged.chen)
    assert send(chen, url_of(panel), CD4="180", CD8="800", missing_NVCD4P="not_done", comment="seen").status_code == 302
    hidden = dict.fromkeys(("CD8", "missing_CD8", "NVCD4P", "missing_NVCD4P", "comment", "laboratory"))
    answer = send(chen, url_of(panel), **hidden, CD4="190", reason="typing error")
    assert answer.status_code == 302
    there = {m.test: m for m in Measurement.objects.filter(panel=panel)}
    assert (there["CD4"].typed, there["CD8"].typed, there["NVCD4P"].missing_because) == ("190", "800", "not_done")
    assert PanelRecord.objects.get(pk=panel.pk).comment == "seen"


def test_save_and_next_leads_through_the_unfinished_panels_and_back_to_the_visit(unchanged, screened):
    chen, by = unchanged.client(unchanged.chen), unchanged.chen
    visit = steps.visit_of(screened, "SCR")
    panels = list(visit.panels.order_by("position"))
    for panel in panels[:-2]:
        steps.enter_panel(panel=panel, by=by)
    body = steps.body_of(screened)
    last, before = panels[-1], panels[-2]

    def save(panel):
        typed = {t.code: body.typed(t, -1, "SCR") for t in panel.protocol.tests_of(panel.code) if not t.computed}
        return send(chen, url_of(panel), **typed, next="panel", collected_on=str(screened.screened_on))["Location"]

    assert save(last) == url_of(before), "those before it come last"
    assert save(before) == f"/visits/{visit.pk}/"


def test_the_page_shows_the_last_values_of_each_test_and_their_course(unchanged):
    patient = unchanged.randomised()
    first = Measurement.objects.get(panel__visit__code="SCR", patient=patient, test="HGB").typed
    panel = unchanged.panel(patient, "W0", "haematology")
    steps.enter_panel(panel=panel, by=unchanged.chen, slips={"HGB": "131"})
    page = unchanged.client(unchanged.chen).get(url_of(unchanged.panel(patient, "W1", "haematology")))
    row = next(row for row in page.context["rows"] if row["test"].code == "HGB")
    assert [one["value"] for one in row["before"]] == ["131 g/L", f"{first} g/L"]
    assert row["previous"]["value"] == "131 g/L" and len(row["curve"]) == 2
    text = page.content.decode()
    assert 'data-last="131"' in text and "<polyline" in text and "style=" not in text.split("<polyline")[1][:200]


CURVES = [
    ([], []), (["5"], []), (["5", "5"], [(2, 8.0), (54.0, 8.0)]), (["1", "3"], [(2, 14.0), (54.0, 2.0)]),
    (["3", "1", "2"], [(2, 2.0), (28.0, 14.0), (54.0, 8.0)]),
]  # fmt: skip


def test_a_pregnancy_test_is_shown_with_the_one_before_and_never_taken_over(unchanged):
    """The protocol says which results are read anew (`repeats`); the other field of the panel may repeat."""
    panel = unchanged.panel(unchanged.randomised(sex="F"), "W0", "pregnancy")
    page = unchanged.client(unchanged.chen).get(f"/visits/panels/{panel.pk}/").content.decode()
    field, other = (re.search(rf'<select[^>]*name="{name}"[^>]*>', page)[0] for name in ("HCG", "HCGSPEC"))
    assert "data-last" not in field and "data-anew" in field
    assert 'data-last="URINE"' in other and "data-anew" not in other
    assert '<span class="last">Negative</span>' in page


@pytest.mark.parametrize(("values", "points"), CURVES)
def test_a_course_is_drawn_from_left_to_right_and_higher_is_further_up(values, points):
    assert trend.curve([Decimal(value) for value in values]) == points


def test_who_may_not_enter_sees_the_values_and_cannot_save_them(unchanged, panel):
    steps.enter_panel(panel=panel, by=unchanged.chen, slips={"CD4": "222"})
    for name in ("maria", "ines", "david"):
        page = unchanged.client(getattr(unchanged, name)).get(url_of(panel)).content.decode()
        assert 'value="222"' in page and "<fieldset disabled>" in page and "entry.js" not in page
        assert "Save" not in page.split("<form")[-1]


def test_another_line_is_added_right_after_the_last(unchanged, screened):
    chen, url = unchanged.client(unchanged.chen), f"/patients/{screened.pk}/lines/medication/"
    answer = send(chen, url, treatment="Aspirin", started_on="2020", is_ongoing="Y", next="another")
    assert answer["Location"] == url
    assert "Aspirin" in chen.get(url).content.decode(), "what was saved is told"
    assert send(chen, url, treatment="Ibuprofen", started_on="2020-05", is_ongoing="Y")["Location"] != url


def test_more_rows_than_are_shown_are_saved_with_an_infusion(unchanged):
    patient = unchanged.infused()
    chen, url = unchanged.client(unchanged.chen), f"/visits/{steps.visit_of(patient, 'W0').pk}/infusion/"
    start = fields_of(chen.get(url))["started_at"][0]
    rows = {}
    for n in range(1, 7):
        rows |= {f"reaction{n}_term": f"Sign {n}", f"reaction{n}_began": start, f"reaction{n}_grade": "1"}
    assert send(chen, url, **rows, reason="as in the file").status_code == 302
    page = chen.get(url)
    assert fields_of(page)["reaction6_term"] == ["Sign 6"]
    assert len(page.context["form"].reaction_rows["shown"]) == 6
    # a row that was not sent stays
    assert (
        send(
            chen, url, page, **dict.fromkeys(name for name in rows if name.startswith("reaction6")), reason="x"
        ).status_code
        == 302
    )
    assert fields_of(chen.get(url))["reaction6_term"] == ["Sign 6"]


def test_a_unit_is_chosen_beside_the_field_and_the_flag_is_that_of_the_unit(unchanged, screened):
    panel = unchanged.panel(screened, "SCR", "chemistry")
    test = next(t for t in panel.protocol.tests_of("chemistry") if t.units)
    other = test.units[0]
    chen = unchanged.client(unchanged.chen)
    typed = f"{(test.reference_for(screened.sex).high / other.factor):.{other.decimals}f}"
    above = f"{Decimal(typed) * 2:.{other.decimals}f}"
    rows, _page = check(chen, panel, **{test.code: above, f"unit_{test.code}": other.unit})
    assert rows[test.code]["flag"]["kind"] == "high" and rows[test.code]["unit"] == other.unit
    answer = send(chen, url_of(panel), **{test.code: above, f"unit_{test.code}": other.unit})
    assert answer.status_code == 302
    m = Measurement.objects.get(panel=panel, test=test.code)
    assert (m.typed, m.reported_unit, m.flag) == (above, other.unit, "H")


# --- what was still to come ----------------------------------------------------------------------------


def test_a_value_that_was_still_to_come_needs_no_reason_and_the_trail_says_what_it_was(unchanged, panel):
    chen = unchanged.client(unchanged.chen)
    page = chen.get(url_of(panel))
    blanks = {
        name: "" for name in fields_of(page) if name in {test.code for test in panel.protocol.tests_of(panel.code)}
    }
    assert send(chen, url_of(panel), page, **{**blanks, "CD4": "190"}).status_code == 302
    assert PanelRecord.objects.get(pk=panel.pk).state == PanelState.BEGUN
    page = chen.get(url_of(panel))
    assert "Not needed for values that were still to come" in page.content.decode()
    assert send(chen, url_of(panel), page, CD8="800", missing_CD8="").status_code == 302
    event = AuditEvent.objects.filter(
        table="visits_measurement", record_id=panel.measurements.get(test="CD8").pk
    ).last()
    assert (event.operation, event.reason) == ("update", "what was still to come")


@pytest.mark.parametrize(
    "changes",
    [
        {"CD4": "191"}, {"CD4": ""}, {"comment": "another"}, {"collected_at": "09:00"}, {"CD4PCT": "", "missing_CD4PCT": "pending"},
        {"CD8": "800", "missing_CD8": "", "CD4": "191"},
    ],
)  # fmt: skip
def test_what_stood_there_is_changed_with_a_reason_only(unchanged, panel, changes):
    chen = unchanged.client(unchanged.chen)
    page = chen.get(url_of(panel))
    codes = {test.code for test in panel.protocol.tests_of(panel.code)}
    blanks = {name: "" for name in fields_of(page) if name in codes}
    first = {**blanks, "CD4": "190", "missing_CD4PCT": "not_done", "comment": "one", "collected_at": "08:00"}
    assert send(chen, url_of(panel), page, **first).status_code == 302
    page = chen.get(url_of(panel))
    answer = send(chen, url_of(panel), page, **changes)
    assert answer.status_code == 422 and "Write why the entry is changed" in answer.content.decode()
    assert send(chen, url_of(panel), page, **changes, reason="source checked").status_code == 302


def test_an_earlier_result_stands_with_its_unit_where_a_test_has_several(unchanged, screened):
    panel = unchanged.panel(screened, "SCR", "chemistry")
    steps.enter_panel(panel=panel, by=unchanged.chen)
    for code, unit in (("CREAT", " µmol/L"), ("ALT", "")):
        m = Measurement.objects.get(panel=panel, test=code)
        told = earlier_of(panel.protocol.test(code), [m])
        assert told["previous"]["value"] == f"{m.typed}{unit}", code


def test_earlier_results_stand_in_the_unit_of_the_field_with_what_was_reported_beside_them(unchanged, screened):
    panel = unchanged.panel(screened, "SCR", "chemistry")
    steps.enter_panel(panel=panel, by=unchanged.chen, slips={"CREAT": "84"})
    m, test = Measurement.objects.get(panel=panel, test="CREAT"), panel.protocol.test("CREAT")
    other = Measurement(
        typed="0.80", value=Decimal("70.72"), unit="µmol/L", reported_unit="mg/dL", collected_on="2026-01-02"
    )
    here, there = earlier_of(test, [other, m]), earlier_of(test, [other, m], "mg/dL")
    assert [one["value"] for one in here["before"]] == ["71 µmol/L", "84 µmol/L"]
    assert [one["reported"] for one in here["before"]] == ["0.80 mg/dL", ""]
    assert [one["value"] for one in there["before"]] == ["0.80 mg/dL", "0.95 mg/dL"]
    assert [one["reported"] for one in there["before"]] == ["", "84 µmol/L"]
    assert here["last"] == {"last": "0.80", "last-unit": "mg/dL", "last-on": "2026-01-02"}, "taken over as reported"


def test_the_earlier_results_follow_the_unit_that_is_chosen(unchanged):
    patient = unchanged.randomised()
    steps.enter_panel(panel=unchanged.panel(patient, "W0", "chemistry"), by=unchanged.chen, slips={"CREAT": "84"})
    rows, page = check(
        unchanged.client(unchanged.chen), unchanged.panel(patient, "W1", "chemistry"), unit_CREAT="mg/dL"
    )
    assert rows["CREAT"]["previous"]["value"] == "0.95 mg/dL" and "reported: 84 µmol/L" in page


def test_a_confirmed_value_says_who_looked_it_up_and_when_at_its_field_and_where_it_is_verified(unchanged, panel):
    chen, maria = unchanged.client(unchanged.chen), unchanged.client(unchanged.maria)
    typed = {"CD4": "4000", "confirm_implausible_CD4": "4000"}
    assert send(chen, url_of(panel), **typed).status_code == 302
    firing = CheckFiring.objects.get(panel=panel, test="CD4", check_code="implausible")
    verification = reverse("visits:check_record", args=["verify", "visits", "panelrecord", panel.pk])
    for client, address in ((chen, url_of(panel)), (maria, url_of(panel)), (maria, verification)):
        page = client.get(address).content.decode()
        told = re.search(r'class="confirmed" title="([^"]*)".*?</span> (.*?)<', page, re.S)
        assert told and "4000" in told[1], address
        assert told[2] == f"Chen Wei, {told_at(firing.at, zone_of(panel.patient.site))}"
    assert send(chen, url_of(panel), CD4="400", reason="misread").status_code == 302
    assert 'class="confirmed"' not in chen.get(url_of(panel)).content.decode(), "another value was not looked up"


@pytest.mark.parametrize("field", ["collected_on", "collected_at", "laboratory", "comment"])
def test_a_person_may_ask_about_any_field_of_a_panel_and_the_panel_says_about_which(unchanged, panel, field):
    steps.enter_panel(panel=panel, by=unchanged.chen)
    name = str(PanelRecord._meta.get_field(field).verbose_name)
    maria = unchanged.client(unchanged.maria)
    assert send(maria, f"{url_of(panel)}query/", about=field, text="As in the source?").status_code == 302
    query = Query.objects.get(panel=panel, text="As in the source?")
    assert (query.field, query.test) == (field, "")
    page = unchanged.client(unchanged.chen).get(url_of(panel)).content.decode()
    assert f"{name}: As in the source?" in page
    assert name in maria.get(f"/visits/queries/{query.pk}/").content.decode()
    line = {"panel_id": panel.pk}
    assert Teller(panel.protocol).value(Query._meta.get_field("field"), field, line) == name
