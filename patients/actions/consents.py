"""Consents: recorded, put right, and what a patient may sign."""

from django.utils.translation import gettext as _

from patients.actions.eligibility import assess_again
from patients.actions.records import announce, lock_open_patient, next_version
from patients.models import Consent, State
from trialsite import trial
from trialsite.audit import acting
from trialsite.clock import today_at
from trialsite.models import VersionApproval
from trialsite.reasons import because
from trialsite.saving import Refused, check_version


def record_consent(*, patient, form_version, language, signed_on, obtained_by, version, by):
    """Add a consent. Who consents again on a form of a later protocol version moves to that version: what was entered
    stays as it is, what is still planned follows."""
    with acting(by, because("consent %(form)s signed on %(day)s", form=form_version, day=signed_on)):
        patient = lock_open_patient(patient, version)
        offered = consent_forms_for(patient)
        form, version, approved_on = offered.get(form_version, (None, "", None))
        errors = _consent_errors(patient, form, version, approved_on, signed_on)
        if form is None:
            errors["form_version"] = [
                _("The protocol has no consent form %(form_version)s.") % {"form_version": form_version}
            ]
        if not patient.is_open:
            errors[""] = [
                _("The patient is not in screening or in the trial: %(state)s.")
                % {"state": patient.get_state_display()}
            ]
        if Consent.objects.filter(patient=patient, form_version=form_version, signed_on=signed_on).exists():
            errors["signed_on"] = [_("This consent is recorded already.")]
        if errors:
            raise Refused(errors)
        consent = Consent.objects.create(
            patient=patient,
            protocol_version=version,
            form_version=form_version,
            language=language,
            signed_on=signed_on,
            obtained_by=obtained_by,
        )
        if version == patient.protocol_version:
            next_version(patient)
        else:
            patient.protocol_version = version
            next_version(patient, "protocol_version")
            announce("AFTER_AMENDMENT", patient=patient, on=signed_on, by=by)
    return consent


def correct_consent(*, consent, signed_on, language, obtained_by, version, reason, by):
    """Put a wrongly typed consent right: its day, its language, who obtained it. The form stays, for the patient's
    protocol version may follow from it. Who was found eligible is assessed again when the day changes."""
    if not reason.strip():
        raise Refused({"reason": [_("Write why the entry is changed.")]})
    with acting(by, reason):
        patient = lock_open_patient(consent.patient)
        consent = Consent.objects.select_for_update(of=("self",)).get(pk=consent.pk)
        check_version(consent, version)
        form = next((f for f in consent.protocol.consent_forms if f.version == consent.form_version), None)
        approved_on = VersionApproval.objects.at(patient.site).get(consent.protocol_version)
        errors = _consent_errors(patient, form, consent.protocol_version, approved_on, signed_on)
        others = Consent.objects.filter(patient=patient, form_version=consent.form_version).exclude(pk=consent.pk)
        if others.filter(signed_on=signed_on).exists():
            errors["signed_on"] = [_("This consent is recorded already.")]
        if errors:
            raise Refused(errors)
        if signed_on != consent.signed_on and patient.state == State.ELIGIBLE:
            assess_again(patient)
            next_version(patient, "state")
        consent.signed_on, consent.language, consent.obtained_by = signed_on, language, obtained_by
        next_version(consent, "signed_on", "language", "obtained_by")
        announce("AFTER_CHANGE", record=consent, reason=reason, by=by)
    return consent


def consent_forms_for(patient):
    """The consent forms that the patient may sign, each with the protocol version to which it leads (the patient's own,
    or the newest later one that has the form) and the day from which the site may use that: by the form's version."""
    at_site, offered = VersionApproval.objects.at(patient.site), {}
    versions = [*at_site] if patient.protocol_version in at_site else [patient.protocol_version, *at_site]
    for version in versions[versions.index(patient.protocol_version) :]:
        offered |= {
            form.version: (form, version, at_site.get(version)) for form in trial.protocol(version).consent_forms
        }
    return offered


def has_form_to_sign(patient, consents):
    """Is there a consent form, dated after the last one signed, that the site may use by now? `consents` are the
    patient's, the one in force last. Asks nothing of the database while the trial has no such form."""
    dated = {form.version: form.dated for protocol in trial.versions().values() for form in protocol.consent_forms}
    since = dated.get(consents[-1].form_version)
    if since is None or max(dated.values()) <= since:
        return False
    today = today_at(patient.site)
    return any(
        form.dated > since and (approved_on is None or approved_on <= today)
        for form, _version, approved_on in consent_forms_for(patient).values()
    )


def _consent_errors(patient, form, version, approved_on, signed_on):
    """Why a form cannot have been signed on a day, by field."""
    errors = {}
    if form is not None and signed_on < form.dated:
        errors["signed_on"] = [
            _("Form %(form_version)s is dated %(dated)s: it cannot be signed before.")
            % {"form_version": form.version, "dated": form.dated}
        ]
    elif approved_on and signed_on < approved_on:
        words = _("Version %(version)s was approved at this site on %(approved_on)s, not before.")
        errors["signed_on"] = [words % {"version": version, "approved_on": approved_on}]
    if signed_on > today_at(patient.site):
        errors["signed_on"] = [_("The date is in the future.")]
    return errors
