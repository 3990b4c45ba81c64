"""A report as files: HTML for the screen, PDF for print. Only figures go in; equal figures give equal bytes."""

import base64
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from django.conf import settings
from django.template.loader import render_to_string

from safety.dsmb.figures import PartFigures
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
    context = {"figures": figures, "pictures": sources, "in_file": True}
    return render_to_string("safety/_dsmb_file.html", context).encode()


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
    return pdf_of(HERE / "report.typ", figures.to_json(), pictures)


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
