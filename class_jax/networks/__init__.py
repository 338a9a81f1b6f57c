"""Trained networks: where they are found, and the engines that run them."""
