//! The parameters of a search that say how thoroughly an index is searched, and the rules of Milvus 2.3 for them.
//!
//! Must never read a parameter of another kind of index: Milvus ignores it.

use crate::{
    model::{IndexKind, IndexParamError},
    query::Effort,
};

/// Most lists that a search may ask for.
const MOST_LISTS: i64 = 65_536;
const MOST: i64 = i32::MAX as i64;

/// A parameter as the client gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AskedNumber {
    #[default]
    Absent,
    Number(i64),
    /// A text that is no number.
    Text,
    /// Neither a whole number nor a text.
    Other,
}

impl AskedNumber {
    fn number(self) -> Option<u64> {
        if let Self::Number(number) = self { number.try_into().ok() } else { None }
    }

    /// The value if it is there.
    fn check(self, key: &'static str, most: i64) -> Result<Option<i64>, IndexParamError> {
        match self {
            Self::Absent => Ok(None),
            Self::Number(number) if number > MOST => Err(IndexParamError::Overflow(key)),
            Self::Number(number) if (1..=most).contains(&number) => Ok(Some(number)),
            Self::Number(_) => Err(IndexParamError::OutOfRange { key, most }),
            Self::Text => Err(IndexParamError::Text(key)),
            Self::Other => Err(IndexParamError::Type(key)),
        }
    }
}

/// All of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AskedEffort {
    /// Rows in view, of HNSW.
    pub ef: AskedNumber,
    /// Lists that are searched, of the IVF family.
    pub nprobe: AskedNumber,
    /// Rows that are ranked exactly, of SCANN.
    pub reorder_k: AskedNumber,
    /// Rows in view, of DISKANN.
    pub search_list: AskedNumber,
}

impl AskedEffort {
    /// The effort of our graphs, which serve the other kinds too.
    pub(super) fn effort(self, kind: Option<IndexKind>) -> Effort {
        let width = |asked: AskedNumber| {
            asked.number().map_or(Effort::Usual, |rows| Effort::Width(rows.try_into().unwrap_or(u32::MAX)))
        };
        match kind {
            Some(IndexKind::Hnsw { .. }) => width(self.ef),
            Some(IndexKind::DiskAnn) => width(self.search_list),
            Some(
                IndexKind::IvfFlat { lists }
                | IndexKind::IvfSq8 { lists }
                | IndexKind::IvfPq { lists, .. }
                | IndexKind::Scann { lists }
                | IndexKind::GpuIvfFlat { lists }
                | IndexKind::GpuIvfPq { lists, .. },
            ) => {
                // A client that has most of the lists searched wants all rows to be seen.
                let has_most = self.nprobe.number().is_some_and(|probes| probes.saturating_mul(2) >= lists.into());
                if has_most { Effort::Exact } else { Effort::Usual }
            }
            _ => Effort::Usual,
        }
    }

