"""Verifying, reviewing and signing: the work-lists, the page on which forms are marked, the marks on other pages, holds."""

from datetime import datetime
from functools import partial

from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import Http404
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET

from patients.models import Hold, Line, Patient
from patients.views import PER_PAGE, load_patient, strip_of, visible_sites
from trialsite import trial
from trialsite.clock import told_at, zone_of
from trialsite.forms import answer_reason, confirming
from trialsite.reasons import reason_told
from trialsite.roles import Permission, can, needs, require
from trialsite.saving import Refused, Saved, answer_form, conflict_row
from trialsite.telling import Teller
from trialsite.templatetags.trial import number
from trialsite.ucum import unit_text
from visits import actions, forms, waiting
from visits.contents import (
    CASEBOOK,
    INFUSIONS,
    PANELS,
    Form,
    asked_of,
    confirmations_on,
    kinds,
    load_forms,
    number_of,
    queries_on,
)
from visits.models import Infusion, Mark, PanelState, Review, Visit, open_queries
from visits.ranges import range_text
from visits.reviews import MEANING_OF_CASEBOOK, MEANINGS, STEPS, reasons_not_to
from visits.views.confirmed import confirmed_in
from visits.views.grades import flag_of, grade_of
from visits.views.marks import PAGES
from visits.views.plan import load_visit, visit_context, visit_title

MARKING = (Permission.VERIFY_SOURCE, Permission.REVIEW_DATA, Permission.SIGN_DATA)
ACTION = {"verify": actions.verify_forms, "review": actions.review_forms, "sign": actions.sign_forms}


def known_step(step):
    if step not in PAGES:
        raise Http404
    return STEPS[step].permission


def tabs(user, step):
    return [
        (reverse("visits:list_to_check", args=[name]), page[0], name == step)
        for name, page in PAGES.items()
        if can(user, STEPS[name].permission)
    ]


# --- the work-lists -----------------------------------------------------------------------------------


@needs(*MARKING)
@require_GET
def start_checking(request):
    """The first work-list that this person has."""
    step = next(name for name in PAGES if can(request.user, STEPS[name].permission))
    return list_to_check(request, step)


@needs(*MARKING)
@require_GET
def list_to_check(request, step):
    """Visits with something to verify, to review or to sign, oldest first, and patients with such other records."""
    permission = known_step(step)
    require(request.user, permission)
    visits = PAGES[step][3](request.user)
    sites = visible_sites(request.user, permission)
    chosen = [int(pk) for pk in request.GET.getlist("site") if pk.isascii() and pk.isdigit() and len(pk) < 10]
    patients = waiting.patients_with_records_to(STEPS[step].after, request.user, permission)
    if chosen:
        visits, patients = visits.filter(patient__site__in=chosen), patients.filter(site__in=chosen)
    only = request.GET.get("patient", "")
    if only.isascii() and only.isdigit() and len(only) < 10:
        visits, patients = visits.filter(patient=only), patients.filter(pk=only)
    page = Paginator(visits, PER_PAGE).get_page(request.GET.get("page"))
    for visit in page.object_list:
        visit.title = visit_title(visit)
        visit.rest = visit.fields - visit.fields_done
    context = {
        "step": step, "heading": PAGES[step][0], "tabs": tabs(request.user, step), "page": page, "patients": patients[:PER_PAGE],
        "sites": sites, "chosen_sites": chosen, "may_freeze": can(request.user, Permission.REVIEW_DATA),
    }  # fmt: skip
    return render(request, "visits/list_to_check.html", context)


@needs(*MARKING)
@require_GET
def show_waiting(request, step):
    """The section of the start page, which asks for it once it is shown."""
    from visits.home import waiting_for

    require(request.user, known_step(step))
    return render(request, "_work_list.html", {"section": waiting_for(request.user, request.GET, step)})


# --- marking ------------------------------------------------------------------------------------------


@needs(*MARKING)
def check_record(request, step, app, model, pk):
    """One form: what changed after it was opened is refused (409), since the version shown is the version marked."""
    kind = kinds().get(f"{app}.{model}")
    if kind is None:
        raise Http404
    site = "site" if kind.label == CASEBOOK else "patient__site"
    record = get_object_or_404(kind.model.objects.visible_to(request.user).select_related(site), pk=pk)
    patient = record if kind.label == CASEBOOK else record.patient
    back = Form(kind, record).url
    return _check(request, step, patient, {kind.label: {pk}}, back=back, alone=True)


