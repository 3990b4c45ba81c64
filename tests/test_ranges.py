"""Laboratories and reference ranges: kept by the data manager, taken at the day of collection, never changed in silence."""

from datetime import timedelta
from decimal import Decimal

import pytest

from patients.models import Hold
from tests.universe import fields_of, send
from trialsite import trial
from trialsite.audit import acting, history_of
from trialsite.models import AuditEvent
from trialsite.saving import Refused
from visits import actions, ranges
from visits import demo as visit_steps
from visits.actions.ranges import differing_results
from visits.laboratories import default_laboratory, laboratories_for, ranges_for
from visits.models import Laboratory, Measurement, PanelRecord, Query, ReferenceRange
from visits.ranges import MOST_ROWS, BadTable, contradict, range_shown, to_csv


@pytest.fixture(scope="module")
def patient(world):
    """A patient in screening whose panels are still to be entered."""
    return world.screened(sex="M")


@pytest.fixture(scope="module")
def laboratory(world, patient):
    """The laboratory of site 01, with one range for haemoglobin since a month before the screening."""
    made = actions.create_laboratory(site=world.site, code="CENTRAL", name="Central laboratory", by=world.david)
    actions.add_range(laboratory=made, **hgb(patient), by=world.david)
    return made


def hgb(patient, **changes):
    first = patient.screened_on - timedelta(days=30)
    return {"test": "HGB", "unit": "g/L", "low": Decimal(140), "high": Decimal(180), "valid_from": first, **changes}


def enter(universe, patient, laboratory=None, *, code="haematology", on=None, units=None, reason="", **values):
    panel = universe.panel(patient, "SCR", code)
    more = {} if laboratory is None else {"laboratory": laboratory}
    return actions.record_panel(
        panel=panel, values=values, collected_on=on or patient.screened_on, units=units, version=None, reason=reason,
        by=universe.chen, **more,
    )  # fmt: skip


def result(patient, test="HGB"):
    return Measurement.objects.select_related("reference").get(patient=patient, test=test)


def stored(m):
    """As reported, standardised, flag."""
    return (
        (m.typed, m.reported_unit, m.reported_low, m.reported_high),
        (m.value, m.unit, m.low, m.high),
        m.flag,
    )


def row(*cells):
    return tuple(Decimal(cell) if cell and cell.replace(".", "").isdigit() else cell for cell in cells)


# --- what is stored with a result --------------------------------------------------------------------------


def test_a_result_keeps_the_range_of_its_laboratory(unchanged, patient, laboratory):
    enter(unchanged, patient, laboratory, HGB="135")
    m = result(patient)
    assert stored(m) == (("135", "g/L", 140, 180), (135, "g/L", 140, 180), "L")
    assert m.reference == laboratory.ranges.get()
    assert m.panel.laboratory == laboratory


def test_without_a_laboratory_the_protocols_range_holds(unchanged, patient):
    enter(unchanged, patient, HGB="135")
    m = result(patient)
    assert stored(m) == (("135", "g/L", 130, 175), (135, "g/L", 130, 175), "")
    assert m.reference is None


def test_a_result_is_stored_as_reported_and_standardised(unchanged, patient, laboratory):
    enter(unchanged, patient, laboratory, HGB="13.5", units={"HGB": "g/dL"})
    assert stored(result(patient)) == (
        ("13.5", "g/dL", Decimal("14.0"), Decimal("18.0")), (Decimal("135.0"), "g/L", 140, 180), "L",
    )  # fmt: skip


@pytest.mark.parametrize(("typed", "flag"), [("1.30", ""), ("1.31", "H"), ("0.70", ""), ("0.69", "L")])
def test_the_flag_is_exact_at_the_bounds_in_the_unit_of_the_report(unchanged, patient, laboratory, typed, flag):
    bounds = {"test": "CREAT", "unit": "mg/dL", "low": Decimal("0.7"), "high": Decimal("1.3")}
    actions.add_range(laboratory=laboratory, **hgb(patient, **bounds), by=unchanged.david)
    enter(unchanged, patient, laboratory, code="chemistry", CREAT=typed, units={"CREAT": "mg/dL"})
    m = result(patient, "CREAT")
    assert (m.flag, m.reported_high, m.high) == (flag, Decimal("1.3"), Decimal("114.92"))


