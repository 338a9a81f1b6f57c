"""Programs for TPUs, compiled without a TPU and counted by the compiler.

    pip install -r requirements-tpu-compile.txt
    python -m benchmarks.tpu                # all cases: hours on two cores
    python -m benchmarks.tpu "one v5e chip" # those whose names hold this text

The training step and the forward pass of configs/r50.py, for one chip and for slices of pods, and
of configs/photo.py for one chip: FLOP, bytes accessed, cycles by the compiler's cost model, memory,
size of code, exchanges between chips. The peer, for a single chip, is the same network made of
flax's own layers.
"""

import argparse
import contextlib
import dataclasses
import functools
import os
import time
from collections import Counter
from collections.abc import Callable
from types import ModuleType

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import Mesh

from benchmarks.compiled import collectives, cycles_by_part, hbm_bytes, operations
from benchmarks.flax_peer import flax_layers
from benchmarks.record import Row, record
from class_jax.losses import class_loss
from class_jax.models.network import Network, build_network
from class_jax.sharding import (
    add_sharding,
    batch_sharding,
    compiler_options,
    make_mesh,
    replicated_sharding,
)
from class_jax.training.optimizer import make_optimizer
from class_jax.training.state import init_state
from class_jax.training.step import make_train_step
from configs import photo, r50

DTYPE = "bfloat16"
PARTS = 12  # rows of parts: those that take longest
FEW = 4  # rows of parts with copies: those with most
# libtpu asks the cloud for these unless they are set; the topology decides what is compiled for.
ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A program to compile."""

    name: str
    topology: str
    batch: int  # images of the whole batch
    side: int
    trains: bool = True  # the training step, or the forward pass
    chips: int | None = None  # the first so many of the topology's; None: all
    recipe: ModuleType = r50

    @property
    def title(self) -> str:
        """Return the beginning of its rows' names."""
        program = "training step" if self.trains else "forward pass"
        light = "" if self.recipe is r50 else ", EfficientNet-Lite0"
        return f"{program}{light}, {self.name}, {self.side}x{self.side}, batch {self.batch}"


CASES = (
    Case("one v5e chip", "v5e:2x2", 4, 224, chips=1),
    Case("one v5e chip", "v5e:2x2", 4, 352, chips=1),
    Case("one v5e chip", "v5e:2x2", 4, 352, chips=1, trains=False),
    Case("one v5e chip", "v5e:2x2", 16, 256, chips=1, recipe=photo),
    Case("one v5e chip", "v5e:2x2", 16, 256, chips=1, recipe=photo, trains=False),
    Case("v5e:2x4", "v5e:2x4", 32, 352),
    Case("v5e:4x4, four hosts", "v5e:4x4", 64, 352),
    Case("v5p:2x2x1", "v5p:2x2x1", 32, 352),
    Case("v6e:2x4", "v6e:2x4", 32, 352),
)


def mesh_of(topology: str, chips: int | None = None) -> Mesh:
    """Return a mesh over chips that are not there."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    devices = topologies.get_topology_desc(platform="tpu", topology_name=topology).devices
    return make_mesh(devices[:chips])


def compile_step(
    network: Network, mesh: Mesh, *, batch: int, side: int, recipe: ModuleType = r50
) -> jax.stages.Compiled:
    """Compile a recipe's training step from shapes alone."""
    train = recipe.get_config().train
    optimizer, rates = make_optimizer(train, network, total_steps=1000)
    step = make_train_step(network, optimizer, class_loss, train=train, rates=rates, mesh=mesh)
    state = jax.eval_shape(lambda values: init_state(values, optimizer), network.shapes)
    images = {
        "image": jax.ShapeDtypeStruct((batch, side, side, 3), jnp.uint8),
        "mask": jax.ShapeDtypeStruct((batch, side, side), jnp.uint8),
    }
    arguments = (
        add_sharding(state, replicated_sharding(mesh)), add_sharding(images, batch_sharding(mesh))
    )  # fmt: skip
    return step.lower(*arguments).compile()  # type: ignore[attr-defined]


def compile_forward(network: Network, mesh: Mesh, *, batch: int, side: int) -> jax.stages.Compiled:
    """Compile the forward pass from shapes alone."""
    images = jax.ShapeDtypeStruct((batch, side, side, 3), jnp.uint8, sharding=batch_sharding(mesh))
    variables = add_sharding(network.shapes, replicated_sharding(mesh))
    forward = jax.jit(network.apply, compiler_options=compiler_options(mesh))
    return forward.lower(variables, images).compile()


def count(case: Case, layers: Callable[[], contextlib.AbstractContextManager]) -> dict[str, float]:
    """Compile a case with the layers of a context, and count what is in the program."""
    mesh = mesh_of(case.topology, case.chips)
    with layers():
        network = build_network(case.recipe.get_config().model, dtype=DTYPE)
        start = time.perf_counter()
        step = functools.partial(compile_step, recipe=case.recipe)
        make = step if case.trains else compile_forward
        compiled = make(network, mesh, batch=case.batch, side=case.side)
    return counts_of(compiled) | {"s to compile": time.perf_counter() - start}


def counts_of(compiled: jax.stages.Compiled) -> dict[str, float]:
    """Return what there is to count in a compiled program, by unit."""
    cost, memory, text = compiled.cost_analysis(), compiled.memory_analysis(), compiled.as_text()
    everything = operations(text, inside=True)
    exchanged = collectives(text)
    cycles = cycles_by_part(text)
    counts = {
        "GFLOP": cost["flops"] / 1e9,
        "GB accessed": cost["bytes accessed"] / 1e9,
        "GB in HBM": hbm_bytes(text) / 1e9,
        "Mcycles estimated": cycles.total() / 1e6,
        "MiB of temporaries": memory.temp_size_in_bytes / 2**20,
        "MiB of arguments": memory.argument_size_in_bytes / 2**20,
        "MiB of code": memory.generated_code_size_in_bytes / 2**20,
        "operations": len(operations(text)),
        "copies": sum(operation.code == "copy" for operation in everything),
        "transposes": sum(operation.code == "transpose" for operation in everything),
    }
    for code in ("copy", "transpose"):
        of_parts = Counter(operation.part for operation in everything if operation.code == code)
        counts |= {f"{code} operations in {part}": n for part, n in of_parts.most_common(FEW)}
    for kind, sizes in exchanged.items():
        if sizes:
            counts |= {f"{kind}s": len(sizes), f"MB in {kind}s": sum(sizes) / 1e6}
    return counts | {f"Mcycles in {part}": n / 1e6 for part, n in cycles.most_common(PARTS)}


def measure(case: Case) -> list[Row]:
    """Return the rows of a case, for a single chip beside flax's layers."""
    ours = count(case, contextlib.nullcontext)
    peer = count(case, lambda: flax_layers(DTYPE)) if case.chips == 1 else {}
    kind = mesh_of(case.topology).devices.flat[0].device_kind
    return [
        Row(
            f"{case.title}: {unit}",
            f"{kind}, compiled for, not run",
            unit.split()[0],
            value,
            peer.get(unit),
            peer[unit] / value if value and unit in peer else None,
        )
        for unit, value in ours.items()
    ]


def main() -> None:
    """Compile case by case, writing rows at once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", nargs="?", default="", help="only cases of this name")
    text = parser.parse_args().text
    for case in CASES:
        if text in case.title:
            record("tpu", measure(case), ("jax", "flax", "libtpu"))


if __name__ == "__main__":
    main()
