"""What is typed and not saved: kept for one person, offered again, never counted, gone when the form is saved."""

import inspect
import json
import re
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver
from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.translation import override

from patients import demo as patient_steps
from patients.forms import MakeListForm
from tests.universe import fields_of, send
from trialsite import drafts, tasks, titles
from trialsite.models import AuditEvent, Draft
from visits import demo as visit_steps
from visits.forms import as_said
from visits.models import CheckFiring, Measurement, PanelRecord

NOT_OF_A_DRAFT = ("idem", "version", "csrfmiddlewaretoken")


@pytest.fixture
def panel(unchanged, screened):
    """Haematology of screening, not yet entered."""
    return unchanged.panel(screened, "SCR", "haematology")


def url_of(panel):
    return f"/visits/panels/{panel.pk}/"


def keep(client, url, page=None, **changes):
    """What the page sends by itself while a person types."""
    fields = fields_of(page or client.get(url))
    body = {name: value for name, value in {**fields, **changes}.items() if name not in NOT_OF_A_DRAFT}
    keys = {"draft_of": fields["idem"], "draft_version": fields["version"]}
    body = {"draft": "keep", **keys, **body}
    return client.post(url, body, headers={"X-Background": "1"})


def test_what_is_typed_is_kept_exactly_offered_again_and_is_no_data(unchanged, panel):
    chen, url, events = unchanged.client(unchanged.chen), url_of(panel), AuditEvent.objects.count()
    assert keep(chen, url, HGB="13O", WBC=" 4.6", comment="two  <b>tubes</b>\r\nfull").status_code == 200
    assert not Measurement.objects.filter(panel=panel).exists() and AuditEvent.objects.count() == events
    assert drafts.drafts_of(unchanged.chen)[0].path == url
    page = chen.get(url)
    assert "did not save it" in page.content.decode() and fields_of(page)["HGB"] == [""]
    filled = chen.get(f"{url}?draft=yes")
    fields = fields_of(filled)
    assert (fields["HGB"], fields["WBC"], fields["comment"]) == (["13O"], [" 4.6"], ["two  <b>tubes</b>\r\nfull"])
    assert "Not saved yet" in filled.content.decode()
    assert send(chen, url, filled, HGB="130").status_code == 302
    assert not Draft.objects.exists(), "what is saved is a draft no longer"
    assert Measurement.objects.get(panel=panel, test="WBC").typed == "4.6"


def test_nobody_else_sees_a_draft_and_nobody_else_discards_it(unchanged, panel):
    keep(unchanged.client(unchanged.chen), url_of(panel), HGB="127.77")
    for person in (unchanged.wang, unchanged.maria):
        browser = unchanged.client(person)
        for address in (url_of(panel), f"{url_of(panel)}?draft=yes", "/"):
            answer = browser.get(address)
            text = answer.content.decode()
            assert answer.status_code == 200
            assert "127.77" not in text and "did not save" not in text, person
        browser.post("/drafts/discard/", {"path": url_of(panel)})
    assert "did not save" in unchanged.client(unchanged.chen).get(url_of(panel)).content.decode()


def test_a_draft_is_kept_only_by_who_may_save_the_form(unchanged, panel):
    page = unchanged.client(unchanged.chen).get(url_of(panel))
    for person, status in ((unchanged.maria, 403), (unchanged.li, 404), (unchanged.dora, 403)):
        assert keep(unchanged.client(person), url_of(panel), page, HGB="1").status_code == status
    assert not Draft.objects.exists()


