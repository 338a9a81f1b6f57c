"""Write a network as the package ships it: one file of weights, which both engines read.

    python -m datasets.photo.packaged MODEL class_jax/networks/photo FACTOR

The finest logits are multiplied by the factor, which makes maps sharper; docs/photo.md says how it
was chosen.

Kernels are float16. The ONNX graph beside them holds none of the large ones: it names their bytes
in the safetensors file, and multiplies them by the slopes of the batch norms, which ONNX Runtime
does once when it loads the graph. A model card that lies in the folder stays.
"""

import json
import math
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from class_jax.errors import UserError
from class_jax.export.folding import fold_batch_norms
from class_jax.export.formats import Export, compute_maps, read_folder, write_folder, write_onnx
from class_jax.export.proof import LIMIT, gather_images, measure_difference
from class_jax.leaves import export_leaves
from class_jax.models.network import Variables, build_network, name_of, named_leaves
from class_jax.networks.onnx_engine import OnnxEngine
from class_jax.networks.places import GRAPH, WEIGHTS, find
from class_jax.weights.saved import load_exported

TO_OIHW = (3, 2, 0, 1)
PARTS = ("stored", "cast", "slope", "scaled")
BYTES = 2  # of a float16
LARGE = 1024  # numbers, from which on a kernel is not stored twice
FUSED = 3  # maps, to which a fusion applies one kernel in parts
FINEST_HEAD = "params/heads/0/"
MOST_BYTES = {WEIGHTS: 8_000_000, GRAPH: 300_000}


class Kernel(NamedTuple):
    """A kernel in the file of weights, or a part of its inputs."""

    shape: tuple[int, ...]  # h, w, in, out
    slope: np.ndarray  # [out], of the batch norm that follows
    offset: int  # of its bytes in the file


def package(model: str, folder: Path, *, factor: float = 1.0) -> str:
    """Write the package's network from a trained one; return a sentence about it.

    `factor`: multiplies the finest logits.

    Raises:
      UserError: there is no such network, it does not fit the package, or the maps of the two
        engines differ.
    """
    found = find(model)
    settings = found.settings
    if settings is None:
        raise UserError(f"{model} cannot be packaged: name a run or an exported folder.")
    network = build_network(settings.model, dtype="float32")
    side = settings.eval.image_size
    values = sharpen(found.values(network), factor)
    export = Export(network, values, side, export_leaves(settings), "")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        partial = Path(name)
        write_packaged(export, partial)
        differences = _prove(export, partial)
        for path in partial.iterdir():
            path.replace(folder / path.name)
    sizes = " and ".join(f"{(folder / name).stat().st_size:,} bytes" for name in MOST_BYTES)
    return f"{folder}: {', '.join(MOST_BYTES)} of {sizes}; {differences}"


def sharpen(variables: Variables, factor: float) -> Variables:
    """Return the values of a network whose finest logits are `factor` times as large."""

    def scale(path: tuple[Any, ...], leaf: np.ndarray) -> np.ndarray:
        return leaf * np.float32(factor) if name_of(path).startswith(FINEST_HEAD) else leaf

    return jax.tree_util.tree_map_with_path(scale, variables)


def _prove(export: Export, folder: Path) -> str:
    """Return how much maps differ; UserError if those of the two engines differ too much."""
    images = gather_images(export.side)
    by_jax = read_folder(export, folder)
    by_onnx = OnnxEngine(folder / GRAPH, has_data_beside=True).maps
    if (difference := measure_difference(by_jax, by_onnx, images)) > LIMIT:
        raise UserError(
            f"maps of the two engines differ by up to {difference:.1e}, and {LIMIT:.0e} at most is "
            "allowed: nothing was kept."
        )
    rounding = measure_difference(compute_maps(export.network, export.variables), by_jax, images)
    return (
        f"maps of {len(images)} images differ by {difference:.1e} at most between the engines, and "
        f"by {rounding:.1e} from those of the network before it was rounded"
    )


