"""What of safety stands on the start page and on a patient's page."""

from datetime import timedelta
from zoneinfo import ZoneInfo

from django.db.models import F
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from patients.models import Patient
from safety.abnormal_results import unjudged_results
from safety.actions.board import RECEIVERS
from safety.cases import copies_asked_for
from safety.coding import work
from safety.coding.rules import CodingState
from safety.listings.table import address_of
from safety.models import CATEGORIES, AdverseEvent, DsmbReport, Recommendation, SeriousCase
from safety.proposals import unjudged_among
from safety.sentinels import waiting_now
from safety.signing import signatures_in_force
from trialsite import trial
from trialsite.clock import day_at, today_for, told_day
from trialsite.ctcae import term_told
from trialsite.models import JobState
from trialsite.roles import Permission, can, within_sites
from trialsite.sections import SHOWN, at_chosen_site, chosen_site, first_of, later, section


def sections(user, filters):
    if can(user, Permission.REPORT_ADVERSE_EVENTS):
        yield cases_due(user, filters, "site", _("Serious cases to report"))
    if can(user, Permission.JUDGE_SERIOUS_EVENTS):
        yield cases_to_judge(user, filters)
        yield cases_due(user, filters, "sponsor", _("Reports to authorities due"))
    if trial.current_protocol().is_masked and makes_copies(user):
        yield copies_to_make(user, filters)
    if can(user, Permission.VIEW_ADVERSE_EVENTS):
        yield later(SERIOUS, "safety:show_serious", filters, url=address_of("events", serious="Y", ongoing="Y"))
    if can(user, Permission.REPORT_ADVERSE_EVENTS):
        yield later(RESULTS, "safety:show_abnormal_results", filters, url=reverse("safety:list_abnormal_results"))
    if can(user, Permission.RECORD_DEVIATIONS):
        yield later(TO_JUDGE, "safety:show_unjudged", filters, url=reverse("safety:list_proposals"))
    if trial.current_protocol().sentinel and can(user, Permission.RECORD_INFUSIONS):
        yield later(FIRST_PATIENTS, "safety:show_sentinels", filters, url=reverse("safety:list_stopping_rules"))
    if can(user, Permission.CODE_TERMS):
        yield later(TO_CODE, "safety:show_to_code", filters, url=reverse("safety:list_codes"))
    if can(user, Permission.APPROVE_CODES):
        yield codes_to_approve(user, filters)
    if can(user, Permission.READ_OPEN_REPORTS):
        yield reports(user)
    if any(can(user, permission) for permission in (Permission.RECORD_DECISIONS, *RECEIVERS)):
        yield recommendations(user)


def first_patients(user):
    """What the next of the first patients waits for, while they are treated one after another."""
    url = reverse("safety:list_stopping_rules")
    items = [
        {"label": str(reason), "url": url, "status": "due", "status_text": _("waits")}
        for reason in waiting_now(today_for(user))
    ]  # fmt: skip
    return section(FIRST_PATIENTS, items, len(items), url=url, empty=_("The next patient may begin."))


FIRST_PATIENTS = gettext_lazy("The first patients, one after another")
TO_JUDGE = gettext_lazy("Deviations to judge")
SERIOUS = gettext_lazy("Serious events that go on")
TO_CODE = gettext_lazy("Words to code")
RESULTS = gettext_lazy("Results and reactions that may be adverse events")


