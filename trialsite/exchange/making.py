"""Makes the files of an export in a folder: the CSVs with their dictionary, manifest and digests in a ZIP, and the XLSX.

Everything is read as of one event of the trail, table by table, each row once and written at once; nothing is held in
memory but the names of the people who stand in it. The same cut-off and scope give the same bytes of every file but
the manifest, which says who asked, when, and by which program, and the list of digests that names it."""

import json
from dataclasses import dataclass

from django.utils import translation
from django.utils.timezone import now

from trialsite import trial
from trialsite.as_of import CutOff, rows_as_of, stream, wait_for_writers
from trialsite.exchange.files import CsvFile, Workbook, as_text, digest_of, zip_files
from trialsite.exchange.tables import AUDIT_COLUMNS, AUDIT_TRAIL, Column, tables
from trialsite.models import Site, User
from trialsite.words import Sentence

FORMAT = "trialsite export 1"
ZIP, XLSX = "application/zip", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

# files that explain the others
PEOPLE = (
    Column("id", "id", "integer"),
    Column("username", "user name, as it stands in the files"),
    Column("full_name", "full name"),
)
TESTS = tuple(
    Column(name, label, kind)
    for name, label, kind in (
        ("protocol_version", "version of the protocol", "text"), ("test", "code, as in measurements.csv", "text"),
        ("name", "name", "text"), ("panels", "panels it is taken in", "text"), ("kind", "number, choice or text", "text"),
        ("unit", "unit of value", "text"), ("decimals", "digits after the point", "integer"), ("loinc", "LOINC code", "text"),
        ("specimen", "specimen", "text"), ("choices", "code = words", "text"),
        ("computed", "worked out from other tests", "text"),
        ("possible_low", "lowest value that is accepted", "number"), ("possible_high", "highest value that is accepted", "number"),
        ("plausible_low", "lowest value that raises no query", "number"),
        ("plausible_high", "highest value that raises no query", "number"),
        ("low_female", "reference range of the protocol", "number"), ("high_female", "reference range of the protocol", "number"),
        ("low_male", "reference range of the protocol", "number"), ("high_male", "reference range of the protocol", "number"),
    )
)  # fmt: skip
CODES = (Column("protocol_version", "version of the protocol"), Column("kind", "kind of thing"), Column("code", "code"),
         Column("name", "name or text"))  # fmt: skip
DICTIONARY = (
    Column("file", "file"), Column("column", "column"), Column("label", "what it is"), Column("type", "type"),
    Column("unit", "unit"), Column("codes", "what the codes mean"), Column("source", "where it comes from"),
)  # fmt: skip


@dataclass
class Made:
    """What was made: the files to keep as (name, content type, path), and up to which event."""

    files: list
    last_audit_event: int
    protocol_versions: list[str]


def in_words(stored, version):
    """A stored sentence in words, with the names of this protocol version; all of the export is made in English."""
    stored = json.loads(stored) if isinstance(stored, str) else stored
    return str(Sentence.of(stored, trial.protocol(version))) if stored else ""


def make_files(folder, *, scope, cutoff, about, say):
    """Make the files of an export into `folder`. `cutoff` is an instant, `about` who asked and when (for the manifest),
    `say(step, percent)` is told the name of each table as it begins. Raises StillWriting."""
    wait_for_writers()
    if now() <= cutoff:
        raise ValueError("the cut-off lies in the future")
    making = _Making(folder, scope, CutOff.at(cutoff))
    with translation.override("en"):
        return making.run(about, say)


