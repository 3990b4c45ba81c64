"""All addresses. Numbers in an address are keys of rows, never a patient's number."""

from django.urls import include, path

from trialsite import accounts, mails, pages, versions
from trialsite.exchange import views as exports

urlpatterns = [
    path("", pages.home, name="home"),
    path("", include("trialsite.sign_in_urls")),
    path("accounts/", accounts.list_accounts, name="list_accounts"),
    path("accounts/new/", accounts.create_account, name="create_account"),
    path("accounts/<int:pk>/", accounts.show_account, name="show_account"),
    path("emails/", mails.list_emails, name="list_emails"),
    path("drafts/", pages.list_drafts, name="list_drafts"),
    path("drafts/start/", pages.show_drafts, name="show_drafts"),
    path("drafts/discard/", pages.discard_draft, name="discard_draft"),
    path("protocol/", versions.list_versions, name="list_versions"),
    path("protocol/release/", versions.release_version, name="release_version"),
    path("exports/", exports.list_exports, name="list_exports"),
    path("exports/new/", exports.request_export, name="request_export"),
    path("exports/<int:pk>/", exports.show_export, name="show_export"),
    path("exports/<int:pk>/progress/", exports.show_export_progress, name="show_export_progress"),
    path("exports/files/<int:pk>/", exports.download_export, name="download_export"),
    path("history/<slug:app>/<slug:model>/<int:pk>/", pages.show_history, name="show_history"),
    path("patients/", include("patients.urls")),
    path("visits/", include("visits.urls")),
    path("safety/", include("safety.urls")),
    path("healthz/live", pages.live, name="live"),
    path("healthz/ready", pages.ready, name="ready"),
]

handler400 = "trialsite.pages.bad_request"
handler403 = "trialsite.pages.permission_denied"
handler404 = "trialsite.pages.not_found"
handler500 = "trialsite.pages.server_error"
