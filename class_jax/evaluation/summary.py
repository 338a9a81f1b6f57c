"""Scores as tables to print: figures, intervals, all sets side by side, and comparisons."""

import math
from collections.abc import Iterator, Mapping, Sequence

from class_jax.evaluation.comparison import Comparison, find_equals, have_same_images
from class_jax.evaluation.markup import Table
from class_jax.evaluation.protocols import FIGURES, LOWER_IS_BETTER, MATLAB, PYSOD, PYSOD_VERSION
from class_jax.evaluation.published import COLUMNS, TestSet, find_test_set, get_title
from class_jax.evaluation.scoring import SetScores
from class_jax.text import list_names

SHORT = {"adpF": "F", "adpE": "E"}  # the headings of the paper's Table 1
DESCRIPTIONS = {
    PYSOD: f"PySODMetrics {PYSOD_VERSION}",
    MATLAB: "as the scripts behind published figures",
}
NO_VALUE = "–"
DIGITS, PAPER_DIGITS = 4, 3
BOLD = "In bold: the best of a set, and what is not distinguishable from it."
FROM_PUBLISHED = " (measured)"  # added to a method that is called as a published row


def build_tables(scores: Sequence[SetScores], comparisons: Sequence[Comparison]) -> Iterator[Table]:
    """Yield the tables of each protocol."""
    for protocol in dict.fromkeys(row.protocol for row in scores):
        rows = [row for row in scores if row.protocol == protocol]
        own = [found for found in comparisons if found.protocol == protocol]
        yield _build_results(rows, own)
        if any(row.statistics and row.total.images > 1 for row in rows):
            yield from _build_intervals(rows)
        sets = {row.set_name for row in rows}
        if len(sets) > 1 or any(map(find_test_set, sets)):
            yield _build_overview(rows, own)


def build_comparisons(comparisons: Sequence[Comparison]) -> Iterator[Table]:
    """Yield, for each set and protocol, the verdicts and the differences that they rest on."""
    for set_name, protocol in dict.fromkeys(found[:2] for found in comparisons):
        of_set = [found for found in comparisons if found[:2] == (set_name, protocol)]
        title = f"{get_title(set_name)}, protocol {protocol}"
        yield _build_verdicts(title, of_set)
        yield _build_differences(title, of_set)


def format_number(value: float | None, digits: int) -> str:
    """Return a number, or a dash if there is none."""
    return NO_VALUE if value is None else f"{value:.{digits}f}"


def split_names(names: Sequence[str]) -> list[Sequence[str]]:
    """Return the names of the published figures, and those of further ones if there are any."""
    return [part for part in (names[: len(FIGURES)], names[len(FIGURES) :]) if part]


def get_figures(row: SetScores) -> dict[str, float | None]:
    """Return the figures, or None for each if no mask of the set has a salient pixel."""
    return {name: value if row.has_salient else None for name, value in row.total.figures().items()}


def note_coverage(scores: Sequence[SetScores]) -> str:
    """Return remarks on sets whose scores are not comparable or say nothing."""
    text = ""
    for set_name in dict.fromkeys(row.set_name for row in scores):
        of_set = [row for row in scores if row.set_name == set_name]
        if not have_same_images(of_set):
            counts = list_names(f"{row.method}: {len(row.per_image)}" for row in of_set)
            text += (
                f" {get_title(set_name)}: the methods were measured on different images "
                f"({counts}), and only those of the same images are compared."
            )
        measured = len(of_set[0].per_image)
        if have_same_images(of_set) and measured < of_set[0].set_size:
            text += (
                f" {get_title(set_name)}: measured on the {measured} of {of_set[0].set_size} "
                "images that all methods have."
            )
        if not of_set[0].has_salient:
            text += f" {get_title(set_name)}: no mask has a salient pixel."
    return text


