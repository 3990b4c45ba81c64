"""People, sites, and what every floor above needs: the audit trail, the outbox, the receipts of saved forms."""

import uuid
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.hashers import check_password
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from trialsite import trial
from trialsite.roles import Permission, Role, can, sites_where
from trialsite.words import listed


class Site(models.Model):
    """A hospital that takes part. `code` opens the numbers of its patients; `timezone` is an IANA name."""

    code = models.CharField(_("code"), max_length=8, unique=True)
    name = models.CharField(_("name"), max_length=200)
    country = models.CharField(_("country"), max_length=2)
    timezone = models.CharField(_("time zone"), max_length=64)

    class Meta:
        verbose_name = _("site")
        ordering = ["code"]

    def __str__(self):
        return f"{self.code} {self.name}"


class VersionApprovalQuerySet(models.QuerySet):
    def at(self, site):
        """The protocol versions that a site works under, oldest first: the first one, and those that it approved, each
        with the day of its approval (None for the first)."""
        first, *later = trial.versions()
        if not later:  # the common case asks nothing
            return {first: None}
        approved = dict(self.filter(site=site).values_list("protocol_version", "approved_on"))
        return {first: None} | {version: approved[version] for version in later if version in approved}

    def in_force(self, site, on):
        """The protocol version under which a patient enters at a site on a day."""
        return [version for version, approved_on in self.at(site).items() if approved_on is None or approved_on <= on][
            -1
        ]


class VersionApproval(models.Model):
    """That the ethics committee of a site approved a later protocol version: from then on patients enter under it, and
    those in the trial move to it when they consent again (ICH E6(R3) 4.3.5, 2.8)."""

    site = models.ForeignKey(Site, models.PROTECT, related_name="approvals", verbose_name=_("site"))
    protocol_version = models.CharField(_("protocol version"), max_length=20)
    approved_on = models.DateField(_("approved on"))
    approved_by = models.CharField(_("approved by"), max_length=200)
    released_by = models.ForeignKey("trialsite.User", models.PROTECT, related_name="+", verbose_name=_("released by"))

    objects = VersionApprovalQuerySet.as_manager()

    class Meta:
        verbose_name = _("approval of a protocol version")
        ordering = ["site", "approved_on"]
        constraints = [models.UniqueConstraint(fields=["site", "protocol_version"], name="approved_once_at_a_site")]

    def __str__(self):
        return f"{self.protocol_version} at {self.site.code} since {self.approved_on}"


class UserManager(BaseUserManager):
    def get_by_natural_key(self, username):
        # exactly: to the database ı (dotless) and i are one letter in capitals, to the throttle they are two names
        return self.get(username=username)

    def system(self):
        """The account in whose name the machine itself acts."""
        return self.get(username="system")


class User(AbstractBaseUser):
    """One account of one person, never shared, never deleted. System accounts have no password and sign nothing."""

    username = models.CharField(_("user name"), max_length=64, unique=True)
    full_name = models.CharField(_("full name"), max_length=200)
    email = models.EmailField(_("e-mail"), blank=True)
    is_active = models.BooleanField(_("active"), default=True)
    is_system = models.BooleanField(_("system account"), default=False)
    # empty: as the browser asks
    language = models.CharField(_("language"), max_length=10, choices=settings.LANGUAGES, blank=True, default="")
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    last_login = None

    objects = UserManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["full_name"]

    class Meta:
        verbose_name = _("account")
        ordering = ["username"]
        constraints = [models.UniqueConstraint(Lower("username"), name="user_names_differ_in_more_than_case")]

    def __str__(self):
        return self.full_name

    def check_password(self, raw_password):
        """Compare only: Django's own method would store a fresh hash, a write that signing in must not make."""
        return check_password(raw_password, self.password)

    @cached_property
    def current_grants(self):
        """The roles that hold now; one query for the whole request."""
        return list(self.grants.current().select_related("site"))

    def get_full_name(self):
        return self.full_name

    @property
    def sites_text(self):
        sites = {grant.site.code if grant.site else None for grant in self.current_grants}
        return "" if None in sites else ", ".join(sorted(sites))

    @property
    def roles_text(self):
        return listed(sorted({str(Role(grant.role).label) for grant in self.current_grants}))


class GrantQuerySet(models.QuerySet):
    def current(self):
        return self.filter(revoked_at=None)


class Grant(models.Model):
    """A role that a person holds at a site, or at all sites when `site` is empty."""

    user = models.ForeignKey(User, models.PROTECT, related_name="grants", verbose_name=_("account"))
    role = models.CharField(_("role"), max_length=20, choices=Role.choices)
    site = models.ForeignKey(Site, models.PROTECT, null=True, blank=True, related_name="grants", verbose_name=_("site"))
    granted_by = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name=_("granted by"))
    granted_at = models.DateTimeField(_("granted at"), default=timezone.now)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True)

    objects = GrantQuerySet.as_manager()

    class Meta:
        verbose_name = _("role of an account")
        constraints = [
            models.UniqueConstraint(
                fields=["user", "role", "site"],
                condition=Q(revoked_at=None),
                nulls_distinct=False,
                name="a_role_is_held_once_at_a_site",
            )
        ]

    def __str__(self):
        return f"{self.user}: {self.role} ({self.site or 'all sites'})"


