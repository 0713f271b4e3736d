//! Which names users may give: Milvus' rules. The wording for clients is in `wire::status`.

/// A name that the rules refuse. `what` says what it should name, e.g. `collection name`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name:?} is refused: {fault:?}")]
pub struct BadName {
    pub what: &'static str,
    pub name: String,
    pub fault: NameFault,
}

/// The rule that a name breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameFault {
    Empty,
    DigitFirst,
    TooLong {
        bytes: usize,
        most: usize,
    },
    /// Other characters than ASCII letters, digits and underscores.
    Characters,
}

/// Checks a name of a collection, alias, database, index or field: ASCII letters, digits and underscores, no digit
/// first, at most `most` bytes.
pub fn check_name(what: &'static str, name: &str, most: usize) -> Result<(), BadName> {
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(BadName { what, name: name.to_owned(), fault: NameFault::DigitFirst });
    }
    check_partition_name(what, name, most)
}

/// The same for a partition, whose name may also begin with a digit.
pub fn check_partition_name(what: &'static str, name: &str, most: usize) -> Result<(), BadName> {
    let fault = if name.is_empty() {
        NameFault::Empty
    } else if name.len() > most {
        NameFault::TooLong { bytes: name.len(), most }
    } else if !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
        NameFault::Characters
    } else {
        return Ok(());
    };
    Err(BadName { what, name: name.to_owned(), fault })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::letters("aZ_09", true, true)]
    #[case::underscore("_", true, true)]
    #[case::digit_first("2024", false, true)]
    #[case::empty("", false, false)]
    #[case::space("a b", false, false)]
    #[case::letter_outside_ascii("é", false, false)]
    #[case::slash("a/b", false, false)]
    #[case::long("ninechars", true, true)]
    #[case::too_long("ten_chars_", false, false)]
    fn names(#[case] name: &str, #[case] is_name: bool, #[case] is_partition: bool) {
        assert_eq!(check_name("name", name, 9).is_ok(), is_name);
        assert_eq!(check_partition_name("partition name", name, 9).is_ok(), is_partition);
    }
}
