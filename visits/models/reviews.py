"""What was done to make sure that an entry is right: verified, reviewed, signed; and when that became void."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from patients.models import ByPatientQuerySet, PatientRecord, person
from visits.models.plan import Visit


class Mark(models.TextChoices):
    """What a person can say of a form, each on its own."""

    VERIFIED = "verified", _("verified against the source")
    REVIEWED = "reviewed", _("reviewed")
    SIGNED = "signed", _("signed")


class ReviewQuerySet(ByPatientQuerySet):
    def standing(self):
        """Marks that are not void."""
        return self.filter(void_at=None)


class Review(PatientRecord):
    """That one person verified, reviewed or signed one form, as it stood in one version.

    The form is any record of a patient: `record` is its model's label ("visits.panelrecord"), `record_id` its key.
    A verified mark is about one `field` of a panel (the code of its test); all others, with `field` blank, are about the
    form as a whole. `record_version` and `digest` (SHA-256 of form, key, version, content, mark, meaning, person and
    instant: visits/contents.py) bind the mark to exactly what was seen. A mark is never changed but to become void, when the form changes or it is taken
    back. Part 11: 11.50 (printed name, time, meaning), 11.70 (linked to its record)."""

    record = models.CharField(_("kind of record"), max_length=60)
    record_id = models.BigIntegerField(_("record"))
    visit = models.ForeignKey(Visit, models.PROTECT, null=True, related_name="reviews", verbose_name=_("visit"))
    mark = models.CharField(_("mark"), max_length=10, choices=Mark.choices)
    field = models.CharField(_("field"), max_length=24, blank=True)
    record_version = models.PositiveIntegerField(_("version of the record"))
    digest = models.CharField(_("digest"), max_length=64)
    meaning = models.CharField(_("meaning"), max_length=300, blank=True)
    printed_name = models.CharField(_("printed name"), max_length=200)
    roles = models.CharField(_("roles"), max_length=200)
    by = person(_("by"))
    at = models.DateTimeField(_("at"), default=timezone.now)
    void_at = models.DateTimeField(_("void since"), null=True)
    void_by = person(_("made void by"), null=True)
    void_because = models.CharField(_("void because"), max_length=500, blank=True)

    objects = ReviewQuerySet.as_manager()

    class Meta(PatientRecord.Meta):
        verbose_name = _("mark")
        ordering = ["id"]
        indexes = [models.Index(fields=["record", "record_id", "mark"]), models.Index(fields=["mark", "void_at"])]
        constraints = [
            models.UniqueConstraint(
                fields=["record", "record_id", "mark", "field"], condition=models.Q(void_at=None),
                name="a_mark_stands_once",
            ),
            models.CheckConstraint(
                condition=models.Q(void_at=None, void_by=None, void_because="")
                | (models.Q(void_at__isnull=False, void_by__isnull=False) & ~models.Q(void_because="")),
                name="a_void_mark_says_by_whom_and_why",
            ),
        ]  # fmt: skip

    def __str__(self):
        return gettext("%(mark)s by %(name)s") % {"mark": self.get_mark_display(), "name": self.printed_name}

    @property
    def is_void(self):
        return self.void_at is not None
