"""What eval and score leave behind: tables, curves, examples, and words for people."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

from class_jax.evaluation.curves import write_curves
from class_jax.evaluation.examples import Show, write_examples
from class_jax.evaluation.pairing import listed
from class_jax.evaluation.protocols import PROTOCOLS
from class_jax.evaluation.report import format_table, write_results_csv
from class_jax.evaluation.scores import Entry
from class_jax.evaluation.tables import write_tables


def protocols_of(flag: str) -> tuple[str, ...]:
    """The protocols that --protocol asks for."""
    return PROTOCOLS if flag == "both" else (flag,)


def write_results(folder: Path, entries: Sequence[Entry], shown: Sequence[Show]) -> None:
    """Write all tables and figures but per_image.csv, and print the table.

    Args:
      folder: where they go.
      entries: what was scored.
      shown: for each entry, what gives the pictures of an image by its name.
    """
    scores = [row for entry in entries for row in entry.scores()]
    write_results_csv(folder / "results.csv", scores)
    write_tables(folder, scores)
    write_curves(folder, scores)
    write_examples(folder / "examples.png", [entry.scores()[0] for entry in entries], shown)
    for row in scores:
        undefined = [image for image, figures in row.per_image.items() if math.isnan(figures["S"])]
        if undefined:
            print(
                f"note: PySODMetrics gives no S for {listed(undefined)}, whose masks lie in the "
                f"last row or column, and so none for {row.set_name} by {row.protocol}",
                file=sys.stderr,
            )
    print(format_table(scores))


def finish(problems: Sequence[str]) -> int:
    """Name what could not be done; gives the exit status."""
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0
