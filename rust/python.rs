//! The Python door: arrays in without copies, the interpreter lock released around all work, arrays out.
#![allow(clippy::needless_pass_by_value, clippy::too_many_arguments)] // the signatures are Python's

use std::sync::{Arc, Mutex, PoisonError};

use numpy::ndarray::Array2;
use numpy::{Element, IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{Bands, BestPartners, Contexts, Csr, Error, KeywordGroup, Metric, Scope, Search, Streamed};

type Ids<'py> = Bound<'py, PyArray2<i64>>;
type Correlations<'py> = Bound<'py, PyArray2<f64>>;
type Column<'py> = Bound<'py, PyArray1<i64>>;

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

/// For every feature the k rows of its largest positive activations, and these: (F, k), -1 and 0.0 beyond; given
/// document ids, the first row of a document only.
#[pyfunction]
#[pyo3(signature = (indptr, indices, values, n_features, k, document_ids=None))]
fn top_positions<'py>(
    py: Python<'py>,
    indptr: PyReadonlyArray1<'py, i64>,
    indices: PyReadonlyArray1<'py, i32>,
    values: PyReadonlyArray1<'py, f32>,
    n_features: i64,
    k: usize,
    document_ids: Option<PyReadonlyArray1<'py, i64>>,
) -> PyResult<(Ids<'py>, Bound<'py, PyArray2<f32>>)> {
    let side = Side::new("", &indptr, &indices, &values, n_features)?;
    let documents = document_ids.as_ref().map(|ids| slice("", "document_ids", ids)).transpose()?;
    let found = detached(py, || crate::top_positions(side.csr()?, k, documents))?;
    Ok((table(py, found.positions, k), table(py, found.values, k)))
}

/// For every feature and every band of its activations, highest first, the k rows whose turn is first, and their
/// activations: (F, bands x k), -1 and 0.0 beyond; given document ids, one row a document and band.
#[pyfunction]
#[pyo3(signature = (indptr, indices, values, n_features, k, bands, highest, turns, document_ids=None))]
fn band_positions<'py>(
    py: Python<'py>,
    indptr: PyReadonlyArray1<'py, i64>,
    indices: PyReadonlyArray1<'py, i32>,
    values: PyReadonlyArray1<'py, f32>,
    n_features: i64,
    k: usize,
    bands: usize,
    highest: PyReadonlyArray1<'py, f32>,
    turns: PyReadonlyArray1<'py, u32>,
    document_ids: Option<PyReadonlyArray1<'py, i64>>,
) -> PyResult<(Ids<'py>, Bound<'py, PyArray2<f32>>)> {
    let side = Side::new("", &indptr, &indices, &values, n_features)?;
    let (highest, turns) = (slice("", "highest", &highest)?, slice("", "turns", &turns)?);
    let documents = document_ids.as_ref().map(|ids| slice("", "document_ids", ids)).transpose()?;
    let bands = Bands { count: bands, highest, turns };
    let found = detached(py, || crate::band_positions(side.csr()?, k, bands, documents))?;
    let width = bands.count * k;
    Ok((table(py, found.positions, width), table(py, found.values, width)))
}

/// Feature, group, keyword and number of the feature's contexts that hold it, for groups of (name, keywords, case
/// sensitive, regex, compounds) and a scope of "token", "word", "window", "phrase" or "substring".
#[pyfunction]
fn keyword_hits<'py>(
    py: Python<'py>,
    offsets: PyReadonlyArray1<'py, i64>,
    left: Vec<PyBackedStr>,
    token: Vec<PyBackedStr>,
    right: Vec<PyBackedStr>,
    groups: Vec<Group>,
    scope: &str,
) -> PyResult<[Column<'py>; 4]> {
    let offsets = slice("", "offsets", &offsets)?;
    let contexts = Contexts { offsets, left: &left, token: &token, right: &right };
    let groups = keyword_groups(groups);
    let hits = detached(py, || crate::keyword_hits(&contexts, &groups, Scope::named(scope)?))?;
    Ok([hits.feature, hits.group, hits.keyword, hits.contexts].map(|column| column.into_pyarray(py)))
}