def _build_results(scores: Sequence[SetScores], comparisons: Sequence[Comparison]) -> Table:
    """Build a row for each set and method, the best methods of a set in bold."""
    names = list(scores[0].total.figures())
    rows: list[list[str]] = []
    bold: set[tuple[int, int]] = set()
    for set_name in dict.fromkeys(row.set_name for row in scores):
        of_set = {row.method: row for row in scores if row.set_name == set_name}
        values = {method: get_figures(row) for method, row in of_set.items()}
        methods = list(of_set)
        if len(of_set) > 1 and have_same_images(list(of_set.values())):
            for column, name in enumerate(names):
                of_measure = {method: figures[name] for method, figures in values.items()}
                own = [c for c in comparisons if (c.set_name, c.measure) == (set_name, name)]
                best = _find_best(of_measure, name, own, digits=DIGITS)
                bold |= {(len(rows) + methods.index(method), 3 + column) for method in best}
        for method, figures in values.items():
            cells = [format_number(figures[name], DIGITS) for name in names]
            images = str(of_set[method].total.images)
            rows.append([get_title(set_name), method, images, *cells])
    columns = ["set", "method", "images", *names]
    note = f"Higher is better, but for {_list_lower(names)}. {BOLD}{note_coverage(scores)}"
    title = _format_title(scores[0].protocol)
    return Table(title, note, [("", len(columns))], columns, rows, bold)


def _build_intervals(scores: Sequence[SetScores]) -> Iterator[Table]:
    """Yield tables of 95 % intervals, a row for each set and method, nine figures wide."""
    for names in split_names(list(scores[0].total.figures())):
        rows = []
        for row in scores:
            intervals = row.statistics.intervals() if row.statistics and row.has_salient else {}
            cells = [_format_interval(*intervals.get(name, (math.nan,) * 2)) for name in names]
            rows.append([get_title(row.set_name), row.method, str(row.total.images), *cells])
        columns = ["set", "method", "images", *names]
        title = f"{_format_title(scores[0].protocol)}: 95 % intervals"
        note = "By resampling the images of a set. Intervals that overlap may differ all the same."
        yield Table(title, note, [("", len(columns))], columns, rows, set())


def _build_overview(scores: Sequence[SetScores], comparisons: Sequence[Comparison]) -> Table:
    """Build a row for each method, measured or published, as the paper's Table 1."""
    sets = {row.set_name: find_test_set(row.set_name) for row in scores}
    values: dict[str, list[float | None]] = {}
    bold: set[tuple[str, int]] = set()
    for position, (set_name, test_set) in enumerate(sets.items()):
        published = test_set.scores if test_set else {}
        measured: dict[str, tuple[float | None, ...]] = {}
        for row in (row for row in scores if row.set_name == set_name):
            figures = get_figures(row)
            measured[_rename(row.method, published)] = tuple(figures[name] for name in COLUMNS)
        for method, numbers in (measured | published).items():
            cells = values.setdefault(method, [None] * (len(sets) * len(COLUMNS)))
            cells[position * len(COLUMNS) : (position + 1) * len(COLUMNS)] = numbers
        for index, name in enumerate(COLUMNS):
            of_measure = {m: numbers[index] for m, numbers in (measured | published).items()}
            own = [c for c in comparisons if (c.set_name, c.measure) == (set_name, name)]
            best = _find_best(of_measure, name, own, digits=PAPER_DIGITS)
            bold |= {(method, 1 + position * len(COLUMNS) + index) for method in best}
    known = {name for test_set in sets.values() if test_set for name in test_set.scores}
    methods = sorted(values, key=lambda method: method in known)  # measured ones first
    note = "F and E are adaptive."
    if known:
        note += " Published figures are as printed, by the protocol matlab."
    return Table(
        f"{_format_title(scores[0].protocol)}: "
        + ("beside published figures" if known else "all sets"),
        note + "".join(_note_other_count(row, sets) for row in scores),
        [("", 1), *((get_title(set_name), len(COLUMNS)) for set_name in sets)],
        ["method", *(SHORT.get(name, name) for name in COLUMNS * len(sets))],
        [
            [name, *(_shorten(format_number(v, PAPER_DIGITS)) for v in values[name])]
            for name in methods
        ],
        {(methods.index(method), column) for method, column in bold},
    )


