//! Names: the answer of every call that adds, moves or drops one. A restart changes no meaning.

use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::{
    kit::pools,
    standalone::tests::World,
    wire::proto::{common::Status as Outcome, milvus::milvus_service_server::MilvusService as _, schema},
};

/// A call about names. The description of a collection tells which one it is.
#[derive(Debug, Clone)]
enum Call {
    CreateDatabase(&'static str),
    DropDatabase(&'static str),
    Create(&'static str, &'static str, &'static str),
    Drop(&'static str, &'static str),
    Rename(&'static str, &'static str, &'static str, &'static str),
    CreateAlias(&'static str, &'static str, &'static str),
    AlterAlias(&'static str, &'static str, &'static str),
    DropAlias(&'static str, &'static str),
}

fn definition(name: &str, description: &str) -> Vec<u8> {
    let field = |name: &str, data_type| schema::FieldSchema { name: name.to_owned(), data_type, ..Default::default() };
    let dim = common::KeyValuePair { key: "dim".to_owned(), value: "4".to_owned() };
    let fields = vec![
        schema::FieldSchema { is_primary_key: true, ..field("id", schema::DataType::Int64 as i32) },
        schema::FieldSchema { type_params: vec![dim], ..field("v", schema::DataType::FloatVector as i32) },
    ];
    let (name, description) = (name.to_owned(), description.to_owned());
    schema::CollectionSchema { name, description, fields, ..Default::default() }.encode_to_vec()
}

async fn ask(api: &MilvusApi, call: &Call) -> Outcome {
    let text = |text: &str| text.to_owned();
    let answer = match *call {
        Call::CreateDatabase(name) => {
            let request = CreateDatabaseRequest { db_name: text(name), ..Default::default() };
            api.create_database(Request::new(request)).await
        }
        Call::DropDatabase(name) => {
            let request = DropDatabaseRequest { db_name: text(name), ..Default::default() };
            api.drop_database(Request::new(request)).await
        }
        Call::Create(database, name, identity) => {
            let request = CreateCollectionRequest {
                db_name: text(database),
                collection_name: text(name),
                schema: definition(name, identity),
                ..Default::default()
            };
            api.create_collection(Request::new(request)).await
        }
        Call::Drop(database, name) => {
            let request =
                DropCollectionRequest { db_name: text(database), collection_name: text(name), ..Default::default() };
            api.drop_collection(Request::new(request)).await
        }
        Call::Rename(database, name, to_database, to) => {
            let request = RenameCollectionRequest {
                db_name: text(database),
                old_name: text(name),
                new_name: text(to),
                new_db_name: text(to_database),
                ..Default::default()
            };
            api.rename_collection(Request::new(request)).await
        }
        Call::CreateAlias(database, name, alias) => {
            let (db_name, collection_name, alias) = (text(database), text(name), text(alias));
            let request = CreateAliasRequest { db_name, collection_name, alias, ..Default::default() };
            api.create_alias(Request::new(request)).await
        }
        Call::AlterAlias(database, name, alias) => {
            let (db_name, collection_name, alias) = (text(database), text(name), text(alias));
            let request = AlterAliasRequest { db_name, collection_name, alias, ..Default::default() };
            api.alter_alias(Request::new(request)).await
        }
        Call::DropAlias(database, alias) => {
            let request = DropAliasRequest { db_name: text(database), alias: text(alias), ..Default::default() };
            api.drop_alias(Request::new(request)).await
        }
    };
    answer.unwrap().into_inner()
}

/// The description of the collection that a name means.
async fn meaning(api: &MilvusApi, database: &str, name: &str) -> Option<String> {
    let request = DescribeCollectionRequest {
        db_name: database.to_owned(),
        collection_name: name.to_owned(),
        ..Default::default()
    };
    let answer = api.describe_collection(Request::new(request)).await.unwrap().into_inner();
    let is_there = answer.status.is_none_or(|status| status.code == 0);
    answer.schema.filter(|_| is_there).map(|schema| schema.description)
}

async fn aliases(api: &MilvusApi, database: &str) -> (i32, Vec<String>) {
    let request = ListAliasesRequest { db_name: database.to_owned(), ..Default::default() };
    let answer = api.list_aliases(Request::new(request)).await.unwrap().into_inner();
    let mut aliases = answer.aliases;
    aliases.sort();
    (answer.status.unwrap().code, aliases)
}

async fn api_with(calls: &[Call]) -> (World, MilvusApi) {
    let world = World::new().await;
    let api = MilvusApi::new(world.standalone.clone(), pools::growth(64 << 20));
    for call in calls {
        assert_eq!(ask(&api, call).await, Outcome::default(), "{call:?}");
    }
    (world, api)
}

/// Every call against every kind of name that can be in its way; codes and texts are those of the real server.
#[tokio::test]
async fn each_call_meets_one_directory_of_names() {
    use Call::*;
    let (_world, api) = api_with(&[
        CreateDatabase("other"),
        Create("default", "books", "the books"),
        CreateAlias("default", "books", "b"),
        Create("default", "films", "the films"),
        Create("other", "songs", "the songs"),
        CreateAlias("other", "songs", "b"),
        Create("other", "maps", "the maps"),
    ])
    .await;
    let conflict = "alias and collection name conflict[database=default][alias=films]";
    let table = [
        (CreateDatabase("other"), 65535, "database already exist: other"),
        (DropDatabase("default"), 65535, "can not drop default database"),
        (DropDatabase("other"), 65535, "database:other not empty, must drop all collections before drop database"),
        (DropDatabase("nope"), 0, ""),
        (Create("nope", "x", ""), 65535, "database:nope not found"),
        (Create("default", "books", "another"), 65535, "create duplicate collection with different parameters"),
        (Create("default", "b", ""), 65535, "create duplicate collection with different parameters, collection: b"),
        (Drop("default", "b"), 65535, "cannot drop the collection via alias = b"),
        (Drop("default", "nope"), 0, ""),
        (Drop("nope", "books"), 0, ""),
        (Rename("default", "b", "", "c"), 65535, "unsupported use an alias to rename collection, alias:b"),
        (
            Rename("default", "films", "", "b"),
            65535,
            "duplicated new collection name default:b with other collection name or alias",
        ),
        (Rename("default", "films", "default", "b"), 65535, "cannot rename collection to an existing alias: b"),
        (Rename("default", "books", "default", "b"), 65535, "cannot rename collection to an existing alias: b"),
        (Rename("default", "films", "other", "b"), 65535, "cannot rename collection to an existing alias: b"),
        (
            Rename("default", "films", "", "books"),
            65535,
            "duplicated new collection name default:books with other collection name or alias",
        ),
        (
            Rename("default", "films", "other", "maps"),
            65535,
            "duplicated new collection name other:maps with other collection name or alias",
        ),
        (Rename("default", "nope", "", "x"), 100, "collection not found[database=default][collection=nope]"),
        (Rename("default", "films", "nope", "x"), 65535, "target database:nope not found"),
        (Rename("nope", "films", "other", "x"), 800, "database not found[database=nope]"),
        (
            Rename("default", "books", "other", "tomes"),
            65535,
            "fail to rename db name, must drop all aliases of this collection before rename",
        ),
        (CreateAlias("default", "books", "films"), 1601, conflict),
        (CreateAlias("default", "nope", "n"), 100, "collection not found[database=default][collection=nope]"),
        (CreateAlias("default", "b", "c"), 100, "collection not found[database=default][collection=b]"),
        (CreateAlias("nope", "books", "n"), 800, "database not found[database=nope]"),
        (CreateAlias("default", "books", "b"), 0, ""),
        (
            CreateAlias("default", "films", "b"),
            1602,
            "b is alias to another collection: books: alias already exist[database=default][alias=b]",
        ),
        (AlterAlias("default", "books", "films"), 1601, conflict),
        (AlterAlias("default", "books", "nope"), 1600, "alias not found[database=default][alias=nope]"),
        (AlterAlias("default", "b", "b"), 100, "collection not found[collection=b]"),
        (AlterAlias("default", "nope", "b"), 100, "collection not found[collection=nope]"),
        (DropAlias("default", "films"), 0, ""),
        (DropAlias("nope", "b"), 65535, "database:nope not found"),
    ];
    let mut wrong = Vec::new();
    for (call, code, text) in &table {
        let outcome = ask(&api, call).await;
        if outcome.code != *code || !outcome.reason.starts_with(text) {
            wrong.push(format!("{call:?}: {} {}", outcome.code, outcome.reason));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (database, name, expected) in [
        ("default", "books", "books"),
        ("default", "b", "books"),
        ("default", "films", "films"),
        ("other", "b", "songs"),
    ] {
        assert_eq!(meaning(&api, database, name).await, Some(format!("the {expected}")), "{database}.{name}");
    }
}

#[tokio::test]
async fn a_collection_without_aliases_moves_to_another_database_and_a_name_is_free_again() {
    use Call::*;
    let (world, api) = api_with(&[
        CreateDatabase("other"),
        Create("default", "books", "first"),
        CreateAlias("default", "books", "b"),
        DropAlias("default", "b"),
        Rename("default", "books", "other", "tomes"),
        Create("default", "books", "second"),
        CreateAlias("other", "tomes", "books"),
        Drop("default", "books"),
        Create("default", "books", "third"),
        Rename("default", "books", "default", "b"),
        Rename("default", "b", "", "books"),
    ])
    .await;
    drop(api);
    let world = world.restarted().await;
    let api = MilvusApi::new(world.standalone.clone(), pools::growth(64 << 20));
    assert_eq!(meaning(&api, "other", "tomes").await.as_deref(), Some("first"));
    assert_eq!(meaning(&api, "other", "books").await.as_deref(), Some("first"));
    assert_eq!(meaning(&api, "default", "books").await.as_deref(), Some("third"));
    assert_eq!(meaning(&api, "default", "b").await, None);
}

#[tokio::test]
async fn aliases_are_listed_by_a_collections_own_name() {
    use Call::*;
    let (_world, api) = api_with(&[Create("default", "books", ""), CreateAlias("default", "books", "b")]).await;
    let list = async |database: &str, name: &str| {
        let (db_name, collection_name) = (database.to_owned(), name.to_owned());
        let request = ListAliasesRequest { db_name, collection_name, ..Default::default() };
        let answer = api.list_aliases(Request::new(request)).await.unwrap().into_inner();
        (answer.status.unwrap().code, answer.aliases)
    };
    assert_eq!(list("", "books").await, (0, vec!["b".to_owned()]));
    assert_eq!(list("", "").await, (0, vec!["b".to_owned()]));
    assert_eq!(list("", "b").await, (100, vec![]));
    assert_eq!(list("nope", "").await, (800, vec![]));
}

/// For creating and altering alike; a value that an older release took stays described.
#[tokio::test]
async fn a_property_that_can_not_be_meant_is_refused_and_nothing_changes() {
    let (_world, api) = api_with(&[Call::Create("default", "books", "")]).await;
    let pair = |key: &str, value: &str| common::KeyValuePair { key: key.to_owned(), value: value.to_owned() };
    let alter = async |key: &str, value: &str| {
        let properties = vec![pair(key, value)];
        let request = AlterCollectionRequest { collection_name: "books".into(), properties, ..Default::default() };
        api.alter_collection(Request::new(request)).await.unwrap().into_inner()
    };
    let create = async |key: &str, value: &str| {
        let request = CreateCollectionRequest {
            collection_name: "films".into(),
            schema: definition("films", ""),
            properties: vec![pair(key, value)],
            ..Default::default()
        };
        api.create_collection(Request::new(request)).await.unwrap().into_inner()
    };
    let huge = "x".repeat(20 << 20);
    for (key, value, text) in [
        ("collection.ttl.seconds", "abc", "property collection.ttl.seconds is \"abc\", expected whole seconds"),
        ("collection.autocompaction.enabled", "of", "property collection.autocompaction.enabled is \"of\""),
        ("note", huge.as_str(), "properties: the value of note has 20971520 bytes, the limit is 65535"),
        ("", "x", "properties: a key is empty"),
    ] {
        for outcome in [alter(key, value).await, create(key, value).await] {
            assert_eq!(outcome.code, 1100, "{key}: {}", outcome.reason);
            assert!(outcome.reason.starts_with(text), "{}", outcome.reason);
        }
    }
    assert_eq!(meaning(&api, "default", "films").await, None);
    assert_eq!(alter("collection.ttl.seconds", "60").await, Outcome::default());
    let index = CreateIndexRequest {
        collection_name: "books".into(),
        field_name: "v".into(),
        extra_params: vec![pair("params", &huge)],
        ..Default::default()
    };
    let outcome = api.create_index(Request::new(index)).await.unwrap().into_inner();
    assert_eq!(outcome.code, 1100, "{}", outcome.reason);
}

/// The expected meaning of the names in the plainest form: databases, collections with their aliases, no index.
#[derive(Debug, Default)]
struct Model {
    databases: Vec<&'static str>,
    /// Database, own name, description, aliases.
    collections: Vec<(&'static str, &'static str, &'static str, Vec<&'static str>)>,
}

impl Model {
    fn own(&self, database: &str, name: &str) -> Option<usize> {
        self.collections.iter().position(|c| c.0 == database && c.1 == name)
    }

    fn alias(&self, database: &str, alias: &str) -> Option<usize> {
        self.collections.iter().position(|c| c.0 == database && c.3.contains(&alias))
    }

    /// Applies a call and says the code that it must be answered with.
    fn apply(&mut self, call: &Call) -> i32 {
        let unknown = |model: &Self, database| !model.databases.contains(&database);
        match *call {
            Call::CreateDatabase(name) if self.databases.contains(&name) => 65535,
            Call::CreateDatabase(name) => {
                self.databases.push(name);
                0
            }
            Call::DropDatabase("default") => 65535,
            Call::DropDatabase(name) if self.collections.iter().any(|c| c.0 == name) => 65535,
            Call::DropDatabase(name) => {
                self.databases.retain(|d| *d != name);
                0
            }
            Call::Create(d, ..) | Call::DropAlias(d, _) if unknown(self, d) => 65535,
            Call::Drop(d, _) if unknown(self, d) => 0,
            Call::CreateAlias(d, ..) | Call::AlterAlias(d, ..) | Call::Rename(d, ..) if unknown(self, d) => 800,
            // Creating the same collection again is no error.
            Call::Create(d, name, identity)
                if self.own(d, name).is_some_and(|at| self.collections[at].2 == identity) =>
            {
                0
            }
            Call::Create(d, name, _) if self.own(d, name).or(self.alias(d, name)).is_some() => 65535,
            Call::Create(d, name, identity) => {
                self.collections.push((d, name, identity, vec![]));
                0
            }
            Call::Drop(d, name) if self.alias(d, name).is_some() => 65535,
            Call::Drop(d, name) => {
                self.collections.retain(|c| (c.0, c.1) != (d, name));
                0
            }
            Call::Rename(d, from, to_d, to) => match self.own(d, from) {
                _ if unknown(self, to_d) || self.alias(d, from).is_some() => 65535,
                _ if self.own(to_d, to).or(self.alias(to_d, to)).is_some() => 65535,
                None => 100,
                Some(at) if d != to_d && !self.collections[at].3.is_empty() => 65535,
                Some(at) => {
                    (self.collections[at].0, self.collections[at].1) = (to_d, to);
                    0
                }
            },
            Call::CreateAlias(d, _, alias) | Call::AlterAlias(d, _, alias) if self.own(d, alias).is_some() => 1601,
            Call::CreateAlias(d, name, _) | Call::AlterAlias(d, name, _) if self.own(d, name).is_none() => 100,
            Call::CreateAlias(d, name, alias) => match (self.own(d, name), self.alias(d, alias)) {
                (Some(at), None) => {
                    self.collections[at].3.push(alias);
                    0
                }
                (at, owner) => 1602 * i32::from(at != owner),
            },
            Call::AlterAlias(d, name, alias) => match (self.own(d, name), self.alias(d, alias)) {
                (Some(at), Some(owner)) => {
                    self.collections[owner].3.retain(|a| *a != alias);
                    self.collections[at].3.push(alias);
                    0
                }
                _ => 1600,
            },
            Call::DropAlias(d, alias) => {
                if let Some(at) = self.alias(d, alias) {
                    self.collections[at].3.retain(|a| *a != alias);
                }
                0
            }
        }
    }

    async fn check(&self, api: &MilvusApi) {
        for database in DATABASES {
            let mut listed: Vec<&str> = Vec::new();
            for name in NAMES {
                let at = self.own(database, name).or(self.alias(database, name));
                let expected = at.map(|at| self.collections[at].2.to_owned());
                assert_eq!(meaning(api, database, name).await, expected, "{database}.{name}");
                listed.extend(self.alias(database, name).map(|_| name));
            }
            let code = if self.databases.contains(&database) { 0 } else { 800 };
            assert_eq!(aliases(api, database).await, (code, listed.iter().map(|a| (*a).to_owned()).collect()));
        }
    }
}

const DATABASES: [&str; 3] = ["default", "one", "two"];
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const IDENTITIES: [&str; 8] = ["0", "1", "2", "3", "4", "5", "6", "7"];

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let database = || prop::sample::select(&DATABASES[..]);
    let name = || prop::sample::select(&NAMES[..]);
    let call = prop_oneof![
        1 => database().prop_map(Call::CreateDatabase),
        1 => database().prop_map(Call::DropDatabase),
        5 => (database(), name(), prop::sample::select(&IDENTITIES[..])).prop_map(|(d, n, i)| Call::Create(d, n, i)),
        2 => (database(), name()).prop_map(|(d, n)| Call::Drop(d, n)),
        5 => (database(), name(), database(), name()).prop_map(|(d, n, e, m)| Call::Rename(d, n, e, m)),
        5 => (database(), name(), name()).prop_map(|(d, n, a)| Call::CreateAlias(d, n, a)),
        3 => (database(), name(), name()).prop_map(|(d, n, a)| Call::AlterAlias(d, n, a)),
        1 => (database(), name()).prop_map(|(d, a)| Call::DropAlias(d, a)),
    ];
    prop::collection::vec(call, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 100, ..ProptestConfig::default() })]

    /// Calls in any order are answered as the model says, and a restart changes no meaning.
    #[test]
    fn any_calls_leave_each_name_one_meaning_over_restarts(calls in calls()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut model = Model { databases: vec!["default"], ..Model::default() };
            let (world, api) = api_with(&[Call::CreateDatabase("one"), Call::CreateDatabase("two")]).await;
            model.databases.extend(["one", "two"]);
            for call in &calls {
                let outcome = ask(&api, call).await;
                assert_eq!(outcome.code, model.apply(call), "{call:?}: {}", outcome.reason);
            }
            model.check(&api).await;
            drop(api);
            let world = world.restarted().await;
            model.check(&MilvusApi::new(world.standalone.clone(), pools::growth(64 << 20))).await;
            drop(world);
        });
    }
}
