"""A small plugin of smlm-recipes."""