def test_a_draft_of_a_record_that_was_changed_since_shows_both_before_it_goes_on(unchanged, panel):
    chen, url = unchanged.client(unchanged.chen), url_of(panel)
    visit_steps.enter_panel(panel=panel, by=unchanged.chen, slips={"HGB": "140"})
    keep(chen, url, HGB="117", comment="mine")
    assert send(unchanged.client(unchanged.wang), url, HGB="131", reason="second reading").status_code == 302
    assert "The record was changed since" in chen.get(url).content.decode()
    both = chen.get(f"{url}?draft=yes").content.decode()
    assert "117" in both and "131" in both and "Wang Jun" in both and 'name="HGB"' not in both
    version = PanelRecord.objects.get(pk=panel.pk).version
    taken = chen.get(f"{url}?draft=yes&over={version}")
    fields = fields_of(taken)
    assert (fields["HGB"], fields["comment"], fields["version"]) == (["117"], ["mine"], [str(version)])
    assert send(chen, url, taken, reason="third reading").status_code == 302
    assert Measurement.objects.get(panel=panel, test="HGB").typed == "117"


def test_a_save_that_came_too_late_is_not_lost_and_may_be_taken_over(unchanged, screened):
    """Of a panel, an infusion with its vital signs, and a line of medication."""
    chen, wang = unchanged.client(unchanged.chen), unchanged.client(unchanged.wang)
    panel = unchanged.panel(screened, "SCR", "chemistry")
    visit_steps.enter_panel(panel=panel, by=unchanged.chen)
    line = patient_steps.add_medication(patient=screened, treatment="Ibuprofen", started_on="2020", by=unchanged.chen)
    infusion = f"/visits/{visit_steps.visit_of(unchanged.infused(), 'W0').pk}/infusion/"
    for url, name, mine, theirs in (
        (url_of(panel), "ALT", "33", "34"), (infusion, "M_PULSE_15", "91", "92"),
        (f"/patients/{screened.pk}/lines/medication/{line.pk}/", "dose", "100", "200"),
    ):  # fmt: skip
        seen = chen.get(url)
        assert send(wang, url, **{name: theirs}, reason="his").status_code == 302
        late = send(chen, url, seen, **{name: mine}, reason="mine")
        assert late.status_code == 409
        assert mine in late.content.decode() and theirs in late.content.decode(), url
        taken = chen.get(late.context["draft"].url_over)
        assert fields_of(taken)[name] == [mine] and fields_of(taken)["reason"] == ["mine"]
        assert send(chen, url, taken).status_code == 302
        assert fields_of(chen.get(url))[name][0].split(".")[0] == mine, url


def test_a_draft_that_arrives_after_the_save_is_forgotten(unchanged, panel):
    chen, url = unchanged.client(unchanged.chen), url_of(panel)
    page = chen.get(url)
    assert send(chen, url, page, HGB="130").status_code == 302
    assert keep(chen, url, page, HGB="130").status_code == 204
    assert not Draft.objects.exists()


def test_a_draft_that_is_written_while_the_form_is_being_saved_is_not_offered(unchanged, panel, monkeypatch):
    """The page stops a draft on its way when it sends the form; the server may get it all the same, and write it when
    the save has removed what was kept before. Typing on after the save is another draft."""
    chen, url = unchanged.client(unchanged.chen), url_of(panel)
    page, write = chen.get(url), drafts.keep

    def write_after_the_save(*args, **kwargs):
        assert send(chen, url, page, HGB="130").status_code == 302
        return write(*args, **kwargs)

    assert keep(chen, url, page, HGB="13").status_code == 200
    with monkeypatch.context() as patched:
        patched.setattr(drafts, "keep", write_after_the_save)
        assert keep(chen, url, page, HGB="130").status_code == 200
    assert Draft.objects.count() == 1, "it was written after the save, which is what this is about"
    assert drafts.drafts_of(unchanged.chen) == []
    for address in (url, f"{url}?draft=yes"):
        text = chen.get(address).content.decode()
        assert "did not save" not in text and "Not saved yet" not in text
    assert "Typed and not saved" not in chen.get("/").content.decode()
    keep(chen, url, HGB="131")
    assert "did not save" in chen.get(url).content.decode() and len(drafts.drafts_of(unchanged.chen)) == 1