@needs(*MARKING)
def check_visit(request, step, pk):
    """All forms of a visit."""
    with_infusion = Visit.objects.visible_to(request.user).select_related("patient__site", "infusion")
    waiting_queries = number_of(queries_on(INFUSIONS, "infusion__pk").filter(open_queries()))
    confirmed = confirmations_on(INFUSIONS, "infusion__pk")
    visit = get_object_or_404(
        with_infusion.annotate(waiting_queries=waiting_queries, confirmed_checks=confirmed), pk=pk
    )
    infusion = getattr(visit, "infusion", None)
    if infusion is not None:
        infusion.waiting_queries, infusion.confirmed_checks = visit.waiting_queries, visit.confirmed_checks
    wanted = {PANELS: entered_panels(visit), INFUSIONS: [infusion] if infusion is not None else []}
    heading = f"{visit.code} · {visit_title(visit)}"
    return _check(request, step, visit.patient, wanted, back=reverse("visits:show_visit", args=[pk]), of=heading)


@needs(*MARKING)
def check_patient(request, step, pk):
    """The records of a patient outside the visits for which the protocol asks for the mark."""
    patient = load_patient(request.user, pk)
    known_step(step)
    wanted = {label: kinds()[label].model.objects.all() for label in asked_of(patient.protocol, STEPS[step].after)}
    return _check(
        request, step, patient, wanted, back=reverse("patients:show_patient", args=[pk]),
        of=_("Records outside the visits"), only_open=True,
    )  # fmt: skip


def entered_panels(visit):
    return visit.panels.exclude(state=PanelState.EXPECTED).order_by("position")


def where_next(request, step, patient, wanted, *, back, visit=None, alone):
    """After marking: to the next form of the visit that this person may mark now; when none is left, to the visit (or to
    `back`). Several forms stand on one page: that one again, at the next form."""
    if alone and visit is None:
        return back
    if alone:
        wanted = {PANELS: entered_panels(visit), INFUSIONS: Infusion.objects.filter(visit=visit)}
        back = reverse("visits:show_visit", args=[visit.pk])
    forms_there = load_forms(wanted, patient=patient, reviews=True).values()
    entries = [entry_of(form, step, step, waiting.standing_of_form(form, patient)) for form in forms_there]
    left = [entry for entry in entries if entry["is_open"] and entry["is_asked"] and not entry["reasons"]]
    if not left:
        return back
    if not alone:
        return f"{request.path}#{left[0]['anchor']}"
    label, pk = left[0]["form"].key
    return reverse("visits:check_record", args=[step, *label.split("."), pk])