def test_a_unit_that_was_not_sent_stays(unchanged, patient):
    enter(unchanged, patient, HGB="13.5", units={"HGB": "g/dL"})
    enter(unchanged, patient, HGB="14.0", reason="misread")
    m = result(patient)
    assert (m.typed, m.reported_unit, m.value) == ("14.0", "g/dL", 140)


def test_the_same_number_in_another_unit_is_another_value(unchanged, patient):
    enter(unchanged, patient, code="chemistry", K="4.10", units={"K": "mEq/L"})
    enter(unchanged, patient, code="chemistry", K="4.10", units={"K": "mmol/L"}, reason="unit misread")
    m = result(patient, "K")
    assert (m.reported_unit, m.version) == ("mmol/L", 2)


def test_an_unknown_unit_is_refused_at_its_field(unchanged, patient):
    with pytest.raises(Refused) as refused:
        enter(unchanged, patient, HGB="135", units={"HGB": "mg/mL"})
    assert list(refused.value.errors) == ["HGB"]


def test_a_laboratory_of_another_site_or_out_of_use_is_refused(unchanged, patient, laboratory):
    foreign = actions.create_laboratory(site=unchanged.other_site, code="LAB02", name="Other", by=unchanged.david)
    closed = actions.create_laboratory(site=unchanged.site, code="OLD", name="Old", by=unchanged.david)
    closed = actions.change_laboratory(
        laboratory=closed, name="Old", is_active=False, version=1, reason="closed", by=unchanged.david
    )
    for wrong in (foreign, closed):
        with pytest.raises(Refused) as refused:
            enter(unchanged, patient, wrong, HGB="135")
        assert list(refused.value.errors) == ["laboratory"]
    with pytest.raises(Refused):
        enter(unchanged, patient, laboratory, code="vital_signs", WEIGHT="70")


def test_another_day_of_collection_takes_the_range_anew_and_the_trail_says_so(unchanged, patient, laboratory):
    later = patient.screened_on + timedelta(days=1)
    actions.add_range(
        laboratory=laboratory, **hgb(patient, low=Decimal(120), valid_from=later), ends_earlier=True, by=unchanged.david
    )
    enter(unchanged, patient, laboratory, HGB="135")
    assert result(patient).flag == "L"
    enter(unchanged, patient, on=later, reason="wrong day on the form")
    m = result(patient)
    assert (m.low, m.flag, m.reference.low, m.version) == (120, "", 120, 2)
    event = history_of(m)[-1]
    assert event.reason == "wrong day on the form"
    assert {"reference_id", "low", "reported_low", "flag"} <= {column for column, _old, _new in event.changes}
    page = unchanged.client(unchanged.chen).get(f"/history/visits/panelrecord/{m.panel_id}/").content.decode()
    assert "Haemoglobin: lower limit" in page


def test_another_laboratory_takes_the_ranges_anew(unchanged, patient, laboratory):
    enter(unchanged, patient, laboratory, HGB="135", WBC="5.00")
    everywhere = actions.create_laboratory(site=None, code="ALL", name="For all", by=unchanged.david)
    actions.add_range(laboratory=everywhere, **hgb(patient, low=Decimal(100)), by=unchanged.david)
    enter(unchanged, patient, everywhere, reason="wrong laboratory")
    assert (result(patient).low, result(patient).flag) == (100, "")
    assert result(patient, "WBC").version == 2
    panel = unchanged.panel(patient, "SCR", "haematology")
    actions.record_panel(
        panel=panel, values={}, collected_on=patient.screened_on, laboratory=None, version=None, reason="not known",
        by=unchanged.chen,
    )  # fmt: skip
    assert (result(patient).low, result(patient).reference) == (130, None)


def test_a_new_range_changes_no_stored_result_not_even_at_a_later_save(unchanged, patient, laboratory):
    enter(unchanged, patient, laboratory, HGB="135", WBC="5.00")
    before = stored(result(patient))
    held = laboratory.ranges.get()
    actions.withdraw_range(held=held, version=None, reason="typing error", by=unchanged.david)
    actions.add_range(laboratory=laboratory, **hgb(patient, low=Decimal(100)), by=unchanged.david)
    enter(unchanged, patient, WBC="5.10", reason="misread")
    assert stored(result(patient)) == before
    assert result(patient).reference == held
    enter(unchanged, patient, HGB="136", reason="misread")  # the value is changed: it is held against what holds now
    assert (result(patient).low, result(patient).flag) == (100, "")


