//! Refused expressions: the column (in characters, from 1) and the message.

use super::{
    super::{FilterError, MAX_BYTES, MAX_DEPTH},
    schema, strict_schema,
};
use crate::{
    error::{Classify as _, ErrorKind},
    kit::{
        filters::{compile, parse},
        pools,
    },
    query::expr,
};

fn fault(text: &str) -> (usize, String) {
    let error = compile(text, &schema()).expect_err(text);
    (error.column, error.message)
}

#[test]
fn syntax() {
    for (text, column, message) in [
        ("i8 ==", 6, "expected a value, found the end"),
        ("(i8 == 1", 9, "expected ')', found the end"),
        ("i8 == 1)", 8, "unexpected ')'"),
        ("i8 == 1 i8 == 2", 9, "unexpected 'i8'"),
        ("i8 = 1", 4, "'=' is not an operator, equality is '=='"),
        ("i8 & 1 == 1", 4, "bit operator '&' is not supported"),
        ("i8 << 1 == 1", 4, "shifts are not supported"),
        ("s == \"abc", 6, "string is not closed"),
        ("s == \"a\nb\"", 6, "string is not closed"),
        (r#"s == "a\qb""#, 8, r"unknown escape '\q'"),
        (r#"s == "\xg1""#, 7, "escape needs 2 digits of base 16"),
        (r#"s == "\ud800""#, 7, "U+D800 is not a character"),
        (r#"s == "\xff""#, 6, "string is not valid UTF-8"),
        ("i8 == 1 ; drop", 9, "unexpected character ';'"),
        ("ä == 1", 1, "unexpected character 'ä'"),
        ("s == 'ä' ä", 10, "unexpected character 'ä'"),
        ("i8 == 08", 7, "'08' is not a number"),
        ("i8 == 1x", 7, "'1x' is not a number"),
        ("i8 == 0x", 7, "'0x' is not a number"),
        ("d == 0x1p0", 6, "hexadecimal float '0x1p0' is not supported"),
        ("d == 1e999", 6, "number 1e999 does not fit a double"),
        ("i64 > 9223372036854775808", 7, "integer 9223372036854775808 does not fit 64 bits"),
        ("i64 > -9223372036854775809", 7, "integer -9223372036854775809 does not fit 64 bits"),
        ("i64 > 99999999999999999999", 7, "integer 99999999999999999999 does not fit 64 bits"),
        ("1 < i64 > 5", 9, "only '<' with '<' or '>' with '>' make a range"),
        ("1 < i64 == 5", 9, "only '<' with '<' or '>' with '>' make a range"),
        ("1 < i64 < 5 < 7", 13, "comparisons can't be chained here"),
        ("i8 in 1", 7, "expected '[', found '1'"),
        ("i8 not 1", 8, "expected 'in', found '1'"),
        ("i8 in [1, 2", 12, "expected ']', found the end"),
        ("s like 1", 8, "expected a string, found '1'"),
        ("foo(i8)", 1, "there is no function 'foo'"),
        ("js[i8] == 1", 4, "a key of js is a string or a number, not 'i8'"),
        ("js[''] == 1", 4, "a key of js is empty"),
        ("js['a' == 1", 8, "expected ']', found '=='"),
        ("$other == 1", 1, "'$other' is not a name, only $meta begins with '$'"),
        ("exists 1", 8, "exists needs a JSON key"),
        ("and", 1, "expected a value, found 'and'"),
    ] {
        assert_eq!(fault(text), (column, message.to_owned()), "{text}");
    }
}

#[test]
fn types() {
    for (text, column, message) in [
        ("b", 1, "predicate is not a boolean expression: b, data type: Bool"),
        ("true", 1, "predicate is not a boolean expression: true, data type: Bool"),
        ("hello", 1, "predicate is not a boolean expression: hello, data type: JSON"),
        ("i8 + 1", 1, "predicate is not a boolean expression: i8 + 1, data type: arithmetic"),
        ("not b", 5, "not op can only be applied on boolean expression"),
        ("i8 == 1 and true", 13, "'and' can only be used between boolean expressions"),
        ("b or i8 == 1", 1, "'or' can only be used between boolean expressions"),
        ("1 == 1", 1, "a comparison needs a field"),
        ("1 < 2 < 3", 5, "a comparison needs a field"),
        ("i8 == 1.0", 1, "cannot cast value to Int8, value: 1.0"),
        ("i64 > 1.5", 1, "cannot cast value to Int64, value: 1.5"),
        ("i8 == 2 ** 0", 1, "cannot cast value to Int8, value: 1.0"),
        ("i8 == '1'", 1, "comparisons between Int8 and VarChar are not supported"),
        ("s == 1", 1, "comparisons between VarChar and Int64 are not supported"),
        ("b == 1", 1, "comparisons between Bool and Int64 are not supported"),
        ("s == i8", 1, "comparisons between VarChar and Int8 are not supported"),
        ("v == 1", 1, "comparisons between FloatVector and Int64 are not supported"),
        ("v == v", 1, "comparisons between FloatVector and FloatVector are not supported"),
        ("v in []", 1, "'in' is not supported on FloatVector"),
        ("(i8 == 1) == true", 1, "comparisons between Bool and Bool are not supported"),
        ("js['k'] == i8", 1, "comparisons between JSON and Int8 are not supported"),
        ("arr[0] == i8", 1, "comparisons between Int64 and Int8 are not supported"),
        ("i8 + 1 == 'x'", 1, "comparisons between arithmetic and VarChar are not supported"),
        ("js == 1", 1, "can not comparisons jsonField directly"),
        ("js in [1]", 1, "can not comparisons jsonField directly"),
        ("$meta == 1", 1, "can not comparisons jsonField directly"),
        ("json_contains(js, 1)", 15, "can not comparisons jsonField directly"),
        ("exists js", 1, "exists operations are only supported on json keys, got: JSON"),
        ("exists i8", 1, "exists operations are only supported on json keys, got: Int8"),
        ("arr > 2", 1, "can not comparisons array fields directly"),
        ("arr < [1]", 1, "lists can only be compared with '==' and '!='"),
        ("arr == ['a']", 1, "comparisons between Array and VarChar are not supported"),
        ("i8 == [1]", 1, "comparisons between Int8 and Array are not supported"),
        ("arr['x'] == 1", 1, "can only access array field with integer index"),
        ("arr[0][0] == 1", 1, "can only access array field with integer index"),
        ("i8[0] == 1", 1, "Int8 data type not supported accessed with []"),
        ("arr in [1]", 9, "value '1' in list cannot be casted to Array"),
        ("s in ['abc', 1]", 14, "value '1' in list cannot be casted to VarChar"),
        ("i8 in [1.0]", 8, "value '1.0' in list cannot be casted to Int8"),
        ("f in [true]", 7, "value 'true' in list cannot be casted to Float"),
        ("i8 in [i64]", 8, "value 'i64' in list cannot be a non-const expression"),
        ("1 in [1]", 1, "'term' can only be used on non-const expression, but got: 1"),
        ("i8 + 1 in [1]", 1, "'term' can only be used on single field, but got: i8 + 1"),
        ("f like 'a%'", 1, "like operation on non-string or no-json field is unsupported"),
        ("s + 'a' == 'abca'", 1, "'+' can only be used between integer or floating or json field expressions"),
        ("arr + 1 == 2", 1, "'+' can only be used between integer or floating or json field expressions"),
        ("-s == 1", 2, "'-' can only be used between integer or floating or json field expressions"),
        ("f % 2 == 1", 1, "modulo can only apply on integer types"),
        ("i8 % 2.0 == 1", 1, "modulo can only apply on integer types"),
        ("i8 ** 2 == 1", 1, "power can only apply on constants: i8 ** 2"),
        ("i8 / 0 == 1", 6, "division by zero"),
        ("i8 % 0 == 1", 6, "division by zero"),
        ("f / 0.0 == 1", 5, "division by zero"),
        ("i8 == 1 / 0", 7, "division by zero"),
        ("i64 == 9223372036854775807 + 1", 8, "result does not fit 64 bits"),
        ("d == 10.0 ** 400", 6, "result does not fit a double"),
        ("1 < b < 3", 5, "invalid range operations on boolean expr"),
        ("i64 < i8 < 3", 1, "bound of a range cannot be a non-const expression: i64"),
        ("array_length(i8) == 1", 14, "array_length operation are only supported on json or array fields now, got: i8"),
        ("json_contains(i8, 1)", 15, "contains operation are only supported on json or array fields now, got: i8"),
        ("json_contains(arr)", 1, "contains takes 2 arguments, got 1"),
        (
            "array_contains(sarr, 1)",
            22,
            "contains operation can't compare between array element type: VarChar and Int64",
        ),
        (
            "array_contains(arr, true)",
            21,
            "contains operation can't compare between array element type: Int64 and Bool",
        ),
        (
            "array_contains(arr, [1])",
            21,
            "contains operation can't compare between array element type: Int64 and Array",
        ),
        ("array_contains_all(arr, 1)", 25, "contains_all operation element must be an array"),
        ("json_contains_any(js['a'], [])", 28, "contains_any operation has an empty list"),
    ] {
        assert_eq!(fault(text), (column, message.to_owned()), "{text}");
    }
}

#[test]
fn names_outside_the_schema() {
    let error = compile("i8 == 1 and nosuch == 1", &strict_schema()).unwrap_err();
    assert_eq!((error.column, error.message.as_str()), (13, "field nosuch not exist"));
    let error = compile("$meta['a'] == 1", &strict_schema()).unwrap_err();
    assert_eq!(error.message, "field $meta not exist");
}

#[test]
fn reasons_have_milvus_shape() {
    let error = compile("nosuch ==", &schema()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot parse expression: nosuch ==, error: expected a value, found the end at column 10"
    );
    assert_eq!(error.delete_reason(), "failed to create expr plan, expr = nosuch ==");
    let error = compile("nosuch == 1", &strict_schema()).unwrap_err();
    assert_eq!(error.to_string(), "cannot parse expression: nosuch == 1, error: field nosuch not exist");
}

#[test]
fn long_expressions_are_quoted_in_part() {
    let error = compile(&format!("id in [{}", "ä,".repeat(1_000)), &schema()).unwrap_err();
    assert!(error.expr.len() < 300, "{}", error.expr.len());
    assert_eq!(error.column, 8);
    for text in [format!("[{}]", "1,".repeat(100_000)), format!("{} == 1", "n".repeat(100_000)), "1".repeat(100_000)] {
        let error = compile(&text, &strict_schema()).unwrap_err();
        assert!(error.to_string().len() < 1_000, "{}", error.to_string().len());
    }
}

#[test]
fn limits() {
    let open = usize::from(MAX_DEPTH);
    for (text, fits) in [
        (format!("{}id == 1{}", "(".repeat(open), ")".repeat(open)), true),
        (format!("{}id == 1{}", "(".repeat(open + 1), ")".repeat(open + 1)), false),
        (format!("{}id == 1", "not ".repeat(open - 2)), true),
        (format!("{}id == 1{}", "(".repeat(1_000_000), ")".repeat(1_000_000)), false),
        (format!("id == {}1{}", "(".repeat(1_000_000), ")".repeat(1_000_000)), false),
        (format!("id in [{}{}]", "(".repeat(1_000_000), ")".repeat(1_000_000)), false),
        (format!("{}{}", "exists(".repeat(1_000_000), "not(".repeat(1_000_000)), false),
        (format!("{}id == 1", "not ".repeat(100_000)), false),
        (format!("id == {}1", "-".repeat(100_000)), false),
        (format!("id in {}", "[".repeat(100_000)), false),
        (format!("{}1", "id == (".repeat(100_000)), false),
        (format!("id == 1{}", " + 1".repeat(100_000)), false),
        (format!("id == 1{}", " ** 1".repeat(100_000)), false),
        (format!("js{} == 1", "[0]".repeat(100_000)), false),
        (format!("id == 1{}", " or id == 1".repeat(100_000)), true),
        (format!("id in [{}]", "1,".repeat(500_000)), true),
        (" ".repeat(MAX_BYTES + 1), false),
    ] {
        assert_eq!(parse(&text).is_ok(), fits, "{}…", &text[..20]);
    }
}

#[test]
fn an_expression_takes_its_memory_and_gives_it_back_with_the_last_clone() {
    let (growth, schema) = (pools::growth(256 << 10), schema());
    let compiled = |text: &str| expr::compile(text, &schema, &growth);
    let keys: Vec<String> = (0..500).map(|key| key.to_string()).collect();
    let text = format!("id in [{}]", keys.join(","));
    let bound = compiled(&text).unwrap().unwrap();
    assert!(growth.used_bytes() >= 500 * 40, "{} for 500 keys", growth.used_bytes());
    let twin = bound.clone();
    drop(bound);
    assert!(growth.used_bytes() >= 500 * 40, "the other one has it");
    drop(twin);
    assert_eq!(growth.used_bytes(), 0);

    // Of all keys in a list only different ones are kept.
    assert!(compiled(&format!("id in [{}]", "7,".repeat(4000))).is_ok());
    for text in [
        format!("id in [{}]", "7,".repeat(40_000)),
        format!("s in [{}]", "'',".repeat(40_000)),
        format!("id == 1{}", " or id == 1".repeat(4000)),
        format!("json_contains_any(js['a'], [{}])", "1,".repeat(4000)),
        format!("s like '{}'", "%_a".repeat(4000)),
        format!("js{} == 1{}", "[0]".repeat(50), " or js[0] == 1".repeat(2000)),
    ] {
        let refused = compiled(&text).unwrap_err();
        assert!(matches!(&refused, FilterError::Memory(full) if full.key == "some.key"), "{}: {refused}", &text[..20]);
        assert_eq!(growth.used_bytes(), 0);
    }
    // It never fits, so that a client does not try again; with more beside it, it does not fit now.
    assert_eq!(compiled(&format!("id in [{}]", "7,".repeat(40_000))).unwrap_err().kind(), ErrorKind::Invalid);
    let mut others = [growth.of_call(0), growth.of_call(0)];
    others.iter_mut().for_each(|other| other.take(250 << 10).unwrap());
    assert_eq!(compiled(&text).unwrap_err().kind(), ErrorKind::Exhausted);
    drop(others);
    assert!(compiled(&text).is_ok());
}
