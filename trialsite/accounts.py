"""The pages of sign-in, of one's own account, and of all accounts for those who administer them."""

from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.contrib import auth, messages
from django.contrib.auth.tokens import default_token_generator
from django.core import signing
from django.core.paginator import Paginator
from django.db.models import OuterRef, Prefetch, Q, Subquery
from django.http import HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import base36_to_int, int_to_base36
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from trialsite import actions, forms, languages, pages, presence
from trialsite import sign_in as door
from trialsite.models import Grant, LostFactor, SecurityEvent, User
from trialsite.roles import Permission, Role, can, needs
from trialsite.saving import Refused, Saved, answer_form
from trialsite.sign_in import Event

WRONG = gettext_lazy("User name or password is wrong.")
UNUSED_AFTER = timedelta(days=90)  # an account that slept this long is to be looked at
SECRET_VALID = 30 * 60  # seconds to photograph the QR code and type the first code


# --- sign-in -----------------------------------------------------------------------------------------


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request):
    """User name and password. Whether there is such an account is told neither by words nor by time."""
    target = request.POST.get("next", request.GET.get("next", ""))
    if request.user.is_authenticated:
        return redirect(door.after_sign_in(request, target))
    form = forms.SignInForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        username = form.cleaned_data["username"]
        name = actions.canonical_username(username)
        user = auth.authenticate(request, username=name, password=form.cleaned_data["password"])
        if user is not None:
            return admit(request, user, target)
        door.note_failure(request, Event.FAILED, username)
        form.add_error(None, WRONG)
    context = {"form": form, "next": target, "ended": presence.sentence_of(request.GET.get("ended", ""))}
    return render(request, "account/sign_in.html", context, status=status_of(form))


def admit(request, user, target):
    """The password was right: ask for the code, or open the session."""
    if door.has_second_factor(user):
        door.expect_code(request, user, target)
        return redirect("enter_code")
    tell_failures(request, user)
    door.begin_session(request, user, second_factor=False)
    return HttpResponseRedirect(door.after_sign_in(request, target))


def tell_failures(request, user):
    if count := door.failures_since_last_sign_in(user):
        text = ngettext(
            "%(count)s failed try to sign in with your name since you were last here.",
            "%(count)s failed tries to sign in with your name since you were last here.",
            count,
        )
        messages.warning(request, text % {"count": count})


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def enter_code(request):
    """The code of the second factor. It works once."""
    user, target = door.who_is_expected(request)
    if user is None:
        return redirect("sign_in")
    form = forms.CodeForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and door.is_paused(request, user.username):
        return door.too_many_tries(request, credentials={"username": user.username})
    if form.is_valid():
        if door.use_code(user, form.cleaned_data["code"]):
            tell_failures(request, user)
            door.begin_session(request, user, second_factor=True)
            return HttpResponseRedirect(door.after_sign_in(request, target))
        door.note_wrong_code(request, user)
        form.add_error("code", _("This code is wrong, or was used already. Wait for the next one."))
    return render(request, "mfa/enter_code.html", {"form": form}, status=status_of(form))


@require_POST
def sign_out(request):
    door.note(request, Event.SIGNED_OUT, request.user)
    auth.logout(request)
    list(messages.get_messages(request))  # what was not read yet is not for the next person at this screen
    response = redirect("sign_in")
    response["Clear-Site-Data"] = presence.NO_STORE
    return response


@require_http_methods(["GET", "HEAD", "POST"])
def stay(request):
    """How long the session lasts, for session.js. To POST is to be there; to ask as a background request is not."""
    return JsonResponse(presence.times(request))


def set_password_link(request, user):
    """An address that opens once, within settings.PASSWORD_RESET_TIMEOUT, and dies when the password changes."""
    arguments = [int_to_base36(user.pk), default_token_generator.make_token(user)]
    return request.build_absolute_uri(reverse("set_password", args=arguments))


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def set_password(request, account, token):
    """The one-time link. It signs nobody in, so it does not pass the second factor by."""
    user = account_of_link(account)
    if user is None or not default_token_generator.check_token(user, token):
        return render(request, "account/link_spent.html", status=404)
    form = forms.NewPasswordForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            actions.change_password(user=user, password=form.cleaned_data["password"], token=token, by=user)
        except Refused as refusal:
            show_refusal(form, refusal)
        else:
            door.note(request, Event.PASSWORD_CHANGED, user)
            messages.success(request, _("The password is set. Sign in with it."))
            return redirect("sign_in")
    context = {"form": form, "account": user}
    return render(request, "account/set_password.html", context, status=status_of(form))


def account_of_link(text):
    try:
        return User.objects.filter(pk=base36_to_int(text), is_active=True, is_system=False).first()
    except (ValueError, OverflowError):
        return None


def status_of(form):
    return 422 if form.errors else 200


def show_refusal(form, refusal):
    for name, texts in refusal.errors.items():
        for text in texts:
            form.add_error(name if name in form.fields else None, text)