def cases_due(user, filters, owed_by, title):
    """The cases of which the site, or the sponsor, owes a report: the next deadline first."""
    due, now = f"{owed_by}_due_at", timezone.now()
    cases = at_chosen_site(SeriousCase.objects.visible_to(user), filters, "patient__site")
    cases = cases.filter(**{f"{due}__isnull": False}).select_related("patient__site", "event").order_by(due, "id")
    rows, count = first_of(cases)
    items = []
    for case in rows:
        at = getattr(case, due)
        left, local = at - now, at.astimezone(ZoneInfo(case.patient.site.timezone))
        is_late = left.total_seconds() <= 0
        hours = int(abs(left).total_seconds() // 3600)
        if is_late:
            status_text = _("overdue")
        else:
            status_text = _("%(n)s h left") % {"n": hours} if hours < 48 else _("%(n)s days left") % {"n": hours // 24}
        items.append({
            "label": f"{case.patient.number} · {term_told(case.event.term)}", "url": reverse("safety:show_case", args=[case.pk]),
            "status": "overdue" if is_late else "due", "status_text": status_text, "note": case.number,
            "when": _("by %(at)s") % {"at": told_deadline(local)},
        })  # fmt: skip
    url = reverse("safety:list_cases") + "?which=open"
    return section(title, items, count, url=url, urgent=True, empty=_("Nothing is due."))


def makes_copies(user):
    return can(user, Permission.SEE_ARM) and can(user, Permission.VIEW_ADVERSE_EVENTS)


def copies_to_make(user, filters):
    """The copies for authorities that somebody waits for, the earliest request first."""
    copies = at_chosen_site(copies_asked_for(user), filters, "patient__site")
    rows, count = first_of(copies.select_related("case__patient", "case__event", "case_version", "by"))
    items = [
        {
            "label": f"{copy.case.patient.number} · {term_told(copy.case.event.term)}",
            "url": reverse("safety:make_authority_copy", args=[copy.case_version_id]),
            "status": "due",
            "status_text": _("asked for"),
            "note": f"{copy.case.number}, {copy.case_version}",
            "when": copy.at.date(),
        }
        for copy in rows
    ]
    url = reverse("safety:list_cases")
    return section(
        _("Copies for the authority to make"), items, count, url=url, urgent=True, empty=_("None is asked for.")
    )


def told_deadline(local):
    """A deadline by the clock of the site; one at midnight is the end of the day before."""
    is_day = (local.hour, local.minute) == (0, 0)
    return str(local.date() - timedelta(days=1)) if is_day else f"{local:%Y-%m-%d %H:%M}"


def cases_to_judge(user, filters):
    """The cases that the sponsor has not judged, or not as they stand now: the next deadline first."""
    cases = at_chosen_site(SeriousCase.objects.visible_to(user), filters, "patient__site")
    cases = cases.filter(waits_for_judgement=True).select_related("patient__site", "event")
    rows, count = first_of(cases.order_by(F("sponsor_due_at").asc(nulls_last=True), "id"))
    items = [
        {
            "label": f"{case.patient.number} · {term_told(case.event.term)}",
            "url": reverse("safety:judge_case", args=[case.pk]),
            "status": "serious",
            "status_text": _("grade %d") % case.event.grade,
            "note": case.event.get_relationship_display(),
            "when": day_at(case.patient.site, case.opened_at),
        }
        for case in rows
    ]
    url = reverse("safety:list_cases") + "?which=judge"
    return section(_("Serious cases to judge"), items, count, url=url, urgent=True, empty=_("Nothing to judge."))


def serious_and_open(user, filters):
    events = at_chosen_site(AdverseEvent.objects.visible_to(user), filters, "patient__site").filter(
        is_withdrawn=False, is_serious=True, is_ongoing=True
    )
    rows, count = first_of(events.select_related("patient").order_by("-began_on"))
    items = [
        {
            "label": f"{event.patient.number} · {term_told(event.term)}",
            "url": reverse("safety:show_adverse_event", args=[event.pk]),
            "status": "serious",
            "status_text": _("grade %d") % event.grade,
            "note": event.get_relationship_display(),
            "when": event.began_on,
        }
        for event in rows
    ]
    url = address_of("events", serious="Y", ongoing="Y")
    return section(SERIOUS, items, count, url=url, urgent=True, empty=_("None."))


def deviations_to_judge(user, filters):
    """What the system sees as deviations and nobody has judged, the latest first."""
    patients = within_sites(Patient.objects.all(), user, Permission.RECORD_DEVIATIONS, "site")
    patients = at_chosen_site(patients, filters, "site")
    waiting = unjudged_among(patients)[::-1]
    url = reverse("safety:list_proposals")
    items = [
        {
            "label": f"{patient.number} · {CATEGORIES[proposal.category]}",
            "url": f"{url}?patient={patient.pk}",
            "status": "serious" if proposal.is_important else "",
            "status_text": _("important"),
            "note": proposal.sentence,
            "when": proposal.on,
        }
        for patient, proposal in waiting[:SHOWN]
    ]
    return section(TO_JUDGE, items, len(waiting), url=url, empty=_("Nothing waits for a judgement."))


def words_to_code(user, filters):
    site = chosen_site(filters)
    rows = work.to_code(user, patients=Patient.objects.filter(site=site) if site else None)
    items = [
        {"label": one.verbatim, "url": reverse("safety:code_term", args=[one.kind, one.record_id]),
         "note": f"{one.number} · {one.kind_told}"}
        for one in work.waiting_of(rows[:SHOWN])
    ]  # fmt: skip
    return section(TO_CODE, items, rows.count(), url=reverse("safety:list_codes"), empty=_("All words are coded."))


def codes_to_approve(user, filters):
    codings = work.codes(user, CodingState.PROPOSED).exclude(coded_by=user)
    codings = at_chosen_site(codings, filters, "patient__site")
    rows, count = first_of(codings)
    url = reverse("safety:approve_codes")
    items = [
        {"label": str(coding), "url": url, "note": coding.patient.number,
         "when": day_at(coding.patient.site, coding.coded_at)}
        for coding in rows
    ]  # fmt: skip
    return section(_("Codes to approve"), items, count, url=url, empty=_("No code waits for you."))


def results_to_judge(user, filters):
    """The graded results and reactions that nobody has judged, the worst first."""
    patients = within_sites(Patient.objects.all(), user, Permission.REPORT_ADVERSE_EVENTS, "site")
    waiting = unjudged_results(at_chosen_site(patients, filters, "site"))
    waiting.sort(key=lambda one: -one.grade)
    items = [
        {
            "label": f"{one.patient.number} · {one.told}",
            "url": reverse("safety:list_abnormal_results") + f"?patient={one.patient.pk}",
            "grade": one.grade,
            "is_proposed": one.is_proposed,
            "note": one.visit.code,
            "when": one.on,
        }
        for one in waiting[:SHOWN]
    ]
    url = reverse("safety:list_abnormal_results")
    return section(RESULTS, items, len(waiting), url=url, urgent=True, empty=_("Nothing waits for a judgement."))


def reports(user):
    rows, count = first_of(DsmbReport.objects.visible_to(user).filter(state=JobState.DONE), shown=3)
    items = [
        {"label": _("DSMB report as of %s") % report.cutoff, "url": reverse("safety:show_report", args=[report.pk]),
         "when": told_day(report.finished_at)}
        for report in rows
    ]  # fmt: skip
    return section(_("Latest DSMB reports"), items, count, url=reverse("safety:list_reports"), empty=_("None yet."))


def recommendations(user):
    """What the board has recommended of late; for its members first what waits for their signature."""
    visible = Recommendation.objects.visible_to(user).filter(is_withdrawn=False)
    rows, count = first_of(visible.order_by(F("effective_at").desc(nulls_first=True), "-id"), shown=3)
    rows = list(rows)
    drafts = [one for one in rows if not one.effective_at]
    in_force = signatures_in_force(drafts, [user]) if drafts else {}
    signed = {pk for pk, signers in in_force.items() if user.pk in signers}
    items = [
        {"label": one.get_decision_display(), "url": reverse("safety:show_recommendation", args=[one.pk]),
         "status": "" if one.effective_at else "open", "when": one.met_on,
         "status_text": _("waits for signatures") if one.pk in signed else _("waits for your signature")}
        for one in rows
    ]  # fmt: skip
    url = reverse("safety:list_recommendations")
    return section(_("Recommendations of the safety board"), items, count, url=url, empty=_("None yet."))


def patient_sections(user, patient):
    events = AdverseEvent.objects.visible_to(user).filter(patient=patient).order_by("-began_on", "-id")
    return {
        "adverse_events": list(events),
        "may_report": can(user, Permission.REPORT_ADVERSE_EVENTS, patient.site) and not patient.is_held,
    }
