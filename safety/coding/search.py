"""Terms that fit the words of a record: the exact one, those coded like it before, those written like it.

The only place that knows PostgreSQL's trigrams (pg_trgm). They do not mind typing errors, British spelling or the order
of words; words in another script find what was coded with them before."""

from dataclasses import dataclass

from safety.coding.rules import SOURCES, CodingState, Kind, key_of
from safety.models import Dictionary, DictionaryTerm
from trialsite import trial

SHOWN = 10
LONGEST = 200  # characters that are looked for
LEAST_ALIKE, LEAST_PART = 0.3, 0.6  # PostgreSQL's own thresholds, said here so that no server's settings matter


@dataclass(frozen=True)
class Suggestion:
    """`times`: so often words like these were coded so; `is_exact`: the words are those of the term."""

    term: DictionaryTerm
    times: int = 0
    is_exact: bool = False


def name_of_dictionary(kind):
    """The name of the dictionary that the protocol wants for a kind; "": it is not coded."""
    return getattr(trial.current_protocol().coding_plan, SOURCES[Kind(kind)].plan)


def dictionary_of(kind):
    """The dictionary with which this kind is coded now, or None."""
    name = name_of_dictionary(kind)
    return Dictionary.objects.in_use(name) if name else None


def exact_term(dictionary, text):
    """The one current term of the dictionary that is written like `text`, or None."""
    found = list(DictionaryTerm.objects.filter(dictionary=dictionary, key=key_of(text), is_current=True)[:2])
    return found[0] if len(found) == 1 else None


# one statement: terms coded with such words before, and terms written like them
SUGGEST = """
with coded as (
    select t.id, count(*) filter (where c.key = %(key)s) as times, count(*) as often, max(similarity(c.key, %(key)s)) as alike
    from safety_coding c
    join safety_dictionary d on d.id = c.dictionary_id and d.name = %(name)s
    join safety_dictionaryterm t on t.dictionary_id = %(dictionary)s and t.code = c.code
    where c.state = %(approved)s and (c.key = %(key)s or (c.key %% %(key)s and similarity(c.key, %(key)s) >= 0.5))
    group by t.id
), written as (
    select id, greatest(similarity(key, %(key)s), 0.9 * word_similarity(%(key)s, key))
        + case when key = %(key)s then 1 when key like %(begin)s then 0.25 else 0 end as alike
    from safety_dictionaryterm
    where dictionary_id = %(dictionary)s and is_current
      and (key %% %(key)s or %(key)s <%% key or key like %(within)s)
    order by alike desc, length(key), key limit %(shown)s
)
select t.*, coalesce(coded.times, 0) as times, coalesce(coded.often, 0) as often
from safety_dictionaryterm t left join coded using (id) left join written using (id)
where (coded.id is not null or written.id is not null) and t.is_current
order by coalesce(coded.times, 0) desc, coalesce(written.alike, 0) + case when coded.alike >= 0.5 then coded.alike / 2 else 0 end desc,
    length(t.key), t.key
limit %(shown)s
"""


def suggest(dictionary, text, shown=SHOWN):
    """The best terms first: what the same words were coded as before (most often first), then what is written alike."""
    key = key_of(text)[:LONGEST]
    if dictionary is None or len(key) < 2 or "\x00" in key:
        return []
    pattern = key.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    given = {
        "key": key, "dictionary": dictionary.pk, "name": dictionary.name, "approved": CodingState.APPROVED.value,
        "begin": f"{pattern}%", "within": f"%{pattern}%", "shown": shown,
    }  # fmt: skip
    found = DictionaryTerm.objects.raw(SUGGEST, given)
    return [Suggestion(term, term.often, term.key == key) for term in found]
