"""Small protocols for the truth tables. Each table sees its own numbers, not those of the shipped file."""

from datetime import date
from decimal import Decimal

from trialsite.protocol import Product, Protocol, Test, Visit


def protocol(**parts) -> Protocol:
    """The smallest protocol there is: one arm, one test, one visit, one criterion; `parts` replace or add tables."""
    smallest = {
        "trial": {
            "id": "T1", "version": "1.0", "dated": date(2026, 1, 1), "short_title": "T", "title": "Trial",
            "registry": "none", "sponsor": "S", "phase": "I", "masking": "open", "planned_patients": 10,
            "follow_up_days": 30,
        },
        "consent_forms": [{"version": "1", "dated": date(2026, 1, 1), "languages": ["en"]}],
        "products": [{"code": "MSC", "name": "Cells", "dose": {"absolute": 1, "unit": "mL", "tolerance_percent": 0}}],
        "arms": [{"code": "MSC", "name": "Cells", "product": "MSC"}],
        "allocation": {"method": "permuted_blocks", "block_sizes": [2]},
        "eligibility": {"inclusion": [{"code": "I1", "text": "HIV infected"}]},
        "tests": [{"code": "NOTE", "name": "Note", "kind": "text"}],
        "panels": [{"code": "P", "name": "Panel", "tests": ["NOTE"]}],
        "visits": [{"code": "D0", "name": "Day 0", "day": 0, "phase": "treatment"}],
    }  # fmt: skip
    return Protocol.model_validate(smallest | parts)


def randomised(*, ratios=None, block_sizes=(2, 4), strata=(), tests=None) -> Protocol:
    """A protocol with these arms (code to ratio), block sizes and stratification factors."""
    ratios = {"MSC": 1, "SALINE": 1} if ratios is None else ratios
    arms = [{"code": code, "name": code, "ratio": ratio, "product": "MSC"} for code, ratio in ratios.items()]
    allocation = {"method": "permuted_blocks", "block_sizes": list(block_sizes), "strata": list(strata)}
    return protocol(arms=arms, allocation=allocation, **({"tests": tests} if tests else {}))


def test_of(**keys) -> Test:
    """A number from 0 to 1,000 without decimals, unless `keys` say otherwise."""
    usual = {"code": "X", "name": "X", "kind": "number", "possible": (Decimal(0), Decimal(1000))}
    return Test.model_validate((usual if keys.get("kind", "number") == "number" else {"code": "X", "name": "X"}) | keys)


test_of.__test__ = False  # not for pytest


def visit(day: int, *, before=0, after=0, **keys) -> Visit:
    phase = "screening" if day < 0 else "follow_up"
    usual = {"code": f"V{abs(day)}", "name": f"Day {day}", "phase": phase}
    return Visit.model_validate(usual | {"day": day, "before": before, "after": after} | keys)


def product(*, release_tests=(), **dose) -> Product:
    dose = {"unit": "cells", "tolerance_percent": 10} | dose
    return Product.model_validate({"code": "MSC", "name": "Cells", "dose": dose, "release_tests": list(release_tests)})
