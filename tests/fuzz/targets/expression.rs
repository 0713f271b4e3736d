//! Filters of queries and deletes: parsed, printed, bound to a schema, and evaluated over rows.

use std::sync::LazyLock;

use arrow_array::{Array as _, Int64Array, RecordBatch, cast::AsArray, types::Int64Type};
use datacoord::{
    model::{CollectionSchema, PkRange, PrimaryKey},
    query::{self, expr::MAX_DEPTH},
};

use super::{memory, schema};
use crate::kit::{
    filters::{compile, parse},
    pools,
};

static ROWS: LazyLock<(CollectionSchema, RecordBatch, Int64Array)> = LazyLock::new(|| {
    let rows = schema::rows();
    let keys = rows.column_by_name("100").expect("a key").as_primitive::<Int64Type>().clone();
    (schema::every_type(), rows, keys)
});

pub(super) fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    takes_its_memory(&text);
    let Ok(tree) = parse(&text) else { return };
    if let Some(tree) = &tree {
        let printed = tree.to_string();
        match parse(&printed) {
            Ok(again) => assert_eq!(again.as_ref(), Some(tree), "{printed}"),
            // Parentheses are levels too, and a printed tree has more of them.
            Err(error) => assert!(is_too_deep(&error.to_string()), "{printed}: {error}"),
        }
    }
    let (schema, rows, keys) = &*ROWS;
    let Ok(Some(bound)) = compile(&text, schema) else { return };
    let bits = bound.evaluate(rows).expect("every bound expression has a result over rows of its schema");
    assert_eq!((bits.len(), bits.null_count()), (rows.num_rows(), 0));
    let (filter, exact) = (bound.pk_filter(), bound.exact_keys());
    for (row, key) in keys.values().iter().map(|key| PrimaryKey::Int(*key)).enumerate() {
        let matches = bits.value(row);
        let range = PkRange { min: key.clone(), max: key.clone() };
        assert!(!matches || filter.overlaps(&range), "{text}: row {row} matches, and its range of keys does not");
        if let Some(exact) = &exact {
            assert_eq!(exact.contains(&key), matches, "{text}: the keys that it names are not those that match");
        }
    }
}

fn is_too_deep(error: &str) -> bool {
    error.contains(&MAX_DEPTH.to_string())
}

/// With little memory the text is refused, or it fits: it never becomes more than there is.
fn takes_its_memory(text: &str) {
    /// Of each of two pools.
    const POOL: u64 = 32 << 10;
    /// Tokens on their way, a message, and steps of the pools.
    const BESIDE: usize = 64 << 10;
    let growth = pools::growth(POOL);
    let watch = memory::Watch::begin();
    let compiled = query::compile(text, &ROWS.0, &growth);
    let peak = watch.peak();
    drop(compiled);
    assert!(peak <= 2 * POOL as usize + BESIDE + 2 * text.len(), "{text}: {peak} bytes were held");
    assert_eq!(growth.used_bytes(), 0, "it was given back");
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    [
        "id in [1, 2, -9223372036854775808]",
        "not (i8 > 1 and i16 <= 2) or i32 != 3",
        "1 < d <= 1e300 && f == 0.1",
        "s like \"a%_\\\\\" or s in ['', \"\\u00e9\"]",
        "js[\"n\"][\"m\"] == 'deep' and exists js['k']",
        "color == 'red' or $meta[\"num\"] * 2 >= 14",
        "json_contains_any(js['a'], [1, 'x']) or array_contains_all(arr, [1, 2])",
        "array_length(sarr) == 2 and arr[0] ** 2 % 3 == -1",
        "id + 1 > 2 and (i8 - 1) * 2 / 3 < 4",
        "b == true",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