def _check(request, step, patient, wanted, *, back, of="", alone=False, only_open=False):
    permission = known_step(step)
    require(request.user, permission, patient.site)
    rule = "sign_casebook" if CASEBOOK in wanted else step
    if CASEBOOK in wanted and step != "sign":
        raise Http404
    shown = list(load_forms(wanted, patient=patient, reviews=True).values())
    entries = [entry_of(form, step, rule, waiting.standing_of_form(form, patient)) for form in shown]
    if only_open:
        entries = [entry for entry in entries if entry["is_open"] and entry["is_asked"]]
    meanings = (MEANING_OF_CASEBOOK,) if CASEBOOK in wanted else MEANINGS
    initial = {
        "seen": " ".join(
            f"{token_of(entry['form'])}:{entry['form'].record.version}:{entry['form'].digest}" for entry in entries
        ),
        # of several forms only those are compared with the source of which a person says so
        "chosen": [entry["token"] for entry in entries if not entry["reasons"] and (alone or step != "verify")],
    }
    kwargs = {"record": shown[0].record if alone and shown else None, "initial": initial}
    if step == "sign":
        form = forms.SignForm(request.POST or None, meanings=meanings, signer=request.user, **kwargs)
    else:
        form = forms.CheckForm(request.POST or None, **kwargs)

    def save(form):
        more = {"meaning": form.cleaned_data["meaning"]} if step == "sign" else {}
        seen = chosen_of(
            form, entries if not only_open else [{"form": one, "open_fields": []} for one in shown], entries
        )
        marks, left_out = ACTION[step](patient=patient, seen=seen, alone=alone, **more, by=request.user)
        told = [f"{title}: {' '.join(why)}" for title, why in left_out]
        if not marks:
            raise Refused({"": told or [_("Choose at least one.")]})
        message = ngettext("%(n)d mark is set: %(what)s.", "%(n)d marks are set: %(what)s.", len(marks))
        message %= {"n": len(marks), "what": PAGES[step][4]}
        if told:
            message += " " + _("Left out: %(forms)s") % {"forms": " / ".join(told)}
        visit = shown[0].visit if alone else None
        address = where_next(request, step, patient, wanted, back=back, visit=visit, alone=alone)
        return Saved(address, None, message)

    def conflict(form, stale):
        version = next((version for version, _digest in shown_in(form).values()), "")
        rows = [conflict_row(_("Version"), version, str(stale.current.version))]
        if rows[0]["differs"]:
            return rows
        return [*rows, conflict_row(_("What belongs to it"), _("as you opened it"), _("changed since"))]

    def context():
        return {
            "patient": patient, "strip": strip_of(request.user, patient), "step": step, "entries": entries,
            "heading": PAGES[step][1], "of": of or (shown[0].title if shown else ""), "button": PAGES[step][2], "cancel": back,
            "chosen": set(form.data.getlist("chosen") if form.is_bound else initial["chosen"]),
            "meanings": meanings, "can_mark": any(entry["is_open"] and not entry["reasons"] for entry in entries),
        }  # fmt: skip

    confirm = confirming(request) if step == "sign" else None
    return answer_form(
        request, form, "visits/check.html", context, save, conflict=conflict if alone else None, confirm=confirm
    )


def token_of(form, field=""):
    return ":".join(str(part) for part in (*form.key, *([field] if field else [])))


def shown_in(form):
    """{form: (version, digest)}: how the forms were shown on the page that was sent."""
    shown = (one.rsplit(":", 2) for one in form.cleaned_data["seen"].split())
    return {token: (version, digest) for token, version, digest in shown}


def chosen_of(form, allowed, entries):
    """The forms (and fields) that were ticked, as they were shown."""
    known = {token_of(entry["form"]): entry["form"] for entry in allowed}
    open_fields = {entry["token"]: entry["open_fields"] for entry in entries}
    shown = shown_in(form)
    fields = {}
    for token in form.cleaned_data["chosen"]:
        name, field = (
            (token, "") if token.count(":") == 1 else token.rsplit(":", 1) if token.count(":") == 2 else ("", "")
        )
        fields.setdefault(name, []).append(field)
    for token in form.cleaned_data["all"].split():
        fields[token] = list(open_fields.get(token, []))
    seen = []
    for name, ticked in fields.items():
        if name not in known or name not in shown:
            raise Refused(_("The form is incomplete. Open it again and repeat the entry."))
        if ticked:
            version, digest = shown[name]
            seen.append(actions.Seen(*known[name].key, int(version), tuple(dict.fromkeys(ticked)), digest))
    return seen


def entry_of(form, step, rule, standing):
    """What the page shows of one form: its values, which of them wait for the mark, or why it cannot be marked."""
    mark = STEPS[rule].after
    verifies_fields = step == "verify" and form.kind.label == PANELS
    wanted = form.fields_to_verify if step == "verify" else [""]
    done = {field for what, field in standing.marks if what == mark}
    rows = rows_of(form)
    for row in rows:
        row["is_verified"] = (Mark.VERIFIED, row["code"]) in standing.marks if row["code"] else False
        row["is_wanted"] = row["code"] in form.fields_to_verify if row["code"] else False
        row["token"] = token_of(form, row["code"]) if verifies_fields and row["code"] and row["is_there"] else ""
    open_fields = [field for field in wanted if field not in done]
    is_open = any(row["token"] and not row["is_verified"] for row in rows) if verifies_fields else "" not in done
    reasons = [str(reason) for reason in reasons_not_to(rule, standing, open_fields[0] if open_fields else "-")]
    is_asked = bool(open_fields) if step == "verify" else not standing.is_withdrawn and form.protocol.is_signed(
        form.kind.code) if step == "sign" else not standing.is_withdrawn  # fmt: skip
    return {
        "form": form, "token": token_of(form), "anchor": f"{form.record._meta.model_name}-{form.record.pk}", "rows": rows, "reasons": reasons if is_open else [], "is_open": is_open,
        "is_asked": is_asked, "open_fields": open_fields, "by_field": verifies_fields, "wanted": len(wanted),
        "done": len([field for field in wanted if field in done]),
    }  # fmt: skip


