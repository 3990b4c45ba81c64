"""Every setting, read from the environment. docs/operations.md lists the variables.

Profiles (TRIALSITE_PROFILE):
  demo              loopback, no TLS, generated secrets in var/; never for patients' data
  production        refuses to start without its secrets; TLS assumed in front
  production-check  production with TRIALSITE_TLS=off, for checks on loopback
  test              what pytest uses
"""

import hashlib
import os
import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import dj_database_url
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy

from trialsite import embedded

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = embedded.var_folder()

PROFILES = ("demo", "production", "production-check", "test")
PROFILE = os.environ.get("TRIALSITE_PROFILE", "demo")
if PROFILE not in PROFILES:
    raise ImproperlyConfigured(f"TRIALSITE_PROFILE is {PROFILE!r}; it must be one of {', '.join(PROFILES)}")
PRODUCTION = PROFILE.startswith("production")
TLS = PROFILE == "production" and os.environ.get("TRIALSITE_TLS", "on") == "on"


def secret(name):
    """The secret `name`, from the environment or from the file that `name`_FILE names.

    Raises ImproperlyConfigured when it is missing or shorter than 50 characters in production;
    in the demo it is made once and kept under var/."""
    value = os.environ.get(name, "")
    path = os.environ.get(f"{name}_FILE", "")
    if not value and path:
        try:
            value = Path(path).read_text().strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{name}_FILE cannot be read: {error}") from None
    if not value and not PRODUCTION:
        value = embedded.kept_secret(VAR, name.lower())
    if len(value) < 50:
        raise ImproperlyConfigured(f"{name} (or {name}_FILE) must be set to at least 50 random characters")
    return value


# --- the process -----------------------------------------------------------------------------

DEBUG = False
SECRET_KEY = secret("TRIALSITE_SECRET_KEY")
SECRET_KEY_FALLBACKS = [k for k in os.environ.get("TRIALSITE_OLD_SECRET_KEYS", "").split(",") if k]
ALLOWED_HOSTS = [h for h in os.environ.get("TRIALSITE_HOSTS", "").split(",") if h]
if not ALLOWED_HOSTS:
    if PRODUCTION:
        raise ImproperlyConfigured("TRIALSITE_HOSTS must name the host names this site answers to")
    ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", "testserver"]
if TLS:
    CSRF_TRUSTED_ORIGINS = [f"https://{host}" for host in ALLOWED_HOSTS]

ROOT_URLCONF = "trialsite.urls"
WSGI_APPLICATION = "trialsite.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
# each by its own name; trialsite/languages.py says which one an answer is in
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = ["trialsite.formats"]

INSTALLED_APPS = [
    "trialsite",
    "patients",
    "visits",
    "safety",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "axes",
    "crispy_forms",
    "crispy_bootstrap5",
    "django_htmx",
    "csp",
]

MIDDLEWARE = [
    "trialsite.middleware.request_id",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "trialsite.middleware.page_headers",
    "trialsite.middleware.refuse_odd_charsets",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "trialsite.languages.speak",
    "trialsite.middleware.end_old_sessions",
    "trialsite.middleware.sign_in_first",
    "trialsite.middleware.second_factor_first",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "trialsite.pages.everywhere",
                "trialsite.presence.in_page",
            ],
            "builtins": ["trialsite.templatetags.trial"],
        },
    }
]
CRISPY_ALLOWED_TEMPLATE_PACKS = "bootstrap5"
CRISPY_TEMPLATE_PACK = "bootstrap5"
CRISPY_FAIL_SILENTLY = False
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
INSTALLED_APPS += ["django.forms"]

# --- the database ----------------------------------------------------------------------------

DATABASE_OPTIONS = {
    "connect_timeout": 3,
    "options": "-c statement_timeout=10000 -c lock_timeout=3000 -c idle_in_transaction_session_timeout=30000",
}


def database(url):
    settings = dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True)
    settings["OPTIONS"] = {**DATABASE_OPTIONS, **settings.get("OPTIONS", {})}
    return settings


if PRODUCTION:
    for needed in ("DATABASE_URL", "CELERY_BROKER_URL"):
        if not os.environ.get(needed):
            raise ImproperlyConfigured(
                f"{needed} must be set in production: the embedded servers are for trying things out"
            )