/// Text, group, first character and the character behind the last of every word that a keyword is or holds.
#[pyfunction]
fn mentions(py: Python<'_>, texts: Vec<PyBackedStr>, groups: Vec<Group>) -> PyResult<[Column<'_>; 4]> {
    let groups = keyword_groups(groups);
    let found = detached(py, || crate::mentions(&texts, &groups))?;
    Ok([found.text, found.group, found.start, found.end].map(|column| column.into_pyarray(py)))
}

/// Name, keywords, case sensitive, regular expressions, in compounds too.
type Group = (String, Vec<String>, bool, bool, bool);

fn keyword_groups(groups: Vec<Group>) -> Vec<KeywordGroup> {
    let group = |(name, keywords, case_sensitive, regex, compounds)| KeywordGroup {
        name,
        keywords,
        case_sensitive,
        regex,
        compounds,
    };
    groups.into_iter().map(group).collect()
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

/// The arrays of one side, not looked at yet: they are checked with the interpreter lock released.
struct Side<'a> {
    prefix: &'static str,
    indptr: &'a [i64],
    indices: &'a [i32],
    values: &'a [f32],
    n_features: i64,
}

impl<'a> Side<'a> {
    fn new(
        prefix: &'static str,
        indptr: &'a PyReadonlyArray1<i64>,
        indices: &'a PyReadonlyArray1<i32>,
        values: &'a PyReadonlyArray1<f32>,
        n_features: i64,
    ) -> PyResult<Self> {
        let (indptr, indices) = (slice(prefix, "indptr", indptr)?, slice(prefix, "indices", indices)?);
        Ok(Self { prefix, indptr, indices, values: slice(prefix, "values", values)?, n_features })
    }

    fn csr(&self) -> Result<Csr<'a>, Error> {
        Csr::new(self.prefix, self.indptr, self.indices, self.values, self.n_features)
    }
}

/// A measure by its name; given groups, "pearson" is that within them.
fn measure(name: &str, groups: Option<&[i64]>) -> Result<Metric, Error> {
    if groups.is_some() && name == "pearson" { Ok(Metric::Within) } else { Metric::named(name) }
}

fn slice<'a, T: Element>(prefix: &str, name: &str, array: &'a PyReadonlyArray1<T>) -> PyResult<&'a [T]> {
    array.as_slice().map_err(|_| not_contiguous(&format!("{prefix}{name}")))
}

fn square<'a>(name: &str, array: &'a PyReadonlyArray2<f64>, n: usize) -> PyResult<&'a [f64]> {
    if array.shape() != [n, n] {
        let got = array.shape();
        return Err(PyValueError::new_err(format!("{name} must have shape ({n}, {n}), got ({}, {})", got[0], got[1])));
    }
    array.as_slice().map_err(|_| not_contiguous(name))
}

fn not_contiguous(name: &str) -> PyErr {
    PyValueError::new_err(format!("{name} must be C-contiguous, got a strided view"))
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

fn table<T: Element>(py: Python<'_>, values: Vec<T>, width: usize) -> Bound<'_, PyArray2<T>> {
    let rows = values.len() / width;
    Array2::from_shape_vec((rows, width), values).expect("whole rows").into_pyarray(py)
}

/// Work without the interpreter lock, on this process's threads.
fn detached<T: Send>(py: Python, work: impl FnOnce() -> Result<T, Error> + Send) -> PyResult<T> {
    let pool = pool()?;
    Ok(py.detach(|| pool.install(work))?)
}

/// The threads of this process. They do not survive a fork, so a forked child (a worker of a `DataLoader` or a
/// `multiprocessing` pool) starts its own: with rayon's global pool it would wait for ever.
fn pool() -> PyResult<Arc<ThreadPool>> {
    static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);
    let mut current = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((process, pool)) = &*current
        && *process == std::process::id()
    {
        return Ok(pool.clone());
    }
    let built = ThreadPoolBuilder::new().thread_name(|i| format!("analogue-{i}")).build();
    let pool = Arc::new(built.map_err(|error| PyRuntimeError::new_err(error.to_string()))?);
    std::mem::forget(current.replace((std::process::id(), pool.clone()))); // the parent's threads are not ours to end
    Ok(pool)
}
