"""Weights from PyTorch: files, names, and a strict load."""
