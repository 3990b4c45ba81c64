"""The arms: read for the closed part alone."""

from dataclasses import dataclass, replace
from itertools import combinations

from patients.models import AllocationSlot
from safety.dsmb.results import numbers_until, summaries
from safety.dsmb.snapshot import Summary
from safety.models import ArmLetter
from safety.stopping import evaluation as stopping
from safety.stopping.facts import read_treated
from trialsite import trial


@dataclass(frozen=True)
class Arms:
    """The letter of each patient who has an arm, the laboratory summaries by (test, visit code, letter), and where the
    stopping rules stand: by (rule, letters), without letters for a rule that counts everybody. A rule of so many arms
    stands here for every choice of so many groups alike: which of them it is made for cannot be seen."""

    letters: dict[int, str]
    laboratory: dict[tuple[str, str, str], Summary]
    stopping: dict[tuple[str, tuple[str, ...]], stopping.State]


def read_arms(patients, cutoff, series=1) -> Arms:
    """What the closed part needs besides. Eleven queries. Raises KeyError when an arm has no letter yet."""
    letters = dict(ArmLetter.objects.filter(series=series).values_list("arm", "letter"))
    taken = AllocationSlot.objects.taken().values_list("patient_id", "arm")
    rows = summaries(numbers_until(patients, cutoff), "patient__slot__arm")
    return Arms(
        {patient: letters[arm] for patient, arm in taken},
        {(test, visit, letters[arm]): summary for (test, visit, arm), summary in rows.items()},
        _read_stopping(cutoff, letters),
    )


def _read_stopping(cutoff, letters):
    protocol = trial.current_protocol()
    treated = []
    for patient in read_treated(protocol):
        starts = tuple(day for day in patient.starts if day <= cutoff)
        events = tuple(event for event in patient.events if event.on <= cutoff)
        if starts:
            treated.append(replace(patient, starts=starts, events=events))
    arm_of = {letters[arm.code]: arm.code for arm in protocol.arms if arm.code in letters}
    found = {}
    for rule in protocol.stopping_rules:
        for chosen in combinations(sorted(arm_of), len(rule.arms)):
            of_these = rule.model_copy(update={"arms": tuple(arm_of[letter] for letter in chosen)})
            # the first state is of all who are counted, whomever the rule would halt
            found[rule.code, chosen] = stopping.evaluate(
                [of_these], treated, interest=protocol.events_of_interest, on=cutoff
            )[0]
    return found
