//! Aligned columns of text for a terminal, without colours or escapes.

/// Lays out rows below a heading; a column of numbers is aligned to the right.
///
/// Columns are separated by two spaces, lines end without blanks.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
    let columns: Vec<(usize, bool)> = (0..heading.len())
        .map(|column| {
            let widest = rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0);
            let title = heading.get(column).map_or(0, |title| title.chars().count());
            let numbers = rows.iter().all(|row| cell(row, column).starts_with(|c: char| c.is_ascii_digit()));
            (widest.max(title), numbers && !rows.is_empty())
        })
        .collect();
    let mut out = String::new();
    let heading: Vec<String> = heading.iter().map(|title| (*title).to_owned()).collect();
    for row in std::iter::once(&heading).chain(rows) {
        let line = columns.iter().enumerate().fold(String::new(), |mut line, (column, (width, right))| {
            let text = cell(row, column);
            let blanks = " ".repeat(width.saturating_sub(text.chars().count()));
            line.push_str("  ");
            line.push_str(&if *right { blanks + &text } else { text + &blanks });
            line
        });
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// A size in the unit that keeps it readable: `512 B`, `12.3 kB`, `4.0 MB` (powers of 1024).
pub(super) fn bytes(count: i64) -> String {
    let mut size = count as f64;
    let mut unit = "B";
    for larger in ["kB", "MB", "GB", "TB"] {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    if unit == "B" { format!("{count} B") } else { format!("{size:.1} {unit}") }
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
    fn sizes() {
        for (count, text) in [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 kB"), (1536, "1.5 kB"), (5 << 20, "5.0 MB")] {
            assert_eq!(bytes(count), text);
        }
    }
}
