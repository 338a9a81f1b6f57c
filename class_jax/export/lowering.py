"""Translate a JAX program into an ONNX model.

Only the operations of class_jax networks are supported; any other is refused.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from jax.extend import core
from onnx import helper

from class_jax.errors import UserError
from class_jax.export.graph import GraphWriter, Tensor, Value
from class_jax.export.operators import BINARY, LAYERS, PRIMITIVES, broadcast, combine
from class_jax.export.precision import shrink
from class_jax.networks.onnx_engine import OUTPUTS

if TYPE_CHECKING:
    from class_jax.export.formats import Export

OPSET, IR_VERSION = 18, 8  # of 2022: runtimes of the last years read them
INPUT = "images"
NESTED = ("jit", "pjit", "custom_jvp_call", "remat2", "checkpoint", "closed_call")


def write_model(export: "Export", function: Callable[[jax.Array], Any], path: Path) -> None:
    """Write an ONNX file that computes maps, with the network's configuration in its metadata.

    `function`: uint8 [B, S, S, 3] → map and logits, float32 [B, S, S].
    """
    graph = translate(function, side=export.side)
    if export.precision != "float32":
        shrink(graph, export.precision)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="class_jax",
    )
    helper.set_model_props(model, {"config": json.dumps(export.config.to_dict())})
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def translate(function: Callable[[jax.Array], Any], *, side: int) -> onnx.GraphProto:
    """Return the ONNX graph of a function of images; its other inputs become constants.

    Args:
      function: uint8 [B, S, S, 3] → arrays [B, S, S] of float32, for any B.
      side: S, pixels.

    Raises:
      UserError: the function uses something that is not known here.
    """
    (batch,) = jax.export.symbolic_shape("b")
    images = jax.ShapeDtypeStruct((batch, side, side, 3), jnp.uint8)
    program = jax.make_jaxpr(function)(images)
    graph = GraphWriter()
    entry = Tensor(INPUT, images.shape, (0, 1, 2, 3))
    constants = [np.asarray(value) for value in program.consts]
    results = run(graph, program.jaxpr, [*constants, entry])
    graph.rename({graph.plain(result): name for result, name in zip(results, OUTPUTS, strict=True)})
    shape: list[str | int | None] = ["batch", side, side]
    return helper.make_graph(
        graph.nodes,
        "class_jax",
        [helper.make_tensor_value_info(INPUT, onnx.TensorProto.UINT8, [*shape, 3])],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in OUTPUTS],
        graph.constants,
    )


def run(graph: GraphWriter, jaxpr: core.Jaxpr, values: Sequence[Value]) -> list[Value]:
    """Translate a program into operators of a graph; return its results.

    Args:
      graph: receives the operators.
      jaxpr: the program.
      values: its constants, then its arguments.
    """
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], values, strict=True))

    def read(variable: Any) -> Value:
        return np.asarray(variable.val) if hasattr(variable, "val") else known[variable]

    for equation in jaxpr.eqns:
        results = _translate(graph, equation, [read(variable) for variable in equation.invars])
        known.update(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _translate(graph: GraphWriter, equation: Any, inputs: list[Value]) -> Sequence[Value]:
    """Translate one step of a program."""
    kind, params = equation.primitive.name, equation.params
    shape = equation.outvars[0].aval.shape
    if kind == "broadcast_in_dim":
        return [broadcast(graph, inputs[0], params["broadcast_dimensions"], shape)]
    if kind in NESTED and (operator := LAYERS.get(params.get("name", ""))):
        return [operator(graph, params, shape, *inputs)]
    if inner := _program_within(kind, params, inputs):
        return run(graph, *inner)
    if all(isinstance(value, np.ndarray) for value in inputs):
        return _compute(equation, inputs)
    if kind in BINARY:
        return [combine(graph, kind, shape, *inputs)]
    if operator := PRIMITIVES.get(kind):
        return [operator(graph, params, shape, *inputs)]
    raise UserError(f"the network uses {kind}, which cannot be exported to ONNX.")


def _program_within(
    kind: str, params: Any, inputs: Sequence[Value]
) -> tuple[core.Jaxpr, list[Value]] | None:
    """Return the program that a step calls, and its values; None if it calls none."""
    if kind == "cond":
        index, *values = inputs
        assert isinstance(index, np.ndarray), "only a platform decides"
        return params["branches"][index.item()].jaxpr, values
    if kind in NESTED:
        inner = params.get("jaxpr", params.get("call_jaxpr"))
        constants = [np.asarray(value) for value in getattr(inner, "consts", ())]
        return getattr(inner, "jaxpr", inner), [*constants, *inputs]
    return None


def _compute(equation: Any, inputs: Sequence[Value]) -> list[np.ndarray]:
    """Compute what depends on constants alone; a platform is that of the general branch."""
    if equation.primitive.name == "platform_index":
        return [np.array(equation.params["platforms"].index(None))]
    results = equation.primitive.bind(*inputs, **equation.params)
    many = equation.primitive.multiple_results
    return [np.asarray(result) for result in (results if many else [results])]
