"""The measures by name, each with what it keeps under a row permutation."""

from __future__ import annotations

from .cca import prepare_cca_r2, prepare_svcca, prepare_svcca_capped
from .gram import prepare_cka, prepare_cka_biased
from .measure import Measure
from .principal import prepare_pc1_corr
from .ranks import prepare_rsa

_BASES = "the orthonormal bases of both sides, rows permuted"

MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("svcca", _BASES, prepare_svcca),
        Measure("svcca_capped", _BASES, prepare_svcca_capped),
        Measure("pc1_corr", "the first principal components of both sides, rows permuted", prepare_pc1_corr),
        Measure("cca_r2", _BASES, prepare_cca_r2),
        Measure("rsa", "the ranks of the distances, re-indexed", prepare_rsa),
        Measure("cka", "the U-centred Gram matrices, re-indexed", prepare_cka),
        Measure("cka_biased", "the double-centred Gram matrices, re-indexed", prepare_cka_biased),
    )
}
