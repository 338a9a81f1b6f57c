"""Check `.onnx` files from elsewhere before they are used: content, and a run on zeros.

ONNX Runtime reads files that a model names as its data, and runs loops without end.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from class_jax.errors import UserError

if TYPE_CHECKING:
    import onnx

SIDES = (32, 4096)  # of the square that a network works at, pixels
MOST_BYTES = 2**31  # protocol buffers hold no more
MOST_NODES = 20_000  # operators; an exported network has a thousand
CONTROL = {"If", "Loop", "Scan", "SequenceMap"}
STANDARD = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}  # names of operator sets
INSTALL = "pip install onnx onnxruntime"


def check_graph(path: Path) -> None:
    """Raise UserError unless a file is a network of plain operators that holds its own data.

    Raises:
      UserError: it is none, it needs other files, or it holds loops or branches.
    """
    try:
        import onnx  # noqa: PLC0415 - optional
    except ImportError as error:
        raise UserError(f"{path} needs onnx and ONNX Runtime: {INSTALL}.") from error
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"{path} has more than 2 GB: it is not an exported network.")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError:
        raise
    except Exception as error:  # the parser raises whatever damage leads to
        raise UserError(f"{path} is damaged, or no ONNX file: export the network again.") from error
    if model.functions or model.training_info:
        raise UserError(f"{path} holds functions of its own: expected plain operators.")
    if (count := len(model.graph.node)) > MOST_NODES:
        raise UserError(
            f"{path} holds {count:,} operators: {MOST_NODES:,} are the most that are run."
        )
    for node in model.graph.node:
        _check_node(node, path)
    tensors = [*model.graph.initializer, *_inner_tensors(model.graph)]
    tensors += [part for sparse in model.graph.sparse_initializer for part in
                (sparse.values, sparse.indices)]  # fmt: skip
    if any(tensor.data_location or tensor.external_data for tensor in tensors):
        raise UserError(f"{path} names other files as its data: expected a network in one file.")
    _check_input(model.graph, path)


def _check_node(node: "onnx.NodeProto", path: Path) -> None:
    has_graphs = any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
    if node.op_type in CONTROL or has_graphs:
        raise UserError(f"{path} holds {node.op_type[:50]}: loops and branches are not run.")
    if node.domain not in STANDARD:
        raise UserError(f"{path} holds operators of {node.domain[:50]}, which are not known.")


def _inner_tensors(graph: "onnx.GraphProto") -> "Iterator[onnx.TensorProto]":
    """Yield the tensors in attributes of operators."""
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)


def _check_input(graph: "onnx.GraphProto", path: Path) -> None:
    """Raise UserError unless images of one size go in."""
    filled = {tensor.name for tensor in graph.initializer}
    inputs = [entry for entry in graph.input if entry.name not in filled]
    if len(inputs) != 1:
        raise UserError(f"{path} has {len(inputs)} inputs: expected one, images [b, S, S, 3].")
    kind = inputs[0].type.tensor_type
    shape = [
        size.dim_value if size.HasField("dim_value") else size.dim_param or "?"
        for size in kind.shape.dim
    ]
    found = f"{path} takes images [{', '.join(str(size)[:20] for size in shape)}]"
    if len(shape) != 4 or shape[3] != 3 or shape[1] != shape[2]:
        raise UserError(f"{found}: expected [b, S, S, 3].")
    if not isinstance(shape[1], int) or not SIDES[0] <= shape[1] <= SIDES[1]:
        raise UserError(f"{found}: expected a side S from {SIDES[0]} to {SIDES[1]} pixels.")


def check_outputs(outputs: list[np.ndarray], side: int, path: Path) -> None:
    """Raise UserError unless a run on one image of zeros gave a map and its logits."""
    for name, values in zip(("saliency", "logits"), outputs, strict=True):
        if values.shape != (1, side, side) or values.dtype != np.float32:
            raise UserError(
                f"{path}: {name} of one image is {values.dtype} {list(values.shape)}, expected "
                f"float32 [1, {side}, {side}]."
            )
        if not np.isfinite(values).all():
            raise UserError(f"{path}: {name} of an image of zeros is not finite.")
    if outputs[0].min() < 0 or outputs[0].max() > 1:
        raise UserError(f"{path}: saliency is not in 0–1.")
