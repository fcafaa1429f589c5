"""Localizations turned into pixels: counts, Gaussians and triangles."""
