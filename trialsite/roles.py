"""Who may do what: one page that a sponsor can sign.

A role is a sentence and a list of permissions. A person holds roles at sites (or at all sites). `can()` asks about
the person only; whether a thing may be done *now* (a locked visit, a halted trial) is asked where the thing lives.
"""

from enum import StrEnum
from functools import wraps

from django.core.exceptions import PermissionDenied
from django.db.models import TextChoices
from django.http import HttpResponseNotAllowed
from django.utils.translation import gettext_lazy as _


class Permission(StrEnum):
    VIEW_PATIENTS = "view patients and their visits"
    ENTER_DATA = "screen patients, enter and change data"
    DECIDE_ELIGIBILITY = "confirm that a patient is eligible, and randomise"
    REPORT_ADVERSE_EVENTS = "report and change adverse events"
    VIEW_ADVERSE_EVENTS = "view the safety listings"
    CODE_TERMS = "code terms with the dictionary"
    APPROVE_CODES = "approve a code that another person gave"
    JUDGE_SERIOUS_EVENTS = "judge serious events for the sponsor and report them"
    UNMASK_PATIENTS = "unmask one patient in an emergency"
    VIEW_UNMASKINGS = "view that and why patients were unmasked, without the arm"
    RAISE_QUERIES = "raise and close queries"
    ANSWER_QUERIES = "answer queries"
    VERIFY_SOURCE = "verify entries against the source"
    REVIEW_DATA = "review data, freeze, lock and unlock them"
    SIGN_DATA = "sign data as the investigator"
    RECORD_DEVIATIONS = "record deviations from the protocol"
    MANAGE_RANGES = "keep laboratories and their reference ranges"
    EXPORT_DATA = "export the data one may see"
    SEE_ARM = "see treatment arms, also in a masked trial"
    SEE_ARM_WHEN_OPEN = "see treatment arms while the trial is not masked"
    MANAGE_LOTS = "receive, test and release product lots"
    PREPARE_INFUSIONS = "prepare infusions"
    RECORD_INFUSIONS = "record that an infusion was given"
    MANAGE_ALLOCATION = "make or import the randomisation list"
    OPEN_HALTS = "halt recruitment, randomisation or infusions"
    REQUEST_REPORTS = "request DSMB reports"
    RELEASE_REPORTS = "release DSMB reports to the board"
    READ_OPEN_REPORTS = "read open DSMB reports"
    READ_CLOSED_REPORTS = "read closed DSMB reports"
    VIEW_LETTER_LOG = "view that and why the letters of closed DSMB reports were read, without the arms"
    RECORD_DECISIONS = "record and sign what the safety board recommends, which alone lifts a halt"
    VIEW_AUDIT_TRAIL = "view the audit trail"
    RELEASE_VERSIONS = "release a protocol version at a site that approved it"
    MANAGE_ACCOUNTS = "create accounts and grant roles"


P = Permission

SITE_VIEW = (P.VIEW_PATIENTS, P.VIEW_ADVERSE_EVENTS, P.VIEW_AUDIT_TRAIL, P.SEE_ARM_WHEN_OPEN)


class Role(TextChoices):
    COORDINATOR = "coordinator", _("Study coordinator")
    INVESTIGATOR = "investigator", _("Investigator")
    PHARMACIST = "pharmacist", _("Pharmacist")
    MONITOR = "monitor", _("Monitor")
    DATA_MANAGER = "data_manager", _("Data manager")
    STATISTICIAN = "statistician", _("Statistician")
    SAFETY_OFFICER = "safety_officer", _("Sponsor's safety officer")
    DSMB_MEMBER = "dsmb_member", _("DSMB member")
    ADMINISTRATOR = "administrator", _("Administrator")
    INSPECTOR = "inspector", _("Inspector")


# roles that are always held at a site; the others may be held at all sites
AT_A_SITE = (Role.COORDINATOR, Role.INVESTIGATOR, Role.PHARMACIST)

