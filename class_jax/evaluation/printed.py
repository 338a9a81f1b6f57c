"""The tables to print: figures, intervals, all sets side by side, and comparisons."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from class_jax.evaluation.comparison import Comparison, find_equals, have_same_images
from class_jax.evaluation.markup import Bold, Table, to_text
from class_jax.evaluation.protocols import METRICS, PROTOCOLS
from class_jax.evaluation.published import COLUMNS, find_test_set, get_title
from class_jax.evaluation.scoring import SetScores, group_by
from class_jax.evaluation.statistics import Interval
from class_jax.text import list_names

# The columns of results before the figures, in the tables of all kinds.
LABELS: dict[str, Callable[[SetScores], object]] = {
    "set": lambda row: row.set_name,
    "method": lambda row: row.method,
    "images": lambda row: row.total.images,
    "protocol": lambda row: row.protocol,
}
NO_VALUE = "–"
DIGITS, PAPER_DIGITS = 4, 3
PAPER_NAMES = {"adpF": "F", "adpE": "E"}  # the headings of the paper's Table 1
BOLD_NOTE = "In bold: the best of a set, and what is not distinguishable from it."
FROM_PUBLISHED = " (measured)"  # added to a method that has the name of a published one


def build_tables(scores: Sequence[SetScores], comparisons: Sequence[Comparison]) -> Iterator[Table]:
    """Yield the tables of each protocol."""
    for protocol, rows in group_by(scores, lambda row: row.protocol).items():
        own = [found for found in comparisons if found.protocol == protocol]
        title = f"Protocol {protocol} ({PROTOCOLS[protocol].DESCRIPTION})"
        yield _build_results(title, rows, own)
        if any(row.statistics.replicates and row.total.images > 1 for row in rows):
            yield _build_intervals(title, rows)
        sets = {row.set_name for row in rows}
        if len(sets) > 1 or any(map(find_test_set, sets)):
            yield _build_overview(title, rows, own)


def _build_results(
    title: str, scores: Sequence[SetScores], comparisons: Sequence[Comparison]
) -> Table:
    """Build a row for each set and method, the best methods of a set in bold."""
    rows = []
    for set_name, of_set in group_by(scores, lambda row: row.set_name).items():
        best: dict[str, set[str]] = {}
        if len(of_set) > 1 and have_same_images(of_set):
            values = {row.method: _values(row) for row in of_set}
            best = _find_best(values, set_name, comparisons, digits=DIGITS)
        for row in of_set:
            cells = _print_figures(row)
            cells |= {n: Bold(cells[n]) for n, methods in best.items() if row.method in methods}
            rows.append(_title(row) | cells)
    lower = " and ".join(n for n in scores[0].total.names if METRICS[n].lower_is_better)
    notes = [f"Higher is better, but for {lower}. {BOLD_NOTE}", *note_sets(scores)]
    return Table(title, " ".join(notes), rows)


def _build_intervals(title: str, scores: Sequence[SetScores]) -> Table:
    """Build the 95 % intervals, a row for each set and method."""
    rows = []
    for row in scores:
        intervals = row.statistics.intervals().items()
        rows.append(_title(row) | {n: _print_interval(row, interval) for n, interval in intervals})
    note = "By resampling the images of a set. Intervals that overlap may differ all the same."
    return Table(f"{title}: 95 % intervals", note, rows)


def _build_overview(
    title: str, scores: Sequence[SetScores], comparisons: Sequence[Comparison]
) -> Table:
    """Build a row for each method, measured or published, as the paper's Table 1."""
    by_set = group_by(scores, lambda row: row.set_name)
    titles = {name: get_title(name) for name in by_set}
    if len(set(titles.values())) < len(titles):  # two spellings of one set
        titles = {name: name for name in by_set}
    columns = [(t, PAPER_NAMES.get(n, n)) for t in titles.values() for n in COLUMNS]
    rows: dict[str, dict[Any, str]] = {}
    known: set[str] = set()  # methods with published figures
    notes = ["F and E are adaptive."]
    for set_name, of_set in by_set.items():
        test_set = find_test_set(set_name)
        published = test_set.scores if test_set else {}
        values = {r.method + FROM_PUBLISHED * (r.method in published): _values(r) for r in of_set}
        values |= published
        best = _find_best(values, set_name, comparisons, digits=PAPER_DIGITS)
        for method, figures in values.items():
            cells = rows.setdefault(method, {"method": method, **dict.fromkeys(columns, NO_VALUE)})
            for name in COLUMNS:
                cell = _shorten(_print(figures[name], PAPER_DIGITS))
                cell = Bold(cell) if method in best[name] else cell
                cells[titles[set_name], PAPER_NAMES.get(name, name)] = cell
        known |= published.keys()
        notes += [
            f"{row.method} on {test_set.title}: {row.total.images} images, and the set has "
            f"{test_set.images}."
            for row in of_set
            if test_set and row.total.images != test_set.images
        ]
    if known:
        notes.insert(1, "Published figures are as printed, by the protocol matlab.")
    title = f"{title}: {'beside published figures' if known else 'all sets'}"
    measured_first = sorted(rows.values(), key=lambda row: row["method"] in known)
    return Table(title, " ".join(notes), measured_first)


