"""What of the patients stands on the start page."""

from django.db.models import Count, Exists, OuterRef, Q
from django.urls import reverse
from django.utils.translation import gettext as _

from patients.models import OPEN_STATES, AllocationSlot, Halt, Patient, State, Unmasking
from patients.randomisation import strata
from trialsite import trial
from trialsite.clock import day_at
from trialsite.models import Site, VersionApproval
from trialsite.roles import Permission, can, within_sites
from trialsite.sections import at_chosen_site, first_of, section


def sections(user, filters):
    if can(user, Permission.DECIDE_ELIGIBILITY):
        yield in_screening(user, filters)
    if can(user, Permission.ENTER_DATA) and len(trial.versions()) > 1:
        yield to_consent_again(user, filters)
    if can(user, Permission.MANAGE_ALLOCATION):
        yield places_left()
    if can(user, Permission.RECORD_DECISIONS):
        yield halts_to_decide()
    if can(user, Permission.VIEW_UNMASKINGS) and trial.current_protocol().is_masked:
        yield unmasked(user, filters)


def to_consent_again(user, filters):
    """Patients at sites that approved a later protocol version than theirs."""
    patients = within_sites(Patient.objects.all(), user, Permission.ENTER_DATA, "site").filter(state__in=OPEN_STATES)
    order = list(trial.versions())
    later = Q()
    for place, version in enumerate(order):
        approved = VersionApproval.objects.filter(site=OuterRef("site"), protocol_version__in=order[place + 1 :])
        later |= Q(protocol_version=version) & Q(Exists(approved))
    rows, count = first_of(at_chosen_site(patients, filters, "site").filter(later).order_by("number"))
    items = [
        {"label": patient.number, "url": reverse("patients:record_consent", args=[patient.pk]), "status": "due",
         "status_text": _("version %s") % patient.protocol_version}
        for patient in rows
    ]  # fmt: skip
    url = reverse("list_versions")
    return section(_("To consent again to a new version"), items, count, url=url, empty=_("Nobody waits."))


def in_screening(user, filters):
    patients = within_sites(Patient.objects.all(), user, Permission.DECIDE_ELIGIBILITY, "site")
    patients = at_chosen_site(patients, filters, "site")
    patients = patients.filter(state__in=[State.SCREENING, State.ELIGIBLE]).order_by("-state", "screened_on")
    rows, count = first_of(patients)
    items = [
        {
            "label": patient.number,
            "url": reverse("patients:show_patient", args=[patient.pk]),
            "status": "due",
            "status_text": patient.get_state_display(),
            "note": _("to randomise") if patient.state == State.ELIGIBLE else _("consent, visits, eligibility"),
            "when": patient.screened_on,
        }
        for patient in rows
    ]
    url = reverse("patients:list_patients") + "?state=screening&state=eligible"
    return section(_("Patients in screening"), items, count, url=url, empty=_("Nobody is in screening."))


def halts_to_decide():
    rows, count = first_of(Halt.objects.open().select_related("patient__site").order_by("opened_at"))
    items = [
        {"label": halt.what, "url": f"{reverse('safety:record_recommendation')}?halt={halt.pk}", "status": "halted",
         "status_text": _("in force"), "note": halt.reason, "when": day_at(halt.patient and halt.patient.site, halt.opened_at)}
        for halt in rows
    ]  # fmt: skip
    url = reverse("patients:list_halts")
    return section(
        _("Halts that wait for a decision"), items, count, url=url, urgent=True, empty=_("No halt is in force.")
    )


def unmasked(user, filters):
    unmaskings = at_chosen_site(Unmasking.objects.visible_to(user), filters, "patient__site")
    rows, count = first_of(unmaskings.select_related("patient__site", "unmasked_by"))
    items = [
        {"label": one.patient.number, "url": reverse("patients:show_unmasking", args=[one.pk]), "status": "open",
         "status_text": one.get_category_display(), "note": str(one.unmasked_by), "when": day_at(one.patient.site, one.unmasked_at)}
        for one in rows
    ]  # fmt: skip
    url = reverse("patients:list_unmaskings")
    return section(_("Unmasked patients"), items, count, url=url, empty=_("Nobody was unmasked."))


def places_left():
    free = dict(
        AllocationSlot.objects.order_by().values_list("stratum").annotate(n=Count("id", filter=Q(patient=None)))
    )
    wanted = strata(trial.current_protocol(), Site.objects.values_list("code", flat=True))
    url = reverse("patients:show_allocation")
    items = [
        {"label": stratum, "url": url, "status": "overdue" if free.get(stratum, 0) < 4 else "entered",
         "status_text": _("%d places free") % free.get(stratum, 0)}
        for stratum in wanted
    ]  # fmt: skip
    items.sort(key=lambda item: item["status"] != "overdue")
    short = sum(item["status"] == "overdue" for item in items)
    # nothing is to be done while enough places are left: no number then
    return section(_("Randomisation list"), items[:8], short or None, url=url, urgent=True)
