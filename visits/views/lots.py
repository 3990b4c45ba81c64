"""Product lots, for those who may know the product."""

from functools import partial

from django.core.paginator import Paginator
from django.db.models import Count
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from patients.views import PER_PAGE, visible_sites
from trialsite import trial
from trialsite.clock import today_at
from trialsite.forms import answer_reason
from trialsite.roles import Permission, needs, require
from trialsite.saving import DataForm, Saved, answer_form
from visits import actions, forms
from visits.models import (
    Lot,
    LotState,
)


@needs(Permission.MANAGE_LOTS)
@require_GET
def list_lots(request):
    lots = (
        Lot.objects.visible_to(request.user)
        .select_related("site")
        .annotate(used=Count("preparations"))
        .order_by("-expires_on", "number")
    )
    page = Paginator(lots, PER_PAGE).get_page(request.GET.get("page"))
    protocol = trial.current_protocol()
    for lot in page.object_list:
        lot.product_name = protocol.product(lot.product).name
        lot.is_expired = lot.expires_on < today_at(lot.site)
    return render(request, "visits/list_lots.html", {"page": page})


@needs(Permission.MANAGE_LOTS)
def receive_lot(request):
    sites = visible_sites(request.user, Permission.MANAGE_LOTS)
    form = forms.ReceiveLotForm(request.POST or None, sites=sites, products=trial.current_protocol().products)

    def save(form):
        require(request.user, Permission.MANAGE_LOTS, form.cleaned_data["site"])
        lot = actions.receive_lot(**form.values, by=request.user)
        return Saved(reverse("visits:show_lot", args=[lot.pk]), lot.version, _("The lot is in quarantine."))

    context = {"heading": _("Receive a lot"), "cancel": reverse("visits:list_lots")}
    return answer_form(request, form, "form.html", context, save)


def load_lot(user, pk):
    return get_object_or_404(Lot.objects.visible_to(user).select_related("site"), pk=pk)


@needs(Permission.MANAGE_LOTS)
def show_lot(request, pk):
    """A lot with its release tests; the tests are entered here while it is in quarantine."""
    lot = load_lot(request.user, pk)
    protocol = trial.current_protocol()
    product = protocol.product(lot.product)
    tests = {test.code: test for test in lot.tests.all()}
    form = forms.LotTestsForm(
        request.POST or None, record=lot, product=product, stored={code: test.result for code, test in tests.items()}
    )

    def save(form):
        saved = actions.record_lot_tests(
            lot=lot, protocol=protocol, results=form.results, version=form.cleaned_data["version"],
            reason=form.cleaned_data["reason"], by=request.user,
        )  # fmt: skip
        return Saved(reverse("visits:show_lot", args=[pk]), saved.version, _("The results are saved."))

    rows = [(test, tests.get(test.code)) for test in product.release_tests]
    for test, result in rows:
        if result is not None:
            result.told = test.result_told(result.result)
    may_release = all(result is not None and result.has_passed for _test, result in rows)
    context = {
        "lot": lot, "product": product, "rows": rows, "may_release": may_release, "heading": lot.number, "cancel": reverse("visits:list_lots"),
        "in_quarantine": lot.state == LotState.QUARANTINED, "preparations": lot.preparations.select_related("patient__site"),
    }  # fmt: skip
    return answer_form(request, form, "visits/show_lot.html", context, save)


@needs(Permission.MANAGE_LOTS)
def release_lot(request, pk):
    lot = load_lot(request.user, pk)
    form = DataForm(request.POST or None, record=lot)

    def save(form):
        saved = actions.release_lot(
            lot=lot, protocol=trial.current_protocol(), version=form.cleaned_data["version"], by=request.user
        )
        return Saved(reverse("visits:show_lot", args=[pk]), saved.version, _("The lot is released."))

    context = {"heading": _("Release lot %s") % lot.number, "submit": _("Release"),
               "intro": _("All release tests must have passed."), "cancel": reverse("visits:show_lot", args=[pk])}  # fmt: skip
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.MANAGE_LOTS)
def reject_lot(request, pk):
    lot = load_lot(request.user, pk)
    back = reverse("visits:show_lot", args=[pk])
    context = {"heading": _("Reject lot %s") % lot.number, "submit": _("Reject"), "danger": True, "cancel": back}
    act = partial(actions.reject_lot, lot=lot)
    return answer_reason(request, lot, act, context, back=back, said=_("The lot is rejected."))