class _Making:
    def __init__(self, folder, scope, cutoff):
        self.folder, self.scope, self.cutoff = folder, scope, cutoff
        self.people, self.written = _People(), []
        self.tables = [table for name, table in tables().items() if name in scope.sites]

    def run(self, about, say):
        name = f"{trial.current_protocol().trial.id}-{self.cutoff.instant:%Y%m%d-%H%M%S}"
        book_path, archive_path = self.folder / f"{name}.xlsx", self.folder / f"{name}.zip"
        self.book = Workbook(book_path, self.folder)
        first, entries = self.book.sheet("about", ("what", "")), self.dictionary()
        self.reference("dictionary", DICTIONARY, entries)
        for step, part in self.steps():
            say(step, part)
            if step == AUDIT_TRAIL:
                self.audit_trail()
            else:
                self.table(tables()[step])
        self.reference("tests", TESTS, _tests())
        self.reference("codes", CODES, _codes(self.scope.arms))
        self.reference("people", PEOPLE, self.people.rows(self.cutoff))
        say("files", 90)
        data = self.data()
        for line in self.lines_about(data):
            first.write(line, [as_text(value) for value in line])
        self.book.close()
        (self.folder / "README.txt").write_text(readme(data), encoding="utf-8")
        self.manifest(data, about)
        zip_files(archive_path, [*self.written_paths(), *(self.folder / extra for extra in EXTRAS)])
        files = [(archive_path.name, ZIP, archive_path), (book_path.name, XLSX, book_path)]
        return Made(files, self.cutoff.event, list(trial.versions()))

    def steps(self):
        """(name, percent done before it); by the number of rows that there are now, events twice as many as rows."""
        weights = {table.name: 1 + table.model._base_manager.count() for table in self.tables}
        if AUDIT_TRAIL in self.scope.sites:
            weights[AUDIT_TRAIL] = 2 * sum(weights.values())
        done, total = 0, sum(weights.values())
        for name, weight in weights.items():
            yield name, 5 + 85 * done // total
            done += weight

    # --- the data ---------------------------------------------------------------------------------

    def table(self, table):
        names = [column.name for column in table.columns]
        persons = [place for place, column in enumerate(table.columns) if column.is_person]
        sentences = [place for place, column in enumerate(table.columns) if column.is_sentence]
        file, sheet = CsvFile(self.folder / table.file, names), self.book.sheet(table.name, names)
        for row in stream(table.query(self.cutoff, self.scope.sites[table.name], arms=self.scope.arms)):
            if sentences:
                row = list(row)
                version = row[names.index("protocol_version")]
                for place in sentences:
                    row[place] = in_words(row[place], version)
            texts = [as_text(value) for value in row]
            file.write(texts)
            sheet.write(row, texts)
            for place in persons:
                self.people.names.add(row[place])
        self.close(file)

    def audit_trail(self):
        """The events of the records that stand in this export, file by file. Too long for a spreadsheet."""
        file = CsvFile(self.folder / f"{AUDIT_TRAIL}.csv", [column.name for column in AUDIT_COLUMNS])
        actor = next(place for place, column in enumerate(AUDIT_COLUMNS) if column.name == "by_id")
        for table in self.tables:
            sites = set(self.scope.sites[AUDIT_TRAIL]) & set(self.scope.sites[table.name])
            for row in stream(table.audit_query(self.cutoff, sorted(sites), arms=self.scope.arms)):
                file.write([as_text(value) for value in row])
                self.people.ids.add(row[actor])
        self.close(file)

    def close(self, file):
        file.close()
        self.written.append(file)

    # --- what explains them ---------------------------------------------------------------------------

    def reference(self, name, columns, rows):
        names = [column.name for column in columns]
        file, sheet = CsvFile(self.folder / f"{name}.csv", names), self.book.sheet(name, names)
        for row in rows:
            texts = [as_text(value) for value in row]
            file.write(texts)
            sheet.write(row, texts)
        self.close(file)

    def dictionary(self):
        described = [(table.file, table.columns) for table in self.tables]
        if AUDIT_TRAIL in self.scope.sites:
            described.append((f"{AUDIT_TRAIL}.csv", AUDIT_COLUMNS))
        described += [
            ("tests.csv", TESTS),
            ("codes.csv", CODES),
            ("people.csv", PEOPLE),
            ("dictionary.csv", DICTIONARY),
        ]
        for file, columns in described:
            for column in columns:
                yield file, column.name, column.label, column.kind, column.unit, column.codes, column.source

    def data(self):
        """The part of the manifest that the data alone decide."""
        protocol = trial.current_protocol().trial
        sites = Site.objects.in_bulk(self.scope.all_sites)
        titles = {table.file: str(table.title) for table in self.tables}
        return {
            "study": {"id": protocol.id, "title": protocol.title, "registry": protocol.registry, "masking": protocol.masking,
                      "protocol_versions": list(trial.versions())},
            "cut_off": as_text(self.cutoff.instant),
            "last_audit_event": self.cutoff.event,
            "events_held_back": list(self.cutoff.held_back),
            "sites": sorted(site.code for site in sites.values()),
            "arms_are_named": self.scope.arms,
            "files": [
                {"name": file.path.name, "title": titles.get(file.path.name, ""), "rows": file.rows,
                 "bytes": file.path.stat().st_size, "sha256": digest_of(file.path)}
                for file in sorted(self.written, key=lambda file: file.path.name)
            ],
        }  # fmt: skip

    def lines_about(self, data):
        study = data["study"]
        yield from (("study", study["id"]), ("title", study["title"]), ("registry", study["registry"]))
        yield from (("protocol versions", ", ".join(study["protocol_versions"])), ("cut-off", data["cut_off"]))
        yield from (("last event of the audit trail", data["last_audit_event"]), ("sites", ", ".join(data["sites"])))
        yield (
            "text",
            "Every text is of type text: what begins with = is no formula. Y and N are yes and no. Times are UTC.",
        )
        yield "audit trail", "stands in the ZIP only"
        for file in data["files"]:
            yield file["name"], f"{file['rows']} rows, SHA-256 {file['sha256']}"

    def manifest(self, data, about):
        text = json.dumps({"format": FORMAT, "data": data, "request": about}, indent=2, ensure_ascii=False)
        (self.folder / "manifest.json").write_text(text + "\n", encoding="utf-8")
        digested = sorted([*self.written_paths(), self.folder / "README.txt", self.folder / "manifest.json"])
        sums = "".join(f"{digest_of(path)}  {path.name}\n" for path in digested)
        (self.folder / "SHA256SUMS").write_text(sums, encoding="ascii")

    def written_paths(self):
        return [file.path for file in self.written]


