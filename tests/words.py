"""Words that people would read in English whatever their language: what tests/test_languages.py looks for."""

import ast
import re
from html.parser import HTMLParser

from django.template.base import Lexer, TokenType

LETTERS = re.compile(r"[A-Za-z]{2,}")
# attributes that people read or hear
READ = (
    "alt",
    "title",
    "placeholder",
    "aria-label",
    "aria-description",
    "data-label",
    "data-confirm",
    "data-confirm-yes",
)


class _Words(HTMLParser):
    """The words of a template's own text, once all that Django puts there is blanked out."""

    def __init__(self):
        super().__init__()
        self.found, self.silent = [], 0

    def handle_starttag(self, tag, attributes):
        self.silent += tag in ("script", "style", "code", "kbd", "svg")
        self.found += [value for name, value in attributes if name in READ and value]

    def handle_endtag(self, tag):
        self.silent -= tag in ("script", "style", "code", "kbd", "svg")

    def handle_data(self, data):
        if not self.silent:
            self.found.append(data)


def words_of_template(source, not_words):
    """Pieces of text outside the tags of translation that have a word in them which is not in `not_words`."""
    text, inside = "", False
    for token in Lexer(source).tokenize():
        name = token.contents.split(" ", 1)[0] if token.token_type == TokenType.BLOCK else ""
        if name in ("blocktranslate", "comment"):
            inside = True
        elif name in ("endblocktranslate", "endcomment"):
            inside = False
        elif token.token_type == TokenType.TEXT and not inside:
            text += token.contents
    words = _Words()
    words.feed(text)
    return [piece.strip() for piece in words.found if set(LETTERS.findall(piece)) - not_words]


# what a call tells to people: its arguments with these names, or its first ones
TELLS = {"label", "help_text", "empty_label", "verbose_name", "verbose_name_plural"}
SENTENCES = {"Refused": 1, "ValidationError": 1, "NotAResult": 1, "add_error": 2, "Saved": 3,
             "success": 2, "warning": 2, "error": 2, "info": 2}  # fmt: skip


def words_of_code(source):
    """(line, text) of each plain text where people are told something: it should be marked for translation."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            if getattr(node.targets[0].value, "id", "") == "errors":
                yield from _plain(node.value)
            continue
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name in ("success", "warning", "error", "info") and getattr(node.func.value, "id", "") != "messages":
            continue
        told = [
            keyword.value
            for keyword in node.keywords
            if keyword.arg in TELLS or (name == "Saved" and keyword.arg == "message")
        ]
        told += node.args[: SENTENCES.get(name, 0)]
        for part in told:
            yield from _plain(part)


def _plain(node):
    """The plain texts of an expression: in lists, dictionaries and formatted strings too, not as keys or in calls."""
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        pieces = node.values if isinstance(node, ast.JoinedStr) else [node]
        text = "".join(piece.value for piece in pieces if isinstance(piece, ast.Constant))
        if re.search(r"[A-Za-z]{2,}.* .*[A-Za-z]{2,}|^[A-Z][a-z]{2,}", text):
            yield node.lineno, text
    elif isinstance(node, (ast.List, ast.Tuple)):
        for item in node.elts:
            yield from _plain(item)
    elif isinstance(node, ast.Dict):
        for value in node.values:
            yield from _plain(value)
    elif isinstance(node, ast.BinOp):
        yield from _plain(node.left)
    elif isinstance(node, ast.IfExp):
        yield from _plain(node.body)
        yield from _plain(node.orelse)


# what people read of a page that was answered: beside the texts these attributes, and the values of buttons
class _Shown(HTMLParser):
    SILENT = ("script", "style", "code", "kbd", "textarea")

    def __init__(self):
        super().__init__()
        self.found, self.silent = [], 0

    def handle_starttag(self, tag, attributes):
        self.silent += tag in self.SILENT
        self.found += [value for name, value in attributes if name in READ and value]

    def handle_endtag(self, tag):
        self.silent -= tag in self.SILENT

    def handle_data(self, data):
        if not self.silent and data.strip():
            self.found.append(" ".join(data.split()))


def words_of_page(html):
    """The pieces of text that a page shows or reads out, not what a person typed into a text area."""
    shown = _Shown()
    shown.feed(html)
    return shown.found