def write_packaged(export: Export, folder: Path) -> None:
    """Write configuration, weights and graph.

    Raises:
      UserError: a value is beyond float16, or a file is larger than the package may hold.
    """
    write_folder(export, folder, kernels=np.float16)
    rounded = load_exported(folder / WEIGHTS, export.network)
    write_onnx(export._replace(variables=rounded), folder / GRAPH)
    model = onnx.load(folder / GRAPH)
    epsilon = export.network.backbone.EPSILON
    _share_weights(model.graph, _list_kernels(rounded, folder / WEIGHTS, epsilon))
    (folder / GRAPH).write_bytes(model.SerializeToString())
    onnx.checker.check_model(os.fspath(folder / GRAPH))
    for name, most in MOST_BYTES.items():
        if (size := (folder / name).stat().st_size) > most:
            raise UserError(f"{name} has {size:,} bytes, and {most:,} at most are shipped.")


def _list_kernels(variables: Variables, path: Path, epsilon: float) -> dict[bytes, Kernel]:
    """Return the large kernels in a file of weights, by the bytes that a graph would hold.

    Those of 1×1 pixels are there in parts, too: a fusion applies one to three maps.
    """
    offsets = _read_offsets(path)
    ones = jax.tree.map(lambda leaf: np.ones_like(leaf) if leaf.ndim == 4 else leaf, variables)
    folded = named_leaves(fold_batch_norms(variables, epsilon=epsilon))
    slopes = named_leaves(fold_batch_norms(ones, epsilon=epsilon))  # of kernels of ones
    kernels = {}
    for name, values in folded.items():
        if values.ndim != 4:
            continue
        is_in_parts = values.shape[:2] == (1, 1) and values.shape[2] % FUSED == 0
        for count in (1, FUSED) if is_in_parts else (1,):
            for number, part in enumerate(np.split(values, count, axis=2)):
                offset = offsets[name] + number * BYTES * part.size  # inputs lie one after another
                if part.size >= LARGE:
                    key = part.transpose(TO_OIHW).tobytes()
                    kernels[key] = Kernel(part.shape, slopes[name][0, 0, 0], offset)
    return kernels


def _read_offsets(path: Path) -> Mapping[str, int]:
    """Return where the values of each tensor begin in a safetensors file."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return {name: 8 + length + about["data_offsets"][0] for name, about in header.items()}


def _share_weights(graph: onnx.GraphProto, kernels: Mapping[bytes, Kernel]) -> None:
    """Replace the constants of a graph that are kernels by their bytes in the file of weights."""
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    for tensor in graph.initializer:
        kernel = kernels.get(numpy_helper.to_array(tensor).tobytes())
        if kernel is None:
            constants.append(tensor)
            continue
        stored, cast, slope, scaled = (f"{tensor.name}_{part}" for part in PARTS)
        constants += [_name_bytes(stored, kernel), numpy_helper.from_array(kernel.slope, slope)]
        nodes += [
            helper.make_node("Cast", [stored], [cast], to=TensorProto.FLOAT),
            helper.make_node("Mul", [cast, slope], [scaled]),
            helper.make_node("Transpose", [scaled], [tensor.name], perm=TO_OIHW),
        ]
    nodes += graph.node
    for field, values in ((graph.node, nodes), (graph.initializer, constants)):
        del field[:]  # type: ignore[attr-defined]
        field.extend(values)  # type: ignore[attr-defined]


def _name_bytes(name: str, kernel: Kernel) -> onnx.TensorProto:
    """Return a constant of float16 whose values lie in the file of weights."""
    tensor = TensorProto(
        name=name,
        data_type=TensorProto.FLOAT16,
        dims=kernel.shape,
        data_location=TensorProto.EXTERNAL,
    )
    length = BYTES * math.prod(kernel.shape)
    place = {"location": WEIGHTS, "offset": kernel.offset, "length": length}
    for key, value in place.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


if __name__ == "__main__":
    print(package(sys.argv[1], Path(sys.argv[2]), factor=float(sys.argv[3])))
