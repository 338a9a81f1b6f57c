"""Measure saliency maps by named protocols, and report the scores."""
