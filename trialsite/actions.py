"""What is done to accounts and sites: the only place that writes them."""

import re
import unicodedata
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from allauth.mfa.models import Authenticator
from allauth.mfa.utils import encrypt
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.tokens import default_token_generator
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from trialsite import trial
from trialsite.audit import acting
from trialsite.models import Grant, LostFactor, Site, User, VersionApproval
from trialsite.reasons import because
from trialsite.roles import AT_A_SITE, Role
from trialsite.saving import Refused

SITE_CODE = re.compile(r"[A-Z0-9]{1,8}")
COUNTRY = re.compile(r"[A-Z]{2}")
# one alphabet: no two names look alike and differ
USERNAME = re.compile(r"[a-z0-9][a-z0-9._@-]{1,63}")


# --- sites -----------------------------------------------------------------------------------------


def create_site(*, code, name, country, timezone, by):
    """A hospital that takes part. `country` is ISO 3166-1 alpha-2, `timezone` an IANA name. Raises Refused."""
    errors = {}
    if not SITE_CODE.fullmatch(code):
        errors["code"] = [_("Write 1 to 8 capital letters or digits.")]
    elif Site.objects.filter(code=code).exists():
        errors["code"] = [_("There is a site with this code.")]
    if not COUNTRY.fullmatch(country):
        errors["country"] = [_("Write the two capital letters of the country.")]
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        errors["timezone"] = [_("There is no such time zone.")]
    if errors:
        raise Refused(errors)
    with acting(by):
        try:
            with transaction.atomic():
                return Site.objects.create(code=code, name=name, country=country, timezone=timezone)
        except IntegrityError:
            raise Refused({"code": [_("There is a site with this code.")]}) from None


# --- protocol versions -----------------------------------------------------------------------------


def release_version(*, site, protocol_version, approved_on, approved_by, by):
    """Let a site work under a later protocol version, since its ethics committee approved it."""
    later = list(trial.versions())[1:]
    errors = {}
    if protocol_version not in later:
        errors["protocol_version"] = [_("There is no such later version.")]
    elif approved_on < trial.protocol(protocol_version).trial.dated:
        errors["approved_on"] = [
            _("The version is dated later, %(day)s.") % {"day": trial.protocol(protocol_version).trial.dated}
        ]
    if approved_on > timezone.now().astimezone(ZoneInfo(site.timezone)).date():
        errors["approved_on"] = [_("This date is in the future.")]
    if VersionApproval.objects.filter(site=site, protocol_version=protocol_version).exists():
        errors["protocol_version"] = [_("This version is released at the site already.")]
    if errors:
        raise Refused(errors)
    with acting(by, because("approved on %(day)s", day=approved_on)):
        return VersionApproval.objects.create(
            site=site,
            protocol_version=protocol_version,
            approved_on=approved_on,
            approved_by=approved_by,
            released_by=by,
        )


# --- accounts --------------------------------------------------------------------------------------


def canonical_username(text):
    """The one form in which a user name is stored and compared: NFKC, case folded, no blanks around it.

    Two spellings of one name, in whatever letter case or Unicode form, are the same account (21 CFR 11.100(a))."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded).strip()


def create_account(*, username, full_name, email="", password=None, by):
    """An account for one person. Without `password` it opens only by a one-time link. Raises Refused.

    Accounts are never deleted, so a name that was ever used stays taken."""
    username = canonical_username(username)
    if not USERNAME.fullmatch(username):
        raise Refused({"username": [_("Write 2 to 64 characters: letters a-z, digits and, after the first, . _ @ -.")]})
    if not full_name.strip():
        raise Refused({"full_name": [_("Write the person's name.")]})
    user = User(username=username, full_name=full_name, email=email)
    if password is None:
        user.set_unusable_password()
    else:
        check_new_password(user, password)
        user.set_password(password)
    taken = Refused({"username": [_("This user name is taken, or was used before.")]})
    if User.objects.filter(username=username).exists():
        raise taken
    with acting(by):
        try:
            with transaction.atomic():
                user.save()
        except IntegrityError:
            raise taken from None
    return user


def check_new_password(user, password):
    """Raise Refused with the sentences of settings.AUTH_PASSWORD_VALIDATORS."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Refused({"password": error.messages}) from None


