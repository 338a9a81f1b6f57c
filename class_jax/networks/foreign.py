"""Check `.onnx` files from elsewhere before they are used: content, and a run on zeros.

ONNX Runtime reads files that a model names as its data, and runs loops without end.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from class_jax.errors import UserError

if TYPE_CHECKING:
    import onnx

SIDES = (32, 4096)  # of the square that a network works at, pixels
MOST_BYTES = 2**31  # protocol buffers hold no more
MOST_NODES = 20_000  # operators; an exported network has a thousand
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
    if (count := len(model.graph.node)) > MOST_NODES:
        raise UserError(
            f"{path} holds {count:,} operators: {MOST_NODES:,} are the most that are run."
        )
    if model.functions or model.training_info:
        raise UserError(f"{path} holds functions of its own: expected plain operators.")
    for part in _parts_of(model.graph):
        if isinstance(part, onnx.GraphProto):
            raise UserError(f"{path} holds loops or branches: expected plain operators.")
        if isinstance(part, onnx.NodeProto) and part.domain not in STANDARD:
            raise UserError(f"{path} holds operators of {part.domain[:50]}, which are not known.")
        if isinstance(part, onnx.TensorProto) and (part.data_location or part.external_data):
            raise UserError(
                f"{path} names other files as its data: expected a network in one file."
            )
    _check_input(model.graph, path)


def _parts_of(message: Any) -> Iterator[Any]:
    """Yield all messages of protocol buffers inside of one."""
    for field, value in message.ListFields():
        is_one = hasattr(value, "ListFields")
        for part in [value] if is_one else value if field.message_type else ():
            yield part
            yield from _parts_of(part)


def _check_input(graph: "onnx.GraphProto", path: Path) -> None:
    """Raise UserError unless images of one size go in."""
    filled = {tensor.name for tensor in graph.initializer}
    inputs = [entry.type.tensor_type for entry in graph.input if entry.name not in filled]
    if len(inputs) != 1:
        raise UserError(f"{path} has {len(inputs)} inputs: expected one, images [b, S, S, 3].")
    shape = [size.dim_value or size.dim_param or "?" for size in inputs[0].shape.dim]
    is_in_range = len(shape) == 4 and shape[1] in range(SIDES[0], SIDES[1] + 1)
    if not is_in_range or shape[2:] != [shape[1], 3]:
        raise UserError(
            f"{path} takes images [{', '.join(str(size)[:20] for size in shape)}]: expected "
            f"[b, S, S, 3] with a side S from {SIDES[0]} to {SIDES[1]} pixels."
        )


def check_outputs(outputs: list[np.ndarray], side: int, path: Path) -> None:
    """Raise UserError unless a run on one image of zeros gave a map and its logits."""
    for name, values in zip(("saliency", "logits"), outputs, strict=True):
        if values.shape != (1, side, side) or values.dtype != np.float32:
            raise UserError(
                f"{path}: {name} of one image is {values.dtype} {list(values.shape)}, expected "
                f"float32 [1, {side}, {side}]."
            )
    saliency, logits = outputs
    if not (0 <= saliency.min() <= saliency.max() <= 1 and np.isfinite(logits).all()):
        raise UserError(
            f"{path}: the map of an image of zeros is not in 0–1, or its logits are not finite."
        )
