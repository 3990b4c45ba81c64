"""What the classes cannot see: references between tables, and sums."""

from __future__ import annotations

from collections.abc import Iterator

from trialsite import scales
from trialsite.protocol.entry import faults_of_entry
from trialsite.protocol.giving import faults_of_infusions, faults_of_masking
from trialsite.protocol.measuring import faults_of_tests, faults_of_visits
from trialsite.protocol.plans import faults_of_review
from trialsite.protocol.reporting import faults_of_reporting
from trialsite.protocol.stopping import faults_of_stopping
from trialsite.protocol.tables import Fault, at, repeated, unknown
from trialsite.protocol.whole import Protocol


def find_faults(p: Protocol, raw: dict) -> Iterator[Fault]:
    yield from _faults_of_codes(p)
    yield from faults_of_tests(p)
    yield from faults_of_visits(p)
    yield from faults_of_infusions(p)
    yield from faults_of_entry(p)
    yield from faults_of_stopping(p)
    yield from faults_of_reporting(p)
    yield from faults_of_masking(p)
    yield from faults_of_review(p)
    yield from (Fault(*fault) for fault in scales.faults_of(p.grading, p.tests))
    for i, dotted in enumerate(p.project_defaults):
        if not _has_key(raw, dotted):
            yield Fault(f"project_defaults[{i}]", f"expected a key of this file, found {dotted!r}")


def _faults_of_codes(p) -> Iterator[Fault]:
    tables = ("products", "arms", "tests", "panels", "visits", "events_of_interest", "stopping_rules")
    for table in tables:
        yield from repeated(table, (item.code for item in getattr(p, table)))
    yield from repeated("eligibility", (criterion.code for criterion in p.eligibility.criteria))
    yield from repeated("consent_forms", (form.version for form in p.consent_forms), "each version")
    yield from repeated("allocation.strata", (factor.code for factor in p.allocation.strata))
    for i, product in enumerate(p.products):
        key = f"{at('products', i, product)}.release_tests"
        yield from repeated(key, (test.code for test in product.release_tests))
    for i, factor in enumerate(p.allocation.strata):
        key = f"{at('allocation.strata', i, factor)}.levels"
        yield from repeated(key, (level.code for level in factor.levels))
    products = p.by_code["products"]
    for i, arm in enumerate(p.arms):
        yield from unknown(f"{at('arms', i, arm)}.product", [arm.product], products, "a product")


def _has_key(raw: dict, dotted: str) -> bool:
    """`tests.CD4.plausible` finds the item of the list `tests` whose code is CD4."""
    here = raw
    for step in dotted.split("."):
        if isinstance(here, list):
            here = next((item for item in here if isinstance(item, dict) and item.get("code") == step), None)
        elif isinstance(here, dict):
            here = here.get(step)
        else:
            return False
        if here is None:
            return False
    return True