@require_POST
def choose_language(request):
    """Another language: kept by the account of who is signed in, and by the browser for whoever signs in next."""
    code = request.POST.get("language", "")
    if code not in languages.LANGUAGES:
        return pages.bad_request(request)
    if request.user.is_authenticated and request.user.language != code:
        actions.choose_language(language=code, by=request.user)
    response = HttpResponseRedirect(door.after_sign_in(request, request.POST.get("back", "")))
    languages.remember(response, code)
    return response


# --- the own account ---------------------------------------------------------------------------------


@require_GET
def show_own_account(request):
    context = {
        "grants": request.user.current_grants,
        "has_second_factor": door.has_second_factor(request.user),
        "second_factor_required": settings.SECOND_FACTOR == "required",
        "sessions": list(session_rows(request)),
        "events": door.last_sign_ins(request.user),
    }
    return render(request, "account/show_own_account.html", context)


def session_rows(request):
    for session, content in actions.sessions_of(request.user):
        began = content.get("signed_in_at")
        yield {
            "name": actions.session_name(session.pk),
            "began": datetime.fromtimestamp(began, UTC) if began else None,
            "address": content.get("address", ""),
            "is_this": session.pk == request.session.session_key,
        }


@require_POST
def end_own_sessions(request):
    """Sign out elsewhere: in the session named `which`, or in all others."""
    only = request.POST.get("which", "")[:16] or None
    count = actions.end_sessions(request.user, keep=request.session.session_key, only=only)
    if count:
        door.note(request, Event.SESSIONS_ENDED, request.user)
    messages.success(request, ngettext("%(n)s session ended.", "%(n)s sessions ended.", count) % {"n": count})
    return redirect("show_own_account")


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def change_password(request):
    form = forms.ChangePasswordForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        user = request.user
        if not knows_password(request, form.cleaned_data["current"]):
            form.add_error("current", _("This is not your present password."))
        else:
            try:
                user = actions.change_password(user=user, password=form.cleaned_data["password"], by=user)
            except Refused as refusal:
                show_refusal(form, refusal)
            else:
                door.keep_session(request, user)
                door.note(request, Event.PASSWORD_CHANGED, user)
                messages.success(request, _("The password is changed. All other sessions were ended."))
                return redirect("show_own_account")
    return render(request, "account/change_password.html", {"form": form}, status=status_of(form))


def knows_password(request, password):
    """Ask for the password again; failures count like those at the door."""
    username = request.user.username
    if auth.authenticate(request, username=username, password=password) == request.user:
        return True
    door.note_failure(request, Event.FAILED, username)
    return False


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def confirm_identity(request):
    """The password once more, before something that a stranger at a forgotten screen must not do."""
    target = request.POST.get("next", request.GET.get("next", ""))
    form = forms.ConfirmForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        if knows_password(request, form.cleaned_data["password"]):
            door.keep_session(request, request.user)
            door.note(request, Event.CONFIRMED, request.user)
            return HttpResponseRedirect(door.after_sign_in(request, target))
        form.add_error("password", _("This is not your password."))
    context = {"form": form, "next": target}
    return render(request, "account/confirm_identity.html", context, status=status_of(form))


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
@door.recently_confirmed
def enrol_second_factor(request):
    """Show a new secret, and keep it when the first code from the phone proves that it arrived there."""
    user = request.user
    form = forms.EnrolForm(request.POST if request.method == "POST" else None)
    secret = door.new_secret()
    if request.method == "POST":
        try:
            secret = signing.loads(request.POST.get("signed", ""), salt=secret_salt(user), max_age=SECRET_VALID)
        except signing.BadSignature:
            form = forms.EnrolForm()
            messages.warning(request, _("That took too long. Here is a new secret; the earlier one is void."))
        else:
            if form.is_valid() and door.is_paused(request, user.username):
                return door.too_many_tries(request, credentials={"username": user.username})
            if form.is_valid() and door.fits(secret, form.cleaned_data["code"]):
                actions.enrol_second_factor(user=user, secret=secret, by=user)
                door.use_code(user, form.cleaned_data["code"])
                actions.end_sessions(user, keep=request.session.session_key)
                door.keep_session(request, user, second_factor=True)
                door.note(request, Event.SECOND_FACTOR_ENROLLED, user)
                messages.success(request, _("From now on a code of this device is asked for at sign-in."))
                return redirect("show_own_account")
            if form.is_valid():
                door.note_wrong_code(request, user)
                form.add_error("code", _("This code does not fit. Wait for the next one and type that."))
    context = {
        "form": form,
        "secret": " ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
        "signed": signing.dumps(secret, salt=secret_salt(user)),
        "qr_code": door.qr_code(user, secret),
        "is_replacement": door.has_second_factor(user),
        "is_required": settings.SECOND_FACTOR == "required",
    }
    return render(request, "mfa/enrol_second_factor.html", context, status=status_of(form))


def secret_salt(user):
    return f"trialsite.second-factor.{user.pk}"


# --- all accounts ------------------------------------------------------------------------------------


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


