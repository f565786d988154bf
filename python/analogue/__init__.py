"""Do two language models represent the same things? Feature pairs, similarity measures, and nulls that hold."""

from . import filters as filters
from . import similarity as similarity
from ._core import __version__ as __version__
from .activations import FeatureActivations as FeatureActivations
from .capture import capture as capture
from .compare import Comparison as Comparison
from .compare import Settings as Settings
from .corpus import Corpus as Corpus
from .dictionaries import Dictionary as Dictionary
from .dictionaries import load_dictionary as load_dictionary
from .grid import Grid as Grid
from .grid import compare as compare
from .grid import load_comparison as load_comparison
from .labels import Labels as Labels
from .labels import top_contexts as top_contexts
from .labels import top_positions as top_positions
from .matching import Matches as Matches
from .matching import match as match
from .nulls import Score as Score
from .nulls import permutation_test as permutation_test
from .pairs import Pairs as Pairs
from .shards import ActivationShards as ActivationShards
from .sides import Side as Side
from .sides import load_side as load_side
