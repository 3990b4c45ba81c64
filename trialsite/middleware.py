"""What happens to every request, in the order of settings.MIDDLEWARE."""

import codecs
import logging
import re
import uuid

from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import reverse_lazy

from trialsite import audit

ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
# reachable without having signed in
OPEN_PATHS = ("/healthz/", "/visits/feed/", "/static/", "/sign-in/", "/favicon.ico")
# what asks nothing of a session, and is not a sign of life
WITHOUT_SESSION = ("/healthz/", "/static/", "/favicon.ico")
# reachable before the second factor that settings.SECOND_FACTOR requires is enrolled
BEFORE_ENROLMENT = ("enrol_second_factor", "confirm_identity", "sign_out", "stay")


def request_id(get_response):
    """Give each request an id, echo it, and let the logs and the audit trail carry it."""

    def middleware(request):
        given = request.headers.get("X-Request-ID", "")
        request.id = given if ACCEPTABLE_ID.fullmatch(given) else uuid.uuid4().hex
        token = audit.request_id.set(request.id)
        try:
            response = get_response(request)
        finally:
            audit.request_id.reset(token)
        response["X-Request-ID"] = request.id
        return response

    return middleware


class RequestIdFilter(logging.Filter):
    def filter(self, record):
        record.request_id = audit.request_id.get()
        return True


def refuse_odd_charsets(get_response):
    """What no browser of ours sends is refused before it is read: too much of it, or another encoding. Django answers a form sent as utf-7 or utf-16 with a bare 500, and takes bytes that are no utf-8 for latin-1;
    browsers send utf-8 only."""

    def middleware(request):
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdigit() and int(length) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return HttpResponse("The request is too large.", status=413, content_type="text/plain")
        charset = request.content_params.get("charset", "") if request.content_params else ""
        if charset:
            try:
                known = codecs.lookup(charset).name
            except (LookupError, ValueError):
                known = None
            if known not in ("utf-8", "ascii"):
                return sent_badly()
        if request.content_type == "application/x-www-form-urlencoded" and not is_utf8(request.body):
            return sent_badly()
        return get_response(request)

    def sent_badly():
        return HttpResponse("The request must be sent as UTF-8.", status=400, content_type="text/plain")

    return middleware


def is_utf8(body):
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def page_headers(get_response):
    """Nothing of a patient stays in a shared browser's cache."""

    def middleware(request):
        response = get_response(request)
        if not request.path.startswith("/static/"):
            response.setdefault("Cache-Control", "no-store")
        response.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
        response.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        return response

    return middleware


def end_old_sessions(get_response):
    """A session in which nobody was seen for a while, or that began long ago, ends before the request is answered.

    Whoever is seen gets a fresh instant with the answer (trialsite/presence.py)."""
    from trialsite import presence  # here: the logs take their filter from this module before there are models

    def middleware(request):
        if request.path.startswith(WITHOUT_SESSION):
            return get_response(request)
        if presence.is_signed_in(request) and (event := presence.why_over(request)):
            presence.end(request, event)
        response = get_response(request)
        presence.refresh(request, response)
        return response

    return middleware


def sign_in_first(get_response):
    """Every page is closed unless it is listed as open."""
    from trialsite import presence

    def middleware(request):
        if request.path.startswith(OPEN_PATHS) or (request.user.is_authenticated and request.user.is_active):
            return get_response(request)
        return presence.to_the_door(request)

    return middleware


def second_factor_first(get_response):
    """Where a second factor is required, whoever signed in without one is led to enrol it, from every page.

    That a code was given is remembered in the session, so this asks the database nothing."""
    before_enrolment = tuple(reverse_lazy(name) for name in BEFORE_ENROLMENT)

    def middleware(request):
        if (
            settings.SECOND_FACTOR != "required"
            or request.path.startswith(OPEN_PATHS)
            or request.path in before_enrolment
            or request.session.get("second_factor")
        ):
            return get_response(request)
        return HttpResponseRedirect(resolve_url("enrol_second_factor"))

    return middleware
