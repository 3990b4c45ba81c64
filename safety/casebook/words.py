"""What the certified copy says, in the language that is spoken now: headings, facts, tables and notes for casebook.typ.

Nothing is read from the database here: a `Record` goes in, plain data for the typesetter come out."""

from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

from django.utils import translation
from django.utils.translation import gettext as _

from patients.models import (
    AllocationSlot,
    ArtRegimen,
    Consent,
    CriterionAnswer,
    Disposition,
    EligibilityAssessment,
    Halt,
    HivHistory,
    MedicalHistory,
    Medication,
    Patient,
)
from safety.casebook.trail import names_of_visits, record_told
from safety.models import SERIOUSNESS, AdverseEvent, Deviation, Dictionary, DismissedProposal
from trialsite import trial
from trialsite.clock import told_at
from trialsite.languages import tag
from trialsite.models import Site, User
from trialsite.reasons import reason_told
from trialsite.telling import (
    MACHINES,
    OPERATIONS,
    Teller,
    column_label,
    is_blank,
    keys_in,
    kind_told,
    models_by_table,
    roles_told,
)
from trialsite.templatetags.trial import number, unit_text
from trialsite.words import listed
from visits.models import (
    CheckFiring,
    Infusion,
    Interruption,
    Laboratory,
    Lot,
    Measurement,
    PanelRecord,
    Preparation,
    Query,
    QueryMessage,
    Reaction,
    ReferenceRange,
    Review,
    Visit,
)
from visits.ranges import range_text

# tables that have a section of their own; any other table of the patient is told field by field at the end
SECTIONED = {
    model._meta.db_table
    for model in (AdverseEvent, AllocationSlot, ArtRegimen, CheckFiring, Consent, CriterionAnswer, Deviation,
                  DismissedProposal, Disposition, EligibilityAssessment, Halt, HivHistory, Infusion, Interruption, Measurement,
                  MedicalHistory, Medication, PanelRecord, Preparation, Query, QueryMessage, Reaction, Review, Visit)
}  # fmt: skip
PLAIN = {"id", "patient_id", "version", "is_withdrawn"}


def told(record, *, digest, made_at, made_for, program):
    """The whole document."""
    return Document(record).whole(digest=digest, made_at=made_at, made_for=made_for, program=program)


