"""Start-up checks: a deployment that cannot be trusted says so, with a hint."""

from django.conf import settings
from django.core.checks import Error, Warning, register

from trialsite.protocol import ProtocolError


@register()
def protocol_can_be_read(app_configs, **kwargs):
    from trialsite import trial

    try:
        for language, _name in settings.LANGUAGES:
            trial.versions_in(language)
    except ProtocolError as error:
        return [
            Error(
                f"The trial protocol cannot be used:\n{error}",
                hint="Mend the file, or point TRIAL_PROTOCOL at another; `manage.py check_protocol FILE` checks one.",
                id="trialsite.E001",
            )
        ]
    return []


@register(deploy=True)
def runtime_role_owns_nothing(app_configs, **kwargs):
    default = settings.DATABASES["default"]
    owner = settings.DATABASES.get("owner")
    if settings.PRODUCTION and owner and owner["USER"] == default["USER"]:
        return [
            Error(
                "The runtime database role also owns the tables: it could switch the audit trail off.",
                hint="Give DATABASE_URL a role of its own; docs/operations.md has the SQL.",
                id="trialsite.E002",
            )
        ]
    return []


@register(deploy=True)
def second_factor_is_required(app_configs, **kwargs):
    if settings.PRODUCTION and settings.SECOND_FACTOR != "required":
        return [Warning("Accounts may be used without a second factor.", hint="Unset TRIALSITE_SECOND_FACTOR.",
                        id="trialsite.W001")]  # fmt: skip
    return []


@register(deploy=True)
def alerts_reach_somebody(app_configs, **kwargs):
    if settings.PRODUCTION and (not settings.ALERT_EMAIL or not settings.EMAIL_HOST):
        return [Warning("Alerts of failed signatures and sign-ins reach nobody by e-mail.",
                        hint="Set TRIALSITE_ALERT_EMAIL and TRIALSITE_EMAIL_URL.", id="trialsite.W002")]  # fmt: skip
    return []