def rows_of(form):
    """The values of a form as people read them: label, value, unit, test code where a field can be verified."""
    if form.kind.label == PANELS:
        return _rows_of_panel(form)
    if form.kind.label == CASEBOOK:
        rows = [row_of(part.title, _("version %(n)d") % {"n": part.record.version}) for part in form.parts]
        zone = zone_of(form.record.site)
        return rows + [row_of(f"{row._meta.verbose_name} {row}", _words_beside(row, zone)) for row in form.beside]
    zone, confirmed = zone_of(form.record.patient.site), confirmed_in(form.record, form.protocol)
    rows = [
        row_of(label, value) | {"confirmed": confirmed.get((name, None))}
        for name, label, value in _columns_shown(form.record, zone)
    ]
    return rows + [
        row_of(part._meta.verbose_name, _words_of(part, zone))
        | {"confirmed": confirmed.get((getattr(part, "test", None), getattr(part, "minute", None)))}
        for part in form.parts
    ]


UNSHOWN = ("id", "version", "patient", "visit", "preparation", "reported_by", "is_withdrawn")


def _columns_shown(record, zone, unshown=UNSHOWN):
    """(column, column in words, value in words) of what is filled in; instants by the clock of the site, as on its own page."""
    teller = Teller(trial.current_protocol(), zone=zone)
    line = {f.column: getattr(record, f.attname) for f in record._meta.concrete_fields}
    for f in record._meta.concrete_fields:
        value = getattr(record, f.attname)
        if f.name in unshown or value in (None, "", [], {}):
            continue
        if isinstance(value, datetime):
            yield f.name, f.verbose_name, told_at(value, zone)
        else:
            told = teller.value(f, value, line) if isinstance(value, (str, bool, dict, list)) else value
            yield f.name, f.verbose_name, told


def _words_beside(row, zone):
    """What the casebook's signature covers of a row that is no form of its own."""
    return " · ".join(
        f"{label}: {value}" for _name, label, value in _columns_shown(row, zone, (*UNSHOWN, "hold", "proposal_key"))
    )


def _words_of(part, zone):
    """A row that belongs to a form, with all that is marked with it; of a line entered in error, that it is one."""
    if getattr(part, "minute", None) is not None:
        return f"{part} · {part.minute} min"
    if not isinstance(part, Line):
        return " · ".join(filter(None, [str(part), getattr(part, "comment", "")]))
    columns = _columns_shown(part, zone, (*UNSHOWN, "infusion", "protocol_version"))
    words = [f"{label}: {value}" for _name, label, value in columns]
    return " · ".join([*words, *([_("entered in error")] if part.is_withdrawn else [])])


def _rows_of_panel(form):
    there = {m.test: m for m in form.parts}
    panel = form.record
    if panel.state == PanelState.NOT_DONE:
        return [row_of(_("Not done"), reason_told(panel.not_done_because))]
    confirmed = confirmed_in(panel, form.protocol)
    collected = f"{panel.collected_on or ''} {panel.collected_at or ''}".strip()
    rows = [row_of(_("Collected on"), collected) | {"confirmed": confirmed.get(("", None))}]
    if panel.laboratory:
        rows.append(row_of(_("Laboratory"), panel.laboratory.name))
    for test in form.protocol.tests_of(panel.code):
        m = there.get(test.code)
        value = test.choice_label(m.typed) if m and m.typed else m.get_missing_because_display() if m else ""
        is_there = bool(m and (m.typed or m.missing_because)) and not m.is_computed
        unit = m.reported_unit or m.unit if m and m.typed else ""
        row = row_of(test.name, value, unit, test.code, is_there, note=_said_of(m) if m and m.typed else "")
        row["confirmed"] = confirmed.get((test.code, None))
        rows.append(row | {"flag": flag_of(m.flag), "grade": grade_of(m)} if m else row)
    if panel.comment:
        rows.append(row_of(_("Comment"), panel.comment))
    return rows


