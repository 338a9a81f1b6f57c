"""The tables to print: figures, intervals, all sets side by side, and comparisons."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from class_jax.evaluation.comparison import Comparison, find_equals, have_same_images
from class_jax.evaluation.protocols import METRICS, PROTOCOLS, PUBLISHED, names_of
from class_jax.evaluation.published import COLUMNS, find_test_set, get_title
from class_jax.evaluation.scoring import SetScores
from class_jax.evaluation.statistics import NO_INTERVAL, Interval
from class_jax.evaluation.table import Bold, Column, Table
from class_jax.text import list_names

# The columns of results before the figures, in the tables of all kinds.
LABELS: dict[str, Callable[[SetScores], str]] = {
    "set": lambda row: row.set_name,
    "method": lambda row: row.method,
    "images": lambda row: str(row.total.images),
    "protocol": lambda row: row.protocol,
}
NO_VALUE = "–"
DIGITS, PAPER_DIGITS = 4, 3
PAPER_NAMES = {"adpF": "F", "adpE": "E"}  # the headings of the paper's Table 1
BOLD_NOTE = "In bold: the best of a set, and what is not distinguishable from it."
FROM_PUBLISHED = " (measured)"  # added to a method that is called as a published row


def describe(row: SetScores) -> dict[Column, str]:
    """Return the first cells of a row of results."""
    return {name: cell(row) for name, cell in LABELS.items()}


def print_figures(row: SetScores, names: Iterable[str]) -> dict[Column, str]:
    """Return the cells of figures, dashes if no mask of the set has a salient pixel."""
    values = _values(row)
    return {name: _print(values[name], DIGITS) for name in names}


def split_names(names: Sequence[str]) -> list[Sequence[str]]:
    """Return the names of the published figures, and those of further ones if there are any."""
    published = names_of(PUBLISHED)
    parts = ([n for n in names if n in published], [n for n in names if n not in published])
    return [part for part in parts if part]


def build_tables(scores: Sequence[SetScores], comparisons: Sequence[Comparison]) -> Iterator[Table]:
    """Yield the tables of each protocol."""
    for protocol in dict.fromkeys(row.protocol for row in scores):
        rows = [row for row in scores if row.protocol == protocol]
        own = [found for found in comparisons if found.protocol == protocol]
        title = f"Protocol {protocol} ({PROTOCOLS[protocol].DESCRIPTION})"
        yield _build_results(title, rows, own)
        if any(row.statistics and row.total.images > 1 for row in rows):
            yield from _build_intervals(title, rows)
        sets = {row.set_name for row in rows}
        if len(sets) > 1 or any(map(find_test_set, sets)):
            yield _build_overview(title, rows, own)


def build_comparisons(comparisons: Sequence[Comparison]) -> Iterator[Table]:
    """Yield, for each set and protocol, the verdicts and the differences that they rest on."""
    for set_name, protocol in dict.fromkeys(found[:2] for found in comparisons):
        of_set = [found for found in comparisons if found[:2] == (set_name, protocol)]
        title = f"{get_title(set_name)}, protocol {protocol}"
        yield _build_verdicts(title, of_set)
        yield _build_differences(title, of_set)


def note_sets(scores: Sequence[SetScores]) -> Iterator[str]:
    """Yield remarks on sets whose scores are not comparable or say nothing."""
    for set_name in dict.fromkeys(row.set_name for row in scores):
        of_set = [row for row in scores if row.set_name == set_name]
        title, measured = get_title(set_name), len(of_set[0].per_image)
        if not have_same_images(of_set):
            counts = list_names(f"{row.method}: {len(row.per_image)}" for row in of_set)
            yield (
                f"{title}: the methods were measured on different images ({counts}), and only "
                "those of the same images are compared."
            )
        elif measured < of_set[0].set_size:
            yield (
                f"{title}: measured on the {measured} of {of_set[0].set_size} images that all "
                "methods have."
            )
        if not of_set[0].has_salient:
            yield f"{title}: no mask has a salient pixel."
        for row in {row.method: row for row in of_set}.values():
            for doubt in row.doubts():
                yield f"{title}: {doubt}."


def _print_label(row: SetScores) -> dict[Column, str]:
    """Return the first cells of a row to print, of a table of one protocol."""
    label = describe(row) | {"set": get_title(row.set_name)}
    del label["protocol"]
    return label


def _values(row: SetScores) -> dict[str, float | None]:
    """Return the figures, or None for each if no mask of the set has a salient pixel."""
    return {name: value if row.has_salient else None for name, value in row.total.figures().items()}


def _build_results(
    title: str, scores: Sequence[SetScores], comparisons: Sequence[Comparison]
) -> Table:
    """Build a row for each set and method, the best methods of a set in bold."""
    names = scores[0].total.names
    rows = []
    for set_name in dict.fromkeys(row.set_name for row in scores):
        of_set = [row for row in scores if row.set_name == set_name]
        best: dict[str, set[str]] = {}
        if len(of_set) > 1 and have_same_images(of_set):
            values = {row.method: _values(row) for row in of_set}
            best = _find_best(values, set_name, comparisons, digits=DIGITS)
        for row in of_set:
            figures = print_figures(row, names)
            marked = _print_label(row)
            marked |= {n: _mark(figures[n], row.method, best.get(n)) for n in names}
            rows.append(marked)
    lower = " and ".join(name for name in names if METRICS[name].lower_is_better)
    notes = [f"Higher is better, but for {lower}. {BOLD_NOTE}", *note_sets(scores)]
    return Table(title, " ".join(notes), rows)


def _build_intervals(title: str, scores: Sequence[SetScores]) -> Iterator[Table]:
    """Yield tables of 95 % intervals, a row for each set and method, nine figures wide."""
    note = "By resampling the images of a set. Intervals that overlap may differ all the same."
    for names in split_names(scores[0].total.names):
        rows = []
        for row in scores:
            found = row.intervals() if row.has_salient else {}
            cells = _print_label(row)
            cells |= {name: _print_interval(found.get(name, NO_INTERVAL)) for name in names}
            rows.append(cells)
        yield Table(f"{title}: 95 % intervals", note, rows)


def _build_overview(
    title: str, scores: Sequence[SetScores], comparisons: Sequence[Comparison]
) -> Table:
    """Build a row for each method, measured or published, as the paper's Table 1."""
    sets = {row.set_name: find_test_set(row.set_name) for row in scores}
    rows: dict[str, dict[tuple[str, str], str]] = {}
    notes = ["F and E are adaptive."]
    for set_name, test_set in sets.items():
        published = {} if test_set is None else test_set.scores
        values: dict[str, Mapping[str, float | None]] = {}
        for row in (row for row in scores if row.set_name == set_name):
            values[row.method + FROM_PUBLISHED * (row.method in published)] = _values(row)
        values |= {m: dict(zip(COLUMNS, of_m, strict=True)) for m, of_m in published.items()}
        best = _find_best(values, set_name, comparisons, digits=PAPER_DIGITS)
        for method, figures in values.items():
            cells = rows.setdefault(method, {})
            for name in COLUMNS:
                cell = _shorten(_print(figures[name], PAPER_DIGITS))
                cells[set_name, name] = _mark(cell, method, best[name])
    known = {name for test_set in sets.values() if test_set for name in test_set.scores}
    if known:
        notes.append("Published figures are as printed, by the protocol matlab.")
    for row in scores:
        if (test_set := sets[row.set_name]) and row.total.images != test_set.images:
            found = f"{row.method} on {test_set.title}: {row.total.images} images"
            notes.append(f"{found}, and the set has {test_set.images}.")
    titles = {name: get_title(name) for name in sets}
    if len(set(titles.values())) < len(sets):  # two spellings of one set
        titles = {name: name for name in sets}
    headings = {(s, n): (titles[s], PAPER_NAMES.get(n, n)) for s in sets for n in COLUMNS}
    methods = sorted(rows, key=lambda method: method in known)  # measured ones first
    return Table(
        f"{title}: {'beside published figures' if known else 'all sets'}",
        " ".join(notes),
        [
            {"method": m, **{h: rows[m].get(key, NO_VALUE) for key, h in headings.items()}}
            for m in methods
        ],
    )


