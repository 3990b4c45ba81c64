from django.urls import path

from visits import views

app_name = "visits"
urlpatterns = [
    path("", views.show_grid, name="show_grid"),
    path("calendar/", views.show_calendar, name="show_calendar"),
    path("calendar/renew/", views.renew_feed, name="renew_feed"),
    path("calendar/end/", views.end_feed, name="end_feed"),
    path("feed/<str:token>.ics", views.calendar_feed, name="calendar_feed"),
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
    path("queries/", views.list_queries, name="list_queries"),
    path("queries/<int:pk>/", views.show_query, name="show_query"),
    path("lots/", views.list_lots, name="list_lots"),
    path("lots/receive/", views.receive_lot, name="receive_lot"),
    path("lots/<int:pk>/", views.show_lot, name="show_lot"),
    path("lots/<int:pk>/release/", views.release_lot, name="release_lot"),
    path("lots/<int:pk>/reject/", views.reject_lot, name="reject_lot"),
]
