"""Drift of localizations at minimum entropy: densities, scores and the smoother. Its files import numba: import them on use."""