@require_http_methods(["GET", "HEAD", "POST"])
@needs(Permission.MANAGE_ACCOUNTS)
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


def change(request, account, form, title, act, *, button, explanation="", dangerous=False):
    """The pages that change one thing of an account, for a reason. `act(form)` gives a word for the person."""

    def save(form):
        return Saved(reverse("show_account", args=[account.pk]), message=act(form))

    context = {
        "account": account,
        "title": title,
        "button": button,
        "explanation": explanation,
        "dangerous": dangerous,
    }
    return answer_form(request, form, "accounts/change_account.html", context, save)


def sent(form_class, request):
    return form_class(request.POST if request.method == "POST" else None)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(Permission.MANAGE_ACCOUNTS)
def grant_role(request, pk):
    account = load_account(pk)

    def act(form):
        grant = actions.grant_role(user=account, **form.values, by=request.user)
        return _("Granted: %(role)s.") % {"role": Role(grant.role).label}

    return change(
        request,
        account,
        sent(forms.RoleForm, request),
        _("Grant a role"),
        act,
        button=_("Grant the role"),
        explanation=_("The person is signed out and comes back with the new role."),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@needs(Permission.MANAGE_ACCOUNTS)
def revoke_role(request, pk):
    grant = get_object_or_404(Grant.objects.current().select_related("user", "site"), pk=pk)

    def act(form):
        actions.revoke_role(grant=grant, reason=form.values["reason"], by=request.user)
        return _("The role was revoked.")

    title = _("Revoke: %(role)s, %(site)s") % {
        "role": Role(grant.role).label,
        "site": grant.site or _("all sites"),
    }
    return change(
        request,
        grant.user,
        sent(forms.ReasonForm, request),
        title,
        act,
        button=_("Revoke the role"),
        explanation=_("It ends at once; the person is signed out."),
        dangerous=True,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@needs(Permission.MANAGE_ACCOUNTS)
def deactivate_account(request, pk):
    account = load_account(pk)

    def act(form):
        actions.deactivate_account(user=account, reason=form.values["reason"], by=request.user)
        return _("The account is deactivated.")

    return change(
        request,
        account,
        sent(forms.ReasonForm, request),
        _("Deactivate the account"),
        act,
        button=_("Deactivate"),
        explanation=_("The person is out at once. The account stays, because it names who did what."),
        dangerous=True,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@needs(Permission.MANAGE_ACCOUNTS)
def reactivate_account(request, pk):
    account = load_account(pk)

    def act(form):
        actions.reactivate_account(user=account, reason=form.values["reason"], by=request.user)
        return _("The account is active again, with the roles it held.")

    return change(
        request,
        account,
        sent(forms.ReasonForm, request),
        _("Reactivate the account"),
        act,
        button=_("Reactivate"),
        explanation=_("The roles below hold again, the password too."),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@needs(Permission.MANAGE_ACCOUNTS)
def reset_sign_in(request, pk):
    account = load_account(pk)

    def act(form):
        user = actions.reset_sign_in(user=account, reason=form.values["reason"], by=request.user)
        door.note(request, Event.LINK_GIVEN, request.user, user.username)
        return link_message(request, user)

    return change(
        request,
        account,
        sent(forms.ReasonForm, request),
        _("Give a new set-password link"),
        act,
        button=_("Give a link"),
        explanation=_(
            "The present password and earlier links stop working, and all sessions end. "
            "The second factor is still asked for."
        ),
        dangerous=True,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@needs(Permission.MANAGE_ACCOUNTS)
def report_lost_factor(request, pk):
    account = load_account(pk)

    def act(form):
        actions.report_lost_factor(user=account, reason=form.values["reason"], by=request.user)
        door.note(request, Event.SECOND_FACTOR_LOST, request.user, account.username)
        return _("Reported. Another administrator confirms it within a day, and gets the link.")

    return change(
        request,
        account,
        sent(forms.ReasonForm, request),
        _("Report the second factor as lost"),
        act,
        button=_("Report the loss"),
        explanation=_(
            "Nobody alone may let somebody in anew: another administrator makes sure who asks, and confirms. "
            "Say in the reason how you made sure of it. Until then nothing changes."
        ),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@needs(Permission.MANAGE_ACCOUNTS)
def confirm_lost_factor(request, pk):
    lost = get_object_or_404(LostFactor.objects.open().select_related("user", "reported_by"), pk=pk)

    def act(form):
        user = actions.confirm_lost_factor(lost=lost, reason=form.values["reason"], by=request.user)
        door.note(request, Event.SECOND_FACTOR_FORGOTTEN, request.user, user.username)
        door.note(request, Event.LINK_GIVEN, request.user, user.username)
        return link_message(request, user)

    return change(
        request,
        lost.user,
        sent(forms.ReasonForm, request),
        _("Confirm that the second factor is lost"),
        act,
        button=_("Confirm, and give a link"),
        explanation=_(
            "%(name)s reported it. Password and second factor stop working, all sessions end, and you get the link to hand over."
        )
        % {"name": lost.reported_by},
        dangerous=True,
    )


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
