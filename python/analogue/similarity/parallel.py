"""One permutation a thread: faster than the threads within one product, and the same numbers for any number of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_Draws = TypeVar("_Draws", float, NDArray[np.float64])
_HEAVY = 2**26  # multiplications from which products are taken in float32
_SMALL = 2**22  # multiplications below which a draw is not worth a thread
_limited = Lock()  # the limit on BLAS is one for the process


def map_permutations(
    measure: Callable[[NDArray[np.int64]], float], permutations: NDArray[np.int64], *, multiplications: int
) -> NDArray[np.float64]:
    """Return ``measure(p)`` for every row p of ``permutations`` (R, n), shape (R,).

    Large draws run side by side, on as many threads as BLAS would take and each with a BLAS of one thread: a draw is
    then computed in the same way whatever the number of threads.

    Parameters
    ----------
    measure : callable
        One draw; it must spend its time in NumPy.
    permutations : ndarray of int64, shape (R, n)
        The draws to make.
    multiplications : int
        What one draw costs, about.
    """
    return np.array(_mapped(measure, permutations, multiplications), dtype=np.float64)


def map_batches(
    measure: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    permutations: NDArray[np.int64],
    *,
    size: int,
    multiplications: int,
) -> NDArray[np.float64]:
    """Return what ``measure`` says of ``permutations`` (R, n), shape (R,), as `map_permutations` does.

    It is given up to ``size`` of them at once, and must value each as it would by itself.
    """
    batches = [permutations[start : start + size] for start in range(0, len(permutations), size)]
    return np.concatenate([np.empty(0), *_mapped(measure, batches, multiplications * size)])


def _mapped(
    measure: Callable[[NDArray[np.int64]], _Draws], parts: Sequence[NDArray[np.int64]] | NDArray[np.int64], cost: int
) -> list[_Draws]:
    if cost < _SMALL:
        return [measure(part) for part in parts]
    from concurrent.futures import ThreadPoolExecutor

    controller = _controller()
    with _limited:
        threads = min(max((pool["num_threads"] for pool in controller.info()), default=1), max(1, len(parts)))
        with controller.limit(limits=1), ThreadPoolExecutor(threads) as executor:
            return list(executor.map(measure, parts))


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold NumPy's BLAS to one thread: decompositions of some hundred rows gain nothing by two, and lose where busy."""
    with _controller().limit(limits=1):
        yield


def product_type(multiplications: int) -> type[np.float32 | np.float64]:
    """Return float32 for products that take long enough: half the time.

    Roundings differ from entry to entry and all but cancel in a sum over hundreds of singular values or thousands of
    residuals: draws move by about 1e-9, by 1e-8 where both sides are equal.
    """
    return np.float32 if multiplications >= _HEAVY else np.float64


@cache
def _controller() -> Any:
    """NumPy's BLAS alone: other libraries that are loaded keep their threads."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")
