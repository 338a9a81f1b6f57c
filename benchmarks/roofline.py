"""Upper bounds on training speed for chips that are not at hand: computed, not measured.

    python -m benchmarks.roofline

With the five sizes mixed, for every chip: arithmetic by the network's count over its peak, and
memory traffic by the compiler's own analysis over its bandwidth; the slower of the two bounds the
speed. The traffic is an estimate, of the program that the compiler makes for the device at hand in
float32, at half of it for bfloat16: another compiler fuses more or less. Half a minute.
"""

import statistics

from benchmarks.ours import Ours, gigaflops, random_batch
from benchmarks.record import Row, record
from configs import r50

EPOCHS, IMAGES = 100, 10_553  # of the paper's training, on DUTS-TR
BATCH, SIDE = 8, 352  # of the program that is analysed; traffic grows with the area

# Peak TFLOP/s without sparsity, GB/s, and bytes of a value: from the makers' data sheets.
CHIPS = {
    "NVIDIA T4, float32": (8.1, 320, 4),
    "NVIDIA L4": (121, 300, 2),
    "NVIDIA A100 80 GB": (312, 2039, 2),
    "NVIDIA H100 SXM": (989, 3350, 2),
    "NVIDIA H200": (989, 4800, 2),
    "TPU v5e": (197, 819, 2),
    "TPU v5p": (459, 2765, 2),
    "TPU v6e": (918, 1640, 2),
}


def main() -> None:
    """Compute and write the rows."""
    analysed = Ours("float32").compiled(random_batch(BATCH, SIDE))
    values = analysed.cost_analysis()["bytes accessed"] / 4 / BATCH  # of an image at SIDE
    sizes = r50.get_config().data.image_sizes
    share = statistics.mean((side / SIDE) ** 2 for side in sizes)
    operations = 3e9 * statistics.mean(gigaflops(side) for side in sizes)
    rows = []
    for chip, (teraflops, gigabytes, size) in CHIPS.items():
        arithmetic = operations / (teraflops * 1e12)
        memory = values * size * share / (gigabytes * 1e9)
        slower = max(arithmetic, memory)
        rows += [
            Row(f"{chip}: arithmetic of an image, five sizes", chip, "ms, computed",
                arithmetic * 1e3),
            Row(f"{chip}: memory traffic of an image", chip, "ms, computed", memory * 1e3),
            Row(f"{chip}: speed", chip, "images/s, computed", 1 / slower),
            Row(f"{chip}: {EPOCHS} epochs of DUTS-TR", chip, "hours, computed",
                EPOCHS * IMAGES * slower / 3600),
        ]  # fmt: skip
    record("roofline", rows, ("jax", "flax"))


if __name__ == "__main__":
    main()
