//! Users, roles and grants, as the catalog stores them (JSON), and the names of everything that can be granted.
//!
//! Names of privileges and of object types are stored: none is ever renamed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Number of a role. A name that is used again gets a new one, so members of a dropped role never come back with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RoleId(pub i64);

/// May do everything.
pub const ADMIN: &str = "admin";
/// Every user has this role.
pub const PUBLIC: &str = "public";
/// The user that always exists and may do everything.
pub const ROOT: &str = "root";
/// The password of [`ROOT`] until it is changed. Everybody knows it.
pub const ROOT_PASSWORD: &str = "Milvus";
/// Stands for every database, every object, or every privilege of an object type.
pub const ANY: &str = "*";

/// The hash that a password is compared with. Its parameters are stored beside it, so that later releases may raise them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordHash {
    /// Always `argon2id`, version 19.
    pub algorithm: String,
    /// KiB.
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
    /// Base64.
    pub salt: String,
    /// Base64.
    pub digest: String,
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(***)")
    }
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub name: String,
    /// None for `root` until its password is changed: it has the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordHash>,
    /// The password is the one that everybody knows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_well_known: bool,
    /// Ids of roles that were dropped since mean nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleId>,
}

/// A role with its grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    pub id: RoleId,
    pub name: String,
    /// In the order of [`Grant`]; none twice, the grantor apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
}

/// One privilege on one object, or on all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Grant {
    /// Database, or [`ANY`].
    pub database: String,
    pub object: ObjectType,
    /// Name of the object, or [`ANY`].
    pub name: String,
    pub privilege: Granted,
    /// The user that made it.
    pub grantor: String,
}

impl Grant {
    /// The same privilege on the same object.
    pub fn is_same(&self, other: &Self) -> bool {
        let key = |g: &Self| (g.database.clone(), g.object, g.name.clone(), g.privilege);
        key(self) == key(other)
    }
}

/// The right that a grant gives on its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Granted {
    /// Every privilege of the object type.
    #[serde(rename = "*")]
    Every,
    #[serde(untagged)]
    One(Privilege),
}

impl Granted {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Every => ANY,
            Self::One(privilege) => privilege.as_str(),
        }
    }
}

/// Kinds of objects, as Milvus has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ObjectType {
    Collection,
    Global,
    User,
}

impl ObjectType {
    /// In the order in which Milvus lists them.
    pub const ALL: [Self; 3] = [Self::Collection, Self::Global, Self::User];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Collection => "Collection",
            Self::Global => "Global",
            Self::User => "User",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|object| object.as_str() == name)
    }

    /// The privileges that can be granted on such an object.
    pub fn privileges(self) -> &'static [Privilege] {
        use Privilege as P;
        match self {
            Self::Collection => &[
                P::Load,
                P::Release,
                P::Compaction,
                P::Insert,
                P::Delete,
                P::Upsert,
                P::GetStatistics,
                P::CreateIndex,
                P::IndexDetail,
                P::DropIndex,
                P::Search,
                P::Flush,
                P::Query,
                P::LoadBalance,
                P::Import,
                P::GetLoadingProgress,
                P::GetLoadState,
                P::CreatePartition,
                P::DropPartition,
                P::ShowPartitions,
                P::HasPartition,
                P::GetFlushState,
            ],
            Self::Global => &[
                P::All,
                P::CreateCollection,
                P::DropCollection,
                P::DescribeCollection,
                P::ShowCollections,
                P::RenameCollection,
                P::CreateOwnership,
                P::DropOwnership,
                P::SelectOwnership,
                P::ManageOwnership,
                P::CreateResourceGroup,
                P::DropResourceGroup,
                P::DescribeResourceGroup,
                P::ListResourceGroups,
                P::TransferReplica,
                P::TransferNode,
                P::FlushAll,
                P::CreateDatabase,
                P::DropDatabase,
                P::ListDatabases,
                P::CreateAlias,
                P::DropAlias,
                P::DescribeAlias,
                P::ListAliases,
            ],
            Self::User => &[P::UpdateUser, P::SelectUser],
        }
    }
}

macro_rules! privileges {
    ($($name:ident),* $(,)?) => {
        /// Privileges, by the names that Milvus 2.3.5 has.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Privilege {
            $($name),*
        }

        impl Privilege {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name)),*
                }
            }
        }
    };
}

privileges!(
    All,
    CreateCollection,
    DropCollection,
    DescribeCollection,
    ShowCollections,
    Load,
    Release,
    Compaction,
    Insert,
    Delete,
    GetStatistics,
    CreateIndex,
    IndexDetail,
    DropIndex,
    Search,
    Flush,
    Query,
    LoadBalance,
    Import,
    CreateOwnership,
    UpdateUser,
    DropOwnership,
    SelectOwnership,
    ManageOwnership,
    SelectUser,
    Upsert,
    CreateResourceGroup,
    DropResourceGroup,
    DescribeResourceGroup,
    ListResourceGroups,
    TransferNode,
    TransferReplica,
    GetLoadingProgress,
    GetLoadState,
    RenameCollection,
    CreateDatabase,
    DropDatabase,
    ListDatabases,
    FlushAll,
    CreatePartition,
    DropPartition,
    ShowPartitions,
    HasPartition,
    GetFlushState,
    CreateAlias,
    DropAlias,
    DescribeAlias,
    ListAliases,
);

impl Privilege {
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|privilege| privilege.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_they_were_written() {
        let grant = |privilege| Grant {
            database: "default".into(),
            object: ObjectType::Collection,
            name: "c".into(),
            privilege,
            grantor: "root".into(),
        };
        let grants = vec![grant(Granted::Every), grant(Granted::One(Privilege::Insert))];
        let role = Role { id: RoleId(7), name: "r".into(), grants };
        let json = r#"{"id":7,"name":"r","grants":[{"database":"default","object":"Collection","name":"c","privilege":"*","grantor":"root"},{"database":"default","object":"Collection","name":"c","privilege":"Insert","grantor":"root"}]}"#;
        assert_eq!(serde_json::to_string(&role).unwrap(), json);
        assert_eq!(serde_json::from_str::<Role>(json).unwrap(), role);
        let user = User { name: "u".into(), password: None, is_well_known: false, roles: vec![RoleId(7)] };
        assert_eq!(serde_json::to_string(&user).unwrap(), r#"{"name":"u","roles":[7]}"#);
        assert_eq!(serde_json::from_str::<User>(r#"{"name":"u","roles":[7]}"#).unwrap(), user);
    }

    #[test]
    fn every_privilege_belongs_to_one_kind_of_object() {
        for privilege in Privilege::ALL {
            let owners = ObjectType::ALL.iter().filter(|object| object.privileges().contains(privilege)).count();
            assert_eq!(owners, 1, "{privilege:?}");
            assert_eq!(Privilege::parse(privilege.as_str()), Some(*privilege));
        }
    }

    #[test]
    fn a_hash_is_not_printed() {
        let hash = PasswordHash {
            algorithm: "argon2id".into(),
            memory_kib: 1,
            passes: 1,
            lanes: 1,
            salt: "marked".into(),
            digest: "marked".into(),
        };
        assert!(!format!("{hash:?}").contains("marked"));
    }
}