def test_a_draft_can_never_be_taken_for_a_save(unchanged, panel):
    chen, url = unchanged.client(unchanged.chen), url_of(panel)
    fields = {name: value for name, value in fields_of(chen.get(url)).items() if name not in NOT_OF_A_DRAFT}
    assert chen.post(url, {**fields, "HGB": "130"}).status_code == 422, "not even when its mark is lost on the way"
    assert not Measurement.objects.filter(panel=panel).exists()


def test_only_what_a_check_really_said_about_this_panel_is_counted(unchanged, screened):
    panel, other = (unchanged.panel(screened, "SCR", code) for code in ("t_cells", "chemistry"))
    chen, url = unchanged.client(unchanged.chen), url_of(panel)
    day = str(panel.visit.planned_on)
    heard = chen.post(f"{url}check/", {**fields_of(chen.get(url)), "CD4": "4000", "collected_on": day}).content.decode()
    said = re.search(r'data-asked="implausible:CD4" data-typed="([^"]*)"', heard).group(1)
    assert said == as_said(panel, "implausible:CD4", "4000")
    forged = ["4000", "4000:", "4000:x", "5000" + said[4:], as_said(other, "implausible:CD4", "4000"),
              as_said(panel, "implausible:CD8", "4000")]  # fmt: skip
    for claim in forged:
        with transaction.atomic():
            assert (
                send(chen, url, CD4="400", collected_on=day, asked=json.dumps({"implausible:CD4": claim})).status_code
                == 302
            )
            assert not CheckFiring.objects.filter(panel=panel, outcome="corrected").exists(), claim
            transaction.set_rollback(True)
    assert send(chen, url, CD4="400", collected_on=day, asked=json.dumps({"implausible:CD4": said})).status_code == 302
    assert CheckFiring.objects.get(panel=panel, outcome="corrected").typed == "4000"


@pytest.mark.parametrize(("typed", "status"), [("x" * 200_000, 413), ("\x00", 422), ("a\x00b", 422), ("\ud800", 200)])
def test_a_draft_is_bounded_and_whatever_is_sent_does_no_harm(unchanged, panel, typed, status):
    chen = unchanged.client(unchanged.chen)
    assert keep(chen, url_of(panel), comment=typed.encode("utf-8", "replace").decode()).status_code == status
    for name, odd in (
        ("draft_of", "x" * 36), ("draft_of", "\x00"), ("draft_version", "\x00"),
        ("draft_version", "9" * 30), ("asked", "[1, {"), ("asked", '{"x": 5, "a:HGB": "1"}'), ("asked", '["x"]'),
        ("asked", r'{"implausible:HGB": "\ud800"}'), ("asked", r'{"implausible:HGB": "\u0000"}'), ("asked", "[" * 90_000),
    ):  # fmt: skip
        assert keep(chen, url_of(panel), **{name: odd}).status_code in (200, 422), (name, odd)
    assert chen.get(f"{url_of(panel)}?draft=yes&over=%00").status_code == 200
    assert chen.post("/drafts/discard/", {"path": "/\x00"}).status_code == 302


def test_a_person_has_a_bounded_number_of_drafts_and_old_ones_go(unchanged, panel, monkeypatch):
    monkeypatch.setattr(drafts, "MOST", 2)
    chen = unchanged.client(unchanged.chen)
    patient = panel.patient_id
    for url in (url_of(panel), f"/patients/{patient}/lines/art/", f"/patients/{patient}/lines/medication/"):
        keep(chen, url, ended_on="2020")
    assert [draft.path[-5:-1] for draft in drafts.drafts_of(unchanged.chen)] == ["tion", "/art"]
    Draft.objects.filter(path__endswith="art/").update(kept_at=timezone.now() - timedelta(days=31))
    assert tasks.forget_old_drafts() == 1
    assert chen.post("/drafts/discard/", {"path": drafts.drafts_of(unchanged.chen)[0].path}).status_code == 302
    assert not Draft.objects.exists()