# `default` is the runtime role, which owns nothing. `owner` runs the migrations and is only there
# when its URL is: a web process in production does without.
DATABASES = {"default": database(os.environ.get("DATABASE_URL") or embedded.database_url(VAR))}
_owner_url = os.environ.get("MIGRATION_DATABASE_URL") or (
    "" if "DATABASE_URL" in os.environ else embedded.owner_url(VAR)
)
if _owner_url:
    DATABASES["owner"] = database(_owner_url)
    DATABASES["owner"]["OPTIONS"].pop("options", None)
    DATABASES["default"]["TEST"] = {"MIRROR": "owner"}
DATABASE_ROUTERS = []

# --- sign-in ---------------------------------------------------------------------------------

AUTH_USER_MODEL = "trialsite.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
if PROFILE == "test":
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# long, not the trial's or the person's names, none of the 20,000 most common; no rule of composition
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "trialsite.sign_in.AtMost", "OPTIONS": {"max_length": 128}},
    {"NAME": "trialsite.sign_in.NotOfThisTrial"},
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ["username", "full_name", "email"]},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_RESET_TIMEOUT = 30 * 60
LOGIN_URL = "sign_in"
LOGIN_REDIRECT_URL = "home"

# "required": every account must have a second factor before it sees data; "offered": it may
SECOND_FACTOR = os.environ.get("TRIALSITE_SECOND_FACTOR", "required" if PRODUCTION else "offered")

# the one throttle of passwords and codes: ten failures per account and address, then a pause that tries meanwhile do
# not lengthen; each failure after it begins one twice as long (trialsite/sign_in.py), until a day passed without any
AXES_HANDLER = "trialsite.sign_in.GrowingPause"
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(days=1)  # so long axes remembers a failure; the pauses are ours
SIGN_IN_PAUSE = timedelta(minutes=int(os.environ.get("TRIALSITE_SIGN_IN_PAUSE_MINUTES", "15")))
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_USERNAME_CALLABLE = "trialsite.sign_in.axes_username"
AXES_CLIENT_IP_CALLABLE = "trialsite.sign_in.address_of"
AXES_LOCKOUT_CALLABLE = "trialsite.sign_in.too_many_tries"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "password", "current", "again", "code", "signed", "next",
                             "csrfmiddlewaretoken"]  # fmt: skip
AXES_DISABLE_ACCESS_LOG = True  # SecurityEvent is the log
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
# how many proxies in front write X-Forwarded-For
PROXIES = int(os.environ.get("TRIALSITE_PROXIES", "1" if TLS else "0"))

# of allauth only the second factor is used; its other doors have no address
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_RATE_LIMITS = False
MFA_ADAPTER = "trialsite.sign_in.SecondFactor"
MFA_SUPPORTED_TYPES = ["totp"]
MFA_TOTP_PERIOD, MFA_TOTP_DIGITS, MFA_TOTP_TOLERANCE = 30, 6, 0

# a session in which nobody did anything for so long is ended; the page warns for the last part of it
IDLE = timedelta(minutes=float(os.environ.get("TRIALSITE_IDLE_MINUTES", "20")))
if not timedelta(0) < IDLE <= timedelta(hours=12):
    raise ImproperlyConfigured("TRIALSITE_IDLE_MINUTES must be more than 0 and at most 720")
IDLE_WARNING = min(timedelta(minutes=2), IDLE / 2)
# cookies are shared by all ports of a host: two trials beside each other need two names, or each signs the other out
_cookie = os.environ.get("TRIALSITE_COOKIE_NAME") or (
    "trialsite" if PRODUCTION else f"trialsite-{hashlib.sha256(str(VAR).encode()).hexdigest()[:8]}"
)
if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", _cookie):
    raise ImproperlyConfigured("TRIALSITE_COOKIE_NAME must be 1 to 40 letters, digits, - or _")
SESSION_COOKIE_NAME = f"__Host-{_cookie}" if TLS else _cookie
PRESENCE_COOKIE_NAME = f"{SESSION_COOKIE_NAME}-seen"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = TLS
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_NAME = f"{SESSION_COOKIE_NAME}-csrf"
LANGUAGE_COOKIE_NAME = "__Host-language" if TLS else "language"
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SECURE = TLS
LANGUAGE_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "trialsite.pages.csrf_failure"
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"

# --- what the browser may do -----------------------------------------------------------------

