//! The Python door: arrays in without copies, the interpreter lock released around all work, arrays out.
#![allow(clippy::needless_pass_by_value, clippy::too_many_arguments)] // the signatures are Python's

use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use self::arrays::{Side, detached, not_contiguous, slice, square, table};
use self::labels::{band_positions, keyword_hits, mentions, top_positions};
use crate::{BestPartners, Error, Metric, Search, Streamed};

mod arrays;
mod labels;

type Ids<'py> = Bound<'py, PyArray2<i64>>;
type Correlations<'py> = Bound<'py, PyArray2<f64>>;

#[pymodule]
mod _core {
    #[pymodule_export]
    use super::{
        Stream, assignment, band_positions, best_partners, keyword_hits, mantel_dots, mentions, pair_correlations,
        scatter_ceiling, top_positions,
    };

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}

/// For every feature of B its `top` best partners in A, and for every feature of A its best in B, by "pearson",
/// "cosine" or "jaccard", or by Pearson given a group id for every row: ids and scores (F, top), -1 and 0.0 where
/// there are fewer.
#[pyfunction]
#[pyo3(signature = (a_indptr, a_indices, a_values, a_features, b_indptr, b_indices, b_values, b_features, top,
    min_activations, metric="pearson", groups=None))]
fn best_partners<'py>(
    py: Python<'py>,
    a_indptr: PyReadonlyArray1<'py, i64>,
    a_indices: PyReadonlyArray1<'py, i32>,
    a_values: PyReadonlyArray1<'py, f32>,
    a_features: i64,
    b_indptr: PyReadonlyArray1<'py, i64>,
    b_indices: PyReadonlyArray1<'py, i32>,
    b_values: PyReadonlyArray1<'py, f32>,
    b_features: i64,
    top: usize,
    min_activations: usize,
    metric: &str,
    groups: Option<PyReadonlyArray1<'py, i64>>,
) -> PyResult<(Ids<'py>, Correlations<'py>, Ids<'py>, Correlations<'py>)> {
    let a = Side::new("a_", &a_indptr, &a_indices, &a_values, a_features)?;
    let b = Side::new("b_", &b_indptr, &b_indices, &b_values, b_features)?;
    let groups = groups.as_ref().map(|groups| slice("", "groups", groups)).transpose()?;
    let search = Search { top, min_activations, metric: measure(metric, groups)?, groups };
    let (of_b, of_a) = detached(py, || crate::best_partners(a.csr()?, b.csr()?, search))?;
    Ok(tables(py, of_b, of_a, top))
}

/// A search over rows that come in windows: `feed` all of them in order, then `end_pass`, until that says True.
#[pyclass(module = "analogue._core")]
struct Stream {
    search: Box<dyn Streamed>,
    top: usize,
}

#[pymethods]
impl Stream {
    #[new]
    #[pyo3(signature = (n_rows, a_features, b_features, top, min_activations, metric, memory_limit, groups=None))]
    fn new(
        py: Python,
        n_rows: usize,
        a_features: usize,
        b_features: usize,
        top: usize,
        min_activations: usize,
        metric: &str,
        memory_limit: usize,
        groups: Option<PyReadonlyArray1<i64>>,
    ) -> PyResult<Self> {
        let groups = groups.as_ref().map(|groups| slice("", "groups", groups)).transpose()?;
        let search = Search { top, min_activations, metric: measure(metric, groups)?, groups };
        let search = detached(py, || crate::stream(n_rows, [a_features, b_features], search, memory_limit))?;
        Ok(Self { search, top })
    }

    /// Exact scores of given pairs instead of a search, with the same passes: what `pair_correlations` returns.
    #[staticmethod]
    fn of_pairs(
        py: Python,
        n_rows: usize,
        a_features: usize,
        b_features: usize,
        feature_a: PyReadonlyArray1<i64>,
        feature_b: PyReadonlyArray1<i64>,
        groups: Option<PyReadonlyArray1<i64>>,
        memory_limit: usize,
    ) -> PyResult<Self> {
        let pairs = [slice("", "feature_a", &feature_a)?, slice("", "feature_b", &feature_b)?];
        let groups = groups.as_ref().map(|groups| slice("", "groups", groups)).transpose()?;
        let n_features = [a_features, b_features];
        let search = detached(py, || crate::stream_pairs(n_rows, n_features, pairs, groups, memory_limit))?;
        Ok(Self { search, top: 0 })
    }

    /// The most activations of both sides that a window should have.
    #[getter]
    fn window(&self) -> usize {
        self.search.window()
    }

    /// How many activations a row counts for, beside those that it has.
    #[getter]
    fn row(&self, py: Python) -> PyResult<usize> {
        detached(py, || Ok(self.search.row()))
    }

    /// The most groups that features may hold something in, counted for every feature.
    #[getter]
    fn most_holdings(&self) -> usize {
        self.search.most_holdings()
    }