def _build_verdicts(title: str, comparisons: Sequence[Comparison]) -> Table:
    """Build a row for each pair of methods, with a verdict for each figure."""
    rows: dict[tuple[str, str], dict[Column, str]] = {}
    for found in comparisons:
        row: dict[Column, str] = {"method": found.method, "against": found.other}
        rows.setdefault((found.method, found.other), row)[found.measure] = found.verdict
    note = f"On {comparisons[0].images} images."
    return Table(f"{title}: verdicts", note, list(rows.values()))


def _build_differences(title: str, comparisons: Sequence[Comparison]) -> Table:
    """Build a row for each figure and pair, with the difference and its uncertainty."""
    rows: list[dict[Column, str]] = [
        {
            "measure": found.measure,
            "method": found.method,
            "against": found.other,
            "difference": f"{found.difference:+.{DIGITS}f}",
            "95 % interval": " to ".join(f"{bound:+.{DIGITS}f}" for bound in found.interval),
            "p": f"{found.p_holm:.3f}" if not found.p_holm < 0.001 else "<0.001",
            "verdict": found.verdict,
        }
        for found in comparisons
    ]
    note = "Differences are of the method less the one it is held against; p by Wilcoxon and Holm."
    return Table(f"{title}: differences", note, rows)


def _find_best(
    values: Mapping[str, Mapping[str, float | None]],
    set_name: str,
    comparisons: Sequence[Comparison],
    *,
    digits: int,
) -> dict[str, set[str]]:
    """Return for each figure the best method, and those that print alike or equal it by test."""
    best: dict[str, set[str]] = {}
    for name in set.intersection(*(set(figures) for figures in values.values())):
        of_name = {method: figures[name] for method, figures in values.items()}
        known = {m: v for m, v in of_name.items() if v is not None and not math.isnan(v)}
        choose = min if METRICS[name].lower_is_better else max
        if not known:
            best[name] = set()
            continue
        first = choose(known, key=known.__getitem__)
        own = [
            found for found in comparisons if (found.set_name, found.measure) == (set_name, name)
        ]
        equals = find_equals(own, first.removesuffix(FROM_PUBLISHED))
        best[name] = {
            method
            for method, value in known.items()
            if round(value, digits) == round(known[first], digits)
            or method.removesuffix(FROM_PUBLISHED) in equals
        }
    return best


def _mark(cell: str, method: str, best: set[str] | None) -> str:
    return Bold(cell) if best and method in best else cell


def _print(value: float | None, digits: int) -> str:
    """Return a number, or a dash if there is none."""
    return NO_VALUE if value is None else f"{value:.{digits}f}"


def _print_interval(interval: Interval) -> str:
    """Return an interval, or a dash if there is none."""
    if math.isnan(interval[0]):
        return NO_VALUE
    return "–".join(_shorten(_print(bound, DIGITS)) for bound in interval)


def _shorten(number: str) -> str:
    """Return a number without the zero before its point, as the paper prints it: .856."""
    return number.replace("0.", ".", 1) if number.lstrip("-").startswith("0.") else number
