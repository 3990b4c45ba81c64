"""What another version of a dictionary does to codes: pure, term by term.

A code is unchanged when its term and the whole way up are the same; it is moved when the term is there and something
above it, or its name, is another; it is gone when the term is not current or not there. Nothing is recoded by itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from safety import dictionary
from safety.coding.rules import PATH

LABELS = {
    "code": _("code"), "term": _("term"), "preferred_code": _("code of the preferred term"),
    "preferred_term": _("preferred term"), "high_level_code": _("code of the high level term"),
    "high_level_term": _("high level term"), "group_code": _("code of the high level group term"),
    "group_term": _("high level group term"), "body_system_code": _("code of the system organ class"),
    "body_system": _("system organ class"),
}  # fmt: skip
# code of a level -> its name
NAMES = {name: name.replace("_code", "_term") for name in PATH if name.endswith("_code")}
NAMES |= {"code": "term", "body_system_code": "body_system"}


class Fate(TextChoices):
    UNCHANGED = "unchanged", _("the same")
    MOVED = "moved", _("moved")
    NOT_CURRENT = "not_current", _("no longer current")
    GONE = "gone", _("not there")


@dataclass(frozen=True)
class Change:
    """`moved`: (name of the level, before, after) of what differs; a code is told only where the name is the same."""

    fate: Fate
    moved: tuple[tuple[str, str, str], ...] = field(default=())

    @property
    def moved_told(self):
        """`moved` in the words of the reader."""
        return [(level, dictionary.told(before), dictionary.told(after)) for level, before, after in self.moved]


def compare(before: Mapping, after: Mapping | None, *, is_current: bool = True) -> Change:
    """What happens to a code with the path `before` when the other version has the path `after` for its term."""
    if after is None:
        return Change(Fate.GONE)
    if not is_current:
        return Change(Fate.NOT_CURRENT)
    differs = [name for name in PATH if before[name] != after[name]]
    told = [name for name in differs if NAMES.get(name) not in differs]
    moved = tuple((str(LABELS[name]), before[name], after[name]) for name in told)
    return Change(Fate.MOVED if moved else Fate.UNCHANGED, moved)
