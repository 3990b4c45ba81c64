"""What the pictures of all patients show: counts and places, as truth tables."""

from itertools import pairwise

import pytest

from safety.listings import pictures


def test_a_patient_counts_once_in_a_class_with_the_worst_grade():
    events = [(1, "Skin", 1), (1, "Skin", 3), (2, "Skin", 1), (2, "Liver", 2)]
    skin, liver = pictures.heat_map(events, 2)
    assert (skin.name, skin.patients, skin.events, skin.total) == ("Skin", {1: 1, 2: 0, 3: 1, 4: 0, 5: 0}, 3, 2)
    assert (liver.name, liver.total) == ("Liver", 1)


@pytest.mark.parametrize(
    ("count", "most", "shade"),
    [(0, 7, 0), (1, 7, 1), (2, 7, 2), (4, 7, 3), (7, 7, 5), (9, 7, 5), (1, 0, 0), (1, 1000, 1)],
)
def test_a_cell_is_the_darker_the_more_patients_it_has(count, most, shade):
    assert pictures.shade(count, most) == shade


def test_a_shift_table_counts_each_patient_once():
    table = pictures.shift_table([(0, 3), (0, 3), (None, 1), (2, None), (1, 0)])
    assert table[0][3] == 2 and table[None][1] == 1 and table[2][None] == 1 and table[1][0] == 1
    assert sum(sum(row.values()) for row in table.values()) == 5


@pytest.mark.parametrize(
    ("baseline", "worst", "look"),
    [
        (0, 0, "same"),
        (3, 3, "same"),
        (0, 1, "worse-1"),
        (0, 4, "worse-4"),
        (2, 1, "better"),
        (None, 4, ""),
        (1, None, ""),
    ],
)
def test_a_cell_of_the_shift_table_looks_as_much_worse_as_it_is(baseline, worst, look):
    assert pictures.shift_look(baseline, worst) == look


HYS_LAW = [
    # peak ALT, peak bilirubin (× ULN)  ->  beyond both lines?
    (3.1, 2.1, True),
    (3.0, 2.1, False),  # a line itself is not beyond it
    (3.1, 2.0, False),
    (50, 1.0, False),
    (1.0, 9.0, False),
]


@pytest.mark.parametrize(("alt", "bilirubin", "is_hy"), HYS_LAW)
def test_a_case_of_hys_law_lies_beyond_both_lines(alt, bilirubin, is_hy):
    [point] = pictures.liver_points([(1, "01-001", alt, bilirubin, 0)])
    axes = pictures.liver_axes()
    assert point.is_hy == is_hy
    assert (point.x > axes["alt_line"] and point.y < axes["bilirubin_line"]) == is_hy


def test_peaks_beyond_the_axes_are_drawn_at_their_ends():
    low, high = pictures.liver_points([(1, "a", 0.001, 0.0, 0), (2, "b", 5000, 5000, 0)])
    axes = pictures.liver_axes()
    assert (low.x, low.y) == (axes["left"], axes["bottom"]) and (high.x, high.y) == (axes["right"], axes["top"])


def test_of_many_patients_only_those_beyond_a_line_are_drawn_one_by_one():
    calm = [(n, f"01-{n:03d}", 0.5 + n % 3 / 10, 0.6, 0) for n in range(pictures.SINGLE)]
    ill = [(901, "01-901", 3.1, 0.6, 0), (902, "01-902", 0.5, 2.1, 0), (903, "01-903", 9, 9, 0)]
    few, no_cells = pictures.crowd_of(pictures.liver_points(calm))
    assert len(few) == pictures.SINGLE and not no_cells
    alone, cells = pictures.crowd_of(pictures.liver_points(calm + ill))
    assert [point.number for point in alone] == ["01-901", "01-902", "01-903"]
    assert sum(cell["patients"] for cell in cells) == pictures.SINGLE and len(cells) <= 3


def test_swimmers_share_one_axis_of_days():
    short = pictures.Swimmer(1, "01-001", 28, True, infusions=(0, 28))
    long = pictures.Swimmer(2, "01-002", 336, False, "completed", (0,), ((-3, 4, "Sepsis"),))
    chart = pictures.swimmer_chart([short, long])
    first, second = chart["lanes"]
    assert first["x"] == second["x"] and first["infusions"][0][0] == first["x"]
    assert second["events"][0][0] < second["x"] and first["right"] < second["right"]
    assert len(chart["ticks"]) <= 15


@pytest.mark.parametrize(
    ("days", "moved"),
    [
        ((10, 200), (False, False)), ((10, 10), (False, True)), ((10, 11, 11), (False, True, True)),
        ((11, 10), (True, False)), ((336, 336), (False, True)),
    ],
)  # fmt: skip
def test_events_of_one_lane_stand_beside_each_other_and_the_arrow_behind_them(days, moved):
    alone = [pictures.swimmer_chart([swimmer(day)])["lanes"][0]["events"][0][0] for day in days]
    [lane] = pictures.swimmer_chart([swimmer(*days)])["lanes"]
    places = [x for x, _grade, _words in lane["events"]]
    assert [place != x for place, x in zip(places, alone, strict=True)] == list(moved)
    for one, other in pairwise(sorted([*places, lane["right"]])):
        assert other - one >= pictures.EVENT
    assert max(*places, lane["right"]) + pictures.EVENT <= pictures.LANES_WIDTH


def swimmer(*days):
    return pictures.Swimmer(1, "01-001", 336, True, infusions=(0,), events=tuple((day, 3, "Rash") for day in days))
