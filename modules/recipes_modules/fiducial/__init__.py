"""Drift from fiducial markers: finding beads, judging them, and the mean of their trajectories."""
