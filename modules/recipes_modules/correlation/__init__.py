"""Numerics of redundant cross-correlation: windows, correlations, peaks, and the least squares that joins them.

Source: Y. Wang, J. Schnitzbauer, Z. Hu, X. Li, Y. Cheng, Z.-L. Huang, B. Huang, "Localization events-based sample drift
correction for localization microscopy with redundant cross-correlation algorithm", Opt. Express 22, 15982 (2014),
doi:10.1364/OE.22.015982.
"""
