"""The steps of the demonstration, and of the tests' universe, about what went wrong; and the whole trial played."""

from safety.demo.play import (
    play_trial,
)
from safety.demo.steps import (
    end_event,
    record_deviation,
    report_event,
    report_serious_event,
)

__all__ = [
    "end_event",
    "play_trial",
    "record_deviation",
    "report_event",
    "report_serious_event",
]
