//! The Python door: arrays in without copies, the interpreter lock released around all work, arrays out.

use std::sync::{Arc, Mutex, PoisonError};

use numpy::ndarray::Array2;
use numpy::{Element, IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{BestPartners, Csr, Error};

type Ids<'py> = Bound<'py, PyArray2<i64>>;
type Correlations<'py> = Bound<'py, PyArray2<f64>>;

#[pymodule]
mod _core {
    #[pymodule_export]
    use super::{best_partners, mantel_dots, pair_correlations, top_positions};

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}

/// The thread pool of this process. Threads do not survive a fork, so a forked child (a `DataLoader` worker, a
/// `multiprocessing` pool) makes its own instead of waiting for its parent's for ever.
fn pool() -> PyResult<Arc<ThreadPool>> {
    static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);
    let mut current = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    match &*current {
        Some((process, pool)) if *process == std::process::id() => Ok(pool.clone()),
        _ => {
            let built = ThreadPoolBuilder::new().build();
            let pool = Arc::new(built.map_err(|error| PyValueError::new_err(error.to_string()))?);
            std::mem::forget(current.replace((std::process::id(), pool.clone())));
            Ok(pool)
        }
    }
}

fn detached<T: Send>(py: Python, work: impl FnOnce() -> Result<T, Error> + Send) -> PyResult<T> {
    let pool = pool()?;
    Ok(py.detach(|| pool.install(work))?)
}

fn slice<'a, T: Element>(name: &str, array: &'a PyReadonlyArray1<T>) -> PyResult<&'a [T]> {
    array.as_slice().map_err(|_| PyValueError::new_err(format!("{name} must be contiguous, got a strided view")))
}

fn matrix<'a, T: Element>(name: &str, array: &'a PyReadonlyArray2<T>) -> PyResult<&'a [T]> {
    array.as_slice().map_err(|_| PyValueError::new_err(format!("{name} must be C-contiguous, got a strided view")))
}

fn table<T: Element>(py: Python<'_>, values: Vec<T>, width: usize) -> Bound<'_, PyArray2<T>> {
    let rows = values.len().checked_div(width).unwrap_or(0);
    Array2::from_shape_vec((rows, width), values).expect("whole rows").into_pyarray(py)
}

fn partners(py: Python<'_>, found: BestPartners, top: usize) -> (Ids<'_>, Correlations<'_>) {
    (table(py, found.ids, top), table(py, found.correlations, top))
}

#[pyfunction]
#[allow(clippy::too_many_arguments)]
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
) -> PyResult<(Ids<'py>, Correlations<'py>, Ids<'py>, Correlations<'py>)> {
    let (a_indptr, b_indptr) = (slice("a_indptr", &a_indptr)?, slice("b_indptr", &b_indptr)?);
    let (a_indices, b_indices) = (slice("a_indices", &a_indices)?, slice("b_indices", &b_indices)?);
    let (a_values, b_values) = (slice("a_values", &a_values)?, slice("b_values", &b_values)?);
    let (of_b, of_a) = detached(py, || {
        let a = Csr::new("a_", a_indptr, a_indices, a_values, a_features)?;
        let b = Csr::new("b_", b_indptr, b_indices, b_values, b_features)?;
        crate::best_partners(a, b, top, min_activations)
    })?;
    let ((best_a, corr_a), (best_b, corr_b)) = (partners(py, of_b, top), partners(py, of_a, top));
    Ok((best_a, corr_a, best_b, corr_b))
}

#[pyfunction]
#[pyo3(signature = (a_indptr, a_indices, a_values, a_features, b_indptr, b_indices, b_values, b_features, feature_a, feature_b, groups=None))]
#[allow(clippy::too_many_arguments)]
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
    let (a_indptr, b_indptr) = (slice("a_indptr", &a_indptr)?, slice("b_indptr", &b_indptr)?);
    let (a_indices, b_indices) = (slice("a_indices", &a_indices)?, slice("b_indices", &b_indices)?);
    let (a_values, b_values) = (slice("a_values", &a_values)?, slice("b_values", &b_values)?);
    let (feature_a, feature_b) = (slice("feature_a", &feature_a)?, slice("feature_b", &feature_b)?);
    let groups = groups.as_ref().map(|groups| slice("groups", groups)).transpose()?;
    let found = detached(py, || {
        let a = Csr::new("a_", a_indptr, a_indices, a_values, a_features)?;
        let b = Csr::new("b_", b_indptr, b_indices, b_values, b_features)?;
        crate::pair_correlations(a, b, feature_a, feature_b, groups)
    })?;
    Ok(found.into_pyarray(py))
}

#[pyfunction]
fn top_positions<'py>(
    py: Python<'py>,
    indptr: PyReadonlyArray1<'py, i64>,
    indices: PyReadonlyArray1<'py, i32>,
    values: PyReadonlyArray1<'py, f32>,
    n_features: i64,
    k: usize,
) -> PyResult<(Ids<'py>, Bound<'py, PyArray2<f32>>)> {
    let (indptr, indices, values) = (slice("indptr", &indptr)?, slice("indices", &indices)?, slice("values", &values)?);
    let found = detached(py, || crate::top_positions(Csr::new("", indptr, indices, values, n_features)?, k))?;
    Ok((table(py, found.positions, k), table(py, found.values, k)))
}

#[pyfunction]
fn mantel_dots<'py>(
    py: Python<'py>,
    x: PyReadonlyArray2<'py, f64>,
    y: PyReadonlyArray2<'py, f64>,
    permutations: PyReadonlyArray2<'py, i64>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let n = x.as_array().nrows();
    let (x, y, permutations) = (matrix("x", &x)?, matrix("y", &y)?, matrix("permutations", &permutations)?);
    Ok(detached(py, || crate::mantel_dots(x, y, n, permutations))?.into_pyarray(py))
}
