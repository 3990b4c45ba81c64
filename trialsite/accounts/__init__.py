"""The pages of sign-in, of one's own account, and of all accounts for those who administer them."""

from trialsite.accounts.own import (
    change_password,
    confirm_identity,
    end_own_sessions,
    enrol_second_factor,
    show_own_account,
)
from trialsite.accounts.people import (
    confirm_lost_factor,
    create_account,
    deactivate_account,
    end_sessions,
    grant_role,
    list_accounts,
    reactivate_account,
    report_lost_factor,
    reset_sign_in,
    revoke_role,
    sections,
    show_account,
)
from trialsite.accounts.signing_in import (
    choose_language,
    enter_code,
    set_password,
    sign_in,
    sign_out,
    stay,
)

__all__ = [
    "change_password",
    "choose_language",
    "confirm_identity",
    "confirm_lost_factor",
    "create_account",
    "deactivate_account",
    "end_own_sessions",
    "end_sessions",
    "enrol_second_factor",
    "enter_code",
    "grant_role",
    "list_accounts",
    "reactivate_account",
    "report_lost_factor",
    "reset_sign_in",
    "revoke_role",
    "sections",
    "set_password",
    "show_account",
    "show_own_account",
    "sign_in",
    "sign_out",
    "stay",
]
