//! One line per rule: an expression, and the ids of the rows that it matches.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, RecordBatch};

use super::{rows, schema};
use crate::{
    json,
    kit::filters::compile,
    model::{FieldId, PkRange, PrimaryKey},
    query::eval::array::fixture::longs,
};

fn check(table: &[(&str, &[i64])]) {
    let (schema, batch) = (schema(), rows());
    for (text, expected) in table {
        let bound = compile(text, &schema).unwrap_or_else(|e| panic!("{e}")).unwrap();
        let bits = bound.evaluate(&batch).unwrap();
        let found: Vec<i64> = (1..=5).filter(|id| bits.value(*id as usize - 1)).collect();
        assert_eq!(found, *expected, "{text}");
    }
}

const ALL: &[i64] = &[1, 2, 3, 4, 5];

#[test]
fn comparisons_as_observed() {
    check(&[
        ("i8 == 1", &[1]),
        ("i8 < 1", &[2, 4, 5]),
        ("i8 == 300", &[]),
        ("i8 != 300", ALL),
        ("i8 < 300", ALL),
        ("i8 > -300", ALL),
        ("i8 in [1, 300]", &[1]),
        ("i8 in [1, 257]", &[1]),
        ("i8 in [1,]", &[1]),
        ("i8 in []", &[]),
        ("i8 not in []", ALL),
        ("i8 not in [1]", &[2, 3, 4, 5]),
        ("i64 > 9223372036854775807", &[]),
        ("i64 >= 9223372036854775807", &[3]),
        ("i64 == -9223372036854775807 - 1", &[5]),
        ("f == 0.1", &[2]),
        ("d == 0.1", &[2]),
        ("d == .1", &[2]),
        ("d == 0", &[3, 4]),
        ("d == -0.0", &[3, 4]),
        ("d in [0.0]", &[3, 4]),
        ("f > 1", &[3]),
        ("f in [0.5, 1]", &[1]),
        ("b == true", &[1, 3, 5]),
        ("b == True", &[1, 3, 5]),
        ("true == b", &[1, 3, 5]),
        ("b != true", &[2, 4]),
        ("b > true", &[]),
        ("b in [true]", &[1, 3, 5]),
        ("b == b", ALL),
        ("1 < i64 < 11", &[1]),
        ("1 <= i8 <= 1", &[1]),
        ("11 > i64 > 1", &[1]),
        ("5 < i64", &[1, 3]),
        ("5 == i8", &[]),
        ("1 == i8", &[1]),
        ("- 1 == i8", &[5]),
        ("i8 == --1", &[1]),
        ("+i8 == 1", &[1]),
        ("i8 == i64", &[4]),
        ("i8 < i64", &[1, 2, 3]),
        ("f < d", &[1, 5]),
        ("s < s", &[]),
        ("i8 == 0x1", &[1]),
        ("i8 == 0b1", &[1]),
        ("i8 == 01", &[1]),
        ("i8 == 9999999999", &[]),
        ("id in [1,2,2,1]", &[1, 2]),
        ("nosuch == 1", &[]),
    ]);
}

#[test]
fn logic_as_observed() {
    check(&[
        ("not (b == true)", &[2, 4]),
        ("!(i8 == 1)", &[2, 3, 4, 5]),
        ("not (i8 in [1])", &[2, 3, 4, 5]),
        ("i8 == 1 and i64 == 10", &[1]),
        ("i8 == 1 && i64 == 10", &[1]),
        ("i8 == 1 || i8 == 0", &[1, 4]),
        ("i8 == 1 or i8 == 2 and i64 == 0", &[1]),
        ("i8 == 1 and not (i64 == 3)", &[1]),
        ("not exists js[\"k\"]", &[4]),
        ("not json_contains(js[\"a\"], 1)", &[2, 4, 5]),
        ("i8 == 1 and exists js[\"k\"]", &[1]),
    ]);
}