def grant_role(*, user, role, site=None, reason="", by):
    """Let `user` hold `role` at `site`, or at all sites when it is None. Raises Refused.

    Nobody grants a role to oneself, and who administers accounts holds no other role (segregation of duties)."""
    with acting(by, reason):
        user = lock_account(user)
        held = set(user.grants.current().values_list("role", flat=True))
        if role not in Role.values:
            raise Refused({"role": [_("There is no such role.")]})
        if user.is_system or not user.is_active:
            raise Refused({"": [_("This account is not active.")]})
        if user == by:
            raise Refused({"": [_("Nobody grants a role to oneself; ask another administrator.")]})
        if site is None and role in AT_A_SITE:
            raise Refused({"site": [_("This role is held at a site; choose one.")]})
        if (held and role == Role.ADMINISTRATOR and Role.ADMINISTRATOR not in held) or (
            role != Role.ADMINISTRATOR and Role.ADMINISTRATOR in held
        ):
            raise Refused({"role": [_("An administrator of accounts holds no other role.")]})
        try:
            with transaction.atomic():
                grant = Grant.objects.create(user=user, role=role, site=site, granted_by=by)
        except IntegrityError:
            raise Refused({"role": [_("The person holds this role here already.")]}) from None
        end_sessions(user)
    return grant


def revoke_role(*, grant, reason, by):
    """End a role now: the person's next request is judged without it. Raises Refused."""
    with acting(by, reason):
        user = lock_account(grant.user)
        if user == by:
            raise Refused({"": [_("Nobody revokes an own role; ask another administrator.")]})
        grant = Grant.objects.select_for_update().get(pk=grant.pk)
        if grant.revoked_at:
            raise Refused({"": [_("This role was revoked already.")]})
        grant.revoked_at = timezone.now()
        grant.save(update_fields=["revoked_at"])
        end_sessions(user)
    return grant


def deactivate_account(*, user, reason, by):
    """Close an account at once; it stays, because it names who did what. Raises Refused."""
    with acting(by, reason):
        user = lock_account(user)
        if user == by:
            raise Refused({"": [_("Nobody deactivates the own account; ask another administrator.")]})
        if user.is_system or not user.is_active:
            raise Refused({"": [_("This account is not active.")]})
        user.is_active = False
        user.save(update_fields=["is_active"])
        end_sessions(user)
        for name in settings.AFTER_DEACTIVATION:  # what opens without a session ends too, and stays ended
            import_string(name)(user=user, by=by)
    return user


def reactivate_account(*, user, reason, by):
    """Open a closed account again, with the roles it still holds. Raises Refused."""
    with acting(by, reason):
        user = lock_account(user)
        if user.is_active:
            raise Refused({"": [_("This account is active.")]})
        user.is_active = True
        user.save(update_fields=["is_active"])
    return user


def lock_account(user):
    return User.objects.select_for_update().get(pk=user.pk)


def choose_language(*, language, by):
    """Show all pages to this person in `language` (a code of settings.LANGUAGES) from now on. Raises Refused."""
    if language not in dict(settings.LANGUAGES):
        raise Refused({"language": [_("There is no such language.")]})
    with acting(by, because("own language chosen")):
        user = lock_account(by)
        user.language = language
        user.save(update_fields=["language"])
    return user


# --- password, second factor, sessions -------------------------------------------------------------