class Document:
    def __init__(self, record):
        self.record, self.blocks = record, []
        self.zone = ZoneInfo(record.site["timezone"])
        self.patient = Patient(**record.patient)
        self.protocol = trial.protocol(self.patient.protocol_version)
        self.visits = {visit.pk: visit for visit in record.objects(Visit)}
        self.panels = {panel.pk: panel for panel in record.objects(PanelRecord)}
        self.infusions = {infusion.pk: infusion for infusion in record.objects(Infusion)}
        self.teller = Teller(self.protocol, self.names(), zone=self.zone)
        self.touched = {(event.table, event.record_id): event for event in record.trail}
        self.marks = defaultdict(list)
        for review in record.objects(Review):
            self.marks[review.record, review.record_id].append(review)

    def names(self):
        """What the records are called that others point at, as they stood then."""
        record = self.record
        names = names_of_visits(self.visits.values(), self.panels.values())
        names |= {User: record.people, Laboratory: record.laboratories, Lot: record.lots, ReferenceRange: record.ranges, Dictionary: record.dictionaries,
                  Site: {record.site["id"]: f"{record.site['code']} {record.site['name']}"}}  # fmt: skip
        for model, keys in keys_in(record.trail).items():
            if model not in names and model._meta.db_table in record.rows:
                names[model] = {one.pk: str(one) for one in record.objects(model) if one.pk in keys}
        return names

    # --- blocks ---------------------------------------------------------------------------------------------

    def heading(self, level, text):
        self.blocks.append({"kind": "heading", "level": level, "text": str(text)})

    def note(self, text):
        self.blocks.append({"kind": "note", "text": str(text)})

    def facts(self, rows):
        rows = [[str(name), str(value)] for name, value in rows if not is_blank(value)]
        if rows:
            self.blocks.append({"kind": "facts", "rows": rows})

    def table(self, columns, rows, *, empty="", small=False):
        """`columns` are (title, share of the width)."""
        rows = [["" if cell is None else str(cell) for cell in row] for row in rows]
        if not rows:
            if empty:
                self.note(empty)
            return
        self.blocks.append({
            "kind": "table", "columns": [str(title) for title, _share in columns],
            "shares": [share for _title, share in columns], "rows": rows, "small": small,
        })  # fmt: skip

    # --- values ---------------------------------------------------------------------------------------------

    def value(self, one, name):
        """A field of a record as people read it."""
        of = one._meta.get_field(name)
        value = getattr(one, of.attname)
        if isinstance(value, datetime):
            return self.instant(value)
        if isinstance(value, Decimal):
            return number(value)
        return self.teller.value(of, value, vars(one))

    def instant(self, value):
        return told_at(value, self.zone, seconds=True)

    def person(self, pk):
        return self.record.people.get(pk, str(pk)) if pk else ""

    def fields(self, one, *names):
        """(label, value) of these fields, or of all that tell something."""
        every = [f.name for f in one._meta.concrete_fields if f.attname not in PLAIN]
        return [(column_label(one, name), self.value(one, name)) for name in names or every]

    def last(self, one):
        """Who entered or changed the record last, and when."""
        event = self.touched.get((one._meta.db_table, one.pk))
        return f"{event.by_name}, {self.instant(event.at)}" if event else ""

    def error(self, one):
        return _("entered in error") if one.is_withdrawn else ""

    def lines(self, model, title, names, shares):
        """A list of lines as a table, with who entered each."""
        self.heading(1, title)
        columns = [(column_label(model, name), share) for name, share in zip(names, shares, strict=True)]
        rows = [
            [*(self.value(one, name) for name in names), self.error(one), self.last(one)]
            for one in self.record.objects(model)
        ]
        self.table([*columns, (_("note"), 1.2), (_("last entry by, at"), 2)], rows, empty=_("None recorded."))

    # --- the parts ------------------------------------------------------------------------------------------

    def whole(self, *, digest, made_at, made_for, program):
        self.person_and_consent()
        self.eligibility()
        self.histories()
        self.way()
        if self.record.eyes["sees_arm"]:
            self.allocation()
        for visit in sorted(self.visits.values(), key=lambda one: (one.on, one.pk)):
            self.visit(visit)
        if self.record.eyes["sees_events"]:
            self.adverse_events()
        self.deviations()
        self.queries()
        self.firings()
        self.signatures()
        self.others()
        self.trail()
        for this, following in pairwise(self.blocks):
            this["leads"] = following["kind"] in ("table", "facts")
        about, site = trial.current_protocol().trial, self.record.site
        cutoff = self.instant(self.record.cutoff.instant)
        left_out = []
        if not self.record.eyes["sees_arm"]:
            left_out.append(_("the treatment arm and what tells it (allocation, product, lot, dose)"))
            left_out.append(_("emergency unmaskings and their reasons"))
        if not self.record.eyes["sees_events"]:
            left_out.append(_("adverse events"))
        return {
            "lang": tag(translation.get_language()).split("-")[0],
            "title": _("Patient casebook"),
            "certified": _("Certified copy"),
            "trial": about.title,
            "short_title": about.short_title,
            "registry": about.registry,
            "made_on": f"{made_at:%Y-%m-%d}",
            "number": self.patient.number,
            "patient": _("Patient %(number)s") % {"number": self.patient.number},
            "data_as_of": _("Data as of %(instant)s") % {"instant": cutoff},
            "page_of": _("page %(page)s of %(pages)s") % {"page": "{page}", "pages": "{pages}"},
            "contents": _("Contents"),
            "continued": _("continued"),
            "digest": digest,
            "digest_label": _("SHA-256 of the content"),
            "cover": [
                [str(name), str(value)]
                for name, value in (
                    (_("Trial"), about.short_title), (_("Registry number"), about.registry), (_("Sponsor"), about.sponsor),
                    (_("Protocol versions of the records"), listed(self.record.versions)),
                    (_("Site"), f"{site['code']} {site['name']}"), (_("Patient number"), self.patient.number),
                    (_("Cut-off"), f"{cutoff} ({site['timezone']})"),
                    (_("Last event of the audit trail"), self.record.cutoff.event),
                    (_("Made at"), self.instant(made_at)), (_("Made for"), made_for), (_("Made by"), f"Trialsite {program}"),
                )
            ],
            "statement": [
                _("This is a certified copy of the electronic record of one patient: a complete copy of the data, of who "
                  "entered them and when, of queries, marks and signatures, and of the audit trail, as they stood at the cut-off."),
                _("It was made by the system from the database, without anyone's hand. The same cut-off gives the same digest; "
                  "a changed value gives another one. The digest is of the file casebook.json, which comes with this document "
                  "and holds every stored value."),
                _("Instants are in the time zone of the site, with the difference from UTC."),
                _("Left out, since the person it was made for may not see it: %(what)s.") % {"what": "; ".join(left_out)}
                if left_out else _("Nothing that belongs to the patient's record is left out."),
                _("Copies that were made of this record are listed by the system and are no part of it."),
            ],
            "blocks": self.blocks,
        }  # fmt: skip

    def person_and_consent(self):
        self.heading(1, _("Patient"))
        self.facts(
            self.fields(
                self.patient, "number", "sex", "birth_date", "screened_on", "state", "day_0", "protocol_version", "hold"
            )
        )
        self.heading(1, _("Consent"))
        names = ("signed_on", "form_version", "language", "obtained_by")
        columns = [(column_label(Consent, name), 1) for name in names]
        rows = [[*(self.value(c, name) for name in names), self.last(c)] for c in self.record.objects(Consent)]
        self.table([*columns, (_("last entry by, at"), 2)], rows, empty=_("None recorded."))

    def eligibility(self):
        self.heading(1, _("Eligibility"))
        answers = defaultdict(list)
        for answer in self.record.objects(CriterionAnswer):
            answers[answer.assessment_id].append(answer)
        assessments = self.record.objects(EligibilityAssessment)
        if not assessments:
            self.note(_("None recorded."))
        for assessment in assessments:
            protocol = trial.protocol(assessment.protocol_version)
            texts = {criterion.code: criterion.text for criterion in protocol.eligibility.criteria}
            self.heading(2, str(assessment))
            self.facts([(_("protocol version"), assessment.protocol_version), (_("not met"), listed(assessment.unmet)),
                        (_("last entry by, at"), self.last(assessment))])  # fmt: skip
            rows = []
            for answer in answers[assessment.pk]:
                answer.assessment = assessment
                why = " ".join(filter(None, [answer.because_text, answer.comment]))
                rows.append(
                    [answer.criterion, texts.get(answer.criterion, ""), _("yes") if answer.holds else _("no"), why]
                )
            self.table([(_("criterion"), 0.8), (_("text"), 4), (_("holds"), 0.7), (_("evidence, comment"), 3)], rows)

    def histories(self):
        self.heading(1, _("HIV history"))
        found = self.record.objects(HivHistory)
        for one in found:
            self.facts([*self.fields(one), (_("last entry by, at"), self.last(one))])
        if not found:
            self.note(_("None recorded."))
        period = ("started_on", "is_ongoing", "ended_on")
        self.lines(ArtRegimen, _("Antiretroviral treatment"), ("drugs", *period, "change_reason"), (2, 1, 0.8, 1, 1.6))
        self.lines(MedicalHistory, _("Medical history"), ("term", *period), (3, 1, 0.8, 1))
        names = ("treatment", "indication", "dose", "dose_unit", "frequency", "route", *period)
        self.lines(Medication, _("Concomitant medication"), names, (2, 1.6, 0.7, 0.8, 1, 0.9, 1.2, 0.9, 1.2))

    def way(self):
        self.heading(1, _("End of participation"))
        rows = [
            [self.value(d, "on"), self.value(d, "state"), reason_told(d.explanation), self.last(d)]
            for d in self.record.objects(Disposition)
        ]
        self.table(
            [(_("date"), 1), (_("what happened"), 1), (_("explanation"), 3), (_("last entry by, at"), 2)],
            rows,
            empty=_("None recorded."),
        )
        for halt in self.record.objects(Halt):
            self.heading(2, _("Halt of this patient"))
            self.facts([*self.fields(halt, "cause", "opened_at", "opened_by", "lifted_at", "lifted_by", "decision")])

    def allocation(self):
        self.heading(1, _("Allocation and preparations"))
        for slot in self.record.objects(AllocationSlot):
            arm = self.protocol.arm(slot.arm)
            self.facts([(_("arm"), arm.name), (_("stratum"), slot.stratum), (_("place"), slot.sequence),
                        (_("taken at"), self.instant(slot.taken_at)), (_("taken by"), self.person(slot.taken_by_id))])  # fmt: skip
        for one in self.record.objects(Preparation):
            self.heading(2, _("Preparation for infusion %(number)s") % {"number": one.number})
            names = [f.name for f in one._meta.concrete_fields if f.attname not in PLAIN | {"lot_id"}]
            lot = self.record.lots.get(one.lot_id, str(one.lot_id))
            self.facts([(_("lot"), lot), *self.fields(one, *names), (_("last entry by, at"), self.last(one))])

    # --- visits ---------------------------------------------------------------------------------------------

    def visit(self, visit):
        name = visit.protocol.visit(visit.code).name if visit.is_scheduled else _("unscheduled visit")
        self.heading(1, _("Visit %(code)s: %(name)s") % {"code": visit.code, "name": name})
        window = f"{visit.earliest} – {visit.latest}" if visit.is_scheduled else ""
        self.facts([
            *self.fields(visit, "state", "attended_on", "missed_because"), (_("planned on"), visit.planned_on), (_("window"), window),
            *self.fields(visit, "protocol_version", "hold"), (_("last entry by, at"), self.last(visit)),
        ])  # fmt: skip
        self.shown_marks("visits.visit", visit.pk)
        measured = defaultdict(list)
        for m in self.record.objects(Measurement):
            measured[m.panel_id].append(m)
        for panel in sorted(self.panels.values(), key=lambda one: (one.position, one.pk)):
            if panel.visit_id == visit.pk:
                self.panel(visit, panel, measured[panel.pk])
        for infusion in self.infusions.values():
            if infusion.visit_id == visit.pk:
                self.infusion(infusion)

    def panel(self, visit, panel, measured):
        self.heading(2, f"{visit.code} · {panel.protocol.panel(panel.code).name}")
        self.facts([
            *self.fields(panel, "state"), (_("collected on"), " ".join(filter(None, [self.value(panel, "collected_on"), self.value(panel, "collected_at")]))),
            (_("laboratory"), self.record.laboratories.get(panel.laboratory_id, "")),
            *self.fields(panel, "not_done_because", "comment", "protocol_version"),
            (_("entered by, at"), listed(filter(None, [self.person(panel.entered_by_id), self.value(panel, "entered_at")]))),
        ])  # fmt: skip
        self.values([self.measurement(panel.protocol, m) for m in measured])
        self.shown_marks("visits.panelrecord", panel.pk)

    def values(self, rows, *first):
        """Results as a table; who entered them stands once above it where that was one act."""
        columns = [*first, (_("test"), 2.4), (_("as reported"), 1.4), (_("unit"), 1.1), (_("range"), 1.2), (_("flag"), 0.6),
                   (_("grade"), 0.8), (_("standardised"), 1.3), (_("note"), 1.3), (_("last entry by, at"), 2.4)]  # fmt: skip
        if len({row[-1] for row in rows}) == 1:
            self.facts([(_("values: last entry by, at"), rows[0][-1])])
            rows = [row[:-1] for row in rows]
        optional = len(first) + 5  # grade, standardised and note are seldom filled in
        kept = [
            n
            for n in range(len(rows[0]) if rows else 0)
            if n not in (optional, optional + 1, optional + 2) or any(row[n] for row in rows)
        ]
        self.table([columns[n] for n in kept], [[row[n] for n in kept] for row in rows])

    def measurement(self, protocol, m):
        try:
            test = protocol.test(m.test)
        except KeyError:
            test = None
        name = test.name if test else m.test
        unit = m.reported_unit or m.unit
        low, high = (m.reported_low, m.reported_high) if m.reported_unit else (m.low, m.high)
        span = range_text(low, high)
        shown = m.typed
        if test and test.kind == "choice" and m.typed:
            shown = test.choice_label(m.text or m.typed)
        standard = (
            f"{m.operator}{number(m.value)} {unit_text(m.unit)}" if m.value is not None and unit != m.unit else ""
        )
        note = ", ".join(
            filter(
                None,
                [m.get_missing_because_display() if m.missing_because else "", _("computed") if m.is_computed else ""],
            )
        )
        grade = "" if m.grade is None else f"{m.grade}{'?' if m.grade_is_to_confirm else ''}"
        if m.ungraded_because:
            note = ", ".join(filter(None, [note, _("no grade: %s") % m.get_ungraded_because_display()]))
        return [name, shown, unit_text(unit), span, self.value(m, "flag"), grade, standard, note, self.last(m)]

    def infusion(self, infusion):
        self.heading(2, _("Infusion %(number)s") % {"number": infusion.number})
        self.facts([
            *self.fields(infusion, "started_at", "stopped_at", "volume_ml", "given_percent", "access_site", "premedication",
                         "comment", "protocol_version"),
            (_("last entry by, at"), self.last(infusion)),
        ])  # fmt: skip
        self.of_infusion(infusion, Interruption, ("stopped_at", "resumed_at", "cause"), _("Interruptions"))
        self.of_infusion(infusion, Reaction, ("term", "began_at", "grade"), _("Reactions"))
        measured = [m for m in self.record.objects(Measurement) if m.infusion_id == infusion.pk]
        protocol = trial.protocol(infusion.protocol_version or self.patient.protocol_version)
        rows = [[m.minute, *self.measurement(protocol, m)] for m in sorted(measured, key=lambda m: (m.minute, m.pk))]
        self.values(rows, (_("minute"), 0.8))
        self.shown_marks("visits.infusion", infusion.pk)

    def of_infusion(self, infusion, model, names, title):
        found = [one for one in self.record.objects(model) if one.infusion_id == infusion.pk]
        if found:
            self.note(title)
            rows = [[*(self.value(one, name) for name in names), self.error(one), self.last(one)] for one in found]
            columns = [
                *((column_label(model, name), 1.5) for name in names),
                (_("note"), 1),
                (_("last entry by, at"), 2),
            ]
            self.table(columns, rows)

    # --- what went wrong, questions, marks --------------------------------------------------------------------

    def adverse_events(self):
        self.heading(1, _("Adverse events"))
        events = self.record.objects(AdverseEvent)
        if not events:
            self.note(_("None recorded."))
        for event in sorted(events, key=lambda one: one.sequence):
            self.heading(2, f"{event.sequence} · {event}")
            self.facts([(_("note"), self.error(event)), *self.fields(event, *self.told_of(event)),
                        (_("last entry by, at"), self.last(event))])  # fmt: skip
            self.shown_marks("safety.adverseevent", event.pk)

    @staticmethod
    def told_of(event):
        """All fields but the number and the criteria of seriousness that do not hold."""
        names = [f.name for f in event._meta.concrete_fields if f.attname not in PLAIN | {"sequence"}]
        return [name for name in names if name not in SERIOUSNESS or getattr(event, name)]

    def deviations(self):
        self.heading(1, _("Deviations from the protocol"))
        found = self.record.objects(Deviation)
        if not found:
            self.note(_("None recorded."))
        for one in sorted(found, key=lambda one: one.sequence):
            self.heading(2, f"{one.sequence} · {one.get_category_display()}")
            names = [f.name for f in one._meta.concrete_fields if f.attname not in PLAIN | {"sequence", "proposal_key"}]
            self.facts(
                [(_("note"), self.error(one)), *self.fields(one, *names), (_("last entry by, at"), self.last(one))]
            )
        dismissed = self.record.objects(DismissedProposal)
        if dismissed:
            self.heading(2, _("Proposals judged to be no deviations"))
            self.table(
                [(_("what the system saw"), 3), (_("reason"), 3), (_("by"), 1.2), (_("at"), 1.4), (_("note"), 1)],
                [
                    [
                        self.value(d, "seen"),
                        d.reason,
                        self.person(d.dismissed_by_id),
                        self.instant(d.dismissed_at),
                        self.error(d),
                    ]
                    for d in dismissed
                ],
            )

    def about(self, query):
        words = [self.teller.name(PanelRecord, query.panel_id) if query.panel_id else ""]
        if query.infusion_id in self.infusions:
            words.append(_("Infusion %d") % self.infusions[query.infusion_id].number)
        if query.test:
            words.append(self.teller.named("test", query.test))
        if query.minute is not None:
            words.append(_("%d min") % query.minute)
        field = getattr(query, "field", "")  # what a check said is about a test
        if field and (query.panel_id or query.infusion_id):
            words.append(str((PanelRecord if query.panel_id else Infusion)._meta.get_field(field).verbose_name))
        return " · ".join(filter(None, words))

    def queries(self):
        self.heading(1, _("Queries"))
        messages = defaultdict(list)
        for message in self.record.objects(QueryMessage):
            messages[message.query_id].append(message)
        found = self.record.objects(Query)
        if not found:
            self.note(_("None recorded."))
        for query in sorted(found, key=lambda one: (one.raised_at, one.pk)):
            text = self.value(query, "said") or query.text
            self.heading(2, " · ".join(filter(None, [self.about(query), query.get_state_display()])))
            rows = [[self.instant(query.raised_at), self.person(query.raised_by_id), text]]
            rows += [[self.instant(m.at), self.person(m.by_id), m.words] for m in messages[query.pk]]
            if query.closed_at:
                rows.append([self.instant(query.closed_at), "", _("closed")])
            self.table([(_("at"), 1.6), (_("by"), 1.4), (_("text"), 5)], rows)

    def firings(self):
        found = self.record.objects(CheckFiring)
        if not found:
            return
        self.heading(1, _("What edit checks said"))
        rows = [
            [
                self.about(f),
                f.typed,
                self.value(f, "said") or self.value(f, "check_code"),
                f.get_outcome_display(),
                self.person(f.by_id),
                self.instant(f.at),
            ]
            for f in found
        ]
        self.table(
            [
                (_("value"), 2),
                (_("typed"), 0.8),
                (_("what the check said"), 3),
                (_("outcome"), 1.4),
                (_("by"), 1.2),
                (_("at"), 1.5),
            ],
            rows,
        )

    MARK_COLUMNS = ("mark", "printed_name", "roles", "at", "meaning")

    def mark_row(self, review):
        void = ""
        if review.void_at:
            void = _("void since %(at)s, by %(by)s: %(why)s") % {
                "at": self.instant(review.void_at), "by": self.person(review.void_by_id), "why": reason_told(review.void_because)}  # fmt: skip
        return [review.get_mark_display(), review.printed_name, roles_told(review.roles), self.instant(review.at), _(review.meaning) if review.meaning else "",
                review.record_version, void]  # fmt: skip

    def marks_columns(self):
        return [
            (_("mark"), 1.3),
            (_("printed name"), 1.2),
            (_("role"), 1.2),
            (_("at"), 1.4),
            (_("meaning"), 2.2),
            (_("version"), 0.7),
            (_("void"), 2.2),
        ]

    def shown_marks(self, record, pk):
        if found := self.marks.get((record, pk)):
            self.note(_("Marks and signatures"))
            self.table(self.marks_columns(), [self.mark_row(review) for review in found])

    def signatures(self):
        self.heading(1, _("Marks and signatures"))
        rows = []
        for (record, pk), found in self.marks.items():
            about = self.form_told(record, pk)
            rows += [[about, *self.mark_row(review)] for review in found]
        self.table([(_("form"), 1.8), *self.marks_columns()], rows, empty=_("None recorded."), small=True)

    def form_told(self, record, pk):
        model = models_by_table().get(record.replace(".", "_"))
        return self.teller.name(model, pk) if model else f"{record} {pk}"

    # --- all else, and the trail -------------------------------------------------------------------------------

    def others(self):
        """Tables that have no section here: told field by field, so that nothing is left out."""
        for table, rows in self.record.rows.items():
            if table in SECTIONED:
                continue
            self.heading(1, kind_told(table))
            for row in rows:
                self.facts(self.row_told(models_by_table()[table], row))

    def row_told(self, model, row):
        untold = PLAIN | MACHINES.get(model._meta.db_table, set())
        return [
            (
                of.verbose_name,
                self.instant(row[of.column])
                if isinstance(row[of.column], datetime)
                else self.teller.value(of, row[of.column], row),
            )
            for of in model._meta.concrete_fields
            if of.column in row and of.column not in untold
        ]

    def trail(self):
        self.heading(1, _("Audit trail"))
        self.note(_("Every event of this patient's record up to the cut-off, written by the database with each change: %(number)s events.")
                  % {"number": len(self.record.trail)})  # fmt: skip
        rows, empty = [], _("empty")
        for event in self.record.trail:
            changes = self.teller.changes(event)
            if event.operation == "insert":
                told = (
                    _("%(column)s: %(new)s") % {"column": label, "new": new} for _column, label, _old, new in changes
                )
            else:
                told = (
                    _("%(column)s: %(old)s → %(new)s") % {"column": label, "old": old or empty, "new": new or empty}
                    for _column, label, old, new in changes
                )
            what = _("; ").join(told)
            who = "\n".join(filter(None, [event.by_name, roles_told(event.by_roles)]))
            rows.append(
                [
                    event.pk,
                    self.instant(event.at),
                    who,
                    f"{record_told(self.teller, event)}\n{OPERATIONS[event.operation]}",
                    what,
                    reason_told(event.reason),
                ]
            )
        self.table(
            [
                (_("event"), 0.7),
                (_("at"), 1.5),
                (_("who, role"), 1.4),
                (_("record"), 2.6),
                (_("what"), 4.4),
                (_("reason"), 1.9),
            ],
            rows,
            small=True,
        )
