"""Numerics of simulated movies: when molecules shine, what their spots look like, what a camera makes of the light."""
