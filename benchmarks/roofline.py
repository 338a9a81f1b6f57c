"""Upper bounds on training speed for chips that are not at hand: computed, not measured.

    python -m benchmarks.roofline

With the five sizes mixed, for every chip: arithmetic by the network's count over its peak, and
memory traffic over its bandwidth; the slower of the two bounds the speed. The traffic of TPUs is
that of the programs compiled for them (results/tpu.json, by `python -m benchmarks.tpu`), of GPUs an
estimate: half of the float32 program's that the compiler makes for the device at hand, as another
compiler fuses more or less. Half a minute.
"""

import json
import statistics
from typing import NamedTuple

from benchmarks.ours import Ours, gigaflops, random_batch
from benchmarks.record import RESULTS, Row, record
from benchmarks.tpu import CASES
from configs import r50

EPOCHS, IMAGES = 100, 10_553  # of the paper's training, on DUTS-TR
BATCH, SIDE = 8, 352  # of the program that is analysed; traffic grows with the area


class Chip(NamedTuple):
    """A chip by its maker's data sheet."""

    teraflops: float  # at peak, without sparsity
    gigabytes: float  # a second
    value_bytes: int = 2
    topology: str = ""  # for which a program was compiled
    count: int = 1  # of chips in it
    gigahertz: float | None = None  # by which cycles become time


CHIPS = {
    "NVIDIA T4, float32": Chip(8.1, 320, 4),
    "NVIDIA L4": Chip(121, 300),
    "NVIDIA A100 80 GB": Chip(312, 2039),
    "NVIDIA H100 SXM": Chip(989, 3350),
    "NVIDIA H200": Chip(989, 4800),
    # 1.5 GHz: 197 TFLOP/s by four units of 128×128 multipliers.
    "TPU v5e": Chip(197, 819, topology="v5e:2x4", count=8, gigahertz=1.5),
    "TPU v5p": Chip(459, 2765, topology="v5p:2x2x1", count=4),
    "TPU v6e": Chip(918, 1640, topology="v6e:2x4", count=8),
}


def counted(chip: Chip, unit: str) -> float:
    """Return what the compiler counted for an image of SIDE in the program of a chip."""
    case = next(case for case in CASES if (case.topology, case.side) == (chip.topology, SIDE))
    rows = json.loads((RESULTS / "tpu.json").read_text())
    (value,) = (row["ours"] for row in rows if row["name"] == f"{case.title}: {unit}")
    return value * chip.count / case.batch


def main() -> None:
    """Compute and write the rows."""
    analysed = Ours("float32").compiled(random_batch(BATCH, SIDE))
    values = analysed.cost_analysis()["bytes accessed"] / 4 / BATCH  # of an image at SIDE
    sizes = r50.get_config().data.image_sizes
    share = statistics.mean((side / SIDE) ** 2 for side in sizes)
    operations = 3e9 * statistics.mean(gigaflops(side) for side in sizes)
    rows = []
    for name, chip in CHIPS.items():
        traffic = counted(chip, "GB in HBM") * 1e9 if chip.topology else values * chip.value_bytes
        arithmetic = operations / (chip.teraflops * 1e12)
        memory = traffic * share / (chip.gigabytes * 1e9)
        slower = max(arithmetic, memory)
        rows += [
            Row(f"{name}: arithmetic of an image, five sizes", name, "ms, computed",
                arithmetic * 1e3),
            Row(f"{name}: memory traffic of an image", name, "ms, computed", memory * 1e3),
            Row(f"{name}: speed", name, "images/s, computed", 1 / slower),
            Row(f"{name}: {EPOCHS} epochs of DUTS-TR", name, "hours, computed",
                EPOCHS * IMAGES * slower / 3600),
        ]  # fmt: skip
        if chip.gigahertz:
            cycles = counted(chip, "Mcycles estimated") * 1e6 * share / (chip.gigahertz * 1e9)
            rows.append(Row(f"{name}: cycles of an image", name, "ms, computed", cycles * 1e3))
    record("roofline", rows, ("jax", "flax"))


if __name__ == "__main__":
    main()