    /// Take the next rows of both sides.
    fn feed(
        &mut self,
        py: Python,
        a_indptr: PyReadonlyArray1<i64>,
        a_indices: PyReadonlyArray1<i32>,
        a_values: PyReadonlyArray1<f32>,
        a_features: i64,
        b_indptr: PyReadonlyArray1<i64>,
        b_indices: PyReadonlyArray1<i32>,
        b_values: PyReadonlyArray1<f32>,
        b_features: i64,
    ) -> PyResult<()> {
        let a = Side::new("a_", &a_indptr, &a_indices, &a_values, a_features)?;
        let b = Side::new("b_", &b_indptr, &b_indices, &b_values, b_features)?;
        let search = &mut self.search;
        detached(py, || search.feed(a.csr()?, b.csr()?))
    }

    /// After the last rows of a pass: whether all is found; if not, the rows are wanted once more.
    fn end_pass(&mut self, py: Python) -> PyResult<bool> {
        let search = &mut self.search;
        detached(py, || search.end_pass())
    }

    /// What `best_partners` returns; None while there are passes to come, or if pairs were given.
    fn found<'py>(&self, py: Python<'py>) -> Option<(Ids<'py>, Correlations<'py>, Ids<'py>, Correlations<'py>)> {
        let [of_b, of_a] = self.search.found()?.clone();
        Some(tables(py, of_b, of_a, self.top))
    }

    /// Scores of the given pairs, in their order; None while there are passes to come, or if none were given.
    fn found_pairs<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray1<f64>>> {
        Some(self.search.found_pairs()?.to_vec().into_pyarray(py))
    }
}

/// The column of every row in a one-to-one matching of largest total weight, -1 for a row that has none.
#[pyfunction]
fn assignment<'py>(
    py: Python<'py>,
    indptr: PyReadonlyArray1<'py, i64>,
    columns: PyReadonlyArray1<'py, i64>,
    weights: PyReadonlyArray1<'py, f64>,
    n_columns: usize,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let (indptr, columns) = (slice("", "indptr", &indptr)?, slice("", "columns", &columns)?);
    let weights = slice("", "weights", &weights)?;
    Ok(detached(py, || crate::assignment(indptr, columns, weights, n_columns))?.into_pyarray(py))
}

/// Pearson correlation of every given pair; with `groups`, after subtracting each feature's mean in every group.
#[pyfunction]
#[pyo3(signature = (a_indptr, a_indices, a_values, a_features, b_indptr, b_indices, b_values, b_features, feature_a,
    feature_b, groups=None))]
fn pair_correlations<'py>(
    py: Python<'py>,
    a_indptr: PyReadonlyArray1<'py, i64>,
    a_indices: PyReadonlyArray1<'py, i32>,
    a_values: PyReadonlyArray1<'py, f32>,
    a_features: i64,
    b_indptr: PyReadonlyArray1<'py, i64>,
    b_indices: PyReadonlyArray1<'py, i32>,
    b_values: PyReadonlyArray1<'py, f32>,
    b_features: i64,
    feature_a: PyReadonlyArray1<'py, i64>,
    feature_b: PyReadonlyArray1<'py, i64>,
    groups: Option<PyReadonlyArray1<'py, i64>>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let a = Side::new("a_", &a_indptr, &a_indices, &a_values, a_features)?;
    let b = Side::new("b_", &b_indptr, &b_indices, &b_values, b_features)?;
    let (feature_a, feature_b) = (slice("", "feature_a", &feature_a)?, slice("", "feature_b", &feature_b)?);
    let groups = groups.as_ref().map(|groups| slice("", "groups", groups)).transpose()?;
    let found = detached(py, || crate::pair_correlations(a.csr()?, b.csr()?, feature_a, feature_b, groups))?;
    Ok(found.into_pyarray(py))
}

/// For every permutation p the sum over i < j of x[i, j] y[p[i], p[j]].
#[pyfunction]
fn mantel_dots<'py>(
    py: Python<'py>,
    x: PyReadonlyArray2<'py, f64>,
    y: PyReadonlyArray2<'py, f64>,
    permutations: PyReadonlyArray2<'py, i64>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let n = x.shape()[0];
    let (x, y) = (square("x", &x, n)?, square("y", &y, n)?);
    if permutations.shape()[1] != n {
        let got = permutations.shape()[1];
        return Err(PyValueError::new_err(format!("permutations must have {n} columns, as x, got {got}")));
    }
    let permutations = permutations.as_slice().map_err(|_| not_contiguous("permutations"))?;
    Ok(detached(py, || crate::mantel_dots(x, y, n, permutations))?.into_pyarray(py))
}

/// Seconds that `updates` scatter-adds into `width` floats take on the same threads; for the benches.
#[pyfunction]
fn scatter_ceiling(py: Python<'_>, updates: usize, width: usize) -> PyResult<f64> {
    detached(py, || Ok(crate::ceiling::scatter_ceiling(updates, width)))
}

/// A measure by its name; given groups, "pearson" is that within them.
fn measure(name: &str, groups: Option<&[i64]>) -> Result<Metric, Error> {
    if groups.is_some() && name == "pearson" { Ok(Metric::Within) } else { Metric::named(name) }
}

fn tables(
    py: Python<'_>,
    of_b: BestPartners,
    of_a: BestPartners,
    top: usize,
) -> (Ids<'_>, Correlations<'_>, Ids<'_>, Correlations<'_>) {
    let [(best_a, corr_a), (best_b, corr_b)] =
        [of_b, of_a].map(|of| (table(py, of.ids, top), table(py, of.correlations, top)));
    (best_a, corr_a, best_b, corr_b)
}
