"""Numerics of adaptive intersection maximization: cells, counting, tracking and refinement.

Source: H. Ma, M. Chen, J. Xu, Y. Zhao, Y. Liu, et al., "Toward drift-free high-throughput nanoscopy through adaptive intersection
maximization", Sci. Adv. 10, eadm7765 (2024), doi:10.1126/sciadv.adm7765.
"""
