"""Scores without a permutation: the moments of a null in closed form, their p-value, and when not to believe it."""

from __future__ import annotations

import math

from ..similarity import Prepared
from ..similarity.cca import SquaredSubspaces, Subspaces
from ..similarity.gram import Kernels
from ..similarity.mantel import Mantel
from .moments import Moments as Moments
from .moments import cca_r2_moments as cca_r2_moments
from .moments import kernel_moments as kernel_moments
from .moments import mantel_moments as mantel_moments
from .wachter import svcca_moments as svcca_moments
from .wachter import wachter_moments

CLOSED_NULLS = ("pairing", "one-per-token")  # those that permute all rows alike
CLOSED_MEASURES = ("rsa", "cka", "cka_biased", "cca_r2", "svcca", "svcca_capped")
SMALLEST_P = 1e-4  # below it no tail here was ever compared with permutations: print "< 1e-4"
_SKEWNESS = 1.6
_CONCENTRATION = 0.02  # twice that, and a true p of .001 is reported as .0005; at 0.2 as .0001, whatever the skewness
_LEVERAGE_FACTOR = 1.25
_DIRECTIONS = 5  # below it the mean is off by 0.07-0.16 sd, and a true p of .05 is reported as .02-.04
_NORMAL = 1e-5  # skewness below which Pearson's curve is the normal one to ten digits


def closed_form(prepared: Prepared) -> Moments | None:
    """Return the moments of a measure over all row permutations; None for a measure that has no closed form.

    `CLOSED_MEASURES` have one. It holds under `CLOSED_NULLS`, which permute all rows alike (``one-per-token`` after its
    filter).
    """
    if isinstance(prepared, Mantel):
        return mantel_moments(prepared.a, prepared.b)
    if isinstance(prepared, Subspaces):
        return wachter_moments(prepared.qx, prepared.qy)
    if isinstance(prepared, SquaredSubspaces):
        return cca_r2_moments(prepared.qx, prepared.qy)
    if isinstance(prepared, Kernels):
        return kernel_moments(prepared.k, prepared.l)
    return None


def distrust(prepared: Prepared, moments: Moments) -> str | None:
    """Return one sentence saying why a closed form is not to be trusted here, or None where it is.

    Exact moments are never wrong; what fails is the curve through them, where few rows carry the measure. SVCCA's are
    those of a limit, which needs directions to be many: at least five that are kept on each side, and as many that are
    not (two subspaces meet at the same angles as what they leave out).
    """
    if isinstance(prepared, Subspaces):
        dimensions = len(prepared.qx) - 1
        largest = max(prepared.kx, prepared.ky)
        if largest >= dimensions:
            return f"saturated: {largest} directions fill {dimensions} dimensions, every permutation gives 1"
        free = min(prepared.kx, prepared.ky, dimensions - largest)
        if free < _DIRECTIONS:
            return f"{free} free canonical correlations are too few for the limit law (at least {_DIRECTIONS})"
    if moments.leverage_factor is not None and moments.leverage_factor > _LEVERAGE_FACTOR:
        return f"few rows carry the subspaces: leverage factor {moments.leverage_factor:.2f} (limit {_LEVERAGE_FACTOR})"
    if moments.skewness is not None and abs(moments.skewness) > _SKEWNESS:
        return f"few rows carry the measure: skewness {moments.skewness:.1f} (limit {_SKEWNESS})"
    if moments.concentration is not None and moments.concentration > _CONCENTRATION:
        return f"few rows carry the measure: concentration {moments.concentration:.2f} (limit {_CONCENTRATION})"
    return None


def tail(prepared: Prepared, moments: Moments) -> float | None:
    """Return the p-value of ``prepared.observed`` by its closed form; None where only z can be given.

    Pearson's curve of type III for debiased CKA and RSA, the normal one for SVCCA. Below `SMALLEST_P` only that it is
    small can be said.
    """
    if moments.variance <= prepared.rounding**2:
        return None
    z = (prepared.observed - moments.mean) / moments.std
    if isinstance(prepared, Mantel):
        return pearson3_sf(z, moments.skewness or 0.0)
    return pearson3_sf(z, 0.0) if isinstance(prepared, Subspaces) else None


def pearson3_sf(z: float, skewness: float) -> float:
    """Return the upper tail at ``z`` of Pearson's type III distribution of mean 0, variance 1 and this skewness.

    A shifted gamma distribution, or its mirror image for a negative skewness; normal at 0 (Mielke and Berry 2007
    use it for permutation statistics).
    """
    if math.isnan(z) or not math.isfinite(skewness):
        raise ValueError(f"z and skewness must be numbers, got {z!r} and {skewness!r}")
    if abs(skewness) < _NORMAL:
        return math.erfc(z / math.sqrt(2)) / 2
    from scipy.special import gammainc, gammaincc

    shape = 4 / skewness**2
    at = max(0.0, shape + 2 * z / skewness)
    return float(gammaincc(shape, at) if skewness > 0 else gammainc(shape, at))


def pearson3_isf(p: float, skewness: float) -> float:
    """Return the value whose upper tail is ``p``, above 0 and below 1: the inverse of `pearson3_sf`."""
    if not 0 < p < 1 or not math.isfinite(skewness):
        raise ValueError(f"p must be above 0 and below 1, and skewness a number, got {p!r} and {skewness!r}")
    if abs(skewness) < _NORMAL:
        from statistics import NormalDist

        return -NormalDist().inv_cdf(p)
    from scipy.special import gammainccinv, gammaincinv

    shape = 4 / skewness**2
    at = gammainccinv(shape, p) if skewness > 0 else gammaincinv(shape, p)
    return float(at - shape) * skewness / 2
