//! Which names users may give: Milvus' rules. The wording for clients is in `wire::status`.
//!
//! Must never change a name: a request that names something is looked up as it came.

/// The thing that a name belongs to. The kinds differ in their rules a little, and in the words and codes of their errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    Collection,
    /// Another name of a collection.
    Alias,
    /// May begin with a digit.
    Partition,
    Field,
    Index,
    Database,
    ResourceGroup,
}

/// A name that the rules refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind:?} name {name:?} is refused: {fault:?}")]
pub struct BadName {
    pub kind: NameKind,
    pub name: String,
    pub fault: NameFault,
}

/// The rule that a name breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameFault {
    Empty,
    /// More bytes than this.
    TooLong(usize),
    /// The first character is no ASCII letter or underscore.
    First,
    /// A later character is no ASCII letter, digit or underscore.
    Characters,
}

/// Checks a name that a request defines: ASCII letters, digits and underscores, no digit first, at most `most` bytes.
/// The order of the checks is Milvus'.
pub fn check_name(kind: NameKind, name: &str, most: usize) -> Result<(), BadName> {
    check_length(kind, name, most)?;
    let is_letter = |b: u8| b == b'_' || b.is_ascii_alphabetic();
    let is_first = |b: u8| is_letter(b) || (kind == NameKind::Partition && b.is_ascii_digit());
    let fault = if !name.bytes().next().is_some_and(is_first) {
        NameFault::First
    } else if !name.bytes().all(|b| is_letter(b) || b.is_ascii_digit()) {
        NameFault::Characters
    } else {
        return Ok(());
    };
    Err(BadName { kind, name: name.to_owned(), fault })
}

/// Checks a name that a request asks for. Spaces around it are no fault, though nothing has such a name: the answer is
/// then that it was not found.
pub fn check_asked(kind: NameKind, name: &str, most: usize) -> Result<(), BadName> {
    check_name(kind, name.trim(), most)
}

/// The part of [`check_asked`] that Milvus checks of the partitions of a query.
pub fn check_length(kind: NameKind, name: &str, most: usize) -> Result<(), BadName> {
    // Spaces alone are an empty name, except for a database and a resource group: Milvus asks for their first character.
    let is_trimmed = !matches!(kind, NameKind::Database | NameKind::ResourceGroup);
    let name = if is_trimmed && name.trim().is_empty() { "" } else { name };
    let fault = match name.len() {
        0 => NameFault::Empty,
        bytes if bytes > most => NameFault::TooLong(most),
        _ => return Ok(()),
    };
    Err(BadName { kind, name: name.to_owned(), fault })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::letters("aZ_09", None, None)]
    #[case::underscore("_", None, None)]
    #[case::digit_first("2024", Some(NameFault::First), None)]
    #[case::dash_first("-a", Some(NameFault::First), Some(NameFault::First))]
    #[case::empty("", Some(NameFault::Empty), Some(NameFault::Empty))]
    #[case::spaces_alone("  ", Some(NameFault::Empty), Some(NameFault::Empty))]
    #[case::space("a b", Some(NameFault::Characters), Some(NameFault::Characters))]
    #[case::space_first(" a", Some(NameFault::First), Some(NameFault::First))]
    #[case::letter_outside_ascii("é", Some(NameFault::First), Some(NameFault::First))]
    #[case::slash("a/b", Some(NameFault::Characters), Some(NameFault::Characters))]
    #[case::digit_and_dash("1-b", Some(NameFault::First), Some(NameFault::Characters))]
    #[case::long("ninechars", None, None)]
    #[case::too_long("ten_chars_", Some(NameFault::TooLong(9)), Some(NameFault::TooLong(9)))]
    fn names(#[case] name: &str, #[case] fault: Option<NameFault>, #[case] of_partition: Option<NameFault>) {
        let of = |kind| check_name(kind, name, 9).err().map(|bad| bad.fault);
        for kind in [NameKind::Collection, NameKind::Alias, NameKind::Field, NameKind::Index] {
            assert_eq!(of(kind), fault, "{kind:?}");
        }
        let of_database = if name == "  " { Some(NameFault::First) } else { fault };
        assert_eq!(of(NameKind::Database), of_database);
        assert_eq!(of(NameKind::ResourceGroup), of_database);
        assert_eq!(of(NameKind::Partition), of_partition);
    }

    #[test]
    fn spaces_around_a_name_that_is_asked_for_are_no_fault() {
        let asked = |name| check_asked(NameKind::Collection, name, 9).err().map(|bad| (bad.name, bad.fault));
        assert_eq!(asked(" a\t"), None);
        assert_eq!(asked("  "), Some((String::new(), NameFault::Empty)));
        assert_eq!(asked(" 1a"), Some(("1a".to_owned(), NameFault::First)));
    }
}
