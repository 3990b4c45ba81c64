"""The catalogues of translations: the only place that collects what code and templates say, and compiles it.

Needs Babel, which only the lock file for development has, and no gettext: what runs reads the compiled django.mo.
"""

import ast
import re
from collections import Counter
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import to_locale
from django.utils.translation.template import templatize

FLOORS = ("trialsite", "patients", "visits", "safety")
# function: which of its arguments are texts (the "c" is a context)
KEYWORDS = {
    **dict.fromkeys(("_", "N_", "noop", "gettext", "gettext_lazy", "gettext_noop"), None),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), (1, 2)),
    **dict.fromkeys(("pgettext", "pgettext_lazy"), ((1, "c"), 2)),
}
TEXT = r"""u?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
# what Django's templatize leaves of a template; all else in it is blanked out
IN_TEMPLATE = re.compile(rf"\b(n?p?gettext|_)\(\s*{TEXT}(?:,\s*{TEXT})?(?:,\s*{TEXT})?", re.DOTALL)
# the words in capitals are filled in by the page's script
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[sdr]|\{\w*\}|</?\w+|%%|\b(?:TIME|NUMBER|FIELD|VALUE|DATE)\b")
# no date of compilation: the same texts make the same file
DATED = datetime(2010, 9, 28, tzinfo=UTC)
HEADER = """\
# Keep it with ./run messages; docs/translation.md has the words that are fixed.
msgid ""
msgstr ""
"Project-Id-Version: Trialsite\\n"
"Language: {locale}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=UTF-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: nplurals=1; plural=0;\\n"

