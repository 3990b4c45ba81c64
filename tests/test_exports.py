"""Exports: what stands in the files is what stood in the database, for the eyes of who asked, once, and provably."""

import csv
import hashlib
import io
import json
import re
import subprocess
import zipfile
from datetime import timedelta
from decimal import Decimal

import openpyxl
import pytest
from django.conf import settings as django_settings
from django.db import OperationalError, connection
from django.utils import timezone
from openpyxl.utils.escape import unescape

from patients import demo as patient_steps
from patients.models import Consent, Medication, Patient
from safety.models import AdverseEvent
from tests.test_access import fill
from tests.universe import send
from trialsite import actions as account_actions
from trialsite import jobs, outbox
from trialsite.audit import acting, audited_models
from trialsite.exchange import actions, job, making
from trialsite.exchange.files import MOST_CHARACTERS, as_text
from trialsite.exchange.tables import AUDIT_TRAIL, Scope, not_exported, tables, titles
from trialsite.models import (
    AuditEvent,
    DataExport,
    ExportChunk,
    ExportDownload,
    ExportFile,
    JobState,
    OutboxMessage,
    Site,
    User,
)
from trialsite.saving import Refused
from visits.models import Measurement, Visit

HOSTILE = [
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "=HYPERLINK(\"x\";\"y\")", "＝1+1", "＋1", "－1", "＠x", "'=1", '"quoted", twice""',
    "comma, semicolon; tab\tnew\nline", "头痛，发热", "👩🏽‍⚕️", "_x000D_", "<b>&amp;</b>", " blanks around ", "-5", "1e5", "007",
    "2026-01-02", "TRUE", "NA", "http://example.org/", "x" * 200,
]  # fmt: skip


@pytest.fixture(scope="module")
def records(world):
    found = fill(world)
    patient = found["01"]["patient"]
    with acting(world.chen, "hostile characters, as no form lets in"):
        for text in HOSTILE:
            Medication.objects.create(
                patient=patient, treatment=text[:200], indication=text[:200], dose=Decimal("0.1250"), started_on="2020-05",
                is_ongoing=True,
            )  # fmt: skip
    return found


@pytest.fixture
def quiet(monkeypatch):
    monkeypatch.setattr(outbox, "send", lambda message: None)


def ask(by, cutoff=None, sites=None, kinds=None):
    return actions.request_export(
        cutoff=cutoff or timezone.now(),
        sites=sites if sites is not None else list(Site.objects.values_list("pk", flat=True)),
        kinds=kinds if kinds is not None else list(titles()),
        by=User.objects.get(pk=by.pk),
    )


def run(export):
    made = job.run(export.pk, OutboxMessage.objects.latest("pk").pk)
    export.refresh_from_db()
    return made


class Taken:
    """The files of an export, read by other programs than wrote them."""

    def __init__(self, export):
        assert export.state == JobState.DONE, export.failure
        self.bytes = {
            file.name.rpartition(".")[2]: b"".join(bytes(chunk.content) for chunk in file.chunks.all())
            for file in export.files.all()
        }
        with zipfile.ZipFile(io.BytesIO(self.bytes["zip"])) as archive:
            assert archive.testzip() is None
            self.files = {name: archive.read(name) for name in archive.namelist()}
        self.manifest = json.loads(self.files["manifest.json"])

    def rows(self, name):
        text = self.files[f"{name}.csv"].decode("utf-8")
        return list(csv.DictReader(io.StringIO(text, newline="")))

    def sheet(self, name):
        book = openpyxl.load_workbook(io.BytesIO(self.bytes["xlsx"]))
        names, *rows = book[name].iter_rows()
        for cell in (cell for row in rows for cell in row if isinstance(cell.value, str)):
            cell._value = unescape(cell.value)  # _x005F_ is how a workbook writes an underscore that could be a code
        return [dict(zip([cell.value for cell in names], row, strict=True)) for row in rows]

    @property
    def everything(self):
        """All bytes in which something could stand, unpacked."""
        with zipfile.ZipFile(io.BytesIO(self.bytes["xlsx"])) as book:
            return b"\n".join([*self.files.values(), *(book.read(name) for name in book.namelist())])


