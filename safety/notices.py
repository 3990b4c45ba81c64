"""Who is told what of serious cases by e-mail, and when: at the opening, before a deadline, when it is overdue.

Each notice is written once for each person (its key), however often the job looks. It names the case, the site and
what is due; not the patient, no word on the event, which the site writes as it likes, and no arm."""

from datetime import timedelta
from functools import partial

from django.db.models import Q
from django.utils.translation import gettext as _

from safety.cases import clocks_of, may_make_copy, with_clocks, zone_of
from safety.clocks import State
from safety.models import SeriousCase
from trialsite import mails, trial
from trialsite.models import Email
from trialsite.roles import Permission

# so long before a deadline the reminder is written: default of this project
BEFORE_HOURS, BEFORE_DAYS = timedelta(hours=6), timedelta(days=2)


def tell_of_opening(case):
    """The sponsor hears of a new case, the site that it is there. Called in the transaction that opened it."""
    whole = with_clocks(SeriousCase.objects.filter(pk=case.pk)).get()
    due = [clock for clock in clocks_of(whole) if clock.is_open]
    write(whole, "opened", Permission.JUDGE_SERIOUS_EVENTS, lambda: words_of(whole, _("new serious case"), due))
    to_report = lambda: words_of(whole, _("serious case opened; report it to the sponsor"), due)  # noqa: E731
    write(whole, "opened", Permission.REPORT_ADVERSE_EVENTS, to_report)


def tell_of_copy_asked(copy):
    """Who may make the authority's copy hears that one is asked for."""
    able = [
        user
        for user in mails.people_who(Permission.SEE_ARM, site=copy.patient.site)
        if may_make_copy(user, copy.patient)
    ]
    _tell_of_copy(copy, able, lambda: _("the copy for the authority is asked for"))


def tell_of_copy_made(copy):
    """The sponsor's safety officers hear that the authority's copy is made."""
    officers = mails.people_who(Permission.JUDGE_SERIOUS_EVENTS, site=copy.patient.site)
    _tell_of_copy(copy, officers, lambda: _("the copy for the authority is made"))


def _tell_of_copy(copy, to, what):
    def words():
        told = {"case": copy.case.number, "what": what()}
        line = f"{copy.case_version}, {copy.get_purpose_display()}"
        return _("Case %(case)s: %(what)s") % told, "\n".join([*about(copy.case), "", line])

    mails.write(key=f"copy/{copy.pk}/{copy.step}", to=to, about=Email.About.SAFETY, words=words)


def tell_of_deadlines(case, now):
    """Remind who owes a report that is due soon, or overdue. Gives how many notices are new."""
    told = 0
    for clock in clocks_of(case, now):
        kind = kind_of(clock, now)
        if kind is None:
            continue
        permission = {"site": Permission.REPORT_ADVERSE_EVENTS, "sponsor": Permission.JUDGE_SERIOUS_EVENTS}
        # a clock that starts anew has a deadline, and so notices, of its own
        key = f"{clock.key}/{clock.due_at:%Y%m%dT%H%M}/{kind}"
        told += write(case, key, permission[clock.duty.owed_by], partial(words_of_deadline, case, clock, kind))
    return told


def kind_of(clock, now):
    """overdue, soon, or None: nothing is said."""
    if clock.state == State.OVERDUE:
        return "overdue"
    before = BEFORE_DAYS if clock.due_on else BEFORE_HOURS
    return "soon" if clock.state == State.DUE and clock.due_at - now <= before else None


def cases_to_look_at(now):
    """The cases of which a report is due within the longest time of reminding, or overdue."""
    soon = now + max(BEFORE_DAYS, BEFORE_HOURS)
    return with_clocks(SeriousCase.objects.filter(Q(site_due_at__lte=soon) | Q(sponsor_due_at__lte=soon)))


def write(case, key, permission, words):
    """To those who hold the permission at the site of the case. Gives how many notices are new."""
    to = mails.people_who(permission, site=case.patient.site)
    return mails.write(key=f"{case.number}/{key}", to=to, about=Email.About.SAFETY, words=words)


def words_of(case, what, due):
    """(subject, text) of a notice about a case, with the deadlines that it has."""
    told = {"case": case.number, "what": what}
    lines = [f"{name_of(case, clock)}: {day_of(case, clock)}" for clock in due]
    return _("Case %(case)s: %(what)s") % told, "\n".join([*about(case), "", _("Reports due:"), *lines])


def day_of(case, clock):
    return str(clock.due_on or f"{clock.due_at.astimezone(zone_of(case)):%Y-%m-%d %H:%M}")


def name_of(case, clock):
    """To whom, in the language that is spoken now."""
    duties = trial.protocol(case.protocol_version).safety_reporting
    return next(duty.name for duty in duties if duty.code == clock.duty.code)


def words_of_deadline(case, clock, kind):
    due = day_of(case, clock)
    told = {"case": case.number, "due": due}
    if kind == "overdue":
        subject = _("Case %(case)s: report overdue since %(due)s") % told
    else:
        subject = _("Case %(case)s: report due by %(due)s") % told
    line = f"{name_of(case, clock)}, {_(str(clock.stage))}: {due}"
    # a case may owe several reports at the same hour
    return f"{subject} ({name_of(case, clock)})", "\n".join([*about(case), "", line])


def about(case):
    return [
        _("Site %(site)s") % {"site": case.patient.site.code},
        _("Times are those of the site (%(zone)s).") % {"zone": case.patient.site.timezone},
    ]
