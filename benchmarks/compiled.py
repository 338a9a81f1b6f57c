"""Read the text of a compiled program: operations, exchanges, the compiler's estimates."""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Callable

from benchmarks.profile import OPERAND, names_of, part_of

OPERATION = re.compile(r"^ +(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$", re.MULTILINE)
ARRAY = re.compile(r"\b(pred|[a-z]+(\d+))\[([\d,]*)\](\{[^}]*\})?")
ENDLESS = 2**63 - 1  # what the cost model says where it knows nothing
CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
FAST = "S(1)"  # in the layout of what lies in a TPU's fast memory; other numbers: registers
UNMOVED = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all"}
ENTRY = re.compile(r"^ENTRY .*?^}", re.MULTILINE | re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Operation:
    """An operation of a compiled program."""

    code: str  # "fusion", "all-reduce", …
    part: str  # of the network, with the direction
    result_bytes: int
    cycles: int  # by the compiler's cost model; 0 where it has none


def size_of(shape: str, *, where: Callable[[str], bool] = lambda layout: True) -> int:
    """Return the bytes of the arrays in the text of a shape, without padding.

    `where` tells of a layout whether to count the array.
    """
    return sum(
        math.prod(map(int, filter(None, dims.split(",")))) * max(int(bits or 8), 8) // 8
        for _, bits, dims, layout in ARRAY.findall(shape)
        if where(layout)
    )


def operations(program: str, *, inside: bool = False) -> list[Operation]:
    """Return the operations that run one after another; `inside`: those inside fusions, too."""
    names = names_of(program)
    found = OPERATION.findall(program if inside else _entry_of(program))
    return [
        Operation(
            code,
            " ".join(filter(None, part_of(names.get(name, "")))),
            size_of(shape),
            _cycles_of(rest),
        )
        for name, shape, code, rest in found
    ]


def _entry_of(program: str) -> str:
    """Return the computation whose operations run one after another."""
    return ENTRY.search(program)[0]  # type: ignore[index]


def _cycles_of(definition: str) -> int:
    """Return an operation's estimated cycles; 0 where the cost model has none."""
    found = CYCLES.search(definition)
    cycles = int(found[1]) if found else 0
    return cycles if cycles < ENDLESS else 0


def hbm_bytes(program: str) -> int:
    """Return the bytes that operations read from a TPU's main memory and write to it."""
    entry = OPERATION.findall(_entry_of(program))
    shapes = {name: shape for name, shape, *_ in entry}
    total = 0
    for _, shape, code, rest in entry:
        if code in UNMOVED or code.endswith("-done"):
            continue
        if code == "slice-start":  # its shape holds the whole source, and the part that is moved
            total += size_of(shape, where=lambda layout: FAST in layout)
            continue
        # The shape of a copy's start holds its source.
        operands = [] if code == "copy-start" else OPERAND.findall(rest.partition(")")[0])
        moved = [shape, *(shapes.get(name, "") for name in operands)]
        total += size_of(" ".join(moved), where=lambda layout: "S(" not in layout)
    return total


def cycles_by_part(program: str) -> Counter[str]:
    """Return the estimated cycles of the network's parts, forward and backward."""
    total: Counter[str] = Counter()
    for operation in operations(program):
        total[operation.part] += operation.cycles
    return total


def collectives(program: str) -> dict[str, list[int]]:
    """Return the bytes of every exchange between chips, by its kind."""
    kinds = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
    found: dict[str, list[int]] = {kind: [] for kind in kinds}
    for operation in operations(program, inside=True):
        kind = operation.code.removesuffix("-start")
        if kind in found:
            found[kind].append(operation.result_bytes)
    return found
