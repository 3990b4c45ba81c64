"""Which edit checks this trial runs, what came of them, and which of them are silent."""

from functools import partial

from django.http import Http404
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from trialsite import trial
from trialsite.forms import ReasonForm, answer_reason
from trialsite.roles import Permission, needs, sites_where
from trialsite.saving import Saved, answer_form
from visits import actions, catalogue, edit_checks
from visits.models import RetiredCheck


def may_retire(user):
    """A check is silent at all sites alike: who retires it reviews the data of all."""
    return sites_where(user, Permission.REVIEW_DATA) is None


@needs(Permission.RAISE_QUERIES, Permission.VIEW_PATIENTS)
@require_GET
def list_checks(request):
    protocol = trial.current_protocol()
    statistics, retired = catalogue.statistics_for(request.user), catalogue.retired_now()
    rows = catalogue.table(protocol, statistics, retired)
    tests = catalogue.table_of_tests(protocol, statistics, retired)
    subjects = [
        (subject, [row for row in rows if row["subject"] == subject])
        for subject in dict.fromkeys(row["subject"] for row in rows)
    ]
    context = {
        "subjects": subjects, "tests": tests, "proposed": [row for row in [*rows, *tests] if row["is_proposed"]],
        "retired": [row for row in [*rows, *tests] if row["retired"]], "may_retire": may_retire(request.user),
        "total": sum(statistics.values(), catalogue.Statistics()), "least": catalogue.LEAST_FIRINGS,
        "percent": catalogue.USELESS_ABOVE_PERCENT,
    }  # fmt: skip
    return render(request, "visits/list_checks.html", context)


def name_of(code, test, protocol):
    title = _(edit_checks.BY_CODE[code].title)
    return f"{title}: {protocol.test(test).name}" if test else title


@needs(Permission.REVIEW_DATA)
def retire_check(request, key):
    protocol = trial.current_protocol()
    named = catalogue.key_named(key, protocol)
    if named is None or not may_retire(request.user):
        raise Http404
    code, test = named
    form = ReasonForm(request.POST or None)

    def save(form):
        retired = actions.retire_check(code=code, test=test, **form.values, by=request.user)
        return Saved(reverse("visits:list_checks"), retired.version, _("The check is silent from now on."))

    context = {
        "heading": _("Retire a check"),
        "intro": _("%(check)s. A retired check asks nothing more, at any site, until it is restored. Queries that it has opened stay.")
        % {"check": name_of(code, test, protocol)}, "submit": _("Retire"),
        "cancel": reverse("visits:list_checks"),
    }  # fmt: skip
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.REVIEW_DATA)
def restore_check(request, pk):
    retired = get_object_or_404(RetiredCheck.objects.visible_to(request.user), pk=pk)
    if not may_retire(request.user):
        raise Http404
    back = reverse("visits:list_checks")
    context = {
        "heading": _("Restore a check"), "submit": _("Restore"), "cancel": back,
        "intro": name_of(retired.check_code, retired.test, trial.current_protocol()),
    }  # fmt: skip
    act = partial(actions.restore_check, retired=retired)
    return answer_reason(request, retired, act, context, back=back, said=_("The check speaks again."))
