"""The terms of CTCAE 5.0 in the languages of the readers: the only place that knows their names.

What is stored and coded is the English term; the names are our own rendering, no part of the dictionary, and stand in
terms/LANGUAGE/ctcae-5.0.toml. Words that are no term are told as they are.
"""

import tomllib
from functools import cache
from pathlib import Path

from django.conf import settings
from django.utils.translation import get_language

FOLDER = Path(__file__).parent / "terms"


@cache
def names(language: str) -> dict[str, str]:
    """Each English term with its name in this language, in the order of the dictionary; empty where there are none."""
    file = FOLDER / language / "ctcae-5.0.toml"
    systems = tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return {term: name for terms in systems.values() for term, name in terms.items()}


@cache
def _by_key(language):
    return {term.casefold(): name for term, name in names(language).items()}


def term_told(term: str) -> str:
    """A term, or words that a person typed: “发热（Fever）” to who reads Chinese, where the words are a term; else the
    words as they are."""
    name = _by_key(get_language() or "").get(" ".join(term.split()).casefold()) if term else None
    return f"{name}（{term}）" if name else term


def terms_named(words: str) -> list[str]:
    """The English terms whose name, in any language, is these words; then is part of them, the longest first; then has
    them as a part, the shortest first."""
    words = words.strip()
    if not words or words.isascii():
        return []
    found = [
        (0, 0, term) if name == words else (1, -len(name), term) if name in words else (2, len(name), term)
        for code, _label in settings.LANGUAGES
        for term, name in names(code).items()
        if name in words or words in name
    ]
    return [term for *_rank, term in sorted(found)]


def is_name(words: str, term: str) -> bool:
    """Are these words the name of the term in one of the languages?"""
    return any(names(code).get(term) == words.strip() for code, _label in settings.LANGUAGES)