def test_what_is_taken_back_is_held_against_nothing(unchanged, patient, laboratory):
    panel = enter(unchanged, patient, laboratory, HGB="13.5", units={"HGB": "g/dL"})
    actions.clear_panel(panel=panel, version=None, reason="other patient", by=unchanged.chen)
    m = result(patient)
    assert (m.reference, m.low, m.reported_low, m.reported_unit, m.panel.laboratory) == (None, None, None, "", None)


def test_the_form_is_told_of_laboratories_units_and_ranges(unchanged, patient, laboratory):
    panel = unchanged.panel(patient, "SCR", "haematology")
    assert list(laboratories_for(panel)) == [laboratory]
    assert default_laboratory(panel) == laboratory
    assert list(laboratories_for(unchanged.panel(patient, "SCR", "vital_signs"))) == []
    there = ranges_for(panel, laboratory, patient.screened_on)
    test = patient.protocol.test("HGB")
    about = {"sex": "M", "age": 40, "on": patient.screened_on}
    assert range_shown(test, "g/dL", there, **about) == "14–18"
    actions.create_laboratory(site=None, code="ALL", name="For all", by=unchanged.david)
    assert default_laboratory(panel) is None


# --- keeping ranges ---------------------------------------------------------------------------------------


def test_ranges_that_overlap_are_refused(unchanged, patient, laboratory):
    later = patient.screened_on + timedelta(days=5)
    with pytest.raises(Refused) as refused:
        actions.add_range(laboratory=laboratory, **hgb(patient, valid_from=later), by=unchanged.david)
    assert list(refused.value.errors) == ["valid_from"]
    with pytest.raises(Refused):  # it begins on the same day, so that nothing is left of the other one
        actions.add_range(laboratory=laboratory, **hgb(patient), ends_earlier=True, by=unchanged.david)
    assert laboratory.ranges.count() == 1
    actions.add_range(laboratory=laboratory, **hgb(patient, valid_from=later), ends_earlier=True, by=unchanged.david)
    assert [held.valid_to for held in laboratory.ranges.order_by("valid_from")] == [later - timedelta(days=1), None]
    first = laboratory.ranges.order_by("valid_from").first()
    with pytest.raises(Refused) as refused:
        actions.end_range(held=first, valid_to=later, version=None, reason="later", by=unchanged.david)
    assert list(refused.value.errors) == ["valid_to"]


def test_all_ranges_are_copied_to_a_new_date(unchanged, patient, laboratory):
    day = patient.screened_on + timedelta(days=10)
    ended = hgb(patient, test="WBC", unit="10^9/L", low=Decimal(3), high=None, valid_to=patient.screened_on)
    actions.add_range(laboratory=laboratory, **ended, by=unchanged.david)
    made = actions.copy_ranges(laboratory=laboratory, valid_from=day, by=unchanged.david)
    assert [(held.test, held.low, held.valid_from, held.valid_to) for held in made] == [("HGB", 140, day, None)]
    assert laboratory.ranges.get(test="HGB", valid_from__lt=day).valid_to == day - timedelta(days=1)
    with pytest.raises(Refused):
        actions.copy_ranges(laboratory=laboratory, valid_from=day, by=unchanged.david)


@pytest.mark.requirement("R60")
def test_a_table_is_taken_over_as_a_whole_or_not_at_all(unchanged, patient, laboratory):
    day = (patient.screened_on + timedelta(days=3)).isoformat()
    good = f"WBC,10^9/L,,,,3.5,9.5,{day},"
    heading = to_csv([]).strip()
    with pytest.raises(BadTable) as bad:
        actions.import_ranges(
            laboratory=laboratory, text="\n".join([heading, good, f"HGB,g/L,,,,130,170,{day},"]), by=unchanged.david
        )
    assert [(cell.row, cell.column) for cell in bad.value.cells] == [(3, "valid_from")]
    assert laboratory.ranges.count() == 1
    made = actions.import_ranges(
        laboratory=laboratory, text="\n".join([heading, good, f"HGB,g/L,,,,130,170,{day},"]), ends_earlier=True,
        by=unchanged.david,
    )  # fmt: skip
    assert len(made) == 2 and laboratory.ranges.count() == 3


