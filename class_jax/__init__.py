"""CLASS: salient object detection by cross-level attention and supervision, in JAX and Flax."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from class_jax.pictures.predictor import Predictor

__all__ = ["Predictor"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import `Predictor` on first use: processes that decode images must not load JAX."""
    if name == "Predictor":
        from class_jax.pictures.predictor import Predictor  # noqa: PLC0415

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
