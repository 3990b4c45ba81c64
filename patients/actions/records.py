"""What every action on a patient's record asks first: the lock, the version, the hold, the consent."""

from django.conf import settings
from django.db.models import OuterRef, Subquery
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from patients.models import Consent, EligibilityAssessment, Hold, Patient
from trialsite.saving import Refused, check_version


def lock_patient(patient, version=None):
    """The patient's row (with the day of the last assessment), locked until the end of the transaction. Raises Stale when `version` is not current."""
    last = EligibilityAssessment.objects.filter(patient=OuterRef("pk")).order_by("-id").values("assessed_on")[:1]
    patients = Patient.objects.annotate(assessed_on=Subquery(last)).select_related("site")
    locked = patients.select_for_update(of=("self",)).get(pk=patient.pk)
    check_version(locked, version)
    return locked


def refuse_when_held(patient, visit=None, *, even_frozen=False):
    """Raise Refused when the patient's records, or those of this visit, are frozen or locked.

    What changes no data (queries, marks) may still be done with what is frozen: `even_frozen`. Asked of rows that are
    locked, the patient's and the visit's, so that nothing is frozen between this look and the end of the transaction."""
    held = {patient.hold, visit.hold if visit else Hold.OPEN}
    if Hold.LOCKED in held:
        raise Refused(_("These records are locked: nothing is changed any more. The data manager can unlock them."))
    if Hold.FROZEN in held and not even_frozen:
        raise Refused(_("These records are frozen. Ask the data manager to open them, and say why."))


def lock_open_patient(patient, version=None, *, even_frozen=False):
    """`lock_patient`, and refuse when the patient's records are frozen or locked (see refuse_when_held)."""
    locked = lock_patient(patient, version)
    refuse_when_held(locked, even_frozen=even_frozen)
    return locked


def refuse_before_consent(patient, day=None, field=""):
    """Raise Refused when the patient has not consented, or (at `field`) when `day` is before the first consent.
    Gives the day of that consent."""
    consent = Consent.objects.filter(patient=patient).order_by("signed_on").first()
    if consent is None:
        raise Refused(_("Nothing is entered before the consent is recorded."))
    if day is not None and day < consent.signed_on:
        raise Refused(
            {field: [_("The date is before the consent of %(signed_on)s.") % {"signed_on": consent.signed_on}]}
        )
    return consent.signed_on


def refuse_when_withdrawn(line):
    if getattr(line, "is_withdrawn", False):
        raise Refused(_("This was marked as entered in error, and stays as it is."))


def next_version(record, *fields):
    record.version += 1
    record.save(update_fields=[*fields, "version"])


def announce(setting, **arguments):
    """Tell the floors above, by the names in settings."""
    for name in getattr(settings, setting):
        import_string(name)(**arguments)