def build_comparisons(comparisons: Sequence[Comparison]) -> Iterator[Table]:
    """Yield a table of each set and protocol: the verdicts, and what they rest on."""
    for (set_name, protocol), of_set in group_by(comparisons, lambda c: c[:2]).items():
        rows = [
            {
                **{"measure": c.measure, "method": c.method, "against": c.against},
                "difference": f"{c.difference:+.{DIGITS}f}",
                "95 % interval": f"{c.low:+.{DIGITS}f} to {c.high:+.{DIGITS}f}",
                "p": "<0.001" if c.p_holm < 0.001 else f"{c.p_holm:.3f}",
                "verdict": c.verdict,
            }
            for c in of_set
        ]
        note = (
            f"On {of_set[0].images} images. Differences are of the method less the one it is held "
            "against; p by Wilcoxon and Holm."
        )
        yield Table(f"{get_title(set_name)}, protocol {protocol}", note, rows)


def format_table(scores: Sequence[SetScores]) -> str:
    """Return a plain text table of the figures to four decimals."""
    return to_text([describe(row) | _print_figures(row) for row in scores])


def note_sets(scores: Sequence[SetScores]) -> Iterator[str]:
    """Yield remarks on sets whose scores are not comparable or say nothing."""
    for set_name, of_set in group_by(scores, lambda row: row.set_name).items():
        title, first = get_title(set_name), of_set[0]
        measured = len(first.per_image)
        if not have_same_images(of_set):
            counts = list_names(f"{row.method}: {len(row.per_image)}" for row in of_set)
            yield (
                f"{title}: the methods were measured on different images ({counts}), and only "
                "those of the same images are compared."
            )
        elif measured < first.set_size:
            yield (
                f"{title}: measured on the {measured} of {first.set_size} images that all methods "
                "have."
            )
        if not first.has_salient:
            yield f"{title}: no mask has a salient pixel."
        for row in {row.method: row for row in of_set}.values():
            for doubt in row.doubts():
                yield f"{title}: {doubt}."


def describe(row: SetScores) -> dict[Any, Any]:
    """Return the first cells of a row of results."""
    return {name: cell(row) for name, cell in LABELS.items()}


def _title(row: SetScores) -> dict[Any, Any]:
    """Return the first cells of a row to print, of a table of one protocol."""
    cells = describe(row) | {"set": get_title(row.set_name)}
    del cells["protocol"]
    return cells


def _values(row: SetScores) -> dict[str, float | None]:
    """Return the figures, or None for each if no mask of the set has a salient pixel."""
    return {name: value if row.has_salient else None for name, value in row.total.figures().items()}


def _print_figures(row: SetScores) -> dict[str, str]:
    """Return the cells of figures, dashes if no mask of the set has a salient pixel."""
    return {name: _print(value, DIGITS) for name, value in _values(row).items()}


def _find_best(
    values: Mapping[str, Mapping[str, float | None]],
    set_name: str,
    comparisons: Iterable[Comparison],
    *,
    digits: int,
) -> dict[str, set[str]]:
    """Return for each figure the best method, and those that print alike or equal it by test."""
    of_set = group_by((c for c in comparisons if c.set == set_name), lambda c: c.measure)
    best: dict[str, set[str]] = {}
    for name in set.intersection(*(set(figures) for figures in values.values())):
        found = ((method, figures[name]) for method, figures in values.items())
        known = {m: v for m, v in found if v is not None and not math.isnan(v)}
        choose = min if METRICS[name].lower_is_better else max
        first = choose(known, key=known.__getitem__, default="")
        equals = find_equals(of_set.get(name, ()), first.removesuffix(FROM_PUBLISHED))
        best[name] = {
            method
            for method, value in known.items()
            if round(value, digits) == round(known[first], digits)
            or method.removesuffix(FROM_PUBLISHED) in equals
        }
    return best


def _print(value: float | None, digits: int) -> str:
    """Return a number, or a dash if there is none."""
    return NO_VALUE if value is None else f"{value:.{digits}f}"


def _print_interval(row: SetScores, interval: Interval) -> str:
    """Return an interval, or a dash if there is none."""
    if math.isnan(interval[0]) or not row.has_salient:
        return NO_VALUE
    return "–".join(_shorten(_print(bound, DIGITS)) for bound in interval)


def _shorten(number: str) -> str:
    """Return a number without the zero before its point, as the paper prints it: .856."""
    return re.sub(r"^(-?)0\.", r"\1.", number)
