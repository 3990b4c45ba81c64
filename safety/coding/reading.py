"""Dictionaries as files: MedDRA's MedAscii, any other as CSV. Text in, terms out; no database.

What is wrong is told with file and line, all of it at once (`BadDictionary`); then nothing is loaded."""

import csv
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from safety.coding.rules import PATH, key_of

# MedAscii: `$` between the fields and at the end. Which columns (from 0) are read, as MSSO's file format says
MEDDRA = {
    "soc.asc": (2, ("soc_code", "soc_name")),
    "hlgt.asc": (2, ("hlgt_code", "hlgt_name")),
    "hlt.asc": (2, ("hlt_code", "hlt_name")),
    "pt.asc": (4, ("pt_code", "pt_name", "", "pt_soc_code")),
    "llt.asc": (10, ("llt_code", "llt_name", "pt_code", "", "", "", "", "", "", "llt_currency")),
    "mdhier.asc": (12, ("pt_code", "hlt_code", "hlgt_code", "soc_code", "", "", "", "", "", "", "", "primary_soc_fg")),
}
NEEDED, OPTIONAL = ("term",), ("code", "is_current", *[name for name in PATH if name not in ("code", "term")])
LONGEST = 300  # characters of a name
MOST_FAULTS = 20  # told at once


class BadDictionary(Exception):
    """The files are no dictionary; `faults` are sentences that begin with file and line."""

    def __init__(self, faults):
        self.faults = faults
        more = len(faults) - MOST_FAULTS
        super().__init__("\n".join([*faults[:MOST_FAULTS], *([f"and {more} more"] if more > 0 else [])]))


@dataclass
class Terms:
    """What was read: rows with the names of `PATH`, `key` and `is_current`; the digest of the bytes."""

    rows: list[dict]
    sha256: str


@dataclass
class _Reader:
    """Files of a folder, with what was wrong in them and the digest of all that was read."""

    faults: list = field(default_factory=list)
    digest: object = field(default_factory=hashlib.sha256)

    def text(self, path):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BadDictionary([f"{path.name}: {error.strerror}"]) from None
        self.digest.update(path.name.lower().encode() + b"\0" + content)
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            raise BadDictionary([f"{path.name}, line {line}: not UTF-8"]) from None

    def wrong(self, name, line, what):
        self.faults.append(f"{name}, line {line}: {what}")

    def finished(self, rows):
        if not rows and not self.faults:
            self.faults.append("there are no terms in the files")
        if self.faults:
            raise BadDictionary(self.faults)
        return Terms(rows, self.digest.hexdigest())


def _row(path, is_current=True):
    return {**dict.fromkeys(PATH, ""), **path, "key": key_of(path["term"]), "is_current": is_current}


# --- MedDRA ------------------------------------------------------------------------------------------


def read_meddra(folder: Path) -> Terms:
    """The terms of the six files in `folder`, each with the way up through the primary SOC of its preferred term."""
    reader = _Reader()
    files = {path.name.lower(): path for path in folder.iterdir()} if folder.is_dir() else {}
    if missing := [name for name in MEDDRA if name not in files]:
        raise BadDictionary([f"{name}: not there" for name in missing])
    tables = {name: list(_lines(reader, files[name], *MEDDRA[name])) for name in MEDDRA}
    names = {
        kind: _unique(reader, f"{kind}.asc", tables[f"{kind}.asc"], f"{kind}_code")
        for kind in ("soc", "hlgt", "hlt", "pt")
    }
    ways = _primary_ways(reader, tables["mdhier.asc"], names)
    for line, pt in tables["pt.asc"]:
        if pt["pt_code"] not in ways and not reader.faults:
            reader.wrong("pt.asc", line, f"preferred term {pt['pt_code']} has no primary way in mdhier.asc")
    rows, seen = [], {}
    for line, llt in tables["llt.asc"]:
        code, way = llt["llt_code"], ways.get(llt["pt_code"])
        if code in seen:
            reader.wrong("llt.asc", line, f"code {code} stands already in line {seen[code]}")
        elif llt["pt_code"] not in names["pt"]:
            reader.wrong("llt.asc", line, f"its preferred term {llt['pt_code']} is not in pt.asc")
        elif llt["llt_currency"] not in ("Y", "N"):
            reader.wrong("llt.asc", line, f"currency is Y or N, found {llt['llt_currency']!r}")
        elif way:
            path = {"code": code, "term": llt["llt_name"], "preferred_code": llt["pt_code"], **way}
            path["preferred_term"] = names["pt"][llt["pt_code"]]["pt_name"]
            rows.append(_row(path, llt["llt_currency"] == "Y"))
        seen.setdefault(code, line)
    return reader.finished(rows)


