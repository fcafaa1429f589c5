"""Rigid motions and similarities as vectors, and the one that fits pairs of points best."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Frame:
    """Writes motions as vectors in nm: the offset, then rotation and growth as what they move a point at the mean radius.

    Parameters
    ----------
    points : array (n, d)
        Their root mean square distance from the origin is the radius.
    kind : {'translation', 'rotation', 'similarity'}
    """

    def __init__(self, points: Floats, kind: str) -> None:
        self.kind = kind
        self.d = points.shape[1]
        self.radius = float(np.sqrt(np.mean(np.sum(points**2, axis=1)))) or 1.0

    def vector(self, matrix: Floats, offset: Floats) -> Floats:
        """The vector of a motion."""
        if self.kind == "translation":
            return np.array(offset, dtype=np.float64)
        scale = float(np.linalg.det(matrix)) ** (1 / self.d)
        turn = _angles(matrix / scale) * self.radius
        growth = [np.log(scale) * self.radius] if self.kind == "similarity" else []
        return np.concatenate([offset, turn, growth])

    def motion(self, vector: Floats) -> tuple[Floats, Floats]:
        """Matrix and offset of a vector."""
        d = self.d
        if self.kind == "translation":
            return np.eye(d), vector
        turns = 1 if d == 2 else 3
        scale = np.exp(vector[-1] / self.radius) if self.kind == "similarity" else 1.0
        return scale * _turned(vector[d : d + turns] / self.radius), vector[:d]


def _angles(rotation: Floats) -> Floats:
    if len(rotation) == 2:
        return np.array([np.arctan2(rotation[1, 0] - rotation[0, 1], rotation[0, 0] + rotation[1, 1])])
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_matrix(rotation).as_rotvec())


def _turned(angles: Floats) -> Floats:
    if len(angles) == 1:
        c, s = np.cos(angles[0]), np.sin(angles[0])
        return np.array([[c, -s], [s, c]])
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_rotvec(angles).as_matrix())


def best_motion(points: Floats, found: Floats, *, scaled: bool) -> tuple[Floats, Floats]:
    """Matrix and offset that bring points onto others with the least squared distances (Umeyama 1991, doi:10.1109/34.88573)."""
    middle, goal = points.mean(axis=0), found.mean(axis=0)
    centred = points - middle
    left, singular, right = np.linalg.svd((found - goal).T @ centred)
    signs = np.ones(len(singular))
    signs[-1] = np.sign(np.linalg.det(left @ right))
    spread = float(np.sum(centred**2))
    scale = float(singular @ signs) / spread if scaled and spread else 1.0
    matrix = scale * (left * signs) @ right
    return matrix, goal - matrix @ middle
