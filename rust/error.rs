//! What can be wrong with the input; each message is one sentence: argument, what is wanted, what came.

/// Bad input. Python sees every variant as `ValueError`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Row offsets that do not rise from 0 to the number of values.
    #[error("{side}indptr must rise from 0 to the number of values ({nnz}), got {got}")]
    Offsets { side: &'static str, nnz: usize, got: String },
    /// Two arrays that go together and do not match.
    #[error("{what} must have one length, got {left} and {right}")]
    Lengths { what: String, left: usize, right: usize },
    /// An id outside its range.
    #[error("{name} must lie in 0..{end}, got {got}")]
    Id { name: String, end: usize, got: i64 },
    /// A row whose feature ids do not increase.
    #[error("{side}indices must increase within a row, got {previous} before {next} in row {row}")]
    Order { side: &'static str, row: usize, previous: i32, next: i32 },
    /// A stored value that is zero, NaN or infinite.
    #[error("{side}values must be finite and not zero, got {got} at position {position}")]
    Value { side: &'static str, position: usize, got: String },
    /// A number outside its range.
    #[error("{name} must be {wanted}, got {got}")]
    Number { name: String, wanted: String, got: String },
    /// A row that is no permutation.
    #[error("permutations must hold each of 0..{n} once in every row, row {row} has {got}")]
    Permutation { n: usize, row: usize, got: String },
    /// A keyword that cannot be looked for.
    #[error("keyword {keyword:?} of group {group:?} {reason}")]
    Keyword { keyword: String, group: String, reason: String },
}

#[cfg(feature = "python")]
impl From<Error> for pyo3::PyErr {
    fn from(error: Error) -> Self {
        pyo3::exceptions::PyValueError::new_err(error.to_string())
    }
}
