//! Rules for names that users give, which are those of Milvus. An error names the name and the limit.

/// Names of collections, aliases, databases, indexes and fields: ASCII letters, digits and underscores, no digit first,
/// at most `max` bytes. `what` begins the message, e.g. `collection name`.
pub fn check_name(what: &str, name: &str, max: usize) -> Result<(), String> {
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("Invalid {what}: {name}. the first character must be an underscore or letter"));
    }
    check_partition_name(what, name, max)
}

/// Names of partitions may also begin with a digit.
pub fn check_partition_name(what: &str, name: &str, max: usize) -> Result<(), String> {
    let reason = if name.is_empty() {
        return Err(format!("{what} should not be empty"));
    } else if name.len() > max {
        format!("its length {} exceeds {max}", name.len())
    } else if !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
        "it can only contain numbers, letters and underscores".to_owned()
    } else {
        return Ok(());
    };
    Err(format!("Invalid {what}: {name}. {reason}"))
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
