"""Measuring maps by named protocols, and reporting the scores."""
