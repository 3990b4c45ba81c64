from django.urls import path

from visits import views

app_name = "visits"
urlpatterns = [
    path("", views.show_grid, name="show_grid"),
    path("<int:pk>/", views.show_visit, name="show_visit"),
    path("<int:pk>/date/", views.record_attendance, name="record_attendance"),
    path("<int:pk>/missed/", views.record_missed_visit, name="record_missed_visit"),
    path("<int:pk>/prepare/", views.prepare_infusion, name="prepare_infusion"),
    path("<int:pk>/infusion/", views.record_infusion, name="record_infusion"),
    path("unscheduled/<int:patient_pk>/", views.add_unscheduled_visit, name="add_unscheduled_visit"),
    path("panels/<int:pk>/", views.enter_panel, name="enter_panel"),
    path("panels/<int:pk>/not-done/", views.mark_panel_not_done, name="mark_panel_not_done"),
    path("panels/<int:pk>/clear/", views.clear_panel, name="clear_panel"),
    path("panels/<int:panel_pk>/query/", views.raise_query, name="raise_query"),
    path("check/", views.start_checking, name="start_checking"),
    path("check/<slug:step>/", views.list_to_check, name="list_to_check"),
    path("check/<slug:step>/visit/<int:pk>/", views.check_visit, name="check_visit"),
    path("check/<slug:step>/patient/<int:pk>/", views.check_patient, name="check_patient"),
    path("check/<slug:step>/record/<slug:app>/<slug:model>/<int:pk>/", views.check_record, name="check_record"),
    path("marks/<int:pk>/take-back/", views.take_back_mark, name="take_back_mark"),
    path("<int:pk>/hold/", views.hold_visit, name="hold_visit"),
    path("patients/<int:pk>/hold/", views.hold_patient, name="hold_patient"),
    path("freeze/", views.freeze_visits, name="freeze_visits"),
    path("queries/", views.list_queries, name="list_queries"),
    path("queries/<int:pk>/", views.show_query, name="show_query"),
    path("lots/", views.list_lots, name="list_lots"),
    path("lots/receive/", views.receive_lot, name="receive_lot"),
    path("lots/<int:pk>/", views.show_lot, name="show_lot"),
    path("lots/<int:pk>/release/", views.release_lot, name="release_lot"),
    path("lots/<int:pk>/reject/", views.reject_lot, name="reject_lot"),
]
