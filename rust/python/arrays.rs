//! Arrays of Python as slices, slices as arrays of Python, and work with the interpreter lock released.

use std::sync::{Arc, Mutex, PoisonError};

use numpy::ndarray::Array2;
use numpy::{Element, IntoPyArray, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{Csr, Error};

/// The arrays of one side, not looked at yet: they are checked with the interpreter lock released.
pub struct Side<'a> {
    prefix: &'static str,
    indptr: &'a [i64],
    indices: &'a [i32],
    values: &'a [f32],
    n_features: i64,
}

impl<'a> Side<'a> {
    pub fn new(
        prefix: &'static str,
        indptr: &'a PyReadonlyArray1<i64>,
        indices: &'a PyReadonlyArray1<i32>,
        values: &'a PyReadonlyArray1<f32>,
        n_features: i64,
    ) -> PyResult<Self> {
        let (indptr, indices) = (slice(prefix, "indptr", indptr)?, slice(prefix, "indices", indices)?);
        Ok(Self { prefix, indptr, indices, values: slice(prefix, "values", values)?, n_features })
    }

    pub fn csr(&self) -> Result<Csr<'a>, Error> {
        Csr::new(self.prefix, self.indptr, self.indices, self.values, self.n_features)
    }
}

pub fn slice<'a, T: Element>(prefix: &str, name: &str, array: &'a PyReadonlyArray1<T>) -> PyResult<&'a [T]> {
    array.as_slice().map_err(|_| not_contiguous(&format!("{prefix}{name}")))
}

pub fn square<'a>(name: &str, array: &'a PyReadonlyArray2<f64>, n: usize) -> PyResult<&'a [f64]> {
    if array.shape() != [n, n] {
        let got = array.shape();
        return Err(PyValueError::new_err(format!("{name} must have shape ({n}, {n}), got ({}, {})", got[0], got[1])));
    }
    array.as_slice().map_err(|_| not_contiguous(name))
}

pub fn not_contiguous(name: &str) -> PyErr {
    PyValueError::new_err(format!("{name} must be C-contiguous, got a strided view"))
}

pub fn table<T: Element>(py: Python<'_>, values: Vec<T>, width: usize) -> Bound<'_, PyArray2<T>> {
    let rows = values.len() / width;
    Array2::from_shape_vec((rows, width), values).expect("whole rows").into_pyarray(py)
}

/// Work without the interpreter lock, on this process's threads.
pub fn detached<T: Send>(py: Python, work: impl FnOnce() -> Result<T, Error> + Send) -> PyResult<T> {
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
