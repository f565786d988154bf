"""Do two language models represent the same things? Feature pairs, similarity measures, and nulls that hold."""

from .activations import FeatureActivations as FeatureActivations