def _said_of(m):
    """What is stored with a result and signed with it: range, the value in the protocol's unit, where it comes from."""
    span = range_text(m.reported_low, m.reported_high) or range_text(m.low, m.high)
    is_converted = m.value is not None and m.reported_unit not in ("", m.unit)
    return " · ".join(
        filter(None, [
            _("range %(range)s") % {"range": span} if span else "",
            f"= {m.operator}{number(m.value)} {unit_text(m.unit)}" if is_converted else "",
            _("computed") if m.is_computed else "",
        ])
    )  # fmt: skip


def row_of(label, value, unit="", code="", is_there=False, note=""):
    return {"label": label, "value": value, "unit": unit, "code": code, "is_there": is_there, "note": note}


# --- taking back ---------------------------------------------------------------------------------------


@needs(*MARKING)
def take_back_mark(request, pk):
    mark = get_object_or_404(Review.objects.visible_to(request.user).select_related("patient__site", "visit"), pk=pk)
    require(
        request.user, next(step for step in STEPS.values() if step.after == mark.mark).permission, mark.patient.site
    )
    label = mark.record
    [about] = load_forms({label: {mark.record_id}}, patient=mark.patient).values()

    def context():
        return {
            "patient": mark.patient, "strip": strip_of(request.user, mark.patient), "heading": _("Take back a mark"),
            "intro": f"{about.title}: {mark.get_mark_display()}, {mark.printed_name}", "cancel": about.url, "danger": True,
            "submit": _("Take back"),
        }  # fmt: skip

    act = partial(actions.take_back_mark, mark=mark)
    return answer_reason(request, mark, act, context, back=about.url, said=_("The mark is void."))


# --- holds ---------------------------------------------------------------------------------------------


@needs(Permission.REVIEW_DATA)
def hold_visit(request, pk):
    visit = load_visit(request.user, pk)
    require(request.user, Permission.REVIEW_DATA, visit.patient.site)
    counted = waiting.with_standing(Visit.objects.filter(pk=pk)).get()
    counted.patient = visit.patient
    standing = waiting.standing_of_visit(counted)

    def act(**values):
        return actions.hold_visit(visit=visit, **values)

    context = visit_context(request, visit, _("Freeze or lock: %(visit)s") % {"visit": visit.code})
    return _hold(request, visit, standing, act, context, reverse("visits:show_visit", args=[pk]))


@needs(Permission.REVIEW_DATA)
def hold_patient(request, pk):
    patient = load_patient(request.user, pk)
    require(request.user, Permission.REVIEW_DATA, patient.site)
    standing = waiting.standing_of_patient(patient)

    def act(**values):
        return actions.hold_patient(patient=patient, **values)

    def context():
        return {"patient": patient, "strip": strip_of(request.user, patient), "heading": _("Freeze or lock all records"),
                "cancel": reverse("patients:show_patient", args=[pk])}  # fmt: skip

    return _hold(request, patient, standing, act, context, reverse("patients:show_patient", args=[pk]))


def _hold(request, record, standing, act, context, back):
    steps = {name: step for name, step in STEPS.items() if step.of == "hold" and standing.hold in step.before}
    form = forms.HoldForm(
        request.POST or None, record=record, steps=[(name, step.words) for name, step in steps.items()]
    )

    def save(form):
        saved = act(step=form.cleaned_data["step"], reason=form.cleaned_data["reason"],
                    version=form.cleaned_data["version"], by=request.user)  # fmt: skip
        return Saved(back, saved.version, _("These records are now: %(hold)s.") % {"hold": saved.get_hold_display()})

    def shown():
        reasons = [(step.words, [str(r) for r in reasons_not_to(name, standing)]) for name, step in steps.items()]
        return {**context(), "reasons": [row for row in reasons if row[1]], "held": Hold(standing.hold).label}

    return answer_form(request, form, "visits/hold.html", shown, save)


