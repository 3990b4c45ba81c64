"""Marks on forms (verified, reviewed, signed), how they become void, and the holds on visits and patients."""

from dataclasses import dataclass

from django.core.exceptions import PermissionDenied
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from patients.actions import lock_patient, next_version
from patients.models import Hold
from trialsite.audit import acting
from trialsite.reasons import because
from trialsite.roles import can
from trialsite.saving import Refused, Stale, check_version
from trialsite.words import for_the_record
from visits.contents import CASEBOOK, PANELS, digest_of, load_forms
from visits.models import Mark, Review, Visit
from visits.reviews import MEANING_OF_CASEBOOK, MEANINGS, STEPS, reasons_not_to
from visits.waiting import standing_of_form, standing_of_patient, standing_of_visit, with_standing


@dataclass(frozen=True)
class Seen:
    """A form as it was shown to the person who marks it. `fields` are codes of tests, or "" for the whole form. `digest` is
    that of its content (Form.digest); a casebook is never marked without, since its version says nothing of what it covers."""

    label: str
    pk: int
    version: int
    fields: tuple[str, ...] = ("",)
    digest: str = ""

    def is_still(self, form):
        """Is this what the person saw?"""
        if not self.digest and form.kind.label != CASEBOOK:
            return form.record.version == self.version
        return (form.record.version, form.digest) == (self.version, self.digest)


def verify_forms(*, patient, seen, alone=False, by):
    """Mark fields of panels, or whole other records, as compared with the source: see `_mark_forms`."""
    return _mark_forms("verify", patient, seen, "", alone, by)


def review_forms(*, patient, seen, alone=False, by):
    """Mark forms as reviewed by the data manager: see `_mark_forms`."""
    return _mark_forms("review", patient, seen, "", alone, by)


def sign_forms(*, patient, seen, meaning, alone=False, by):
    """Sign forms as the investigator: see `_mark_forms`. Who signs was asked for the password before: that is the
    page's business (trialsite.sign_in.confirm_signer). `meaning` is one of MEANINGS, or MEANING_OF_CASEBOOK."""
    is_casebook = [form.label for form in seen] == [CASEBOOK]
    if meaning not in ((MEANING_OF_CASEBOOK,) if is_casebook else MEANINGS):
        raise Refused({"meaning": [_("Say what your signature means with one of the sentences of the list.")]})
    return _mark_forms("sign_casebook" if is_casebook else "sign", patient, seen, meaning, alone, by)


def _mark_forms(step, patient, seen, meaning, alone, by):
    """Set the mark of this step on the forms as they were `seen`. Gives (marks that were set, [(title, why not)]).

    Of several forms, those that changed meanwhile or are not ready are left out and named; of one (`alone`), that
    raises Stale or Refused. Nothing is changed meanwhile: whatever changes a form locks the patient first."""
    rule = STEPS[step]
    with acting(by, because(for_the_record(Mark(rule.after).label))):
        patient = lock_patient(patient)
        if not can(by, rule.permission, patient.site):
            raise PermissionDenied(rule.permission.value)
        wanted = {}
        for one in seen:
            wanted.setdefault(one.label, set()).add(one.pk)
        forms = load_forms(wanted, patient=patient, reviews=True)
        now, roles = timezone.now(), _roles_at(by, patient.site)
        marks, left_out = [], []
        for one in seen:
            form = forms.get((one.label, one.pk))
            if form is None:
                raise Refused(_("One of the forms is not there. Open the page again."))
            if not one.is_still(form):
                if alone:
                    raise Stale(form.record)
                left_out.append((form.title, [_("It was changed after you opened the page.")]))
                continue
            standing = standing_of_form(form, patient)
            fields = [field for field in one.fields if (rule.after, field) not in standing.marks] or one.fields[:1]
            if reasons := reasons_not_to(step, standing, fields[0] if fields else ""):
                left_out.append((form.title, [str(reason) for reason in reasons]))
                continue
            known = {""} if one.label != PANELS or rule.after != Mark.VERIFIED else {part.test for part in form.parts}
            for field in fields:
                if field not in known:
                    raise Refused(_("One of the fields is not there. Open the page again."))
                mark = Review(
                    patient=patient, record=one.label, record_id=one.pk, visit=form.visit, mark=rule.after,
                    field=field, record_version=form.record.version, meaning=meaning, printed_name=by.full_name,
                    roles=roles, by=by, at=now,
                )  # fmt: skip
                mark.digest = digest_of(mark, form.content(field))
                marks.append(mark)
        if alone and left_out:
            raise Refused({"": left_out[0][1]})
        Review.objects.bulk_create(marks)
    return marks, left_out