def test_a_seed_is_never_kept_as_a_draft(unchanged):
    assert not MakeListForm.is_drafted
    sofia = unchanged.client(unchanged.sofia)
    assert keep(sofia, "/patients/allocation/make/", seed="1905").status_code in (422, 403)
    assert not Draft.objects.exists()


def test_what_checks_said_is_kept_with_the_draft_and_counted_when_the_value_was_corrected(unchanged, screened):
    panel = unchanged.panel(screened, "SCR", "t_cells")
    chen, url = unchanged.client(unchanged.chen), url_of(panel)
    said = {"implausible:CD4": as_said(panel, "implausible:CD4", "4000")}
    keep(chen, url, CD4="4000", asked=json.dumps(said))
    assert drafts.drafts_of(unchanged.chen)[0].asked == said
    filled = chen.get(f"{url}?draft=yes")
    assert send(chen, url, filled, CD4="400").status_code == 302
    firing = CheckFiring.objects.get(panel=panel)
    assert (firing.check_code, firing.typed, firing.outcome) == ("implausible", "4000", "corrected")


# --- what a draft is called -------------------------------------------------------------------------------

# their forms are signed, ticked or secret, and never kept (is_drafted = False)
NEVER_KEPT = {
    "make_allocation_list", "import_allocation_list", "unmask_patient", "freeze_visits", "check_visit", "check_record",
    "compare_dictionary", "approve_codes", "code_term", "judge_case", "make_authority_copy", "save_view",
    "sign_recommendation", "read_letters",
}  # fmt: skip


def all_addresses(resolver, namespace=""):
    for pattern in resolver.url_patterns:
        if hasattr(pattern, "url_patterns"):
            yield from all_addresses(pattern, pattern.namespace or namespace)
        else:
            yield namespace, pattern.name, inspect.unwrap(pattern.callback)


def test_every_form_that_is_kept_has_a_title():
    nameless = [
        (namespace, name) for namespace, name, view in all_addresses(get_resolver())
        if namespace in settings.FORM_TITLES and name not in NEVER_KEPT
        and re.search(r"answer_form\(|answer_reason\(", inspect.getsource(view))
        and name not in import_string(f"{settings.FORM_TITLES[namespace]}.FORMS")
    ]  # fmt: skip
    assert not nameless


def test_a_draft_is_called_in_the_language_of_who_reads_by_patient_visit_and_form(unchanged, screened):
    number, visit = screened.number, visit_steps.visit_of(screened, "SCR")
    panel = unchanged.panel(screened, "SCR", "chemistry")
    for path, english, chinese in (
        (f"/visits/panels/{panel.pk}/", f"{number} · SCR · Chemistry", f"{number} · SCR · 血生化"),
        (f"/visits/panels/{panel.pk}/not-done/", f"{number} · SCR · Chemistry: not done", None),
        (f"/visits/panels/{panel.pk}/query/", f"{number} · SCR · Query: Chemistry", None),
        (f"/visits/{visit.pk}/date/", f"{number} · SCR · Date of the visit", None),
        (f"/patients/{screened.pk}/lines/art/", f"{number} · Antiretroviral treatment", f"{number} · 抗逆转录病毒治疗"),
        (f"/safety/events/report/{screened.pk}/", f"{number} · Report an adverse event", None),
        ("/patients/screen/", "Screen a patient", None),
        ("/visits/panels/999999999/", "A form", None),
        ("/no/longer/there/", "A form", None),
    ):  # fmt: skip
        assert titles.titles_of(unchanged.chen, [path]) == [english]
        with override("zh-hans"):
            [told] = titles.titles_of(unchanged.chen, [path])
            assert told != english and (chinese is None or told == chinese), path


