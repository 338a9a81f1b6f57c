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
from class_jax.export.operators import LAYERS, PRIMITIVES, GraphWriter, Tensor, Value
from class_jax.export.precision import shrink
from class_jax.networks.onnx_engine import OUTPUTS

if TYPE_CHECKING:
    from class_jax.export.formats import Export

OPSET, IR_VERSION = 18, 8  # of 2022: runtimes of the last years read them
INPUT = "images"
NESTED = ("jit", "pjit", "custom_jvp_call", "remat2", "checkpoint", "closed_call")


def write_model(export: "Export", function: Callable[[jax.Array], Any], path: Path) -> None:
    """Write an ONNX file that computes maps, with the network's configuration in its metadata.

    `function`: uint8 [B, S, S, 3] → map and logits, float32 [B, S, S], for any B. What it reads
    besides becomes constants.

    Raises:
      UserError: the function uses something that is not known here.
    """
    side = export.side
    (batch,) = jax.export.symbolic_shape("b")
    images = jax.ShapeDtypeStruct((batch, side, side, 3), jnp.uint8)
    program = jax.make_jaxpr(function)(images)
    writer = GraphWriter()
    results = run(writer, program, [Tensor(INPUT, images.shape)])
    for name, result in zip(OUTPUTS, results, strict=True):
        writer.nodes.append(helper.make_node("Identity", [writer.name(result)], [name]))
    shape: list[str | int] = ["batch", side, side]
    graph = helper.make_graph(
        writer.nodes,
        "class_jax",
        [helper.make_tensor_value_info(INPUT, onnx.TensorProto.UINT8, [*shape, 3])],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in OUTPUTS],
        writer.constants,
    )
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


def run(
    graph: GraphWriter, program: core.ClosedJaxpr | core.Jaxpr, values: Sequence[Value]
) -> list[Value]:
    """Add the operators of a program to a graph; return its results for these arguments."""
    jaxpr = getattr(program, "jaxpr", program)
    constants = [np.asarray(value) for value in getattr(program, "consts", ())]
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *values], strict=True))

    def read(variable: Any) -> Value:
        return np.asarray(variable.val) if hasattr(variable, "val") else known[variable]

    for equation in jaxpr.eqns:
        results = _translate(graph, equation, [read(variable) for variable in equation.invars])
        known.update(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _translate(graph: GraphWriter, equation: Any, inputs: Sequence[Value]) -> Sequence[Value]:
    kind, params = equation.primitive.name, equation.params
    if kind == "platform_index":
        return [np.array(params["platforms"].index(None))]  # the general branch
    if kind == "cond":
        assert isinstance(inputs[0], np.ndarray), "only a platform decides"
        return run(graph, params["branches"][inputs[0].item()], inputs[1:])
    is_nested = kind in NESTED
    operator = LAYERS.get(params.get("name", "")) if is_nested else PRIMITIVES.get(kind)
    if is_nested and not operator:
        return run(graph, params.get("jaxpr", params.get("call_jaxpr")), inputs)
    if kind != "broadcast_in_dim" and all(isinstance(value, np.ndarray) for value in inputs):
        results = equation.primitive.bind(*inputs, **params)
        return [np.asarray(x) for x in (results if isinstance(results, list) else [results])]
    if not operator:
        raise UserError(f"the network uses {kind}, which cannot be exported to ONNX.")
    return [operator(graph, params, equation.outvars[0].aval.shape, *inputs)]
