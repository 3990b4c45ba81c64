"""Flags and grades as they stand beside a value (`_row_flags.html`), and the page on which a proposed grade is answered."""

from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _

from trialsite.clock import day_at
from trialsite.grade_words import row_told
from trialsite.roles import Permission, needs, require
from trialsite.saving import Saved, answer_form
from trialsite.ucum import unit_text
from visits import actions, forms
from visits.grading import TOLD
from visits.models import Flag, Measurement
from visits.views.plan import visit_context


def flag_of(flag):
    return {"kind": "high" if flag == Flag.HIGH else "low", "text": Flag(flag).label} if flag else None


def grade_told(grade, is_to_confirm, because):
    """A grade as it stands beside a value: from 1 on, and why there is none. A question mark says that it is to be confirmed."""
    if grade:
        return {"kind": f"g{grade}", "text": (_("grade %d?") if is_to_confirm else _("grade %d")) % grade}
    return {"why": _("no grade: %s") % TOLD[because]} if because else None


def grade_of(m):
    """The grade of a measurement as it is told, or None; `answer` is the page on which a person answers for it,
    `answer_text` what the link to it says."""
    told = grade_told(m.grade, m.grade_is_to_confirm, m.ungraded_because) if m.typed else None
    if m.typed and (asked := actions.proposed_grade(m)):
        says = _("grade answered") if asked.is_answered else _("confirm the grade")
        told = {
            **(told or {}),
            "answer": reverse("visits:confirm_grade", args=[m.pk]),
            "answer_text": says if asked.is_answered or asked.is_proposed else _("raise the grade"),
        }
    return told


@needs(Permission.SIGN_DATA)
def confirm_grade(request, pk):
    """The investigator answers which grade of its row a result has, where the number alone does not say, or raises it."""
    measured = Measurement.objects.visible_to(request.user)
    measured = measured.select_related("patient__site", "panel__visit", "infusion__visit", "answered_by")
    m = get_object_or_404(measured, pk=pk)
    require(request.user, Permission.SIGN_DATA, m.patient.site)
    asked = actions.proposed_grade(m)
    if asked is None and request.method != "POST":
        raise Http404
    visit = (m.panel or m.infusion).visit
    visit.patient = m.patient
    test = visit.protocol.test(m.test)
    form = forms.GradeAnswerForm(request.POST or None, record=m, asked=asked)
    page = reverse("visits:enter_panel", args=[m.panel_id]) if m.panel_id else (
        reverse("visits:record_infusion", args=[visit.pk])
    )  # fmt: skip

    def save(form):
        values = {name: form.cleaned_data[name] for name in ("grade", "reason", "version")}
        saved = actions.confirm_grade(measurement=m, **values, by=request.user)
        return Saved(page, saved.version, _("The grade is kept."))

    intro = _("%(test)s %(typed)s %(unit)s on %(day)s") % {
        "test": test.name, "typed": m.typed, "unit": unit_text(m.reported_unit or m.unit), "day": m.collected_on,
    }  # fmt: skip
    if asked:
        scale, row = asked.scale, asked.row
        named = {
            "scale": scale.name,
            "version": scale.version,
            "row": row_told(scale.name, scale.version, row.id),
            "grade": asked.grade,
        }
        says = _("By the number, %(scale)s %(version)s (%(row)s) proposes grade %(grade)s.") if asked.is_proposed else _(
            "By the number it is grade %(grade)s of %(scale)s %(version)s (%(row)s). What is known of the patient may "
            "make it a higher one.")  # fmt: skip
        intro += " · " + says % named
    if m.answered_at and asked and asked.is_answered:
        named = {"grade": m.answered_grade, "name": m.answered_by, "day": day_at(m.patient.site, m.answered_at)}
        intro += " " + _("Answered: grade %(grade)s, by %(name)s on %(day)s.") % named
    context = visit_context(request, visit, _("Grade of a result"), intro=intro, cancel=page)
    return answer_form(request, form, "form.html", context, save)
