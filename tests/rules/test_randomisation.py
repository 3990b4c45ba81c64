"""Randomisation lists: balanced, reproducible, independent between strata; read strictly; strata found or refused."""

import hashlib
import random
from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patients.randomisation import (
    BadCell,
    BadList,
    NoStratum,
    Slot,
    _below,
    digest,
    from_csv,
    make_list,
    strata,
    stratum_of,
    to_csv,
)
from tests.rules.protocols import randomised, test_of

SEEDS = st.integers(min_value=0, max_value=2**63) | st.text("abcXYZ019-", min_size=1, max_size=20)

BY_SITE = {"code": "site", "by": "site"}
BY_SEX = {"code": "sex", "by": "sex"}
BY_CD4 = {
    "code": "cd4",
    "by": "test",
    "test": "CD4",
    "levels": [
        {"code": "low", "name": "Low", "above": 50, "at_most": 150},
        {"code": "high", "name": "High", "above": 150, "at_most": 250},
    ],
}
CD4 = test_of(code="CD4", name="CD4", unit="cells/µL").model_dump()


GOLDEN = [
    ("01", 1, 2, "SALINE"),
    ("01", 1, 2, "MSC"),
    ("01", 2, 2, "MSC"),
    ("01", 2, 2, "SALINE"),
    ("02", 1, 2, "SALINE"),
    ("02", 1, 2, "MSC"),
    ("02", 2, 4, "SALINE"),
    ("02", 2, 4, "MSC"),
]
GOLDEN_DIGEST = "016c4cc6d7a42c3df24ad8df958b8752528eb1f97f1e7aad584add14ace7b07c"


# --- making a list -------------------------------------------------------------------------------


def arms(slots):
    return "".join(slot.arm[0] for slot in slots)


@given(seed=SEEDS, slots=st.integers(1, 60))
@settings(max_examples=200)
@pytest.mark.parametrize(
    ("ratios", "block_sizes"),
    [
        pytest.param({"MSC": 1, "SALINE": 1}, (2, 4, 6), id="1:1"),
        pytest.param({"MSC": 2, "SALINE": 1}, (3, 6), id="2:1"),
        pytest.param({"HIGH": 1, "LOW": 1, "NONE": 1}, (3, 6, 9), id="1:1:1"),
        pytest.param({"MSC": 1}, (1, 2), id="one arm"),
    ],
)
def test_at_the_end_of_each_block_the_arms_stand_in_their_ratio(ratios, block_sizes, seed, slots):
    made = make_list(randomised(ratios=ratios, block_sizes=block_sizes), ["01", "02"], slots, seed)
    for stratum in ("01", "02"):
        mine = [slot for slot in made if slot.stratum == stratum]
        assert [slot.sequence for slot in mine] == list(range(1, len(mine) + 1))
        assert slots <= len(mine) < slots + max(block_sizes)
        blocks = {}
        for slot in mine:
            blocks.setdefault(slot.block, []).append(slot)
        assert list(blocks) == list(range(1, len(blocks) + 1))
        for block in blocks.values():
            assert {slot.block_size for slot in block} == {len(block)}
            assert len(block) in block_sizes
            share = len(block) // sum(ratios.values())
            assert Counter(slot.arm for slot in block) == {arm: ratio * share for arm, ratio in ratios.items()}


def test_a_recorded_seed_gives_the_same_list_for_ever():
    """The golden list of permuted-blocks/1. If this fails, lists in use cannot be checked: write a version 2."""
    made = make_list(randomised(), ["01", "02"], 8, 20130515)
    assert [(slot.stratum, slot.block, slot.block_size, slot.arm) for slot in made if slot.sequence <= 4] == GOLDEN
    assert digest(made) == GOLDEN_DIGEST


