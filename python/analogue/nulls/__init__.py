"""What a score would be if nothing were shared: nulls, p-values, calibrated scores."""

from .permutations import NULLS as NULLS
from .permutations import permutation_test as permutation_test
from .score import Score as Score
