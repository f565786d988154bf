"""What a match costs on either backend, in sparse updates: how ``backend="auto"`` chooses."""

from __future__ import annotations

import numpy as np

from .activations import FeatureActivations
from .blocks import BLOCK

# Units are one scattered multiply-add of the sparse pass (0.19 ns on two cores of an AMD EPYC with AVX-512, where
# float32 GEMM runs at 215 GFLOP/s). Fixed ratios rather than a calibration at first use: both backends use all cores
# and the vector units, so ratios carry over, a few milliseconds of timing on a shared machine are off by a factor,
# and the same data take the same path on every run. `benches/test_backends.py` prints them anew.
_PAIR = 9.0  # a candidate pair in the sparse pass: its accumulator is cleared, scaled and searched both ways
_PRODUCT = 0.048  # a multiply-add of the GEMM
_CELL = 6.0  # an activation, zero or not, made dense and standardised once in float64


def sparse_cost(acts_a: FeatureActivations, acts_b: FeatureActivations, min_activations: int = 1) -> float:
    """Return ``updates + 9 C_A C_B``.

    Updates are pairs of features that fire on one token, summed over tokens; C is the number of candidates.
    """
    updates = np.diff(acts_a.indptr).astype(np.float64) @ np.diff(acts_b.indptr)
    return float(updates + _PAIR * _candidates(acts_a, min_activations) * _candidates(acts_b, min_activations))


def dense_cost(acts_a: FeatureActivations, acts_b: FeatureActivations, min_activations: int = 1) -> float:
    """Return ``0.048 T C_A C_B + 6 T (F_A passes_A + F_B passes_B)``.

    Every column is read twice for its moments, once to settle, and once for each block of the other side's candidates.
    """
    of_a, of_b = _candidates(acts_a, min_activations), _candidates(acts_b, min_activations)
    passes_a, passes_b = 3 + -(-of_b // BLOCK), 3 + -(-of_a // BLOCK)
    cells = acts_a.n_features * passes_a + acts_b.n_features * passes_b
    return acts_a.n_tokens * (_PRODUCT * of_a * of_b + _CELL * cells)


def _candidates(acts: FeatureActivations, min_activations: int) -> int:
    return int(np.count_nonzero(acts.firing_counts >= min_activations))
