"""Video and animations (optional packages)."""
