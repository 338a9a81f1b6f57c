"""The training step compiles for slices of TPU pods that are not there.

Skipped without libtpu: pip install -r requirements-tpu-compile.txt; python -m pytest -m slow
tests/test_tpu.py (the whole network takes ten minutes and more a topology on an idle core).
"""

import functools
import math

import jax
import jax.numpy as jnp
import pytest

from benchmarks.compiled import collectives
from benchmarks.tpu import compile_step, mesh_of
from class_jax.models.layers import convolve
from class_jax.models.network import build_network
from class_jax.sharding import compiler_options, replicated_sharding
from configs import r50
from tests.small_run import SMALL_MODEL

pytest.importorskip("libtpu")
MEMORY = 16e9  # bytes of a v5e chip, by its data sheet
SLICES = [("v5e:2x4", 8), ("v5e:4x4", 16)]  # the second spans four hosts


def exchanged_bytes(compiled):
    """Bytes that the chips exchange, by kind, each with those of its largest exchange."""
    return {kind: (sum(n), max(n)) for kind, n in collectives(compiled.as_text()).items() if n}


def check(compiled, network, images):
    """No activation leaves its chip: what is exchanged is a sum over the batch."""
    exchanged = exchanged_bytes(compiled)
    assert set(exchanged) == {"all-reduce"}
    parameters = sum(4 * math.prod(leaf.shape) for leaf in jax.tree.leaves(network.shapes.params))
    total, _ = exchanged["all-reduce"]
    # Gradients of kernels in bfloat16, others in float32; statistics and their gradients.
    assert 0.45 * parameters < total < 1.3 * parameters + 1e5
    memory = compiled.memory_analysis()
    needed = memory.argument_size_in_bytes + memory.output_size_in_bytes
    needed += memory.temp_size_in_bytes - memory.alias_size_in_bytes
    assert images < needed + memory.generated_code_size_in_bytes < MEMORY


@pytest.mark.slow
@pytest.mark.parametrize(("topology", "chips"), SLICES)
def test_a_narrow_network_exchanges_gradients_and_statistics_only(topology, chips):
    network = build_network(SMALL_MODEL, dtype="bfloat16")
    compiled = compile_step(network, mesh_of(topology), batch=4 * chips, side=64)
    check(compiled, network, 4 * 64 * 64 * 3)


@pytest.mark.slow
@pytest.mark.parametrize(("topology", "chips"), SLICES)
def test_the_papers_step_fits_a_slice_of_a_pod(topology, chips):
    network = build_network(r50.get_config().model, dtype="bfloat16")
    compiled = compile_step(network, mesh_of(topology), batch=4 * chips, side=352)
    check(compiled, network, 4 * 352 * 352 * 3)


@pytest.mark.slow
def test_small_batches_of_a_chip_are_not_cut_into_strips():
    mesh = mesh_of("v5e:2x2", 1)
    shapes = [jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=replicated_sharding(mesh))
              for shape in ((4, 22, 22, 256), (3, 3, 256, 256))]  # fmt: skip
    lowered = jax.jit(functools.partial(convolve, stride=1, pad=(1, 1))).lower(*shapes)
    options = compiler_options(mesh)
    assert options
    ours, plain = (lowered.compile(each).cost_analysis() for each in (options, None))
    # Strips overlap, and are gathered and taken apart again.
    assert ours["bytes accessed"] < 0.9 * plain["bytes accessed"]
    assert ours["flops"] <= plain["flops"]