def test_the_title_of_a_draft_names_no_record_that_the_person_may_no_longer_see(unchanged, screened):
    paths = [url_of(unchanged.panel(screened, "SCR", "chemistry")), f"/safety/events/report/{screened.pk}/"]
    assert titles.titles_of(unchanged.li, paths) == ["A form", "Report an adverse event"]


def test_titles_cost_one_statement_for_each_kind_of_record(unchanged, screened):
    panels = [url_of(panel) for panel in visit_steps.visit_of(screened, "SCR").panels.all()]
    lines = [f"/patients/{screened.pk}/lines/{kind}/" for kind in ("art", "medication", "history")]
    with CaptureQueriesContext(connection) as queries:
        assert len(titles.titles_of(unchanged.chen, panels + lines)) > 8
    assert len(queries) == 2


def test_what_a_late_save_kept_is_called_by_its_form_too(unchanged, screened):
    panel = unchanged.panel(screened, "SCR", "chemistry")
    visit_steps.enter_panel(panel=panel, by=unchanged.chen)
    chen, url = unchanged.client(unchanged.chen), url_of(panel)
    seen = chen.get(url)
    assert send(unchanged.client(unchanged.wang), url, ALT="34", reason="his").status_code == 302
    assert send(chen, url, seen, ALT="33", reason="mine").status_code == 409
    [row] = chen.get("/drafts/start/").context["section"]["rows"]
    assert row["label"] == f"{screened.number} · SCR · Chemistry"


def test_all_drafts_are_reached_and_discarded_on_a_page_of_their_own(unchanged, screened):
    chen = unchanged.client(unchanged.chen)
    urls = [url_of(panel) for panel in visit_steps.visit_of(screened, "SCR").panels.all()][:9]
    for url in urls:
        assert keep(chen, url, comment="mine").status_code == 200
    first = chen.get("/drafts/start/").context["section"]
    assert (len(first["rows"]), first["count"], first["url"]) == (8, 9, "/drafts/")
    page = chen.get("/drafts/")
    assert all(f"{url}?draft=yes" in page.content.decode() for url in urls)
    assert chen.post("/drafts/discard/", {"path": urls[0], "list": "1"}).headers["Location"] == "/drafts/"
    assert chen.get("/drafts/").context["section"]["count"] == 8
    assert unchanged.client(unchanged.wang).get("/drafts/").context["section"]["count"] == 0


def test_a_draft_of_something_new_that_names_a_version_is_offered_all_the_same(unchanged, screened):
    """There is nothing that could have been changed meanwhile."""
    chen, url = unchanged.client(unchanged.chen), f"/safety/events/report/{screened.pk}/"
    assert keep(chen, url, draft_version="1", term="Headache").status_code == 200
    page = chen.get(url, {"draft": "yes"})
    assert page.status_code == 200 and "Headache" in page.content.decode()


# --- a colleague's correction ------------------------------------------------------------------------------


@pytest.fixture
def corrected(unchanged, screened):
    """A chemistry panel that Chen has open since before Wang corrected it."""
    panel = unchanged.panel(screened, "SCR", "chemistry")
    visit_steps.enter_panel(panel=panel, by=unchanged.chen)
    chen, url = unchanged.client(unchanged.chen), url_of(panel)
    seen = chen.get(url)
    correction = {"unit_BILI": "mg/dL", "collected_at": "08:15", "ALT": "34"}
    answer = send(unchanged.client(unchanged.wang), url, **correction, reason="read again")
    assert answer.status_code in (302, 422)
    if answer.status_code == 422:
        assert send(unchanged.client(unchanged.wang), url, **correction, reason="read again").status_code == 302
    return chen, url, seen


def test_whoever_saves_too_late_sees_every_field_that_differs(corrected):
    chen, url, seen = corrected
    late = send(chen, url, seen, AST="31", reason="AST came")
    assert late.status_code == 409
    differing = {str(row["field"]) for row in late.context["conflict"]["rows"] if row["differs"]}
    assert {"Bilirubin: unit", "Time"} <= {name.replace("Bilirubin, total", "Bilirubin") for name in differing}, (
        differing
    )


