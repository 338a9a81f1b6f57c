"""What methods score, and the record of it from which an interrupted command goes on."""

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from class_jax.evaluation.files import write_csv, written_whole
from class_jax.evaluation.protocols import (
    FIGURES,
    MEASUREMENTS,
    PYSOD_VERSION,
    Figures,
    Measurement,
)

PER_IMAGE_COLUMNS = ("set", "method", "image", "protocol", *FIGURES)
SAVE_EVERY = 30.0  # seconds
# A record of another version would mix two computations in one sum.
MADE_BY = f"1, pysodmetrics {PYSOD_VERSION}"

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


@dataclasses.dataclass(eq=False)
class Entry:
    """A method's images of a set that were scored so far, by one protocol or several."""

    set_name: str
    method: str
    totals: dict[str, Measurement]
    per_image: dict[str, dict[str, Figures]]  # by protocol, then by name
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    stamps: Any = dataclasses.field(default_factory=hashlib.sha256)  # of all images so far

    @classmethod
    def empty(cls, set_name: str, method: str, protocols: Sequence[str]) -> Self:
        """Nothing is scored yet."""
        totals = {protocol: MEASUREMENTS[protocol].nothing() for protocol in protocols}
        return cls(set_name, method, totals, {protocol: {} for protocol in protocols})

    def add(self, name: str, stamp: str, outcome: Outcome) -> None:
        """The next image of the set."""
        self.stamps.update(os.fsencode(stamp))
        if isinstance(outcome, str):
            self.failed[name] = outcome
            return
        for protocol, measurement in outcome.items():
            self.per_image[protocol][name] = measurement.figures()
            self.totals[protocol] += measurement

    def count(self) -> int:
        """How many images were looked at."""
        return len(self.failed) + len(next(iter(self.per_image.values())))

    def scores(self) -> list[SetScores]:
        """The scores, one for each protocol."""
        return [
            SetScores(self.set_name, self.method, protocol, total, images, self.failed)
            for (protocol, total), images in zip(
                self.totals.items(), self.per_image.values(), strict=True
            )
        ]

    def to_json(self) -> dict[str, Any]:
        """For a file."""
        return {
            "totals": {name: total.numbers() for name, total in self.totals.items()},
            "per_image": {
                protocol: {name: list(figures.values()) for name, figures in images.items()}
                for protocol, images in self.per_image.items()
            },
            "failed": self.failed,
            "stamps": self.stamps.hexdigest(),
        }

    def restore(self, saved: dict[str, Any], stamps: Sequence[str]) -> bool:
        """Take up what `to_json` gave if it is of the first images of these; whether it was."""
        if list(saved["totals"]) != list(self.totals):
            return False
        per_image = {
            protocol: {
                name: dict(zip(FIGURES, values, strict=True)) for name, values in images.items()
            }
            for protocol, images in saved["per_image"].items()
        }
        count = len(saved["failed"]) + len(next(iter(per_image.values())))
        digest = hashlib.sha256(os.fsencode("".join(stamps[:count])))
        if count > len(stamps) or digest.hexdigest() != saved["stamps"]:
            return False
        self.per_image, self.failed, self.stamps = per_image, saved["failed"], digest
        for protocol, numbers in saved["totals"].items():
            self.totals[protocol] = MEASUREMENTS[protocol].from_numbers(numbers)
        return True


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
        with written_whole(self._record) as partial:
            partial.write_text(json.dumps({"made_by": MADE_BY, "entries": self._left}))
        return self

    def __exit__(self, *exception: object) -> None:
        """Save; an interrupted command's record too."""
        self.save()
        if exception[0] is None:
            self._record.unlink(missing_ok=True)

    def entry(self, set_name: str, method: str, stamps: Sequence[str]) -> Entry:
        """The entry of a method on a set, which may hold the first of its images already.

        Args:
          set_name: its name.
          method: its name.
          stamps: of all its images, in order; they change where a map or a mask does.
        """
        entry = Entry.empty(set_name, method, self._protocols)
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
        rows = [row for entry in self.entries for row in _rows(entry)]
        if not rows:
            return
        write_csv(self._table, PER_IMAGE_COLUMNS, rows)
        # What has not been reached yet stays for the time it is.
        entries = {_key(each.set_name, each.method): each.to_json() for each in self.entries}
        with written_whole(self._record) as partial:
            record = {"made_by": MADE_BY, "entries": {**self._left, **entries}}
            partial.write_text(json.dumps(record))
        self._saved_at = time.monotonic()

    def _read(self) -> dict[str, Any]:
        try:
            record = json.loads(self._record.read_text())
            return record["entries"] if record["made_by"] == MADE_BY else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}  # none, or one that is of no use


def _key(set_name: str, method: str) -> str:
    return json.dumps([set_name, method])


def _rows(entry: Entry) -> Iterable[tuple[str, ...]]:
    for protocol, images in entry.per_image.items():
        for name, figures in images.items():
            numbers = (repr(value) for value in figures.values())
            yield (entry.set_name, entry.method, name, protocol, *numbers)
