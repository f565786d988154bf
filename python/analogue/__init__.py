"""Do two language models represent the same things? Feature pairs, similarity measures, and nulls that hold."""

from ._core import __version__ as __version__
from .activations import FeatureActivations as FeatureActivations
from .matching import Matches as Matches
from .matching import match as match
from .pairs import Pairs as Pairs
