use super::*;
use crate::{
    kit::{model, pools},
    model::DataType,
};

fn schema(dynamic: bool) -> CollectionSchema {
    let mut fields = vec![model::key(100, "id", DataType::Int64), model::field(101, "j", DataType::Json)];
    if dynamic {
        fields.push(model::dynamic(102));
    }
    model::schema("books", fields)
}

fn output(dynamic: bool, names: &[&str]) -> Result<(Vec<i64>, Vec<String>), (i32, String)> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let output = Output::of(&schema(dynamic), &names, &mut pools::ample());
    let output = output.map_err(|CallError(status)| (status.code, status.reason))?;
    let mut keys = output.keys;
    keys.sort_unstable();
    Ok((output.fields.iter().map(|id| id.0).collect(), keys))
}

#[test]
fn output_fields_are_fields_or_keys() {
    let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    for (names, fields, found) in [
        (&[][..], &[100][..], &[][..]),
        (&["*"], &[100, 101, 102], &[]),
        (&["j"], &[100, 101], &[]),
        (&[" j "], &[100, 101], &[]),
        (&["$meta"], &[100, 102], &[]),
        (&["color"], &[100, 102], &["color"]),
        (&["color", "color", " color", "size_2"], &[100, 102], &["color", "size_2"]),
        (&["IN"], &[100, 102], &["IN"]),
        (&["color", "$meta"], &[100, 102], &[]),
    ] {
        assert_eq!(output(true, names), Ok((fields.to_vec(), keys(found))), "{names:?}");
    }
    for name in
        ["$meta[\"k\"]", "j[\"k\"]", "j['k']", "count(x)", "", " ", "%", "**", "1a", "a b", "(a)", "like", "$x", "a-b"]
    {
        assert_eq!(output(true, &[name]), Err((65535, format!("parse output field name failed: {}", name.trim()))));
        assert_eq!(output(false, &[name]), Err((65535, format!("field {} not exist", name.trim()))));
    }
    let (_, reason) = output(true, &[&"(".repeat(1 << 20)]).unwrap_err();
    assert!(reason.len() < 200, "{}", reason.len());
}

#[test]
fn a_count_is_the_only_output_field() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert!(is_count(&names(&["count(*)"])) && is_count(&names(&[" COUNT(*) "])));
    for fields in [&["count(*)", "id"][..], &["count(*)", "count(*)"], &["count"], &[]] {
        assert!(!is_count(&names(fields)), "{fields:?}");
    }
    assert_eq!(output(false, &["count(*)", "id"]), Err((65535, "field count(*) not exist".to_owned())));
}

/// Codes and texts that Milvus 2.3.5 answered; only a negative offset without a limit is refused by us alone.
#[test]
fn a_page_has_a_beginning_and_rows() {
    let params = |pairs: &[(&str, &str)]| {
        let pair = |(key, value): &(&str, &str)| KeyValuePair { key: (*key).into(), value: (*value).into() };
        QueryParams::of(&pairs.iter().map(pair).collect::<Vec<_>>(), 16_384)
            .map(|params| (params.limit, params.offset, params.ignore_growing))
            .map_err(|CallError(status)| (status.code, status.reason))
    };
    let window = |what: &str| Err((65535, format!("invalid max query result window, {what}")));
    let wrong = |what: &str| Err((65535, what.to_owned()));
    let (limit, offset, growing) = ("limit", "offset", "ignore_growing");
    for (pairs, expected) in [
        (&[][..], Ok((None, 0, false))),
        (&[(limit, "5")], Ok((Some(5), 0, false))),
        (&[(limit, "5"), (offset, "7")], Ok((Some(5), 7, false))),
        (&[(limit, "16384"), (offset, "0")], Ok((Some(16_384), 0, false))),
        (&[(offset, "7")], Ok((None, 7, false))),
        (&[(offset, "x")], Ok((None, 0, false))),
        (&[(limit, "-1")], window("limit [-1] is invalid, should be greater than 0")),
        (&[(limit, "0")], window("limit [0] is invalid, should be greater than 0")),
        (&[(limit, "1"), (offset, "-1")], window("offset [-1] is invalid, should be gte than 0")),
        (&[(limit, "0"), (offset, "-1")], window("offset [-1] is invalid, should be gte than 0")),
        (&[(offset, "-1")], window("offset [-1] is invalid, should be gte than 0")),
        (&[(limit, "67890")], window("(offset+limit) should be in range [1, 16384], but got 67890")),
        (&[(limit, "16384"), (offset, "1")], window("(offset+limit) should be in range [1, 16384], but got 16385")),
        (
            &[(limit, "9223372036854775807"), (offset, "9223372036854775807")],
            window("(offset+limit) should be in range [1, 16384], but got -2"),
        ),
        (&[(limit, "x")], wrong("limit [x] is invalid")),
        (&[(limit, " 5")], wrong("limit [ 5] is invalid")),
        (&[(limit, "")], wrong("limit [] is invalid")),
        (&[(limit, "5"), (offset, "x")], wrong("offset [x] is invalid")),
        (&[(growing, "True")], Ok((None, 0, true))),
        (&[(growing, "1")], Ok((None, 0, true))),
        (&[(growing, "false")], Ok((None, 0, false))),
        (&[(growing, "x")], wrong("parse search growing failed")),
        (&[(growing, "tRUE")], wrong("parse search growing failed")),
        (&[(growing, ""), (limit, "x")], wrong("parse search growing failed")),
        (&[("reduce_stop_for_best", "true"), (limit, "1")], Ok((Some(1), 0, false))),
        (
            &[("reduce_stop_for_best", "x"), (limit, "x")],
            Err((
                1100,
                "value for reduce_stop_for_best is invalid: invalid parameter[expected=true or false][actual=x]"
                    .to_owned(),
            )),
        ),
    ] {
        assert_eq!(params(pairs), expected, "{pairs:?}");
    }
}

/// Short names take five times the memory of their message, so many of them wait for memory like messages.
#[test]
fn many_output_fields_take_memory() {
    let growth = pools::growth(64 << 10);
    let names = |count: usize| (0..count).map(|n| format!("k{n}")).collect::<Vec<_>>();
    let ask = |count: usize| {
        let mut memory = growth.of_call(0);
        let output = Output::of(&schema(true), &names(count), &mut memory);
        let output = output.map_err(|CallError(status)| (status.code, status.retriable, status.reason));
        output.map(|output| (output.keys.len(), growth.used_bytes()))
    };
    assert_eq!(ask(USUAL_NAMES), Ok((USUAL_NAMES, 0)));
    let (keys, used) = ask(200).unwrap();
    assert!(keys == 200 && used >= (200 - USUAL_NAMES as u64) * NAME_BYTES, "{used}");
    assert_eq!(growth.used_bytes(), 0, "it was given back");
    let mut others = [growth.of_call(0), growth.of_call(0)];
    others.iter_mut().for_each(|other| other.take(60 << 10).unwrap());
    let (code, retriable, reason) = ask(200).unwrap_err();
    assert!((code, retriable) == (8, true) && reason.starts_with("200 output fields: "), "{code} {reason}");
    let (code, retriable, reason) = ask(1000).unwrap_err();
    assert!((code, retriable) == (1100, false) && reason.ends_with("(some.key)"), "{code} {reason}");
}
