"""Distribution of the distance to the nearest localization in the next frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Parameters: precision, persistence, density; ratio of two precisions and weight of the finer one; share, centre and width of
# the neighbours in a structure.
_BASE = np.array([True, True, True, False, False, False, False, False])
_SPREAD = np.array([True, True, True, True, True, False, False, False])
_STRUCTURE = np.array([True, True, True, False, False, True, True, True])
MOST_RATIO = 2.0
_OFF = np.array([0.0, 0.0, 0.0, 1.0, 0.5, 0.0, 6.0, 1.5])


@dataclass(frozen=True)
class Model:
    """Fitted distribution.

    Attributes
    ----------
    parameters : array (8,)
        Precision (root mean square), persistence, density; ratio of two precisions and weight of the finer one, for
        localizations that differ; share, centre and width (in precisions) of the Gaussian.
    free : array (8,) of bool
        Which of them were fitted.
    deviance : float
        Minus twice the log-likelihood, up to a constant.
    """

    parameters: Floats
    free: npt.NDArray[np.bool_]
    deviance: float

    @property
    def sigma(self) -> float:
        """Precision along one axis."""
        return float(self.parameters[0])

    @property
    def persistence(self) -> float:
        """Probability that the molecule is localized in the next frame."""
        return float(self.parameters[1])

    @property
    def density(self) -> float:
        """Other localizations per area."""
        return float(self.parameters[2])

    @property
    def spread(self) -> float:
        """Standard deviation of the squared precisions over their mean."""
        fine, coarse, weight = _two(*self.parameters[[0, 3, 4]])
        return math.sqrt(weight * (1 - weight)) * (coarse**2 - fine**2) / self.sigma**2

    def same(self, edges: Floats, origins: int) -> Floats:
        """Expected neighbours that are the same molecule, for each bin."""
        middle = (edges[1:] + edges[:-1]) / 2
        alone = self.parameters.copy()
        alone[1] = 0.0
        own = np.diff(_returned(edges, *self.parameters[[0, 3, 4]]))
        return np.asarray(origins * self.persistence * own * _survival(middle, alone))

    def expected(self, edges: Floats, origins: int) -> Floats:
        """Expected nearest neighbours for each bin."""
        return np.asarray(-origins * np.diff(_survival(edges, self.parameters)))

    def refitted(self, edges: Floats, counts: Floats, origins: int) -> Model:
        """The same terms fitted to other counts."""
        return _fitted(edges, counts, origins, self.parameters, self.free)


def choose(edges: Floats, counts: Floats, origins: int, coarse: float, *, may_spread: bool) -> Model:
    """The model that the data ask for, by the Bayesian information criterion.

    Parameters
    ----------
    edges : array (n + 1,)
    counts : array (n,)
        Nearest neighbours in each bin.
    origins : int
        Localizations whose neighbours were looked for.
    coarse : float
        First guess of the precision.
    may_spread : bool
        Whether the precision may differ from one localization to another.
    """
    start = _start(edges, counts, origins, coarse)
    base = _fitted(edges, counts, origins, start, _BASE)
    models = [base]
    if may_spread:
        models.append(_fitted(edges, counts, origins, _with(base.parameters, ratio=1.5), _SPREAD))
    for model in tuple(models):
        first = _with(model.parameters, share=0.05)
        models.append(_fitted(edges, counts, origins, first, model.free | _STRUCTURE))
    # Precisions that differ more are other molecules near by.
    models = [model for model in models if model.parameters[3] < 0.95 * MOST_RATIO]
    cost = math.log(max(float(counts.sum()), 2.0))
    return min(models, key=lambda model: model.deviance + cost * np.count_nonzero(model.free))


def _with(parameters: Floats, *, ratio: float | None = None, share: float | None = None) -> Floats:
    changed = parameters.copy()
    if ratio is not None:
        changed[3] = ratio
    if share is not None:
        changed[5] = share
    return changed


def _two(sigma: float, ratio: float, weight: float) -> tuple[float, float, float]:
    """Two precisions whose root mean square is sigma, and the weight of the finer one."""
    fine = sigma / math.sqrt(weight + (1 - weight) * ratio**2)
    return fine, fine * ratio, weight


def _returned(d: Floats, sigma: float, ratio: float, weight: float) -> Floats:
    """Probability that the same molecule is seen within d: Rayleigh's law, or two of them."""
    fine, coarse, weight = _two(sigma, ratio, weight)
    near = -np.expm1(-(d**2) / (4 * fine**2))
    return near if ratio == 1 else np.asarray(weight * near - (1 - weight) * np.expm1(-(d**2) / (4 * coarse**2)))


def _survival(d: Floats, parameters: Floats) -> Floats:
    from scipy.special import ndtr

    sigma, persistence, density, ratio, weight, share, centre, width = parameters
    result = (1 - persistence * _returned(d, sigma, ratio, weight)) * np.exp(-np.pi * density * d**2)
    if share:
        low = ndtr(-centre / width)
        result *= 1 - share * (ndtr((d / sigma - centre) / width) - low) / (1 - low)
    return np.asarray(result)


def _start(edges: Floats, counts: Floats, origins: int, coarse: float) -> Floats:
    outer = edges[:-1] >= 0.6 * edges[-1]
    area = np.pi * float(edges[-1] ** 2 - edges[:-1][outer][0] ** 2)
    density = counts[outer].sum() / max(origins, 1) / area
    inner = edges[1:] <= 4 * coarse
    persistence = counts[inner].sum() / max(origins, 1) - density * np.pi * 16 * coarse**2
    start = _OFF.copy()
    start[:3] = coarse, min(max(persistence, 0.01), 0.95), density
    return start


def _fitted(edges: Floats, counts: Floats, origins: int, start: Floats, free: npt.NDArray[np.bool_]) -> Model:
    """Maximum likelihood of counts that are Poisson distributed: least squares of the deviance residuals."""
    from scipy.optimize import least_squares

    reach = float(edges[-1])
    scale = np.array([start[0], 1.0, max(start[2], 0.01 / (np.pi * reach**2)), 1.0, 1.0, 1.0, 1.0, 1.0])
    # The Gaussian for neighbours in a structure must not take the place of the peak itself.
    low = np.array([0.05 * start[0], 0.0, 0.0, 1.0, 0.05, 0.0, 4.5, 0.7]) / scale
    high = np.array([20 * start[0], 1.0, max(100 * scale[2], 10 / reach**2), MOST_RATIO, 0.95, 1.0, 10.0, 4.0]) / scale
    observed = np.append(counts, max(origins - counts.sum(), 0.0))
    entropy = np.where(observed > 0, observed, 1.0)
    base = start / scale

    def residuals(reduced: Floats) -> Floats:
        parameters = base.copy()
        parameters[free] = reduced
        survival = _survival(edges, parameters * scale)
        expected = np.maximum(origins * np.append(-np.diff(survival), survival[-1]), 1e-9)
        deviance = 2 * (expected - observed + np.where(observed > 0, observed * np.log(entropy / expected), 0.0))
        left = np.sign(observed - expected) * np.sqrt(np.maximum(deviance, 0.0))
        # Where every molecule stays on, others and precision cannot be told apart; then there are none.
        sigma, _, density = (parameters * scale)[:3]
        return np.append(left, 4 * np.pi * sigma**2 * density)

    first = np.clip(base, low + 1e-6, high - 1e-6)[free]
    found = least_squares(residuals, first, bounds=(low[free], high[free]), xtol=1e-9, ftol=1e-9)
    result = base.copy()
    result[free] = found.x
    return Model(np.asarray(result * scale), free, float(2 * found.cost))
