from django.urls import path

from patients import views

app_name = "patients"
urlpatterns = [
    path("", views.list_patients, name="list_patients"),
    path("find/", views.find_patient, name="find_patient"),
    path("screen/", views.screen_patient, name="screen_patient"),
    path("<int:pk>/", views.show_patient, name="show_patient"),
    path("<int:pk>/background/", views.show_background, name="show_background"),
    path("<int:pk>/overtaken/", views.show_overtaken, name="show_overtaken"),
    path("<int:pk>/person/", views.correct_person, name="correct_person"),
    path("consents/<int:pk>/", views.correct_consent, name="correct_consent"),
    path("<int:pk>/consent/", views.record_consent, name="record_consent"),
    path("<int:pk>/eligibility/", views.assess_eligibility, name="assess_eligibility"),
    path("<int:pk>/randomise/", views.randomise_patient, name="randomise_patient"),
    path("<int:pk>/disposition/", views.record_disposition, name="record_disposition"),
    path("<int:pk>/lines/<slug:kind>/", views.save_line, name="add_line"),
    path("<int:pk>/lines/<slug:kind>/<int:line_pk>/", views.save_line, name="change_line"),
    path("<int:pk>/lines/<slug:kind>/<int:line_pk>/withdraw/", views.withdraw_line, name="withdraw_line"),
    path("allocation/", views.show_allocation, name="show_allocation"),
    path("allocation/make/", views.make_allocation_list, name="make_allocation_list"),
    path("allocation/import/", views.import_allocation_list, name="import_allocation_list"),
    path("<int:pk>/unmask/", views.unmask_patient, name="unmask_patient"),
    path("unmaskings/", views.list_unmaskings, name="list_unmaskings"),
    path("unmaskings/<int:pk>/", views.show_unmasking, name="show_unmasking"),
    path("halts/", views.list_halts, name="list_halts"),
    path("halts/open/", views.open_halt, name="open_halt"),
]
