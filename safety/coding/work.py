"""What of coding there is to do: the words that have no code, and the codes that wait for a second person.

The only place that joins records with their codes; one statement for all kinds, whatever the number of records."""

from dataclasses import dataclass

from django.apps import apps
from django.db.models import CharField, Count, Exists, F, OuterRef, Q, Value

from safety.coding.rules import SOURCES, CodingState, Kind
from safety.coding.search import name_of_dictionary
from safety.coding.versions import compare
from safety.models import Coding, Dictionary, DictionaryTerm
from trialsite.queried import queried_records
from trialsite.roles import Permission, within_sites

LIVE = (CodingState.PROPOSED, CodingState.APPROVED)
COLUMNS = ("kind", "pk", "patient_id", "patient__number", "verbatim", "was_rejected")


@dataclass(frozen=True)
class Waiting:
    """Words without a code. `was_rejected`: a code for them was rejected or taken back."""

    kind: str
    record_id: int
    patient_id: int
    number: str
    verbatim: str
    was_rejected: bool

    @property
    def kind_told(self):
        return Kind(self.kind).label

    @property
    def record_url(self):
        return queried_records()[SOURCES[Kind(self.kind)].label].page(self.patient_id, self.record_id)


def coded_kinds():
    """The kinds that the protocol wants coded, with a dictionary that is loaded."""
    loaded = set(Dictionary.objects.filter(is_current=True).values_list("name", flat=True))
    return [kind for kind in SOURCES if name_of_dictionary(kind) in loaded]


def uncoded(user, kind, *, patients=None, verbatim=None):
    """The records of a kind whose words have no code, for one who may code them."""
    source = SOURCES[kind]
    codes = Coding.objects.filter(kind=kind.value, record_id=OuterRef("pk"))
    records = apps.get_model(source.label).objects.visible_to(user).order_by()
    records = within_sites(records, user, Permission.CODE_TERMS).exclude(**{source.field: ""})
    if patients is not None:
        records = records.filter(patient__in=patients)
    if verbatim is not None:
        records = records.filter(**{f"{source.field}__iexact": verbatim})
    return records.filter(~Exists(codes.filter(state__in=LIVE)), is_withdrawn=False).annotate(
        kind=Value(kind.value, CharField()),
        verbatim=F(source.field),
        was_rejected=Exists(codes.filter(state__in=[CodingState.REJECTED, CodingState.VOID], judged_by__isnull=False)),
    )


def to_code(user, *, kinds=None, patients=None, verbatim=None):
    """A query of `COLUMNS` over all kinds, alike words together; see `waiting_of`."""
    kinds = coded_kinds() if kinds is None else kinds
    if not kinds:
        return Coding.objects.none().values_list("pk")
    first, *others = [uncoded(user, kind, patients=patients, verbatim=verbatim).values_list(*COLUMNS) for kind in kinds]
    return first.union(*others, all=True).order_by("verbatim", "kind", "pk")


def waiting_of(rows):
    return [Waiting(*row) for row in rows]


def codes(user, state):
    """The codes in a state, of records that the person may see, the latest first."""
    found = (
        Coding.objects.visible_to(user)
        .filter(state=state)
        .select_related("patient__site", "dictionary", "coded_by", "judged_by")
    )
    return found.order_by("-coded_at", "-id")


# --- another version of a dictionary ---------------------------------------------------------------------


def of_other_versions(user, dictionary):
    """The codes in force that were given with another version of this dictionary, of records that the person may see."""
    codings = Coding.objects.visible_to(user).filter(state=CodingState.APPROVED, dictionary__name=dictionary.name)
    return codings.exclude(dictionary=dictionary).select_related("patient", "dictionary").order_by("key", "id")


def terms_after(dictionary, codings):
    """code -> the term of that code in this version, for the codes of these codings."""
    found = DictionaryTerm.objects.filter(dictionary=dictionary, code__in={coding.code for coding in codings})
    return {term.code: term for term in found}


def fate_of(coding, term):
    """What this version, with this term (or none) of the code, does to it."""
    return compare(coding.path, term.path if term else None, is_current=term is None or term.is_current)


def counts_of(user):
    """How many codes there are in each state; how many of the proposed ones this person may approve."""
    return Coding.objects.visible_to(user).aggregate(
        **{state.value: Count("id", filter=Q(state=state)) for state in CodingState},
        mine=Count("id", filter=Q(state=CodingState.PROPOSED) & (Q(coded_by=None) | ~Q(coded_by=user))),
    )