class LostFactorQuerySet(models.QuerySet):
    def open(self):
        """Reported within the last day, and not answered yet."""
        return self.filter(confirmed_at=None, reported_at__gt=timezone.now() - LostFactor.WITHIN)


class LostFactor(models.Model):
    """That a person's second factor is lost: reported by one administrator, confirmed by another, who then gets the
    link. So nobody alone can become another person (21 CFR 11.200(a)(3))."""

    WITHIN = timedelta(days=1)

    user = models.ForeignKey(User, models.PROTECT, related_name="lost_factors")
    reported_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    reported_at = models.DateTimeField(default=timezone.now)
    confirmed_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    confirmed_at = models.DateTimeField(null=True)

    objects = LostFactorQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(confirmed_by=None) | ~Q(confirmed_by=F("reported_by")) & ~Q(confirmed_by=F("user")),
                name="a_lost_factor_needs_two_people",
            )
        ]

    def __str__(self):
        return f"{self.user}: second factor lost"


class AuditEventQuerySet(models.QuerySet):
    def of(self, *records):
        """The history of these records, oldest first."""
        return self.of_rows({record._meta.db_table: [record.pk] for record in records})

    def of_rows(self, ids):
        """The history of the rows with these ids, by table, oldest first."""
        which = Q()
        for table, numbers in ids.items():
            which |= Q(table=table, record_id__in=numbers)
        return self.filter(which).order_by("id")


class AuditEvent(models.Model):
    """One row changed: written by the database's own triggers (trialsite/audit.py), by nothing else."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    transaction = models.BigIntegerField()
    table = models.CharField(max_length=64)
    record_id = models.BigIntegerField()
    patient_id = models.BigIntegerField(null=True)
    operation = models.CharField(max_length=6)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    by_id = models.BigIntegerField()
    by_name = models.CharField(max_length=200)
    by_roles = models.CharField(max_length=200)
    reason = models.TextField(blank=True)
    request_id = models.CharField(max_length=64, blank=True)

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["table", "record_id", "id"], name="audit_of_a_record"),
            models.Index(fields=["patient_id", "id"], name="audit_of_a_patient"),
        ]

    def __str__(self):
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.operation} {self.table} {self.record_id} by {self.by_name}"


class OutboxMessage(models.Model):
    """A job that must run: written in the transaction that asks for it, kept until the job is done."""

    task = models.CharField(max_length=100)
    arguments = models.JSONField(default=dict)
    written_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)
    times_sent = models.PositiveIntegerField(default=0)
    done_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["sent_at"], condition=Q(done_at=None), name="outbox_still_open")]

    def __str__(self):
        return f"{self.task} {self.arguments}"


class EmailQuerySet(models.QuerySet):
    def visible_to(self, user):
        """One's own; the safety officer of all sites sees all notices of safety, for they name patients; the administrator
        all alerts, the board its own."""
        seen = Q(user=user)
        if can(user, Permission.RECORD_DECISIONS):
            seen |= Q(about=Email.About.BOARD)
        if sites_where(user, Permission.JUDGE_SERIOUS_EVENTS) is None:
            seen |= Q(about=Email.About.SAFETY)
        if can(user, Permission.MANAGE_ACCOUNTS):
            seen |= Q(about=Email.About.SECURITY)
        return self.filter(seen)


class Email(models.Model):
    """A notice to one person, or to an address of those who watch (then without `user`): one row for each, whatever dies
    on the way (trialsite/mails.py). `key` names notice and person; a row that was sent is never sent again."""

    class About(models.TextChoices):
        SAFETY = "safety", _("safety")
        SECURITY = "security", _("security")
        BOARD = "board", _("safety board")  # and what masked eyes may not know, like the halt of one arm

    key = models.CharField(max_length=160, unique=True)
    about = models.CharField(max_length=10, choices=About.choices)
    user = models.ForeignKey(User, models.PROTECT, null=True, related_name="emails")
    address = models.CharField(_("to"), max_length=254, blank=True)
    subject = models.CharField(_("subject"), max_length=200)
    text = models.TextField(_("text"))
    written_at = models.DateTimeField(_("written"), default=timezone.now)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    sent_at = models.DateTimeField(_("sent"), null=True)
    failure = models.CharField(_("failure"), max_length=200, blank=True)

    objects = EmailQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["user", "-id"], name="emails_of_a_person")]

    def __str__(self):
        return self.subject

    @property
    def state(self):
        """sent, no_address, failed (and tried again), or waiting."""
        if self.sent_at:
            return "sent"
        if not self.address:
            return "no_address"
        return "failed" if self.failure else "waiting"


class FormReceipt(models.Model):
    """That a form was saved once: its key, what was sent, and where the answer led (trialsite/saving.py)."""

    key = models.UUIDField(primary_key=True, default=uuid.uuid4)
    user = models.ForeignKey(User, models.PROTECT, related_name="+")
    path = models.CharField(max_length=300)
    digest = models.CharField(max_length=64)
    location = models.CharField(max_length=300)
    record_version = models.PositiveIntegerField(null=True)
    at = models.DateTimeField(default=timezone.now)

    def __str__(self):
        return str(self.key)


class Draft(models.Model):
    """What one person has typed into one form and not saved yet: kept for that person only, never counted as data.

    Every opening of a form has a draft of its own, so that none writes over another: `form_key` is the key `idem` of
    the form. `fields` has what is typed, and what the form showed when it was opened. `record_version` the version of the record that it showed. `asked` is what
    the edit checks said about it meanwhile (visits/actions/panels.py)."""

    user = models.ForeignKey(User, models.PROTECT, related_name="drafts")
    path = models.CharField(max_length=300)
    form_key = models.UUIDField(null=True)
    record_version = models.PositiveIntegerField(null=True)
    fields = models.JSONField(default=dict)
    asked = models.JSONField(default=dict)
    began_at = models.DateTimeField(default=timezone.now)
    kept_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "path", "form_key"], name="one_draft_of_an_opened_form")]

    def __str__(self):
        return f"draft of {self.path}"


class SecurityEvent(models.Model):
    """Signed in, signed out, failed, refused: who came to the door (not what they did inside)."""

    at = models.DateTimeField(default=timezone.now)
    kind = models.CharField(max_length=40)
    user = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    username = models.CharField(max_length=64, blank=True)
    address = models.CharField(max_length=64, blank=True)
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["username", "kind"], name="security_events_of_a_name")]

    def __str__(self):
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.kind} {self.username}"

    @property
    def told(self):
        """What happened, in the language of the reader."""
        return gettext(self.kind)


class JobState(models.TextChoices):
    """How far something is that a job makes: a report, an export."""

    WAITING = "waiting", _("waiting")
    RUNNING = "running", _("being made")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")


class DataExportQuerySet(models.QuerySet):
    def visible_to(self, user):
        """An export is a copy of what one person may see: that person's alone."""
        return self.filter(requested_by=user) if can(user, Permission.EXPORT_DATA) else self.none()


