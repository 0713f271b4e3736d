use super::*;
use crate::grpc::milvus::call_error::CallError;

fn pairs(given: &[(&str, &str)]) -> Vec<KeyValuePair> {
    let pair = |(key, value): &(&str, &str)| KeyValuePair { key: (*key).to_owned(), value: (*value).to_owned() };
    given.iter().map(pair).collect()
}

/// Codes and texts of Milvus 2.3.5.
#[test]
fn refusals_of_parameters() {
    let top =
        |what: &str, got: i64| format!("{what} [{got}] is invalid, top k should be in range [1, 16384], but got {got}");
    let decimal =
        |value: &str| format!("round_decimal [{value}] is invalid, should be -1 or an integer in range [0, 6]");
    for (given, reason) in [
        (&[][..], "topk not found in search_params".to_owned()),
        (&[("topk", "x")], "topk [x] is invalid".to_owned()),
        (&[("topk", "")], "topk [] is invalid".to_owned()),
        (&[("topk", "0")], top("topk", 0)),
        (&[("topk", "-1")], top("topk", -1)),
        (&[("topk", "16385")], top("topk", 16_385)),
        (&[("topk", "9223372036854775807")], top("topk", i64::MAX)),
        (&[("topk", "16384"), ("offset", "1")], top("offset+topk", 16_385)),
        (&[("topk", "1"), ("offset", "-1")], top("offset", -1)),
        (&[("topk", "1"), ("offset", "16385")], top("offset", 16_385)),
        (&[("topk", "1"), ("offset", "x")], "offset [x] is invalid".to_owned()),
        (&[("topk", "1"), ("round_decimal", "7")], decimal("7")),
        (&[("topk", "1"), ("round_decimal", "-2")], decimal("-2")),
        (&[("topk", "1"), ("round_decimal", "x")], decimal("x")),
        (&[("topk", "1"), ("ignore_growing", "x")], "parse search growing failed".to_owned()),
        (
            &[("topk", "1"), ("params", r#"{"radius": "3"}"#)],
            r#"failed to search: radius: type must be number, but is "3""#.to_owned(),
        ),
        (
            &[("topk", "1"), ("params", r#"{"radius": null}"#)],
            "failed to search: radius: type must be number, but is null".to_owned(),
        ),
    ] {
        let CallError(status) = SearchParams::of(&pairs(given)).unwrap_err();
        assert_eq!((status.code, status.error_code, status.reason), (65535, 1, reason), "{given:?}");
    }
    for params in ["{", "{]", "1e999", &"[".repeat(1 << 20)] {
        let given = pairs(&[("topk", "1"), ("params", params)]);
        let CallError(status) = SearchParams::of(&given).unwrap_err();
        assert!(status.reason.starts_with("failed to search: params: "), "{}", status.reason);
    }
}

#[test]
fn parameters_as_clients_send_them() {
    let plain = SearchParams {
        anns_field: "",
        metric: "",
        limit: 10,
        offset: 0,
        decimals: None,
        range: None,
        ignore_growing: false,
        group: "",
        group_size: 1,
        iterator: None,
        asked: AskedEffort::default(),
    };
    let given = pairs(&[("topk", "10")]);
    assert_eq!(SearchParams::of(&given).unwrap(), plain);
    let given = pairs(&[
        ("anns_field", "v"),
        ("topk", "10"),
        ("params", r#"{"nprobe": 10, "radius": 2, "range_filter": 0.5}"#),
        ("metric_type", "L2"),
        ("round_decimal", "3"),
        ("ignore_growing", "True"),
        ("offset", "5"),
    ]);
    let range = Some(Range { radius: 2.0, near: Some(0.5) });
    let full = SearchParams {
        anns_field: "v",
        metric: "L2",
        offset: 5,
        decimals: Some(3),
        range,
        ignore_growing: true,
        asked: AskedEffort { nprobe: AskedNumber::Number(10), ..AskedEffort::default() },
        ..plain
    };
    assert_eq!(SearchParams::of(&given).unwrap(), full);
    // None of these is an error in Milvus.
    for params in ["", "{}", "[]", "7", r#"{"range_filter": 1, "ef": "x"}"#] {
        let given = pairs(&[("topk", "10"), ("params", params), ("round_decimal", "-1"), ("offset", "0")]);
        assert_eq!(SearchParams::of(&given).unwrap().range, None, "{params}");
    }
}

/// As pymilvus 2.6 sends a page.
#[test]
fn pages_of_iterators() {
    let set = [("iterator", "True"), ("search_iter_v2", "True")];
    let page = |more: &[(&'static str, &'static str)]| pairs(&[&set[..], more].concat());
    for (more, limit, token, after) in [
        (&[("topk", "1000"), ("search_iter_batch_size", "20")][..], 20, "", None),
        (&[("search_iter_batch_size", "1"), ("search_iter_id", "a"), ("search_iter_last_bound", "")], 1, "a", None),
        (&[("search_iter_batch_size", "1"), ("search_iter_last_bound", "1e-05")], 1, "", Some(1e-5)),
        (
            &[("search_iter_batch_size", "16384"), ("search_iter_last_bound", "-3.4028234663852886e+38")],
            16_384,
            "",
            Some(f32::MIN),
        ),
    ] {
        let given = page(more);
        let params = SearchParams::of(&given).unwrap();
        assert_eq!(params.iterator, Some(Iteration { token, page: IteratorPage { after } }), "{more:?}");
        assert_eq!(params.limit, limit);
    }
    let batch = ("search_iter_batch_size", "20");
    for (more, code, text) in [
        (&[][..], 65535, "search_iter_batch_size not found in search_params"),
        (&[("search_iter_batch_size", "x")], 65535, "search_iter_batch_size [x] is invalid"),
        (&[("search_iter_batch_size", "0")], 65535, "search_iter_batch_size [0] is invalid, top k"),
        (&[("search_iter_batch_size", "16385")], 65535, "search_iter_batch_size [16385] is invalid, top k"),
        (&[batch, ("offset", "1")], 1100, "not allowed to have an offset when doing iteration"),
        (&[batch, ("group_by_field", "f")], 1100, "not allowed to have group_by_field when doing iteration"),
        (&[batch, ("search_iter_last_bound", "x")], 1100, "failed to parse input last bound: [x] is no number"),
        (&[batch, ("search_iter_last_bound", "nan")], 1100, "failed to parse input last bound: [nan] is no number"),
    ] {
        let CallError(status) = SearchParams::of(&page(more)).unwrap_err();
        assert!(status.code == code && status.reason.starts_with(text), "{more:?}: {} {}", status.code, status.reason);
    }
    let CallError(status) = SearchParams::of(&pairs(&[set[1], batch])).unwrap_err();
    assert_eq!(status.reason, "both iterator and search_iter_v2 must be set in the SDK");
    // The iterator of older clients, which counts by ranges.
    assert_eq!(SearchParams::of(&pairs(&[set[0], ("topk", "5")])).unwrap().iterator, None);
}

/// Texts of Milvus 2.6.
#[test]
fn groups_have_a_size() {
    for (size, expected) in [
        ("1", Ok(1)),
        ("10", Ok(10)),
        ("11", Err((1100, "input group size:11 exceeds configured max group size:10"))),
        ("0", Err((1100, "input group size:0 is negative, failed to do search_groupby"))),
        ("-1", Err((1100, "input group size:-1 is negative, failed to do search_groupby"))),
        ("x", Err((65535, "group_size [x] is invalid"))),
    ] {
        let given =
            pairs(&[("topk", "1"), ("group_by_field", "f"), ("group_size", size), ("strict_group_size", "True")]);
        let found = SearchParams::of(&given).map(|params| params.group_size);
        let found = found.map_err(|CallError(status)| (status.code, status.reason));
        assert_eq!(found, expected.map_err(|(code, text)| (code, text.to_owned())), "{size}");
    }
}