    /// Checks the parameters that an index of this kind reads. `wanted` is the number of rows that a search is for; None: it
    /// is for any number, as a search by range is.
    ///
    /// # Errors
    /// The first one that it refuses.
    pub(super) fn check(self, kind: Option<IndexKind>, wanted: Option<u64>) -> Result<(), IndexParamError> {
        let wanted = wanted.map_or(0, |rows| i64::try_from(rows).unwrap_or(i64::MAX));
        let in_view = |key: &'static str, asked: AskedNumber| match asked.check(key, MOST)? {
            Some(got) if got < wanted => Err(IndexParamError::Below { key, got, wanted }),
            _ => Ok(()),
        };
        match kind {
            Some(IndexKind::Hnsw { .. }) => in_view("ef", self.ef),
            Some(IndexKind::Scann { .. }) => {
                self.nprobe.check("nprobe", MOST_LISTS)?;
                in_view("reorder_k", self.reorder_k)
            }
            Some(
                IndexKind::IvfFlat { .. }
                | IndexKind::IvfSq8 { .. }
                | IndexKind::IvfPq { .. }
                | IndexKind::GpuIvfFlat { .. }
                | IndexKind::GpuIvfPq { .. },
            ) => self.nprobe.check("nprobe", MOST_LISTS).map(|_| ()),
            Some(IndexKind::DiskAnn) => match self.search_list.check("search_list", MOST)? {
                Some(got) if wanted > 0 && !(wanted..=wanted.saturating_mul(10).max(200)).contains(&got) => {
                    Err(IndexParamError::SearchList { got, wanted })
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{AskedNumber::*, IndexParamError as E, *};

    const HNSW: IndexKind = IndexKind::Hnsw { links: 16, ef_construction: 100 };
    const IVF: IndexKind = IndexKind::IvfFlat { lists: 64 };
    const SCANN: IndexKind = IndexKind::Scann { lists: 64 };
    const DISK: IndexKind = IndexKind::DiskAnn;

    fn asked(key: &str, number: AskedNumber) -> AskedEffort {
        let mut asked = AskedEffort::default();
        match key {
            "ef" => asked.ef = number,
            "nprobe" => asked.nprobe = number,
            "reorder_k" => asked.reorder_k = number,
            _ => asked.search_list = number,
        }
        asked
    }

    /// The verdicts of Milvus 2.3.5 for a search for ten rows; those of DISKANN are the ones that its own tests expect.
    #[rstest]
    #[case(HNSW, "ef", Number(-1), Err(E::OutOfRange { key: "ef", most: 2_147_483_647 }))]
    #[case(HNSW, "ef", Number(0), Err(E::OutOfRange { key: "ef", most: 2_147_483_647 }))]
    #[case(HNSW, "ef", Number(9), Err(E::Below { key: "ef", got: 9, wanted: 10 }))]
    #[case(HNSW, "ef", Number(10), Ok(()))]
    #[case(HNSW, "ef", Number(32_769), Ok(()))]
    #[case(HNSW, "ef", Number(2_147_483_648), Err(E::Overflow("ef")))]
    #[case(HNSW, "ef", Text, Err(E::Text("ef")))]
    #[case(HNSW, "ef", Other, Err(E::Type("ef")))]
    #[case(HNSW, "ef", Absent, Ok(()))]
    #[case(HNSW, "nprobe", Number(-1), Ok(()))]
    #[case(IVF, "nprobe", Number(0), Err(E::OutOfRange { key: "nprobe", most: 65_536 }))]
    #[case(IVF, "nprobe", Number(1), Ok(()))]
    #[case(IVF, "nprobe", Number(65_536), Ok(()))]
    #[case(IVF, "nprobe", Number(65_537), Err(E::OutOfRange { key: "nprobe", most: 65_536 }))]
    #[case(SCANN, "nprobe", Number(-1), Err(E::OutOfRange { key: "nprobe", most: 65_536 }))]
    #[case(SCANN, "reorder_k", Number(-1), Err(E::OutOfRange { key: "reorder_k", most: 2_147_483_647 }))]
    #[case(SCANN, "reorder_k", Number(9), Err(E::Below { key: "reorder_k", got: 9, wanted: 10 }))]
    #[case(SCANN, "reorder_k", Number(100_000), Ok(()))]
    #[case(DISK, "search_list", Number(9), Err(E::SearchList { got: 9, wanted: 10 }))]
    #[case(DISK, "search_list", Number(200), Ok(()))]
    #[case(DISK, "search_list", Number(201), Err(E::SearchList { got: 201, wanted: 10 }))]
    #[case(IndexKind::Flat, "nprobe", Number(-1), Ok(()))]
    fn parameters_of_the_index_are_checked(
        #[case] kind: IndexKind,
        #[case] key: &str,
        #[case] number: AskedNumber,
        #[case] expected: Result<(), E>,
    ) {
        assert_eq!(asked(key, number).check(Some(kind), Some(10)), expected);
        assert_eq!(asked(key, number).check(None, Some(10)), Ok(()), "without an index");
        let is_about_rows = matches!(expected, Err(E::Below { .. } | E::SearchList { .. }));
        let by_range = if is_about_rows { Ok(()) } else { expected };
        assert_eq!(asked(key, number).check(Some(kind), None), by_range, "by range");
    }
}
