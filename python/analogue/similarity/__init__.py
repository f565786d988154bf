"""How alike two sets of paired rows are: every measure is a similarity, larger is closer, at most 1."""

from .cca import svcca as svcca
from .gram import cka as cka
from .measure import Measure as Measure
from .measure import Prepared as Prepared
from .measure import UndefinedError as UndefinedError
from .measure import paired_rows as paired_rows
from .ranks import rsa as rsa
from .registry import MEASURES as MEASURES
