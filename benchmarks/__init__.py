"""Speeds, measured beside what a user would pick instead; `python -m benchmarks.NAME` runs one."""