class DataExport(models.Model):
    """A copy of the data as of a cut-off, made for one person; its row stays for ever, its content for some weeks.

    `sites` and `kinds` are what was asked for (ids of sites, names of tables); `scope` is what was made of it: the
    ids of sites per table that the person was allowed when it was made, and whether arms are in it."""

    cutoff = models.DateTimeField(_("cut-off"))
    sites = models.JSONField(default=list)
    kinds = models.JSONField(default=list)
    scope = models.JSONField(default=dict)
    requested_by = models.ForeignKey(User, models.PROTECT, related_name="data_exports")
    requested_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=10, choices=JobState.choices, default=JobState.WAITING)
    step = models.CharField(max_length=100, blank=True)
    percent = models.PositiveSmallIntegerField(default=0)
    finished_at = models.DateTimeField(null=True)
    failure = models.TextField(blank=True)
    code_version = models.CharField(max_length=64, blank=True)
    protocol_versions = models.JSONField(default=list)
    last_audit_event = models.BigIntegerField(null=True)
    version = models.PositiveIntegerField(default=1)

    objects = DataExportQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self):
        return f"export {self.pk} as of {self.cutoff:%Y-%m-%d %H:%M}"


class ExportFileQuerySet(models.QuerySet):
    def visible_to(self, user):
        return self.filter(export__in=DataExport.objects.visible_to(user))


class ExportFile(models.Model):
    """One file of an export: its name, size in bytes, and digest. The bytes stand in ExportChunk, while they are kept."""

    export = models.ForeignKey(DataExport, models.PROTECT, related_name="files")
    name = models.CharField(max_length=100)
    content_type = models.CharField(max_length=100)
    size = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)

    objects = ExportFileQuerySet.as_manager()

    class Meta:
        ordering = ["-name"]
        constraints = [models.UniqueConstraint(fields=["export", "name"], name="a_file_stands_once_in_its_export")]

    def __str__(self):
        return self.name


class ExportChunk(models.Model):
    """A piece of a file, so that no process holds a whole one."""

    file = models.ForeignKey(ExportFile, models.PROTECT, related_name="chunks")
    position = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["file", "position"], name="a_chunk_stands_once_in_its_file")]

    def __str__(self):
        return f"{self.file} {self.position}"


class ExportDownload(models.Model):
    """That somebody took a file of an export."""

    file = models.ForeignKey(ExportFile, models.PROTECT, related_name="downloads")
    by = models.ForeignKey(User, models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]

    def __str__(self):
        return f"{self.file} by {self.by} at {self.at:%Y-%m-%d %H:%M}"
