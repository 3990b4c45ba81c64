"""Addresses of people: /sign-in/ is open, all others need a session."""

from django.urls import path

from trialsite import accounts

urlpatterns = [
    path("sign-in/", accounts.sign_in, name="sign_in"),
    path("sign-in/language/", accounts.choose_language, name="choose_language"),
    path("sign-in/second-factor/", accounts.enter_code, name="enter_code"),
    path("sign-in/set-password/<slug:account>/<slug:token>/", accounts.set_password, name="set_password"),
    path("sign-out/", accounts.sign_out, name="sign_out"),
    path("account/stay/", accounts.stay, name="stay"),
    path("account/", accounts.show_own_account, name="show_own_account"),
    path("account/password/", accounts.change_password, name="change_password"),
    path("account/second-factor/", accounts.enrol_second_factor, name="enrol_second_factor"),
    path("account/confirm/", accounts.confirm_identity, name="confirm_identity"),
    path("account/sessions/end/", accounts.end_own_sessions, name="end_own_sessions"),
    path("accounts/<int:pk>/grant-role/", accounts.grant_role, name="grant_role"),
    path("accounts/roles/<int:pk>/revoke/", accounts.revoke_role, name="revoke_role"),
    path("accounts/<int:pk>/deactivate/", accounts.deactivate_account, name="deactivate_account"),
    path("accounts/<int:pk>/reactivate/", accounts.reactivate_account, name="reactivate_account"),
    path("accounts/<int:pk>/reset/", accounts.reset_sign_in, name="reset_sign_in"),
    path("accounts/<int:pk>/lost-factor/", accounts.report_lost_factor, name="report_lost_factor"),
    path("accounts/lost-factors/<int:pk>/", accounts.confirm_lost_factor, name="confirm_lost_factor"),
    path("accounts/<int:pk>/sessions/end/", accounts.end_sessions, name="end_sessions"),
]
