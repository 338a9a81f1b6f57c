"""Smaller weights in an ONNX file: kernels stored as float16 or int8, computed in float32.

ONNX Runtime's converters did worse when they were tried (docs/exporting.md): these lines leave the
operators as they are, and runtimes undo the conversion once, when they load the file.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from class_jax.export.proof import LIMITS

LEAST = 256  # values; smaller constants are not worth shrinking
LEAST_INT8 = 4096  # smaller kernels, such as depthwise ones, become float16: int8 costs more there


def shrink(graph: onnx.GraphProto, precision: str) -> None:
    """Turn the kernels of a graph to float16, or the large ones to int8."""
    kernels = {node.input[1] for node in graph.node if node.op_type == "Conv"}
    nodes: list[onnx.NodeProto] = []
    scales: list[onnx.TensorProto] = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < LEAST:
            continue
        values, name = numpy_helper.to_array(tensor), tensor.name
        stored = f"{name}_stored"
        if precision == "int8" and name in kernels and values.size >= LEAST_INT8:
            highest = np.abs(values).max((1, 2, 3), keepdims=True)  # of each output channel
            scale = np.where(highest > 0, highest / 127, 1).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(np.rint(values / scale).astype("i1"), stored))
            scales.append(numpy_helper.from_array(scale, f"{name}_scale"))
            cast = helper.make_node("Cast", [stored], [f"{name}_levels"], to=TensorProto.FLOAT)
            nodes += [cast, helper.make_node("Mul", [f"{name}_levels", f"{name}_scale"], [name])]
        else:
            tensor.CopyFrom(numpy_helper.from_array(values.astype("f2"), stored))
            nodes.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    nodes += graph.node
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(scales)


def note_difference(path: Path, precision: str, difference: float, images: int) -> str:
    """Store in an ONNX file, and return, its difference from the network."""
    text = (
        f"weights in {precision}: maps differ from those of float32 by up to {difference:.1e} of 0 "
        f"to 1 on {images} images; {LIMITS[precision]} is the most that is allowed"
    )
    model = onnx.load(path)
    model.doc_string = text
    path.write_bytes(model.SerializeToString())
    return text
