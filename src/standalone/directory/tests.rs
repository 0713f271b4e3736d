//! The rule of names as values, and a start over a catalog that breaks it. The calls themselves are tested where
//! their answers are made.

use proptest::prelude::*;

use super::*;
use crate::{
    kit::model as fixture,
    model::{RequestError, Timestamp},
    standalone::{StandaloneError, tests::World},
};

fn collection(id: i64, database: &str, name: &str, aliases: &[&str]) -> Collection {
    Collection {
        database: database.to_owned(),
        aliases: aliases.iter().map(|a| (*a).to_owned()).collect(),
        ..fixture::collection(id, fixture::schema(name, Vec::new()))
    }
}

fn database(name: &str) -> Database {
    Database { name: name.to_owned(), created_at: Timestamp(1) }
}

fn directory(databases: &[Database], collections: &[Collection]) -> Directory {
    let mut directory = Directory::default();
    databases.iter().for_each(|d| directory.put_database(d.clone()));
    collections.iter().filter(|c| !c.dropped).for_each(|c| directory.give(c));
    directory
}

/// Names and aliases of each collection after settling.
fn settled(collections: &mut [Collection]) -> (Vec<Settled>, Vec<(String, Vec<String>)>) {
    let settled = settle(&mut vec![database("default")], collections, 12);
    (settled, collections.iter().map(|c| (c.name.clone(), c.aliases.clone())).collect())
}

#[test]
fn a_name_stored_twice_goes_to_a_collection_before_an_alias_and_to_the_older_before_the_newer() {
    let mut all = [
        collection(1, "default", "a", &["x", "b", "x"]),
        collection(2, "default", "b", &["x", "y", "b"]),
        Collection { dropped: true, ..collection(3, "default", "y", &["z"]) },
        collection(4, "default", "c", &["z"]),
    ];
    let (changes, names) = settled(&mut all);
    let aliases: Vec<String> = names.iter().map(|(name, aliases)| format!("{name}: {}", aliases.join(" "))).collect();
    assert_eq!(aliases, ["a: x", "b: y", "y: z", "c: z"]);
    assert_eq!(changes.iter().filter_map(Settled::changed).map(|id| id.0).collect::<Vec<_>>(), [1, 1, 2, 2]);
    assert!(changes[0].to_string().starts_with("database default had the name b twice: it means collection 2"));
}

#[test]
fn two_collections_of_one_name_are_told_apart_by_their_ids() {
    let mut all = [
        collection(1, "default", "book", &[]),
        collection(2, "default", "book", &[]),
        collection(3, "default", "book_2", &[]),
        collection(7, "default", "longest_name", &[]),
        collection(8, "default", "longest_name", &[]),
    ];
    let (_, names) = settled(&mut all);
    let names: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["book", "book_2_", "book_2", "longest_name", "longest_na_8"]);
    assert_eq!(all[1].schema.name, "book_2_");
    assert!(settled(&mut all).0.is_empty(), "settled once is settled");
}

#[test]
fn a_database_that_has_collections_is_there() {
    let mut databases = vec![database("default")];
    let mut all = [collection(5, "lost", "a", &[]), collection(6, "lost", "b", &[])];
    let settled = settle(&mut databases, &mut all, 255);
    assert_eq!(settled, [Settled::Database { database: "lost".to_owned(), collection: CollectionId(5) }]);
    assert_eq!(databases.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["default", "lost"]);
}

fn catalog() -> impl Strategy<Value = Vec<Collection>> {
    let name = || prop::sample::select(&["a", "b", "c", "a_1", "c_2_"][..]);
    let one = (prop::sample::select(&["default", "other"][..]), name(), prop::collection::vec(name(), 0..4));
    prop::collection::vec((one, any::<bool>()), 0..8).prop_map(|all| {
        let all = all.into_iter().zip(1..);
        all.map(|(((database, name, aliases), dropped), id)| Collection {
            dropped,
            ..collection(id, database, name, &aliases)
        })
        .collect()
    })
}

proptest! {
    /// For any catalog: afterwards no name is given twice, each collection has one, nothing is left to settle,
    /// and the names of the directory are exactly those of the definitions.
    #[test]
    fn any_catalog_settles_once(mut all in catalog()) {
        let mut databases = vec![database("default")];
        settle(&mut databases, &mut all, 255);
        prop_assert_eq!(settle(&mut databases, &mut all, 255), vec![]);
        let directory = directory(&databases, &all);
        let mut given = 0;
        for c in all.iter().filter(|c| !c.dropped) {
            let meaning = |name| directory.meaning(CollectionName { database: &c.database, name });
            prop_assert_eq!(meaning(&c.name), Some(Meaning::Collection(c.id)));
            prop_assert!(c.aliases.iter().all(|alias| meaning(alias) == Some(Meaning::Alias(c.id))));
            given += 1 + c.aliases.len();
        }
        let held: usize = directory.spaces.values().map(|space| space.names.len()).sum();
        prop_assert_eq!(held, given);
    }

    /// Taking a definition's names back restores the state before, in any order.
    #[test]
    fn names_taken_back_leave_no_trace(mut all in catalog(), at in any::<prop::sample::Index>()) {
        let mut databases = vec![database("default"), database("other")];
        settle(&mut databases, &mut all, 255);
        all.retain(|c| !c.dropped);
        prop_assume!(!all.is_empty());
        let mut directory_of_all = directory(&databases, &all);
        let one = all.remove(at.index(all.len()));
        directory_of_all.take(&one);
        prop_assert_eq!(directory_of_all, directory(&databases, &all));
    }
}

/// As a rename into another database left it in older releases: an alias in two definitions.
#[tokio::test]
async fn an_alias_stored_twice_means_the_same_at_every_restart() {
    let mut world = World::new().await;
    let older = world.collection("older").await;
    let newer = world.collection("newer").await;
    for cell in [&older, &newer] {
        let mut meta = Collection::clone(&cell.meta());
        meta.aliases.push("both".to_owned());
        world
            .coordinator
            .redefine(
                (),
                |txn| {
                    txn.put_collection(&meta);
                },
                |_| (),
            )
            .await
            .unwrap();
    }
    let both = CollectionName::new("", "both");
    for _ in 0..2 {
        world = world.restarted().await;
        assert_eq!(world.standalone.resolve(both).unwrap().id, older.id);
    }
    let reborn = world.standalone.resolve(CollectionName::new("", "newer")).unwrap();
    assert!(reborn.meta().aliases.is_empty());
    // The winner goes: the collection that had lost the alias does not get it back.
    world.standalone.drop_collection(CollectionName::new("", "older")).await.unwrap();
    world = world.restarted().await;
    let error = world.standalone.resolve(both).unwrap_err();
    assert!(matches!(error, StandaloneError::Request(RequestError::CollectionNotFound { .. })), "{error}");
}
