"""What rows and grades of the published scales say in the reader's language: the only place that reads their
translations, scales/LANGUAGE/. What is stored is the key of a row; the English words are those of the scale."""

import tomllib
from functools import cache

from django.utils.translation import get_language

from trialsite.scales import FOLDER, scale


@cache
def _told(language, key):
    file = FOLDER / language / f"{key}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {"rows": {}, "words": {}}


def _here(key):
    return _told(get_language() or "", key)


def row_told(name: str, version: str, stored: str) -> str:
    """What the rows of a scale ("DAIDS", "2.1", "alt_high", or several with blanks between) are called; what is not
    known is told as it is stored."""
    key = f"{name.lower()}-{version}"
    return "; ".join(_row_told(key, row) for row in stored.split())


def _row_told(key, row):
    try:
        english = scale(key).row(row).name
    except KeyError:
        return row
    return _here(key)["rows"].get(row, english)


def grade_told(key: str, words: str) -> str:
    """The words of a grade, of the scale of this key ("daids-2.1")."""
    return _here(key)["words"].get(words, words)