#[test]
fn logic_beyond_2_3() {
    check(&[
        ("not i8 == 1", &[2, 3, 4, 5]),
        ("! i8 == 1", &[2, 3, 4, 5]),
        ("not i8 in [1]", &[2, 3, 4, 5]),
        ("NOT (i8 == 1) AND (i8 IN [0] OR i8 NOT  IN [127, -1])", &[2, 4]),
        ("not not i8 == 1", &[1]),
        ("exists js[\"k\"] and i8 == 1", &[1]),
        ("i64 == -9223372036854775808", &[5]),
        ("i8 == 1\n\tand i64\r\n== 10", &[1]),
    ]);
}

#[test]
fn arithmetic_as_observed() {
    check(&[
        ("i8 + 1 == 2", &[1]),
        ("1 + i8 == 2", &[1]),
        ("i8 - 1 == 0", &[1]),
        ("i8 * 2 == 2", &[1]),
        ("i8 / 2 == 0", &[1, 4, 5]),
        ("i64 / 3 == 3", &[1]),
        ("i64 / 3 == -2", &[2]),
        ("i64 % 3 == -1", &[2]),
        ("i8 % 2 == 1", &[1, 3]),
        ("f + 1 == 1.5", &[1]),
        ("f / 2.0 == 0.25", &[1]),
        ("d + 0.1 == 0.2", &[2]),
        ("i8 + 100 == 227", &[3]),
        ("i8 * 200 == 25400", &[3]),
        ("i8 == 10 - 9", &[1]),
        ("i64 == 5 * 2", &[1]),
        ("i64 == 20 / 2", &[1]),
        ("i64 - 1 == 9223372036854775806", &[3]),
        ("js[\"k\"] + 1 == 2", &[1, 3]),
        ("js[\"fl\"] * 2 == 3", &[1]),
        ("js[\"s\"] + 1 == 2", &[]),
        ("js[\"s\"] + 1 != 2", ALL),
        ("js[\"nosuch\"] + 1 != 2", ALL),
        ("num + 1 == 8", &[1]),
        ("arr[0] + 1 == 2", &[1, 4]),
        ("arr[7] + 1 != 2", &[]),
        ("array_length(arr) == 3", &[1]),
        ("3 == array_length(arr)", &[1]),
        ("array_length(js[\"a\"]) == 3", &[1]),
        ("array_length(js[\"a\"]) != 3", &[2, 3, 4, 5]),
        ("array_length(js[\"k\"]) == 0", ALL),
    ]);
}

#[test]
fn arithmetic_beyond_2_3() {
    check(&[
        ("i8 + 1 > 1", &[1, 3]),
        ("i8 + 1.5 == 2.5", &[1]),
        ("i8 + i64 == 11", &[1]),
        ("(i8 + 1) * 2 == 4", &[1]),
        ("1 - i8 == 0", &[1]),
        ("-i8 == 1", &[5]),
        ("f + 1 == 1.1", &[2]),
        ("d == 2 ** 1", &[5]),
        ("d == -(2 ** 1) + 4", &[5]),
        ("d == 2 ** 2 ** 0.5", &[5]),
        ("array_length(arr) > 1", &[1, 5]),
        // 2.3.5 reads the large number of row 5 as a double, which is even.
        ("js[\"k\"] % 2 == 1", &[1, 3, 5]),
        ("1 < i8 + 1 < 3", &[1]),
        // Overflow has no result: rows 3 (the largest integer) and 5 (the smallest).
        ("i64 * 2 == -2", &[]),
        ("i64 + 1 != 11", &[2, 4, 5]),
        ("i64 - 1 != 9", &[2, 3, 4]),
        // A division by zero has no result either (row 4). Rows 3 and 5 are 0 for i8 = 127, -1.
        ("i64 / i8 == 10", &[1]),
        ("i64 / i8 != 10", &[2, 3]),
        ("i8 % i64 != 1000", &[1, 2, 3, 5]),
        ("d / d != 2", &[1, 2, 5]),
        // The remainder by -1 is 0, even if the quotient does not fit.
        ("i64 % -1 == 0", ALL),
        ("i64 == -9223372036854775808 % -1", &[4]),
        ("i64 / -1 != 7", &[1, 3, 4]),
    ]);
}

