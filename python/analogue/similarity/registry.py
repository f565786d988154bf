"""The measures by name, each with what it keeps under a row permutation."""

from __future__ import annotations

from .cca import prepare_svcca
from .gram import prepare_cka
from .measure import Measure
from .ranks import prepare_rsa

MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("svcca", "the orthonormal bases of both sides, rows permuted", prepare_svcca),
        Measure("rsa", "the ranks of the distances, re-indexed", prepare_rsa),
        Measure("cka", "the U-centred Gram matrices, re-indexed", prepare_cka),
    )
}
