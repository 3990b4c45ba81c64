"""How exported data are written: CSV for analysis, XLSX for spreadsheets, both into one folder; then a ZIP of the CSVs.

The only place that knows the formats. A file for spreadsheets never lets a text become a formula: in the XLSX every text
is of type text, and in the CSV that carries a byte order mark for them (`csv_for_spreadsheets`: listings) an apostrophe
stands before one. A CSV for programs (`CsvFile`: the export) has no mark and is exact. No format holds the time of writing: the same rows give the same bytes.
"""

import csv
import hashlib
import io
import re
import shutil
from datetime import UTC, date, datetime, time
from decimal import Decimal
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import xlsxwriter

LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first time that a ZIP can tell
MOST_ROWS, MOST_CHARACTERS = 1_048_576, 32_767  # of a sheet; of a cell
CUT = " … (the whole text stands in the CSV)"
PLAIN_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?", re.ASCII)
EXACT_DIGITS = 15  # of a number in a spreadsheet


def as_text(value):
    """A value as it stands in a CSV: Y and N, ISO dates, UTC instants, numbers without exponent or idle zeros."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "Y" if value else "N"
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    if isinstance(value, (date, time)):
        return value.isoformat()
    return str(value)


def digest_of(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class CsvFile:
    """One CSV file. `rows` counts the data rows."""

    def __init__(self, path, names):
        self.path, self.rows = path, 0
        self.file = path.open("w", encoding="utf-8", newline="")
        self.writer = csv.writer(self.file, lineterminator="\r\n")
        self.writer.writerow(names)

    def write(self, texts):
        self.writer.writerow(texts)
        self.rows += 1

    def close(self):
        self.file.close()


# what a spreadsheet takes for the beginning of a formula
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def never_a_formula(value):
    """A value of a CSV for spreadsheets: with an apostrophe before a text that would become a formula. Numbers, and
    texts that are plain numbers (a result of -0.5), stand as they are."""
    text = as_text(value)
    is_risky = isinstance(value, str) and text.startswith(FORMULA) and not PLAIN_NUMBER.fullmatch(text)
    return "'" + text if is_risky else text


def csv_for_spreadsheets(names, rows):
    """The bytes of a CSV that begins with the byte order mark by which spreadsheets know UTF-8."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(names)
    writer.writerows([never_a_formula(value) for value in row] for row in rows)
    return text.getvalue().encode("utf-8-sig")


class Workbook:
    """One XLSX file, written row by row; what is written is not held in memory."""

    def __init__(self, path, folder):
        self.book = xlsxwriter.Workbook(
            str(path), {"constant_memory": True, "tmpdir": str(folder), "strings_to_formulas": False,
                        "strings_to_numbers": False, "strings_to_urls": False, "use_zip64": True}
        )  # fmt: skip
        self.book.set_properties({"created": datetime(*LONG_AGO)})
        self.bold = self.book.add_format({"bold": True})

    def sheet(self, name, names):
        return Sheet(self, name, names)

    def close(self):
        self.book.close()


class Sheet:
    """One sheet; what a sheet cannot hold goes on in a second one."""

    def __init__(self, workbook, name, names):
        self.workbook, self.name, self.names, self.parts = workbook, name, names, 0
        self._begin()

    def _begin(self):
        self.parts += 1
        name = self.name if self.parts == 1 else f"{self.name[:26]} ({self.parts})"
        self.sheet = self.workbook.book.add_worksheet(name)
        self.sheet.freeze_panes(1, 0)
        for place, title in enumerate(self.names):
            self.sheet.write_string(0, place, title, self.workbook.bold)
        self.row = 1

    def write(self, values, texts):
        """A row: numbers as numbers where a spreadsheet can hold them exactly, all else as text."""
        if self.row == MOST_ROWS:
            self._begin()
        row, sheet = self.row, self.sheet
        for place, text in enumerate(texts):
            if not text:
                continue
            if is_a_number(values[place]):
                sheet.write_number(row, place, float(values[place]))
            else:
                sheet.write_string(row, place, as_much_as_fits(text))
        self.row += 1


def is_a_number(value):
    if isinstance(value, Decimal):
        return len(value.as_tuple().digits) <= EXACT_DIGITS
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**EXACT_DIGITS


def as_much_as_fits(text):
    """As much of a text as a cell holds, counted as spreadsheets count (in UTF-16)."""
    if 2 * len(text) <= MOST_CHARACTERS or len(text.encode("utf-16-le")) <= 2 * MOST_CHARACTERS:
        return text
    return text.encode("utf-16-le")[: 2 * (MOST_CHARACTERS - len(CUT))].decode("utf-16-le", "ignore") + CUT


def zip_files(path, files):
    """A ZIP of these files in the order of their names, all of one date."""
    with ZipFile(path, "w") as archive:
        for file in sorted(files, key=lambda file: file.name):
            info = ZipInfo(file.name, LONG_AGO)
            info.compress_type, info.create_system, info.external_attr = ZIP_DEFLATED, 3, 0o600 << 16
            with file.open("rb") as source, archive.open(info, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, 1 << 20)