def _lines(reader, path, least, columns):
    """(number of the line, {column: text}) of a file; a column named "" is not read."""
    for number, line in enumerate(reader.text(path).split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line:
            continue
        fields = [text.strip() for text in line.split("$")]
        if len(fields) < least:
            reader.wrong(path.name, number, f"expected at least {least} fields with $ between, found {len(fields)}")
            continue
        values = {name: fields[at] for at, name in enumerate(columns) if name and at < len(fields)}
        needed = [name for name in values if not values[name]]
        too_long = [name for name in values if len(values[name]) > LONGEST]
        if needed or too_long:
            what = f"{needed[0]} is blank" if needed else f"{too_long[0]} is longer than {LONGEST} characters"
            reader.wrong(path.name, number, what)
            continue
        yield number, values


def _unique(reader, name, lines, key):
    found = {}
    for number, values in lines:
        if values[key] in found:
            reader.wrong(name, number, f"code {values[key]} stands there twice")
        found[values[key]] = values
    return found


def _primary_ways(reader, lines, names):
    """Preferred term -> its way up, from the line of mdhier.asc that is flagged as primary."""
    ways = {}
    for number, line in lines:
        if line["primary_soc_fg"] not in ("Y", "N"):
            reader.wrong("mdhier.asc", number, f"the primary flag is Y or N, found {line['primary_soc_fg']!r}")
        unknown = [kind for kind in ("pt", "hlt", "hlgt", "soc") if line[f"{kind}_code"] not in names[kind]]
        if unknown:
            reader.wrong("mdhier.asc", number, f"{line[f'{unknown[0]}_code']} is not in {unknown[0]}.asc")
        elif line["primary_soc_fg"] == "Y" and line["pt_code"] in ways:
            reader.wrong("mdhier.asc", number, f"preferred term {line['pt_code']} has a second primary way")
        elif line["primary_soc_fg"] == "Y":
            way = {}
            for level, kind in (("high_level", "hlt"), ("group", "hlgt"), ("body_system", "soc")):
                code = line[f"{kind}_code"]
                way[f"{level}_code"] = code
                way["body_system" if kind == "soc" else f"{level}_term"] = names[kind][code][f"{kind}_name"]
            ways[line["pt_code"]] = way
    return ways


# --- any other ---------------------------------------------------------------------------------------


def read_csv(path: Path) -> Terms:
    """The terms of a CSV file in UTF-8 with a header: `term`, and whichever of `OPTIONAL` there are.

    Without `code` a term is its own code; without `preferred_term` its own preferred term; `is_current` is Y or N."""
    reader = _Reader()
    lines = csv.DictReader(reader.text(path).splitlines(), strict=True)
    columns = lines.fieldnames or []
    unknown = [name for name in columns if name not in (*NEEDED, *OPTIONAL)]
    if unknown or "term" not in columns or len(set(columns)) < len(columns):
        raise BadDictionary(
            [
                f"{path.name}, line 1: expected the column term, and any of {', '.join(OPTIONAL)}; found {', '.join(columns)}"
            ]
        )
    rows, seen = [], {}
    try:
        for line in lines:
            at, values = lines.line_num, {name: (text or "").strip() for name, text in line.items() if name}
            code = values.get("code") or values["term"]
            if None in line or None in line.values():
                reader.wrong(path.name, at, f"expected {len(columns)} fields")
            elif not values["term"]:
                reader.wrong(path.name, at, "term is blank")
            elif max(map(len, values.values())) > LONGEST:
                reader.wrong(path.name, at, f"a field is longer than {LONGEST} characters")
            elif code in seen:
                reader.wrong(path.name, at, f"code {code} stands already in line {seen[code]}")
            elif values.get("is_current", "Y") not in ("Y", "N"):
                reader.wrong(path.name, at, f"is_current is Y or N, found {values['is_current']!r}")
            else:
                is_current = values.pop("is_current", "Y") == "Y"
                values |= {"code": code, "preferred_term": values.get("preferred_term") or values["term"]}
                values["preferred_code"] = values.get("preferred_code") or values["preferred_term"]
                rows.append(_row(values, is_current))
            seen.setdefault(code, at)
    except csv.Error as error:
        reader.wrong(path.name, lines.line_num, str(error))
    return reader.finished(rows)


READERS = {"meddra": read_meddra, "csv": read_csv}
