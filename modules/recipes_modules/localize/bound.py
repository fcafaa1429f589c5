"""Cramér-Rao bound of positions of single Gaussian spots."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

AT_ONCE = 4096
"""Spots whose derivatives are held in memory at a time."""


def position_bound(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    photons: npt.ArrayLike,
    background: npt.ArrayLike,
    sigma_x: npt.ArrayLike,
    sigma_y: npt.ArrayLike,
    *,
    variance: float = 0.0,
    excess: float = 1.0,
    half: int = 3,
    widths: int = 1,
) -> Floats:
    """Lowest standard error that an unbiased fit of x, y, photons, background and the widths can have.

    Parameters
    ----------
    x, y : array (n,)
        Positions in pixels; only the part behind the point counts.
    photons, background : array (n,)
        In the whole spot; in a pixel.
    sigma_x, sigma_y : array (n,)
        Pixels.
    variance : float
        Of the read noise, photoelectrons^2; it is added to that of the light as in Huang et al. 2013, doi:10.1038/nmeth.2488.
    excess : float
        Square of the EM register's noise factor.
    half : int
        The fit sees ``2 half + 1`` pixels a side.
    widths : {0, 1, 2}
        Widths that are fitted too.

    Returns
    -------
    array (n, 2)
        Of x and y, in pixels; infinite where there is no light.
    """
    columns = [np.asarray(values, np.float64) for values in (x, y, photons, background, sigma_x, sigma_y)]
    n = len(columns[0])
    out = np.empty((n, 2))
    for start in range(0, n, AT_ONCE):
        px, py, light, dark, sx, sy = (values[start : start + AT_ONCE] for values in columns)
        out[start : start + AT_ONCE] = _block(px, py, light, dark, sx, sy, variance, excess, half, widths)
    return out


def _block(
    x: Floats, y: Floats, photons: Floats, background: Floats, sx: Floats, sy: Floats,
    variance: float, excess: float, half: int, widths: int,
) -> Floats:  # fmt: skip
    px, dx, wx = _profile(x - np.round(x), sx, half)
    py, dy, wy = _profile(y - np.round(y), sy, half)
    amount = photons[:, None, None]
    shape = py[:, :, None] * px[:, None, :]
    parts = [
        amount * py[:, :, None] * dx[:, None, :],
        amount * dy[:, :, None] * px[:, None, :],
        shape,
        np.ones_like(shape),
    ]
    across, down = amount * py[:, :, None] * wx[:, None, :], amount * wy[:, :, None] * px[:, None, :]
    parts += [[], [across + down], [across, down]][widths]
    slopes = np.stack([part.reshape(len(x), -1) for part in parts], axis=1)
    noise = excess * (amount * shape + background[:, None, None]) + variance
    # Without light and noise there is nothing to divide by, and nothing to know.
    weight = 1 / np.maximum(noise.reshape(len(x), 1, -1), 1e-12)
    information = (slopes * weight) @ slopes.transpose(0, 2, 1)
    scale = np.sqrt(np.maximum(np.einsum("nii->ni", information), 1e-300))
    good = (photons > 0) & np.isfinite(scale).all(axis=1)
    found = np.full((len(x), 2), np.inf)
    # Scaled to ones on the diagonal: photons and pixels differ by orders of magnitude.
    scaled = information[good] / (scale[good][:, :, None] * scale[good][:, None, :])
    inverse = np.linalg.pinv(scaled, hermitian=True)
    found[good] = np.sqrt(np.einsum("nii->ni", inverse)[:, :2]) / scale[good][:, :2]
    return found


def _profile(centre: Floats, sigma: Floats, half: int) -> tuple[Floats, Floats, Floats]:
    """Integral of a Gaussian over pixels -half to half, and its derivatives by centre and by sigma; (n, 2 half + 1) each."""
    from scipy.special import erf

    edges = np.arange(-half, half + 2) - 0.5
    t = (edges - centre[:, None]) / sigma[:, None]
    bell = np.exp(-0.5 * t**2) / np.sqrt(2 * np.pi)
    whole = 0.5 * erf(t / np.sqrt(2))
    return np.diff(whole, axis=1), -np.diff(bell, axis=1) / sigma[:, None], -np.diff(t * bell, axis=1) / sigma[:, None]
