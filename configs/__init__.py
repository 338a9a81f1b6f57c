"""Recipes: `get_config()` of every file returns a complete configuration."""
