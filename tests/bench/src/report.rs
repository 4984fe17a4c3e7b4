//! One row of the table, and the table: Markdown, so that it can be kept as it is printed.

use crate::sample::Samples;

/// How a row is judged.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// ours / theirs is at least this.
    Ratio(f64),
    /// ours - theirs is at most this, in the row's unit.
    Above(f64),
    /// ours is at most this, in the row's unit.
    AtMost(f64),
    /// ours / theirs is at most this.
    RatioAtMost(f64),
    /// There is none; the ratio is printed.
    Compare,
}

/// What was measured.
#[derive(Debug)]
pub struct Row {
    /// Its number in the list of comparisons.
    pub id: &'static str,
    /// Ours, against what.
    pub what: String,
    pub unit: &'static str,
    pub ours: Samples,
    pub theirs: Option<Samples>,
    pub goal: Goal,
    /// Why the numbers mean nothing: not everything that was produced was delivered.
    pub void: Option<String>,
}

const HEAD: &str = "\
| Row | What | Unit | Ours: min / median / max | Theirs: min / median / max | Result | Goal | |
|---|---|---|---|---|---|---|---|";

/// The whole table.
pub fn table(rows: &[Row]) -> String {
    let lines = rows.iter().map(Row::line);
    std::iter::once(HEAD.to_owned()).chain(lines).collect::<Vec<_>>().join("\n")
}

impl Row {
    /// One line of the table.
    pub fn line(&self) -> String {
        let theirs = self.theirs.as_ref().map_or_else(|| "-".to_owned(), three);
        let (result, goal, met) = self.judged();
        let verdict = match (&self.void, met) {
            (Some(why), _) => format!("VOID: {why}"),
            (None, Some(true)) => "met".to_owned(),
            (None, Some(false)) => "**short**".to_owned(),
            (None, None) => String::new(),
        };
        let (id, what, unit, ours) = (self.id, &self.what, self.unit, three(&self.ours));
        format!("| {id} | {what} | {unit} | {ours} | {theirs} | {result} | {goal} | {verdict} |")
    }

    fn judged(&self) -> (String, String, Option<bool>) {
        let ours = self.ours.median();
        let theirs = self.theirs.as_ref().map_or(f64::NAN, Samples::median);
        let ratio = ours / theirs;
        match self.goal {
            Goal::Ratio(least) => (format!("{ratio:.2}"), format!(">= {least}"), Some(ratio >= least)),
            Goal::RatioAtMost(most) => (format!("{ratio:.2}"), format!("<= {most}"), Some(ratio <= most)),
            Goal::Above(most) => {
                let above = ours - theirs;
                (format!("+{}", number(above)), format!("<= +{most}"), Some(above <= most))
            }
            Goal::AtMost(most) => (number(ours), format!("<= {most}"), Some(ours <= most)),
            Goal::Compare if theirs.is_nan() => (number(ours), "-".to_owned(), None),
            Goal::Compare => (format!("{ratio:.2}"), "-".to_owned(), None),
        }
    }
}

fn three(samples: &Samples) -> String {
    [samples.min(), samples.median(), samples.max()].map(number).join(" / ")
}

/// Three figures are what a run on a shared machine is good for.
fn number(value: f64) -> String {
    match value.abs() {
        big if big >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn row(ours: f64, theirs: f64, goal: Goal) -> Row {
        let [ours, theirs] = [ours, theirs].map(|v| Samples::new(vec![v]).unwrap());
        let (what, unit) = ("ours against theirs".to_owned(), "messages/s");
        Row { id: "P0", what, unit, ours, theirs: Some(theirs), goal, void: None }
    }

    #[test]
    fn a_row_is_judged_by_its_own_goal() {
        assert!(row(95.0, 100.0, Goal::Ratio(0.9)).line().ends_with("| 0.95 | >= 0.9 | met |"));
        assert!(row(80.0, 100.0, Goal::Ratio(0.9)).line().ends_with("| 0.80 | >= 0.9 | **short** |"));
        assert!(row(1.5, 0.7, Goal::Above(1.0)).line().ends_with("| +0.80 | <= +1 | met |"));
        assert!(
            row(120.0, 100.0, Goal::RatioAtMost(1.1)).line().ends_with("| 1.20 | <= 1.1 | **short** |")
        );
        assert!(row(21.0, 0.0, Goal::AtMost(20.0)).line().ends_with("| 21.0 | <= 20 | **short** |"));
    }

    #[test]
    fn a_row_that_lost_messages_says_so_instead_of_met() {
        let lost = Row { void: Some("3 of 5".to_owned()), ..row(95.0, 100.0, Goal::Ratio(0.9)) };
        assert!(lost.line().ends_with("| VOID: 3 of 5 |"));
    }
}
