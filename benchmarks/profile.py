"""Where the time of a training step goes, by the parts of the architecture.

    python -m benchmarks.profile

Some steps of configs/r50.py are traced by `jax.profiler`; the times of operations are summed by the
model's scopes. About two minutes on two cores. The trace itself, for XProf or
Perfetto, is written where `--trace FOLDER` says.
"""

import argparse
import os
import re
import tempfile
from collections import Counter
from pathlib import Path

import jax

from benchmarks.ours import Ours, random_batch
from benchmarks.record import Row, device, record
from class_jax.command.process import tune_allocator

STEPS = 2
# The innermost scope that is found in an operation's name decides.
PARTS = (
    *("position_attention", "channel_attention", "fusion", "heads", "bridges"),
    *("stem", "layer1", "layer2", "layer3", "layer4"),
    *("pixel_loss", "region_loss", "object_loss", "loss", "update"),
)
COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) [^\n]*{\n(.*?)^}", re.MULTILINE | re.DOTALL)
OPERATION = re.compile(r"^ +(?:ROOT )?%?([\w.\-]+) = ([^\n]*)", re.MULTILINE)
NAME = re.compile(r'op_name="([^"]*)"')
OPERAND = re.compile(r"%([\w.\-]+)")
CALLED = re.compile(r"calls=%?([\w.\-]+)")


def part_of(name: str) -> tuple[str, str]:
    """Return the part of the network and the direction of an operation by its name."""
    part = next((scope for scope in PARTS if re.search(rf"\b{scope}\b", name)), "other")
    if part in ("update", "other"):
        return part, ""
    return part, "backward" if "transpose(" in name else "forward"


def names_of(program: str) -> dict[str, str]:
    """Return the name, with the model's scopes, of every operation of a compiled program.

    What the compiler put together without a name has that of the last operation inside, or else of
    an operand: of the backward pass if one is, as the gradient of a kernel has operands of both.
    """
    bodies = dict(COMPUTATION.findall(program))
    definitions = dict(pair for body in bodies.values() for pair in OPERATION.findall(body))
    names: dict[str, str] = {}
    for operation, definition in definitions.items():
        called = CALLED.search(definition)
        inside = NAME.findall(bodies.get(called[1], "")) if called else []
        own = NAME.search(definition)
        names[operation] = own[1] if own else next(reversed(inside), "")
    for operation, definition in definitions.items():  # an operation follows its operands
        if not names[operation]:
            operands = [names.get(operand, "") for operand in OPERAND.findall(definition)]
            named = filter(None, operands)
            names[operation] = max(named, key=lambda name: "transpose(" in name, default="")
    return names


def traced(ours: Ours, batch: dict, folder: Path) -> Counter[str]:
    """Return the nanoseconds of every operation of the program, over all steps.

    Beside a GPU, the host's threads tell of the same operations: of their launches.
    """
    ours.run(batch)
    with jax.profiler.trace(folder):
        for _ in range(STEPS):
            ours.run(batch)
    (file,) = folder.glob("**/*.xplane.pb")
    spent: Counter[str] = Counter()
    planes = list(jax.profiler.ProfileData.from_file(str(file)).planes)
    on_device = [plane for plane in planes if plane.name.startswith("/device:")]
    for plane in on_device or planes:
        for line in plane.lines:
            for event in line.events:
                stats = dict(event.stats)
                # Other programs, and the marks of an operation's end, have no module of this name.
                if "hlo_op" in stats and "step" in str(stats.get("hlo_module", "")):
                    spent[str(stats["hlo_op"])] += int(event.duration_ns)
    return spent


def main() -> None:
    """Trace, sum, and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trace", type=Path, help="keep the trace in this folder")
    folder = parser.parse_args().trace
    # Operations that a GPU's command buffers run have lost their names.
    os.environ.setdefault("XLA_FLAGS", "--xla_gpu_enable_command_buffer=")
    on_cpu = jax.default_backend() == "cpu"
    size, dtype = (2, "float32") if on_cpu else (32, "bfloat16")
    ours, batch = Ours(dtype), random_batch(size, 352)
    names = names_of(ours.compiled(batch).as_text())
    with tempfile.TemporaryDirectory() as scratch:
        spent = traced(ours, batch, folder or Path(scratch))
    shares: Counter[tuple[str, str]] = Counter()
    for operation, nanoseconds in spent.items():
        shares[part_of(names.get(operation, ""))] += nanoseconds
    total = sum(shares.values())
    title = f"training step, 352x352, batch {size}, {dtype}: share of"
    rows = [
        Row(f"{title} {' '.join(filter(None, part))}", device(), "1", nanoseconds / total)
        for part, nanoseconds in shares.most_common()
    ]
    record("profile", rows, ("jax", "flax"))


if __name__ == "__main__":
    tune_allocator()  # as the program does
    main()
