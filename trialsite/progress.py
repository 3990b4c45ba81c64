"""How far a thing is that a job makes (trialsite/jobs.py), as pages show it."""

from dataclasses import dataclass

from django.shortcuts import render
from django.utils.translation import gettext as _

from trialsite.models import JobState

# the names of the badges (docs/interface.md)
STATUS = {JobState.WAITING: "planned", JobState.RUNNING: "started", JobState.DONE: "done", JobState.FAILED: "failed"}


@dataclass(frozen=True)
class Progress:
    """What _progress.html asks for."""

    url: str
    percent: int
    step: str
    state: str
    text: str = ""


def progress_of(record, *, url, made, not_made, step=""):
    """How far it is, in words. Steps are marked for translation where the job says them; or give what `step` is."""
    words = {
        JobState.WAITING: _("Waiting for its turn"),
        JobState.RUNNING: step or (_(record.step) if record.step else _("Begun")),
        JobState.DONE: made,
        JobState.FAILED: not_made,
    }
    return Progress(url, record.percent, words[record.state], record.state, record.failure)


def answer_progress(request, progress):
    """The htmx partial; tells the page to load anew when there is no more to wait for."""
    response = render(request, "_progress.html", {"progress": progress})
    if progress.state in (JobState.DONE, JobState.FAILED):
        response["HX-Refresh"] = "true"
    return response
