"""The pages of sign-in: password, second factor, the one-time link, the language."""

from django.contrib import auth, messages
from django.contrib.auth.tokens import default_token_generator
from django.http import HttpResponseRedirect, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import base36_to_int, int_to_base36
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from trialsite import actions, forms, languages, pages, presence
from trialsite import sign_in as door
from trialsite.models import User
from trialsite.saving import Refused
from trialsite.sign_in import Event

WRONG = gettext_lazy("User name or password is wrong.")


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
    return JsonResponse({**presence.times(request), "token": get_token(request)})


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


def status_of(form):
    return 422 if form.errors else 200


def show_refusal(form, refusal):
    for name, texts in refusal.errors.items():
        for text in texts:
            form.add_error(name if name in form.fields else None, text)
