"""Recipes: each file's `get_config()` gives a complete configuration."""
