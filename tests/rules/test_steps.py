"""A test that is given in steps takes only their multiples."""

import pytest

from trialsite.protocol import load
from visits.results import NotAResult, read_result

KARNOFSKY = load("trialsite/protocols/ucmsc-inr/1.0.toml").test("KARNOFSKY")


@pytest.mark.parametrize(
    ("typed", "is_taken"),
    [("10", True), ("70", True), ("100", True), ("85", False), ("99", False), ("11", False), ("110", False)],
)
def test_a_karnofsky_status_is_given_in_tens(typed, is_taken):
    if is_taken:
        assert read_result(KARNOFSKY, typed).value == int(typed)
    else:
        with pytest.raises(NotAResult):
            read_result(KARNOFSKY, typed)