def test_the_list_can_be_made_again_from_its_written_description():
    """The description at ALGORITHM, worked through by other code."""

    def below(n):
        nonlocal counter
        while True:
            text = f"permuted-blocks/1\n7\n01\n{counter}"
            counter += 1
            number = int(hashlib.sha256(text.encode()).hexdigest()[:16], 16)
            if number < (2**64 // n) * n:
                return number % n

    counter, again = 0, []
    while len(again) < 50:
        size = (2, 4, 6)[below(3)]
        block = ["M"] * (size // 2) + ["S"] * (size // 2)
        for i in reversed(range(1, size)):
            j = below(i + 1)
            block[i], block[j] = block[j], block[i]
        again += block
    assert "".join(again) == arms(make_list(randomised(block_sizes=(2, 4, 6)), ["01"], 50, 7))


def test_a_seed_as_number_and_as_text_is_the_same_seed():
    assert make_list(randomised(), ["01"], 10, 42) == make_list(randomised(), ["01"], 10, "42")


@given(seed=SEEDS)
@settings(max_examples=50)
def test_a_new_site_or_more_slots_never_change_the_slots_of_an_earlier_list(seed):
    early = make_list(randomised(), ["01", "02"], 10, seed)
    late = make_list(randomised(), ["03", "02", "01"], 40, seed)
    assert set(early) < set(late)


def test_strata_and_seeds_have_lists_of_their_own():
    lists = {arms(make_list(randomised(), [stratum], 64, seed)) for stratum in ("01", "02") for seed in range(20)}
    assert len(lists) == 40


def test_each_arm_and_each_block_size_comes_as_often_as_chance_says():
    made = make_list(randomised(block_sizes=(2, 4)), [f"{n:04}" for n in range(4000)], 1, "fair")
    first = [slot for slot in made if slot.sequence == 1]
    assert abs(sum(slot.arm == "MSC" for slot in first) - 2000) < 160  # 5 standard deviations
    assert abs(sum(slot.block_size == 2 for slot in first) - 2000) < 160
    orders = Counter(
        arms(slots[i : i + 4]) for slots in [make_list(randomised(block_sizes=(4,)), ["01"], 24000, 1)]
        for i in range(0, 24000, 4)
    )  # fmt: skip
    assert len(orders) == 6
    assert all(abs(times - 1000) < 145 for times in orders.values())


@pytest.mark.parametrize(
    ("numbers", "expected"), [([5], 2), ([2**64 - 2], 2), ([2**64 - 1, 4], 1), ([2**64 - 1, 2**64 - 1, 3], 0)]
)
def test_a_number_that_would_favour_the_small_ones_is_skipped(numbers, expected):
    assert _below(3, iter(numbers)) == expected  # 2^64 - 1 is the first that belongs to no full round of 3


@pytest.mark.parametrize("seed", ["", " ", "1 ", "1\n01", "a\x00b", "\u200b"])
def test_a_seed_that_could_not_be_typed_again_is_refused(seed):
    with pytest.raises(ValueError, match="seed"):
        make_list(randomised(), ["01"], 4, seed)


def test_a_list_is_not_made_for_a_protocol_that_imports_its_list():
    imported = randomised().model_copy(
        update={"allocation": randomised().allocation.model_copy(update={"method": "imported_list"})}
    )
    with pytest.raises(ValueError, match="imported"):
        make_list(imported, ["01"], 4, 1)


# --- a list as a file ----------------------------------------------------------------------------


@given(seed=SEEDS)
@settings(max_examples=30)
def test_a_list_read_back_from_its_csv_is_the_same_list(seed):
    made = make_list(randomised(), ["02", "01"], 12, seed)
    read = from_csv(to_csv(made), randomised(), ["01", "02"])
    assert read == sorted(made, key=lambda slot: (slot.stratum, slot.sequence))
    assert digest(read) == digest(made)


def test_the_seal_does_not_depend_on_the_order_of_rows_but_on_every_cell():
    made = make_list(randomised(), ["01", "02"], 8, 1)
    mixed = random.Random(1).sample(made, len(made))
    assert digest(mixed) == digest(made) == hashlib.sha256(to_csv(made).encode()).hexdigest()
    for i, slot in enumerate(made):
        other = "SALINE" if slot.arm == "MSC" else "MSC"
        assert digest(
            [*made[:i], Slot(slot.stratum, slot.sequence, slot.block, slot.block_size, other), *made[i + 1 :]]
        ) != digest(made)


def test_the_block_columns_may_be_left_out():
    text = "stratum,sequence,arm\n01,1,MSC\n01,2,SALINE\n"
    assert from_csv(text, randomised(), ["01"]) == [
        Slot("01", 1, None, None, "MSC"),
        Slot("01", 2, None, None, "SALINE"),
    ]


def test_a_file_from_a_spreadsheet_is_read_with_its_byte_order_mark_and_line_ends():
    assert len(from_csv("\ufeffarm,stratum,sequence\r\nMSC,01,1\r\n\r\n", randomised(), ["01"])) == 1


def test_an_imported_list_may_end_within_a_block():
    text = "stratum,sequence,block,block_size,arm\n01,1,1,2,MSC\n01,2,1,2,SALINE\n01,3,2,4,MSC\n"
    assert len(from_csv(text, randomised(), ["01"])) == 3


HEAD = "stratum,sequence,arm\n"
BLOCKS = "stratum,sequence,block,block_size,arm\n"


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        pytest.param("", [(1, "(heading)")], id="nothing"),
        pytest.param("\n\n", [(1, "(heading)")], id="blank lines"),
        pytest.param("01,1,MSC\n", [(1, "stratum"), (1, "sequence"), (1, "arm"), (1, "'01'"), (1, "'1'"), (1, "'MSC'")],
                     id="no heading"),
        pytest.param("stratum,sequence\n01,1\n", [(1, "arm")], id="a column is missing"),
        pytest.param("stratum,sequence,arm,seed\n01,1,MSC,9\n", [(1, "'seed'")], id="a column too many"),
        pytest.param("stratum,sequence,arm,arm\n01,1,MSC,MSC\n", [(1, "arm")], id="a column twice"),
        pytest.param("stratum,sequence,block,arm\n01,1,1,MSC\n", [(1, "block")], id="block without its size"),
        pytest.param(HEAD, [(1, "stratum")], id="heading only"),
        pytest.param(HEAD + "01,1\n01,2,MSC\n", [(2, "(row)"), (3, "sequence")], id="a cell is missing"),
        pytest.param(HEAD + "01,1,MSC\n\n01,2,MSC\n", [(3, "(row)")], id="blank line inside"),
        pytest.param(HEAD + "01,1,msc\n", [(2, "arm")], id="arm in small letters"),
        pytest.param(HEAD + "01,1, MSC\n", [(2, "arm")], id="blank before the arm"),
        pytest.param(HEAD + "1,1,MSC\n", [(2, "stratum")], id="spreadsheet took the zero: no row for 01"),
        pytest.param(HEAD + "01,1,MSC\n01,1,MSC\n", [(3, "sequence")], id="a sequence twice"),
        pytest.param(HEAD + "01,1,MSC\n01,3,MSC\n", [(3, "sequence")], id="a gap"),
        pytest.param(HEAD + "01,2,MSC\n01,1,MSC\n", [(2, "sequence"), (3, "sequence")], id="out of order"),
        pytest.param(HEAD + "01,0,MSC\n", [(2, "sequence")], id="from zero"),
        pytest.param(HEAD + "01,1.0,MSC\n", [(2, "sequence")], id="no whole number"),
        pytest.param(HEAD + "01,１,MSC\n", [(2, "sequence")], id="full-width digit"),
        pytest.param(HEAD + "01,1,MSC\n02,1,XXX\n03,9,MSC\n", [(3, "stratum"), (3, "arm"), (4, "stratum")],
                     id="all faults are told"),
        pytest.param(BLOCKS + "01,1,1,,MSC\n", [(2, "block_size")], id="half a block"),
        pytest.param(BLOCKS + "01,1,2,2,MSC\n", [(2, "block")], id="first block is not 1"),
        pytest.param(BLOCKS + "01,1,1,4,MSC\n01,2,2,2,MSC\n", [(3, "block")], id="next block too early"),
        pytest.param(BLOCKS + "01,1,1,2,MSC\n01,2,1,4,MSC\n", [(3, "block_size")], id="a block of two sizes"),
        pytest.param(BLOCKS + "01,1,1,1,MSC\n01,2,1,1,MSC\n", [(3, "block")], id="too many rows for the block"),
        pytest.param(BLOCKS + "01,1,1,2,MSC\n01,2,,,MSC\n", [(3, "block")], id="a row without its block"),
        pytest.param(HEAD + '01,1,"MSC\n', [(2, "(row)")], id="a quote is not closed"),
    ],
)  # fmt: skip
def test_a_bad_list_is_refused_with_row_and_column_of_every_fault(text, cells):
    with pytest.raises(BadList) as refused:
        from_csv(text, randomised(), ["01"])
    found = [(cell.row, cell.column) for cell in refused.value.cells]
    assert list(dict.fromkeys(found)) == list(dict.fromkeys(cells))
    assert (refused.value.row, refused.value.column) == found[0]
    assert all(cell.expected.startswith("expected") for cell in refused.value.cells)