def _rename(method: str, published: Mapping[str, object]) -> str:
    """Mark a measured method that is called as a published one."""
    return f"{method}{FROM_PUBLISHED}" if method in published else method


def _build_verdicts(title: str, comparisons: Sequence[Comparison]) -> Table:
    """Build a row for each pair of methods, with a verdict for each figure."""
    measures = list(dict.fromkeys(found.measure for found in comparisons))
    verdicts = {(found.method, found.other, found.measure): found.verdict for found in comparisons}
    pairs = dict.fromkeys((found.method, found.other) for found in comparisons)
    rows = [[*pair, *(verdicts[*pair, measure] for measure in measures)] for pair in pairs]
    columns = ["method", "against", *measures]
    note = f"On {comparisons[0].images} images."
    return Table(f"{title}: verdicts", note, [("", len(columns))], columns, rows, set())


def _build_differences(title: str, comparisons: Sequence[Comparison]) -> Table:
    """Build a row for each figure and pair, with the difference and its uncertainty."""
    rows = [
        [
            found.measure,
            found.method,
            found.other,
            f"{found.difference:+.{DIGITS}f}",
            " to ".join(f"{bound:+.{DIGITS}f}" for bound in found.interval),
            f"{found.p_holm:.3f}" if not found.p_holm < 0.001 else "<0.001",
            found.verdict,
        ]
        for found in comparisons
    ]
    columns = ["measure", "method", "against", "difference", "95 % interval", "p", "verdict"]
    note = "Differences are of the method less the one it is held against; p by Wilcoxon and Holm."
    return Table(f"{title}: differences", note, [("", len(columns))], columns, rows, set())


def _note_other_count(row: SetScores, sets: Mapping[str, TestSet | None]) -> str:
    """Return a remark if the number of images is not that of the published set."""
    test_set = sets[row.set_name]
    if test_set is None or row.total.images == test_set.images:
        return ""
    return (
        f" {row.method} on {test_set.title}: {row.total.images} images, and the set has "
        f"{test_set.images}."
    )


def _find_best(
    values: Mapping[str, float | None],
    measure: str,
    comparisons: Sequence[Comparison],
    *,
    digits: int,
) -> set[str]:
    """Return the best method, those that print alike and those not distinguishable from it."""
    sign = -1 if measure in LOWER_IS_BETTER else 1
    known = {
        method: sign * value
        for method, value in values.items()
        if value is not None and not math.isnan(value)
    }
    if not known:
        return set()
    best = max(known, key=known.__getitem__)
    alike = {m for m, value in known.items() if round(value, digits) == round(known[best], digits)}
    equals = find_equals(comparisons, best.removesuffix(FROM_PUBLISHED))
    return alike | {method for method in known if method.removesuffix(FROM_PUBLISHED) in equals}


def _format_title(protocol: str) -> str:
    """Return a table's title."""
    return f"Protocol {protocol} ({DESCRIPTIONS[protocol]})"


def _format_interval(low: float, high: float) -> str:
    """Return an interval, or a dash if there is none."""
    if math.isnan(low):
        return NO_VALUE
    return "–".join(_shorten(f"{bound:.{DIGITS}f}") for bound in (low, high))


def _shorten(number: str) -> str:
    """Return a number without the zero before its point, as the paper prints it: .856."""
    return number.replace("0.", ".", 1) if number.lstrip("-").startswith("0.") else number


def _list_lower(names: Sequence[str]) -> str:
    """Return the names of figures of which lower ones are better."""
    return " and ".join(name for name in names if name in LOWER_IS_BETTER)
