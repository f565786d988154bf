from typing import final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Stream",
    "__version__",
    "assignment",
    "band_positions",
    "best_partners",
    "keyword_hits",
    "mantel_dots",
    "mentions",
    "pair_correlations",
    "scatter_ceiling",
    "top_positions",
]

__version__: str

@final
class Stream:
    def __new__(
        cls,
        n_rows: int,
        a_features: int,
        b_features: int,
        top: int,
        min_activations: int,
        metric: str,
        memory_limit: int,
        groups: NDArray[np.int64] | None = None,
    ) -> Stream: ...
    @staticmethod
    def of_pairs(
        n_rows: int,
        a_features: int,
        b_features: int,
        feature_a: NDArray[np.int64],
        feature_b: NDArray[np.int64],
        groups: NDArray[np.int64] | None,
        memory_limit: int,
    ) -> Stream: ...
    @property
    def window(self) -> int: ...
    @property
    def row(self) -> int: ...
    @property
    def most_holdings(self) -> int: ...
    def feed(
        self,
        a_indptr: NDArray[np.int64],
        a_indices: NDArray[np.int32],
        a_values: NDArray[np.float32],
        a_features: int,
        b_indptr: NDArray[np.int64],
        b_indices: NDArray[np.int32],
        b_values: NDArray[np.float32],
        b_features: int,
    ) -> None: ...
    def end_pass(self) -> bool: ...
    def found(
        self,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]] | None: ...
    def found_pairs(self) -> NDArray[np.float64] | None: ...

def assignment(
    indptr: NDArray[np.int64], columns: NDArray[np.int64], weights: NDArray[np.float64], n_columns: int
) -> NDArray[np.int64]: ...
def best_partners(
    a_indptr: NDArray[np.int64],
    a_indices: NDArray[np.int32],
    a_values: NDArray[np.float32],
    a_features: int,
    b_indptr: NDArray[np.int64],
    b_indices: NDArray[np.int32],
    b_values: NDArray[np.float32],
    b_features: int,
    top: int,
    min_activations: int,
    metric: str = "pearson",
    groups: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]: ...
def pair_correlations(
    a_indptr: NDArray[np.int64],
    a_indices: NDArray[np.int32],
    a_values: NDArray[np.float32],
    a_features: int,
    b_indptr: NDArray[np.int64],
    b_indices: NDArray[np.int32],
    b_values: NDArray[np.float32],
    b_features: int,
    feature_a: NDArray[np.int64],
    feature_b: NDArray[np.int64],
    groups: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]: ...
def top_positions(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    values: NDArray[np.float32],
    n_features: int,
    k: int,
    document_ids: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]: ...
def band_positions(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    values: NDArray[np.float32],
    n_features: int,
    k: int,
    bands: int,
    highest: NDArray[np.float32],
    turns: NDArray[np.uint32],
    document_ids: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]: ...
def keyword_hits(
    offsets: NDArray[np.int64],
    left: list[str],
    token: list[str],
    right: list[str],
    groups: list[tuple[str, list[str], bool, bool, bool]],
    scope: str,
) -> list[NDArray[np.int64]]: ...
def mentions(texts: list[str], groups: list[tuple[str, list[str], bool, bool, bool]]) -> list[NDArray[np.int64]]: ...
def mantel_dots(
    x: NDArray[np.float64], y: NDArray[np.float64], permutations: NDArray[np.int64]
) -> NDArray[np.float64]: ...
def scatter_ceiling(updates: int, width: int) -> float: ...
