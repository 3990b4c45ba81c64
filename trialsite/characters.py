"""The only place that says which characters a reader cannot see: text that holds one is refused, not stored."""

import unicodedata

# controls, formats such as the zero-width space and text direction marks, lone surrogates, line separators
CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# letters and marks that fonts draw as nothing; and U+FFFD, which stands for bytes that could not be read
CHARACTERS = set("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\ufffd") | {chr(c) for c in range(0xFE00, 0xFE10)}


def is_unseen(character: str) -> bool:
    return unicodedata.category(character) in CATEGORIES or character in CHARACTERS
