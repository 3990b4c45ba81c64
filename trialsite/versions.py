"""Pages about the protocol's versions: which there are, and which site works under which."""

from django import forms
from django.apps import apps
from django.db.models import Count
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from trialsite import actions, trial
from trialsite.fields import ClearTextField, StrictDateField
from trialsite.models import Site, VersionApproval
from trialsite.roles import Permission, can, needs, within_sites
from trialsite.saving import DataForm, Saved, answer_form


class ReleaseVersionForm(DataForm):
    site = forms.ModelChoiceField(Site.objects.none(), label=gettext_lazy("Site"), empty_label="—")
    protocol_version = forms.ChoiceField(label=gettext_lazy("Protocol version"))
    approved_on = StrictDateField(label=gettext_lazy("Approved on"))
    approved_by = ClearTextField(
        label=gettext_lazy("Approved by"),
        max_length=200,
        help_text=gettext_lazy("The ethics committee, and its number."),
    )

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["site"].queryset = Site.objects.all()
        later = list(trial.versions())[1:]
        self.fields["protocol_version"].choices = [(version, version) for version in reversed(later)]


@needs(Permission.VIEW_PATIENTS)
@require_GET
def list_versions(request):
    """Versions by sites: since when each works under it, and how many of its patients do."""
    sites = list(within_sites(Site.objects.all(), request.user, Permission.VIEW_PATIENTS, "pk"))
    approvals = {(a.site_id, a.protocol_version): a for a in VersionApproval.objects.filter(site__in=sites)}
    patients = apps.get_model("patients", "Patient").objects.filter(site__in=sites).order_by()
    counts = {
        (site, version): n
        for site, version, n in patients.values_list("site", "protocol_version").annotate(n=Count("id"))
    }
    first = next(iter(trial.versions()))
    versions = [
        {
            "protocol": protocol,
            "consent_forms": ", ".join(form.version for form in protocol.consent_forms),
            "sites": [
                {
                    "site": site,
                    "is_first": version == first,
                    "approval": approvals.get((site.pk, version)),
                    "patients": counts.get((site.pk, version), 0),
                }
                for site in sites
            ],
        }
        for version, protocol in reversed(trial.versions().items())
    ]
    may_release = can(request.user, Permission.RELEASE_VERSIONS) and len(versions) > 1
    return render(request, "versions/list_versions.html", {"versions": versions, "may_release": may_release})


@needs(Permission.RELEASE_VERSIONS)
def release_version(request):
    form = ReleaseVersionForm(request.POST or None)

    def save(form):
        approval = actions.release_version(**form.values, by=request.user)
        message = _("Version %(version)s is released at site %(site)s.") % {
            "version": approval.protocol_version, "site": approval.site.code,
        }  # fmt: skip
        return Saved(reverse("list_versions"), 1, message)

    context = {
        "heading": _("Release a protocol version at a site"),
        "intro": _("From the day of approval new patients enter under it. Patients in the trial move to it when they consent again."),
        "submit": _("Release"),
        "cancel": reverse("list_versions"),
    }  # fmt: skip
    return answer_form(request, form, "form.html", context, save)
