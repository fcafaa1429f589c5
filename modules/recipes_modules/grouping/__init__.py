"""Localizations that belong together: those of one molecule in successive frames, and those of one cluster."""