def test_a_range_is_withdrawn_once_and_with_a_reason(unchanged, laboratory):
    held = laboratory.ranges.get()
    with pytest.raises(Refused):
        actions.withdraw_range(held=held, version=None, reason=" ", by=unchanged.david)
    actions.withdraw_range(held=held, version=1, reason="typing error", by=unchanged.david)
    with pytest.raises(Refused):
        actions.withdraw_range(held=held, version=None, reason="again", by=unchanged.david)
    assert history_of(held)[-1].reason == "typing error"


# --- results held against another range ---------------------------------------------------------------------


@pytest.fixture
def corrected(unchanged, patient, laboratory):
    """A range that was corrected after a result had been held against it."""
    enter(unchanged, patient, laboratory, HGB="135", WBC="5.00")
    actions.withdraw_range(held=laboratory.ranges.get(), version=None, reason="typing error", by=unchanged.david)
    return actions.add_range(laboratory=laboratory, **hgb(patient, low=Decimal(120)), by=unchanged.david)


def test_results_held_against_another_range_are_listed_and_changed_only_when_told(unchanged, patient, corrected):
    wrong = ReferenceRange.objects.get(is_withdrawn=True)
    for held in (corrected, wrong):
        [one] = differing_results(held)
        assert (one.measurement.flag, one.flag, one.held.reference, one.is_closed) == ("L", "", corrected.pk, False)
    queries, panel = Query.objects.count(), result(patient).panel
    with acting(unchanged.system, "complete, for the test"):
        PanelRecord.objects.filter(pk=panel.pk).update(state="entered")
    seen = [actions.Seen("visits.panelrecord", panel.pk, panel.version, ("HGB",))]
    [mark], _ = actions.verify_forms(patient=patient, seen=seen, by=unchanged.maria)
    changed, left = actions.apply_range(held=corrected, version=1, reason="limits corrected", by=unchanged.david)
    mark.refresh_from_db()
    assert mark.is_void and mark.void_because == "limits corrected"
    m = result(patient)
    assert (len(changed), left) == (1, [])
    assert (m.reference, m.low, m.reported_low, m.flag, m.typed) == (corrected, 120, 120, "", "135")
    event = history_of(m)[-1]
    assert (event.reason, event.by_name) == ("limits corrected", "David Dao")
    assert Query.objects.count() == queries
    assert PanelRecord.objects.get(pk=panel.pk).version == panel.version + 1
    assert differing_results(corrected) == differing_results(wrong) == []
    with pytest.raises(Refused):
        actions.apply_range(held=corrected, version=None, reason="again", by=unchanged.david)


def test_what_no_range_holds_for_any_more_falls_back_to_the_protocol(unchanged, patient, laboratory):
    enter(unchanged, patient, laboratory, HGB="135")
    held = laboratory.ranges.get()
    actions.end_range(
        held=held, valid_to=patient.screened_on - timedelta(days=1), version=None, reason="ended", by=unchanged.david
    )
    [one] = differing_results(held)
    assert (one.held.reference, one.flag) == (None, "")
    actions.apply_range(held=held, version=None, reason="ended before", by=unchanged.david)
    assert (result(patient).reference, result(patient).low) == (None, 130)


@pytest.mark.parametrize("hold", [Hold.FROZEN, Hold.LOCKED])
@pytest.mark.parametrize("where", ["patient", "visit"])
def test_results_that_are_frozen_or_locked_are_left_and_named(unchanged, patient, corrected, where, hold):
    m = result(patient)
    with acting(unchanged.david, "closed for the test"):
        record = m.patient if where == "patient" else m.panel.visit
        record.hold = hold
        record.save()
    david = unchanged.client(unchanged.david)
    page = david.get(f"/visits/laboratories/ranges/{corrected.pk}/").content.decode()
    assert str(hold.label) in page and "Apply to these results" not in page
    with pytest.raises(Refused):
        actions.apply_range(held=corrected, version=None, reason="limits corrected", by=unchanged.david)
    assert stored(result(patient)) == stored(m)


