"""ECSSD."""
