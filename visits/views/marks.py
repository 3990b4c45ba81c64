"""The marks as pages show them: who verified, reviewed or signed a form, when, with which meaning, and what is void."""

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from patients.models import Hold
from trialsite.clock import told_at, zone_of
from trialsite.reasons import reason_told
from trialsite.roles import can
from trialsite.telling import roles_told
from trialsite.words import listed
from visits import waiting
from visits.contents import CASEBOOK, INFUSIONS, PANELS, Form, fault_of, kinds
from visits.models import Mark, Measurement, PanelState, Review
from visits.reviews import STEPS

# step: (heading of the list, of the page, the button, its rows, what was done)
PAGES = {
    "verify": (gettext_lazy("To verify"), gettext_lazy("Verify against the source"), gettext_lazy("Mark as verified"),
               waiting.to_verify, gettext_lazy("verified")),
    "review": (gettext_lazy("To review"), gettext_lazy("Review the data"), gettext_lazy("Mark as reviewed"),
               waiting.to_review, gettext_lazy("reviewed")),
    "sign": (gettext_lazy("To sign"), gettext_lazy("Sign"), gettext_lazy("Sign"), waiting.to_sign, gettext_lazy("signed")),
}  # fmt: skip
# the look of a mark
MARK_CLASS = {Mark.VERIFIED: "verified", Mark.REVIEWED: "done", Mark.SIGNED: "signed"}


def shown_mark(review, site, form=None):
    """A mark as every page shows it: printed name, date and time where it was set, meaning; and whether it is valid."""
    zone = zone_of(site)
    return {
        "review": review,
        "mark": review.mark,
        "text": review.get_mark_display(),
        "status": MARK_CLASS[review.mark],
        "name": review.printed_name,
        "roles": roles_told(review.roles),
        "at": told_at(review.at, zone, seconds=True),
        "meaning": _(review.meaning) if review.meaning else "",
        "version": review.record_version,
        "fields": [review.field] if review.field else [],
        "is_void": review.is_void,
        "void_since": told_at(review.void_at, zone, seconds=True),
        "void_because": reason_told(review.void_because),
        "fault": fault_of(review, form) if form is not None and not review.is_void else "",
    }


def shown_marks(form, site, is_checked=True):
    """The marks of a form, those of fields that one person verified at one instant in one line; void ones last."""
    lines = {}
    for review in form.reviews:
        line = shown_mark(review, site, form if is_checked else None)
        key = (review.mark, review.by_id, review.at, review.void_at, line["fault"])
        if key in lines:
            lines[key]["fields"] += line["fields"]
        else:
            lines[key] = line
    names = {test.code: test.name for test in form.protocol.tests} if form.kind.label == PANELS else {}
    for line in lines.values():
        line["fields"] = listed(names.get(code, code) for code in line["fields"])
    return sorted(lines.values(), key=lambda line: line["is_void"])


def open_steps(form):
    """The steps (keys of PAGES) whose mark this form lacks; none while nothing is entered in it."""
    marks, wanted = form.standing_marks, form.fields_to_verify
    if getattr(form.record, "state", "") == PanelState.EXPECTED or getattr(form.record, "is_withdrawn", False):
        return set()
    verified = all((Mark.VERIFIED, field) in marks for field in wanted) if wanted else False
    done = {step for step in PAGES if (STEPS[step].after, "") in marks} | ({"verify"} if verified else set())
    return set(PAGES) - done


def marks_of(user, form, patient):
    """For `visits/_marks.html`: the marks of one form whose reviews and parts are loaded, and what the person may do."""
    marks, wanted = form.standing_marks, form.fields_to_verify
    verified = [field for field in wanted if (Mark.VERIFIED, field) in marks]
    steps, to_do = [], open_steps(form)
    for step, page in PAGES.items():
        if can(user, STEPS[step].permission, patient.site) and step in to_do:
            app, model = form.kind.label.split(".")
            steps.append((reverse("visits:check_record", args=[step, app, model, form.record.pk]), page[1]))
    lines = shown_marks(form, patient.site)
    return {
        "lines": lines,
        "steps": steps,
        "wanted": len(wanted),
        "verified": len(verified),
        "not_signed": any(line["mark"] == Mark.SIGNED and line["is_void"] for line in lines)
        and (Mark.SIGNED, "") not in marks,
        "hold": held(patient, form.visit),
    }