EXTRAS = ("README.txt", "manifest.json", "SHA256SUMS")


class _People:
    """Who stands in the data."""

    def __init__(self):
        self.names, self.ids = set(), set()

    def rows(self, cutoff):
        for row in rows_as_of(User, cutoff):
            if row["username"] in self.names or row["id"] in self.ids:
                yield row["id"], row["username"], row["full_name"]


def _tests():
    for version, protocol in trial.versions().items():
        panels = {test.code: [p.code for p in protocol.panels if test.code in p.tests] for test in protocol.tests}
        for test in protocol.tests:
            female, male = test.reference_for("F"), test.reference_for("M")
            computed = f"{test.computed.as_} of {' and '.join(test.computed.of)}" if test.computed else ""
            yield (
                version, test.code, test.name, " ".join(panels[test.code]), test.kind, test.unit, test.decimals, test.loinc,
                test.specimen, "; ".join(f"{choice.code} = {choice.label}" for choice in test.choices), computed,
                *(test.possible or (None, None)), *(test.plausible or (None, None)),
                *((female.low, female.high) if female else (None, None)), *((male.low, male.high) if male else (None, None)),
            )  # fmt: skip


def _codes(arms):
    """Codes that the protocol gives meaning. Names of arms and products are for those who may see arms."""
    for version, protocol in trial.versions().items():
        named = [
            ("visit", protocol.visits),
            ("panel", protocol.panels),
            ("event of interest", protocol.events_of_interest),
        ]
        named += [("arm", protocol.arms), ("product", protocol.products)] if arms else []
        for kind, things in named:
            for thing in things:
                yield version, kind, thing.code, thing.name
        for criterion in protocol.eligibility.criteria:
            is_exclusion = protocol.eligibility.is_exclusion(criterion.code)
            yield (
                version,
                "exclusion criterion" if is_exclusion else "inclusion criterion",
                criterion.code,
                criterion.text,
            )


def readme(data):
    rows = "".join(f"  {file['name']:28}{file['rows']:>9} rows  {file['title']}\n" for file in data["files"])
    return README.format(
        study=data["study"]["id"], title=data["study"]["title"], cut_off=data["cut_off"], event=data["last_audit_event"],
        sites=", ".join(data["sites"]), files=rows,
    )  # fmt: skip


README = """{study}: {title}

Data as of {cut_off} (event {event} of the audit trail), sites {sites}.

{files}
dictionary.csv says what each column is; tests.csv and codes.csv are from the protocol; manifest.json says from where
and for whom this was made. Check that nothing was changed since:  sha256sum -c SHA256SUMS

The CSV files are exact: UTF-8, RFC 4180 (commas, quotes doubled, lines end in CR LF), one line of column names. An empty
field is a value that is not there. Y and N are yes and no; dates are YYYY-MM-DD (parts may be missing where the
dictionary says so); times are UTC and end in Z; numbers have a decimal point.

For analysis, not for a spreadsheet: a program that opens a CSV may take a text that begins with = + - or @ for a
formula, and dates for numbers. The XLSX of the same export is for spreadsheets: its texts are texts.
"""
