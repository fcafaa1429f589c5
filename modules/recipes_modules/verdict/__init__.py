"""Whether a drift can be believed: estimates from parts of the data compared, and what is left after the correction."""