SECURE_SSL_REDIRECT = TLS
SECURE_HSTS_SECONDS = 31_536_000 if TLS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = TLS
SECURE_REDIRECT_EXEMPT = [r"^healthz/"]
if TLS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000
FILE_UPLOAD_HANDLERS = []  # no page takes files; what is sent as one is thrown away
FILE_UPLOAD_PERMISSIONS = 0o600

STATIC_URL = "static/"
STATIC_ROOT = VAR / "static"
STATICFILES_DIRS = []
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if PROFILE == "test"
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# --- jobs ------------------------------------------------------------------------------------

CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL") or embedded.broker_url(VAR)
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
# a job is acknowledged when it is done, so a killed worker gives it back; jobs are idempotent
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_TIME_LIMIT = 900
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {
        # longer than the longest job: who holds a message so long is dead, and the next worker gets it
        "visibility_timeout": 1200,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        # a broker that hangs must not hold a page
        "socket_connect_timeout": 2,
        "socket_timeout": 5,
    }
    if CELERY_BROKER_URL.startswith(("redis", "rediss"))
    else {}
)
CELERY_TIMEZONE = "UTC"
# `serve --no-worker` with its own broker: jobs wait, and that is meant
NO_WORKER = os.environ.get("TRIALSITE_NO_WORKER") == "1"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# how long the bytes of exports and certified copies are kept; rows and digests stay, the same can be made again
COPIES_KEPT = timedelta(days=int(os.environ.get("TRIALSITE_COPIES_KEPT_DAYS", "30")))
if not timedelta(days=1) <= COPIES_KEPT <= timedelta(days=30):
    raise ImproperlyConfigured("TRIALSITE_COPIES_KEPT_DAYS must be 1 to 30")
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR / "beat-schedule")
CELERY_BEAT_SCHEDULE = {
    "send what the outbox still holds": {"task": "trialsite.tasks.drain_outbox", "schedule": 10.0},
    "drop the contents of old exports": {"task": "trialsite.tasks.drop_old_exports", "schedule": 3600.0},
    "drop the contents of old certified copies": {"task": "safety.tasks.drop_old_casebooks", "schedule": 3600.0},
    "forget old drafts": {"task": "trialsite.tasks.forget_old_drafts", "schedule": 86400.0},
    "remind of reports on serious cases": {"task": "safety.tasks.watch_cases", "schedule": 300.0},
    # asks every hour whether this month's report was requested, so that no outage skips a month
    "request the monthly DSMB report": {"task": "safety.tasks.request_monthly_report", "schedule": 3600.0},
}

# --- e-mail: alerts to those who watch -----------------------------------------------------------

ALERT_EMAIL = [address.strip() for address in os.environ.get("TRIALSITE_ALERT_EMAIL", "").split(",") if address.strip()]
if not ALERT_EMAIL and not PRODUCTION:
    ALERT_EMAIL = ["security@trialsite.invalid"]
# smtp://name:password@host:587 (STARTTLS), smtps://name:password@host:465, smtp+plain://localhost:25;
# without it each message becomes a file in var/mail
_mail = urlsplit(os.environ.get("TRIALSITE_EMAIL_URL", ""))
if _mail.scheme not in ("", "smtp", "smtps", "smtp+plain") or bool(_mail.scheme) != bool(_mail.hostname):
    raise ImproperlyConfigured("TRIALSITE_EMAIL_URL must be smtp://, smtps:// or smtp+plain:// and name a host")
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if _mail.scheme else 'filebased'}.EmailBackend"
EMAIL_FILE_PATH = None if _mail.scheme else VAR / "mail"
EMAIL_HOST, EMAIL_PORT = _mail.hostname or "", _mail.port or {"smtps": 465, "smtp": 587}.get(_mail.scheme, 25)
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = unquote(_mail.username or ""), unquote(_mail.password or "")
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail.scheme == "smtp", _mail.scheme == "smtps"
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = os.environ.get("TRIALSITE_EMAIL_FROM", "trialsite@localhost")

# --- upward ties: what a lower floor may ask of a higher one, by name --------------------------

