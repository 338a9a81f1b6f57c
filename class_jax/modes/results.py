"""What eval and score leave behind: tables, curves, examples, and words for people."""

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from class_jax.errors import UserError
from class_jax.evaluation.curves import write_curves
from class_jax.evaluation.examples import Show, write_examples
from class_jax.evaluation.protocols import PROTOCOLS
from class_jax.evaluation.report import format_table, write_results_csv
from class_jax.evaluation.scores import Entry, Ledger
from class_jax.evaluation.scoring import Scorer
from class_jax.evaluation.tables import write_tables
from class_jax.text import list_names

# Scores what it stands for; its own problems go to the list.
Job = Callable[[Scorer, list[str]], tuple[Entry, Show]]


def score_all(folder: Path, protocol: str, jobs: Iterable[Job]) -> int:
    """Do the jobs, write all tables and figures, and name what could not be done.

    Args:
      folder: where they go.
      protocol: "pysod", "matlab" or "both".
      jobs: each scores the maps of a method on a set.

    Returns:
      The exit status: 0, or 1 where a job or an image could not be done.

    Raises:
      UserError: nothing could be done.
    """
    protocols = PROTOCOLS if protocol == "both" else (protocol,)
    entries: list[Entry] = []
    shown: list[Show] = []
    problems: list[str] = []
    with Ledger(folder, protocols) as ledger, Scorer(protocols, ledger) as scorer:
        for job in jobs:
            try:
                entry, show = job(scorer, problems)
            except UserError as error:
                problems.append(str(error))
                continue
            entries.append(entry)
            shown.append(show)
            problems += entry.failed.values()
        if not entries:
            raise UserError(" ".join(problems))
        _write(folder, entries, shown)
    print(f"tables and figures are in {folder}", file=sys.stderr)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _write(folder: Path, entries: Sequence[Entry], shown: Sequence[Show]) -> None:
    """All files but per_image.csv, which the ledger writes, and the table on the terminal."""
    by_entry = [entry.scores() for entry in entries]
    scores = [row for rows in by_entry for row in rows]
    write_results_csv(folder / "results.csv", scores)
    write_tables(folder, scores)
    write_curves(folder, scores)
    write_examples(folder / "examples.png", [rows[0] for rows in by_entry], shown)
    for row in scores:
        undefined = [image for image, figures in row.per_image.items() if math.isnan(figures["S"])]
        if undefined:
            print(
                f"note: PySODMetrics gives no S for {list_names(undefined)}, whose masks lie in "
                f"the last row or column, and so none for {row.set_name} by {row.protocol}",
                file=sys.stderr,
            )
    print(format_table(scores))
