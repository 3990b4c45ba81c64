"""Codes: given by the system or a person, approved by another person, rejected, made void; dictionaries loaded."""

from dataclasses import dataclass

from django.apps import apps
from django.db import connection
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from patients.actions import lock_open_patient, next_version
from patients.models import Hold, Patient
from safety.actions.serious import follow_events
from safety.coding.rules import CODING_TRANSITIONS, PATH, SOURCES, CodingState, Kind, key_of, may_approve
from safety.coding.search import dictionary_of, exact_term
from safety.coding.versions import Fate
from safety.coding.work import LIVE, fate_of, terms_after
from safety.models import AdverseEvent, Coding, Dictionary, FactCause
from trialsite import trial
from trialsite.audit import acting
from trialsite.reasons import because
from trialsite.roles import Permission, require, within_sites
from trialsite.saving import Refused, check_version

OTHER_WORDS = because("The words were changed")
TAKEN_BACK = because("The record was marked as entered in error")


@dataclass(frozen=True)
class Words:
    """What is coded: the words of a kind in a record, as they were seen."""

    kind: Kind
    record_id: int
    verbatim: str

    def load(self):
        """The record, with its patient and site."""
        model = apps.get_model(SOURCES[self.kind].label)
        return model.objects.select_related("patient__site").get(pk=self.record_id)


def kinds_of(record):
    """The kinds of terms that a record has."""
    return [kind for kind, source in SOURCES.items() if source.label == record._meta.label_lower]


def follow_words(*, record, by):
    """After a record was entered, changed or taken back: codes of other words become void; words of a term are coded."""
    for kind in kinds_of(record):
        words = "" if record.is_withdrawn else getattr(record, SOURCES[kind].field)
        live = list(Coding.objects.filter(kind=kind, record_id=record.pk, state__in=LIVE).select_for_update())
        kept = [coding for coding in live if coding.verbatim == words]
        if len(kept) < len(live):
            reason = TAKEN_BACK if record.is_withdrawn else OTHER_WORDS
            with acting(by, reason):
                for coding in live:
                    if coding.verbatim != words:
                        _move(coding, CodingState.VOID, reason=reason)
        if words.strip() and not kept:
            code_exact(record=record, kind=kind, by=by)


def code_line(*, line, confirmed=(), asked=None, by):
    """A line of a history or a medication was entered, changed or taken back (settings.AFTER_LINE_SAVED)."""
    follow_words(record=line, by=by)


def code_exact(*, record, kind, by):
    """Code the words of a record when they are those of one term of the dictionary; without approval, unless the
    protocol asks for it. Gives the code, or None."""
    dictionary, words = dictionary_of(kind), getattr(record, SOURCES[kind].field)
    term = exact_term(dictionary, words) if dictionary else None
    if term is None:
        return None
    waits = trial.current_protocol().coding_plan.approve_exact
    with acting(by):
        return Coding.objects.create(
            patient=record.patient, kind=kind, record=record._meta.label_lower, record_id=record.pk, verbatim=words,
            key=key_of(words), dictionary=dictionary, is_automatic=True,
            state=CodingState.PROPOSED if waits else CodingState.APPROVED, **term.path,
        )  # fmt: skip


def code_terms(*, words, term, reason="", by):
    """Propose `term` for these words (all of them, or none); another person approves. Gives the codes.

    A record that has a code keeps it in force until the new one is approved, and needs the reason."""
    codings = []
    with acting(by, reason):
        for one in sorted(words, key=lambda one: (one.kind, one.record_id)):
            record = one.load()
            require(by, Permission.CODE_TERMS, record.patient.site)
            lock_open_patient(record.patient, even_frozen=True)
            record.refresh_from_db()
            if record.is_withdrawn or getattr(record, SOURCES[one.kind].field) != one.verbatim:
                raise Refused(
                    _("“%(words)s” was changed after you opened the page. Open it again.") % {"words": one.verbatim}
                )
            dictionary = dictionary_of(one.kind)
            if dictionary is None or term.dictionary_id != dictionary.pk or not term.is_current:
                raise Refused({"term": [_("Choose a current term of the dictionary in use.")]})
            _make_room(one, reason, by)
            codings.append(
                Coding.objects.create(
                    patient=record.patient, kind=one.kind, record=record._meta.label_lower, record_id=record.pk,
                    verbatim=one.verbatim, key=key_of(one.verbatim), dictionary=dictionary, coded_by=by,
                    state=CodingState.PROPOSED, reason=reason, **term.path,
                )
            )  # fmt: skip
    return codings


