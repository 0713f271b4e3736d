//! Aligned columns of text for a terminal. Colours in a cell have no width.

use console::{measure_text_width, strip_ansi_codes};

/// Lays out rows below a heading; a column of numbers is aligned to the right.
///
/// Columns are separated by two spaces, lines end without blanks.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
    let columns: Vec<(usize, bool)> = (0..heading.len())
        .map(|column| {
            let widest = rows.iter().map(|row| measure_text_width(&cell(row, column))).max().unwrap_or(0);
            let title = heading.get(column).map_or(0, |title| measure_text_width(title));
            let numbers = rows.iter().all(|row| is_number(&cell(row, column)));
            (widest.max(title), numbers && !rows.is_empty())
        })
        .collect();
    let mut out = String::new();
    let heading: Vec<String> = heading.iter().map(|title| (*title).to_owned()).collect();
    for row in std::iter::once(&heading).chain(rows) {
        let line = columns.iter().enumerate().fold(String::new(), |mut line, (column, (width, right))| {
            let text = cell(row, column);
            let blanks = " ".repeat(width.saturating_sub(measure_text_width(&text)));
            line.push_str("  ");
            line.push_str(&if *right { blanks + &text } else { text + &blanks });
            line
        });
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// A number with or without its unit, such as `7`, `1.5 kB` and `3 min 5 s`, or `-` in its place. A sentence that begins
/// with a number is none.
fn is_number(cell: &str) -> bool {
    let plain = strip_ansi_codes(cell);
    let is_part = |word: &str| word.len() <= 3 || word.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ',');
    plain == "-" || plain.starts_with(|c: char| c.is_ascii_digit()) && plain.split(' ').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_numbers_right_and_text_left() {
        let rows = vec![vec!["a".into(), "7".into()], vec!["long".into(), "1,234".into()]];
        assert_eq!(table(&["name", "rows"], &rows), "  name   rows\n  a         7\n  long  1,234\n");
        assert_eq!(table(&["name"], &[]), "  name\n");
    }

    #[test]
    fn numbers_have_a_unit_at_most() {
        for number in ["7", "1,234", "470804626993578487", "1.5 kB", "12.5 %", "3 min 5 s", "1 of 2", "-"] {
            assert!(is_number(number), "{number}");
        }
        for text in ["", "16 segments", "22.0 % deleted", "flush", "2026-11-29T20:00:00Z"] {
            assert!(!is_number(text), "{text}");
        }
    }
}
