"""PASCAL-S."""