def test_a_stratum_without_a_row_is_a_fault():
    with pytest.raises(BadList) as refused:
        from_csv(HEAD + "01,1,MSC\n", randomised(), ["01", "02"])
    assert refused.value.cells == (BadCell(2, "stratum", "expected at least one row for 02"),)


@given(text=st.text(max_size=200) | st.text('stratum,sequence,arm\n01MSC"', max_size=100).map(HEAD.__add__))
@settings(max_examples=300)
def test_no_text_breaks_the_reader(text):
    try:
        from_csv(text, randomised(), ["01"])
    except BadList as error:
        assert error.cells


# --- strata --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factors", "keys"),
    [
        pytest.param([], ["all"], id="no strata"),
        pytest.param([BY_SITE], ["01", "02"], id="by site"),
        pytest.param([BY_CD4], ["low", "high"], id="by CD4"),
        pytest.param([BY_SEX], ["F", "M"], id="by sex"),
        pytest.param([BY_CD4, BY_SITE], ["01/low", "01/high", "02/low", "02/high"], id="site comes first"),
    ],
)
def test_the_keys_of_all_strata(factors, keys):
    assert strata(randomised(strata=factors, tests=[CD4]), ["01", "02"]) == keys


@pytest.mark.parametrize(
    ("factors", "cd4", "key"),
    [
        pytest.param([], None, "all", id="no strata"),
        pytest.param([BY_SITE], None, "02", id="by site"),
        pytest.param([BY_SEX, BY_SITE], None, "02/F", id="by site and sex"),
        pytest.param([BY_SITE, BY_CD4], "51", "02/low", id="CD4 51"),
        pytest.param([BY_SITE, BY_CD4], "150", "02/low", id="CD4 150 is still low"),
        pytest.param([BY_SITE, BY_CD4], "150.1", "02/high", id="CD4 150.1 is high"),
        pytest.param([BY_SITE, BY_CD4], "250", "02/high", id="CD4 250"),
    ],
)
def test_a_patient_is_in_the_stratum_of_site_sex_and_result(factors, cd4, key):
    results = {"CD4": Decimal(cd4)} if cd4 else {}
    protocol = randomised(strata=factors, tests=[CD4])
    assert stratum_of(protocol, site="02", sex="F", results=results) == key
    assert key in strata(protocol, ["01", "02"])


@pytest.mark.parametrize(
    ("site", "sex", "cd4", "missing"),
    [
        ("01", "F", None, ("There is no result of CD4.",)),
        ("01", "F", "50", ("CD4 50 cells/µL fits no level (Low: > 50 and ≤ 150; High: > 150 and ≤ 250).",)),
        ("01", "F", "300.0000", ("CD4 300 cells/µL fits no level (Low: > 50 and ≤ 150; High: > 150 and ≤ 250).",)),
        ("01", "", "100", ("The sex is not known.",)),
        ("", "", None, ("The site is not known.", "The sex is not known.", "There is no result of CD4.")),
    ],
)
def test_a_patient_without_a_stratum_is_told_what_is_missing(site, sex, cd4, missing):
    protocol = randomised(strata=[BY_SITE, BY_SEX, BY_CD4], tests=[CD4])
    with pytest.raises(NoStratum) as refused:
        stratum_of(protocol, site=site, sex=sex, results={"CD4": Decimal(cd4)} if cd4 else {})
    assert refused.value.missing == missing