#[test]
fn text_as_observed() {
    check(&[
        (r#"s like "ab%""#, &[1, 5]),
        (r#"s LIKE "ab%""#, &[1, 5]),
        (r#"s like "ab""#, &[]),
        (r#"s like "abc""#, &[1]),
        (r#"s like "%""#, ALL),
        (r#"s like "q\"%""#, &[3]),
        (r#"s == "abc""#, &[1]),
        (r#"s == 'abc'"#, &[1]),
        (r#"s == """#, &[4]),
        (r#"s == "q\"'\\""#, &[3]),
        (r#"s == 'q"\'\\'"#, &[3]),
        (r#"s == "\x61bc""#, &[1]),
        (r#"s == "\u0061bc""#, &[1]),
        (r#"s == "\141bc""#, &[1]),
        (r#"s > "abc""#, &[3, 5]),
        (r#""abc" < s"#, &[3, 5]),
        (r#""abb" < s <= "abd""#, &[1, 5]),
        (r#"s in ["abc", "abd"]"#, &[1, 5]),
        (r#"sarr[0] like "a%""#, &[1, 4]),
        (r#"js["s"] like "x%""#, &[1]),
        (r#"not (js["s"] like "x%")"#, &[2, 3, 4, 5]),
        (r#"color like "red%""#, &[1, 5]),
    ]);
}

#[test]
fn text_beyond_2_3() {
    check(&[
        (r#"s like "a_c%""#, &[1, 2]),
        (r#"s like "a\\_c%""#, &[2]),
        (r#"s like "%c""#, &[1]),
        (r#"s like "%b%""#, &[1, 5]),
        (r#"s like "a%c""#, &[1]),
        (r#"s like "%\\%""#, &[2]),
        (r#"s like """#, &[4]),
    ]);
}

#[test]
fn a_surrogate_pair_is_one_character() {
    let text = |text: &str| compile(text, &schema()).unwrap().unwrap();
    let escaped = text(r#"s == "\ud83d\ude00""#);
    assert_eq!(format!("{:?}", escaped.root), format!("{:?}", text(r#"s == "😀""#).root));
}

#[test]
fn json_as_observed() {
    check(&[
        (r#"js["k"] == 1"#, &[1, 3]),
        (r#"js["k"] == 1.0"#, &[1, 3]),
        (r#"js["k"] == "1""#, &[2]),
        (r#"js["k"] != 1"#, &[2, 4, 5]),
        (r#"js["k"] != "1""#, &[1, 3, 4, 5]),
        (r#"not (js["k"] == 1)"#, &[2, 4, 5]),
        (r#"js["k"] > 0"#, &[1, 3, 5]),
        (r#"js["k"] < 5"#, &[1, 3]),
        (r#"js["k"] not in [1]"#, &[2, 4, 5]),
        (r#"js["k"] == 9007199254740993"#, &[5]),
        (r#"js["k"] == 9007199254740992"#, &[]),
        (r#"js["k"] == true"#, &[]),
        (r#"js["n"]["m"] == "deep""#, &[1]),
        (r#"js['n']['m'] == 'deep'"#, &[1]),
        (r#"js["a"][0] == 1"#, &[1]),
        (r#"js["a"]["0"] == 1"#, &[1]),
        (r#"js["a"][0] == "x""#, &[3]),
        (r#"js[0] == 1"#, &[]),
        (r#"js["bo"] == true"#, &[1]),
        (r#"js["bo"] != true"#, &[2, 3, 4, 5]),
        (r#"js["bo"] > false"#, &[1]),
        (r#"js["fl"] == 1.5"#, &[1]),
        (r#"js["fl"] > 1"#, &[1]),
        (r#"js["nul"] == 1"#, &[]),
        (r#"js["nul"] != 1"#, ALL),
        (r#"js["s"] != "x""#, &[2, 3, 4, 5]),
        (r#"js["s"] > "a""#, &[1]),
        (r#"js["s"] < 5"#, &[]),
        (r#"js["a"] == 1"#, &[]),
        (r#"js["a"] != 1"#, ALL),
        (r#"js["a"] in [1]"#, &[]),
        (r#"js["a"] == [1,2,3]"#, &[1]),
        (r#"js["a"] != [1,2,3]"#, &[3, 5]),
        (r#"js["k"] != [1]"#, &[]),
        (r#"exists js["k"]"#, &[1, 2, 3, 5]),
        (r#"exists js["nul"]"#, &[1]),
        (r#"EXISTS js["a"]"#, &[1, 3, 5]),
        ("exists color", &[1, 3, 4, 5]),
        (r#"not (exists js["k"])"#, &[4]),
        (r#"color == "red""#, &[1]),
        (r#"color != "red""#, &[2, 3, 4, 5]),
        ("color == 3", &[3]),
        ("num > 5", &[1]),
        (r#"$meta["color"] == "red""#, &[1]),
        ("1 < num < 10", &[1]),
        (r#"0 < js["k"] < 2"#, &[1, 3]),
    ]);
}

#[test]
fn json_beyond_2_3() {
    check(&[
        (r#"js["k"] in [1, "1"]"#, &[1, 2, 3]),
        (r#"color in ["red", 3]"#, &[1, 3]),
        (r#"0 < js["k"] <= 1.0"#, &[1, 3]),
        ("exists(color)", &[1, 3, 4, 5]),
    ]);
}

#[test]
fn lists_as_observed() {
    check(&[
        (r#"json_contains(js["a"], 1)"#, &[1, 3]),
        (r#"JSON_CONTAINS(js["a"], 1)"#, &[1, 3]),
        (r#"json_contains(js["a"], 1.0)"#, &[1, 3]),
        (r#"json_contains(js["a"], "x")"#, &[3]),
        (r#"json_contains(js["a"], true)"#, &[]),
        (r#"json_contains(js["aa"], [1,2])"#, &[1]),
        (r#"json_contains(js["k"], 1)"#, &[]),
        (r#"json_contains(js["as"], "a")"#, &[1]),
        (r#"json_contains_all(js["a"], [1,2])"#, &[1]),
        (r#"json_contains_all(js["a"], ["x",1])"#, &[3]),
        (r#"json_contains_any(js["a"], [3,"x"])"#, &[1, 3]),
        (r#"json_contains_any(js["aa"], [[3],[4]])"#, &[1]),
        ("json_contains(arr, 1)", &[1, 4]),
        ("array_contains(arr, 1)", &[1, 4]),
        ("array_contains(arr, 1.0)", &[1, 4]),
        (r#"array_contains(js["a"], 1)"#, &[1, 3]),
        ("array_contains_all(arr, [1,2])", &[1]),
        ("array_contains_any(arr, [5,3])", &[1, 3]),
        ("ARRAY_CONTAINS_ANY(arr, [5,3])", &[1, 3]),
        (r#"array_contains(sarr, "a")"#, &[1, 4, 5]),
        ("array_contains(farr, 0.5)", &[1]),
        ("array_contains(farr, 1)", &[3]),
        ("arr[0] == 1", &[1, 4]),
        ("arr[0] != 1", &[3, 5]),
        ("arr[0] > 1", &[3, 5]),
        ("arr[7] == 1", &[]),
        ("arr[7] != 1", &[]),
        ("not (arr[7] == 1)", ALL),
        ("arr[0] in [1,2]", &[1, 4, 5]),
        ("arr[0] not in [1]", &[2, 3, 5]),
        (r#"sarr[0] == "a""#, &[1, 4]),
        ("farr[0] == 0.5", &[1]),
        ("arr == [1,2,3]", &[1]),
        ("arr != [1,2,3]", &[2, 3, 4, 5]),
        ("arr == [5]", &[3]),
        (r#"sarr == ["a","b"]"#, &[1]),
        ("1 < arr[0] < 3", &[5]),
    ]);
}

#[test]
fn lists_beyond_2_3() {
    check(&[
        ("farr[1] == 0.1", &[1]),
        ("array_contains(farr, 0.1)", &[1]),
        ("arr == []", &[2]),
        (r#"js["a"] == []"#, &[5]),
        ("arr[18446744073709551615] == 1", &[]),
    ]);
}

#[test]
fn fields_read() {
    let schema = schema();
    for (text, expected) in [
        ("id == 1", &[100][..]),
        ("s == 'x' and id == 1 or color == 'red'", &[100, 105, 112]),
        ("array_length(arr) + i8 == js['k']", &[101, 107, 108]),
    ] {
        let fields: Vec<FieldId> = expected.iter().map(|id| FieldId(*id)).collect();
        assert_eq!(compile(text, &schema).unwrap().unwrap().fields(), fields, "{text}");
    }
    assert!(compile(" \t\r\n", &schema).unwrap().is_none());
}

#[test]
fn primary_keys() {
    let schema = schema();
    let ints = |keys: &[i64]| Some(keys.iter().map(|k| PrimaryKey::Int(*k)).collect::<Vec<_>>());
    for (text, expected) in [
        ("id == 7", ints(&[7])),
        ("((id == 7))", ints(&[7])),
        ("7 == id", ints(&[7])),
        ("id in [3, 1, 3]", ints(&[1, 3])),
        ("(id in [])", ints(&[])),
        ("id == 6 + 1", ints(&[7])),
        ("id != 7", None),
        ("id not in [7]", None),
        ("id == 7 and i8 == 1", None),
        ("id > 7", None),
        ("i64 == 7", None),
        ("id + 0 == 7", None),
    ] {
        assert_eq!(compile(text, &schema).unwrap().unwrap().exact_keys(), expected, "{text}");
    }
}

#[test]
fn segments_that_can_be_skipped() {
    let schema = schema();
    let range = PkRange { min: PrimaryKey::Int(10), max: PrimaryKey::Int(20) };
    for (text, expected) in [
        ("i8 == 1", true),
        ("id == 10", true),
        ("id == 9", false),
        ("id in [9, 15, 30]", true),
        ("id in [9, 21]", false),
        ("id in []", false),
        ("id < 10", false),
        ("id <= 10", true),
        ("id > 20", false),
        ("id >= 20", true),
        ("1 < id < 11", true),
        ("1 < id < 10", false),
        ("20 < id", false),
        ("id > 9223372036854775807", false),
        ("id < -9223372036854775808", false),
        ("id == 15 and i8 == 1", true),
        ("id == 5 and i8 == 1", false),
        ("id in [5, 15] and id > 16", false),
        ("id in [5, 18] and id > 16", true),
        ("id > 30 or id == 15", true),
        ("id == 5 or id == 6", false),
        ("id == 5 or id == 15", true),
        ("id == 5 or i8 == 1", true),
        ("not (id == 15)", true),
        ("id != 15", true),
        ("js['id'] == 5", true),
    ] {
        let filter = compile(text, &schema).unwrap().unwrap().pk_filter();
        assert_eq!(filter.overlaps(&range), expected, "{text}: {filter:?}");
    }
}

#[test]
fn text_keys_are_ordered_by_bytes() {
    let mut schema = schema();
    schema.primary = 5;
    let key = |text: &str| PrimaryKey::Str(text.into());
    let range = PkRange { min: key("b"), max: key("é") };
    for (text, expected) in [
        ("s == 'b'", true),
        ("s == 'Z'", false),
        ("s > 'z'", true),
        ("s >= 'ê'", false),
        ("s < 'b'", true),
        ("s < 'a'", false),
        ("s like 'a%'", true),
    ] {
        let filter = compile(text, &schema).unwrap().unwrap().pk_filter();
        assert_eq!(filter.overlaps(&range), expected, "{text}: {filter:?}");
    }
}

/// Rows that match, in a batch of these JSON cells, with the same array in each row.
fn matching(text: &str, cells: &[&str], array: &[i64]) -> Vec<usize> {
    let array = longs(array);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("107", Arc::new(BinaryArray::from_iter_values(cells))),
        ("108", Arc::new(BinaryArray::from_iter_values(cells.iter().map(|_| &array)))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let bits = compile(text, &schema()).unwrap().unwrap().evaluate(&batch).unwrap();
    (0..cells.len()).filter(|i| bits.value(*i)).collect()
}

/// All JSON that an insert accepts can be found, and no value is mistaken for another one.
#[test]
fn all_json_that_an_insert_accepts_is_found() {
    let deep = format!(r#"{{"k":{}1{},"n":1}}"#, "[".repeat(500), "]".repeat(500));
    let cells = [
        // JavaScript's 'great 😀'.slice(0, 7)
        r#"{"k":"great \ud83d","n":1}"#,
        r#"{"cut\ud83d":[],"k":"a","n":1}"#,
        r#"{"l":["\ude00",1],"k":2,"n":1}"#,
        &deep,
    ];
    for cell in cells {
        json::check_object(cell, |_| {}).unwrap();
    }
    // Stored by a release without this limit.
    let huge = r#"{"k":1e400,"n":1}"#;
    let cells = [&cells[..], &[huge]].concat();
    for (text, expected) in [
        (r#"js["n"] == 1"#, &[0, 1, 2, 3, 4][..]),
        (r#"js["n"] != 1"#, &[]),
        (r#"js["n"] in [1]"#, &[0, 1, 2, 3, 4]),
        (r#"js["n"] + 1 == 2"#, &[0, 1, 2, 3, 4]),
        (r#"exists js["k"]"#, &[0, 1, 2, 3, 4]),
        (r#"js["k"] like "great%""#, &[0]),
        (r#"js["k"] != "great""#, &[0, 1, 2, 3, 4]),
        ("js[\"k\"] == \"great \u{fffd}\"", &[0]),
        ("exists js[\"cut\u{fffd}\"]", &[1]),
        (r#"json_contains(js["l"], 1)"#, &[2]),
        (r#"array_length(js["l"]) == 2"#, &[2]),
        (r#"array_length(js["k"]) == 1"#, &[3]),
        (r#"js["k"][0][0][0] == 1"#, &[]),
        (r#"json_contains(js["k"], [[1]])"#, &[]),
        (r#"js["k"] > 1"#, &[2, 4]),
        (r#"js["k"] == 2"#, &[2]),
    ] {
        assert_eq!(matching(text, &cells, &[]), expected, "{text}");
    }
}

#[test]
fn lists_compare_by_value() {
    let cells = [
        r#"{"a":[1,2.0,"x",true]}"#,
        r#"{"a":[1.0,1,[1,2.0],[1,null]]}"#,
        r#"{"a":[9007199254740993,null,{"x":1}]}"#,
        r#"{"a":[]}"#,
        r#"{"a":{"0":1}}"#,
    ];
    for (text, expected) in [
        (r#"json_contains(js["a"], 1)"#, &[0, 1][..]),
        (r#"json_contains(js["a"], 2)"#, &[0]),
        (r#"json_contains(js["a"], true)"#, &[0]),
        (r#"json_contains(js["a"], [1.0, 2])"#, &[1]),
        (r#"json_contains(js["a"], 9007199254740992.0)"#, &[]),
        (r#"json_contains(js["a"], 9007199254740993)"#, &[2]),
        (r#"json_contains_all(js["a"], [1, 1.0, 2])"#, &[0]),
        (r#"json_contains_all(js["a"], [1, [1, 2]])"#, &[1]),
        (r#"json_contains_all(js["a"], [1, 3])"#, &[]),
        (r#"json_contains_any(js["a"], ["y", "x", [1, 2]])"#, &[0, 1]),
        (r#"js["a"] == [1.0, 2, "x", true]"#, &[0]),
        (r#"js["a"] != [1, 2, "x", true]"#, &[1, 2, 3]),
        (r#"js["a"] == [1, 2, "x"]"#, &[]),
        (r#"js["a"] == []"#, &[3]),
    ] {
        assert_eq!(matching(text, &cells, &[]), expected, "{text}");
    }
}

/// This would take minutes if every constant were compared with every element.
#[test]
fn constants_are_looked_up_in_a_set() {
    let numbers: Vec<i64> = (0..5_000).collect();
    let list = numbers.iter().rev().map(i64::to_string).collect::<Vec<_>>().join(",");
    let missing = format!("{list},-1");
    let cell = format!(r#"{{"a":[{list}]}}"#);
    let cells = vec![cell.as_str(); 100];
    let all: Vec<usize> = (0..100).collect();
    for (container, array) in [("js['a']", &[][..]), ("arr", &numbers[..])] {
        for (text, matches) in [
            (format!("json_contains_all({container}, [{list}])"), true),
            (format!("json_contains_all({container}, [{missing}])"), false),
            (format!("json_contains_any({container}, [{}])", list.replace(',', ",-")), true),
        ] {
            let expected = if matches { &all[..] } else { &[] };
            assert_eq!(matching(&text, &cells, array), expected, "{}", &text[..40]);
        }
    }
}
