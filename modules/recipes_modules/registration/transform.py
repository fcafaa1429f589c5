"""Transformations of chunks: corrected = matrix (position - centre) + centre + offset."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Transformation:
    """What moves one chunk onto its target.

    Attributes
    ----------
    matrix : array (d, d)
    offset : array (d,)
        nm.
    error : array (d,)
        Standard error of the offset that the chunk's own localizations leave, nm.
    found : bool
        Whether anything of the target was found.
    facts : dict
        What the method says of the registration: name of a column -> value.
    """

    matrix: Floats
    offset: Floats
    error: Floats
    found: bool = True
    facts: dict[str, float] = field(default_factory=dict)

    def after(self, first: Transformation) -> Transformation:
        """Another transformation, then this one; errors and facts are those of `first`."""
        offset = self.matrix @ first.offset + self.offset
        return Transformation(self.matrix @ first.matrix, offset, first.error, first.found, first.facts)

    def inverse(self) -> Transformation:
        """The way back; errors and facts stay."""
        matrix = np.linalg.inv(self.matrix)
        return Transformation(matrix, -matrix @ self.offset, self.error, self.found, self.facts)


def unit(dimensions: int) -> Transformation:
    """The transformation that leaves everything where it is."""
    return Transformation(np.eye(dimensions), np.zeros(dimensions), np.zeros(dimensions))
