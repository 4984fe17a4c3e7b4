//! Columns for people.

use pelton_core::shown::shown;

/// Prints rows under a heading; numbers to the right. A row is a line, whatever is in its cells.
pub fn print(heading: &[&str], rows: &[Vec<String>]) {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| shown(cell).to_string()).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|r| r[column].chars().count());
        cells.chain([heading[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let heading: Vec<String> = heading.iter().map(|h| (*h).to_owned()).collect();
    for row in std::iter::once(&heading).chain(&rows) {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let number = rows.iter().all(|r| {
                !r[column].is_empty() && r[column].bytes().all(|b| b.is_ascii_digit() || b == b',')
            });
            if number && !rows.is_empty() {
                line.push_str(&format!("{cell:>width$}  "));
            } else {
                line.push_str(&format!("{cell:<width$}  "));
            }
        }
        say!("{}", line.trim_end());
    }
}

/// A number with thousands apart.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands() {
        let all = [0, 999, 1_000, 1_234_567].map(super::number);
        assert_eq!(all, ["0", "999", "1,000", "1,234,567"]);
    }
}
