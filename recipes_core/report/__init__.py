"""Showing recipes and results."""
