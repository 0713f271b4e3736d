use super::*;
use crate::{kit::pools, standalone::tests::World, wire::proto::milvus::milvus_service_server::MilvusService as _};

/// A name of a few bytes would have the ids of all flushed segments for each time that it is repeated.
#[tokio::test]
async fn a_repeated_name_is_flushed_and_answered_once() {
    let world = World::new().await;
    let cells = [world.collection("books").await, world.collection("films").await];
    for cell in &cells {
        world.segment(cell, 0..5).await;
    }
    let api = MilvusApi::new(world.standalone.clone(), pools::growth(64 << 20));
    let names = ["films", "books", "films", "books", "books"].map(str::to_owned);
    let request = FlushRequest { collection_names: names.into(), ..Default::default() };
    let answer = api.flush(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(answer.status.unwrap().code, 0);
    let segments = |entries: &[(String, Option<LongArray>)]| {
        entries.iter().map(|(name, ids)| (name.clone(), ids.clone().unwrap().data.len())).collect::<Vec<_>>()
    };
    let flushed: Vec<_> = answer.flush_coll_seg_i_ds.into_iter().map(|entry| (entry.key, entry.value)).collect();
    assert_eq!(segments(&flushed), [("films".to_owned(), 1), ("books".to_owned(), 1)]);
    let names = |keys: Vec<String>| assert_eq!(keys, ["films", "books"]);
    names(answer.coll_seg_i_ds.into_iter().map(|entry| entry.key).collect());
    names(answer.coll_seal_times.into_iter().map(|entry| entry.key).collect());
    names(answer.coll_flush_ts.into_iter().map(|entry| entry.key).collect());
}
