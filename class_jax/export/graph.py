"""An ONNX graph that is being written, and the values that its operators exchange.

ONNX has channels first. A tensor therefore carries the order of its axes in memory, and is
transposed only where an operator needs another one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper


class Tensor(NamedTuple):
    """A tensor of the ONNX graph: axis `order[k]` of the JAX array is axis k in memory."""

    name: str
    shape: tuple[Any, ...]  # of the JAX array; an axis that is to be broadcast may still be 1
    order: tuple[int, ...]


Value = np.ndarray | Tensor  # constants are arrays


class GraphWriter:
    """Collects the nodes and constants of an ONNX graph."""

    def __init__(self) -> None:
        """Create an empty graph."""
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add an operator; return the name of its output."""
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def hold(self, array: np.ndarray) -> str:
        """Add a constant; return its name."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(array, order="C"), name))
        return name

    def arrange(self, value: Value, order: Sequence[int]) -> str:
        """Return the name of a tensor or constant with its axes in the given order."""
        if isinstance(value, np.ndarray):
            return self.hold(value.transpose(order))
        if value.order == tuple(order):
            return value.name
        permutation = [value.order.index(axis) for axis in order]
        return self.add("Transpose", [value.name], perm=permutation)

    def plain(self, value: Value) -> str:
        """Return the name of a tensor with its axes in JAX's order."""
        return self.arrange(value, range(len(value.shape)))

    def rename(self, names: Mapping[str, str]) -> None:
        """Give tensors other names."""
        for node in self.nodes:
            for listed in (node.input, node.output):
                listed[:] = [names.get(name, name) for name in listed]
