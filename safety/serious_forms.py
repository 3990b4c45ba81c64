"""The forms of serious cases: reporting, judging, linking records, noting what was sent and answered."""

from datetime import timedelta
from zoneinfo import ZoneInfo

from django import forms
from django.utils.translation import gettext_lazy as _

from patients.models import Medication
from safety.models import CaseVersion, Causality, CopyPurpose, Expectedness
from trialsite.fields import ClearTextField, StrictDateTimeField, choices_with_blank
from trialsite.forms import SigningForm
from trialsite.saving import DataForm
from trialsite.ucum import unit_text
from visits.models import Measurement

# results outside their limits are offered from so long before the onset to so long after it
AROUND_ONSET = timedelta(days=30)


def reason_field():
    return ClearTextField(label=_("Reason for the change"), max_length=500)


class JudgementForm(SigningForm):
    """The sponsor's judgement, signed with the password."""

    causality = forms.ChoiceField(
        label=_("Did the product cause it?"), choices=choices_with_blank(Causality.choices),
        help_text=_("One who cannot exclude it is enough: investigator or sponsor."),
    )  # fmt: skip
    expectedness = forms.ChoiceField(label=_("Expectedness"), choices=choices_with_blank(Expectedness.choices[:2]))
    comment = ClearTextField(label=_("Assessment"), max_length=8000, lines=4)

    def __init__(self, *args, judged_before, **kwargs):
        super().__init__(*args, **kwargs)
        if judged_before:
            self.fields["reason"] = ClearTextField(label=_("Why the case is judged anew"), max_length=500)
        self.order_fields(["causality", "expectedness", "comment", "reason", "password", "code"])


class CaseVersionForm(DataForm):
    is_drafted = False

    summary = ClearTextField(
        label=_("What is new"), max_length=2000, lines=3, required=False,
        help_text=_("The case is frozen as it stands now; what differs from the last version is listed by itself."),
    )  # fmt: skip


class ResultChoices(forms.ModelMultipleChoiceField):
    widget = forms.CheckboxSelectMultiple

    def __init__(self, *, protocol, **kwargs):
        super().__init__(**kwargs)
        self.protocol = protocol

    def label_from_instance(self, result):
        told = [
            result.collected_on,
            f"{self.protocol.test(result.test).name} {result.typed} {unit_text(result.reported_unit)}",
        ]
        if result.flag:
            told.append(result.get_flag_display())
        if result.grade is not None:
            told.append(_("grade %(grade)s") % {"grade": result.grade})
        return " · ".join(map(str, told))


class MedicationChoices(forms.ModelMultipleChoiceField):
    widget = forms.CheckboxSelectMultiple

    def label_from_instance(self, drug):
        until = _("ongoing") if drug.is_ongoing else drug.ended_on
        return f"{drug.treatment} · {drug.started_on} – {until}"


class CaseRecordsForm(DataForm):
    """Which results and medications belong to the case: results outside their limits around the onset are offered."""

    is_drafted = False

    def __init__(self, *args, record, **kwargs):
        super().__init__(*args, record=record, **kwargs)
        event, links = record.event, [link for link in record.links.all() if not link.is_withdrawn]
        linked = [link.measurement_id for link in links if link.measurement_id]
        near = Measurement.objects.filter(
            patient=record.patient_id, panel__isnull=False,
            collected_on__range=(event.began_on - AROUND_ONSET, event.began_on + AROUND_ONSET),
        ).exclude(flag="")  # fmt: skip
        results = (near | Measurement.objects.filter(pk__in=linked)).distinct().order_by("collected_on", "id")
        drugs = Medication.objects.filter(patient=record.patient_id, is_withdrawn=False)
        self.fields["measurements"] = ResultChoices(
            protocol=record.patient.protocol, label=_("Results"), queryset=results, required=False, initial=linked,
            help_text=_("Offered are results outside their limits, from 30 days before the onset to 30 days after."),
        )  # fmt: skip
        self.fields["medications"] = MedicationChoices(
            label=_("Concomitant medication"), queryset=drugs, required=False,
            initial=[link.medication_id for link in links if link.medication_id],
        )  # fmt: skip
        self.fields["suspects"] = MedicationChoices(
            label=_("Of these, suspected beside the product"), queryset=drugs, required=False,
            initial=[link.medication_id for link in links if link.is_suspect],
        )  # fmt: skip


class VersionChoice(forms.ModelChoiceField):
    def label_from_instance(self, version):
        return f"{version} · {version.made_at:%Y-%m-%d %H:%M} UTC"


class SubmissionForm(DataForm):
    """That a report was sent. `owed` are (code.stage, words) of the reports that this person may note."""

    report = forms.ChoiceField(label=_("Report"))
    case_version = VersionChoice(CaseVersion.objects.none(), label=_("Version of the case"), empty_label=None)
    reference = ClearTextField(label=_("Reference"), max_length=200, required=False)

    def __init__(self, *args, record, owed, **kwargs):
        super().__init__(*args, record=record, **kwargs)
        zone = ZoneInfo(record.patient.site.timezone)
        self.fields["report"].choices = choices_with_blank(owed)
        versions = CaseVersion.objects.filter(case=record).order_by("-number")
        self.fields["case_version"].queryset = versions
        self.fields["sent_at"] = StrictDateTimeField(label=_("Sent (local time of the site)"), zone=zone)
        self.order_fields(["report", "case_version", "sent_at", "reference"])


def purpose_field(**kwargs):
    return forms.ChoiceField(label=_("Why"), choices=choices_with_blank(CopyPurpose.choices), **kwargs)


class AskForCopyForm(DataForm):
    is_drafted = False

    purpose = purpose_field()


class MakeCopyForm(SigningForm):
    purpose = purpose_field()
    field_order = ["purpose", "password", "code"]


class AcknowledgementForm(DataForm):
    acknowledgement = ClearTextField(label=_("What was answered"), max_length=500)

    def __init__(self, *args, record, zone, **kwargs):
        initial = {"acknowledgement": record.acknowledgement, "acknowledged_at": record.acknowledged_at}
        super().__init__(*args, record=record, initial=initial, **kwargs)
        self.fields["acknowledged_at"] = StrictDateTimeField(
            label=_("Acknowledged (local time of the site)"), zone=zone
        )
        if record.acknowledged_at:
            self.fields["reason"] = reason_field()
        self.order_fields(["acknowledged_at", "acknowledgement", "reason"])


class KnowledgeForm(DataForm):
    """From when the sponsor, or the site, knew: only earlier than the case was opened."""

    def __init__(self, *args, record, name, **kwargs):
        super().__init__(*args, record=record, initial={name: getattr(record, name)}, **kwargs)
        label = record._meta.get_field(name).verbose_name
        zone = ZoneInfo(record.patient.site.timezone)
        self.fields[name] = StrictDateTimeField(label=label, zone=zone, help_text=_("Local time of the site"))
        self.fields["reason"] = reason_field()
