"""The measures by name, each with what it keeps under a row permutation."""

from __future__ import annotations

from .cca import prepare_cca_r2, prepare_svcca, prepare_svcca_capped
from .gram import prepare_cka, prepare_cka_biased
from .heldout import prepare_heldout_cca, prepare_heldout_r2
from .measure import Measure
from .neighbours import prepare_jaccard_knn, prepare_mutual_knn
from .paired import prepare_paired_cosine
from .principal import prepare_pc1_corr
from .procrustes import prepare_procrustes
from .pwcca import prepare_pwcca
from .ranks import prepare_rsa

_BASES = "the orthonormal bases of both sides, rows permuted"

MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("svcca", _BASES, prepare_svcca),
        Measure("svcca_capped", _BASES, prepare_svcca_capped),
        Measure("pc1_corr", "the first principal components of both sides, rows permuted", prepare_pc1_corr),
        Measure("cca_r2", _BASES, prepare_cca_r2),
        Measure("pwcca", f"{_BASES}, and the columns that weigh in their basis", prepare_pwcca),
        Measure("heldout_cca", "the divisions, the axes of x's halves, the components of y", prepare_heldout_cca),
        Measure("heldout_r2", "the divisions and the axes of x's halves", prepare_heldout_r2),
        Measure("rsa", "the ranks of the distances, re-indexed", prepare_rsa),
        Measure("cka", "the U-centred Gram matrices, re-indexed, or the centred rows", prepare_cka),
        Measure("cka_biased", "the double-centred Gram matrices, re-indexed, or the centred rows", prepare_cka_biased),
        Measure("procrustes", "the principal axes and norms of both sides, rows permuted", prepare_procrustes),
        Measure("mutual_knn", "the neighbours of every row, renumbered", prepare_mutual_knn),
        Measure("jaccard_knn", "the neighbours of every row, renumbered", prepare_jaccard_knn),
        Measure("paired_cosine", "the cosines between all rows, re-indexed", prepare_paired_cosine),
    )
}