def marks_of_parts(user, record, parts):
    """`marks_of` a record whose patient and visit, and the rows that belong to it, are at hand: one statement."""
    form = Form(kinds()[record._meta.label_lower], record, sorted(parts, key=lambda p: (p._meta.label_lower, p.pk)))
    marks = Review.objects.filter(record=form.kind.label, record_id=record.pk).select_related("void_by")
    form.reviews = list(marks.order_by("id"))
    return marks_of(user, form, record.patient)


def held(patient, visit=None):
    """(status, words) of what keeps these records from being changed, or None."""
    for owner, frozen, locked in (
        (patient, _("all records of the patient are frozen"), _("all records of the patient are locked")),
        (visit, _("this visit is frozen"), _("this visit is locked")),
    ):
        if owner is not None and owner.hold == Hold.LOCKED:
            return "locked", locked
        if owner is not None and owner.hold == Hold.FROZEN:
            return "frozen", frozen
    return None


def marks_of_visit(visit, panels, infusion):
    """For the page of a visit: each panel, and the infusion, gets its `marks`; two statements. Those of panels are held
    against the data; those of the infusion on its own page."""
    forms = {(PANELS, panel.pk): Form(kinds()[PANELS], panel) for panel in panels}
    for measurement in Measurement.objects.filter(panel__visit=visit).order_by("pk"):
        forms[PANELS, measurement.panel_id].parts.append(measurement)
    if infusion:
        forms[INFUSIONS, infusion.pk] = Form(kinds()[INFUSIONS], infusion)
    for review in visit.reviews.select_related("void_by").order_by("id"):
        if (review.record, review.record_id) in forms:
            forms[review.record, review.record_id].reviews.append(review)
    for (label, _pk), form in forms.items():
        form.record.visit, form.record.patient = visit, visit.patient
        marks, wanted = form.standing_marks, form.fields_to_verify
        lines = shown_marks(form, visit.patient.site, is_checked=label == PANELS)
        is_signed = (Mark.SIGNED, "") in marks
        form.record.marks = {
            "verified": sum((Mark.VERIFIED, field) in marks for field in wanted),
            "wanted": len(wanted),
            "lines": [line for line in lines if not line["is_void"] and line["mark"] != Mark.VERIFIED],
            "void": [line for line in lines if line["is_void"] and not is_signed][-1:],
            "faults": [line for line in lines if line["fault"]],
            "is_signed": is_signed,
            "open_steps": open_steps(form) if wanted else open_steps(form) - {"verify"},
        }


def patient_checks(user, patient):
    """For a patient's page: the hold, what may be marked or held, and the signatures of the casebook; one statement."""
    links = []
    for step, page in PAGES.items():
        if can(user, STEPS[step].permission, patient.site):
            links.append((reverse("visits:check_patient", args=[step, patient.pk]), page[1]))
    if can(user, STEPS["sign_casebook"].permission, patient.site) and not patient.is_open:
        address = reverse("visits:check_record", args=["sign", *CASEBOOK.split("."), patient.pk])
        links.append((address, _("Sign the casebook")))
    if can(user, STEPS["freeze"].permission, patient.site) and not patient.is_open:
        links.append((reverse("visits:hold_patient", args=[patient.pk]), _("Freeze or lock all records")))
    marks = Review.objects.filter(record=CASEBOOK, record_id=patient.pk).select_related("void_by").order_by("-id")
    reviews = [] if patient.is_open else marks  # a casebook is signed at the end
    lines = [shown_mark(review, patient.site) for review in reviews]
    return {"hold": held(patient), "links": links, "lines": lines}
