"""The fonts of our PDFs: the only place that knows where the Chinese ones are, and what no font of ours can show.

The typesetter brings a Latin face and uses no font of the machine; the Chinese faces come with a package (SIL Open Font
License). In a .typ file they stand behind the Latin one: `font: ("Libertinus Serif", "Noto Serif SC")`.
"""

from functools import cache

from fontTools.ttLib import TTFont
from pylopdf_fonts_zh_cn import sans_path, serif_path

SANS, SERIF = "Noto Sans SC", "Noto Serif SC"

# Latin letters, punctuation, sub- and superscripts: the typesetter's own face has them
LATIN = [range(0x20, 0x250), range(0x2000, 0x20A0)]


def font_paths() -> list[str]:
    """The folders with the Chinese faces, for every call of the typesetter (typst's `font_paths`)."""
    return sorted({str(path.parent) for path in (sans_path(), serif_path())})


@cache
def _drawn() -> frozenset[int]:
    """The characters that both Chinese faces have."""
    faces = [TTFont(path, lazy=True) for path in (sans_path(), serif_path())]
    drawn = [face.getBestCmap().keys() for face in faces]
    return frozenset(drawn[0] & drawn[1])


def printable(text: str) -> str:
    """The text with a code like [U+1F600] for each character that no face has: an archived PDF must show every one,
    and the typesetter refuses a document that it cannot show."""
    return "".join(c if c in "\n\t" or _is_drawn(ord(c)) else f"[U+{ord(c):04X}]" for c in text)


def _is_drawn(number: int) -> bool:
    return any(number in latin for latin in LATIN) or number in _drawn()