def _make_room(words, reason, by):
    """A code that waits is refused to a second coder; one in force is replaced only with a reason."""
    live = Coding.objects.filter(kind=words.kind, record_id=words.record_id, state__in=LIVE).select_for_update()
    for coding in live:
        if coding.state == CodingState.PROPOSED:
            raise Refused(_("A code for “%(words)s” waits for approval already.") % {"words": words.verbatim})
        if not reason.strip():
            raise Refused({"reason": [_("Write why the code is changed.")]})


def approve_codings(*, seen, by):
    """Approve proposed codes, all of them or none: `seen` are (key, version) as the page showed them."""
    approved = []
    with acting(by, because("Code approved")):
        for coding in _locked(seen, by):
            if coding.coded_by_id == by.pk:
                raise Refused(_("“%(words)s” was coded by you: another person approves.") % {"words": coding.verbatim})
            if not may_approve(coding, by):
                raise Refused(_("“%(words)s” waits for no approval any more.") % {"words": coding.verbatim})
            earlier = Coding.objects.filter(
                kind=coding.kind, record_id=coding.record_id, state=CodingState.APPROVED
            ).select_for_update()
            for one in earlier:
                _move(one, CodingState.VOID, reason=coding.reason or because("Coded anew"))
            approved.append(_move(coding, CodingState.APPROVED, judged_by=by, judged_at=timezone.now()))
        _follow_codes(approved, by)
    return approved


def _follow_codes(codings, by):
    """Codes came into force or went out of it: the events that they are of mean something else now."""
    coded = [coding.record_id for coding in codings if coding.kind == Kind.ADVERSE_EVENT]
    if coded:
        events = AdverseEvent.objects.filter(pk__in=coded).select_related("patient__site").order_by("pk")
        follow_events(events=events, cause=FactCause.CODED, by=by)


def reject_coding(*, coding, version, reason, by):
    """Reject a proposed code, or take one in force back: the words are to code again."""
    if not reason.strip():
        raise Refused({"reason": [_("Write why the code does not fit.")]})
    with acting(by, reason):
        [coding] = _locked([(coding.pk, version)], by)
        state = CodingState.REJECTED if coding.state == CodingState.PROPOSED else CodingState.VOID
        _move(coding, state, judged_by=by, judged_at=timezone.now(), reason=reason)
        _follow_codes([coding], by)
    return coding


def _locked(seen, by):
    """The codes with the locked rows of their patients; no record that is locked is coded."""
    found = Coding.objects.select_related("patient__site").in_bulk([pk for pk, _version in seen])
    for patient in {coding.patient_id: coding.patient for coding in found.values()}.values():
        require(by, Permission.APPROVE_CODES, patient.site)
    for patient in sorted({coding.patient for coding in found.values()}, key=lambda patient: patient.pk):
        lock_open_patient(patient, even_frozen=True)
    for coding in Coding.objects.select_for_update().filter(pk__in=found).order_by("pk"):
        check_version(coding, dict(seen)[coding.pk])
        yield coding


def _move(coding, state, **values):
    if state not in CODING_TRANSITIONS[CodingState(coding.state)]:
        raise Refused(_("This code is %(state)s.") % {"state": coding.get_state_display()})
    for name, value in {**values, "state": state}.items():
        setattr(coding, name, value)
    next_version(coding, "state", *values)
    return coding


# --- dictionaries --------------------------------------------------------------------------------------

LOADING = "5min"  # the longest that the database may take for one statement of it


def load_dictionary(*, name, dictionary_version, terms, language="en", licence="", by):
    """Load a version of a dictionary (safety.coding.reading.Terms), all of it or nothing. Gives it and whether it is new.

    The first version of a name is in use at once, a later one when a person says so. The same files twice are loaded
    once; other content under a version that is there is refused."""
    with acting(by), connection.cursor() as cursor:
        cursor.execute("lock table safety_dictionary in exclusive mode")
        there = Dictionary.objects.filter(name=name, dictionary_version=dictionary_version).first()
        if there and there.sha256 == terms.sha256:
            return there, False
        if there:
            raise Refused(_("%(dictionary)s is loaded already, from other files.") % {"dictionary": there})
        dictionary = Dictionary.objects.create(
            name=name, dictionary_version=dictionary_version, language=language, licence=licence, sha256=terms.sha256,
            terms_count=len(terms.rows), is_current=not Dictionary.objects.filter(name=name).exists(),
        )  # fmt: skip
        columns = (*PATH, "key", "is_current")
        cursor.execute("select set_config('statement_timeout', %s, true)", [LOADING])
        names = ", ".join(columns)
        with cursor.copy(f"copy safety_dictionaryterm (dictionary_id, {names}) from stdin") as copy:
            for row in terms.rows:
                copy.write_row((dictionary.pk, *(row[column] for column in columns)))
    return dictionary, True


