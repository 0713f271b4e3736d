//! The decision by grants: a plain function of values.

use crate::model::{Grant, Granted, ObjectType, Privilege, access::ANY};

/// The privilege that a call needs, and the kind of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    pub object: ObjectType,
    pub privilege: Privilege,
}

impl Need {
    /// On the collection that the call names.
    pub const fn collection(privilege: Privilege) -> Self {
        Self { object: ObjectType::Collection, privilege }
    }

    /// In the database of the call, or in the whole server.
    pub const fn global(privilege: Privilege) -> Self {
        Self { object: ObjectType::Global, privilege }
    }

    /// On the user that the call names.
    pub const fn user(privilege: Privilege) -> Self {
        Self { object: ObjectType::User, privilege }
    }
}

/// True if one of the grants allows it. `name` is [`ANY`] when the call is about all objects; only a grant on all allows
/// that.
pub(super) fn allows<'a>(mut grants: impl Iterator<Item = &'a Grant>, need: Need, database: &str, name: &str) -> bool {
    let covers = |granted: &str, asked: &str| granted == ANY || granted == asked;
    grants.any(|grant| {
        if !covers(&grant.database, database) {
            return false;
        }
        match grant.privilege {
            // Every privilege on every object of the database, of any kind.
            Granted::One(Privilege::All) => true,
            granted => {
                let is_granted = granted == Granted::Every || granted == Granted::One(need.privilege);
                grant.object == need.object && is_granted && covers(&grant.name, name)
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use Granted::{Every, One};
    use ObjectType::{Collection, Global, User};
    use Privilege as P;

    /// The answers of Milvus 2.3.5 to the same grants and calls, with one exception: there `All` in every database
    /// allows nothing.
    #[rstest]
    #[case::same((Collection, "c1", One(P::Query), "default"), P::Query, "default", "c1", true)]
    #[case::other_name((Collection, "c1", One(P::Query), "default"), P::Query, "default", "c2", false)]
    #[case::other_database((Collection, "c1", One(P::Query), "default"), P::Query, "db1", "c1", false)]
    #[case::other_privilege((Collection, "c1", One(P::Insert), "default"), P::Query, "default", "c1", false)]
    #[case::every_database((Collection, "c1", One(P::Query), "*"), P::Query, "db1", "c1", true)]
    #[case::every_name((Collection, "*", One(P::Query), "default"), P::Query, "default", "c2", true)]
    #[case::every_name_elsewhere((Collection, "*", One(P::Query), "db1"), P::Query, "default", "c2", false)]
    #[case::every_privilege((Collection, "c1", Every, "default"), P::Insert, "default", "c1", true)]
    #[case::every_privilege_of_another_name((Collection, "c1", Every, "default"), P::Insert, "default", "c2", false)]
    #[case::every_global_is_not_of_collections((Global, "*", Every, "default"), P::Query, "default", "c1", false)]
    #[case::every_global((Global, "*", Every, "default"), P::DropCollection, "default", "*", true)]
    #[case::all((Global, "*", One(P::All), "default"), P::Query, "default", "c1", true)]
    #[case::all_of_users((Global, "*", One(P::All), "default"), P::UpdateUser, "default", "root", true)]
    #[case::all_elsewhere((Global, "*", One(P::All), "default"), P::DropCollection, "db1", "*", false)]
    #[case::all_everywhere((Global, "*", One(P::All), "*"), P::DropCollection, "db1", "*", true)]
    #[case::one_is_not_all((Collection, "c1", One(P::Flush), "default"), P::Flush, "default", "*", false)]
    #[case::a_user((User, "root", One(P::SelectUser), "default"), P::SelectUser, "default", "root", true)]
    #[case::another_user((User, "root", One(P::SelectUser), "default"), P::SelectUser, "default", "u", false)]
    fn rules(
        #[case] (object, name, privilege, database): (ObjectType, &str, Granted, &str),
        #[case] needed: Privilege,
        #[case] in_database: &str,
        #[case] on: &str,
        #[case] expected: bool,
    ) {
        let grant = Grant { database: database.into(), object, name: name.into(), privilege, grantor: "root".into() };
        let kind = |object: &&ObjectType| object.privileges().contains(&needed);
        let need = Need { object: *ObjectType::ALL.iter().find(kind).unwrap(), privilege: needed };
        assert_eq!(allows([grant].iter(), need, in_database, on), expected);
    }
}
