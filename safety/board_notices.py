"""Who is told by e-mail of what the safety board is given and what it recommends. The mails name numbers and days, and the
decision once it is in effect: no finding, no patient, no arm. Each is written in the transaction that it tells of."""

from functools import partial

from django.utils.translation import gettext as _

from trialsite import mails, trial
from trialsite.models import Email
from trialsite.roles import Permission

# for whom a recommendation is, beside the board itself: they confirm that they received it
RECEIVERS = (Permission.JUDGE_SERIOUS_EVENTS, Permission.SIGN_DATA)


def tell_of_release(report):
    """The board hears that a report can be read."""
    to = mails.people_who(Permission.RECORD_DECISIONS)
    mails.write(
        key=f"report/{report.pk}/released", to=to, about=Email.About.BOARD, words=partial(words_of_release, report)
    )


def tell_of_draft(recommendation, by):
    """The other members hear that a recommendation waits for them."""
    others = mails.people_who(Permission.RECORD_DECISIONS).exclude(pk=by.pk)
    if others:
        words = partial(words_of_draft, recommendation)
        mails.write(key=f"recommendation/{recommendation.pk}/recorded", to=others, about=Email.About.BOARD, words=words)


def tell_of_effect(recommendation):
    """Board, sponsor and investigators hear what the board recommends."""
    to = mails.people_who(Permission.RECORD_DECISIONS, *RECEIVERS)
    words = partial(words_of_effect, recommendation)
    mails.write(key=f"recommendation/{recommendation.pk}/effect", to=to, about=Email.About.SAFETY, words=words)


def words_of_release(report):
    told = {"trial": trial.current_protocol().trial.id, "cutoff": report.cutoff, "number": report.pk}
    subject = _("Trialsite %(trial)s: a report is released to the safety board") % told
    text = _("Report %(number)s, cut-off %(cutoff)s, is released to the safety board. Sign in to Trialsite to read it.")
    return subject, text % told


def words_of_draft(recommendation):
    told = {"trial": trial.current_protocol().trial.id, "number": recommendation.pk, "day": recommendation.met_on,
            "name": recommendation.recorded_by.full_name}  # fmt: skip
    subject = _("Trialsite %(trial)s: a recommendation of the safety board is recorded") % told
    text = _(
        "%(name)s has recorded recommendation %(number)s of the meeting on %(day)s. It takes effect with the last "
        "signature that the protocol asks for. Sign in to Trialsite to read and to sign it."
    )
    return subject, text % told


def words_of_effect(recommendation):
    told = {
        "trial": trial.current_protocol().trial.id,
        "number": recommendation.pk,
        "day": recommendation.met_on,
        "decision": recommendation.get_decision_display(),
        "at": f"{recommendation.effective_at:%Y-%m-%d %H:%M} UTC",
    }
    subject = _("Trialsite %(trial)s: a recommendation of the safety board is in effect") % told
    text = _(
        "Recommendation %(number)s of the meeting on %(day)s, in effect since %(at)s: %(decision)s.\n\n"
        "Sign in to Trialsite to read it and to confirm that you have received it."
    )
    return subject, text % told