def test_where_some_are_locked_the_others_are_changed_and_those_left_are_named(unchanged, patient, corrected):
    other = unchanged.screened(sex="M", seed=99)
    panel = unchanged.panel(other, "SCR", "haematology")
    first = ReferenceRange.objects.get(is_withdrawn=True)
    actions.record_panel(
        panel=panel, values={"HGB": "136"}, collected_on=other.screened_on, laboratory=first.laboratory, version=None,
        by=unchanged.chen,
    )  # fmt: skip
    with acting(unchanged.david, "as if it had been entered before the correction"):
        Measurement.objects.filter(patient=other, test="HGB").update(reference=first, low=140, flag="L")
        other.hold = Hold.LOCKED
        other.save()
    david = unchanged.client(unchanged.david)
    answer = send(david, f"/visits/laboratories/ranges/{corrected.pk}/apply/", reason="limits corrected")
    page = david.get(answer["Location"]).content.decode()
    assert "1 result is changed." in page and f"{other.number} SCR" in page
    assert (result(patient).reference, result(other).reference) == (corrected, first)


# --- pages ----------------------------------------------------------------------------------------------


def test_a_data_manager_keeps_ranges_in_the_browser(unchanged, patient):
    david = unchanged.client(unchanged.david)
    assert "New laboratory" in david.get("/visits/laboratories/").content.decode()
    answer = send(david, "/visits/laboratories/new/", site=unchanged.site.pk, code="LAB-9", name="Ninth")
    address = answer["Location"]
    made = Laboratory.objects.get(code="LAB-9")
    answer = send(
        david,
        f"{address}add/",
        test="CREAT",
        unit="mg/dL",
        low="0.6",
        high="1.2",
        valid_from="2026-01-01",
        from_age="18",
    )
    assert answer.status_code == 302, answer.content.decode()
    held = made.ranges.get()
    assert (held.unit, held.low, held.from_age, held.sex) == ("mg/dL", Decimal("0.6"), 18, "")
    page = david.get(address).content.decode()
    assert "0.6–1.2" in page and "from 18" in page and "Creatinine" in page
    assert (
        send(
            david, f"/visits/laboratories/ranges/{held.pk}/end/", valid_to="2026-03-01", reason="new analyser"
        ).status_code
        == 302
    )
    text = to_csv([]) + "CREAT,mg/dL,F,,,0.5,1.1,2026-03-02,\n"
    assert send(david, f"{address}import/", text=text).status_code == 302
    assert fields_of(david.get(f"{address}import/?present=1"))["text"][0].startswith("test,unit,sex")
    assert send(david, f"{address}copy/", valid_from="2026-04-01").status_code == 302
    last = made.ranges.order_by("-pk").first()
    assert send(david, f"/visits/laboratories/ranges/{last.pk}/withdraw/", reason="typing error").status_code == 302
    assert "<del>0.5–1.1</del>" in david.get(f"{address}?all=1").content.decode()
    assert send(david, f"{address}change/", name="Ninth", is_active=None, reason="closed").status_code == 302
    assert not Laboratory.objects.get(pk=made.pk).is_active
    assert david.get(f"/history/visits/laboratory/{made.pk}/").status_code == 200
    assert david.get(f"/history/visits/referencerange/{held.pk}/").status_code == 200


@pytest.mark.requirement("R60")
def test_a_bad_table_is_refused_with_its_cells_and_kept_in_the_page(unchanged, laboratory):
    david = unchanged.client(unchanged.david)
    text = to_csv([]) + "HGB,g/L,,,,x,170,2026-01-01,\nHGB,mg,,,,1,2,2026-01-01,"
    answer = send(david, f"/visits/laboratories/{laboratory.pk}/import/", text=text)
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "Row 2, column low" in page and "Row 3, column unit" in page
    assert fields_of(answer)["text"] == [text]


