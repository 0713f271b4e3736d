//! JSON strings as Go's encoder writes them, so that our delta and statistics logs have the same bytes as Milvus'.

/// Appends `text` as a JSON string. Like Go, also escapes `<`, `>`, `&`, U+2028 and U+2029. Tab, newline and return have
/// short forms; other control characters do not.
pub(super) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let mut copied = 0;
    for (at, c) in text.char_indices() {
        let escape = match c {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\t' => "\\t",
            '\n' => "\\n",
            '\r' => "\\r",
            '<' => "\\u003c",
            '>' => "\\u003e",
            '&' => "\\u0026",
            '\u{2028}' => "\\u2028",
            '\u{2029}' => "\\u2029",
            '\0'..='\u{1f}' => "",
            _ => continue,
        };
        out.push_str(text.get(copied..at).unwrap_or_default());
        copied = at + c.len_utf8();
        if escape.is_empty() {
            // Below 0x20, so two hex digits.
            let code = u32::from(c);
            out.push_str("\\u00");
            out.extend([code >> 4, code & 15].iter().filter_map(|digit| char::from_digit(*digit, 16)));
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn string(text: &str) -> String {
        let mut out = String::new();
        push_string(&mut out, text);
        out
    }

    #[rstest]
    #[case("k-00000", r#""k-00000""#)]
    #[case("", r#""""#)]
    #[case("a\"b\\c", r#""a\"b\\c""#)]
    #[case("<&>", r#""\u003c\u0026\u003e""#)]
    #[case("\u{2028}\u{2029}", r#""\u2028\u2029""#)]
    #[case("\t\n\r", r#""\t\n\r""#)]
    #[case("\u{0}\u{1b}\u{8}", r#""\u0000\u001b\u0008""#)]
    #[case("grün 😀\u{7f}", "\"grün 😀\u{7f}\"")]
    fn escapes_as_go_does(#[case] text: &str, #[case] json: &str) {
        assert_eq!(string(text), json);
    }

    proptest! {
        #[test]
        fn any_json_reader_gets_the_text_back(text in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&string(&text)).unwrap(), text);
        }
    }
}
