"""Drawings of a recipe's graph."""
