"""Pages of serious cases: the list by deadline, one case with its clocks, and what sponsor and site do with it."""

from zoneinfo import ZoneInfo

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Least
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from patients.views import PER_PAGE, strip_of
from safety import actions
from safety.cases import clocks_of, goes_to_authority, may_make_copy, proposal_in, with_clocks, with_code, zone_of
from safety.cioms import authority_pdf, cioms_pdf
from safety.clocks import State
from safety.models import AuthorityCopy, CaseLink, CaseVersion, CopyStep, SeriousCase, Submission
from safety.serious_forms import (
    AcknowledgementForm,
    AskForCopyForm,
    CaseRecordsForm,
    CaseVersionForm,
    JudgementForm,
    KnowledgeForm,
    MakeCopyForm,
    SubmissionForm,
)
from trialsite import trial
from trialsite.forms import confirming
from trialsite.models import AuditEvent
from trialsite.roles import Permission, can, needs, require
from trialsite.saving import Saved, answer_form

STATUS = {State.DUE: "due", State.OVERDUE: "overdue", State.DONE: "done", State.LATE: "failed", State.ENDED: "skipped"}
WHICH = {
    "": gettext_lazy("all"),
    "open": gettext_lazy("a report is due"),
    "overdue": gettext_lazy("overdue"),
    "judge": gettext_lazy("to be judged"),
}


