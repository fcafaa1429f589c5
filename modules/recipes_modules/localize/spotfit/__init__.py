"""Fits of single spots, sixteen at a time: one in each lane of vectors (`vectors`), from cutting (`pixels`) to errors (`fit`)."""
