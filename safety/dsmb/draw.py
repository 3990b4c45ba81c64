"""The figures of a report as SVG: the only place that knows matplotlib. Equal figures give equal bytes.

Text is drawn as paths, so that print and page look the same with any font. Groups differ in colour (Okabe and Ito's,
which people with any colour vision tell apart), in marker and in dashes, and lines carry their labels."""

from dataclasses import replace
from datetime import date
from io import BytesIO

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.dates import AutoDateLocator, DateFormatter
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.ticker import MaxNLocator

from trialsite import fonts

fontManager.addfont(fonts.sans_path())
# it has one weight, which stands for bold, too
fontManager.ttflist.append(replace(fontManager.ttflist[-1], weight="bold"))

INK, QUIET, GRID = "#1f2a28", "#5f6b68", "#dfe3e0"
# (colour, marker, dashes) by position of the letter; never those that the pages give to the arms
STYLES = [
    ("#0072b2", "o", "-"),
    ("#d55e00", "^", (0, (5, 2))),
    ("#009e73", "s", (0, (2, 1.5))),
    ("#aa4499", "D", (0, (6, 1.5, 1.5, 1.5))),
]
SETTINGS = {
    "svg.hashsalt": "trialsite",
    "svg.fonttype": "path",
    "font.family": ["DejaVu Sans", fonts.SANS],  # the first ships with matplotlib; the other one has the Chinese
    "font.size": 8,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "text.color": INK,
}
SIZE = (6.7, 3.9)  # inches: the width of the text on A4


def draw_plots(part) -> dict[str, bytes]:
    """The plots of one part, {file name: SVG}."""
    draw = {"enrolment": draw_enrolment, "trend": draw_trend}
    return {plot.file: draw[plot.name](plot) for plot in part.plots}


def draw_enrolment(plot) -> bytes:
    """Steps of patients screened and randomised, and the number planned."""
    with matplotlib.rc_context(SETTINGS):
        figure, axes = _axes(plot)
        ends = []
        for line, (colour, _, dashes) in zip(
            (line for line in plot.lines if line.role == "count"), STYLES, strict=False
        ):
            days, totals = zip(*line.points, strict=True)
            axes.step(_dates(days), totals, where="post", color=colour, linestyle=dashes, linewidth=1.8)
            ends.append((_dates(days)[-1], totals[-1], f"{line.label}: {totals[-1]}", colour))
        for line in (line for line in plot.lines if line.role == "target"):
            days, totals = zip(*line.points, strict=True)
            axes.plot(_dates(days), totals, color=QUIET, linewidth=1, linestyle=(0, (1, 2)))
            ends.append((_dates(days)[-1], totals[-1], line.label, QUIET))
        axes.set_ylim(0, max(total for _, total, _, _ in ends) * 1.12)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        first, last = axes.get_xlim()
        axes.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=7))
        axes.xaxis.set_major_formatter(DateFormatter("%Y-%m" if last - first > 90 else "%Y-%m-%d"))
        _label_ends(axes, ends)
        return _svg(figure)


def draw_trend(plot) -> bytes:
    """Thin lines or a band for the patients, thick ones for the medians, and how many patients each median is of."""
    with matplotlib.rc_context(SETTINGS):
        figure, axes = _axes(plot)
        letters = sorted({line.group for line in plot.lines})
        style = {letter: STYLES[i % len(STYLES)] if letter else (INK, "o", "-") for i, letter in enumerate(letters)}
        for line in plot.lines:
            if line.role == "patient" and line.points:
                colour, marker, _ = style[line.group]
                axes.plot(*zip(*line.points, strict=True), color=colour, alpha=0.32, linewidth=0.7, marker=marker,
                          markersize=1.8, markeredgewidth=0)  # fmt: skip
        for letter in letters:
            low, high = _band(plot, letter)
            if low:
                days = [day for day, _ in low]
                axes.fill_between(days, [y for _, y in low], [y for _, y in high], color=style[letter][0], alpha=0.14,
                                  linewidth=0)  # fmt: skip
        ends, medians = [], [line for line in plot.lines if line.role == "median" and line.points]
        for line in medians:
            colour, marker, dashes = style[line.group]
            days, values = zip(*line.points, strict=True)
            axes.plot(days, values, color=colour, linestyle=dashes, linewidth=2, marker=marker, markersize=5.5,
                      markeredgecolor="white", markeredgewidth=0.7, zorder=5)  # fmt: skip
            ends.append((days[-1], values[-1], line.label, colour))
        axes.set_ylim(bottom=0)
        axes.set_xticks([day for day, _ in plot.ticks], [])
        _label_ends(axes, ends)
        _write_counts(axes, plot, medians, style)
        return _svg(figure)


def _band(plot, letter):
    quartiles = [line.points for line in plot.lines if line.role == "quartile" and line.group == letter]
    return quartiles if len(quartiles) == 2 else ((), ())


def _write_counts(axes, plot, medians, style):
    """Below the axis: the days, and n of each median. Days too close to be read side by side are left out."""
    left, right = axes.get_xlim()
    rows = [(plot.x_title, QUIET, dict(plot.ticks))]
    for line in medians:
        numbers = dict(zip((day for day, _ in line.points), map(str, line.counts), strict=True))
        rows.append((f"n {line.group}".strip(), style[line.group][0], numbers))
    place = axes.get_xaxis_transform()
    shown = []
    for day in sorted((day for day, _ in plot.ticks), key=lambda day: (day != 0, day)):  # day 0 is never left out
        letters = [max(len(texts.get(day, "")) + len(texts.get(other, "")) for _, _, texts in rows) for other in shown]
        if all(abs(day - other) > (right - left) * 0.007 * n for other, n in zip(shown, letters, strict=True)):
            shown.append(day)
    for i, (title, colour, texts) in enumerate(rows):
        height = -0.035 - 0.052 * i
        axes.text(-0.012, height, title if i else "", transform=axes.transAxes, ha="right", va="top", color=colour)
        for day in shown:
            axes.text(day, height, texts.get(day, ""), transform=place, ha="center", va="top", color=colour)
    height = -0.05 - 0.052 * len(rows)
    axes.text(0.5, height, plot.x_title, transform=axes.transAxes, ha="center", va="top", color=INK)


def _axes(plot):
    figure = Figure(figsize=SIZE)
    FigureCanvasSVG(figure)
    axes = figure.add_axes(
        (0.085, 0.2 if plot.name == "trend" else 0.11, 0.765, 0.72 if plot.name == "trend" else 0.82)
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=3)
    # the title of the y axis lies where it is read
    axes.text(0, 1.03, plot.y_title, transform=axes.transAxes, ha="left", va="bottom", color=INK)
    return figure, axes


def _label_ends(axes, ends):
    """A label at the end of each line, moved apart where they would overlap."""
    bottom, top = axes.get_ylim()
    least = (top - bottom) * 0.05
    height = None
    for x, y, label, colour in sorted(ends, key=lambda end: end[1]):
        height = y if height is None else max(y, height + least)
        axes.annotate(label, (x, height), xytext=(6, 0), textcoords="offset points", va="center", color=colour,
                      fontweight="bold" if colour != QUIET else "normal", annotation_clip=False)  # fmt: skip


def _dates(days):
    return [date.fromordinal(day) for day in days]


def _svg(figure):
    buffer = BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
