"""The operations of class_jax networks as ONNX operators.

Tensors keep JAX's order of axes. ONNX has channels first: operators that need them so stand between
two transpositions, which runtimes cancel when they load the file.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

Shape = tuple[Any, ...]  # the length of a batch is a symbol


class Tensor(NamedTuple):
    """A tensor of the ONNX graph."""

    name: str
    shape: Shape  # of the JAX array; an axis that is to be broadcast may still be 1


Value = np.ndarray | Tensor  # constants are arrays

CHANNELS_FIRST, CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


class GraphWriter:
    """Collects the nodes and constants of an ONNX graph."""

    def __init__(self) -> None:
        """Create an empty graph."""
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, shape: Shape, *inputs: Value | None, **attributes: Any) -> Tensor:
        """Add an operator that gives `shape`; None stands for an input that is left out."""
        name = f"{operator.lower()}_{len(self.nodes)}"
        names = [self.name(value) for value in inputs]
        self.nodes.append(helper.make_node(operator, names, [name], name, **attributes))
        return Tensor(name, shape)

    def name(self, value: Value | None) -> str:
        """Return the name of a tensor, or of a constant that is added; "" for none."""
        if value is None or isinstance(value, Tensor):
            return value.name if value else ""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def transpose(self, value: Value, order: Sequence[int]) -> Value:
        """Return a tensor or constant whose axis k is axis `order[k]` of `value`."""
        if isinstance(value, np.ndarray):
            return value.transpose(order)
        if list(order) == sorted(order):
            return value
        shape = tuple(value.shape[axis] for axis in order)
        return self.add("Transpose", shape, value, perm=list(order))


def _combine(operator: str, neutral: float, *, commutes: bool) -> Callable[..., Value]:
    """Return the translation to an operator of two tensors, or a tensor and a constant."""

    def combine(graph: GraphWriter, _: Any, shape: Shape, left: Value, right: Value) -> Value:
        for one, other in ((left, right), (right, left))[: 1 + commutes]:
            if isinstance(other, np.ndarray) and (other == neutral).all():
                return one
        return graph.add(operator, shape, left, right)

    return combine


def _broadcast(graph: GraphWriter, params: Any, shape: Shape, value: Value) -> Value:
    """Add axes of length 1; ONNX stretches them where they are used."""
    new = [axis for axis in range(len(shape)) if axis not in params["broadcast_dimensions"]]
    if isinstance(value, np.ndarray):
        value = np.expand_dims(value, new)
        is_known = all(isinstance(length, int) for length in shape)
        return np.broadcast_to(value, shape) if is_known else value
    lengths = tuple(1 if axis in new else shape[axis] for axis in range(len(shape)))
    return graph.add("Unsqueeze", lengths, value, np.array(new))


def _apply(operator: str, *constants: np.float32) -> Callable[..., Value]:
    """Return the translation to an operator of a tensor and constants."""
    return lambda graph, _, shape, x: graph.add(operator, shape, x, *map(np.asarray, constants))


def _pass_on(_: GraphWriter, params: Any, shape: Shape, x: Tensor) -> Value:
    return x


def _reduce(operator: str) -> Callable[..., Value]:
    return lambda graph, params, shape, x: graph.add(
        operator, shape, x, np.array(params["axes"]), keepdims=0
    )


def _convert(graph: GraphWriter, params: Any, shape: Shape, x: Tensor) -> Value:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(params["new_dtype"]))
    return graph.add("Cast", shape, x, to=kind)


def _with_channels_first(
    graph: GraphWriter, operator: str, shape: Shape, x: Tensor, *inputs: Value | None, **more: Any
) -> Value:
    """Apply an operator that has channels first to [B, H, W, C], with a result of this shape."""
    inner = tuple(shape[axis] for axis in CHANNELS_FIRST)
    result = graph.add(operator, inner, graph.transpose(x, CHANNELS_FIRST), *inputs, **more)
    return graph.transpose(result, CHANNELS_LAST)


def _convolve(graph: GraphWriter, params: Any, shape: Any, x: Tensor, kernel: np.ndarray) -> Value:
    assert params["dimension_numbers"].lhs_spec == CHANNELS_FIRST, "expected NHWC"
    (top, bottom), (left, right) = params["padding"]
    settings = {"strides": params["window_strides"], "group": params["feature_group_count"]}
    return _add_convolution(graph, shape, x, kernel, pads=[top, left, bottom, right], **settings)


def _convolve_to_map(
    graph: GraphWriter, _: Any, shape: Shape, x: Tensor, kernel: np.ndarray
) -> Value:
    return _add_convolution(graph, shape, x, kernel, pads=[1] * 4)


def _multiply_pixels(
    graph: GraphWriter, _: Any, shape: Shape, x: Tensor, matrix: np.ndarray
) -> Value:
    steps = [-(-length // result) for length, result in zip(x.shape[1:3], shape[1:3], strict=True)]
    return _add_convolution(graph, shape, x, matrix[None, None], strides=steps)


def _add_convolution(
    graph: GraphWriter, shape: Shape, x: Tensor, kernel: np.ndarray, **settings: Any
) -> Value:
    """Add the convolution of [B, H, W, in] by a kernel [h, w, in, out]."""
    kernel = kernel.transpose(3, 2, 0, 1)
    return _with_channels_first(graph, "Conv", shape, x, kernel, **settings)


def _multiply(graph: GraphWriter, params: Any, shape: Shape, left: Value, right: Value) -> Value:
    """Translate products of matrices."""
    (left_inner, right_inner), (left_outer, right_outer) = params["dimension_numbers"]

    def free(value: Value, *taken: int) -> list[int]:
        return [axis for axis in range(len(value.shape)) if axis not in taken]

    rows = [*left_outer, *free(left, *left_outer, *left_inner), *left_inner]
    columns = [*right_outer, *right_inner, *free(right, *right_outer, *right_inner)]
    return graph.add("MatMul", shape, graph.transpose(left, rows), graph.transpose(right, columns))


def _reshape(graph: GraphWriter, _: Any, shape: Shape, x: Tensor) -> Value:
    lengths = [length if isinstance(length, int) else -1 for length in shape]
    return graph.add("Reshape", shape, x, np.array(lengths))


def _pick(graph: GraphWriter, params: Any, shape: Shape, x: Tensor, index: np.ndarray) -> Value:
    """Translate `x[..., i, ...]` for a constant i."""
    (axis,) = params["dimension_numbers"].collapsed_slice_dims
    return graph.add("Gather", shape, x, np.array(index.item()), axis=axis)


def _upsample(graph: GraphWriter, _: Any, shape: Shape, x: Tensor) -> Value:
    if shape[1:3] == x.shape[1:3]:
        return x
    settings = {"mode": "linear", "coordinate_transformation_mode": "half_pixel", "axes": [2, 3]}
    return _with_channels_first(
        graph, "Resize", shape, x, None, None, np.array(shape[1:3]), **settings
    )


def _max_pool(graph: GraphWriter, params: Any, shape: Shape, x: Tensor) -> Value:
    # Windows of three pixels are padded, those of two are not.
    size = 3 if any(step.primitive.name == "pad" for step in params["jaxpr"].eqns) else 2
    settings = {"kernel_shape": [size] * 2, "strides": [2, 2], "pads": [size // 3] * 4}
    return _with_channels_first(graph, "MaxPool", shape, x, **settings)


# By the name of a layer: a function of models/ under `jax.jit`.
LAYERS: dict[str, Callable[..., Value]] = {
    "convolve_to_map": _convolve_to_map,
    "multiply_pixels": _multiply_pixels,
    "pool_slices": _max_pool,
    "relu": _apply("Relu"),
    "relu6": _apply("Clip", np.float32(0), np.float32(6)),
    "softmax": _apply("Softmax"),
    "upsample": _upsample,
}
# By the name of a primitive of `jax.lax`.
PRIMITIVES: dict[str, Callable[..., Value]] = {
    "add": _combine("Add", 0, commutes=True),
    "sub": _combine("Sub", 0, commutes=False),
    "mul": _combine("Mul", 1, commutes=True),
    "div": _combine("Div", 1, commutes=False),
    "max": _combine("Max", -math.inf, commutes=True),
    "broadcast_in_dim": _broadcast,
    "exp": _apply("Exp"),
    "logistic": _apply("Sigmoid"),
    "stop_gradient": _pass_on,
    "copy": _pass_on,
    "reduce_max": _reduce("ReduceMax"),
    "reduce_sum": _reduce("ReduceSum"),
    "convert_element_type": _convert,
    "conv_general_dilated": _convolve,
    "dot_general": _multiply,
    "reshape": _reshape,
    "transpose": lambda graph, params, _, x: graph.transpose(x, params["permutation"]),
    "concatenate": lambda graph, params, shape, *parts: graph.add(
        "Concat", shape, *parts, axis=params["dimension"]
    ),
    "gather": _pick,
}
