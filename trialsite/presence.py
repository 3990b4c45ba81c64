"""How long a session lasts: the only place that knows when somebody was last there, and ends what is over.

A session ends when the person did nothing for settings.IDLE, and twelve hours after the sign-in in any case. The
instant of the last request stands in a signed cookie beside the session's, so that reading a page writes nothing to the
database; its signature holds for one session only. Requests that nobody caused (a page that asks for news, a draft that
is kept) say so with the header `X-Background: 1`, and do not count. trialsite/static/trialsite/session.js warns."""

import math
import time
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import auth
from django.core import signing
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.utils.crypto import salted_hmac
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from trialsite import sign_in
from trialsite.sign_in import Event

CLOCKS_MAY_DIFFER = 60  # seconds by which an instant may lie ahead of this process's clock
NO_STORE = '"cache", "storage"'  # not "cookies": browsers clear those of the whole domain, other systems' too

# what is told at the door, by the word in its address
ENDINGS = {Event.ENDED_IDLE: "idle", Event.ENDED_OVER: "over"}


def is_background(request):
    """Was this request made by the page itself, without the person?"""
    return request.headers.get("X-Background") == "1"


def is_signed_in(request):
    return auth.SESSION_KEY in request.session


# --- the instant of the last request -------------------------------------------------------------------


def stamp(session_key):
    """What the cookie says of somebody who is there now, in the session with this key."""
    return signing.dumps(time.time(), salt=_salt(session_key))


def _salt(session_key):
    return f"trialsite.presence.{session_key}"


def idle_for(request):
    """Seconds since the person's last request; infinite when the cookie is missing, forged or of another session."""
    try:
        seen = float(
            signing.loads(
                request.COOKIES.get(settings.PRESENCE_COOKIE_NAME, ""), salt=_salt(request.session.session_key)
            )
        )
    except (signing.BadSignature, TypeError, ValueError):
        return math.inf
    return time.time() - seen


def old(request):
    """Seconds since the sign-in."""
    now = time.time()
    return now - request.session.get("signed_in_at", now)


def why_over(request):
    """The Event that ends the session of this request now, or None."""
    if not -CLOCKS_MAY_DIFFER <= old(request) <= settings.SESSION_COOKIE_AGE:
        return Event.ENDED_OVER
    if not -CLOCKS_MAY_DIFFER <= idle_for(request) <= settings.IDLE.total_seconds():
        return Event.ENDED_IDLE
    return None


def end(request, event):
    """Sign out: the session is dead on the server, and who it was is written down."""
    user = request.user
    sign_in.note(request, event, user if user.is_authenticated else None)
    auth.logout(request)
    request.session_ended = ENDINGS[event]


def refresh(request, response):
    """The person was there: say so in the cookie."""
    if not is_signed_in(request):
        if settings.PRESENCE_COOKIE_NAME in request.COOKIES:
            response.delete_cookie(settings.PRESENCE_COOKIE_NAME, samesite=settings.SESSION_COOKIE_SAMESITE)
        return
    if is_background(request):
        return
    response.set_cookie(
        settings.PRESENCE_COOKIE_NAME,
        stamp(request.session.session_key),
        httponly=True,
        secure=settings.SESSION_COOKIE_SECURE,
        samesite=settings.SESSION_COOKIE_SAMESITE,
    )


# --- to the door, and back -------------------------------------------------------------------------------


def to_the_door(request):
    """The answer to whoever is not signed in: the sign-in page, which leads back to the page that was open."""
    values = {}
    if target := page_in_front(request):
        values["next"] = target
    if ended := getattr(request, "session_ended", ""):
        values["ended"] = ended
    location = resolve_url("sign_in") + ("?" + urlencode(values) if values else "")
    if ended and (is_background(request) or request.headers.get("HX-Request")):
        # a part of a page was asked for: the whole page goes to the door, where it is htmx that asked
        response = HttpResponse(_("You are signed out."), status=401, content_type="text/plain")
        response["HX-Redirect"] = location
    else:
        response = HttpResponseRedirect(location)
    if ended:
        response["Clear-Site-Data"] = NO_STORE
    return response


def page_in_front(request):
    """The address of the page that the person looks at: this one, or the one from which this was sent."""
    if request.method == "GET" and not is_background(request) and not request.headers.get("HX-Request"):
        return request.get_full_path()
    page = request.headers.get("HX-Current-URL") or request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(page, {request.get_host()}, require_https=request.is_secure()):
        return ""
    parts = urlsplit(page)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def sentence_of(ended):
    """Why the session ended, for the sign-in page; "" for any other word."""
    if ended == "idle":
        minutes = math.ceil(settings.IDLE.total_seconds() / 60)
        return ngettext(
            "You were signed out because nothing was done for %(count)s minute. Sign in to go on where you were.",
            "You were signed out because nothing was done for %(count)s minutes. Sign in to go on where you were.",
            minutes,
        ) % {"count": minutes}
    if ended == "over":
        return _("You were signed out because a session ends twelve hours after the sign-in. Sign in to go on.")
    return ""


# --- what the page must know -------------------------------------------------------------------------------


def times(request):
    """For session.js, in seconds: `left` until the session ends if nobody does anything, of them `warning` with a
    warning; `cap` until it ends in any case; `name`, which tells this session from another in the same browser, and `person`,
    which is the same after the same person signs in again."""
    idle = settings.IDLE.total_seconds()
    return {
        "left": math.ceil(idle if not is_background(request) else max(0, idle - idle_for(request))),
        "warning": settings.IDLE_WARNING.total_seconds(),
        "cap": math.ceil(max(0, settings.SESSION_COOKIE_AGE - old(request))),
        "name": name_of(request.session),
        "person": salted_hmac("trialsite.presence.person", str(request.session.get(auth.SESSION_KEY))).hexdigest()[:16],
    }


def in_page(request):
    """Context of every page of whoever is signed in."""
    return {"session_times": times(request)} if hasattr(request, "session") and is_signed_in(request) else {}


def name_of(session):
    """Stays the same when the session's key is changed; another sign-in has another one."""
    began = f"{session.get(auth.SESSION_KEY)} {session.get('signed_in_at')}"
    return salted_hmac("trialsite.presence", began).hexdigest()[:16]
