use super::*;
use crate::{
    kit::pools,
    wire::proto::schema::{BoolArray, DoubleArray, JsonArray, LongArray, StringArray, TemplateArrayValueArray},
};

const MOST: usize = 1000;

fn list(data: Data) -> Val {
    Val::ArrayVal(TemplateArrayValue { data: Some(data) })
}

fn filled(expr: &str, values: &[(&str, Val)]) -> Result<String, TemplateError> {
    let value = |(name, value): &(&str, Val)| ((*name).to_owned(), TemplateValue { val: Some(value.clone()) });
    fill(expr, &values.iter().map(value).collect(), MOST, &mut pools::ample()).map(Cow::into_owned)
}

#[test]
fn each_kind_of_value_becomes_a_constant() {
    let longs = |data: &[i64]| Data::LongData(LongArray { data: data.to_vec() });
    let texts = |data: &[&str]| Data::StringData(StringArray { data: data.iter().map(|t| (*t).to_owned()).collect() });
    let json = |data: &[&str]| {
        Data::JsonData(JsonArray {
            data: data.iter().map(|text| bytes::Bytes::copy_from_slice(text.as_bytes())).collect(),
        })
    };
    let nested = |lists: Vec<Data>| {
        let data = lists.into_iter().map(|data| TemplateArrayValue { data: Some(data) }).collect();
        Data::ArrayData(TemplateArrayValueArray { data })
    };
    for (value, text) in [
        (Val::BoolVal(true), "true"),
        (Val::Int64Val(i64::MIN), "-9223372036854775808"),
        (Val::FloatVal(3.0), "3.0"),
        (Val::FloatVal(1e300), "1e300"),
        (Val::StringVal("plain".into()), "\"plain\""),
        (Val::StringVal("\" or id > 0 or s == \"".into()), r#""\" or id > 0 or s == \"""#),
        (Val::StringVal("a\\\n\rä".into()), r#""a\\\n\rä""#),
        (list(longs(&[1, -2])), "[1, -2]"),
        (list(longs(&[])), "[]"),
        (list(Data::BoolData(BoolArray { data: vec![true, false] })), "[true, false]"),
        (list(Data::DoubleData(DoubleArray { data: vec![0.5] })), "[0.5]"),
        (list(texts(&["a", "b'"])), r#"["a", "b'"]"#),
        (list(json(&["1", "\"a\"", "2.5", "true"])), r#"[1, "a", 2.5, true]"#),
        (list(nested(vec![longs(&[1]), longs(&[])])), "[[1], []]"),
        (Val::ArrayVal(TemplateArrayValue { data: None }), "[]"),
    ] {
        assert_eq!(filled("x == {v}", &[("v", value)]), Ok(format!("x == {text}")));
    }
}

#[test]
fn only_placeholders_outside_of_texts_are_filled() {
    let values = [("a", Val::Int64Val(1)), ("b", Val::StringVal("{a}".into()))];
    for (expr, expected) in [
        ("", ""),
        ("x > 0", "x > 0"),
        ("x in [{a}, { a }]", "x in [1, 1]"),
        ("s == {b} and x == {a}", "s == \"{a}\" and x == 1"),
        (r#"s == "{a}" and t == '{a}\'{a}' and x == {a}"#, r#"s == "{a}" and t == '{a}\'{a}' and x == 1"#),
        (r"s == 'ä\\' and x == {a}", r"s == 'ä\\' and x == 1"),
    ] {
        assert_eq!(filled(expr, &values), Ok(expected.to_owned()), "{expr}");
    }
    assert_eq!(fill("x > {a}", &HashMap::new(), MOST, &mut pools::ample()), Ok(Cow::Borrowed("x > {a}")));
}

#[test]
fn refusals_name_the_placeholder() {
    let value = |what| Err(TemplateError::Value { name: "v".to_owned(), what });
    let refused = |val| filled("x == {v}", &[("v", val)]);
    assert_eq!(refused(Val::FloatVal(f64::NAN)), value("no finite number"));
    assert_eq!(refused(Val::BytesVal(Vec::new())), value("bytes"));
    let json = Data::JsonData(JsonArray { data: vec![bytes::Bytes::from_static(b"null")] });
    assert_eq!(refused(list(json)), value("a list with null, lists or objects beside other values"));
    let missing = filled("x == {w}", &[("v", Val::BoolVal(true))]).unwrap_err();
    assert_eq!(missing.to_string(), "the value of expression template variable name {w} is not found");
    assert_eq!(filled("x == {v", &[("v", Val::BoolVal(true))]), Err(TemplateError::Open(5)));
}

#[test]
fn a_large_value_in_many_places_is_given_up() {
    let long = Val::StringVal("x".repeat(600));
    assert!(filled("{v}", &[("v", long.clone())]).is_ok());
    assert_eq!(filled(&"{v}".repeat(100_000), &[("v", long)]), Err(TemplateError::TooLong { most: MOST }));
    let empty = Val::StringVal(String::new());
    assert_eq!(filled(&"x".repeat(1001), &[("v", empty)]), Err(TemplateError::TooLong { most: MOST }));
}

#[test]
fn the_text_takes_its_memory_before_it_is_written() {
    let value = TemplateValue { val: Some(Val::StringVal("x".repeat(3000))) };
    let values = HashMap::from([("v".to_owned(), value)]);
    let growth = pools::growth(64 << 10);
    let mut memory = growth.of_call(0);
    let (fits, exceeds) = ("{v}".repeat(20), "{v}".repeat(30));
    let text = fill(&fits, &values, 1 << 20, &mut memory).unwrap();
    assert!(growth.used_bytes() >= text.len() as u64, "{} of {}", growth.used_bytes(), text.len());
    let refused = fill(&exceeds, &values, 1 << 20, &mut growth.of_call(0)).unwrap_err();
    assert!(matches!(refused, TemplateError::Memory(_)), "{refused}");
}
