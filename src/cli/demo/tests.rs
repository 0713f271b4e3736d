use std::collections::HashSet;

use super::{searches::distance, *};

/// The changes that `write` makes with two flushes of 100 rows, without a server.
fn written() -> Books {
    let mut books = Books::default();
    books.insert(&(0..100).collect::<Vec<_>>());
    books.insert(&(100..200).collect::<Vec<_>>());
    let deleted: Vec<i64> = (0..100).filter(|key| key % 5 == 0).collect();
    books.delete(&deleted);
    books.upsert(&[0, 50]);
    books
}

#[test]
fn the_model_knows_the_remaining_rows() {
    let books = written();
    assert_eq!((books.inserted, books.deleted, books.upserted), (200, 20, 2));
    assert_eq!(books.live.len(), 182);
    assert_eq!((books.live.get(&0), books.live.get(&5), books.live.get(&7)), (Some(&2), None, Some(&1)));
}

#[test]
fn lost_and_revived_keys_are_noticed() {
    let books = written();
    let right: BTreeSet<i64> = books.live.keys().copied().collect();
    compare_keys(&books, &right).unwrap();
    let mut lost = right.clone();
    lost.remove(&7);
    assert_eq!(compare_keys(&books, &lost).unwrap_err().to_string(), "1 keys are lost, the first is 7");
    let mut revived = right;
    revived.extend([5, 10]);
    assert_eq!(compare_keys(&books, &revived).unwrap_err().to_string(), "2 deleted keys are back, the first is 5");
}

#[test]
fn rows_survive_the_columns_and_differ() {
    let rows: Vec<_> = (0..3000).flat_map(|key| [books::row(key, 1), books::row(key, 2)]).collect();
    let columns = books::columns(rows.clone());
    assert_eq!(books::from_columns(&columns).unwrap(), rows);
    let distinct: HashSet<_> = rows.iter().map(|row| format!("{row:?}")).collect();
    assert_eq!(distinct.len(), rows.len());
    assert_eq!(books::from_columns(&columns[..2]), None);
}

#[test]
fn dropped_segments_are_left_out_and_the_rest_is_sorted() {
    let segment = |segment_id, state: &str| Segment { segment_id, state: state.to_owned(), ..Segment::default() };
    let segments = live(vec![segment(2, "Flushed"), segment(3, "Dropped"), segment(1, "Flushed")]);
    assert_eq!(segments.iter().map(|segment| segment.segment_id).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn searches_are_held_against_the_rows() {
    let books = written();
    let searches = Searches::of(&books);
    let nearest_first = |vector: &[f32]| {
        let of = |(id, edition): (&i64, &u32)| (*id, distance(vector, &books::row(*id, *edition).vector));
        let mut rows: Vec<(i64, f32)> = books.live.iter().map(of).collect();
        rows.sort_by(|a, b| a.1.total_cmp(&b.1));
        rows
    };
    let ranks = |ranks: std::ops::Range<usize>| -> Vec<Vec<(i64, f32)>> {
        searches.vectors.iter().map(|vector| nearest_first(vector)[ranks.clone()].to_vec()).collect()
    };
    let recall = |answers: &[Vec<(i64, f32)>]| searches.recall(&books, answers);
    assert_eq!(recall(&ranks(0..10)).unwrap(), 1.0);
    // One row of ten is missing. A few rows are equally far.
    assert!((0.9..0.91).contains(&recall(&ranks(1..11)).unwrap()));
    assert_eq!(recall(&ranks(100..110)).unwrap(), 0.0);
    assert_eq!(recall(&ranks(0..9)).unwrap_err().to_string(), "a search found 9 rows");
    let changed = |id: i64, more: f32| {
        let mut answers = ranks(0..10);
        answers[3][9].0 += id;
        answers[3][9].1 += more;
        recall(&answers).unwrap_err().to_string()
    };
    assert!(changed(1_000, 0.0).ends_with(", which is deleted"));
    assert!(changed(0, 0.5).contains(" away, a search says "));
}

#[test]
fn commands_to_try_next_reach_the_same_server_and_say_no_password() {
    let reach = ReachFlags {
        tls: true,
        ca_file: Some("ca.pem".into()),
        user: Some("ann".to_owned()),
        password_file: Some("secret".into()),
        ..ReachFlags::default()
    };
    let place = PlaceFlags { config: None, data_dir: Some("d".into()) };
    let next = Next {
        program: "./datacoord".to_owned(),
        server: place.words() + &flag_words("endpoint", Some("h:1")) + &reach.words(),
        http: "h:2",
        http_tls: true,
        reach: &reach,
    };
    let commands = next.commands();
    let reached = "--data-dir d --endpoint h:1 --tls --ca-file ca.pem --password-file secret --user ann";
    let lines: Vec<&str> = commands.lines().map(str::trim).collect();
    assert_eq!(lines[0], format!("./datacoord segments demo_books {reached}"));
    assert_eq!(lines[3], format!("./datacoord watch {reached}"));
    assert_eq!(lines[5], "curl --cacert ca.pem --user ann https://h:2/metrics");

    let plain = ReachFlags::default();
    let next = Next { program: "p".to_owned(), server: String::new(), http: "h:2", http_tls: false, reach: &plain };
    assert!(next.commands().ends_with("curl http://h:2/metrics\nA page for the browser: http://h:2/"));
    let insecure = Next { http_tls: true, ..next };
    assert!(insecure.commands().contains("curl --insecure https://h:2/metrics\n"));
}
