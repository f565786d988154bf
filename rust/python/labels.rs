//! Labels: the tokens that features fire on, and the words in their contexts.

use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;

use super::Ids;
use super::arrays::{Side, detached, slice, table};
use crate::{Bands, Contexts, KeywordGroup, Scope};

type Column<'py> = Bound<'py, PyArray1<i64>>;

/// For every feature the k rows of its largest positive activations, and these: (F, k), -1 and 0.0 beyond; given
/// document ids, the first row of a document only.
#[pyfunction]
#[pyo3(signature = (indptr, indices, values, n_features, k, document_ids=None))]
pub fn top_positions<'py>(
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
pub fn band_positions<'py>(
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
pub fn keyword_hits<'py>(
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
pub fn mentions(py: Python<'_>, texts: Vec<PyBackedStr>, groups: Vec<Group>) -> PyResult<[Column<'_>; 4]> {
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
