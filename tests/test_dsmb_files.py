"""The files of a DSMB report: what stands in them, what does not, and that equal figures are equal bytes."""

import base64
import csv
import io
import re
import subprocess
import zipfile
from dataclasses import replace
from datetime import date, timedelta

import pytest

from safety.actions.reports import draw_arm_letters
from safety.dsmb import render
from safety.dsmb.draw import draw_plots
from safety.dsmb.figures import Column, Row, Table
from safety.dsmb.render import NotTypeset, render_html, render_pdf
from safety.dsmb.tables import tables_of
from tests.dsmb_data import ARMS, SmallTrial, in_force, small_protocol
from tests.test_dsmb_figures import figures as figures_now
from tests.test_dsmb_figures import fill

pytestmark = pytest.mark.django_db

DAY_0, CUTOFF = date(2026, 3, 2), date(2026, 6, 30)


@pytest.fixture
def figures(monkeypatch):
    """Of a small trial of five patients."""
    trial = SmallTrial(in_force(monkeypatch, small_protocol()))
    draw_arm_letters(by=trial.by)
    fill(trial)
    fifth = trial.enrol("ZEBRAARM", DAY_0)
    trial.treat(fifth)
    trial.report(fifth, "Ague *bold* #panic() $x$ <b>", 1, DAY_0 + timedelta(days=3))
    return figures_now()


def words_of(pdf, tmp_path):
    """The text of a PDF as a reader sees it, its pages apart."""
    file = tmp_path / "report.pdf"
    file.write_bytes(pdf)
    return subprocess.run(
        ["pdftotext", "-layout", file, "-"], capture_output=True, check=True
    ).stdout.decode()  # fmt: skip


def objects_of(pdf):
    """All bytes of a PDF, its compressed streams opened."""
    import zlib

    found = [pdf]
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            found.append(zlib.decompress(stream))
        except zlib.error:
            found.append(stream)
    return b"\n".join(found)


def test_the_pdf_has_title_page_header_footer_and_page_numbers(figures, tmp_path):
    text = words_of(render_pdf(figures.open, draw_plots(figures.open)), tmp_path)
    first, second, *_ = pages = [page for page in text.split("\f") if page]
    for words in (
        "A small trial",
        "OPEN SESSION REPORT",
        "NCT00000000",
        "2026-06-30",
        "2026-07-01 00:00:00 UTC",
        "2026-07-01",
    ):
        assert words in first
    for number, page in enumerate(pages, start=1):
        assert "Open session report – confidential" in page
        assert "Data as of 2026-06-30, entered until " in page and "Report of 2026-07-01" in page
        assert f"page {number} of {len(pages)}" in page
    for item in figures.open.items:
        assert item.title in second  # the contents
        assert item.title in "".join(pages[2:]) + second.split("Contents")[1]


def test_every_cell_of_the_tables_is_in_the_pdf(figures, tmp_path):
    squeezed = re.sub(r"\s|-\n\s*", "", words_of(render_pdf(figures.closed, draw_plots(figures.closed)), tmp_path))
    for table in (figures.closed.item(number) for number in ("F1", "T4", "T5", "T6")):
        for row in table.rows:
            assert re.sub(r"\s", "", "".join(row.cells)) in squeezed, (table.number, row)


def test_no_table_begins_with_a_row_or_two_at_the_foot_of_a_page_and_no_row_is_parted(figures, tmp_path):
    """Wherever the table before it ends."""
    columns = (Column("Words", align="left", share=1), Column("n"))
    listing = (Column("Patient", align="left"), Column("Story", align="left", share=1))
    story = "He told the same to everybody who would listen, and then again. " * 8
    items = []
    for n in range(24, 44):
        before = Table(f"X{n}", "Before it", columns, tuple(Row((f"line {i}", str(i))) for i in range(n)))
        it = Table(f"Y{n}", "Begins", columns, tuple(Row((f"Y{n} row {i}.", str(i))) for i in range(8)))
        told = Table(
            f"Z{n}", "Stories", listing, tuple(Row((f"Z{n}-{i}-begin", f"{story} Z{n}-{i}-end")) for i in range(5))
        )
        items += [before, it, told]
    pages = words_of(render_pdf(replace(figures.closed, items=tuple(items)), {}), tmp_path).split("\f")[2:]
    for n in range(24, 44):
        (page,) = [page for page in pages if f"Y{n} row 0." in page]
        assert f"Y{n} row 4." in page, f"table Y{n} begins with few rows"
        for i in range(5):
            (page,) = [page for page in pages if f"Z{n}-{i}-begin" in page]
            assert f"Z{n}-{i}-end" in page, f"row Z{n}-{i} is parted"


