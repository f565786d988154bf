"""Dictionaries: features at a site of a model, from SAE checkpoints or the neurons themselves."""

from .base import Dictionary as Dictionary
from .folders import load_dictionary as load_dictionary
from .neurons import neurons as neurons
