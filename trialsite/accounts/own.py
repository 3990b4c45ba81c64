"""The pages of one's own account: password, second factor, sessions."""

from datetime import UTC, datetime

from django.conf import settings
from django.contrib import auth, messages
from django.core import signing
from django.http import HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from trialsite import actions, forms
from trialsite import sign_in as door
from trialsite.accounts.signing_in import show_refusal, status_of
from trialsite.saving import Refused
from trialsite.sign_in import Event

SECRET_VALID = 30 * 60  # seconds to photograph the QR code and type the first code


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
