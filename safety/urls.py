from django.urls import path

from safety import reports, views

app_name = "safety"
urlpatterns = [
    path("start/unjudged/", views.show_unjudged, name="show_unjudged"),
    path("events/", views.list_adverse_events, name="list_adverse_events"),
    path("events/report/<int:patient_pk>/", views.report_adverse_event, name="report_adverse_event"),
    path("events/<int:pk>/", views.show_adverse_event, name="show_adverse_event"),
    path("events/<int:pk>/change/", views.change_adverse_event, name="change_adverse_event"),
    path("events/<int:pk>/withdraw/", views.withdraw_adverse_event, name="withdraw_adverse_event"),
    path("coding/", views.list_codes, name="list_codes"),
    path("coding/approve/", views.approve_codes, name="approve_codes"),
    path("coding/suggest/", views.suggest_terms, name="suggest_terms"),
    path("coding/<str:kind>/<int:pk>/", views.code_term, name="code_term"),
    path("coding/codes/<int:pk>/reject/", views.reject_code, name="reject_code"),
    path("deviations/", views.list_deviations, name="list_deviations"),
    path("deviations/proposals/", views.list_proposals, name="list_proposals"),
    path("deviations/of/<int:pk>/", views.list_deviations_of_patient, name="list_deviations_of_patient"),
    path("deviations/record/<int:patient_pk>/", views.record_deviation, name="record_deviation"),
    path("deviations/dismiss/<int:patient_pk>/", views.dismiss_proposal, name="dismiss_proposal"),
    path("deviations/dismissed/<int:pk>/restore/", views.restore_proposal, name="restore_proposal"),
    path("deviations/<int:pk>/", views.show_deviation, name="show_deviation"),
    path("deviations/<int:pk>/change/", views.change_deviation, name="change_deviation"),
    path("deviations/<int:pk>/withdraw/", views.withdraw_deviation, name="withdraw_deviation"),
    path("casebook/<int:patient_pk>/", views.show_casebook, name="show_casebook"),
    path("casebook/<int:patient_pk>/copy/", views.request_certified_copy, name="request_certified_copy"),
    path("copies/<int:pk>/", views.show_certified_copy, name="show_certified_copy"),
    path("copies/<int:pk>/progress/", views.show_copy_progress, name="show_copy_progress"),
    path("copies/files/<int:pk>/", views.download_certified_copy, name="download_certified_copy"),
    path("reports/", reports.list_reports, name="list_reports"),
    path("reports/new/", reports.request_report, name="request_report"),
    path("reports/<int:pk>/", reports.show_report, name="show_report"),
    path("reports/<int:pk>/progress/", reports.show_progress, name="show_progress"),
    path("reports/<int:pk>/files/<slug:part>/<str:name>", reports.download_file, name="download_file"),
]
