"""Edit checks. A hard one refuses; a soft one asks, and opens a query unless the person confirms the value, for the
source document may well say so. `table.py` declares all of them; a check speaks only where the protocol has its tests.

Values in, sentences out: what stands beside the form arrives as `Surroundings`, loaded by the actions; what is not known
there is left empty, and the checks that need it are silent."""

from visits.edit_checks.kinds import PartsWithin, Problem, Subject, Surroundings
from visits.edit_checks.lookup import (
    compared_by,
    each_speaks_of,
    is_in,
    looked_up,
    problem,
    retirement_key,
    title_of,
)
from visits.edit_checks.running import (
    find_problems,
    problems_between,
    problems_of_day,
    problems_of_event,
    problems_of_line,
    problems_of_regimens,
)
from visits.edit_checks.table import BY_CODE, CHECKS

__all__ = [
    "BY_CODE",
    "CHECKS",
    "PartsWithin",
    "Problem",
    "Subject",
    "Surroundings",
    "compared_by",
    "each_speaks_of",
    "find_problems",
    "is_in",
    "looked_up",
    "problem",
    "problems_between",
    "problems_of_day",
    "problems_of_event",
    "problems_of_line",
    "problems_of_regimens",
    "retirement_key",
    "title_of",
]
