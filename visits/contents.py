"""What a form contains, and the digest that binds a mark to it: the only place that reads forms of every kind alike.

A form is any record of a patient that a person can verify, review or sign, with the rows that belong to it. The digest
is SHA-256 over canonical JSON: keys sorted, no spaces, numbers without trailing zeros, instants in UTC, and nothing
said of what is blank, so that a column which is added later changes no digest of before."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache

from django.apps import apps
from django.conf import settings
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce, JSONObject
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from trialsite import trial
from trialsite.models import AuditEvent
from visits.models import CheckFiring, Mark, Outcome, PanelState, Query, Review, open_queries

# columns that are no content: the key stands beside it, and so does the version
NO_CONTENT = ("id", "version", "hold")


@dataclass(frozen=True)
class Kind:
    """A kind of form. `code` is the protocol's word for it, `parts` are (model, its field) of the rows that belong to
    it, `page` is the address that shows it, of the record itself or of its `page_of`."""

    code: str
    label: str
    title: str
    page: str
    page_of: str = "pk"
    parts: tuple[tuple[str, str], ...] = ()

    @property
    def model(self):
        return apps.get_model(self.label)


@cache
def kinds():
    """By the label of the model; those of higher floors are named in settings."""
    infusion_parts = (
        ("visits.Measurement", "infusion"),
        ("visits.Interruption", "infusion"),
        ("visits.Reaction", "infusion"),
    )
    own = (
        Kind("panels", "visits.panelrecord", gettext_lazy("Panel"), "visits:enter_panel",
             parts=(("visits.Measurement", "panel"),)),
        Kind("infusions", "visits.infusion", gettext_lazy("Infusion"), "visits:record_infusion", "visit_id", infusion_parts),
        Kind("consents", "patients.consent", gettext_lazy("Consent"), "patients:show_background", "patient_id"),
        Kind("eligibility", "patients.eligibilityassessment", gettext_lazy("Eligibility"), "patients:show_background",
             "patient_id", (("patients.CriterionAnswer", "assessment"),)),
        Kind("histories", "patients.hivhistory", gettext_lazy("HIV history"), "patients:show_background", "patient_id"),
        Kind("histories", "patients.artregimen", gettext_lazy("Antiretroviral treatment"), "patients:show_background",
             "patient_id"),
        Kind("histories", "patients.medicalhistory", gettext_lazy("Medical history"), "patients:show_background",
             "patient_id"),
        Kind("medications", "patients.medication", gettext_lazy("Concomitant medication"), "patients:show_background",
             "patient_id"),
        Kind("casebook", "patients.patient", gettext_lazy("Casebook"), "patients:show_patient"),
    )  # fmt: skip
    return {kind.label: kind for kind in (*own, *(Kind(**given) for given in settings.FORMS_ABOVE))}


PANELS, INFUSIONS, CASEBOOK = "visits.panelrecord", "visits.infusion", "patients.patient"


@dataclass
class Form:
    """One form as it stands. `parts` are the rows that belong to it, in the order of their keys."""

    kind: Kind
    record: object
    parts: list = field(default_factory=list)
    reviews: list = field(default_factory=list)
    # of a casebook: rows that are no form of their own and are signed with it (settings.SIGNED_WITH_CASEBOOK)
    beside: list = field(default_factory=list)

    @property
    def key(self):
        return self.kind.label, self.record.pk

    @property
    def visit(self):
        return getattr(self.record, "visit", None)

    @property
    def title(self):
        if self.kind.label == PANELS:
            return f"{self.visit.code} · {self.record.protocol.panel(self.record.code).name}"
        if self.kind.label == INFUSIONS:
            return f"{self.visit.code} · " + _("Infusion %(number)d") % {"number": self.record.number}
        if self.kind.label == CASEBOOK:
            return str(self.kind.title)
        return f"{self.kind.title}: {self.record}"

    @property
    def url(self):
        return reverse(self.kind.page, args=[getattr(self.record, self.kind.page_of)])

    @property
    def standing_marks(self):
        return frozenset((review.mark, review.field) for review in self.reviews if not review.is_void)

    @property
    def fields_to_verify(self):
        """Codes of tests with a value (or why there is none) that the protocol wants compared; "" for a whole record."""
        protocol = self.protocol
        if self.kind.label == PANELS:
            stored = {m.test for m in self.parts if m.typed or m.missing_because not in ("", "pending")}
            is_done = self.record.state in (PanelState.BEGUN, PanelState.ENTERED)
            return [
                code
                for code in protocol.panel(self.record.code).tests
                if is_done and code in stored & protocol.verified_tests
            ]
        return [""] if protocol.is_verified(self.kind.code) else []

    @property
    def protocol(self):
        """The version that the record, its visit or else its patient belongs to."""
        owners = (self.record, self.visit, getattr(self.record, "patient", None))
        return trial.protocol(next(v for v in (getattr(owner, "protocol_version", "") for owner in owners) if v))

    @property
    def digest(self):
        """Of its content as it stands: what a page sends along, so that nobody signs what was not shown."""
        return sha256(self.content())

    def content(self, about=""):
        """What a mark about the whole form (or about one field of a panel) is about."""
        if about:
            return [columns_of(part) for part in self.parts if getattr(part, "test", None) == about]
        if self.kind.label == CASEBOOK:  # of the forms, their content as it stands: `parts` are forms
            forms = [[*form.key, form.record.version, form.digest] for form in self.parts]
            content = {"record": columns_of(self.record, left_out=("state", "protocol_version")), "forms": forms}
            beside = [[row._meta.label_lower, row.pk, columns_of(row)] for row in self.beside]
            return content | ({"beside": beside} if beside else {})
        parts = [[part._meta.label_lower, part.pk, columns_of(part)] for part in self.parts]
        return {"record": columns_of(self.record), "parts": parts}


def columns_of(row, left_out=()):
    """The columns of a row that say something, by name."""
    values = {
        f.attname: getattr(row, f.attname)
        for f in row._meta.concrete_fields
        if f.attname not in (*NO_CONTENT, *left_out)
    }
    return {name: plain(value) for name, value in values.items() if value not in (None, "", False)}


def plain(value):
    """A value as canonical JSON writes it."""
    if isinstance(value, Decimal):
        return format(value.normalize(), "f") if value else "0"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, (date, time)):
        return value.isoformat()
    return value


def sha256(value):
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of(review, content):
    """The digest of a mark: of what it is about, who set it, when, and with which meaning."""
    return sha256({
        "record": review.record, "record_id": review.record_id, "patient": review.patient_id,
        "record_version": review.record_version, "field": review.field, "mark": str(review.mark),
        "meaning": review.meaning, "by": review.by_id, "printed_name": review.printed_name, "roles": review.roles,
        "at": plain(review.at), "content": content,
    })  # fmt: skip


# --- reading ----------------------------------------------------------------------------------------


def number_of(rows):
    """How many rows a subquery finds, as an expression."""
    counted = rows.order_by().annotate(one=Value(1)).values("one").annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(counted), 0)


def queries_on(label, pk="pk"):
    """The queries about the form whose key the outer query has in the column `pk`."""
    about = {PANELS: Q(panel=OuterRef(pk)), INFUSIONS: Q(infusion=OuterRef(pk))}.get(label)
    return Query.objects.filter(about or Q(record=label, record_id=OuterRef(pk)))


def confirmations_on(label, pk="pk"):
    """The checks that somebody answered about this form by looking the value up in the source, and whose value is what
    it was: one column, so that it costs no statement."""
    about = {PANELS: Q(panel=OuterRef(pk)), INFUSIONS: Q(infusion=OuterRef(pk))}.get(label)
    firings = CheckFiring.objects.filter(about or Q(record=label, record_id=OuterRef(pk)))
    firings = firings.filter(outcome=Outcome.CONFIRMED, has_changed_value=False).order_by("id")
    names = ("test", "minute", "typed", "record", "at", "said")
    return ArraySubquery(firings.values(told=JSONObject(**{n: n for n in names}, by="by__full_name")))


def load_forms(wanted, *, patient=None, reviews=False):
    """The forms with these keys (by label of the model), by (label, key): one statement for each table that is asked.

    `wanted` may give a queryset or rows instead of keys; rows that are read here know how many `waiting_queries` they
    have, which the site has not answered. With `patient` all are this patient's, and their `patient` is this
    object. With `reviews` each comes with its marks, void ones included, and its
    `confirmed_checks`."""
    forms = {}
    for label, ids in wanted.items():
        kind = kinds()[label]
        if patient is not None and label == CASEBOOK:
            rows = [row for row in [patient] if row.pk in ids]
        elif isinstance(ids, list):
            rows = ids
        else:
            rows = ids if hasattr(ids, "filter") else kind.model.objects.filter(pk__in=ids)
            if patient is not None:
                rows = rows.filter(patient=patient)
            if any(f.name == "visit" for f in kind.model._meta.fields):
                rows = rows.select_related("visit", *(["laboratory"] if label == PANELS else []))
            rows = rows.annotate(waiting_queries=number_of(queries_on(label).filter(open_queries())))
            if reviews:
                rows = rows.annotate(confirmed_checks=confirmations_on(label))
        for row in rows:
            if patient is not None and label != CASEBOOK:
                row.patient = patient
            forms[label, row.pk] = Form(kind, row)
    owners = {}
    for form in forms.values():
        for model, name in form.kind.parts:
            owners.setdefault(model, {}).setdefault(name, {})[form.record.pk] = form
    for model, by_name in owners.items():
        which = Q()
        for name, found in by_name.items():
            which |= Q(**{f"{name}__in": found})
        for part in apps.get_model(model).objects.filter(which).order_by("pk"):
            for name, found in by_name.items():
                if form := found.get(getattr(part, f"{name}_id")):
                    form.parts.append(part)
    for form in forms.values():
        form.parts.sort(key=lambda part: (part._meta.label_lower, part.pk))
        if form.kind.label == CASEBOOK:
            form.parts = list(load_forms(all_of(form.record), patient=form.record).values())
            form.beside = [
                row for model in beside_casebook() for row in model.objects.filter(patient=form.record).order_by("pk")
            ]
    if reviews and forms:
        labels, ids = {key[0] for key in forms}, {key[1] for key in forms}
        found = Review.objects.filter(record__in=labels, record_id__in=ids).select_related("by", "void_by")
        for review in found.order_by("id"):
            if (review.record, review.record_id) in forms:
                forms[review.record, review.record_id].reviews.append(review)
    return forms


def asked_of(protocol, mark):
    """The labels of the records outside the visits about which the protocol asks for this mark. The data manager
    reviews what it asks to verify or to sign."""
    asked = {Mark.VERIFIED: [protocol.is_verified], Mark.SIGNED: [protocol.is_signed]}
    questions = asked.get(mark, [protocol.is_verified, protocol.is_signed])
    outside = [kind for label, kind in kinds().items() if label not in (PANELS, INFUSIONS, CASEBOOK)]
    return [kind.label for kind in outside if any(question(kind.code) for question in questions)]


def beside_casebook():
    """What is no form, and is signed with the casebook: when visits took place, how it ended, what deviated."""
    return [apps.get_model(label) for label in settings.SIGNED_WITH_CASEBOOK]


def all_of(patient):
    """Every form of a patient in which something is entered, for `load_forms`."""
    wanted = {}
    for label, kind in kinds().items():
        if label != CASEBOOK:
            rows = kind.model.objects.filter(patient=patient).order_by("pk")
            wanted[label] = rows.exclude(state=PanelState.EXPECTED) if label == PANELS else rows
    return wanted


# --- verifying ---------------------------------------------------------------------------------------


def fault_of(review, form):
    """What is wrong with a mark that stands, against its form as it stands; "" when it is valid."""
    if form is None:
        return _("the record is not there, or belongs to another patient")
    # the row of a patient has a version for other things too: the casebook names the version of each form
    is_whole = review.field == "" and form.kind.label != CASEBOOK
    if is_whole and form.record.version != review.record_version:
        return _("the record was changed after it")
    contents = [form.content(review.field)]
    if form.kind.label == CASEBOOK:  # signed before what stands beside the forms was part of it
        contents.append(Form(form.kind, form.record, form.parts).content())
    if review.digest not in [digest_of(review, content) for content in contents]:
        return _("the mark or the data do not agree with its digest")
    return ""


def faults_of(reviews, patient):
    """(mark, fault) of those of these marks of one patient that are invalid.

    A void mark is held against its form as it was when the mark was set, which the audit trail knows."""
    wanted = {}
    for review in reviews:
        wanted.setdefault(review.record, set()).add(review.record_id)
    known = {label: ids for label, ids in wanted.items() if label in kinds()}
    forms = load_forms(known, patient=patient)
    for review in reviews:
        form = forms.get((review.record, review.record_id))
        if review.is_void and form is not None:
            form = as_when(review, form)
        if fault := fault_of(review, form):
            yield review, fault


def as_when(review, form):
    """The form as it stood when the mark was set; None when it was not there."""
    if form.kind.label == CASEBOOK:
        parts = [as_when(review, part) for part in form.parts]
        return Form(
            form.kind,
            form.record,
            [part for part in parts if part is not None],
            beside=rows_when(review, form.beside) or [],
        )
    rows = rows_when(review, [form.record, *form.parts])
    if not rows or rows[0].pk != form.record.pk or type(rows[0]) is not type(form.record):
        return None
    return Form(form.kind, rows[0], rows[1:])


def rows_when(review, rows):
    """These rows as they stood when the mark was set, each corrected by the first later event of the trail, without those
    that came later; None for a mark that the trail does not know."""
    set_in = AuditEvent.objects.filter(table=Review._meta.db_table, record_id=review.pk, operation="insert").first()
    if set_in is None:
        return None
    by_key = {(row._meta.db_table, row.pk): row for row in rows}
    ids = {}
    for table, pk in by_key:
        ids.setdefault(table, []).append(pk)
    earlier, seen = dict(by_key), set()
    for event in AuditEvent.objects.of_rows(ids).filter(id__gt=set_in.id) if ids else ():
        key = event.table, event.record_id
        if key in seen:
            continue
        seen.add(key)
        earlier[key] = row_of(type(by_key[key]), event.before) if event.before else None
    return [row for row in earlier.values() if row is not None]


def row_of(model, stored):
    """A row of the audit trail as an object again."""
    values = {}
    for f in model._meta.concrete_fields:
        value = stored.get(f.column, f.get_default())
        values[f.attname] = (
            f.target_field.to_python(value)
            if f.is_relation
            else f.to_python(str(value) if isinstance(value, float) else value)
        )
    return model(**values)
