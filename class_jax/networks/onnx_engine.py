"""The engine for exported networks on CPUs: ONNX Runtime, without JAX."""

import os
from pathlib import Path

import numpy as np

from class_jax.errors import UserError

LOGITS = "class_jax_logits"  # the tensor in an exported file that the map is the sigmoid of
MAX_BATCH = 8  # larger ones are no faster on CPUs, and take more memory
INSTALL = "pip install onnx onnxruntime"


class OnnxEngine:
    """An exported network in ONNX Runtime; see `engines.Engine`."""

    def __init__(self, path: Path, *, batch_size: int = MAX_BATCH) -> None:
        """Load an exported `.onnx` file.

        Args:
          path: the file.
          batch_size: the most images at once, at most 8.

        Raises:
          UserError: ONNX Runtime is not installed, or the file is not such an export.
        """
        try:
            import onnxruntime  # type: ignore[import-untyped]  # noqa: PLC0415 - optional
        except ImportError as error:
            raise UserError(f"{path} needs ONNX Runtime: {INSTALL}.") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what fails is raised
        try:
            self._session = onnxruntime.InferenceSession(
                path.read_bytes() + _add_output(LOGITS), options, ["CPUExecutionProvider"]
            )
            (entry,) = self._session.get_inputs()
            self._map = self._session.get_outputs()[0].name
            _, self.image_size, width, channels = entry.shape
            is_ours = (entry.type, width, channels) == ("tensor(uint8)", self.image_size, 3)
        except OSError:
            raise
        except Exception as error:  # ONNX Runtime does not state what it raises
            raise _refuse(path) from error
        if not is_ours:
            raise _refuse(path)
        self._input = entry.name
        self.batch_size = min(batch_size, MAX_BATCH)
        self.is_on_cpu = True
        self.device = f"{os.cpu_count()} CPU cores, by ONNX Runtime"

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Compute the finest logits, float32 [B, S, S], of RGB images, uint8 [B, S, S, 3]."""
        return self._session.run([LOGITS], {self._input: images})[0]

    def maps(self, images: np.ndarray) -> np.ndarray:
        """Compute maps at the network's size, float32 [B, S, S] in 0–1, as `logits`."""
        return self._session.run([self._map], {self._input: images})[0]

    def expect(self, count: int) -> None:
        """Ignore `count`: the size of a batch does not change the result of an image."""


def _refuse(path: Path) -> UserError:
    return UserError(
        f"{path} is not an ONNX file that was exported here, or it is damaged: export the network "
        "again."
    )


def _add_output(tensor: str) -> bytes:
    """Return what, appended to a serialised model, makes an inner tensor one of its outputs.

    Exported files have one output, the map. Maps of other sizes are made of logits, which a map
    does not determine where it is near 1. Serialised messages of protocol buffers that follow each
    other are merged: https://protobuf.dev/programming-guides/encoding/#last-one-wins.
    """
    name = _encode_field(1, tensor.encode())  # ValueInfoProto.name
    return _encode_field(7, _encode_field(12, name))  # GraphProto.output, ModelProto.graph


def _encode_field(number: int, content: bytes) -> bytes:
    """Encode a short field of variable length."""
    return bytes([number << 3 | 2, len(content)]) + content
