//! Columns for people.

use pelton_core::shown::shown;

/// Prints rows under a heading; numbers to the right. A row is a line, whatever is in its cells.
pub fn print(heading: &[&str], rows: &[Vec<String>]) {
    lines(heading, rows).iter().for_each(|line| super::say(format_args!("{line}")));
}

/// A row may have fewer cells than the heading: the rest of it is empty.
fn lines(heading: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let whole = |row: &Vec<String>| -> Vec<String> {
        let cell = |column| row.get(column).map_or_else(String::new, |cell| shown(cell).to_string());
        (0..heading.len()).map(cell).collect()
    };
    let rows: Vec<Vec<String>> = rows.iter().map(whole).collect();
    let is_number =
        |cell: &String| !cell.is_empty() && cell.bytes().all(|b| b.is_ascii_digit() || b == b',');
    let column = |column: usize| {
        let width = rows.iter().map(|row| row[column].chars().count());
        let width = width.chain([heading[column].chars().count()]).max().unwrap_or(0);
        (width, !rows.is_empty() && rows.iter().all(|row| is_number(&row[column])))
    };
    let columns: Vec<(usize, bool)> = (0..heading.len()).map(column).collect();
    let heading: Vec<String> = heading.iter().map(|h| (*h).to_owned()).collect();
    let line = |row: &Vec<String>| {
        let cell = |(cell, (width, right)): (&String, &(usize, bool))| {
            if *right { format!("{cell:>width$}  ") } else { format!("{cell:<width$}  ") }
        };
        let line: String = row.iter().zip(&columns).map(cell).collect();
        line.trim_end().to_owned()
    };
    std::iter::once(&heading).chain(&rows).map(line).collect()
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

    #[test]
    fn a_row_may_end_early_and_is_one_line() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        let lines = super::lines(
            &["key", "n", "is"],
            &[row(&["a\nb", "7"]), row(&[]), row(&["c", "1,000", "dead"])],
        );
        assert_eq!(lines, ["key     n      is", "a\\x0ab  7", "", "c       1,000  dead"]);
        assert_eq!(super::lines(&["n"], &[row(&["7"]), row(&["10"])]), [" n", " 7", "10"]);
    }
}
