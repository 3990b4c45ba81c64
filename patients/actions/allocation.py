"""The randomisation list: made here or imported, once for each stratum."""

from django.utils.translation import gettext as _

from patients import randomisation
from patients.models import AllocationList, AllocationSlot
from trialsite import trial
from trialsite.audit import acting
from trialsite.models import Site
from trialsite.reasons import because
from trialsite.saving import Refused


def make_allocation_list(*, slots_per_stratum, seed, by):
    """Make places for every stratum that has none yet. The seed is recorded; the same seed makes the same list."""
    protocol = trial.current_protocol()
    if protocol.allocation.method != "permuted_blocks":
        raise Refused(_("This protocol's list is made elsewhere; import it."))
    with acting(by, because("randomisation list made")):
        strata = _strata_without_slots(protocol)
        slots = randomisation.make_list(protocol, strata, slots_per_stratum, seed)
        return _store_list(protocol, slots, algorithm=randomisation.ALGORITHM, seed=seed, by=by)


def import_allocation_list(*, text, by):
    """Take over a list that was made elsewhere. Raises BadList with every bad cell."""
    protocol = trial.current_protocol()
    with acting(by, because("randomisation list imported")):
        slots = randomisation.from_csv(text, protocol, _strata_without_slots(protocol))
        return _store_list(protocol, slots, algorithm="imported", seed="", by=by)


def _strata_without_slots(protocol):
    wanted = randomisation.strata(protocol, Site.objects.order_by("code").values_list("code", flat=True))
    there = set(AllocationSlot.objects.values_list("stratum", flat=True).distinct())
    missing = [stratum for stratum in wanted if stratum not in there]
    if not missing:
        raise Refused(_("Every stratum has its places already; a list is never made twice."))
    return missing


def _store_list(protocol, slots, *, algorithm, seed, by):
    made = AllocationList.objects.create(
        protocol_version=protocol.version,
        algorithm=algorithm,
        seed=seed,
        sha256=randomisation.digest(slots),
        made_by=by,
    )
    AllocationSlot.objects.bulk_create(
        AllocationSlot(
            allocation_list=made,
            stratum=slot.stratum,
            sequence=slot.sequence,
            block=slot.block,
            block_size=slot.block_size,
            arm=slot.arm,
        )
        for slot in slots
    )
    return made
