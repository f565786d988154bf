import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

import oracles_nulls
from analogue.nulls import benjamini_hochberg, benjamini_yekutieli, sidak

ADJUST = {"bh": benjamini_hochberg, "by": benjamini_yekutieli}
p_values = st.lists(st.one_of(st.none(), st.sampled_from([0.0, 1.0, 0.05]), st.floats(0, 1)), max_size=30)


@given(p_values)
@pytest.mark.parametrize("method", ADJUST)
def test_false_discovery_rate_as_scipy_has_it(method, p):
    tested = [value for value in p if value is not None]
    expected = iter(false_discovery_control(tested, method=method).tolist() if tested else [])
    adjusted = ADJUST[method](p)
    assert adjusted.tolist() == pytest.approx([np.nan if v is None else next(expected) for v in p], nan_ok=True)
    for value, result in zip(p, adjusted.tolist(), strict=True):
        assert value is None or value <= result + 1e-15 <= 1 + 1e-15


@given(p_values)
def test_sidak_is_the_chance_that_the_best_is_so_small(p):
    expected = [np.nan if value is None else value for value in oracles_nulls.sidak(p)]
    assert sidak(p).tolist() == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_sidak_of_the_best_cell_is_uniform_for_independent_cells():
    grids = np.random.default_rng(1).random((2000, 40))
    p = np.array([np.min(sidak(grid)) for grid in grids])
    steps = np.linspace(0, 1, 101)
    assert np.abs((p[:, None] <= steps).mean(axis=0) - steps).max() < 1.95 / np.sqrt(2000)


def test_small_p_values_keep_their_digits():
    assert sidak([1e-18, 0.5]).tolist() == pytest.approx([2e-18, 0.75])


def test_shape_is_kept_and_cells_without_a_test_do_not_count():
    grid = np.array([[0.01, np.nan, 0.04], [0.03, 0.2, 0.005]])
    expected = false_discovery_control(grid[~np.isnan(grid)])
    np.testing.assert_allclose(benjamini_hochberg(grid)[~np.isnan(grid)], expected)
    for adjust in (*ADJUST.values(), sidak):
        assert adjust(grid).shape == (2, 3)
        assert np.isnan(adjust(grid)).tolist() == np.isnan(grid).tolist()
        assert adjust(0.25) == pytest.approx(0.25)
        assert adjust([]).shape == (0,)
        assert np.isnan(adjust([None, np.nan])).all()


@pytest.mark.parametrize("adjust", [*ADJUST.values(), sidak])
def test_what_is_no_p_value_is_refused(adjust):
    with pytest.raises(ValueError, match=r"p_values must lie between 0 and 1, got 1\.2"):
        adjust([0.1, 1.2])
    with pytest.raises(ValueError, match="p_values must lie between 0 and 1, got -inf"):
        adjust([0.1, -np.inf])
    with pytest.raises(TypeError, match="p_values must be numbers, None or NaN, got \\['a'\\]"):
        adjust(["a"])