def test_no_table_ends_with_a_row_or_a_short_group_alone_on_a_page(figures, tmp_path):
    """However long it is."""
    columns = (Column("Words", align="left", share=1), Column("n"))
    items = []
    for n in range(24, 60):
        plain = [Row((f"line {i}", str(i))) for i in range(n)]
        items.append(Table(f"X{n}", "Rows", columns, (*plain, *(Row((f"X{n} last {i}.", "1")) for i in range(3)))))
        groups = [
            row
            for i in range(n // 2)
            for row in (Row((f"Y{n} group {i}.", ""), "heading"), Row((f"Y{n} its {i}.", "1"), "inner"))
        ]
        items.append(Table(f"Y{n}", "Groups", columns, tuple(groups)))
    pages = words_of(render_pdf(replace(figures.closed, items=tuple(items)), {}), tmp_path).split("\f")[2:]
    for n in range(24, 60):
        (page,) = [page for page in pages if f"X{n} last 2." in page]
        assert f"X{n} last 1." in page
        (page,) = [page for page in pages if f"Y{n} its {n // 2 - 1}." in page]
        assert f"Y{n} its {n // 2 - 2}." in page and f"Y{n} group {n // 2 - 2}." in page


def test_what_people_typed_is_printed_as_they_typed_it(figures, tmp_path):
    assert "Ague *bold* #panic() $x$ <b>" in words_of(render_pdf(figures.open, draw_plots(figures.open)), tmp_path)
    html = render_html(figures.open, draw_plots(figures.open)).decode()
    assert html.count("Ague *bold* #panic() $x$ &lt;b&gt;") == 3  # T6, T7, L3
    assert "<b>" not in html


def test_equal_figures_give_equal_bytes(figures):
    for part in figures.parts:
        pictures = draw_plots(part)
        assert draw_plots(part) == pictures
        assert render_pdf(part, pictures) == render_pdf(part, pictures)
        assert render_html(part, pictures) == render_html(part, pictures)


def test_no_file_names_an_arm_and_none_of_the_open_part_a_letter(figures, tmp_path):
    for part in figures.parts:
        pictures = draw_plots(part)
        pdf, html = render_pdf(part, pictures), render_html(part, pictures)
        everything = [objects_of(pdf), words_of(pdf, tmp_path).encode(), html, *pictures.values(), part.to_json()]
        for content in everything:
            for arm, name in ARMS.items():
                assert arm.encode() not in content and name.encode() not in content
        has_groups = [b"A (N = 3)" in html or b"A (N = 2)" in html, "Group" in words_of(pdf, tmp_path)]
        assert has_groups == ([False, False] if part.part == "open" else [True, True])


def test_the_html_stands_alone(figures):
    html = render_html(figures.closed, draw_plots(figures.closed)).decode()
    assert html.startswith("<!doctype html>")
    assert "<script" not in html and 'style="' not in html
    assert not re.search(r'(?:src|href)="(?!data:|#)', html)
    picture = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', html)[1]
    assert base64.b64decode(picture) == draw_plots(figures.closed)["trend.svg"]


def test_pictures_are_drawings_without_text_scripts_or_dates(figures):
    for name, svg in draw_plots(figures.open).items():
        assert svg.startswith(b"<?xml"), name
        for forbidden in (b"<script", b"<text", b"dc:date", b'href="http'):
            assert forbidden not in svg, (name, forbidden)


def test_a_typesetter_that_fails_says_so(figures, monkeypatch, tmp_path):
    broken = tmp_path / "dsmb"
    broken.mkdir()
    (broken / "report.typ").write_text('#panic("out of ink")')
    (broken / "typeset.py").write_text((render.HERE / "typeset.py").read_text())
    monkeypatch.setattr(render, "HERE", broken)
    with pytest.raises(NotTypeset, match="out of ink"):
        render_pdf(figures.open, {})


@pytest.mark.parametrize(
    ("program", "words"),
    [("import time; time.sleep(60)", "more than 1 seconds"), ("import os; os.abort()", "ended with -6")],
)
def test_a_typesetter_that_hangs_or_crashes_is_ended(figures, monkeypatch, tmp_path, program, words):
    (tmp_path / "report.typ").write_text("")
    (tmp_path / "typeset.py").write_text(program)
    monkeypatch.setattr(render, "HERE", tmp_path)
    monkeypatch.setattr(render, "SECONDS", 1)
    with pytest.raises(NotTypeset, match=words):
        render_pdf(figures.open, {})


def test_what_people_typed_in_chinese_is_printed_and_what_no_font_has_is_told_by_its_code(figures, tmp_path):
    part = replace(figures.open, about=replace(figures.open.about, title="难治性 HIV-1 感染者的安全性 😀"))
    text = words_of(render_pdf(part, draw_plots(part)), tmp_path)
    assert "难治性 HIV-1 感染者的安全性 [U+1F600]" in text


def test_an_empty_trial_is_printed(monkeypatch, tmp_path):
    in_force(monkeypatch, small_protocol())
    empty = figures_now()
    for part in empty.parts:
        text = words_of(render_pdf(part, draw_plots(part)), tmp_path)
        assert "Nobody was randomised." in text
        assert b"Nobody was randomised." in render_html(part, {})


# --- tables to calculate with


def files_in(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def lines_of(files, name):
    return list(csv.reader(io.StringIO(files[f"{name}.csv"].decode(), newline="")))


def test_every_table_and_figure_is_there_as_csv_and_as_a_sheet(figures):
    for part in figures.parts:
        files = files_in(tables_of(part))
        numbers = [item.number for item in part.items]
        assert set(files) == {*(f"{number}.csv" for number in numbers), "manifest.csv", "tables.xlsx"}
        assert tables_of(part) == tables_of(part)
        lines = lines_of(files, "T5")
        assert lines[0][:2] == ["Section", ""]
        assert ["Infusion 1", "Given of due, n/N (%)"] in [line[:2] for line in lines]
        for number in numbers:
            assert len({len(line) for line in lines_of(files, number)}) == 1
        sheets = files_in(files["tables.xlsx"])
        assert sum(name.startswith("xl/worksheets/sheet") for name in sheets) == len(numbers) + 1


def test_every_row_says_of_which_data_and_which_report_it_is(figures):
    files = files_in(tables_of(figures.closed))
    for item in figures.closed.items:
        head, *lines = lines_of(files, item.number)
        assert head[-2:] == ["Data as of", "Report of"]
        assert {tuple(line[-2:]) for line in lines} <= {("2026-06-30", "2026-07-01")}
    head, *lines = lines_of(files, "manifest")
    told = {line[0]: dict(zip(head, line, strict=True)) for line in lines}
    assert set(told) == {f"{item.number}.csv" for item in figures.closed.items}
    for name, about in told.items():
        assert int(about["Rows"]) == len(lines_of(files, name.removesuffix(".csv"))) - 1
        assert (about["Data as of"], about["Report of"], about["Part"]) == ("2026-06-30", "2026-07-01", "closed")


def test_a_table_without_rows_has_its_head(figures):
    files = files_in(tables_of(figures.closed))
    for number, first in (("L2", ["Patient", "Group", "Died on"]), ("L5", ["Patient", "Group", "Unmasked (UTC)"])):
        (head,) = lines_of(files, number)
        assert head[:3] == first


def test_a_text_is_a_text_in_the_workbook_and_as_typed_in_the_csv(figures):
    table = Table("L9", "Test", (Column("Event"),), (Row(("=1+1",)), Row(("+A1",)), Row(("line\nbreak",))))
    part = replace(figures.open, items=(table,))
    files = files_in(tables_of(part))
    whose = b"2026-06-30,2026-07-01\r\n"
    assert files["L9.csv"] == (
        b"Event,Data as of,Report of\r\n=1+1," + whose + b"+A1," + whose + b'"line\nbreak",' + whose
    )
    sheet = files_in(files["tables.xlsx"])["xl/worksheets/sheet2.xml"]
    assert b"<f>" not in sheet and sheet.count(b't="inlineStr"') == 12


def test_a_very_long_listing_is_whole_in_the_csv_alone(figures, monkeypatch):
    monkeypatch.setattr("safety.dsmb.figures.MOST_SHOWN", 3)
    listing = figures.open.item("L3")
    assert len(listing.rows) == 5
    shown = figures.open.shortened().item("L3")
    assert shown.rows == listing.rows[:3]
    assert shown.notes[-1] == "The first 3 of 5 rows; all of them are in the CSV file."
    assert len(files_in(tables_of(figures.open))["L3.csv"].splitlines()) == 6
