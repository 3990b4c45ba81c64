"""What a form is called where it is not shown, as in the list of drafts: told from its address, in the language of who
reads. Each floor names its forms in `titles.py` (settings.FORM_TITLES): FORMS by the name of the address, RECORDS by kind."""

from collections import defaultdict
from dataclasses import dataclass

from django.conf import settings
from django.urls import Resolver404, resolve
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy


@dataclass(frozen=True)
class FormTitle:
    """`words` name the form, or are a function (record, arguments of the address) that does. `record` is the kind of the
    record that the form is about, `key` the argument that names it."""

    words: object
    record: str = ""
    key: str = "pk"


# forms of this floor; none is about a record that would have to be named
FORMS = {
    "release_version": FormTitle(gettext_lazy("Release a version")),
    "request_export": FormTitle(gettext_lazy("Export data")),
    "show_export": FormTitle(gettext_lazy("Data export")),
    "create_account": FormTitle(gettext_lazy("New account")),
    "show_account": FormTitle(gettext_lazy("Account")),
}
RECORDS = {}


def titles_of(user, paths):
    """The titles of the forms at these addresses, in their order: one statement for each kind of record among them.

    What the person may not see any longer is not named: the title says what kind of form it is, or that it is one."""
    asked, wanted = [], defaultdict(set)
    for path in paths:
        title, match = _form_at(path)
        asked.append((title, match))
        if title and title.record:
            wanted[match.namespace, title.record].add(match.kwargs[title.key])
    found = {}
    for (namespace, kind), keys in wanted.items():
        rows, _about = _of(namespace, "RECORDS")[kind]
        found[namespace, kind] = {row.pk: row for row in rows(user).filter(pk__in=keys)}
    return [_told(title, match, found) for title, match in asked]


def _of(namespace, name):
    return import_string(f"{settings.FORM_TITLES[namespace]}.{name}")


def _form_at(path):
    try:
        match = resolve(path)
    except Resolver404:  # an address of an earlier version of the program
        return None, None
    return _of(match.namespace, "FORMS").get(match.url_name) if match.namespace in settings.FORM_TITLES else None, match


def _told(title, match, found):
    if title is None:
        return _("A form")
    record, about = None, ""
    if title.record:
        record = found[match.namespace, title.record].get(match.kwargs[title.key])
        if record is not None:
            about = _of(match.namespace, "RECORDS")[title.record][1](record)
    if not callable(title.words):
        words = str(title.words)
    else:
        words = str(title.words(record, match.kwargs)) if record is not None else _("A form")
    return " · ".join(filter(None, [about, words]))
