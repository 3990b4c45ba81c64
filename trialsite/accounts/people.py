"""The pages of all accounts, for those who administer them; their section of the start page."""

from datetime import timedelta

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import OuterRef, Prefetch, Q, Subquery
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from trialsite import actions, forms
from trialsite import sign_in as door
from trialsite.accounts.signing_in import set_password_link
from trialsite.models import Grant, LostFactor, SecurityEvent, User
from trialsite.roles import Permission, Role, can, needs
from trialsite.saving import Saved, answer_form
from trialsite.sign_in import Event

UNUSED_AFTER = timedelta(days=90)  # an account that slept this long is to be looked at


def for_administrators(view):
    """A page, to read and to send, for those who administer accounts."""
    return require_http_methods(["GET", "HEAD", "POST"])(needs(Permission.MANAGE_ACCOUNTS)(view))


def accounts():
    """Every person's account with its present grants and `last_sign_in`."""
    sign_ins = SecurityEvent.objects.filter(user=OuterRef("pk"), kind=Event.SIGNED_IN).order_by("-id")
    return (
        User.objects.filter(is_system=False)
        .annotate(last_sign_in=Subquery(sign_ins.values("at")[:1]))
        .prefetch_related(Prefetch("grants", Grant.objects.current().select_related("site"), to_attr="present_grants"))
    )


def unused(users):
    """Active accounts that nobody has used for 90 days."""
    since = timezone.now() - UNUSED_AFTER
    return users.filter(Q(last_sign_in__lt=since) | Q(last_sign_in=None, created_at__lt=since), is_active=True)


@require_GET
@needs(Permission.MANAGE_ACCOUNTS)
def list_accounts(request):
    found = accounts()
    wanted = forms.AccountFilter(request.GET)
    if wanted.is_valid():
        values = wanted.cleaned_data
        if values["q"]:
            found = found.filter(Q(full_name__icontains=values["q"]) | Q(username__icontains=values["q"]))
        if values["role"]:
            found = found.filter(pk__in=Grant.objects.current().filter(role=values["role"]).values("user"))
        if values["active"]:
            found = found.filter(is_active=values["active"] == "yes")
    page = Paginator(found, 50).get_page(request.GET.get("page"))
    context = {"page": page, "filter": wanted, "unused_since": timezone.now() - UNUSED_AFTER}
    return render(request, "accounts/list_accounts.html", context)


@for_administrators
def create_account(request):
    def save(form):
        values = form.values
        user = actions.create_account(**values, by=request.user)
        door.note(request, Event.LINK_GIVEN, request.user, user.username)
        return Saved(reverse("show_account", args=[user.pk]), message=link_message(request, user))

    form = forms.AccountForm(request.POST if request.method == "POST" else None)
    return answer_form(request, form, "accounts/create_account.html", {}, save)


def link_message(request, user):
    """Shown once: it is kept in the administrator's cookie until the next page, and nowhere else."""
    return format_html(
        _("Hand this link to {name}. It sets the password, works once, and for 30 minutes: {link}"),
        name=user.full_name,
        link=format_html('<code class="set-password-link">{}</code>', set_password_link(request, user)),
    )


def load_account(pk):
    return get_object_or_404(accounts(), pk=pk)


@require_GET
@needs(Permission.MANAGE_ACCOUNTS)
def show_account(request, pk):
    account = load_account(pk)
    grants = account.grants.select_related("site", "granted_by").order_by("-id")
    context = {
        "account": account,
        "present": [grant for grant in grants if grant.revoked_at is None],
        "former": [grant for grant in grants if grant.revoked_at is not None],
        "has_second_factor": door.has_second_factor(account),
        "session_count": len(actions.sessions_of(account)),
        "events": door.last_sign_ins(account),
        "is_own": account == request.user,
        "lost": account.lost_factors.open().select_related("reported_by").first(),
    }
    return render(request, "accounts/show_account.html", context)


def change(request, account, title, act, *, form=forms.ReasonForm, button, explanation="", dangerous=False):
    """The pages that change one thing of an account, for a reason. `act(form)` gives a word for the person."""

    def save(form):
        return Saved(reverse("show_account", args=[account.pk]), message=act(form))

    context = {
        "account": account, "title": title, "button": button, "explanation": explanation, "dangerous": dangerous,
    }  # fmt: skip
    sent = form(request.POST if request.method == "POST" else None)
    return answer_form(request, sent, "accounts/change_account.html", context, save)


@for_administrators
def grant_role(request, pk):
    account = load_account(pk)

    def act(form):
        grant = actions.grant_role(user=account, **form.values, by=request.user)
        return _("Granted: %(role)s.") % {"role": Role(grant.role).label}

    return change(
        request, account, _("Grant a role"), act, form=forms.RoleForm,
        button=_("Grant the role"), explanation=_("The person is signed out and comes back with the new role."),
    )  # fmt: skip