PATIENTS_TO_FREEZE = 10  # on a page, each with all visits that are ready


@needs(Permission.REVIEW_DATA)
def freeze_visits(request):
    """The visits that are ready, by patient, each with a tick; nothing is ticked until a person says so."""
    user = request.user
    shown = forms.FreezeFilter(request.GET, sites=visible_sites(user, Permission.REVIEW_DATA))
    form = forms.FreezeForm(request.POST or None)
    where = "?".join(filter(None, [reverse("visits:freeze_visits"), _without(request.GET, "tick")]))

    def save(form):
        seen = _ticked(user, form.cleaned_data)
        frozen, left_out = actions.freeze_visits(seen=seen, by=user)
        message = ngettext("%(n)d visit is frozen.", "%(n)d visits are frozen.", len(frozen)) % {"n": len(frozen)}
        told = [f"{visit.patient.number} {visit.code}: {why}" for visit, why in left_out]
        if told:
            message += " " + _("Left out: %(forms)s") % {"forms": " / ".join(told)}
        return Saved(where, None, message)

    def context():
        ready = _to_freeze(user, shown.chosen)
        counts = ready.order_by().aggregate(total=Count("pk"), signed=Count("pk", filter=Q(unsigned=0)))
        patients = Patient.objects.filter(pk__in=ready.order_by().values("patient")).order_by("number")
        page = Paginator(patients, PATIENTS_TO_FREEZE).get_page(request.GET.get("page"))
        groups = {patient.pk: {"patient": patient, "visits": []} for patient in page.object_list}
        for visit in ready.filter(patient__in=groups):
            visit.token, visit.title = f"{visit.pk}:{visit.version}", visit_title(visit)
            groups[visit.patient_id]["visits"].append(visit)
        of_page = [visit for group in groups.values() for visit in group["visits"]]
        chosen, whole = set(), set()
        if form.is_bound:
            chosen, whole = set(form.data.getlist("chosen")), set(form.data.getlist("patients"))
        elif request.GET.get("tick") == "signed":
            chosen = {visit.token for visit in of_page if not visit.unsigned}
        for group in groups.values():
            group["is_whole"] = (
                str(group["patient"].pk) in whole or {visit.token for visit in group["visits"]} <= chosen
            )
        form.initial["seen"] = " ".join(visit.token for visit in of_page)
        return {
            "filter": shown, "page": page, "groups": groups.values(), "chosen": chosen, "counts": counts,
            "seen": form.initial["seen"], "signed_here": sum(not visit.unsigned for visit in of_page),
            "heading": _("Freeze visits"), "cancel": reverse("visits:list_to_check", args=["review"]),
        }  # fmt: skip

    return answer_form(request, form, "visits/freeze_visits.html", context, save)


def _to_freeze(user, chosen):
    """Those of the visits that are ready which a filter asks for."""
    ready = waiting.to_freeze(user)
    if chosen.get("site"):
        ready = ready.filter(patient__site=chosen["site"])
    if chosen.get("patient"):
        ready = ready.filter(patient__number__iexact=chosen["patient"])
    if chosen.get("signed"):
        ready = ready.filter(unsigned=0) if chosen["signed"] == "yes" else ready.filter(unsigned__gt=0)
    return ready


def _without(address, *names):
    """The filters of an address but for these."""
    kept = address.copy()
    for name in names:
        kept.pop(name, None)
    return kept.urlencode()


def _ticked(user, ticked):
    """(visit, version in which it was shown) of all that was ticked, one by one or as all of a patient."""
    chosen = dict(token.split(":") for token in ticked["chosen"])
    shown = dict(token.split(":") for token in ticked["seen"].split()) if ticked["patients"] else {}
    loaded = Visit.objects.visible_to(user).select_related("patient__site")
    visits = [
        visit
        for visit in loaded.filter(Q(pk__in=chosen) | Q(pk__in=shown, patient__in=ticked["patients"]))
        if can(user, Permission.REVIEW_DATA, visit.patient.site)
    ]
    versions = shown | chosen
    if not visits or not {int(pk) for pk in chosen} <= {visit.pk for visit in visits}:
        raise Refused(_("Choose at least one visit of the list."))
    return [(visit, int(versions[str(visit.pk)])) for visit in visits]