def clock_row(clock, case, now):
    """One clock, for people: in the local time of the site."""
    zone = zone_of(case)

    def told(instant):
        return f"{instant.astimezone(zone):%Y-%m-%d %H:%M}" if instant else ""

    left = clock.days_left(now, zone)
    hours = int((clock.due_at - now).total_seconds() // 3600)
    if not clock.is_open:
        rest = ""
    elif clock.due_on is None:
        rest = _("%(n)s h left") % {"n": hours} if hours >= 0 else _("%(n)s h over") % {"n": -hours - 1}
    else:
        rest = _("%(n)s days left") % {"n": left} if left >= 0 else _("%(n)s days over") % {"n": -left}
    waits = ""
    if clock.is_open and clock.duty.to == "sponsor":
        waits = _(
            "Waits for the site's written report. That the sponsor knows of the case is recorded, and is no report."
        )
    stage = capfirst(_(str(clock.stage)))
    if clock.case_version:
        stage += f" {clock.case_version}"
    return {
        "key": clock.key, "to": clock.duty.name, "stage": stage, "started": told(clock.started_at),
        "due": str(clock.due_on) if clock.due_on else told(clock.due_at), "state": _(str(clock.state)),
        "status": STATUS[clock.state], "left": rest, "waits": waits, "done": told(clock.done_at), "ended": told(clock.ended_at),
        "is_open": clock.is_open, "due_at": clock.due_at,
    }  # fmt: skip


@needs(Permission.VIEW_ADVERSE_EVENTS)
@require_GET
def list_cases(request):
    which = request.GET.get("which", "")
    which = which if which in WHICH else ""
    now = timezone.now()
    next_due = Least(Coalesce("site_due_at", "sponsor_due_at"), Coalesce("sponsor_due_at", "site_due_at"))
    cases = SeriousCase.objects.visible_to(request.user).annotate(due_at=next_due)
    if which == "open":
        cases = cases.filter(due_at__isnull=False)
    elif which == "overdue":
        cases = cases.filter(Q(site_due_at__lt=now) | Q(sponsor_due_at__lt=now))
    elif which == "judge":
        cases = cases.filter(waits_for_judgement=True)
    cases = with_clocks(cases).order_by(F("due_at").asc(nulls_last=True), "-id")
    page = Paginator(cases, PER_PAGE).get_page(request.GET.get("page"))
    rows = []
    for case in page.object_list:
        clocks = [clock for clock in clocks_of(case, now) if clock.is_open]
        first = min(clocks, key=lambda clock: clock.due_at, default=None)
        rows.append({"case": case, "clock": clock_row(first, case, now) if first else None})
    return render(request, "safety/list_cases.html", {"page": page, "rows": rows, "which": which, "choices": WHICH})


def load_case(user, pk):
    return get_object_or_404(with_code(with_clocks(SeriousCase.objects.visible_to(user))), pk=pk)


def case_address(case):
    return reverse("safety:show_case", args=[case.pk])


def context_of(request, case, heading, **more):
    """The context of a form about a case, worked out when the page is shown."""
    more = {"heading": heading, "title": case.number, "cancel": case_address(case), "patient": case.patient, **more}
    return lambda: {"strip": strip_of(request.user, case.patient), **more}


@needs(Permission.VIEW_ADVERSE_EVENTS)
@require_GET
def show_case(request, pk):
    case, user, now = load_case(request.user, pk), request.user, timezone.now()
    event, site, zone = case.event, case.patient.site, zone_of(case)
    links = CaseLink.objects.filter(case=case, is_withdrawn=False).select_related("measurement", "medication")
    protocol = trial.protocol(case.protocol_version)
    duties = {duty.code: duty for duty in protocol.safety_reporting}
    may = {"site": can(user, Permission.REPORT_ADVERSE_EVENTS, site),
           "sponsor": can(user, Permission.JUDGE_SERIOUS_EVENTS, site)}  # fmt: skip
    versions = {version.pk: version for version in case.versions.all()}
    submissions = list(case.submissions.all())
    for submission in submissions:
        duty = duties.get(submission.duty)
        submission.to = duty.name if duty else submission.duty
        submission.may_answer = duty is not None and duty.to != "sponsor" and may[duty.owed_by]
        submission.of = versions[submission.case_version_id]
    is_for_authority = goes_to_authority(case)
    copies = AuthorityCopy.objects.filter(case=case).select_related("by") if is_for_authority else []
    for version in versions.values():
        version.copies = [copy for copy in copies if copy.case_version_id == version.pk]
        version.waits_for_copy = bool(version.copies) and version.copies[-1].step == CopyStep.ASKED
    context = {
        "case": case,
        "patient": case.patient,
        "event": event,
        "is_masked": trial.current_protocol().is_masked,
        "is_for_authority": is_for_authority,
        "may_make_copy": may_make_copy(user, case.patient),
        "strip": strip_of(user, case.patient),
        "clocks": [clock_row(clock, case, now) for clock in sorted(clocks_of(case, now), key=in_order)],
        "zone": site.timezone,
        "facts": case.facts.all(),
        "assessments": list(case.assessments.select_related("judged_by"))[::-1],
        "proposal": proposal_in(case),
        "versions": list(versions.values())[::-1],
        "submissions": submissions[::-1],
        "results": [
            {"link": link, "test": protocol.test(link.measurement.test)} for link in links if link.measurement_id
        ],
        "medications": [link for link in links if link.medication_id],
        "narratives": narratives_of(event, zone),
        "may_report": may["site"],
        "may_judge": may["sponsor"],
    }
    return render(request, "safety/show_case.html", context)


def in_order(clock):
    """What is open first, by deadline; then what is done or ended."""
    return (not clock.is_open, clock.due_at)


def narratives_of(event, zone):
    """Every text that the narrative had, the latest first, with who wrote it and when."""
    found = []
    for entry in AuditEvent.objects.of(event).filter(operation__in=("insert", "update")).order_by("id"):
        text = (entry.after or {}).get("narrative", "")
        if text and (not found or found[-1]["text"] != text):
            found.append({"text": text, "by": entry.by_name, "at": entry.at, "reason": entry.reason})
    return found[::-1]


# --- what the site does -----------------------------------------------------------------------------------


@needs(Permission.REPORT_ADVERSE_EVENTS)
def report_case(request, pk):
    case = load_case(request.user, pk)
    require(request.user, Permission.REPORT_ADVERSE_EVENTS, case.patient.site)
    form = CaseVersionForm(request.POST or None, record=case)

    def save(form):
        values = {"summary": form.cleaned_data["summary"], "version": form.cleaned_data["version"]}
        actions.report_case(case=case, **values, by=request.user)
        return Saved(case_address(case), None, _("The case is reported to the sponsor."))

    heading = _("Send a follow-up to the sponsor") if case.versions.all() else _("Report the case to the sponsor")
    return answer_form(request, form, "form.html", context_of(request, case, heading, submit=_("Report")), save)


@needs(Permission.REPORT_ADVERSE_EVENTS)
def choose_case_records(request, pk):
    cases = SeriousCase.objects.visible_to(request.user).select_related("event", "patient__site")
    case = get_object_or_404(cases, pk=pk)
    require(request.user, Permission.REPORT_ADVERSE_EVENTS, case.patient.site)
    form = CaseRecordsForm(request.POST or None, record=case)

    def save(form):
        chosen = {
            name: [row.pk for row in form.cleaned_data[name]] for name in ("measurements", "medications", "suspects")
        }
        actions.set_case_links(case=case, **chosen, version=form.cleaned_data["version"], by=request.user)
        return Saved(case_address(case), None, _("The change is saved."))

    context = context_of(request, case, _("Results and medications of the case"))
    return answer_form(request, form, "form.html", context, save)


# --- what the sponsor does ----------------------------------------------------------------------------------


@needs(Permission.JUDGE_SERIOUS_EVENTS)
def judge_case(request, pk):
    case = load_case(request.user, pk)
    require(request.user, Permission.JUDGE_SERIOUS_EVENTS, case.patient.site)
    before = case.assessments.last()
    proposal = proposal_in(case)
    initial = {"expectedness": "expected" if proposal.is_expected else "unexpected"}
    form = JudgementForm(
        request.POST or None, record=case, signer=request.user, judged_before=before is not None, initial=initial
    )

    def save(form):
        names = ("causality", "expectedness", "comment", "reason", "version")
        values = {name: form.cleaned_data[name] for name in names if name in form.cleaned_data}
        actions.judge_case(case=case, **values, by=request.user)
        return Saved(case_address(case), None, _("The judgement is signed."))

    context = context_of(request, case, _("Judge the case for the sponsor"), event=case.event,
                         proposal=proposal, before=before)  # fmt: skip
    return answer_form(request, form, "safety/judge_case.html", context, save, confirm=confirming(request))


@needs(Permission.JUDGE_SERIOUS_EVENTS)
def freeze_case(request, pk):
    case = load_case(request.user, pk)
    require(request.user, Permission.JUDGE_SERIOUS_EVENTS, case.patient.site)
    form = CaseVersionForm(request.POST or None, record=case)

    def save(form):
        values = {"summary": form.cleaned_data["summary"], "version": form.cleaned_data["version"]}
        actions.make_case_version(case=case, **values, by=request.user)
        return Saved(case_address(case), None, _("The version is frozen."))

    context = context_of(request, case, _("Freeze a version of the case"), submit=_("Freeze"))
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.JUDGE_SERIOUS_EVENTS, Permission.REPORT_ADVERSE_EVENTS)
def correct_knowledge(request, pk):
    """The sponsor's day 0, or when the site knew that an event reported before is serious."""
    case = load_case(request.user, pk)
    by_sponsor = can(request.user, Permission.JUDGE_SERIOUS_EVENTS, case.patient.site)
    name = "sponsor_knew_at" if by_sponsor else "serious_since"
    if not by_sponsor:
        require(request.user, Permission.REPORT_ADVERSE_EVENTS, case.patient.site)
        if case.serious_since is None:  # it is the event's own awareness, changed there
            raise Http404
    form = KnowledgeForm(request.POST or None, record=case, name=name)

    def save(form):
        values = {key: form.cleaned_data[key] for key in (name, "reason", "version")}
        actions.correct_knowledge(case=case, **values, by=request.user)
        return Saved(case_address(case), None, _("The change is saved."))

    return answer_form(
        request, form, "form.html", context_of(request, case, _("Correct since when it was known")), save
    )


