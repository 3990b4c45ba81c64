"""The rules of the door: who came from where, how often one may try, codes of the second factor, and what a
session remembers. The pages are in trialsite/accounts/.

Of django-allauth we use the second factor's building blocks (its table, the check of a code, the QR code). The flow
is our own: allauth's writes a session row when a page is merely shown, and keeps a second throttle and a table of
e-mail addresses. The one throttle is django-axes: ten failures per account and address, passwords and codes
together, then a pause that grows with each further failure. It locks the pair, not the account, so that no stranger
can lock anybody out."""

import base64
import copy
import logging
import math
import re
import secrets
import time
from datetime import timedelta
from enum import StrEnum
from functools import partial, wraps

from allauth.mfa.adapter import DefaultMFAAdapter, get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import validate_totp_code
from axes.handlers.database import AxesDatabaseHandler
from axes.handlers.proxy import AxesProxyHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import auth
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max, Sum
from django.http import HttpResponseRedirect, QueryDict
from django.shortcuts import resolve_url
from django.utils import timezone, translation
from django.utils.encoding import force_bytes
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from trialsite import audit, languages, mails, pages, trial
from trialsite.actions import canonical_username
from trialsite.models import Email, SecurityEvent, User
from trialsite.saving import Refused

log = logging.getLogger(__name__)

PASSWORD_BACKEND = "django.contrib.auth.backends.ModelBackend"  # noqa: S105  a dotted name
CODE_WITHIN = 5 * 60  # seconds between the password and the code
CONFIRMED_FOR = 10 * 60  # seconds after which the password is asked for again before the second factor is changed
SIGNATURES_ALERT_AFTER = 3  # failed signatures of one account within a day
ALERT_AFTER = 30  # failures for one account, from whatever addresses, before the pause has passed


# --- who came --------------------------------------------------------------------------------------


class Event(StrEnum):
    """The kinds of SecurityEvent, as they are stored; pages tell them in the reader's language."""

    SIGNED_IN = gettext_noop("signed in")
    SIGNED_OUT = gettext_noop("signed out")
    FAILED = gettext_noop("failed")
    CODE_FAILED = gettext_noop("code failed")
    CONFIRMED = gettext_noop("confirmed")
    PAUSED = gettext_noop("paused")
    ALERT = gettext_noop("many failures")
    PASSWORD_CHANGED = gettext_noop("password changed")
    LINK_GIVEN = gettext_noop("link given")
    SECOND_FACTOR_ENROLLED = gettext_noop("second factor enrolled")
    SECOND_FACTOR_LOST = gettext_noop("second factor reported lost")
    SECOND_FACTOR_FORGOTTEN = gettext_noop("second factor forgotten")
    SESSIONS_ENDED = gettext_noop("sessions ended")
    ENDED_IDLE = gettext_noop("ended, idle")
    ENDED_OVER = gettext_noop("ended, after twelve hours")
    SIGNATURE_FAILED = gettext_noop("signature failed")
    SIGNATURE_ALERT = gettext_noop("failed signatures")


FAILURES = (Event.FAILED, Event.CODE_FAILED, Event.PAUSED, Event.SIGNATURE_FAILED)


def address_of(request):
    """The address of the browser. Behind proxies (settings.PROXIES of them) it is what the outermost one wrote;
    anything further left in the header was written by the browser itself."""
    if settings.PROXIES:
        hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",")]
        if len(hops) >= settings.PROXIES and hops[-settings.PROXIES]:
            return hops[-settings.PROXIES][:64]
    return request.META.get("REMOTE_ADDR", "")


def note(request, event, user=None, username=""):
    """Write down who came to the door. `username` is what was typed, or whose account an administrator changed."""
    username = canonical_username(username)[:64] or (user.username if user else "")
    user = user or User.objects.filter(username=username).first()
    # what was typed may be a password in the wrong field
    log.info("%s: %s", event.value, user.username if user else "an unknown name")
    return SecurityEvent.objects.create(
        kind=event.value,
        user=user,
        username=username,
        address=address_of(request),
        request_id=audit.request_id.get()[:64],
    )


def last_sign_ins(user, count=10):
    return SecurityEvent.objects.filter(user=user, kind__in=[Event.SIGNED_IN, *FAILURES])[:count]


