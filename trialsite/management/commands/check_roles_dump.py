"""The program's own idea of who may do what: every address by every role, for comparison with an outside one."""

import json

from django.core.management.base import BaseCommand
from django.urls import get_resolver
from django.urls.resolvers import URLResolver
from django.utils.translation import override

from trialsite.middleware import OPEN_PATHS
from trialsite.roles import ROLES, Permission, Role, permissions_of

# Pages of the person's own, or that show each person what is theirs: a session is all they need.
FOR_EVERYBODY_SIGNED_IN = {
    "home",
    "sign_out",
    "stay",
    "discard_draft",
    "list_drafts",
    "show_drafts",
    "show_own_account",
    "change_password",
    "enrol_second_factor",
    "confirm_identity",
    "end_own_sessions",
}
READING = ("GET", "HEAD", "OPTIONS")


class Command(BaseCommand):
    help = "Print as JSON which role may GET and POST which address, and what each role is (or docs/roles.md)."
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("--markdown", action="store_true", help="print docs/roles.md instead")

    def handle(self, *, markdown, **options):
        with override("en"):
            self.stdout.write(roles_page() if markdown else json.dumps(dump(), indent=2), ending="")
            if not markdown:
                self.stdout.write("")


def dump():
    return {
        "roles": {
            role.value: {
                "label": str(role.label),
                "sentence": str(ROLES[role][0]),
                "permissions": [permission.name for permission in permissions_of(role)],
            }
            for role in Role
        },
        "permissions": {permission.name: permission.value for permission in Permission},
        "routes": [describe(route, name, view) for route, name, view in routes()],
    }


def routes(resolver=None, prefix="/", namespace=""):
    """(address, full name, view) of every address, in the order in which they are tried."""
    for entry in (resolver or get_resolver()).url_patterns:
        address = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            inner = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
            yield from routes(entry, address, inner)
        else:
            yield address, f"{namespace}{entry.name}", entry.callback


def describe(address, name, view):
    """What the view itself declares: `needs(...)`, and the methods it answers."""
    methods = methods_of(view)
    to_read, to_post = getattr(view, "permissions", None), getattr(view, "to_post", None)
    access = access_of(address, name, view)
    may = {}
    for role in Role:
        held = set(permissions_of(role))
        free = access in ("open", "signed in")
        may[role.value] = {
            "GET": "GET" in methods and (free or bool(held & set(to_read or ()))),
            "POST": "POST" in methods and (free or bool(held & set(to_post or ()))),
        }
    return {
        "route": address,
        "name": name,
        "access": access,
        "methods": methods,
        "to_get": [permission.name for permission in to_read or ()],
        "to_post": [permission.name for permission in to_post or ()] if "POST" in methods else [],
        "may": may,
    }


def access_of(address, name, view):
    """ "open", "signed in", "by permission", or "undeclared": then nobody may, and a test fails."""
    if address.startswith(OPEN_PATHS):
        return "open"
    if hasattr(view, "permissions"):
        return "by permission"
    return "signed in" if name in FOR_EVERYBODY_SIGNED_IN else "undeclared"


def methods_of(view):
    """The list that Django's require_http_methods enforces, read from the decorated view; all when there is none."""
    while view is not None:
        code = getattr(view, "__code__", None)
        if code and "request_method_list" in code.co_freevars:
            return sorted(view.__closure__[code.co_freevars.index("request_method_list")].cell_contents)
        view = getattr(view, "__wrapped__", None)
    return ["GET", "HEAD", "POST"]


def roles_page():
    """docs/roles.md: each role as a sentence, and the table of roles by permissions."""
    lines = [
        "# Roles",
        "",
        "Printed from `trialsite/roles.py` by `manage.py check_roles_dump --markdown > docs/roles.md`;",
        "a test keeps the two equal. A role is held at a site, or at all sites; a permission reaches the patients of",
        "those sites only. `manage.py check_roles_dump` prints the same for every address, as JSON.",
        "",
    ]
    for role in Role:
        lines.append(f"- **{role.label}** (`{role.value}`): {ROLES[role][0]}")
    lines += ["", "| may | " + " | ".join(str(role.label) for role in Role) + " |"]
    lines.append("|---|" + ":-:|" * len(Role))
    for permission in Permission:
        marks = ["✓" if permission in permissions_of(role) else "" for role in Role]
        lines.append(f"| {permission.value} | " + " | ".join(marks) + " |")
    lines += [
        "",
        "Beyond the table: nobody grants, revokes or deactivates for oneself; an administrator holds no other role;",
        "coordinators, investigators and pharmacists hold theirs at one site at a time, never at all sites at once.",
        "",
    ]
    return "\n".join(lines)