def test_taking_over_leaves_what_i_did_not_touch_as_my_colleague_corrected_it(corrected):
    chen, url, seen = corrected
    before = fields_of(seen)
    late = send(chen, url, seen, AST="31", reason="AST came")
    taken = chen.get(late.context["draft"].url_over)
    fields = fields_of(taken)
    assert (fields["AST"], fields["reason"]) == (["31"], ["AST came"])
    assert (fields["unit_BILI"], fields["ALT"]) == (["mg/dL"], ["34"])
    assert fields["collected_at"] == ["08:15"] and fields["BILI"] == before["BILI"]
    assert taken.context["draft"].contested == []


def test_what_both_changed_is_told_with_both_and_a_value_goes_with_its_unit(corrected):
    chen, url, seen = corrected
    late = send(chen, url, seen, ALT="35", BILI="9", reason="mine")
    taken = chen.get(late.context["draft"].url_over)
    fields = fields_of(taken)
    assert (fields["ALT"], fields["BILI"]) == (["35"], ["9"])
    assert fields["unit_BILI"] == fields_of(seen)["unit_BILI"], "9 was typed in the unit that I saw"
    told = {(row["yours"], row["saved"]) for row in taken.context["draft"].contested}
    assert ("35", "34") in told and len(told) == 3
    assert "You and a colleague both changed these" in taken.content.decode()


# --- two openings of one form ------------------------------------------------------------------------------


def test_what_is_typed_in_a_form_opened_anew_leaves_the_earlier_draft_as_it_is(unchanged, panel):
    chen, url = unchanged.client(unchanged.chen), url_of(panel)
    first, second = chen.get(url), chen.get(url)
    keep(chen, url, first, HGB="131")
    keep(chen, url, second, WBC="4.6")
    keep(chen, url, first, HGB="132")
    assert sorted((d.fields["HGB"], d.fields["WBC"]) for d in Draft.objects.all()) == [([""], ["4.6"]), (["132"], [""])]
    addresses = [row["url"] for row in chen.get("/drafts/").context["section"]["rows"]]
    assert [fields_of(chen.get(one))["HGB"] for one in addresses] == [["132"], [""]]


def test_saving_one_opening_of_a_form_leaves_the_draft_of_the_other(unchanged, panel):
    chen, url = unchanged.client(unchanged.chen), url_of(panel)
    first, second = chen.get(url), chen.get(url)
    keep(chen, url, first, HGB="131")
    assert send(chen, url, second, WBC="4.6").status_code == 302
    assert Draft.objects.get().fields["HGB"] == ["131"]


def test_a_page_that_continues_with_a_draft_takes_it_along_unless_it_was_typed_on_elsewhere(unchanged, panel):
    chen, url = unchanged.client(unchanged.chen), url_of(panel)
    first = chen.get(url)
    keep(chen, url, first, HGB="131")
    filled, again = chen.get(f"{url}?draft=yes"), chen.get(f"{url}?draft=yes")
    keep(chen, url, filled, HGB="132")
    assert Draft.objects.get().fields["HGB"] == ["132"]
    keep(chen, url, again, HGB="133")
    assert sorted(d.fields["HGB"] for d in Draft.objects.all()) == [["132"], ["133"]]


def test_one_of_several_drafts_of_a_form_is_discarded_alone(unchanged, panel):
    chen, url = unchanged.client(unchanged.chen), url_of(panel)
    first, second = chen.get(url), chen.get(url)
    keep(chen, url, first, HGB="131")
    keep(chen, url, second, HGB="132")
    kept = drafts.drafts_of(unchanged.chen)[0].pk
    chen.post("/drafts/discard/", {"path": url, "kept": kept})
    assert Draft.objects.get().fields["HGB"] == ["131"]
