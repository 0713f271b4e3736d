//! How thoroughly a search goes through indexes. A value.

/// How thoroughly an index is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effort {
    #[default]
    Usual,
    /// Rows to keep in view: at least as many as are wanted.
    Width(u32),
    /// Not through an index.
    Exact,
}