def change_password(*, user, password, token=None, by):
    """Set a new password and end every session of the account. Raises Refused.

    `token` is that of a one-time link; it is judged again under the lock, so that a link works once."""
    check_new_password(user, password)
    with acting(by, because("one-time link" if token else "own password changed")):
        user = lock_account(user)
        if token is not None and not (user.is_active and default_token_generator.check_token(user, token)):
            raise Refused(_("This link was used or has expired."))
        user.set_password(password)
        user.save(update_fields=["password"])
        end_sessions(user)
    return user


def reset_sign_in(*, user, reason, by):
    """Take the password away: only a new one-time link opens the account, and the second factor is still asked for.
    Earlier links die too. Raises Refused."""
    with acting(by, reason):
        user = _lock_for_reset(user, by)
        _take_password(user)
    return user


def report_lost_factor(*, user, reason, by):
    """Report that a person's phone is lost. Nothing happens before another administrator confirms it. Raises Refused."""
    with acting(by, reason):
        user = _lock_for_reset(user, by)
        if not Authenticator.objects.filter(user=user).exists():
            raise Refused({"": [_("This account has no second factor. Give a new link instead.")]})
        if user.lost_factors.open().exists():
            raise Refused({"": [_("This was reported already. Another administrator confirms it.")]})
        return LostFactor.objects.create(user=user, reported_by=by)


def confirm_lost_factor(*, lost, reason, by):
    """Forget second factor and password: only a new one-time link opens the account, which enrols anew. Raises Refused.

    It takes two administrators: who reported the loss does not confirm it."""
    with acting(by, reason):
        user = _lock_for_reset(lost.user, by)
        lost = LostFactor.objects.select_for_update(of=["self"]).get(pk=lost.pk)
        if lost.reported_by == by:
            raise Refused({"": [_("Who reported the loss does not confirm it; ask another administrator.")]})
        if by.grants.current().filter(role=Role.ADMINISTRATOR, granted_by=lost.reported_by).exists():
            raise Refused({"": [_("Who reported the loss made you an administrator; ask another one.")]})
        if not user.lost_factors.open().filter(pk=lost.pk).exists():
            raise Refused(
                {"": [_("This report was confirmed already, or is older than a day. Report the loss again.")]}
            )
        lost.confirmed_by, lost.confirmed_at = by, timezone.now()
        lost.save(update_fields=["confirmed_by", "confirmed_at"])
        Authenticator.objects.filter(user=user).delete()
        _take_password(user)
    return user


def _lock_for_reset(user, by):
    user = lock_account(user)
    if user.is_system or not user.is_active:
        raise Refused({"": [_("This account is not active.")]})
    if user == by:
        raise Refused({"": [_("Change the own password on the own account's page.")]})
    return user


def _take_password(user):
    user.set_unusable_password()
    user.save(update_fields=["password"])
    end_sessions(user)


def enrol_second_factor(*, user, secret, by):
    """Let `user` sign in with codes of this base32 `secret` from now on; an earlier device stops working."""
    with acting(by):
        lock_account(user)
        Authenticator.objects.update_or_create(
            user=user, type=Authenticator.Type.TOTP, defaults={"data": {"secret": encrypt(secret)}}
        )


def sessions_of(user):
    """(session, its content) of every living session of the account, newest first."""
    living = Session.objects.filter(expire_date__gt=timezone.now()).order_by("-expire_date")
    decoded = ((session, session.get_decoded()) for session in living)
    return [(session, content) for session, content in decoded if content.get(SESSION_KEY) == str(user.pk)]


def session_name(key):
    """A name for a session that does not open it."""
    return salted_hmac("trialsite.sessions", key).hexdigest()[:16]


def end_sessions(user, *, keep=None, only=None):
    """Sign the account out: everywhere, everywhere but in the session with key `keep`, or `only` in the one so
    named (`session_name`). Gives how many ended."""
    keys = [
        session.pk
        for session, _content in sessions_of(user)
        if session.pk != keep and only in (None, session_name(session.pk))
    ]
    return Session.objects.filter(pk__in=keys).delete()[0] if keys else 0