def failures_since_last_sign_in(user):
    """How often somebody failed at this account's door since the person last came in."""
    mine = SecurityEvent.objects.filter(user=user)
    last = mine.filter(kind=Event.SIGNED_IN).values_list("id", flat=True).first() or 0
    return mine.filter(kind__in=FAILURES, id__gt=last).count()


# --- how often one may try ---------------------------------------------------------------------------


def axes_username(request, credentials):
    """The name by which django-axes counts: another letter case is not another ten tries."""
    typed = (credentials or {}).get("username") or request.POST.get("username", "")
    return canonical_username(typed)[:255]


def pause_after(failures):
    """How long nobody may try after so many failures of one account from one address: not at all, from the tenth on a
    while, and with each further one twice as long, up to sixteen times."""
    further = failures - settings.AXES_FAILURE_LIMIT
    return timedelta(0) if further < 0 else settings.SIGN_IN_PAUSE * 2 ** min(further, 4)


class GrowingPause(AxesDatabaseHandler):
    """django-axes with our pauses: what failed is counted for a day, a pause ends long before (settings.AXES_HANDLER)."""

    def is_locked(self, request, credentials=None):
        return self.pause_left(request, credentials) > timedelta(0)

    def pause_left(self, request, credentials=None):
        """How long the pause of this account and address still lasts."""
        [attempts] = self.get_user_attempts(request, credentials)
        counted = attempts.aggregate(failures=Sum("failures_since_start"), last=Max("attempt_time"))
        if not counted["failures"]:
            return timedelta(0)
        return counted["last"] + pause_after(counted["failures"]) - timezone.now()


def is_paused(request, username):
    return not AxesProxyHandler.is_allowed(request, {"username": username})


def too_many_tries(request, response=None, credentials=None):
    """The answer while the pause lasts, whether or not there is such an account (settings.AXES_LOCKOUT_CALLABLE)."""
    note(request, Event.PAUSED, username=axes_username(request, credentials))
    AxesProxyHandler.update_request(request)
    left = max(GrowingPause().pause_left(request, {"username": axes_username(request, credentials)}), timedelta(0))
    minutes = math.ceil(left.total_seconds() / 60) or 1
    told = _("Try again in %(minutes)s minutes. Nothing was lost.") % {"minutes": minutes}
    response = pages.error_page(request, 429, explanation=told)
    response["Retry-After"] = str(minutes * 60)
    return response


def note_failure(request, event, username):
    """Write down a failed try; raise the alarm when an account is tried from many places."""
    username = canonical_username(username)
    note(request, event, username=username)
    since = timezone.now() - settings.SIGN_IN_PAUSE
    tries = AccessAttempt.objects.filter(username=username, attempt_time__gte=since)
    if (tries.aggregate(sum=Sum("failures_since_start"))["sum"] or 0) < ALERT_AFTER:
        return
    if not SecurityEvent.objects.filter(kind=Event.ALERT, username=username[:64], at__gte=since).exists():
        raise_alert(request, Event.ALERT, username=username)


def raise_alert(request, event, user=None, username=""):
    """Write it down, and tell it to those who watch: a line at ERROR, and an e-mail."""
    with transaction.atomic():
        noted = note(request, event, user, username)
        mails.write(
            key=f"alert/{noted.pk}",
            to=settings.ALERT_EMAIL,
            about=Email.About.SECURITY,
            words=partial(words_of_alert, noted),
        )
    log.error("%s for one account: %s", event.value, noted.username)


def words_of_alert(event):
    """(subject, text): who, when, from where; nothing of a patient."""
    about = trial.current_protocol().trial
    told = {
        "what": event.kind,
        "trial": about.id,
        "account": event.username,
        "at": f"{event.at:%Y-%m-%d %H:%M:%S} UTC",
        "address": event.address or "–",
        "request": event.request_id or "–",
    }
    subject = _("Trialsite %(trial)s: %(what)s, account %(account)s") % told
    text = _(
        "Trialsite raised an alert: %(what)s.\n\n"
        "Account: %(account)s\nWhen: %(at)s\nAddress: %(address)s\nRequest: %(request)s\n\n"
        "Ask the person whether it was they. If not, end the sessions of the account and deactivate it: "
        "Accounts, then the name."
    )
    return subject, text % told


