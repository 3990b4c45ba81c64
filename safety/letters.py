"""Who is told which letter stands for which arm in the closed reports: the only place that reads the letters for people.

The safety board may ask for its data unmasked. Who then answers is the statistician who makes the reports, and that he or she
was told stands in a log (`LetterLook`), which never holds the letters."""

from dataclasses import dataclass

from safety.models import ArmLetter, DsmbReport
from trialsite import trial
from trialsite.roles import Permission, sites_where


@dataclass(frozen=True)
class Told:
    """A letter, the arm for which it stands in a series, and what that arm is given."""

    letter: str
    arm: str
    name: str
    product: str


def may_read_letters(user):
    """Who may see every arm anyhow, and makes the reports: both at all sites."""
    return all(sites_where(user, permission) is None for permission in (Permission.SEE_ARM, Permission.RELEASE_REPORTS))


def series_drawn():
    """The series that have letters, the latest first, each with its reports, the latest first."""
    reports = {}
    for report in DsmbReport.objects.only("series", "cutoff", "entered_until"):
        reports.setdefault(report.series, []).append(report)
    drawn = ArmLetter.objects.order_by("-series").values_list("series", flat=True).distinct()
    return [(series, reports.get(series, [])) for series in drawn]


def letters_of(series):
    """What each letter of a series stands for, by letter. Only for who was written down (`actions.look_at_letters`)."""
    protocols = list(trial.versions().values())[::-1]
    return [told_of(row, protocols) for row in ArmLetter.objects.filter(series=series).order_by("letter")]


def told_of(row, protocols):
    """By the latest protocol that knows the arm."""
    for protocol in protocols:
        if any(arm.code == row.arm for arm in protocol.arms):
            arm = protocol.arm(row.arm)
            return Told(row.letter, arm.code, arm.name, protocol.product(arm.product).name)
    return Told(row.letter, row.arm, row.arm, "")
