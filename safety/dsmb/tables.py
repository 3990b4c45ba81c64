"""The tables of one part as files to calculate with: a CSV of each, and a workbook of all, in one ZIP.

Every row stands in them, also those that print and page leave out; an empty table has its head. In the CSV a text stands as
it is; in the workbook every cell is a text, which never becomes a formula (trialsite/exchange/files.py). The last columns say
of which data and which report a row is, so that a file is still known when it lies alone; what holds of a file without rows,
too, stands in the manifest (manifest.csv, the first sheet)."""

from pathlib import Path
from tempfile import TemporaryDirectory

from django.utils.translation import gettext as _

from safety.dsmb.figures import PartFigures, Plot
from trialsite.exchange.files import CsvFile, Workbook, zip_files


def tables_of(part: PartFigures) -> bytes:
    """The ZIP. Equal figures give equal bytes."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        workbook = Workbook(folder / "tables.xlsx", folder)
        files = [folder / "tables.xlsx"]
        about = part.about
        made = [(item, *(_plot(item) if isinstance(item, Plot) else _table(item))) for item in part.items]
        manifest = [
            [f"{item.number}.csv", item.number, item.title, str(len(rows)), part.part, about.cutoff, about.entered_until,
             about.reported_on, about.protocol_version, about.registry]
            for item, _names, rows in made
        ]  # fmt: skip
        titles = [
            _("File"), _("Number"), _("Title"), _("Rows"), _("Part"), _("Data as of"), _("Data entered until"),
            _("Report of"), _("Protocol version"), _("Registry number"),
        ]  # fmt: skip
        written = [("manifest", titles, manifest)]
        for item, names, rows in made:
            whose = [about.cutoff, about.reported_on]
            written.append((item.number, [*names, _("Data as of"), _("Report of")], ([*row, *whose] for row in rows)))
        for name, names, rows in written:
            files.append(folder / f"{name}.csv")
            csv_file, sheet = CsvFile(files[-1], names), workbook.sheet(name, names)
            for row in rows:
                csv_file.write(row)
                sheet.write(row, row)
            csv_file.close()
        workbook.close()
        zip_files(folder / "tables.zip", files)
        return (folder / "tables.zip").read_bytes()


def _table(table):
    """One heading for each column; what stands as a heading over rows is a column of its own."""
    names = [f"{column.group}: {column.title}" if column.group else column.title for column in table.columns]
    has_headings = any(row.kind == "heading" for row in table.rows)
    rows, heading = [], ""
    for row in table.rows:
        if row.kind == "heading":
            heading = row.cells[0]
        else:
            heading = heading if row.kind == "inner" else ""
            rows.append([heading, *row.cells] if has_headings else list(row.cells))
    return ([_("Section"), *names] if has_headings else names), rows


def _plot(plot):
    names = [_("Line"), _("Group"), plot.x_title, plot.y_title, "n"]
    rows = [
        [line.label or line.role, line.group, f"{x:g}", f"{y:g}", str(line.counts[place]) if line.counts else ""]
        for line in plot.lines
        for place, (x, y) in enumerate(line.points)
    ]
    return names, rows