def use_dictionary(*, dictionary, version, reason, by):
    """Code with this version from now on. What was coded with another stays as it is, and is listed beside it."""
    if not by.is_system:
        require(by, Permission.APPROVE_CODES)
    if not reason.strip():
        raise Refused({"reason": [_("Write why this version is taken into use.")]})
    with acting(by, reason):
        versions = list(Dictionary.objects.select_for_update().filter(name=dictionary.name).order_by("is_current"))
        chosen = next(one for one in versions if one.pk == dictionary.pk)
        check_version(chosen, version)
        if chosen.is_current:
            raise Refused(_("%(dictionary)s is in use already.") % {"dictionary": chosen})
        for one in versions:
            if one.is_current:
                one.is_current = False
                next_version(one, "is_current")
        chosen.is_current = True
        next_version(chosen, "is_current")
    return chosen


def restate_codings(*, dictionary, seen, by):
    """Give codes of an earlier version that mean the same in this one (`seen`: key and version) the new version.

    They stay in force, since no word of them changes; records that are locked are left. Gives the new codes."""
    require(by, Permission.APPROVE_CODES)
    reason = str(dictionary)
    with acting(by, reason):
        dictionary = _in_use(dictionary)
        codings = [coding for coding in _locked_open(seen, by) if coding.state == CodingState.APPROVED]
        terms = terms_after(dictionary, codings)
        same = [c for c in codings if fate_of(c, terms.get(c.code)).fate == Fate.UNCHANGED]
        Coding.objects.filter(pk__in=[coding.pk for coding in same]).update(
            state=CodingState.VOID, version=F("version") + 1, reason=reason
        )
        restated = Coding.objects.bulk_create(
            _again(coding, terms[coding.code], state=CodingState.APPROVED, is_automatic=True, coded_by=None, judged_by=by,
                   judged_at=timezone.now(), reason=reason)
            for coding in same
        )  # fmt: skip
        _follow_codes(restated, by)
    return restated


def recode_codings(*, dictionary, seen, by):
    """Propose codes of an earlier version as this one has them (`seen`: key and version); another person approves, and
    until then the earlier code is in force. Gives the new codes."""
    require(by, Permission.CODE_TERMS)
    with acting(by, str(dictionary)):
        dictionary = _in_use(dictionary)
        codings = list(_locked_open(seen, by))
        terms = terms_after(dictionary, codings)
        waiting = Coding.objects.filter(state=CodingState.PROPOSED, record_id__in=[c.record_id for c in codings])
        taken = set(waiting.values_list("kind", "record_id"))
        for coding in codings:
            is_moved = fate_of(coding, terms.get(coding.code)).fate == Fate.MOVED
            if coding.state != CodingState.APPROVED or not is_moved or (coding.kind, coding.record_id) in taken:
                raise Refused(
                    _("“%(words)s” is not to be moved any more. Open the page again.") % {"words": coding.verbatim}
                )
        return Coding.objects.bulk_create(
            _again(coding, terms[coding.code], state=CodingState.PROPOSED, is_automatic=False, coded_by=by,
                   reason=f"{coding.dictionary} → {dictionary}")
            for coding in codings
        )  # fmt: skip


def _in_use(dictionary):
    dictionary = Dictionary.objects.select_for_update().get(pk=dictionary.pk)
    if not dictionary.is_current:
        raise Refused(_("%(dictionary)s is not in use.") % {"dictionary": dictionary})
    return dictionary


def _locked_open(seen, by):
    """The codes of patients whose records are not locked, with the patients' rows locked, in the state that was seen."""
    keys = dict(seen)
    patients = Patient.objects.filter(codings__pk__in=keys).exclude(hold=Hold.LOCKED)
    patients = within_sites(patients, by, Permission.CODE_TERMS, "site")
    open_ones = list(
        Patient.objects.filter(pk__in=patients).order_by("pk").select_for_update().values_list("pk", flat=True)
    )
    codings = Coding.objects.select_related("dictionary").select_for_update(of=("self",))
    for coding in codings.filter(pk__in=keys, patient__in=open_ones).order_by("pk"):
        check_version(coding, keys[coding.pk])
        yield coding


def _again(coding, term, **values):
    return Coding(
        patient_id=coding.patient_id, kind=coding.kind, record=coding.record, record_id=coding.record_id,
        verbatim=coding.verbatim, key=coding.key, dictionary_id=term.dictionary_id, **term.path, **values,
    )  # fmt: skip
