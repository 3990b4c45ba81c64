"""Which language an answer is in: the only place that decides it.

The account's, once its person has chosen one; before that, and before the sign-in, what the browser last chose (a
cookie), then what it asks for, then English. Nothing is written on a GET, and no statement is sent for it: the account
was loaded to see who asks. Everything that is stored, compared or computed is the same in both languages.
"""

from django.conf import settings
from django.utils import translation

from trialsite.middleware import OPEN_PATHS

LANGUAGES = dict(settings.LANGUAGES)


def speak(get_response):
    """Answer in the person's language, and say in the headers which one it is."""

    def middleware(request):
        with translation.override(language_of(request)):
            response = get_response(request)
            response.setdefault("Content-Language", tag(translation.get_language()))
        return response

    return middleware


def language_of(request):
    """The code of the language for this request, as in settings.LANGUAGES."""
    chosen = ""
    if not request.path.startswith(OPEN_PATHS):  # nobody is loaded for these
        chosen = getattr(request.user, "language", "")
    return chosen if chosen in LANGUAGES else translation.get_language_from_request(request)


def tag(code):
    """The code as browsers and screen readers know it (BCP 47): zh-hans is zh-Hans."""
    return translation.to_locale(code).replace("_", "-")


def remember(response, code):
    """Let the browser ask for this language until an account says otherwise."""
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        code,
        max_age=settings.LANGUAGE_COOKIE_AGE,
        secure=settings.LANGUAGE_COOKIE_SECURE,
        httponly=settings.LANGUAGE_COOKIE_HTTPONLY,
        samesite=settings.LANGUAGE_COOKIE_SAMESITE,
    )
