"""Translate the operations of class_jax networks into ONNX operators."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import helper

from class_jax.export.graph import GraphWriter, Tensor, Value

Shape = tuple[Any, ...]  # the length of a batch is a symbol

CHANNELS_FIRST = (0, 3, 1, 2)  # the order in memory of [B, H, W, C]
BINARY = {"add": "Add", "add_any": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max"}
NEUTRAL = {"add": 0, "add_any": 0, "sub": 0, "mul": 1, "div": 1, "max": -math.inf}
COMMUTATIVE = ("add", "add_any", "mul", "max")


def combine(graph: GraphWriter, kind: str, shape: Shape, left: Value, right: Value) -> Value:
    """Apply an operator to two tensors, or to a tensor and a constant, of any shapes."""
    for one, other in ((left, right), (right, left)):
        is_neutral = isinstance(other, np.ndarray) and bool((other == NEUTRAL[kind]).all())
        if is_neutral and (kind in COMMUTATIVE or other is right):
            return one
    if kind == "div" and isinstance(right, np.ndarray):
        kind, right = "mul", np.asarray(1 / right.astype(np.float64), right.dtype)
    order = max((v.order for v in (left, right) if isinstance(v, Tensor)), key=len)
    names = []
    for value in (left, right):
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value.reshape([1] * len(order))  # noqa: PLW2901
        names.append(graph.arrange(value, order))
    return Tensor(graph.add(BINARY[kind], names), shape, order)


def broadcast(graph: GraphWriter, value: Value, axes: Sequence[int], shape: Shape) -> Value:
    """Add axes of length 1; ONNX stretches them where they are used."""
    if isinstance(value, np.ndarray):
        lengths = [1] * len(shape)
        for axis, length in zip(axes, value.shape, strict=True):
            lengths[axis] = length
        is_known = all(isinstance(length, int) for length in shape)
        return np.broadcast_to(value.reshape(lengths), shape if is_known else lengths)
    new = [axis for axis in range(len(shape)) if axis not in axes]
    name = graph.add("Unsqueeze", [graph.plain(value), graph.hold(np.array(new))])
    lengths = [1 if axis in new else shape[axis] for axis in range(len(shape))]
    return Tensor(name, tuple(lengths), tuple(range(len(shape))))


def _apply(operator: str, *constants: float) -> Callable[..., Value]:
    """Return the translation to an operator of a tensor and constants; "": nothing to do."""

    def apply(graph: GraphWriter, _: Any, shape: Shape, x: Tensor) -> Value:
        held = [graph.hold(np.array(value, np.float32)) for value in constants]
        return Tensor(graph.add(operator, [x.name, *held]), shape, x.order) if operator else x

    return apply


def _reduce(operator: str) -> Callable[..., Value]:
    def apply(graph: GraphWriter, params: Any, shape: Shape, x: Tensor) -> Value:
        axes = [x.order.index(axis) for axis in params["axes"]]
        name = graph.add(operator, [x.name, graph.hold(np.array(axes))], keepdims=0)
        return Tensor(name, shape, _rank([a for a in x.order if a not in params["axes"]]))

    return apply


def _rank(axes: Sequence[int]) -> tuple[int, ...]:
    """Renumber axes from 0 after some were removed."""
    return tuple(sorted(axes).index(axis) for axis in axes)


def _softmax(graph: GraphWriter, _: Any, shape: Shape, x: Tensor) -> Value:
    return Tensor(graph.add("Softmax", [graph.plain(x)], axis=-1), shape, tuple(range(len(shape))))


def _convert(graph: GraphWriter, params: Any, shape: Shape, x: Tensor) -> Value:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(params["new_dtype"]))
    return Tensor(graph.add("Cast", [x.name], to=kind), shape, x.order)


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
    graph: GraphWriter, shape: Shape, x: Tensor, kernel: np.ndarray, **attributes: Any
) -> Tensor:
    """Add the convolution of [B, H, W, in] by a kernel [h, w, in, out]."""
    inputs = [graph.arrange(x, CHANNELS_FIRST), graph.hold(kernel.transpose(3, 2, 0, 1))]
    return Tensor(graph.add("Conv", inputs, **attributes), shape, CHANNELS_FIRST)


def _multiply(graph: GraphWriter, params: Any, shape: Any, left: Value, right: Value) -> Value:
    """Translate products of matrices."""
    (contracted, batches) = params["dimension_numbers"]
    names = []
    for value, inner, outer, is_right in zip(
        (left, right), contracted, batches, (False, True), strict=True
    ):
        free = [a for a in range(len(value.shape)) if a not in (*inner, *outer)]
        matrix = [*inner, *free] if is_right else [*free, *inner]
        names.append(graph.arrange(value, [*outer, *matrix]))
    return Tensor(graph.add("MatMul", names), shape, tuple(range(len(shape))))


def _reshape(graph: GraphWriter, params: Any, shape: Shape, x: Tensor) -> Value:
    lengths = [length if isinstance(length, int) else -1 for length in shape]
    name: str
    order: tuple[int, ...]
    if x.order == CHANNELS_FIRST and len(shape) == 3 and shape[-1] == x.shape[-1]:
        # Positions of an image: its channels may stay first.
        name, order = x.name, (0, 2, 1)
        lengths = [lengths[axis] for axis in order]
    else:
        name, order = graph.plain(x), tuple(range(len(shape)))
    return Tensor(graph.add("Reshape", [name, graph.hold(np.array(lengths))]), shape, order)


def _transpose(_: GraphWriter, params: Any, shape: Shape, x: Tensor) -> Value:
    order = tuple(params["permutation"].index(axis) for axis in x.order)
    return Tensor(x.name, shape, order)


def _concatenate(graph: GraphWriter, params: Any, shape: Shape, *parts: Tensor) -> Value:
    order = parts[0].order
    names = [graph.arrange(part, order) for part in parts]
    axis = order.index(params["dimension"])
    return Tensor(graph.add("Concat", names, axis=axis), shape, order)


def _pick(graph: GraphWriter, params: Any, shape: Any, x: Tensor, index: np.ndarray) -> Value:
    """Translate `x[..., i, ...]` for a constant i."""
    (axis,) = params["dimension_numbers"].collapsed_slice_dims
    place = graph.hold(np.array(index.item()))
    name = graph.add("Gather", [x.name, place], axis=x.order.index(axis))
    return Tensor(name, shape, _rank([a for a in x.order if a != axis]))


def _upsample(graph: GraphWriter, _: Any, shape: Shape, x: Tensor) -> Value:
    if shape[1:3] == x.shape[1:3]:
        return x
    name = graph.add(
        "Resize",
        [graph.arrange(x, CHANNELS_FIRST), "", "", graph.hold(np.array(shape[1:3]))],
        mode="linear",
        coordinate_transformation_mode="half_pixel",
        axes=[2, 3],
    )
    return Tensor(name, shape, CHANNELS_FIRST)


def _max_pool(graph: GraphWriter, params: Any, shape: Shape, x: Tensor) -> Value:
    # Windows of three pixels are padded, those of two are not.
    size = 3 if any(step.primitive.name == "pad" for step in params["jaxpr"].eqns) else 2
    name = graph.add(
        "MaxPool",
        [graph.arrange(x, CHANNELS_FIRST)],
        kernel_shape=[size, size],
        strides=[2, 2],
        pads=[size // 3] * 4,
    )
    return Tensor(name, shape, CHANNELS_FIRST)


# By the name of a layer: a function of models/ under `jax.jit`.
LAYERS: dict[str, Callable[..., Value]] = {
    "convolve_to_map": _convolve_to_map,
    "multiply_pixels": _multiply_pixels,
    "pool_slices": _max_pool,
    "relu": _apply("Relu"),
    "relu6": _apply("Clip", 0, 6),
    "softmax": _softmax,
    "upsample": _upsample,
}
# By the name of a primitive of `jax.lax`.
PRIMITIVES: dict[str, Callable[..., Value]] = {
    "exp": _apply("Exp"),
    "logistic": _apply("Sigmoid"),
    "stop_gradient": _apply(""),
    "copy": _apply(""),
    "reduce_max": _reduce("ReduceMax"),
    "reduce_sum": _reduce("ReduceSum"),
    "convert_element_type": _convert,
    "conv_general_dilated": _convolve,
    "dot_general": _multiply,
    "reshape": _reshape,
    "transpose": _transpose,
    "concatenate": _concatenate,
    "gather": _pick,
}
