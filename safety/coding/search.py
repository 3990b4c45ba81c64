"""Terms that fit the words of a record: the exact one, those coded like it before, those written like it.

The only place that knows PostgreSQL's trigrams (pg_trgm). They do not mind typing errors, British spelling or the order
of words; words in another script find what was coded with them before, and the terms with such a name."""

from dataclasses import dataclass

from safety.coding.everyday import terms_called
from safety.coding.rules import SOURCES, CodingState, Kind, key_of
from safety.models import Dictionary, DictionaryTerm
from trialsite import trial
from trialsite.ctcae import is_name, terms_named

SHOWN = 10
LONGEST = 200  # characters that are looked for
LEAST_WORD, MOST_WORDS = 3, 8  # characters of a word that is looked for by itself


@dataclass(frozen=True)
class Suggestion:
    """`times`: so often these words were coded so; `alike`: so often words like these, and these;
    `is_exact`: the words are those of the term."""

    term: DictionaryTerm
    times: int = 0
    alike: int = 0
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
), found as materialized (
    -- alone, so that the trigrams' index is used whatever the planner knows of the dictionaries
    select id, key, dictionary_id, is_current from safety_dictionaryterm
    where key %% %(key)s or key %%> %(key)s or {words}
), written as (
    select id, greatest(similarity(key, %(key)s), 0.9 * word_similarity(%(key)s, key))
        + case when key = %(key)s then 1 when key like %(begin)s then 0.25 else 0 end as alike
    from found where dictionary_id = %(dictionary)s and is_current
    order by alike desc, length(key), key limit %(shown)s
)
select t.*, coalesce(coded.times, 0) as times, coalesce(coded.often, 0) as often
from coded full join written using (id) join safety_dictionaryterm t using (id)
where t.is_current
order by coalesce(coded.times, 0) desc, coalesce(written.alike, 0) + case when coded.alike >= 0.5 then coded.alike / 2 else 0 end desc,
    length(t.key), t.key
limit %(shown)s
"""


def suggest(dictionary, text, shown=SHOWN):
    """The best terms first: what the same words were coded as before (most often first), the term that is written so, then
    terms with such a name in another language, those that everyday words mean, then what is written alike."""
    key = key_of(text)[:LONGEST]
    if dictionary is None or not key or (len(key) < 2 and key.isascii()) or "\x00" in key:
        return []
    words = [word for word in key.split()[:MOST_WORDS] if len(word) >= LEAST_WORD]
    # what has no trigram is looked for at the beginning only
    within = [f"%{_pattern(word)}%" for word in words] or [f"{_pattern(key)}%"]
    given = {
        "key": key, "dictionary": dictionary.pk, "name": dictionary.name, "approved": CodingState.APPROVED.value,
        "begin": f"{_pattern(key)}%", "shown": shown, **{f"word_{n}": one for n, one in enumerate(within)},
    }  # fmt: skip
    # an index answers these one by one, not as one list
    likes = " or ".join(f"key like %(word_{n})s" for n in range(len(within)))
    found = DictionaryTerm.objects.raw(SUGGEST.format(words=likes), given)
    suggested = [Suggestion(term, term.times, term.often, term.key == key) for term in found]
    coded = [one for one in suggested if one.times]
    best = {}
    exact = [one for one in suggested if one.is_exact]
    for one in [*coded, *exact, *_named(dictionary, text[:LONGEST], shown), *suggested]:
        best.setdefault(one.term.pk, one)
    return list(best.values())[:shown]


def _named(dictionary, text, shown):
    """The terms whose name in another language fits, then those that such everyday words mean, each the best first."""
    called = [*terms_named(text)[:shown], *terms_called(text)[:shown]]
    order = {key_of(term): place for place, term in reversed(list(enumerate(called)))}
    if not order:
        return []
    terms = DictionaryTerm.objects.filter(dictionary=dictionary, key__in=order, is_current=True)
    return [
        Suggestion(term, is_exact=is_name(text, term.term)) for term in sorted(terms, key=lambda term: order[term.key])
    ]


def _pattern(text):
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
