"""The tables to print: figures, intervals, all sets side by side, and comparisons."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from class_jax.evaluation.comparison import Comparison, find_equals, have_same_images
from class_jax.evaluation.markup import Bold, Table, to_text
from class_jax.evaluation.protocols import METRICS, PROTOCOLS, Figures
from class_jax.evaluation.published import COLUMNS, find_test_set
from class_jax.evaluation.scoring import SetScores, group_by
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
BOLD_NOTE = "In bold: the best of a set, and what is not distinguishable from it."
INTERVAL_NOTE = "By resampling the images of a set. Intervals that overlap may differ all the same."
OVERVIEW_NOTE = "F and E are adaptive. Published figures are as printed, by the protocol matlab."
COMPARISON_NOTE = (
    "Differences: method less the one it is held against. A method is better or worse if 0 is not "
    "in the interval (paired bootstrap) and p (Wilcoxon signed-rank, by Holm) is below 0.05; else "
    "the two are not distinguishable."
)
FROM_PUBLISHED = " (measured)"  # added to a method that has the name of a published one


def build_tables(scores: Sequence[SetScores], comparisons: Sequence[Comparison]) -> Iterator[Table]:
    """Yield the tables of each protocol."""
    for protocol, rows in group_by(scores, lambda row: row.protocol).items():
        own = [found for found in comparisons if found.protocol == protocol]
        title = f"Protocol {protocol} ({PROTOCOLS[protocol].DESCRIPTION})"
        yield _build_results(title, rows, own)
        if any(row.statistics.replicates and row.total.images > 1 for row in rows):
            cells = [_title(row) | _print_intervals(row) for row in rows]
            yield Table(f"{title}: 95 % intervals", INTERVAL_NOTE, cells)
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


def _build_overview(
    title: str, scores: Sequence[SetScores], comparisons: Sequence[Comparison]
) -> Table:
    """Build a row for each method, measured or published, as the paper's Table 1."""
    by_set = group_by(scores, lambda row: row.set_name)
    columns = [(set_name, heading) for set_name in by_set for heading in COLUMNS.values()]
    rows: dict[str, dict[Any, str]] = {}
    known: set[str] = set()  # methods with published figures
    notes = [OVERVIEW_NOTE]
    for set_name, of_set in by_set.items():
        published, images = find_test_set(set_name) or ({}, None)
        values = {r.method + FROM_PUBLISHED * (r.method in published): _values(r) for r in of_set}
        values |= published
        known |= published.keys()
        best = _find_best(values, set_name, comparisons, digits=PAPER_DIGITS)
        for method, figures in values.items():
            cells = rows.setdefault(method, {"method": method, **dict.fromkeys(columns, NO_VALUE)})
            for name, heading in COLUMNS.items():
                cell = _print(figures[name], PAPER_DIGITS, short=True)
                cells[set_name, heading] = Bold(cell) if method in best[name] else cell
        notes += [
            f"{row.method} on {set_name}: {row.total.images} images, and the set has {images}."
            for row in of_set
            if images not in (None, row.total.images)
        ]
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
        note = f"On {of_set[0].images} images. {COMPARISON_NOTE}"
        yield Table(f"{set_name}, protocol {protocol}", note, rows)


def format_table(scores: Sequence[SetScores]) -> str:
    """Return a plain text table of the figures to four decimals."""
    return to_text([describe(row) | _print_figures(row) for row in scores])


def note_sets(scores: Sequence[SetScores]) -> Iterator[str]:
    """Yield remarks on sets whose scores are not comparable or doubtful, and on guesses."""
    for title, of_set in group_by(scores, lambda row: row.set_name).items():
        first, measured, size = of_set[0], len(of_set[0].per_image), of_set[0].set_size
        if not have_same_images(of_set):
            counts = list_names(f"{row.method}: {len(row.per_image)}" for row in of_set)
            yield f"{title}: methods were measured on different images ({counts})."
        elif measured < size:
            yield f"{title}: measured on the {measured} of {size} images that all methods have."
        if not first.has_salient:
            yield f"{title}: no mask has a salient pixel."
        for row in {row.method: row for row in of_set}.values():
            all_maps = f"{row.total.images} maps of {row.method}"
            mae = f"MAE of all: {row.total.figures()['MAE']:.2f}"
            for guess, count in row.map_guesses.items():
                yield f"{title}: {count} of {all_maps} {guess} ({mae})."


def describe(row: SetScores) -> dict[Any, Any]:
    """Return the first cells of a row of results."""
    return {name: cell(row) for name, cell in LABELS.items()}


def _title(row: SetScores) -> dict[Any, Any]:
    """Return the first cells of a row to print, of a table of one protocol."""
    return {name: cell for name, cell in describe(row).items() if name != "protocol"}


def _values(row: SetScores) -> Figures:
    """Return the figures, NaN if no mask of the set has a salient pixel."""
    return {n: value if row.has_salient else math.nan for n, value in row.total.figures().items()}


def _print_figures(row: SetScores) -> dict[str, str]:
    return {name: _print(value, DIGITS) for name, value in _values(row).items()}


def _print_intervals(row: SetScores) -> dict[str, str]:
    """Return the cells of intervals, a dash for each without one."""
    intervals = row.statistics.intervals() if row.has_salient else {}
    cells = dict.fromkeys(row.total.names, NO_VALUE)
    for name, bounds in intervals.items():
        if not math.isnan(bounds[0]):
            cells[name] = "–".join(_print(bound, DIGITS, short=True) for bound in bounds)
    return cells


def _find_best(
    values: Mapping[str, Figures], set_name: str, comparisons: Iterable[Comparison], *, digits: int
) -> dict[str, set[str]]:
    """Return for each figure the best method, and those that print alike or equal it by test."""
    best: dict[str, set[str]] = {}
    for name in set.intersection(*(set(figures) for figures in values.values())):
        known = {m: of[name] for m, of in values.items() if not math.isnan(of[name])}
        choose = min if METRICS[name].lower_is_better else max
        first = choose(known, key=known.__getitem__, default="")
        pairs = (c for c in comparisons if (c.set, c.measure) == (set_name, name))
        equals = find_equals(pairs, first.removesuffix(FROM_PUBLISHED))
        best[name] = {
            method
            for method, value in known.items()
            if round(value, digits) == round(known[first], digits)
            or method.removesuffix(FROM_PUBLISHED) in equals
        }
    return best


def _print(value: float, digits: int, *, short: bool = False) -> str:
    """Return a number, as .856 if it is short, or a dash if there is none."""
    text = NO_VALUE if math.isnan(value) else f"{value:.{digits}f}"
    return re.sub(r"^(-?)0\.", r"\1.", text) if short else text