def _roles_at(user, site):
    return ",".join(sorted({grant.role for grant in user.current_grants if grant.site_id in (None, site.pk)}))


def marks_void(*, record, fields=None, reason, by):
    """A form was changed: what was verified, reviewed or signed of it is void from now on, for the same reason.

    `fields` are the codes of the tests whose results changed; a panel's other fields stay verified. None: all of it."""
    standing = Review.objects.standing().filter(record=record._meta.label_lower, record_id=record.pk)
    if fields is not None:
        standing = standing.filter(Q(field="") | Q(field__in=fields))
    with acting(by, reason):
        standing.update(void_at=timezone.now(), void_by=by, void_because=reason.strip()[:500], version=F("version") + 1)


def take_back_mark(*, mark, version=None, reason, by):
    """Take back a mark that was set by mistake: who may set it may take it back. It stays, visibly void."""
    if not reason.strip():
        raise Refused({"reason": [_("Write why the mark is taken back.")]})
    with acting(by, reason):
        patient = lock_patient(mark.patient)
        mark = Review.objects.select_for_update(of=("self",)).select_related("visit").get(pk=mark.pk)
        check_version(mark, version)
        rule = next(step for step in STEPS.values() if step.after == mark.mark)
        if not can(by, rule.permission, patient.site):
            raise PermissionDenied(rule.permission.value)
        if Hold.LOCKED in (patient.hold, mark.visit.hold if mark.visit else ""):
            raise Refused(_("These records are locked: nothing is changed any more. The data manager can unlock them."))
        if mark.is_void:
            raise Refused(_("The mark is void already."))
        mark.void_at, mark.void_by, mark.void_because = timezone.now(), by, reason.strip()[:500]
        next_version(mark, "void_at", "void_by", "void_because")
    return mark


# --- holds -------------------------------------------------------------------------------------------


def _why(step):
    """What the trail says where the step asks for no reason."""
    return "" if STEPS[step].reasoned else because(for_the_record(Hold(STEPS[step].after).label))


def hold_visit(*, visit, step, reason="", version, by):
    """Freeze, lock, unfreeze or unlock a visit: `step` is one of STEPS."""
    with acting(by, reason or _why(step)):
        patient = lock_patient(visit.patient)
        visits = with_standing(Visit.objects.filter(pk=visit.pk))
        check_version(Visit.objects.select_for_update().get(pk=visit.pk), version)
        visit = visits.get()
        visit.patient = patient
        _refuse_step(step, standing_of_visit(visit), reason, patient, by)
        visit.hold = STEPS[step].after
        next_version(visit, "hold")
    return visit


def hold_patient(*, patient, step, reason="", version, by):
    """Freeze, lock, unfreeze or unlock all records of a patient, those of the visits included.

    The signature of the casebook is about records that cannot change: opening them makes it void."""
    with acting(by, reason or _why(step)):
        patient = lock_patient(patient, version)
        _refuse_step(step, standing_of_patient(patient), reason, patient, by)
        patient.hold = STEPS[step].after
        next_version(patient, "hold")
        if patient.hold == Hold.OPEN:
            marks_void(record=patient, reason=reason, by=by)
    return patient


def _refuse_step(step, standing, reason, patient, by):
    rule = STEPS[step]
    if not can(by, rule.permission, patient.site):
        raise PermissionDenied(rule.permission.value)
    if reasons := reasons_not_to(step, standing):
        raise Refused({"": [str(reason) for reason in reasons]})
    if rule.reasoned and not reason.strip():
        raise Refused({"reason": [_("Write why it is opened again.")]})


def freeze_visits(*, seen, by):
    """Freeze these visits, (visit, version) each. Gives (visits frozen, [(visit, why not)])."""
    frozen, left_out = [], []
    with acting(by, _why("freeze")):
        for visit, version in sorted(seen, key=lambda one: (one[0].patient_id, one[0].pk)):
            try:
                frozen.append(hold_visit(visit=visit, step="freeze", version=version, by=by))
            except Stale:
                left_out.append((visit, _("It was changed after you opened the page.")))
            except Refused as refusal:
                left_out.append((visit, str(refusal)))
    return frozen, left_out
