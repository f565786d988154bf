"""What a score would be if nothing were shared: nulls, p-values, calibrated scores."""

from .draws import Draw as Draw
from .draws import TooFewError as TooFewError
from .draws import draw_test as draw_test
from .permutations import NULLS as NULLS
from .permutations import permutation_test as permutation_test
from .score import Score as Score
