"""What methods score, and the record of it from which an interrupted command goes on."""

import contextlib
import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from class_jax.evaluation.protocols import (
    FIGURES,
    MEASUREMENTS,
    PYSOD_VERSION,
    Figures,
    Measurement,
)
from class_jax.files import atomic_write, write_csv

PER_IMAGE_COLUMNS = ("set", "method", "image", "protocol", *FIGURES)
SAVE_EVERY = 30.0  # seconds
# A record of another version would mix two computations in one sum.
MADE_BY = f"2, pysodmetrics {PYSOD_VERSION}"

Outcome = dict[str, Measurement] | str  # by protocol, or why it could not be measured


@dataclasses.dataclass(frozen=True, eq=False)
class SetScores:
    """What a method scores on a set by a protocol."""

    set_name: str
    method: str
    protocol: str
    total: Measurement  # over all images that could be read
    per_image: dict[str, Figures]  # by name, in the set's order
    failed: dict[str, str]  # name → why it could not be measured


class Entry:
    """A method's images of a set that were scored so far, by one protocol or several."""

    def __init__(self, set_name: str, method: str, protocols: Sequence[str]) -> None:
        """Nothing is scored yet."""
        self.set_name, self.method = set_name, method
        self._rows: list[tuple[str, dict[str, Figures] | str]] = []
        totals = {protocol: MEASUREMENTS[protocol].nothing() for protocol in protocols}
        # How many rows count, their sums, and a digest of their stamps: changed all at once, so
        # that Ctrl-C finds an image either in all of them or in none.
        self._state = (0, totals, hashlib.sha256())

    def add(self, name: str, stamp: str, outcome: Outcome) -> None:
        """The next image of the set."""
        count, totals, stamps = self._state
        del self._rows[count:]
        stamps = stamps.copy()
        stamps.update(os.fsencode(stamp))
        if isinstance(outcome, str):
            self._rows.append((name, outcome))
        else:
            figures = {protocol: each.figures() for protocol, each in outcome.items()}
            totals = {protocol: total + outcome[protocol] for protocol, total in totals.items()}
            self._rows.append((name, figures))
        self._state = (count + 1, totals, stamps)

    @property
    def rows(self) -> list[tuple[str, dict[str, Figures] | str]]:
        """Name, and figures by protocol or the reason why there are none, in the set's order."""
        return self._rows[: self._state[0]]

    @property
    def failed(self) -> dict[str, str]:
        """Name → why an image could not be measured."""
        return {name: reason for name, reason in self.rows if isinstance(reason, str)}

    def scores(self) -> list[SetScores]:
        """The scores, one for each protocol."""
        rows, failed = self.rows, self.failed
        return [
            SetScores(
                self.set_name,
                self.method,
                protocol,
                total,
                {name: row[protocol] for name, row in rows if not isinstance(row, str)},
                failed,
            )
            for protocol, total in self._state[1].items()
        ]

    def to_json(self) -> dict[str, Any]:
        """For a file."""
        count, totals, stamps = self._state
        return {
            "totals": {protocol: total.numbers() for protocol, total in totals.items()},
            "rows": [
                (name, row if isinstance(row, str) else [list(f.values()) for f in row.values()])
                for name, row in self._rows[:count]
            ],
            "stamps": stamps.hexdigest(),
        }

    def restore(self, saved: dict[str, Any], stamps: Sequence[str]) -> None:
        """Take up what `to_json` gave, if it is of the first of these images by these protocols."""
        protocols = list(self._state[1])
        count = len(saved["rows"])
        digest = hashlib.sha256(os.fsencode("".join(stamps[:count])))
        same_images = count <= len(stamps) and digest.hexdigest() == saved["stamps"]
        if list(saved["totals"]) != protocols or not same_images:
            return
        self._rows = [
            (
                name,
                row
                if isinstance(row, str)
                else {
                    protocol: dict(zip(FIGURES, values, strict=True))
                    for protocol, values in zip(protocols, row, strict=True)
                },
            )
            for name, row in saved["rows"]
        ]
        totals = {
            protocol: MEASUREMENTS[protocol].from_numbers(numbers)
            for protocol, numbers in saved["totals"].items()
        }
        self._state = (count, totals, digest)


class Ledger:
    """per_image.csv of a command, and what the same command goes on from if it is interrupted.

    Used as a context: what was scored is saved whatever ends it.
    """

    def __init__(self, folder: Path, protocols: Sequence[str]) -> None:
        """`folder`: where per_image.csv goes; what an interrupted command left is read."""
        self.entries: list[Entry] = []
        self._protocols = protocols
        self._table = folder / "per_image.csv"
        self._record = folder / ".per_image.json"
        self._left = self._read()
        self._saved_at = time.monotonic()

    def __enter__(self) -> Self:
        """The ledger itself; UserError where nothing could be written, before all the work."""
        with atomic_write(self._record) as partial:
            partial.write_text(json.dumps({"made_by": MADE_BY, "entries": self._left}))
        return self

    def __exit__(self, *exception: object) -> None:
        """Save; an interrupted command's record too."""
        if exception[0] is not None:
            self.save()
        elif self._scored():
            self._write_table()
        if exception[0] is None or not self._scored():
            self._record.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self._record.parent.rmdir()  # where nothing was written

    def entry(self, set_name: str, method: str, stamps: Sequence[str]) -> Entry:
        """The entry of a method on a set, which may hold the first of its images already.

        Args:
          set_name: its name.
          method: its name.
          stamps: of all its images, in order; they change where a map or a mask does.
        """
        entry = Entry(set_name, method, self._protocols)
        saved = self._left.pop(_key(set_name, method), None)
        if saved:
            entry.restore(saved, stamps)
        self.entries.append(entry)
        return entry

    def save_now_and_then(self) -> None:
        """Save if that was long ago, so that a killed process loses little."""
        if time.monotonic() - self._saved_at > SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Write per_image.csv and the record; each whole or not at all."""
        if not self._scored():
            return
        self._write_table()
        # What has not been reached yet stays for the time it is.
        entries = {_key(each.set_name, each.method): each.to_json() for each in self.entries}
        with atomic_write(self._record) as partial:
            record = {"made_by": MADE_BY, "entries": {**self._left, **entries}}
            partial.write_text(json.dumps(record))
        self._saved_at = time.monotonic()

    def _write_table(self) -> None:
        rows = (row for entry in self.entries for row in _rows(entry))
        write_csv(self._table, PER_IMAGE_COLUMNS, rows)

    def _scored(self) -> bool:
        """Whether there is anything to keep."""
        return any(len(entry.rows) > len(entry.failed) for entry in self.entries)

    def _read(self) -> dict[str, Any]:
        try:
            record = json.loads(self._record.read_text())
            return record["entries"] if record["made_by"] == MADE_BY else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}  # none, or one that is of no use


def _key(set_name: str, method: str) -> str:
    return json.dumps([set_name, method])


def _rows(entry: Entry) -> Iterable[tuple[str, ...]]:
    for row in entry.scores():
        for name, figures in row.per_image.items():
            numbers = (repr(value) for value in figures.values())
            yield (entry.set_name, entry.method, name, row.protocol, *numbers)