"""


def languages():
    """The languages that have a catalogue: all but the one that the code is written in."""
    return [code for code, _name in settings.LANGUAGES if code != settings.LANGUAGE_CODE]


def po_file(language):
    return settings.BASE_DIR / "trialsite" / "locale" / to_locale(language) / "LC_MESSAGES" / "django.po"


# --- what is said ------------------------------------------------------------------------------------


def sources():
    """The files that may say something to people, in a fixed order."""
    root = settings.BASE_DIR
    yield from sorted((root / "templates").rglob("*.html"))
    for floor in FLOORS:
        yield from (path for path in sorted((root / floor).rglob("*.py")) if "migrations" not in path.parts)


def texts_of(path):
    """(text or (singular, plural), context or None) of each text that the file marks."""
    source = path.read_text(encoding="utf-8")
    return _texts_of_template(source, str(path)) if path.suffix == ".html" else _texts_of_code(source)


def _texts_of_template(source, name):
    for found in IN_TEMPLATE.finditer(templatize(source, origin=name)):
        kind, *texts = found.groups()
        texts = [ast.literal_eval(text) for text in texts if text is not None]
        context = texts.pop(0) if "p" in kind.replace("gettext", "") else None
        yield (tuple(texts[:2]) if kind.startswith("n") else texts[0]), context


def _texts_of_code(source):
    from babel.messages.extract import extract_python

    for _line, function, found, _comments in extract_python(
        BytesIO(source.encode()), KEYWORDS, (), {"encoding": "utf-8"}
    ):
        parts = found if isinstance(found, tuple) else (found,)
        is_with_context = function.startswith("pgettext")
        context = parts[0] if is_with_context else None
        texts = [part for part in parts[1 if is_with_context else 0 :] if part]
        if texts:
            yield (tuple(texts[:2]) if function.startswith("ngettext") else texts[0]), context


def said():
    """A catalogue of all that is said, without translations, each text with the files that say it."""
    catalogue = _empty("en")
    for path in sources():
        for text, context in texts_of(path):
            catalogue.add(text, context=context, locations=[(path.relative_to(settings.BASE_DIR).as_posix(), 0)])
    return catalogue


# --- catalogues ----------------------------------------------------------------------------------------


def _empty(language):
    from babel.messages import Catalog

    return Catalog(
        to_locale(language), "django", project="Trialsite", version="", creation_date=DATED, revision_date=DATED
    )


def translated(language):
    """The catalogue as its file has it; empty when there is none."""
    from babel.messages.pofile import read_po

    path = po_file(language)
    if not path.exists():
        return _empty(language)
    with path.open("rb") as file:
        return read_po(file, to_locale(language), "django", abort_invalid=True)


def merged(language):
    """What is said, with the translations there are. What is said no more is left out."""
    old, new = translated(language), said()
    new.locale = to_locale(language)
    for message in new:
        if message.id and (known := old.get(_key(message), message.context)):
            message.string, message.flags = known.string, known.flags | message.flags
    return new


def _key(message):
    return message.id if isinstance(message.id, str) else message.id[0]


def write(language):
    """Bring the catalogue up to date with what is said, and compile it. Gives it."""
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import write_po

    catalogue, path = merged(language), po_file(language)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = BytesIO()
    write_po(text, catalogue, width=110, omit_header=True, sort_by_file=True, include_lineno=False)
    path.write_bytes(HEADER.format(locale=to_locale(language)).encode() + text.getvalue())
    with path.with_suffix(".mo").open("wb") as file:
        write_mo(file, catalogue)
    return catalogue


def is_blank(message):
    strings = message.string if isinstance(message.string, (tuple, list)) else (message.string,)
    return not all(strings) or not strings


def untranslated(catalogue):
    return [message for message in catalogue if message.id and (is_blank(message) or message.fuzzy)]


def faults_of(language):
    """What is wrong with a catalogue, a sentence each: it is complete when there is none."""
    wanted, there = said(), translated(language)
    for message in wanted:
        if message.id and there.get(_key(message), message.context) is None:
            yield f"is not in the catalogue: {_shown(message)}"
    for message in there:
        if not message.id:
            continue
        if wanted.get(_key(message), message.context) is None:
            yield f"is said nowhere: {_shown(message)}"
        elif message.fuzzy:
            yield f"is marked as fuzzy: {_shown(message)}"
        elif is_blank(message):
            yield f"is not translated: {_shown(message)}"
        else:
            yield from _faults_of_placeholders(message)
    yield from _faults_of_compiled(language, there)


def _faults_of_placeholders(message):
    original = message.id if isinstance(message.id, str) else message.id[-1]
    strings = message.string if isinstance(message.string, (tuple, list)) else (message.string,)
    for string in strings:
        if Counter(PLACEHOLDER.findall(original)) != Counter(PLACEHOLDER.findall(string)):
            yield f"has other placeholders than its translation {string!r}: {_shown(message)}"


def _faults_of_compiled(language, there):
    from babel.messages.mofile import read_mo

    path = po_file(language).with_suffix(".mo")
    if not path.exists():
        yield "django.mo is not there"
        return
    with path.open("rb") as file:
        # Babel gives the context of a compiled text as bytes
        compiled = {(_key(m), m.context): _plain(m.string) for m in read_mo(file) if m.id}
    written = {(_key(m), m.context): _plain(m.string) for m in there if m.id and not is_blank(m) and not m.fuzzy}
    if compiled != written:
        yield f"{path.name} is not compiled from {po_file(language).name}"


def _plain(string):
    return string if isinstance(string, str) else string[0]


def _shown(message):
    files = ", ".join(sorted({Path(name).as_posix() for name, _line in message.locations}))
    return repr(message.id) + (f" ({files})" if files else "")


class Command(BaseCommand):
    help = "Bring the catalogues of translations up to date, compile them, and list what is not translated."
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument(
            "--check", action="store_true", help="change nothing; fail when a catalogue is not complete"
        )

    def handle(self, *, check, **options):
        try:
            import babel  # noqa: F401
        except ImportError:
            raise CommandError("Babel is missing: ./run install-dev") from None
        for language in languages():
            if check:
                if faults := list(faults_of(language)):
                    raise CommandError(
                        "\n".join([*faults, f"{language}: ./run messages, then translate what it lists"])
                    )
                self.stdout.write(f"{language}: complete")
                continue
            catalogue = write(language)
            for message in untranslated(catalogue):
                self.stdout.write(_shown(message))
            left = len(untranslated(catalogue))
            self.stdout.write(f"{language}: {len(catalogue)} texts, {left} to translate in {po_file(language).name}")
