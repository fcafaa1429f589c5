"""The built-in SMLM modules."""
