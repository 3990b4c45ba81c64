"""A report as files: HTML for the screen, PDF for print. Only figures go in; equal figures give equal bytes."""

import base64
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _

from safety.dsmb.figures import OPEN, PartFigures
from trialsite import fonts

HERE = Path(__file__).parent
SECONDS = 120


class NotTypeset(RuntimeError):
    """The typesetter failed or took too long; the message is for the log, it may name a part of the report."""


def render_html(figures: PartFigures, pictures: dict[str, bytes]) -> bytes:
    """A complete document with its own style, and the pictures in it: readable without this program."""
    sources = {
        name: f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}" for name, content in pictures.items()
    }
    with translation.override(figures.about.language):
        context = {"figures": figures, "pictures": sources, "words": words_of(figures)}
        return render_to_string("safety/_dsmb_file.html", context).encode()


def words_of(figures):
    """What stands around the figures, in the language that is spoken."""
    about, is_open = figures.about, figures.part == OPEN
    return {
        "report": _("Report to the Data and Safety Monitoring Board"),
        "session": _("Open session report") if is_open else _("Closed session report"),
        "confidential": _("confidential"),
        "readers": _("For the members of the board and, in the open session, for the sponsor and the investigators.")
        if is_open
        else _("For the members of the board and the statistician who reports to it. Not to be given to anyone else."),
        "data_as_of": _("Data as of %(day)s") % {"day": about.cutoff},
        "data_and_entry": _("Data as of %(day)s, entered until %(instant)s")
        % {"day": about.cutoff, "instant": about.entered_until},
        "report_of": _("Report of %(day)s") % {"day": about.reported_on},
        "page_of": _("page {page} of {pages}"),
        "contents": _("Contents"),
        "continued": _("continued"),
        "how_to_read": _("How to read the tables"),
        "facts": [
            [_("Trial"), about.short_title],
            [_("Registry number"), about.registry],
            [_("Sponsor"), about.sponsor],
            [_("Phase"), about.phase],
            [_("Protocol version"), about.protocol_version],
            *([[_("Grading scales"), about.scales]] if about.scales else []),
            [_("Data cut-off"), about.cutoff],
            [_("Data entered until"), _("%(instant)s (event %(event)s of the audit trail)")
             % {"instant": about.entered_until, "event": about.event}],
            [_("Date of report"), about.reported_on],
            [_("Author"), about.author or _("made by the system, each month")],
        ],
    }  # fmt: skip


def working_folder() -> Path:
    """Where the typesetter works: under var/, not for others to read. What a killed worker left there goes."""
    folder = settings.VAR / "typesetting"
    folder.mkdir(mode=0o700, exist_ok=True)
    for left in folder.iterdir():
        if time.time() - left.stat().st_mtime > 10 * SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    return folder


def render_pdf(figures: PartFigures, pictures: dict[str, bytes]) -> bytes:
    """A4, PDF/A-2a (kept and read out for decades). Raises NotTypeset."""
    with translation.override(figures.about.language):
        told = figures.to_data() | {"words": words_of(figures)}
    data = json.dumps(told, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return pdf_of(HERE / "report.typ", data.encode(), pictures)


def pdf_of(template: Path, data: bytes, pictures: dict[str, bytes] | None = None) -> bytes:
    """The PDF/A-2a that a template makes of its data (report.json), with a code for a character that no font has.
    Raises NotTypeset."""
    try:
        return _pdf_of(template, data, pictures or {})
    except NotTypeset as failure:
        if "could not be displayed" not in str(failure):
            raise
        return _pdf_of(template, fonts.printable(data.decode()).encode(), pictures or {})


def _pdf_of(template: Path, report: bytes, pictures: dict[str, bytes]) -> bytes:
    with tempfile.TemporaryDirectory(prefix="pdf-", dir=working_folder()) as name:
        folder = Path(name)
        shutil.copy(template, folder / "report.typ")
        (folder / "report.json").write_bytes(report)
        for file, content in pictures.items():
            (folder / file).write_bytes(content)
        try:
            done = subprocess.run(
                [sys.executable, "-I", HERE / "typeset.py", folder, *fonts.font_paths()],
                capture_output=True,
                timeout=SECONDS,
                cwd=folder,
                env={"LANG": "C.UTF-8", "HOME": name},
            )
        except subprocess.TimeoutExpired:
            raise NotTypeset(f"typesetting took more than {SECONDS} seconds") from None
        if done.returncode:
            last_words = done.stderr.decode(errors="replace").strip()[-2000:]
            raise NotTypeset(f"typesetting ended with {done.returncode}: {last_words}")
        return (folder / "report.pdf").read_bytes()