def note_wrong_code(request, user):
    """A wrong code counts like a wrong password."""
    user_login_failed.send(sender=__name__, credentials={"username": user.username}, request=request)
    note_failure(request, Event.CODE_FAILED, user.username)


# --- who signs -------------------------------------------------------------------------------------------


class SignerRefused(Refused):
    """Whoever sends this signature has not shown to be the person who is signed in: nothing is signed."""


def confirm_signer(request, *, password, code=""):
    """Return only if the person who is signed in has just given the own password, and the code of the second factor
    where one is enrolled (21 CFR 11.200(a)(1): the session alone never signs). Else raise SignerRefused, with the
    sentence at the field `password` or `code`.

    Failures count like those at the door, and are reported at once (11.300(d)). So that their notes are not undone with
    the refused action, call this before `acting()`: `answer_form(..., confirm=...)` does."""
    if audit.somebody_acts():
        raise RuntimeError("confirm the signer before the transaction: what is noted of a failure must stay")
    user, bare = request.user, without_entries(request)
    if is_paused(bare, user.username):
        note(request, Event.SIGNATURE_FAILED, user)  # the alarm was raised before
        raise SignerRefused({"password": [_("Too many failed tries. Nothing was signed; try again later.")]})
    if auth.authenticate(bare, username=user.username, password=password) != user:
        note_failed_signature(request, user)
        raise SignerRefused({"password": [_("This is not your password. Nothing was signed.")]})
    if has_second_factor(user) and not use_code(user, code):
        user_login_failed.send(sender=__name__, credentials={"username": user.username}, request=bare)
        note_failed_signature(request, user)
        text = _("This code is wrong, or was used already. Nothing was signed; wait for the next code.")
        raise SignerRefused({"code": [text]})


def without_entries(request):
    """The same request without what was typed: the throttle keeps a copy of what came with a failure."""
    bare = copy.copy(request)
    bare.GET, bare.POST = QueryDict(), QueryDict()
    return bare


def note_failed_signature(request, user):
    """Write it down at once; every third within a day raises the alarm, until the pause begins."""
    note(request, Event.SIGNATURE_FAILED, user)
    mine = SecurityEvent.objects.filter(user=user)
    told = mine.filter(kind=Event.SIGNATURE_ALERT).values_list("id", flat=True).first() or 0
    since = timezone.now() - timedelta(days=1)
    if mine.filter(kind=Event.SIGNATURE_FAILED, id__gt=told, at__gte=since).count() >= SIGNATURES_ALERT_AFTER:
        raise_alert(request, Event.SIGNATURE_ALERT, user)


# --- the second factor -------------------------------------------------------------------------------


class SecondFactor(DefaultMFAAdapter):
    """How allauth keeps our secrets: encrypted, so that a copy of the database opens no account."""

    def encrypt(self, text):
        return _cipher().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text):
        return _cipher().decrypt(encrypted_text.encode()).decode()

    def get_totp_label(self, user):
        return user.username

    def get_totp_issuer(self):
        return f"Trialsite {trial.current_protocol().trial.id}"