def exported(by, **what):
    export = ask(by, **what)
    assert run(export)
    return Taken(export)


@pytest.fixture(scope="module")
def full(world, records):
    """What the statistician takes."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(outbox, "send", lambda message: None)
        return exported(world.sofia)


# --- what stands in it --------------------------------------------------------------------------------------


def test_every_audited_table_is_exported_or_named_with_the_reason_why_not():
    models = {model._meta.label for model in audited_models()}
    there = {table.model._meta.label for table in tables().values()}
    left_out = set(not_exported())
    assert models - there - left_out == set()
    assert not there & left_out and left_out <= models
    assert all(not_exported().values())


def test_names_of_files_and_columns_are_good_for_every_program():
    for name, table in tables().items():
        assert re.fullmatch(r"[a-z][a-z0-9_]{0,30}", name), name
        columns = [column.name for column in table.columns]
        assert len(columns) == len(set(columns)), name
        assert all(re.fullmatch(r"[a-z][a-z0-9_]{0,31}", column) for column in columns), columns
        assert columns[0] == "id"


def test_every_row_of_every_table_is_there(full):
    for name, table in tables().items():
        there = table.model._base_manager.all()
        there = there.filter(patient__isnull=False) if name == "allocations" else there
        assert [int(row["id"]) for row in full.rows(name)] == list(there.order_by("pk").values_list("pk", flat=True)), (
            name
        )
    assert len(full.rows("measurements")) > 100 and full.rows("preparations") and full.rows("halts")


def test_a_value_is_the_one_that_was_stored(full):
    for row, stored in zip(full.rows("measurements"), Measurement.objects.order_by("pk").select_related(
        "patient__site", "panel__visit", "infusion__visit"), strict=True):  # fmt: skip
        visit = stored.panel.visit if stored.panel else stored.infusion.visit
        assert row["patient"] == stored.patient.number and row["site"] == stored.patient.site.code
        assert row["visit"] == visit.code and row["panel"] == (stored.panel.code if stored.panel else "")
        assert (row["test"], row["typed"], row["operator"], row["unit"]) == (
            stored.test, stored.typed, stored.operator, stored.unit)  # fmt: skip
        assert (Decimal(row["value"]) if row["value"] else None) == stored.value
        assert row["collected_on"] == stored.collected_on.isoformat()
        assert row["is_computed"] == ("Y" if stored.is_computed else "N")
    for row, stored in zip(full.rows("adverse_events"), AdverseEvent.objects.order_by("pk"), strict=True):
        assert row["reported_by"] == stored.reported_by.username and row["grade"] == str(stored.grade)
        assert row["aware_at"] == stored.aware_at.replace(tzinfo=None).isoformat() + "Z"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "Y"), (False, "N"), (Decimal("12.5000"), "12.5"), (Decimal("300.0000"), "300"), (Decimal("1E+2"), "100"),
     (Decimal("0.0001"), "0.0001"), (Decimal("-0.5000"), "-0.5"), (0, "0"), ("", ""), ("=1", "=1")],
)  # fmt: skip
def test_how_values_are_written(value, text):
    assert as_text(value) == text


@pytest.mark.requirement("R53")
def test_a_hostile_text_is_exact_in_the_csv(full):
    medications = [row for row in full.rows("medications") if row["treatment"] in HOSTILE]
    assert [row["treatment"] for row in medications] == HOSTILE
    assert [row["indication"] for row in medications] == HOSTILE


@pytest.mark.requirement("R53", "R67")
def test_a_text_never_becomes_a_formula_nor_a_number_in_the_workbook(full):
    cells = [row["treatment"] for row in full.sheet("medications")][-len(HOSTILE) :]
    # XML has no way to tell CR LF from LF; no text here has one
    assert [cell.value for cell in cells] == HOSTILE
    assert {cell.data_type for cell in cells} <= {"s", "inlineStr"}
    with zipfile.ZipFile(io.BytesIO(full.bytes["xlsx"])) as book:
        sheets = [book.read(name) for name in book.namelist() if "worksheets/" in name]
        assert not any(b"<f>" in sheet or b"<f " in sheet or b"<hyperlink" in sheet for sheet in sheets)
        assert not [name for name in book.namelist() if "vba" in name or "externalLink" in name]


def test_numbers_are_numbers_in_the_workbook_and_equal_to_the_csv(full):
    for name in ("measurements", "medications", "patients", "infusions"):
        for row, cells in zip(full.rows(name), full.sheet(name), strict=True):
            for column, text in row.items():
                cell = cells[column]
                if cell.data_type == "n" and cell.value is not None:
                    assert Decimal(str(cell.value)) == Decimal(text)
                else:
                    assert (cell.value or "") == text
    assert {row["value"].data_type for row in full.sheet("measurements") if row["value"].value is not None} == {"n"}
    assert {row["typed"].data_type for row in full.sheet("measurements") if row["typed"].value is not None} <= {
        "s",
        "inlineStr",
    }


def test_a_text_that_no_cell_holds_says_where_the_whole_stands(tmp_path):
    from trialsite.exchange.files import Workbook, as_much_as_fits

    long = "👩" * 20_000
    assert len(as_much_as_fits(long).encode("utf-16-le")) <= 2 * MOST_CHARACTERS
    assert as_much_as_fits(long).endswith("(the whole text stands in the CSV)")
    assert as_much_as_fits("x" * MOST_CHARACTERS) == "x" * MOST_CHARACTERS
    book = Workbook(tmp_path / "x.xlsx", tmp_path)
    sheet = book.sheet("a", ["one"])
    for text in (long, "y"):
        sheet.write([text], [text])
    book.close()
    assert openpyxl.load_workbook(tmp_path / "x.xlsx")["a"]["A3"].value == "y"


def test_what_one_sheet_cannot_hold_goes_on_in_another(tmp_path, monkeypatch):
    from trialsite.exchange import files

    monkeypatch.setattr(files, "MOST_ROWS", 3)
    book = files.Workbook(tmp_path / "x.xlsx", tmp_path)
    sheet = book.sheet("reference_ranges", ["one"])
    for number in range(5):
        sheet.write([number + 1], [str(number + 1)])
    book.close()
    read = openpyxl.load_workbook(tmp_path / "x.xlsx")
    assert read.sheetnames == ["reference_ranges", "reference_ranges (2)", "reference_ranges (3)"]
    assert [[cell.value for cell in row] for row in read["reference_ranges (2)"].iter_rows()] == [["one"], [3], [4]]


def test_the_dictionary_tells_every_column_of_every_file(full):
    told = {(row["file"], row["column"]): row for row in full.rows("dictionary")}
    there = {
        (name, column)
        for name, content in full.files.items() if name.endswith(".csv")
        for column in next(csv.reader(io.StringIO(content.decode(), newline="")))
    }  # fmt: skip
    assert set(told) == there
    assert all(row["label"] and row["type"] for row in told.values())
    assert told["adverse_events.csv", "relationship"]["codes"].startswith("not_related = not related; ")
    assert told["panels.csv", "visit_id"]["source"] == "visit. id in visits.csv"


def test_the_tests_of_the_protocol_come_along(full, records):
    protocol = records["01"]["patient"].protocol
    rows = {row["test"]: row for row in full.rows("tests")}
    assert set(rows) == {test.code for test in protocol.tests}
    hgb = protocol.test("HGB")
    assert (rows["HGB"]["name"], rows["HGB"]["unit"], rows["HGB"]["loinc"]) == (hgb.name, hgb.unit, hgb.loinc)
    assert rows["HGB"]["low_female"] == as_text(hgb.reference_for("F").low)
    codes = {(row["kind"], row["code"]) for row in full.rows("codes")}
    assert {("visit", "W0"), ("panel", "chemistry"), ("arm", protocol.arms[0].code)} <= codes
    measured = {row["test"] for row in full.rows("measurements")}
    assert measured <= set(rows)


@pytest.mark.requirement("R1", "R10")
def test_the_trail_of_the_exported_records_is_whole_and_rebuilds_them(full):
    events = full.rows(AUDIT_TRAIL)
    last = full.manifest["data"]["last_audit_event"]
    for name, table in tables().items():
        ids = [int(row["id"]) for row in full.rows(name)]
        of_them = AuditEvent.objects.filter(table=table.model._meta.db_table, record_id__in=ids, id__lte=last)
        assert [int(e["id"]) for e in events if e["file"] == name] == list(
            of_them.order_by("id").values_list("id", flat=True)
        ), name
    rebuilt = {}
    for event in events:
        if event["file"] == "measurements" and event["after"]:
            rebuilt.setdefault(event["record"], {}).update(json.loads(event["after"], parse_float=Decimal))
    for row in full.rows("measurements"):
        assert rebuilt[row["id"]]["typed"] == row["typed"] and rebuilt[row["id"]]["test"] == row["test"]
    change = next(e for e in events if e["operation"] == "update" and e["file"] == "patients")
    assert set(json.loads(change["before"])) == set(json.loads(change["after"])) != set()


def test_people_are_those_who_stand_in_the_data(full):
    people = {row["username"]: row for row in full.rows("people")}
    assert people["chen"]["full_name"] == "Chen Wei"
    assert "ada" not in people and "ines" not in people
    assert {row["reported_by"] for row in full.rows("adverse_events")} <= set(people)
    assert "email" not in full.files["people.csv"].decode() and "password" not in full.everything.decode(
        "utf-8", "replace"
    )


@pytest.mark.requirement("R16")
def test_the_digests_hold_and_the_manifest_tells_where_it_comes_from(full, tmp_path):
    for name, content in full.files.items():
        (tmp_path / name).write_bytes(content)
    told = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0 and len(told.stdout.splitlines()) == len(full.files) - 1
    files = {file["name"]: file for file in full.manifest["data"]["files"]}
    assert set(files) == {name for name in full.files if name.endswith(".csv")}
    for name, file in files.items():
        assert file["sha256"] == hashlib.sha256(full.files[name]).hexdigest() and file["bytes"] == len(full.files[name])
        assert file["rows"] == len(full.rows(name[:-4]))
    data, request = full.manifest["data"], full.manifest["request"]
    assert (
        data["study"]["registry"] == "NCT01213186"
        and data["study"]["protocol_versions"]
        and data["sites"] == ["01", "02"]
    )
    assert request["username"] == "sofia" and request["roles"] == ["statistician"] and request["program"]
    (tmp_path / "patients.csv").write_bytes(full.files["patients.csv"].replace(b"01-001", b"01-002"))
    assert subprocess.run(["sha256sum", "--status", "-c", "SHA256SUMS"], cwd=tmp_path, check=False).returncode == 1


def test_the_row_of_the_export_keeps_the_digests(world, full):
    for file in ExportFile.objects.all():
        content = b"".join(bytes(chunk.content) for chunk in file.chunks.all())
        assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())


# --- as of ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R16", "R96")
def test_the_same_cutoff_gives_the_same_bytes_whatever_was_corrected_since(unchanged, records, quiet):
    cutoff = timezone.now()
    first = exported(unchanged.david, cutoff=cutoff)
    patient = records["01"]["patient"]
    with acting(unchanged.chen, "corrected"):
        Patient.objects.filter(pk=patient.pk).update(birth_date="1970-01-01", version=99)
        Measurement.objects.filter(patient=patient, value__isnull=False).update(value=1, typed="1")
        Consent.objects.filter(patient=patient).update(obtained_by="=cmd()")
    with acting(unchanged.ada, "married"):
        User.objects.filter(username="chen").update(full_name="Chen-Li Wei")
    unchanged.event(patient)
    again = exported(unchanged.david, cutoff=cutoff)
    told_apart = {name for name in first.files if first.files[name] != again.files[name]}
    assert told_apart == {"manifest.json", "SHA256SUMS"}
    assert first.manifest["data"] == again.manifest["data"] and first.manifest["request"] != again.manifest["request"]
    assert first.bytes["xlsx"] == again.bytes["xlsx"]
    now = exported(unchanged.david)
    assert len(now.rows("adverse_events")) == len(first.rows("adverse_events")) + 1
    assert {row["typed"] for row in now.rows("measurements") if row["patient"] == patient.number and row["value"]} == {
        "1"
    }


def test_what_came_after_the_cutoff_is_not_there(unchanged, records, quiet):
    cutoff = timezone.now()
    patient_steps.add_medication(
        patient=records["01"]["patient"], treatment="Laterol", started_on="2021", by=unchanged.chen
    )
    before, after = exported(unchanged.david, cutoff=cutoff), exported(unchanged.david)
    assert b"Laterol" not in before.everything and b"Laterol" in after.everything


def test_before_the_trial_there_is_nothing(unchanged, records, quiet):
    taken = exported(unchanged.david, cutoff=timezone.now() - timedelta(days=4000))
    assert all(not taken.rows(name) for name in tables() if f"{name}.csv" in taken.files)
    assert taken.manifest["data"]["last_audit_event"] == 0


# --- who sees what -------------------------------------------------------------------------------------------


@pytest.mark.requirement("R44")
def test_an_investigator_gets_the_own_site_alone(unchanged, records, quiet):
    taken = exported(unchanged.wang)
    theirs = Patient.objects.filter(site=unchanged.other_site)
    assert theirs.count() == 2
    assert taken.manifest["data"]["sites"] == ["01"]
    assert {row["site"] for row in taken.rows("measurements")} == {"01"}
    for secret in [patient.number.encode() for patient in theirs] + [b"Ditan", b"Li Na"]:
        assert secret not in taken.everything
    here = set(Visit.objects.filter(patient__site=unchanged.site).values_list("pk", flat=True))
    assert {int(event["record"]) for event in taken.rows(AUDIT_TRAIL) if event["file"] == "visits"} <= here


@pytest.mark.requirement("R44")
def test_sites_and_kinds_can_be_chosen_and_nothing_beyond(unchanged, records, quiet):
    taken = exported(unchanged.sofia, sites=[unchanged.other_site.pk], kinds=["patients", "visits", "no_such_kind"])
    assert {name for name in taken.files if name.endswith(".csv")} == {
        f"{name}.csv" for name in ("patients", "visits", "tests", "codes", "people", "dictionary")
    }
    assert {row["site"] for row in taken.rows("visits")} == {"02"}
    # a site that one may not see, asked for past the form, is not there
    export = ask(unchanged.wang, sites=[unchanged.other_site.pk])
    assert not run(export)
    assert export.state == JobState.FAILED and "NothingToExport" in export.failure


@pytest.mark.parametrize("name", ["chen", "zhao", "maria", "samuel", "dora", "ada", "ines"])
def test_who_may_not_export_may_not(unchanged, records, name):
    client = unchanged.client(getattr(unchanged, name))
    for method, url in (
        ("get", "/exports/"),
        ("get", "/exports/new/"),
        ("post", "/exports/new/"),
        ("post", "/exports/files/1/"),
    ):
        assert getattr(client, method)(url).status_code == 403
    assert b"/exports/" not in client.get("/").content


@pytest.mark.requirement("R49")
def test_a_role_taken_away_before_the_job_runs_is_gone(unchanged, records, quiet):
    export = ask(unchanged.wang)
    account_actions.revoke_role(grant=unchanged.wang.grants.get(), reason="left", by=unchanged.ada)
    assert not run(export)
    assert export.state == JobState.FAILED and not ExportFile.objects.filter(export=export).exists()


@pytest.mark.requirement("R49")
def test_a_role_taken_away_before_the_download_is_gone(unchanged, records, quiet):
    export = ask(unchanged.david)
    run(export)
    file, client = export.files.first(), unchanged.client(unchanged.david)
    assert client.post(f"/exports/files/{file.pk}/").status_code == 200
    account_actions.revoke_role(grant=unchanged.david.grants.get(), reason="moved", by=unchanged.ada)
    account_actions.grant_role(
        user=unchanged.david, role="investigator", site=unchanged.site, reason="moved", by=unchanged.ada
    )
    client = unchanged.client(User.objects.get(pk=unchanged.david.pk))
    assert client.post(f"/exports/files/{file.pk}/").status_code == 403
    page = client.get(f"/exports/{export.pk}/")
    assert b"cannot be taken" in page.content and b"/exports/files/" not in page.content
    account_actions.revoke_role(grant=unchanged.david.grants.get(revoked_at=None), reason="left", by=unchanged.ada)
    client = unchanged.client(User.objects.get(pk=unchanged.david.pk))
    assert client.post(f"/exports/files/{file.pk}/").status_code in (302, 403)
    assert ExportDownload.objects.filter(file=file).count() == 1


@pytest.mark.requirement("R44")
def test_nobody_sees_an_export_of_another(unchanged, records, quiet):
    export = ask(unchanged.david)
    run(export)
    client = unchanged.client(unchanged.sofia)
    for method, url in (("get", f"/exports/{export.pk}/"), ("post", f"/exports/{export.pk}/"),
                        ("get", f"/exports/{export.pk}/progress/"), ("post", f"/exports/files/{export.files.first().pk}/")):  # fmt: skip
        assert getattr(client, method)(url).status_code == 404, url
    assert f"/exports/{export.pk}/".encode() not in client.get("/exports/").content


def test_a_scope_covers_what_is_within_it():
    one, both = Scope({"a": (1,)}, False), Scope({"a": (1, 2), "b": (1,)}, False)
    assert both.covers(one) and not one.covers(both)
    assert not both.covers(Scope({"a": (1,)}, True)) and Scope({"a": (1,)}, True).covers(one)
    assert Scope.from_stored(json.loads(json.dumps(both.stored()))) == both


# --- pages ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R6", "R103")
def test_from_the_request_to_the_file(unchanged, records, quiet):
    client = unchanged.client(unchanged.david)
    answer = send(client, "/exports/new/")
    export = DataExport.objects.latest("pk")
    assert answer.status_code == 302 and answer["Location"] == f"/exports/{export.pk}/"
    assert set(export.kinds) == set(titles()) - {"unmaskings"} and len(export.sites) == 2  # all ticked
    page = client.get(f"/exports/{export.pk}/")
    assert b"Waiting for its turn" in page.content and f"/exports/{export.pk}/progress/".encode() in page.content
    assert client.get(f"/exports/{export.pk}/progress/").headers.get("HX-Refresh") is None
    assert run(export)
    assert client.get(f"/exports/{export.pk}/progress/")["HX-Refresh"] == "true"
    file = export.files.get(name__endswith=".zip")
    page = client.get(f"/exports/{export.pk}/").content.decode()
    assert file.sha256 in page and f'action="/exports/files/{file.pk}/"' in page
    assert client.get(f"/exports/files/{file.pk}/").status_code == 405
    assert not ExportDownload.objects.exists()
    answer = client.post(f"/exports/files/{file.pk}/")
    content = answer.getvalue()
    assert hashlib.sha256(content).hexdigest() == file.sha256 and int(answer["Content-Length"]) == len(content)
    assert answer["Content-Disposition"] == f'attachment; filename="{file.name}"'
    assert answer["Content-Type"] == "application/zip" and "no-store" in answer["Cache-Control"]
    taken = ExportDownload.objects.get()
    assert (taken.file_id, taken.by_id) == (file.pk, unchanged.david.pk)
    event = AuditEvent.objects.of(taken).get()
    assert event.by_name == "David Dao" and event.operation == "insert"
    assert file.sha256.encode() in client.get(f"/exports/{export.pk}/").content
    assert not re.search(r"(?<!\d)0[12]-00\d(?!\d)", file.name)


def test_the_cutoff_may_be_typed_and_not_lie_in_the_future(unchanged, records, quiet):
    client = unchanged.client(unchanged.david)
    answer = send(client, "/exports/new/", cutoff="2026-01-31 12:00", kinds="patients", sites=str(unchanged.site.pk))
    export = DataExport.objects.latest("pk")
    assert answer.status_code == 302 and as_text(export.cutoff) == "2026-01-31T12:00:00Z"
    assert export.kinds == ["patients"] and export.sites == [unchanged.site.pk]
    for wrong in ({"cutoff": "2099-01-01 00:00"}, {"cutoff": "01/31/2026"}, {"kinds": None}, {"sites": None}, {"kinds": "users"},
                  {"sites": "999"}):  # fmt: skip
        assert send(client, "/exports/new/", **wrong).status_code == 422, wrong
    foreign = send(unchanged.client(unchanged.wang), "/exports/new/", sites=str(unchanged.other_site.pk))
    assert foreign.status_code == 422
    with pytest.raises(Refused):
        ask(unchanged.david, cutoff=timezone.now() + timedelta(minutes=1))


@pytest.mark.requirement("R61")
def test_one_person_has_few_exports_under_way(unchanged, records, quiet):
    ask(unchanged.david)
    with pytest.raises(Refused, match="the same already"):
        ask(unchanged.david)
    for kind in list(titles())[1 : actions.EXPORT.most_at_once]:
        ask(unchanged.david, kinds=[kind])
    with pytest.raises(Refused, match="still being made"):
        ask(unchanged.david, kinds=list(titles())[-1:])
    assert send(unchanged.client(unchanged.david), "/exports/new/").status_code == 422
    ask(unchanged.sofia)


def test_an_export_asked_for_again_counts_among_those_under_way(unchanged, records, quiet):
    failed = [ask(unchanged.david, kinds=[kind]) for kind in list(titles())[:2]]
    for export in failed:
        jobs.give_up(actions.EXPORT, export.pk, failure="x", outbox_id=0, by=unchanged.system)
    ask(unchanged.david, kinds=list(titles())[:1])
    with pytest.raises(Refused, match="the same already"):
        actions.repeat_export(export=failed[0], version=None, by=unchanged.david)
    jobs.give_up(actions.EXPORT, DataExport.objects.latest("pk").pk, failure="x", outbox_id=0, by=unchanged.system)
    for kind in list(titles())[2 : actions.EXPORT.most_at_once + 1]:
        ask(unchanged.david, kinds=[kind])
    actions.repeat_export(export=failed[0], version=None, by=unchanged.david)
    with pytest.raises(Refused):
        actions.repeat_export(export=failed[1], version=None, by=unchanged.david)
    with pytest.raises(Refused):
        ask(unchanged.david)


def test_a_double_click_asks_once(unchanged, records, quiet):
    client = unchanged.client(unchanged.david)
    page = client.get("/exports/new/")
    answers = [send(client, "/exports/new/", page) for _ in range(2)]
    assert (
        answers[0]["Location"] == answers[1]["Location"]
        and DataExport.objects.filter(requested_by=unchanged.david).count() == 1
    )


# --- the job ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R96")
def test_a_killed_job_is_repeated_without_doubling(unchanged, records, quiet, monkeypatch):
    """Killed anywhere: while a table is read, while files are stored, after all was stored."""
    export, message = ask(unchanged.david, kinds=["patients", "visits"]), OutboxMessage.objects.latest("pk")
    whole_file, count = actions._store_file, iter(range(99))

    def die_at_the_second_file(*given):
        whole_file(*given)
        if next(count) == 1:
            raise OperationalError("the connection is gone")

    with monkeypatch.context() as patch:
        patch.setattr(making, "readme", lambda data: (_ for _ in ()).throw(OperationalError("gone")))
        with pytest.raises(OperationalError):
            job.run(export.pk, message.pk)
    with monkeypatch.context() as patch:
        patch.setattr(actions, "_store_file", die_at_the_second_file)
        with pytest.raises(OperationalError):
            job.run(export.pk, message.pk)
    export.refresh_from_db()
    message.refresh_from_db()
    assert export.state == JobState.RUNNING and message.done_at is None and not export.files.exists()
    assert job.run(export.pk, message.pk)
    export.refresh_from_db()
    version = export.version
    assert not job.run(export.pk, message.pk)
    message.refresh_from_db()
    export.refresh_from_db()
    assert export.state == JobState.DONE and export.version == version
    assert message.done_at and export.files.count() == 2
    assert len(ExportChunk.objects.filter(file__export=export)) == 2


def test_two_workers_do_not_make_the_same_export(unchanged, records, quiet):
    export = ask(unchanged.david, kinds=["patients"])
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("select pg_advisory_lock(%s, %s)", [actions.EXPORT.gate, export.pk])
        assert not run(export)
        assert export.state == JobState.WAITING
    finally:
        other.close()


def test_a_failure_is_told_plainly_and_can_be_asked_for_again(unchanged, records, quiet, monkeypatch):
    export = ask(unchanged.david, kinds=["patients"])
    with monkeypatch.context() as patch:
        patch.setattr(making, "readme", lambda data: 1 / 0)
        assert not run(export)
    assert export.state == JobState.FAILED and export.failure.startswith("ZeroDivisionError, at ")
    client = unchanged.client(unchanged.david)
    assert b"Nothing was stored" in client.get(f"/exports/{export.pk}/").content
    assert send(client, f"/exports/{export.pk}/").status_code == 302
    assert run(export) and export.state == JobState.DONE
    assert send(client, f"/exports/{export.pk}/", page=client.get("/exports/new/")).status_code in (409, 422)


def test_an_export_that_kills_every_worker_is_given_up(unchanged, records, quiet, monkeypatch):
    monkeypatch.setattr(jobs, "MOST_BEGINNINGS", 2)
    export = ask(unchanged.david)
    for _ in range(2):
        jobs.begin(actions.EXPORT, export.pk, by=unchanged.system)
    assert not run(export)
    assert export.state == JobState.FAILED and "TooManyBeginnings" in export.failure


def test_the_progress_names_each_kind_and_only_grows(unchanged, records, quiet, monkeypatch):
    seen, note = [], jobs.note_progress

    def watch(kind, pk, step, percent, *, by):
        note(kind, pk, step, percent, by=by)
        seen.append((step, percent))

    monkeypatch.setattr(jobs, "note_progress", watch)
    export = ask(unchanged.sofia)
    run(export)
    assert [step for step, _percent in seen] == [*tables(), AUDIT_TRAIL, "files", "storing"]
    assert [percent for _step, percent in seen] == sorted(percent for _step, percent in seen)


def test_contents_are_dropped_after_a_month_and_the_record_stays(unchanged, records, quiet):
    export = ask(unchanged.david, kinds=["patients"])
    run(export)
    file, client = export.files.first(), unchanged.client(unchanged.david)
    assert actions.drop_old_contents() == 0
    assert actions.drop_old_contents(now=timezone.now() + django_settings.COPIES_KEPT + timedelta(hours=1)) >= 2
    assert client.post(f"/exports/files/{file.pk}/").status_code == 404
    page = client.get(f"/exports/{export.pk}/").content.decode()
    assert "dropped" in page and file.sha256 in page and "/exports/files/" not in page
    assert not ExportDownload.objects.exists()


def test_the_trail_holds_no_bytes_of_an_export(unchanged, records, quiet):
    ask_events = AuditEvent.objects.filter(table__startswith="trialsite_export")
    export = ask(unchanged.david, kinds=["patients"])
    run(export)
    assert not [event for event in ask_events if "content" in (event.after or {})]
    assert not ask_events.filter(table="trialsite_exportchunk").exists()
