//! The reader of JSON cells, against another one: both take the same texts.

use datacoord::json::{JsonDefect, Step, Value, check, check_object, find};

/// Values of one text that are visited.
const MOST_VALUES: usize = 2000;

pub(super) fn run(input: &[u8]) {
    // A stored cell may be any bytes: reading it ends where it breaks.
    find(input, &[Step::Key("k".to_owned()), Step::Index(0)]);
    let text = String::from_utf8_lossy(input);
    let ours = check(&text);
    let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text);
    match &ours {
        Ok(()) => {
            if let Err(error) = theirs {
                panic!("accepted, and it is no JSON: {error}");
            }
            let mut visits = MOST_VALUES;
            visit(find(text.as_bytes(), &[]).expect("accepted text has a value"), &text, &mut visits);
        }
        Err(refusal) => {
            assert!(refusal.at <= text.len());
            let is_syntax = matches!(refusal.why, JsonDefect::Syntax(_));
            assert!(!is_syntax || theirs.is_err(), "refused, and it is JSON: {refusal}");
        }
    }
    let mut keys = 0;
    let as_object = check_object(&text, |_| keys += 1);
    assert!(as_object.is_err() || ours.is_ok(), "an object that is no value");
    assert!(as_object.is_ok() || ours.is_err() || keys == 0, "a value that is no object has keys");
}

/// Reads every value within another one by every way there is.
fn visit(root: Value<'_>, text: &str, visits: &mut usize) {
    let mut open = vec![root];
    while let Some(value) = open.pop() {
        if *visits == 0 {
            return;
        }
        *visits -= 1;
        let raw = value.raw();
        assert!(text.as_bytes().as_ptr_range().contains(&raw.as_ptr()), "a value is a part of the text");
        value.scalar();
        if let Some(elements) = value.elements() {
            for (at, element) in (0..).zip(elements.take(8)) {
                assert_eq!(find(raw, &[Step::Index(at)]).map(Value::raw), Some(element.raw()));
                open.push(element);
            }
        }
        if let Some(members) = value.members() {
            for (key, member) in members.take(8) {
                // Of equal keys the first one counts, so the member that is found may be another one.
                let found = find(raw, &[Step::Key(key.decode().into_owned())]);
                assert!(found.is_some(), "a member is found by its key");
                open.push(member);
            }
        }
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    [
        r#"{"k":[1,-0.5e+10,true,null,"é\ud83d\ude00\ud83d"],"k":{},"":"\u0000\"\\\/\b\f\n\r\t"}"#,
        "[[[[[]]]],{}]",
        "9223372036854775808",
        "1e999",
        "\"\"",
        " \t\n\rfalse ",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
