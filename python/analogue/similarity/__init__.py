"""How alike two sets of paired rows are: every measure is a similarity, larger is closer, at most 1."""

from .cca import cca_r2 as cca_r2
from .cca import svcca as svcca
from .cca import svcca_capped as svcca_capped
from .gram import cka as cka
from .gram import cka_biased as cka_biased
from .measure import Measure as Measure
from .measure import Prepared as Prepared
from .measure import UndefinedError as UndefinedError
from .measure import paired_rows as paired_rows
from .principal import pc1_corr as pc1_corr
from .ranks import rsa as rsa
from .registry import MEASURES as MEASURES
