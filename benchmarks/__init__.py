"""Benchmarks beside what a user would pick instead; `python -m benchmarks.NAME` runs one."""

import os

# The peer needs memory on the same GPU.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
