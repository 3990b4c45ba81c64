"""What sites and patients call things: the only place that knows everyday words for terms (dictionaries/everyday-words.toml)."""

import tomllib
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path

from safety.coding.rules import key_of

FILE = Path(__file__).parents[1] / "dictionaries" / "everyday-words.toml"
SHORT = 4  # letters of an abbreviation, which counts as a whole word alone
ALIKE, BEGUN = 0.8, 0.6  # how like a misspelt phrase is; the part of a phrase that is typed already


@cache
def phrases() -> tuple[tuple[str, str], ...]:
    """(phrase as it is compared, term), in the order of the file."""
    words = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return tuple((key_of(phrase), term) for term, listed in words.items() for phrase in listed)


def terms_called(text: str) -> list[str]:
    """The terms that such everyday words mean, the best first: called just so, having them as a part, misspelt."""
    key = key_of(text)
    found = {}
    for phrase, term in phrases():
        if (far := _distance(key, phrase)) is not None:
            found[term] = min(far, found.get(term, far))
    return sorted(found, key=found.get)


def _distance(key, phrase):
    """0: these words; up to 1: words with such a part, or misspelt; None: other words."""
    if key == phrase:
        return 0
    if not phrase.isascii():
        return 0.1 if phrase in key or (len(key) > 1 and key in phrase) else None
    if f" {phrase} " in f" {key} ":
        return 0.1
    if len(phrase) <= SHORT or len(key) < len(phrase) * BEGUN:
        return None
    if phrase.startswith(key):
        return 0.2
    matcher = SequenceMatcher(None, key, phrase, autojunk=False)
    if matcher.real_quick_ratio() < ALIKE or matcher.quick_ratio() < ALIKE:
        return None
    return 1 - matcher.ratio() if matcher.ratio() >= ALIKE else None