def test_a_long_table_of_one_range_again_and_again_is_judged_at_once(unchanged, laboratory):
    """Each row names one other; no row is held against all before it."""
    compared, tests = [], {test.code: test for test in trial.current_protocol().tests}
    rows = [f"ALT,U/L,F,{n % 90},{n % 90},1,2,2026-01-01," for n in range(MOST_ROWS)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "contradict", lambda one, other: compared.append(1) or contradict(one, other))
        with pytest.raises(BadTable) as bad:
            ranges.from_csv("\n".join([to_csv([]).strip(), *rows]), tests)
    assert len(bad.value.cells) == MOST_ROWS - 90 and len(compared) <= 91 * MOST_ROWS
    with pytest.raises(BadTable) as long:
        ranges.from_csv("\n".join([to_csv([]).strip(), *rows, rows[0]]), tests)
    assert len(long.value.cells) == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"test": "NONE"}, "test"), ({"unit": "mg/dL"}, "unit"), ({"low": "", "high": ""}, "low"), ({"low": "1e1"}, "low"),
        ({"low": "180"}, "high"), ({"valid_from": "01/02/2026"}, "valid_from"), ({"to_age": "151"}, "to_age"),
        ({"from_age": "60", "to_age": "18"}, "to_age"), ({"valid_to": "2020-01-01"}, "valid_to"),
    ],
)  # fmt: skip
def test_a_range_that_makes_no_sense_is_refused_at_its_field(unchanged, laboratory, changes, field):
    david = unchanged.client(unchanged.david)
    sent = {"test": "HGB", "unit": "g/L", "low": "1", "high": "2", "valid_from": "2026-01-01", "sex": "F"} | changes
    answer = send(david, f"/visits/laboratories/{laboratory.pk}/add/", **sent)
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert fields_of(answer)["high"] == [sent["high"]]


def test_who_keeps_no_ranges_reads_them(unchanged, laboratory, corrected):
    chen = unchanged.client(unchanged.chen)
    assert "Add a range" not in chen.get(f"/visits/laboratories/{laboratory.pk}/").content.decode()
    page = chen.get(f"/visits/laboratories/ranges/{corrected.pk}/").content.decode()
    assert "120–180" in page and "held against another range" not in page
    before = AuditEvent.objects.count()
    for address in (
        "laboratories/new", *(f"laboratories/{laboratory.pk}/{step}" for step in ("add", "copy", "import", "change")),
        *(f"laboratories/ranges/{corrected.pk}/{step}" for step in ("end", "withdraw", "apply")),
    ):  # fmt: skip
        assert chen.get(f"/visits/{address}/").status_code == 403
        assert chen.post(f"/visits/{address}/", {"reason": "x"}).status_code == 403
    assert AuditEvent.objects.count() == before


@pytest.mark.requirement("R44")
def test_a_laboratory_of_another_site_answers_like_none_and_one_for_all_sites_is_seen_by_all(unchanged, laboratory):
    li = unchanged.client(unchanged.li)
    held = laboratory.ranges.get()
    for address in (f"laboratories/{laboratory.pk}/", f"laboratories/ranges/{held.pk}/"):
        assert li.get(f"/visits/{address}").status_code == 404
    assert laboratory.name not in li.get("/visits/laboratories/").content.decode()
    everywhere = actions.create_laboratory(site=None, code="ALL", name="For all", by=unchanged.david)
    assert li.get(f"/visits/laboratories/{everywhere.pk}/").status_code == 200


def test_who_keeps_ranges_at_one_site_keeps_none_for_all_sites(unchanged, laboratory):
    from trialsite import actions as accounts
    from trialsite.models import User

    user = accounts.create_account(
        username="dm01", full_name="Dan Dong", email="", password="some-long-words-here-12", by=unchanged.system
    )
    accounts.grant_role(user=user, role="data_manager", site=unchanged.site, reason="test", by=unchanged.ada)
    browser = unchanged.client(User.objects.get(pk=user.pk))
    everywhere = actions.create_laboratory(site=None, code="ALL", name="For all", by=unchanged.david)
    assert browser.get(f"/visits/laboratories/{laboratory.pk}/add/").status_code == 200
    assert browser.get(f"/visits/laboratories/{everywhere.pk}/add/").status_code == 403
    answer = send(browser, "/visits/laboratories/new/", site="", code="X", name="X")
    assert answer.status_code == 422


def test_the_demo_reports_in_the_units_of_the_laboratory(unchanged):
    patient = unchanged.screened(site=unchanged.other_site, by=unchanged.li)
    made = visit_steps.make_laboratory(
        site=unchanged.other_site, protocol=patient.protocol, on=patient.screened_on, by=unchanged.david,
        other_units=("HGB",),
    )  # fmt: skip
    visit_steps.enter_panel(
        panel=unchanged.panel(patient, "SCR", "haematology"), by=unchanged.li, on=patient.screened_on
    )
    m = result(patient)
    assert (m.reported_unit, m.reference.unit, m.panel.laboratory) == ("g/dL", "g/dL", made)
    assert m.value == Decimal(m.typed) * 10