SCREENING_EVIDENCE = "visits.evidence.screening_evidence"
# what forms are called, by the namespace of their addresses
FORM_TITLES = {
    "": "trialsite.titles",
    "patients": "patients.titles",
    "visits": "visits.titles",
    "safety": "safety.titles",
}
HOME_SECTIONS = [
    "trialsite.drafts.sections",
    "patients.home.sections",
    "visits.home.sections",
    "safety.home.sections",
    "trialsite.accounts.sections",
]
PATIENT_SECTIONS = ["visits.home.patient_sections", "safety.home.patient_sections"]
AFTER_SCREENING = ["visits.actions.plan_screening"]
AFTER_RANDOMISATION = ["visits.actions.plan_visits"]
AFTER_ALLOCATION = ["safety.actions.follow_allocation"]
AFTER_LINE_SAVED = ["visits.actions.check_line", "safety.actions.code_line"]
# why patients who were not treated yet must wait (what, {patient: day}); may hold the gate of the halts
BEFORE_TREATMENT = ["safety.sentinels.reasons_to_wait"]
# what may meet a stopping rule, beside adverse events
AFTER_INFUSION = ["safety.actions.follow_infusion"]
AFTER_DISPOSITION = ["safety.actions.watch_after_disposition"]
# what a query may be about, beside panels and infusions
QUERIED_RECORDS = ["patients.queried.RECORDS", "safety.queried.RECORDS"]
# codes of the floors above in columns of records, and who tells what they stand for (trialsite/telling.py)
TOLD_CODES = {
    "blocks": "patients.models.blocked_told",
    "check_code": "visits.edit_checks.title_of",
    "body_system": "safety.dictionary.told",
    "body_system_code": "safety.dictionary.told",
    "safety_caseversion.changed": "safety.models.serious.told_part",
    "safety_submission.duty": "safety.cases.duty_told",
    "visits_review.meaning": "visits.reviews.meaning_told",
    "safety_boardsignature.meaning": "safety.models.board.meaning_told",
    "safety_adverseevent.term": "trialsite.ctcae.term_told",
    "safety_coding.term": "trialsite.ctcae.term_told",
    "safety_coding.preferred_term": "trialsite.ctcae.term_told",
    "safety_coding.code": "trialsite.ctcae.term_told",
    "safety_coding.preferred_code": "trialsite.ctcae.term_told",
    "visits_reaction.term": "trialsite.ctcae.term_told",
}
AFTER_SEX_CORRECTED = ["visits.actions.follow_sex"]
AFTER_AMENDMENT = ["visits.actions.follow_amendment"]
# modules that say what of their floor is exported, and what is not
EXPORTS = ["patients.exports", "visits.exports", "safety.exports"]
# a record of a patient was changed, not entered for the first time
AFTER_CHANGE = ["visits.actions.marks_void"]
# records that are verified, reviewed and signed, beside those of the visits and below (visits/contents.py)
FORMS_ABOVE = [
    {
        "code": "adverse_events",
        "label": "safety.adverseevent",
        "title": gettext_lazy("Adverse event"),
        "page": "safety:show_adverse_event",
    }
]
# an account was closed
AFTER_DEACTIVATION = ["visits.actions.end_feed"]
# rows of a patient that are no forms and are signed with the casebook
SIGNED_WITH_CASEBOOK = ["visits.visit", "patients.disposition", "safety.deviation"]
DEMO_TRIAL = "safety.demo.play_trial"

# --- the trial -------------------------------------------------------------------------------

# a protocol file, or a folder with one file per version; the newest version is the current one
TRIAL_PROTOCOL = os.environ.get("TRIAL_PROTOCOL") or str(BASE_DIR / "trialsite" / "protocols" / "ucmsc-inr")

# --- logs: JSON lines to the console, errors of every layer also to one file -------------------

LOG_FOLDER = VAR / "log"
LOG_FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "trialsite.middleware.RequestIdFilter"}},
    "formatters": {
        "json": {
            "()": "trialsite.logs.Formatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(request_id)s %(message)s",
        }
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "json", "filters": ["request_id"]},
        "errors": {
            "class": "logging.handlers.WatchedFileHandler",
            "filename": str(LOG_FOLDER / "errors.log"),
            "level": "ERROR",
            "formatter": "json",
            "filters": ["request_id"],
            "delay": True,
        },
    },
    "root": {"handlers": ["console", "errors"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "django.server": {"handlers": [], "propagate": True},
        "gunicorn.error": {"handlers": ["console", "errors"], "level": "INFO", "propagate": False},
        "gunicorn.access": {"handlers": ["console"], "level": "INFO", "propagate": False},
        "axes": {"level": "WARNING"},
        "fontTools": {"level": "WARNING"},
        "matplotlib": {"level": "WARNING"},
    },
}
