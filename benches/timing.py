"""Wall time of one call."""

from time import perf_counter


def timed(function, *arguments):
    """Return the seconds that a call took, and what it returned."""
    start = perf_counter()
    result = function(*arguments)
    return perf_counter() - start, result
