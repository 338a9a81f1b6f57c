"""Optimiser, step, loop, validation and logs (§4.1)."""
