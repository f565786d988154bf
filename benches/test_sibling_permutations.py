"""Permutations of whole sibling groups against plain ones: drawing them, and a null scored on the panel with them."""

from time import perf_counter

import numpy as np

from analogue.nulls import movable, permutation_test
from analogue.nulls.groups import exchangeable
from analogue.nulls.permutations import draw_permutations
from analogue.similarity import MEASURES

N, D = 1000, 64
PANEL = ("rsa", "cka", "mutual_knn", "heldout_cca", "svcca_capped", "svcca")  # those that are registered
PERMUTATIONS = 64
ROUNDS = 5


def sibling_sizes(rng):
    """Groups as on real pairs: most of one row, sizes up to about 30, every size with its own class."""
    sizes = rng.zipf(1.9, N).clip(max=30)
    kept = sizes[: np.searchsorted(sizes.cumsum(), N)]
    return np.repeat(np.arange(len(kept) + 1), [*kept, N - kept.sum()])


def test_sibling_permutations_cost_what_plain_ones_cost(benchmark):
    rng = np.random.default_rng(0)
    groups = rng.permutation(sibling_sizes(rng))
    x, y = rng.standard_normal((N, D)), rng.standard_normal((N, D))
    measures = [name for name in PANEL if name in MEASURES]

    def null(**choice):
        start = perf_counter()
        scores = permutation_test(x, y, measures, permutations=PERMUTATIONS, **choice)
        return perf_counter() - start, scores

    null()  # both are timed warm
    plain, siblings = [], []
    for _ in range(ROUNDS):
        plain.append(null()[0])
        seconds, scores = null(null="siblings", groups=groups)
        siblings.append(seconds)

    classes = {"plain": exchangeable(np.arange(N)), "siblings": exchangeable(groups)}
    drawing = {name: [] for name in classes}
    for _ in range(ROUNDS):
        for name, allowed in classes.items():
            start = perf_counter()
            orders = draw_permutations(np.random.default_rng(0), allowed, N, PERMUTATIONS)
            drawing[name].append(perf_counter() - start)
            np.testing.assert_array_equal(np.sort(orders, axis=1), np.tile(np.arange(N), (PERMUTATIONS, 1)))
    for members in classes["siblings"]:  # every group lands whole and in order on a group of its size
        landed = orders[:, members].reshape(-1, members.shape[1])
        places = {tuple(group) for group in members.tolist()}
        assert {tuple(group) for group in landed.tolist()} <= places
    assert scores["rsa"].groups == len(np.unique(groups)) == movable(groups).groups

    # The least of the rounds: held-out CCA makes many small products, which a busy machine slows at random.
    ratio = min(siblings) / min(plain)
    drawn = min(drawing["siblings"]) / min(drawing["plain"])
    benchmark.extra_info |= {"ratio": ratio, "drawing_ratio": drawn, "measures": measures}
    benchmark(draw_permutations, np.random.default_rng(0), classes["siblings"], N, PERMUTATIONS)
    print(
        f"\nsiblings, {N} rows, {scores['rsa'].groups} groups in {len(classes['siblings'])} sizes, largest "
        f"{scores['rsa'].largest_group}: a null of {len(measures)} measures {ratio:.2f} x the plain one "
        f"(target 1.1), drawing alone {drawn:.2f} x"
    )
    assert ratio <= 1.25  # 1.1 on a quiet machine
    assert drawn <= 1.25
