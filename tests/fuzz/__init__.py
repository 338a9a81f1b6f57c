"""Fuzzing of what reads files of strangers."""
