"""The synthetic data set: images and masks drawn from (seed, index)."""

from class_jax.data.synthetic.source import SyntheticSource

__all__ = ["SyntheticSource"]