@for_administrators
def revoke_role(request, pk):
    grant = get_object_or_404(Grant.objects.current().select_related("user", "site"), pk=pk)

    def act(form):
        actions.revoke_role(grant=grant, reason=form.values["reason"], by=request.user)
        return _("The role was revoked.")

    title = _("Revoke: %(role)s, %(site)s") % {"role": Role(grant.role).label, "site": grant.site or _("all sites")}
    return change(
        request, grant.user, title, act,
        button=_("Revoke the role"), explanation=_("It ends at once; the person is signed out."),
        dangerous=True,
    )  # fmt: skip


@for_administrators
def deactivate_account(request, pk):
    account = load_account(pk)

    def act(form):
        actions.deactivate_account(user=account, reason=form.values["reason"], by=request.user)
        return _("The account is deactivated.")

    return change(
        request, account, _("Deactivate the account"), act,
        button=_("Deactivate"),
        explanation=_("The person is out at once. The account stays, because it names who did what."),
        dangerous=True,
    )  # fmt: skip


@for_administrators
def reactivate_account(request, pk):
    account = load_account(pk)

    def act(form):
        actions.reactivate_account(user=account, reason=form.values["reason"], by=request.user)
        return _("The account is active again, with the roles it held.")

    return change(
        request, account, _("Reactivate the account"), act,
        button=_("Reactivate"), explanation=_("The roles below hold again, the password too."),
    )  # fmt: skip


@for_administrators
def reset_sign_in(request, pk):
    account = load_account(pk)

    def act(form):
        user = actions.reset_sign_in(user=account, reason=form.values["reason"], by=request.user)
        door.note(request, Event.LINK_GIVEN, request.user, user.username)
        return link_message(request, user)

    return change(
        request, account, _("Give a new set-password link"), act,
        button=_("Give a link"),
        explanation=_(
            "The present password and earlier links stop working, and all sessions end. "
            "The second factor is still asked for."
        ),
        dangerous=True,
    )  # fmt: skip


@for_administrators
def report_lost_factor(request, pk):
    account = load_account(pk)

    def act(form):
        actions.report_lost_factor(user=account, reason=form.values["reason"], by=request.user)
        door.note(request, Event.SECOND_FACTOR_LOST, request.user, account.username)
        return _("Reported. Another administrator confirms it within a day, and gets the link.")

    return change(
        request, account, _("Report the second factor as lost"), act,
        button=_("Report the loss"),
        explanation=_(
            "Nobody alone may let somebody in anew: another administrator makes sure who asks, and confirms. "
            "Say in the reason how you made sure of it. Until then nothing changes."
        ),
    )  # fmt: skip


@for_administrators
def confirm_lost_factor(request, pk):
    lost = get_object_or_404(LostFactor.objects.open().select_related("user", "reported_by"), pk=pk)

    def act(form):
        user = actions.confirm_lost_factor(lost=lost, reason=form.values["reason"], by=request.user)
        door.note(request, Event.SECOND_FACTOR_FORGOTTEN, request.user, user.username)
        door.note(request, Event.LINK_GIVEN, request.user, user.username)
        return link_message(request, user)

    return change(
        request, lost.user, _("Confirm that the second factor is lost"), act,
        button=_("Confirm, and give a link"),
        explanation=_(
            "%(name)s reported it. Password and second factor stop working, all sessions end, and you get the link to hand over."
        )
        % {"name": lost.reported_by},
        dangerous=True,
    )  # fmt: skip


@require_POST
@needs(Permission.MANAGE_ACCOUNTS)
def end_sessions(request, pk):
    account = load_account(pk)
    keep = request.session.session_key if account == request.user else None
    count = actions.end_sessions(account, keep=keep)
    door.note(request, Event.SESSIONS_ENDED, request.user, account.username)
    messages.success(request, ngettext("%(n)s session ended.", "%(n)s sessions ended.", count) % {"n": count})
    return redirect("show_account", pk=account.pk)


def sections(user, query):
    """The start page of an administrator (settings.HOME_SECTIONS)."""
    if not can(user, Permission.MANAGE_ACCOUNTS):
        return
    lost = LostFactor.objects.open().exclude(reported_by=user).exclude(user=user).select_related("user", "reported_by")
    yield {
        "title": _("Second factors reported lost"),
        "count": len(lost),
        "urgent": bool(lost),
        "url": reverse("list_accounts"),
        "rows": [
            {
                "label": one.user.full_name,
                "note": _("reported by %(name)s") % {"name": one.reported_by},
                "url": reverse("confirm_lost_factor", args=[one.pk]),
            }
            for one in lost
        ],
        "empty": _("None waits for your confirmation."),
    }
    everybody = accounts().filter(is_active=True)
    without = everybody.exclude(pk__in=Grant.objects.current().values("user"))
    for title, found, empty in (
        (_("Accounts without a role"), without, _("Every active account holds a role.")),
        (_("Not used for 90 days"), unused(everybody), _("Every active account is in use.")),
    ):
        rows = list(found[:21])
        yield {
            "title": title,
            "count": f"{len(rows[:20])}+" if len(rows) > 20 else len(rows),
            "urgent": False,
            "url": reverse("list_accounts"),
            "rows": [
                {"label": one.full_name, "note": one.username, "url": reverse("show_account", args=[one.pk])}
                for one in rows[:20]
            ],
            "empty": empty,
        }
