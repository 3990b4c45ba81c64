"""What was done to make sure that an entry is right: verified, reviewed, signed; and when that became void."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from patients.models import PatientRecord, person
from visits.models.plan import Visit


class Mark(models.TextChoices):
    """What a person can say of a form, each on its own."""

    VERIFIED = "verified", _("verified against the source")
    REVIEWED = "reviewed", _("reviewed")
    SIGNED = "signed", _("signed")


class Review(PatientRecord):
    """That one person verified, reviewed or signed one form, as it stood in one version.

    The form is any record of a patient: `record` is its model's label ("visits.panelrecord"), `record_id` its key.
    `record_version` and `digest` (SHA-256 of form, key, version, content, mark, meaning, person and instant) bind the
    mark to exactly what was seen. A mark is never changed but to become void, when the form changes or it is taken
    back. Part 11: 11.50 (printed name, time, meaning), 11.70 (linked to its record)."""

    record = models.CharField(max_length=60)
    record_id = models.BigIntegerField()
    visit = models.ForeignKey(Visit, models.PROTECT, null=True, related_name="reviews")
    mark = models.CharField(_("mark"), max_length=10, choices=Mark.choices)
    fields = models.JSONField(default=list)
    record_version = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    meaning = models.CharField(_("meaning"), max_length=300, blank=True)
    printed_name = models.CharField(_("printed name"), max_length=200)
    roles = models.CharField(max_length=200)
    by = person()
    at = models.DateTimeField(default=timezone.now)
    void_at = models.DateTimeField(null=True)
    void_by = person(null=True)
    void_because = models.CharField(max_length=500, blank=True)

    class Meta(PatientRecord.Meta):
        ordering = ["id"]
        indexes = [models.Index(fields=["record", "record_id", "mark"]), models.Index(fields=["mark", "void_at"])]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(void_at=None, void_by=None, void_because="")
                | (models.Q(void_at__isnull=False, void_by__isnull=False) & ~models.Q(void_because="")),
                name="a_void_mark_says_by_whom_and_why",
            )
        ]

    def __str__(self):
        return f"{self.mark} by {self.printed_name}"
