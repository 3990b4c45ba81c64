"""The e-mails that tell of a halt a stopping rule opened, and of one that is lifted: to whom, and in which words. They name no
patient and no arm."""

from functools import partial

from django.utils.translation import gettext as _

from patients.models import Scope
from trialsite import mails, trial
from trialsite.models import Email, User
from trialsite.roles import Permission, can_see_arm


def tell_of_halt(halt, saved_by):
    """Called in the transaction that opened it, for what this person saved."""
    _write(halt, "opened", people_to_tell(halt, saved_by), partial(words_of_halt, halt))


def tell_of_more(halt, crossing, saved_by):
    """Called in the transaction in which something more met the rule while the halt was in force."""
    _write(halt, f"more/{crossing.pk}", people_to_tell(halt, saved_by), partial(words_of_more, halt, crossing))


def tell_of_lifting(halt):
    """Called in the transaction that lifted it."""
    told = User.objects.filter(emails__key__startswith=f"halt/{halt.pk}/opened/", is_active=True)
    _write(halt, "lifted", people_to_tell(halt, *told), partial(words_of_lifting, halt))


def _write(halt, what, people, words):
    about = Email.About.BOARD if is_for_few(halt) else Email.About.SAFETY
    mails.write(key=f"halt/{halt.pk}/{what}", to=people, about=about, words=words)


def people_to_tell(halt, *more):
    """Those who may decide, the sponsor's safety officer, the investigators of the sites concerned, and who else has to do
    with it (`more`: who reported what met the rule); of an arm that is held while the trial is masked those alone who may
    see arms."""
    people = set(mails.people_who(Permission.RECORD_DECISIONS, Permission.OPEN_HALTS))
    people |= set(mails.people_who(Permission.SIGN_DATA, site=halt.patient.site if halt.patient_id else None))
    people |= {person for person in more if not person.is_system}
    told = people if not is_for_few(halt) else {person for person in people if can_see_arm(person, masked=True)}
    return sorted(told, key=lambda person: person.pk)


def is_for_few(halt):
    return halt.scope == Scope.ARM and trial.current_protocol().is_masked


def words_of_halt(halt):
    """(subject, text)."""
    told = {"trial": trial.current_protocol().trial.id, "what": halt.blocks_text, "cause": halt.reason,
            "at": f"{halt.opened_at:%Y-%m-%d %H:%M} UTC"}  # fmt: skip
    subject = _("Trialsite %(trial)s: a stopping rule has opened a halt") % told
    text = _(
        "Held since %(at)s: %(what)s.\n\n%(cause)s\n\n"
        "The halt holds until the safety board's decision is recorded. Sign in to Trialsite to see what it rests on."
    )
    return subject, text % told


def words_of_more(halt, crossing):
    """(subject, text)."""
    told = {"trial": trial.current_protocol().trial.id, "what": halt.blocks_text,
            "since": f"{halt.opened_at:%Y-%m-%d %H:%M} UTC", "at": f"{crossing.crossed_at:%Y-%m-%d %H:%M} UTC"}  # fmt: skip
    subject = _("Trialsite %(trial)s: a stopping rule is met by more, while its halt is in force") % told
    text = _(
        "Held since %(since)s: %(what)s. What was saved at %(at)s meets the rule as well.\n\n"
        "Whoever has signed that this halt is lifted is asked again. Sign in to Trialsite to see what it rests on."
    )
    return subject, text % told


def words_of_lifting(halt):
    """(subject, text): by which decision stands in the application."""
    told = {"trial": trial.current_protocol().trial.id, "what": halt.blocks_text,
            "since": f"{halt.opened_at:%Y-%m-%d %H:%M} UTC", "at": f"{halt.lifted_at:%Y-%m-%d %H:%M} UTC"}  # fmt: skip
    subject = _("Trialsite %(trial)s: a halt is lifted") % told
    text = _(
        "Held since %(since)s, lifted at %(at)s by a decision of the safety board: %(what)s.\n\n"
        "Another halt may still be in force. Sign in to Trialsite to read the decision and to see what is held."
    )
    return subject, text % told
