//! Refused names in Milvus' words.

use crate::model::name::{BadName, NameFault, NameKind};

/// The reason of a refusal: each kind of name has its own grammar.
pub(super) fn text(bad: &BadName) -> String {
    let BadName { kind, name, fault } = bad;
    match kind {
        NameKind::Collection => of_collection("name", name, *fault),
        NameKind::Alias => of_collection("alias", name, *fault),
        NameKind::Partition => {
            let why = match fault {
                NameFault::Empty => "Partition name should not be empty.".to_owned(),
                NameFault::TooLong(most) => {
                    format!("The length of a partition name must be less than {most} characters.")
                }
                NameFault::First => {
                    "The first character of a partition name must be an underscore or letter.".to_owned()
                }
                NameFault::Characters => "Partition name can only contain numbers, letters and underscores.".to_owned(),
            };
            format!("Invalid partition name: {name}. {why}")
        }
        NameKind::Field => {
            let why = match fault {
                NameFault::Empty => "field name should not be empty".to_owned(),
                fault => capital("field", "Field", name, *fault),
            };
            format!("{why}: field name invalid[field={name}]")
        }
        NameKind::Index => capital("index", "Index", name, *fault),
        NameKind::Database => {
            let why = match fault {
                NameFault::Empty => "database name couldn't be empty".to_owned(),
                NameFault::TooLong(most) => {
                    format!("the length of a database name must be less than {most} characters")
                }
                NameFault::First => "the first character of a database name must be an underscore or letter".to_owned(),
                NameFault::Characters => "database name can only contain numbers, letters and underscores".to_owned(),
            };
            format!("{why}: invalid database name[database={name}]")
        }
        NameKind::ResourceGroup => {
            let why = match fault {
                NameFault::Empty => return "resource group name couldn't be empty".to_owned(),
                NameFault::TooLong(most) => {
                    format!("the length of a resource group name must be less than {most} characters")
                }
                NameFault::First => {
                    "the first character of a resource group name must be an underscore or letter".to_owned()
                }
                NameFault::Characters => {
                    "resource group name can only contain numbers, letters and underscores".to_owned()
                }
            };
            format!("Invalid resource group name {name}. {why}: invalid parameter")
        }
    }
}

/// Of a collection, by its `name` or an `alias`.
fn of_collection(what: &str, name: &str, fault: NameFault) -> String {
    let why = match fault {
        NameFault::Empty => return format!("collection {what} should not be empty: invalid parameter"),
        NameFault::TooLong(most) => format!("the length of a collection {what} must be less than {most} characters"),
        NameFault::First => format!("the first character of a collection {what} must be an underscore or letter"),
        NameFault::Characters => format!("collection {what} can only contain numbers, letters and underscores"),
    };
    format!("Invalid collection {what}: {name}. {why}: invalid parameter")
}

/// The sentences about fields and indexes. No index has an empty name: an index without one gets a name.
fn capital(what: &str, capital: &str, name: &str, fault: NameFault) -> String {
    let why = match fault {
        NameFault::Empty => format!("{capital} name should not be empty."),
        NameFault::TooLong(most) => format!("The length of a {what} name must be less than {most} characters."),
        NameFault::First => format!("The first character of a {what} name must be an underscore or letter."),
        NameFault::Characters => format!("{capital} name cannot only contain numbers, letters, and underscores."),
    };
    format!("Invalid {what} name: {name}. {why}")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{super::bad_name, *};

    /// Codes and texts that Milvus 2.3.5 answered.
    #[rstest]
    #[case(
        NameKind::Collection,
        "",
        NameFault::Empty,
        1100,
        5,
        "collection name should not be empty: invalid parameter"
    )]
    #[case(
        NameKind::Collection,
        "12-s",
        NameFault::First,
        1100,
        5,
        "Invalid collection name: 12-s. the first character of a collection name must be an underscore or letter: invalid parameter"
    )]
    #[case(
        NameKind::Collection,
        "a-b",
        NameFault::Characters,
        1100,
        5,
        "Invalid collection name: a-b. collection name can only contain numbers, letters and underscores: invalid parameter"
    )]
    #[case(
        NameKind::Collection,
        "a",
        NameFault::TooLong(255),
        1100,
        5,
        "Invalid collection name: a. the length of a collection name must be less than 255 characters: invalid parameter"
    )]
    #[case(NameKind::Alias, "", NameFault::Empty, 1100, 5, "collection alias should not be empty: invalid parameter")]
    #[case(
        NameKind::Alias,
        "12-s",
        NameFault::First,
        1100,
        5,
        "Invalid collection alias: 12-s. the first character of a collection alias must be an underscore or letter: invalid parameter"
    )]
    #[case(
        NameKind::Partition,
        "",
        NameFault::Empty,
        65535,
        1,
        "Invalid partition name: . Partition name should not be empty."
    )]
    #[case(
        NameKind::Partition,
        "12-s",
        NameFault::Characters,
        65535,
        1,
        "Invalid partition name: 12-s. Partition name can only contain numbers, letters and underscores."
    )]
    #[case(
        NameKind::Partition,
        "-a",
        NameFault::First,
        65535,
        1,
        "Invalid partition name: -a. The first character of a partition name must be an underscore or letter."
    )]
    #[case(
        NameKind::Partition,
        "a",
        NameFault::TooLong(255),
        65535,
        1,
        "Invalid partition name: a. The length of a partition name must be less than 255 characters."
    )]
    #[case(
        NameKind::Field,
        "",
        NameFault::Empty,
        1701,
        1,
        "field name should not be empty: field name invalid[field=]"
    )]
    #[case(
        NameKind::Field,
        "12-s",
        NameFault::First,
        1701,
        1,
        "Invalid field name: 12-s. The first character of a field name must be an underscore or letter.: field name \
         invalid[field=12-s]"
    )]
    #[case(
        NameKind::Field,
        "a-b",
        NameFault::Characters,
        1701,
        1,
        "Invalid field name: a-b. Field name cannot only contain numbers, letters, and underscores.: field name \
         invalid[field=a-b]"
    )]
    #[case(
        NameKind::Index,
        "12-s",
        NameFault::First,
        65535,
        1,
        "Invalid index name: 12-s. The first character of a index name must be an underscore or letter."
    )]
    #[case(
        NameKind::Index,
        "a-b",
        NameFault::Characters,
        65535,
        1,
        "Invalid index name: a-b. Index name cannot only contain numbers, letters, and underscores."
    )]
    #[case(
        NameKind::Database,
        "",
        NameFault::Empty,
        802,
        1,
        "database name couldn't be empty: invalid database name[database=]"
    )]
    #[case(
        NameKind::Database,
        "12-s",
        NameFault::First,
        802,
        1,
        "the first character of a database name must be an underscore or letter: invalid database name[database=12-s]"
    )]
    #[case(
        NameKind::Database,
        "a-b",
        NameFault::Characters,
        802,
        1,
        "database name can only contain numbers, letters and underscores: invalid database name[database=a-b]"
    )]
    #[case(
        NameKind::Database,
        "a",
        NameFault::TooLong(255),
        802,
        1,
        "the length of a database name must be less than 255 characters: invalid database name[database=a]"
    )]
    fn names(
        #[case] kind: NameKind,
        #[case] name: &str,
        #[case] fault: NameFault,
        #[case] code: i32,
        #[case] error_code: i32,
        #[case] reason: &str,
    ) {
        let status = bad_name(&BadName { kind, name: name.to_owned(), fault });
        assert_eq!((status.code, status.error_code, status.reason.as_str()), (code, error_code, reason));
    }
}
