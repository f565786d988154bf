"""How alike two sets of paired rows are: every measure is a similarity, larger is closer, at most 1."""

from .cca import cca_r2 as cca_r2
from .cca import svcca as svcca
from .cca import svcca_capped as svcca_capped
from .gram import cka as cka
from .gram import cka_biased as cka_biased
from .heldout import heldout_cca as heldout_cca
from .heldout import heldout_r2 as heldout_r2
from .measure import Measure as Measure
from .measure import Prepared as Prepared
from .measure import UndefinedError as UndefinedError
from .measure import paired_rows as paired_rows
from .neighbours import jaccard_knn as jaccard_knn
from .neighbours import mutual_knn as mutual_knn
from .paired import paired_cosine as paired_cosine
from .principal import pc1_corr as pc1_corr
from .procrustes import procrustes as procrustes
from .pwcca import pwcca as pwcca
from .ranks import rsa as rsa
from .registry import MEASURES as MEASURES
