"""What is particular to one measure: ties of neighbours, weights of PWCCA, caps, held-out halves."""

import numpy as np
import pytest

import oracles_similarity as textbook
from analogue import similarity
from analogue.similarity import MEASURES, UndefinedError
from test_similarity import FUNCTIONS, NEIGHBOURS, related, rotation


def test_rows_at_equal_cosines_have_no_neighbours():
    y = related(20, 3, 4)[1]
    for name in NEIGHBOURS:
        with pytest.raises(UndefinedError, match="x must have rows at different cosines, got 20 rows all equally far"):
            FUNCTIONS[name](np.eye(20), y)
        with pytest.raises(UndefinedError, match="y must have rows at different cosines"):
            FUNCTIONS[name](y, np.arange(1.0, 21.0)[:, None] * np.ones((20, 3)))


def test_neighbours_at_one_cosine_count_by_index():
    x = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0], [0.0, 3.0], [1.0, 1.0], [0.0, 0.0]])
    # Row 0: 4, then 1, 2, 3 and 5 at cosine 0. Row 5, of zeros: all others at cosine 0.
    found = MEASURES["mutual_knn"].prepare(x, x + np.eye(6, 2), 2).x
    assert [set(ids) for ids in found.ids[[0, 1, 5]].tolist()] == [{4, 1}, {2, 3}, {0, 1}]
    assert found.tied.tolist() == [0, 4, 5]
    assert similarity.mutual_knn(x, x, 2) == similarity.jaccard_knn(x, x, 5) == 1.0


def test_mutual_neighbours_of_any_number():
    x, y = related(40, 5, 4)
    for k in (1, 2, 7, 39):
        assert similarity.mutual_knn(x, y, k) == pytest.approx(textbook.mutual_knn(x, y, k), abs=1e-12)
        assert similarity.jaccard_knn(x, y, k) == pytest.approx(textbook.jaccard_knn(x, y, k), abs=1e-12)
    assert similarity.mutual_knn(x, y, 39) == 1.0
    with pytest.raises(UndefinedError, match="needs at least 41 rows, got 40"):
        similarity.mutual_knn(x, y, 40)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        similarity.jaccard_knn(x, y, 0)


def test_first_components_must_be_the_only_ones_of_their_variance():
    square = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    with pytest.raises(UndefinedError, match="y must have one direction of largest variance, got several"):
        similarity.pc1_corr(square * [2.0, 1.0], square)
    assert similarity.pc1_corr(square * [2.0, 1.0], square * [1.0, 2.0]) == pytest.approx(0.0, abs=1e-12)


def test_weights_that_the_data_do_not_determine_are_refused():
    x, y = related(20, 12, 14)
    with pytest.raises(UndefinedError, match=r"got 7 of 12 correlations that are 1 for any data \(12 \+ 14 direct"):
        similarity.pwcca(x, y, 1.0)
    assert similarity.pwcca(*related(13, 40, 30)) == pytest.approx(1.0, abs=1e-12)  # saturated: all of them are 1
    x, y = related(20, 9, 10, noise=3.0)
    assert similarity.pwcca(x, y, 1.0) == pytest.approx(textbook.pwcca(x, y, 1.0), abs=1e-9)


def test_weights_come_from_the_side_of_fewer_directions():
    x, y = related(60, 4, 7)
    assert similarity.pwcca(x, y) == pytest.approx(similarity.pwcca(y, x), abs=1e-12)
    assert similarity.pwcca(x, y @ rotation(7, 0)) == pytest.approx(similarity.pwcca(x, y), abs=1e-12)
    assert abs(similarity.pwcca(x @ rotation(4, 0), y) - similarity.pwcca(x, y)) > 1e-4


def test_capped_subspaces_leave_six_rows_a_direction():
    for n, kept in ((7, 1), (11, 1), (12, 2), (63, 10), (120, 20)):
        prepared = MEASURES["svcca_capped"].prepare(*related(n, 31, 40))
        assert (prepared.kx, prepared.ky) == (kept, kept)
    wide = MEASURES["svcca_capped"].prepare(*related(300, 8, 9))
    uncapped = MEASURES["svcca"].prepare(*related(300, 8, 9))
    assert (wide.kx, wide.ky) == (uncapped.kx, uncapped.ky)


def test_held_out_scores_of_unrelated_rows_are_around_zero():
    rng = np.random.default_rng(5)
    pairs = [(rng.standard_normal((40, 60)), rng.standard_normal((40, 80))) for _ in range(40)]
    found = np.array([similarity.heldout_cca(x, y) for x, y in pairs])
    assert abs(found.mean()) < 4 * found.std() / np.sqrt(40)
    assert -0.1 < np.mean([similarity.heldout_r2(x, y) for x, y in pairs]) < 0.01


def test_held_out_directions_are_kept_with_the_score():
    for n, kept in ((6, 1), (63, 10), (257, 42), (400, 50)):
        prepared = MEASURES["heldout_cca"].prepare(*related(n, 90, 100, noise=9.0))
        assert (prepared.kx, prepared.ky) == (kept, kept)
    for name in ("heldout_cca", "heldout_r2"):
        with pytest.raises(ValueError, match="splits must be at least 1, got 0"):
            FUNCTIONS[name](*related(30, 3, 4), splits=0)
