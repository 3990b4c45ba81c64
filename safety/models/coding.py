"""Dictionaries as tables, and the codes that records have been given from them."""

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from patients.models import PatientRecord, person
from safety import dictionary
from safety.coding.rules import PATH, CodingState, Kind
from trialsite.ctcae import term_told
from trialsite.roles import Permission, can
from visits.models.queries import ByRecordQuerySet


class DictionaryQuerySet(models.QuerySet):
    def visible_to(self, user):
        """Of the trial as a whole, and of no patient: for all who see what is coded."""
        return self if can(user, Permission.VIEW_ADVERSE_EVENTS) else self.none()

    def in_use(self, name):
        """The version of the dictionary with which one codes now, or None."""
        return self.filter(name=name, is_current=True).first()


class Dictionary(models.Model):
    """One version of a dictionary, as it was loaded. Its terms are never changed: another version is another row."""

    name = models.CharField(_("dictionary"), max_length=40)
    dictionary_version = models.CharField(_("version of the dictionary"), max_length=20)
    is_current = models.BooleanField(_("in use"), default=False)
    language = models.CharField(_("language"), max_length=10, default="en")
    licence = models.CharField(_("licence"), max_length=500, blank=True)
    # of the files as they were read, and the number of terms, so that a loaded dictionary can be compared with its files
    sha256 = models.CharField(_("SHA-256"), max_length=64)
    terms_count = models.PositiveIntegerField(_("terms"))
    loaded_at = models.DateTimeField(default=timezone.now)
    version = models.PositiveIntegerField(default=1)

    objects = DictionaryQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["name", "dictionary_version"], name="a_dictionary_version_is_loaded_once"),
            models.UniqueConstraint(fields=["name"], condition=Q(is_current=True), name="one_version_in_use"),
        ]

    def __str__(self):
        return f"{self.name} {self.dictionary_version}"


class Path(models.Model):
    """A term and the way up from it (rules.PATH): MedDRA's LLT, PT, HLT, HLGT and primary SOC."""

    code = models.CharField(_("code"), max_length=300)
    term = models.CharField(_("term"), max_length=300)
    preferred_code = models.CharField(_("code of the preferred term"), max_length=300, blank=True)
    preferred_term = models.CharField(_("preferred term"), max_length=300)
    high_level_code = models.CharField(_("code of the high level term"), max_length=300, blank=True)
    high_level_term = models.CharField(_("high level term"), max_length=300, blank=True)
    group_code = models.CharField(_("code of the high level group term"), max_length=300, blank=True)
    group_term = models.CharField(_("high level group term"), max_length=300, blank=True)
    body_system_code = models.CharField(_("code of the system organ class"), max_length=300, blank=True)
    body_system = models.CharField(_("system organ class"), max_length=300, blank=True)

    class Meta:
        abstract = True

    @property
    def path(self):
        return {name: getattr(self, name) for name in PATH}

    @property
    def body_system_told(self):
        return dictionary.told(self.body_system)

    @property
    def shown_code(self):
        """Of a dictionary without codes the term is its own code, and is not said twice."""
        return self.code if self.code != self.term else ""


class DictionaryTerm(Path):
    """A term that a record can be coded with. Loaded as a whole, never changed; not in the audit trail, its
    dictionary is (with the digest of its files)."""

    dictionary = models.ForeignKey(Dictionary, models.PROTECT, related_name="terms")
    # the term as it is compared (rules.key_of)
    key = models.CharField(max_length=300)
    is_current = models.BooleanField(_("current"), default=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["dictionary", "code"], name="a_code_stands_once")]
        indexes = [
            models.Index(fields=["dictionary", "key"]),
            GinIndex(name="term_key_trigrams", fields=["key"], opclasses=["gin_trgm_ops"]),
        ]

    def __str__(self):
        return self.term


class Coding(PatientRecord, Path):
    """The code of one record (`record`, its model's label, and `record_id`): words as typed, term, who coded, who judged.

    The path is copied from the dictionary, so that a record says what it was coded as whatever is loaded later."""

    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    record = models.CharField(_("kind of record"), max_length=60)
    record_id = models.BigIntegerField(_("record"))
    verbatim = models.CharField(_("words of the site"), max_length=500)
    key = models.CharField(_("words as they are compared"), max_length=500, editable=False)
    dictionary = models.ForeignKey(Dictionary, models.PROTECT, related_name="codings", verbose_name=_("dictionary"))
    state = models.CharField(_("state"), max_length=10, choices=CodingState.choices)
    is_automatic = models.BooleanField(_("coded automatically"), default=False)
    coded_by = person(null=True, verbose_name=_("coded by"))
    coded_at = models.DateTimeField(_("coded at"), default=timezone.now)
    judged_by = person(null=True, verbose_name=_("judged by"))
    judged_at = models.DateTimeField(_("judged at"), null=True)
    reason = models.CharField(_("reason"), max_length=500, blank=True)

    objects = ByRecordQuerySet.as_manager()

    class Meta(PatientRecord.Meta):
        ordering = ["id"]
        default_related_name = "codings"
        verbose_name, verbose_name_plural = _("code"), _("codes")
        constraints = [
            *(
                models.UniqueConstraint(
                    fields=["kind", "record_id"], condition=Q(state=state), name=f"one_code_{state}_a_record"
                )
                for state in (CodingState.PROPOSED.value, CodingState.APPROVED.value)
            ),
            models.CheckConstraint(
                condition=Q(is_automatic=True, coded_by=None) | Q(is_automatic=False, coded_by__isnull=False),
                name="a_code_says_who_coded",
            ),
            models.CheckConstraint(
                condition=~Q(state=CodingState.APPROVED) | Q(is_automatic=True) | Q(judged_by__isnull=False),
                name="a_second_person_approves",
            ),
            models.CheckConstraint(
                condition=~Q(state=CodingState.APPROVED) | Q(judged_by=None) | Q(coded_by=None)
                | ~Q(judged_by=models.F("coded_by")),
                name="nobody_approves_the_own_code",
            ),
            models.CheckConstraint(condition=~Q(state=CodingState.REJECTED) | ~Q(reason=""), name="rejected_with_reason"),
        ]  # fmt: skip
        indexes = [
            models.Index(fields=["state", "kind"]),
            models.Index(fields=["record", "record_id"]),
            GinIndex(name="coding_key_trigrams", fields=["key"], opclasses=["gin_trgm_ops"]),
        ]

    def __str__(self):
        return f"{self.verbatim} → {term_told(self.preferred_term)}"
