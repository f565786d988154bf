"""What a score would be if nothing were shared: nulls, p-values, calibrated scores."""

from .analytic import CLOSED_MEASURES as CLOSED_MEASURES
from .analytic import CLOSED_NULLS as CLOSED_NULLS
from .definitions import NULLS as NULLS
from .definitions import RATE_ADJUSTED as RATE_ADJUSTED
from .definitions import Null as Null
from .draws import Draw as Draw
from .draws import TooFewError as TooFewError
from .draws import draw_test as draw_test
from .groups import Movable as Movable
from .groups import movable as movable
from .groups import one_per_token as one_per_token
from .groups import sibling_groups as sibling_groups
from .multiple import benjamini_hochberg as benjamini_hochberg
from .multiple import benjamini_yekutieli as benjamini_yekutieli
from .multiple import sidak as sidak
from .permutations import permutation_test as permutation_test
from .rates import without_rates as without_rates
from .score import Score as Score