def _cipher():
    """Keyed by the secret key, and by the old ones while it is being changed."""
    from cryptography.fernet import Fernet, MultiFernet
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    def key(secret):
        derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"trialsite second factor")
        return Fernet(base64.urlsafe_b64encode(derive.derive(force_bytes(secret))))

    return MultiFernet([key(secret) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def new_secret():
    """160 random bits in base32, as RFC 4226 recommends."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


def qr_code(user, secret):
    """What a phone's camera reads, as a data URI of an SVG."""
    adapter = get_adapter()
    svg = adapter.build_totp_svg(adapter.build_totp_url(user, secret))
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def has_second_factor(user):
    return Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists()


def fits(secret, code):
    """Is this the code of this secret in the current 30 seconds?"""
    return validate_totp_code(secret, code)


def use_code(user, code):
    """Is this the account's code now, and was none used in these 30 seconds? Then it is used up, for every process."""
    with transaction.atomic():
        factors = Authenticator.objects.select_for_update()
        factor = factors.filter(user=user, type=Authenticator.Type.TOTP).first()
        if factor is None or not fits(get_adapter().decrypt(factor.data["secret"]), code):
            return False
        step = int(time.time()) // 30
        if factor.data.get("last_step", 0) >= step:
            return False
        factor.data["last_step"] = step
        factor.last_used_at = timezone.now()
        factor.save(update_fields=["data", "last_used_at"])
    return True


# --- the session -------------------------------------------------------------------------------------


def after_sign_in(request, target):
    """Where the person wanted to go, if that is an address here; else the start page."""
    if target.startswith("/") and url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return target
    return resolve_url(settings.LOGIN_REDIRECT_URL)


def expect_code(request, user, target):
    """Remember that the password was right; nobody is signed in by that."""
    request.session.flush()
    request.session["expects_code"] = {
        "user": user.pk,
        "at": time.time(),
        "next": target,
        "hash": user.get_session_auth_hash(),
    }


def who_is_expected(request):
    """(account, where it wanted to go) between password and code, or (None, "") when that took too long."""
    expected = request.session.get("expects_code")
    if not expected or not 0 <= time.time() - expected["at"] <= CODE_WITHIN:
        return None, ""
    user = User.objects.filter(pk=expected["user"], is_active=True).first()
    if user is None or user.get_session_auth_hash() != expected["hash"]:
        return None, ""
    return user, expected["next"]


def begin_session(request, user, *, second_factor):
    """Sign in, under a new session id. `second_factor` says whether a code was given."""
    request.session.pop("expects_code", None)
    auth.login(request, user, backend=PASSWORD_BACKEND)
    now = time.time()
    request.session.update(
        {
            "signed_in_at": now,
            "confirmed_at": now,
            "second_factor": second_factor,
            "address": address_of(request),
        }
    )
    note(request, Event.SIGNED_IN, user)


def keep_session(request, user, **facts):
    """Go on under a new session id after password or second factor changed; the old id is dead."""
    auth.update_session_auth_hash(request, user)
    request.session.update({"confirmed_at": time.time(), **facts})


def recently_confirmed(view):
    """Asks for the password again when it was last given more than ten minutes ago."""

    @wraps(view)
    def guarded(request, *args, **kwargs):
        if 0 <= time.time() - request.session.get("confirmed_at", 0) <= CONFIRMED_FOR:
            return view(request, *args, **kwargs)
        return HttpResponseRedirect(
            resolve_url("confirm_identity") + "?" + urlencode({"next": request.get_full_path()})
        )

    return guarded


# --- what a password must not be ---------------------------------------------------------------------


class AtMost:
    """Refuses passwords that are longer than the hash should be fed; nothing is ever cut off."""

    def __init__(self, max_length=128):
        self.max_length = max_length

    def validate(self, password, user=None):
        if len(password) > self.max_length:
            raise ValidationError(self.get_help_text(), code="password_too_long")

    def get_help_text(self):
        return _("At most %(length)s characters.") % {"length": self.max_length}


class NotOfThisTrial:
    """The trial's and the person's own names may stand in a password, but do not count towards its length."""

    def __init__(self, min_length=12):
        self.min_length = min_length

    def validate(self, password, user=None):
        rest, found = password.casefold(), []
        for word in sorted(self.words(user), key=len, reverse=True):
            if word in rest:
                rest = rest.replace(word, "")
                found.append(word)
        if found and len(rest) < self.min_length:
            raise ValidationError(
                _("Without “%(words)s” fewer than %(length)s characters remain."),
                code="password_of_this_trial",
                params={"words": "”, “".join(found), "length": self.min_length},
            )

    def words(self, user):
        texts = ["trialsite"]
        for language in languages.LANGUAGES:  # a password is good or bad in whichever language it was chosen
            with translation.override(language):
                about = trial.current_protocol().trial
            texts += [about.id, about.registry, about.short_title, about.sponsor]
        if user is not None:
            texts += [user.username, user.full_name, user.email.partition("@")[0]]
        words = {text.casefold() for text in texts} | {
            word for text in texts for word in re.split(r"\W+", text.casefold())
        }
        return {word for word in words if len(word) >= 4}

    def get_help_text(self):
        return _("Names of the trial or of yourself do not count towards its length.")