# role: (the sentence, the permissions)
ROLES: dict[str, tuple[str, tuple[Permission, ...]]] = {
    Role.COORDINATOR: (
        _("Screens patients and enters what was measured at the own site."),
        (*SITE_VIEW, P.ENTER_DATA, P.ANSWER_QUERIES, P.DECIDE_ELIGIBILITY, P.REPORT_ADVERSE_EVENTS,
         P.RECORD_DEVIATIONS, P.PREPARE_INFUSIONS, P.RECORD_INFUSIONS),
    ),
    Role.INVESTIGATOR: (
        _("Is responsible for the patients of the own site, judges adverse events, signs what was entered."),
        (*SITE_VIEW, P.ENTER_DATA, P.ANSWER_QUERIES, P.DECIDE_ELIGIBILITY, P.REPORT_ADVERSE_EVENTS,
         P.RECORD_DEVIATIONS, P.RECORD_INFUSIONS, P.SIGN_DATA, P.EXPORT_DATA, P.UNMASK_PATIENTS, P.VIEW_UNMASKINGS),
    ),
    Role.PHARMACIST: (
        _("Keeps the product lots and prepares infusions; in a masked trial the only one at the site who sees the arm."),
        (P.VIEW_PATIENTS, P.VIEW_AUDIT_TRAIL, P.SEE_ARM, P.MANAGE_LOTS, P.PREPARE_INFUSIONS),
    ),
    Role.MONITOR: (
        _("Compares the entries with the source, verifies them and raises queries; changes no data."),
        (*SITE_VIEW, P.RAISE_QUERIES, P.VERIFY_SOURCE, P.RECORD_DEVIATIONS, P.READ_OPEN_REPORTS),
    ),
    Role.DATA_MANAGER: (
        _("Cleans the data of all sites with queries, reviews and locks them; changes no data."),
        (*SITE_VIEW, P.RAISE_QUERIES, P.REVIEW_DATA, P.RECORD_DEVIATIONS, P.MANAGE_RANGES, P.EXPORT_DATA,
         P.RELEASE_VERSIONS, P.CODE_TERMS, P.APPROVE_CODES, P.READ_OPEN_REPORTS),
    ),
    Role.STATISTICIAN: (
        _("Makes the randomisation list and the DSMB reports; sees treatment arms."),
        (P.VIEW_PATIENTS, P.VIEW_ADVERSE_EVENTS, P.VIEW_AUDIT_TRAIL, P.SEE_ARM, P.MANAGE_ALLOCATION,
         P.EXPORT_DATA, P.REQUEST_REPORTS, P.RELEASE_REPORTS, P.VIEW_UNMASKINGS, P.READ_OPEN_REPORTS, P.READ_CLOSED_REPORTS,
         P.VIEW_LETTER_LOG),
    ),
    Role.SAFETY_OFFICER: (
        _("Follows adverse events for the sponsor and may halt the trial; changes no site data."),
        (P.VIEW_PATIENTS, P.VIEW_ADVERSE_EVENTS, P.VIEW_AUDIT_TRAIL, P.SEE_ARM_WHEN_OPEN, P.OPEN_HALTS,
         P.JUDGE_SERIOUS_EVENTS, P.CODE_TERMS, P.APPROVE_CODES, P.VIEW_UNMASKINGS, P.REQUEST_REPORTS, P.READ_OPEN_REPORTS),
    ),
    Role.DSMB_MEMBER: (
        _("Reads open and closed reports and decides whether the trial goes on."),
        (P.SEE_ARM, P.OPEN_HALTS, P.RECORD_DECISIONS, P.READ_OPEN_REPORTS, P.READ_CLOSED_REPORTS),
    ),
    Role.ADMINISTRATOR: (
        _("Creates accounts and grants roles; sees no patients."),
        (P.MANAGE_ACCOUNTS,),
    ),
    Role.INSPECTOR: (
        _("Reads the records and their history; changes nothing."),
        (*SITE_VIEW, P.VIEW_UNMASKINGS, P.READ_OPEN_REPORTS, P.VIEW_LETTER_LOG),
    ),
}  # fmt: skip


def permissions_of(role: str) -> tuple[Permission, ...]:
    return ROLES[role][1]


def can(user, permission: Permission, site=None) -> bool:
    """May this person do this at this site? Without `site`: anywhere at all."""
    return any(
        permission in permissions_of(grant.role)
        for grant in user.current_grants
        if site is None or grant.site_id in (None, site.pk)
    )


def require(user, permission: Permission, site=None) -> None:
    """Raise PermissionDenied unless `can(user, permission, site)`."""
    if not can(user, permission, site):
        raise PermissionDenied(permission.value)


# nothing is put, patched or deleted anywhere
METHODS = ("GET", "HEAD", "OPTIONS", "POST")


def needs(*permissions: Permission, to_post: tuple[Permission, ...] | None = None):
    """A view that any one of these permissions opens, at whatever site: the outer door, answered with 403.

    `to_post` names the permissions of which one is needed to send its form, when reading the page takes less. The
    declaration stays on the view as `.permissions` and `.to_post`, which `manage.py check_roles_dump` prints.
    Which records are seen behind the door is asked at the door of each model."""
    to_post = permissions if to_post is None else to_post
    if not permissions or not to_post:
        raise TypeError("needs() must name a permission")

    def declare(view):
        @wraps(view)
        def guarded(request, *args, **kwargs):
            needed = permissions if request.method in ("GET", "HEAD", "OPTIONS") else to_post
            if not any(can(request.user, permission) for permission in needed):
                raise PermissionDenied(" / ".join(permission.value for permission in needed))
            if request.method not in METHODS:
                return HttpResponseNotAllowed(METHODS)
            return view(request, *args, **kwargs)

        guarded.permissions, guarded.to_post = permissions, to_post
        return guarded

    return declare


def can_see_arm(user, *, masked: bool, site=None) -> bool:
    return can(user, P.SEE_ARM, site) or (not masked and can(user, P.SEE_ARM_WHEN_OPEN, site))


def sites_where(user, permission: Permission):
    """The ids of the sites where the person has the permission, or None for all sites."""
    ids = set()
    for grant in user.current_grants:
        if permission in permissions_of(grant.role):
            if grant.site_id is None:
                return None
            ids.add(grant.site_id)
    return ids


def within_sites(queryset, user, permission: Permission, site="patient__site"):
    """The rows of `queryset` at the sites where the person has the permission: the door to all patients' records."""
    ids = sites_where(user, permission)
    return queryset if ids is None else queryset.filter(**{f"{site}__in": ids})
