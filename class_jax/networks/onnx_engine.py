"""The engine for exported networks on CPUs: ONNX Runtime, without JAX."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from class_jax.errors import UserError
from class_jax.networks.engines import Engine
from class_jax.networks.foreign import INSTALL, check_outputs
from class_jax.text import first_line

if TYPE_CHECKING:
    from class_jax.models.classnet import Attention

# Before ONNX Runtime is imported: it looks up a host and writes files otherwise.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

OUTPUTS = ["saliency", "logits"]  # of an exported file; the map is the sigmoid of the logits
MAX_BATCH = 8  # larger ones are no faster on CPUs, and take more memory


class OnnxEngine:
    """An exported network in ONNX Runtime; see `engines.Engine`."""

    def __init__(
        self,
        path: Path,
        *,
        batch_size: int = MAX_BATCH,
        attentive: Callable[[], Engine] | None = None,
        has_data_beside: bool = False,
    ) -> None:
        """Load an exported `.onnx` file.

        Args:
          path: the file.
          batch_size: the most images at once, at most 8.
          attentive: returns an engine of the same network that can show its attention.
          has_data_beside: it may read files beside it; only for a graph that is our own.

        Raises:
          UserError: ONNX Runtime is not installed, or the file is not such an export.
        """
        try:
            import onnxruntime  # type: ignore[import-untyped]  # noqa: PLC0415 - optional
        except ImportError as error:
            raise UserError(f"{path} needs ONNX Runtime: {INSTALL}.") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # failures are raised
        # Threads that wait in a loop cost 70 % more processor time.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        model = str(path) if has_data_beside else path.read_bytes()
        try:
            self._session = onnxruntime.InferenceSession(
                model,
                options,
                ["CPUExecutionProvider"],
                enable_fallback=0,  # which would print
            )
            (entry,) = self._session.get_inputs()
            names = [output.name for output in self._session.get_outputs()]
            _, self.image_size, width, channels = entry.shape
            found = (entry.type, width, channels, names)
            if found != ("tensor(uint8)", self.image_size, 3, OUTPUTS):
                raise ValueError(f"its input and outputs are {found}")
            self._input, self._attentive = entry.name, attentive
            zeros = np.zeros((1, self.image_size, self.image_size, 3), np.uint8)
            outputs = self._session.run(OUTPUTS, {self._input: zeros})
        except Exception as error:  # ONNX Runtime does not state what it raises
            raise UserError(
                f"{path} is not an ONNX file that was exported here, or it cannot be run "
                f"({first_line(error)}): export the network again."
            ) from error
        check_outputs(outputs, self.image_size, path)
        self.batch_size = min(batch_size, MAX_BATCH)
        self.is_on_cpu = True
        self.device = f"{os.cpu_count()} CPU cores, by ONNX Runtime"

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Compute the finest logits, float32 [B, S, S], of RGB images, uint8 [B, S, S, 3]."""
        return self._session.run(OUTPUTS[1:], {self._input: images})[0]

    def maps(self, images: np.ndarray) -> np.ndarray:
        """Compute maps at the network's size, float32 [B, S, S] in 0–1, as `logits`."""
        return self._session.run(OUTPUTS[:1], {self._input: images})[0]

    def attend(self, images: np.ndarray) -> "list[Attention]":
        """Compute the attention weights by the engine that can; UserError if there is none."""
        if self._attentive is None:
            raise UserError(
                "an .onnx file holds the map alone, and no attention: name the run or the exported "
                "folder that it is of."
            )
        return self._attentive().attend(images)

    def expect(self, count: int) -> None:
        """Ignore `count`: the size of a batch does not change the result of an image."""