# --- what either one sent -----------------------------------------------------------------------------------


def reports_owed(user, case):
    """(code.stage, words) of the reports that this person may note as sent: first and complete ones once."""
    site, done = case.patient.site, {(s.duty, s.stage) for s in case.submissions.all()}
    needed = {"site": Permission.REPORT_ADVERSE_EVENTS, "sponsor": Permission.JUDGE_SERIOUS_EVENTS}
    stages = dict(Submission._meta.get_field("stage").choices)
    for duty in trial.protocol(case.protocol_version).safety_reporting:
        if duty.to == "sponsor" or not can(user, needed[duty.owed_by], site):
            continue
        possible = ["complete"] if duty.complete_days else []
        possible = ["first", *possible, "follow_up"]
        for stage in possible:
            if stage == "follow_up" or (duty.code, stage) not in done:
                yield f"{duty.code}.{stage}", f"{duty.name} · {stages[stage]}"


@needs(Permission.JUDGE_SERIOUS_EVENTS, Permission.REPORT_ADVERSE_EVENTS)
def record_submission(request, pk):
    case = load_case(request.user, pk)
    owed = list(reports_owed(request.user, case))
    if not owed:
        raise Http404
    form = SubmissionForm(request.POST or None, record=case, owed=owed, initial={"report": request.GET.get("report")})

    def save(form):
        duty, _dot, stage = form.cleaned_data["report"].partition(".")
        values = {name: form.cleaned_data[name] for name in ("case_version", "sent_at", "reference", "version")}
        actions.record_submission(case=case, duty=duty, stage=stage, **values, by=request.user)
        return Saved(case_address(case), None, _("The report is noted."))

    context = context_of(request, case, _("Note that a report was sent"))
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.JUDGE_SERIOUS_EVENTS, Permission.REPORT_ADVERSE_EVENTS)
def acknowledge_submission(request, pk):
    submissions = Submission.objects.visible_to(request.user).select_related("case__patient__site")
    submission = get_object_or_404(submissions, pk=pk)
    case = submission.case
    owed_by = {duty.code: duty.owed_by for duty in trial.protocol(case.patient.protocol_version).safety_reporting}
    needed = {"site": Permission.REPORT_ADVERSE_EVENTS}.get(
        owed_by.get(submission.duty), Permission.JUDGE_SERIOUS_EVENTS
    )
    require(request.user, needed, case.patient.site)
    zone = ZoneInfo(case.patient.site.timezone)
    form = AcknowledgementForm(request.POST or None, record=submission, zone=zone)

    def save(form):
        names = ("acknowledged_at", "acknowledgement", "reason", "version")
        values = {name: form.cleaned_data[name] for name in names if name in form.cleaned_data}
        actions.acknowledge_submission(submission=submission, **values, by=request.user)
        return Saved(case_address(case), None, _("The answer is noted."))

    return answer_form(request, form, "form.html", context_of(request, case, _("Note what was answered")), save)


