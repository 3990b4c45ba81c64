"""Product lots: received, tested, released, rejected."""

from django.utils.translation import gettext as _

from patients.actions import next_version
from trialsite.audit import acting
from trialsite.reasons import because
from trialsite.saving import Refused, check_version
from visits import infusing
from visits.models import Lot, LotState, LotTest


def receive_lot(*, site, product, number, donor="", passage=None, received_on, expires_on, by):
    """A lot arrives; it stays in quarantine until it is released."""
    if expires_on <= received_on:
        raise Refused({"expires_on": [_("The lot expires before it was received.")]})
    with acting(by):
        if Lot.objects.filter(site=site, product=product, number=number).exists():
            raise Refused({"number": [_("This lot was received already.")]})
        return Lot.objects.create(
            site=site, product=product, number=number, donor=donor, passage=passage,
            received_on=received_on, expires_on=expires_on,
        )  # fmt: skip


def lock_lot(lot, version=None):
    locked = Lot.objects.select_for_update().get(pk=lot.pk)
    check_version(locked, version)
    return locked


def record_lot_tests(*, lot, protocol, results, version, reason="", by):
    """Enter the release tests of a lot in quarantine; `results` as typed, by the code of the test."""
    with acting(by, reason or because("release tests entered")):
        lot = lock_lot(lot, version)
        if lot.state != LotState.QUARANTINED:
            raise Refused(_("The lot is %(state)s; its tests stay as they are.") % {"state": lot.get_state_display()})
        product = protocol.product(lot.product)
        there = {test.code: test for test in lot.tests.all()}
        for test in product.release_tests:
            typed = results.get(test.code, "").strip(" ")
            if not typed:
                continue
            alone = product.model_copy(update={"release_tests": (test,)})
            passed = not infusing.lot_failures(alone, {test.code: typed})
            if test.code not in there:
                LotTest.objects.create(lot=lot, code=test.code, result=typed, has_passed=passed)
            elif there[test.code].result != typed:
                if not reason.strip():
                    raise Refused({"reason": [_("Write why a result is changed.")]})
                there[test.code].result, there[test.code].has_passed = typed, passed
                next_version(there[test.code], "result", "has_passed")
        next_version(lot)
    return lot


def release_lot(*, lot, protocol, version, by):
    """Release a lot all of whose tests have passed."""
    with acting(by, because("lot released")):
        lot = lock_lot(lot, version)
        if lot.state != LotState.QUARANTINED:
            raise Refused(_("The lot is %(state)s already.") % {"state": lot.get_state_display()})
        typed = {test.code: test.result for test in lot.tests.all()}
        if failures := infusing.lot_failures(protocol.product(lot.product), typed):
            raise Refused({"": failures})
        lot.state = LotState.RELEASED
        next_version(lot, "state")
    return lot


def reject_lot(*, lot, reason, version, by):
    """Take a lot out of use, also one that was released."""
    if not reason.strip():
        raise Refused({"reason": [_("Write why the lot is rejected.")]})
    with acting(by, reason):
        lot = lock_lot(lot, version)
        lot.state = LotState.REJECTED
        next_version(lot, "state")
    return lot
