"""The synthetic set: images and masks drawn from (seed, index)."""