# --- the form, and the copy that names the product --------------------------------------------------------


def load_version(user, pk):
    """A version of a case that goes to an authority with the product named; of any other there is no such copy."""
    versions = CaseVersion.objects.visible_to(user).select_related("case__event", "patient__site")
    version = get_object_or_404(versions, pk=pk)
    if not goes_to_authority(version.case):
        raise Http404
    return version


@needs(Permission.JUDGE_SERIOUS_EVENTS)
def ask_for_authority_copy(request, pk):
    version = load_version(request.user, pk)
    require(request.user, Permission.JUDGE_SERIOUS_EVENTS, version.patient.site)
    form = AskForCopyForm(request.POST or None)

    def save(form):
        purpose = form.cleaned_data["purpose"]
        copy = actions.ask_for_authority_copy(case_version=version, purpose=purpose, by=request.user)
        return Saved(case_address(version.case), copy.version, _("The copy is asked for."))

    intro = _(
        "The authority is told which product a suspected unexpected serious reaction followed; you and the sites stay masked. "
        "The statistician makes the copy that names it and sends it to the authority under the case number. You see when and by whom "
        "it was made, and note here when it was sent."
    )
    context = context_of(request, version.case, _("Ask the statistician for the authority's copy"), intro=intro,
                         submit=_("Ask for the copy"))  # fmt: skip
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.SEE_ARM)
def make_authority_copy(request, pk):
    """The CIOMS I form with the product named, as the answer to a signed form; that it was made is written down."""
    version = load_version(request.user, pk)
    if not may_make_copy(request.user, version.patient):
        raise Http404
    asked = version.authority_copies.filter(step=CopyStep.ASKED).last()
    form = MakeCopyForm(request.POST or None, signer=request.user, initial={"purpose": asked.purpose if asked else ""})
    made = []

    def save(form):
        purpose = form.cleaned_data["purpose"]
        made.append(actions.make_authority_copy(case_version=version, purpose=purpose, by=request.user))
        return Saved(case_address(version.case), made[0].version, _("The copy was made. To take it again, sign again."))

    def context():
        return {
            "strip": strip_of(request.user, version.patient),
            "patient": version.patient,
            "case": version.case,
            "case_version": version,
            "copies": version.authority_copies.select_related("by"),
        }

    # typeset before anything is written down: a copy that could not be made was not made
    confirm, files = confirming(request), []

    def confirm_and_typeset(form):
        confirm(form)
        files.append(authority_pdf(version, request.user))

    answer = answer_form(request, form, "safety/make_authority_copy.html", context, save, confirm=confirm_and_typeset)
    if made and answer.status_code == 302:
        list(messages.get_messages(request))  # it is for who sends the form again
        answer = as_file(files[0], f"{version.case.number}-{version.number}-cioms-authority.pdf")
    return answer


@needs(Permission.VIEW_ADVERSE_EVENTS)
@require_GET
def download_cioms(request, pk):
    """The CIOMS I form of one version, made from what was frozen, for the eyes of who asks; masked in a masked trial."""
    versions = CaseVersion.objects.visible_to(request.user).select_related("case", "patient__site")
    version = get_object_or_404(versions, pk=pk)
    return as_file(cioms_pdf(version, request.user), f"{version.case.number}-{version.number}-cioms.pdf")


def as_file(content, name):
    response = HttpResponse(content, content_type="application/pdf")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store, private"
    return response
