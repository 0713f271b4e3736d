//! The reader by rule, and against serde_json wherever that accepts a text.

use proptest::{collection::vec, prelude::*};
use rstest::rstest;
use serde::de::IgnoredAny;
use serde_json::Value as Json;

use super::*;

fn key(name: &str) -> Step {
    Step::Key(name.to_owned())
}

fn found(text: &str, path: &[Step]) -> Option<String> {
    find(text.as_bytes(), path).map(|value| String::from_utf8(value.raw().to_vec()).unwrap())
}

#[test]
fn paths() {
    let text = r#"{"a":[1,{"b":"x"}],"n":null,"0":true,"a":2,"e\u0301":3}"#;
    for (path, expected) in [
        (vec![], Some(text)),
        (vec![key("a")], Some(r#"[1,{"b":"x"}]"#)),
        (vec![key("a"), Step::Index(0)], Some("1")),
        (vec![key("a"), key("0")], Some("1")),
        (vec![key("a"), key("00")], None),
        (vec![key("a"), Step::Index(1), key("b")], Some(r#""x""#)),
        (vec![key("a"), Step::Index(2)], None),
        (vec![key("a"), Step::Index(0), key("b")], None),
        (vec![key("n")], Some("null")),
        (vec![key("n"), key("x")], None),
        (vec![Step::Index(0)], Some("true")),
        (vec![key("e\u{301}")], Some("3")),
        (vec![key("missing")], None),
    ] {
        assert_eq!(found(text, &path).as_deref(), expected, "{path:?}");
    }
}

#[test]
fn broken_text_is_read_as_far_as_it_goes() {
    for text in [&b""[..], b"{", b"\xff", &[b'['; 100_000], b"nan", b"{\"a\"", b"{\"a\":", b"{\"a\":tru", b"{\"a\":[1"]
    {
        assert_eq!(find(text, &[key("a")]), None, "{:?}", String::from_utf8_lossy(&text[..text.len().min(9)]));
    }
    assert_eq!(found("{\"a\":1", &[key("a")]).as_deref(), Some("1"));
}

#[test]
fn half_of_a_surrogate_pair_is_text() {
    for (raw, expected) in [
        (r"great \ud83d", "great \u{fffd}"),
        (r"\ude00 x", "\u{fffd} x"),
        (r"\ud83d\ude00", "😀"),
        (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
        (r"\ud83d\u0041", "\u{fffd}A"),
        (r"\ud83d\n", "\u{fffd}\n"),
        (r#"\"\\\/\b\f\n\r\t\u00e9"#, "\"\\/\u{8}\u{c}\n\r\té"),
    ] {
        let text = format!(r#"{{"{raw}":1,"t":"{raw}","z":[2]}}"#);
        check(&text).unwrap();
        let value = find(text.as_bytes(), &[key("t")]).and_then(Value::scalar);
        assert_eq!(value, Some(JsonScalar::Text(expected.into())), "{raw}");
        assert_eq!(found(&text, &[key(expected)]).as_deref(), Some("1"), "{raw}");
        assert_eq!(found(&text, &[key("z"), Step::Index(0)]).as_deref(), Some("2"), "{raw}");
    }
}

#[test]
fn numbers() {
    for (text, int, float) in [
        ("0", Some(0), 0.0),
        ("-0", Some(0), 0.0),
        ("9223372036854775807", Some(i64::MAX), 9_223_372_036_854_775_807.0),
        ("-9223372036854775808", Some(i64::MIN), -9_223_372_036_854_775_808.0),
        ("9223372036854775808", None, 9_223_372_036_854_775_808.0),
        ("1.0", None, 1.0),
        ("1e2", None, 100.0),
        ("1E400", None, f64::INFINITY),
        ("-1e400", None, f64::NEG_INFINITY),
        ("1e-400", None, 0.0),
    ] {
        let Some(JsonScalar::Number(number)) = find(text.as_bytes(), &[]).and_then(Value::scalar) else {
            panic!("{text}")
        };
        assert_eq!((number.as_i64(), number.as_f64(), number.raw()), (int, float, text));
        assert_eq!((number.is_finite(), check(text).is_ok()), (float.is_finite(), float.is_finite()), "{text}");
    }
}

fn nested(levels: usize) -> String {
    format!("{}1{}", "[".repeat(levels), "]".repeat(levels))
}

/// Text that an insert refuses, and the place that the error names.
#[rstest]
#[case(r#"{"a":}"#, "expected a value at byte 5, near $.a")]
#[case(r#"{"a":[1,2,{"b":1e400}]}"#, "number 1e400 does not fit a double at byte 15, near $.a[2].b")]
#[case(&format!("[{}]", "9".repeat(400)), "number 99999999999999999999…99999999999999999999 does not fit a double at byte 1, near $[0]")]
#[case(&format!(r#"{{"deep":{}}}"#, nested(MAX_DEPTH)), "nested deeper than 1024 levels at byte 1031, near $.deep[0][0]")]
#[case("[1,2", "the text ends too early at byte 4, near $[1]")]
#[case("[1,]", "expected a value at byte 3, near $[0]")]
#[case("[1 2]", "expected ',' or ']' at byte 3, near $[0]")]
#[case("{1:2}", "expected a key in double quotes at byte 1, near $")]
#[case(r#"{"a" 1}"#, "expected ':' at byte 5, near $")]
#[case("{} 1", "something follows the value at byte 3, near $")]
#[case("01", "a number begins with a zero at byte 0, near $")]
#[case("1.", "the text ends too early at byte 2, near $")]
#[case("\"a\nb\"", "a control character in a string has to be escaped at byte 2, near $")]
#[case(r#""\x""#, "unknown escape in a string at byte 1, near $")]
#[case(r#""\ud83""#, "\\u needs four hexadecimal digits at byte 1, near $")]
#[case("nul", "expected true, false or null at byte 0, near $")]
fn refusals_name_the_place(#[case] text: &str, #[case] says: &str) {
    let error = check(text).unwrap_err();
    assert!(error.to_string().starts_with(says), "{error}");
    assert!(error.to_string().len() < 300, "{error}");
}

#[test]
fn the_deepest_text_that_is_accepted_is_read() {
    let text = nested(MAX_DEPTH);
    check(&text).unwrap();
    let path = vec![Step::Index(0); MAX_DEPTH];
    assert_eq!(found(&text, &path).as_deref(), Some("1"));
    // Stored by another program: deeper than an insert may be.
    let text = nested(50_000);
    assert!(check(&text).is_err());
    assert_eq!(found(&text, &vec![Step::Index(0); 50_000]).as_deref(), Some("1"));
}

#[test]
fn an_object_gives_its_own_keys() {
    let mut keys = Vec::new();
    check_object(r#"{"a":{"x":1},"b\ud83d":[{"y":2}],"a":3}"#, |key| keys.push(key.into_owned())).unwrap();
    assert_eq!(keys, ["a", "b\u{fffd}", "a"]);
    for text in ["[1]", "1", "null", " \"a\""] {
        assert_eq!(check_object(text, |_| {}).unwrap_err().why, JsonDefect::NotObject, "{text}");
    }
}

/// The reader of the differential test may be wrong in the last bit of a double.
fn rough(number: f64) -> Json {
    format!("{number:.12e}").into()
}

/// The value as the reader's functions show it.
fn rebuilt(value: Value<'_>) -> Json {
    if let Some(list) = value.elements() {
        return list.map(rebuilt).collect();
    }
    if let Some(members) = value.members() {
        let mut map = serde_json::Map::new();
        for (key, value) in members {
            map.entry(key.decode()).or_insert_with(|| rebuilt(value));
        }
        return Json::Object(map);
    }
    match value.scalar() {
        None => Json::Null,
        Some(JsonScalar::Bool(value)) => value.into(),
        Some(JsonScalar::Text(value)) => value.into(),
        Some(JsonScalar::Number(number)) => match number.as_i64() {
            Some(int) => int.into(),
            None => rough(number.as_f64()),
        },
    }
}

/// The same for a value of serde_json.
fn plain(value: &Json) -> Json {
    match value {
        Json::Number(number) => match number.as_i64() {
            Some(int) => int.into(),
            None => rough(number.as_f64().unwrap()),
        },
        Json::Array(list) => list.iter().map(plain).collect(),
        Json::Object(map) => map.iter().map(|(key, value)| (key.clone(), plain(value))).collect(),
        other => other.clone(),
    }
}

/// JSON text as people and programs write it, with everything that parsers disagree on.
fn json_text() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        (-1000i32..1000, 0u32..4).prop_map(|(n, places)| format!("{n}.{}", "5".repeat(places as usize + 1))),
        (1i32..10, -20i32..400).prop_map(|(n, exponent)| format!("{n}e{exponent}")),
        "[0-9]{20,40}".prop_map(|digits| format!("1{digits}")),
    ];
    let piece = prop_oneof![
        "[a-zé😀 ]{0,3}",
        prop::sample::select(vec![
            r"\n",
            r"\/",
            r"\u00e9",
            r"\ud83d",
            r"\ude00",
            r"\ud83d\ude00",
            r"\uD800\ud800\uDC00",
            r#"\""#,
            r"\\",
            r"\u0000",
        ])
        .prop_map(str::to_owned),
    ];
    let string = vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()));
    let leaf = prop_oneof![
        number,
        string.clone(),
        prop::sample::select(vec!["true", "false", "null", "{}", "[ ]"]).prop_map(str::to_owned)
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        let member = (string.clone(), inner.clone()).prop_map(|(key, value)| format!("{key} : {value}"));
        prop_oneof![
            vec(inner, 1..5).prop_map(|list| format!("[{}]", list.join(","))),
            vec(member, 1..5).prop_map(|list| format!("{{{}\t}}", list.join(" , "))),
        ]
    })
}

/// A text with a few bytes changed, so that most are broken in one place.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let change =
        (any::<prop::sample::Index>(), prop::sample::select(b"{}[]\",:\\u019eE+-. \ntfn\x00\xff\xc3".to_vec()));
    (json_text(), vec(change, 0..3)).prop_map(|(text, changes)| {
        let mut bytes = text.into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

/// Every path through a value, with the value there.
fn every_path(value: Value<'_>, path: &mut Vec<Step>, visit: &mut impl FnMut(&[Step], &[u8])) {
    visit(path, value.raw());
    if let Some(list) = value.elements() {
        for (index, value) in list.enumerate() {
            path.push(Step::Index(index as u64));
            every_path(value, path, visit);
            path.pop();
        }
    }
    let mut seen = std::collections::HashSet::new();
    for (key, value) in value.members().into_iter().flatten() {
        let key = key.decode().into_owned();
        if seen.insert(key.clone()) {
            path.push(Step::Key(key));
            every_path(value, path, visit);
            path.pop();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// The grammar is that of the parser which only skips; the limits are ours.
    #[test]
    fn accepts_exactly_json(bytes in damaged()) {
        let Ok(text) = std::str::from_utf8(&bytes) else { return Ok(()) };
        let skipped = serde_json::from_str::<IgnoredAny>(text);
        match check(text) {
            Ok(()) => prop_assert!(skipped.is_ok(), "{text}: {skipped:?}"),
            // Text behind the fault was not read.
            Err(JsonRefusal { why: JsonDefect::Number(_) | JsonDefect::Depth, .. }) => {}
            Err(error) => prop_assert!(skipped.is_err(), "{text}: {error}"),
        }
    }

    /// Accepted text can be read by every path. Where another parser reads it too, both find the same value.
    #[test]
    fn reads_all_accepted_text(bytes in damaged()) {
        let Ok(text) = std::str::from_utf8(&bytes) else { return Ok(()) };
        if check(text).is_err() {
            return Ok(());
        }
        let root = find(text.as_bytes(), &[]).unwrap();
        prop_assert_eq!(root.raw(), text.trim_matches([' ', '\n', '\t', '\r']).as_bytes());
        let mut wrong = None;
        every_path(root, &mut Vec::new(), &mut |path, raw| {
            if find(text.as_bytes(), path).map(Value::raw) != Some(raw) {
                wrong = Some(path.to_vec());
            }
            serde_json::from_slice::<IgnoredAny>(raw).unwrap();
        });
        prop_assert_eq!(wrong, None, "{}", text);
        // Of equal keys serde_json keeps the last.
        if let (Ok(expected), true) = (serde_json::from_str::<Json>(text), keys_differ(root)) {
            prop_assert_eq!(rebuilt(root), plain(&expected), "{}", text);
        }
    }

    #[test]
    fn any_bytes_end(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let _ = check_object(text, |_| {});
        }
        if let Some(value) = find(&bytes, &[key("a")]) {
            let _ = rebuilt(value);
        }
    }
}

fn keys_differ(value: Value<'_>) -> bool {
    let mut seen = std::collections::HashSet::new();
    value
        .members()
        .into_iter()
        .flatten()
        .all(|(key, value)| seen.insert(key.decode().into_owned()) && keys_differ(value))
        && value.elements().into_iter().flatten().all(keys_differ)
}
