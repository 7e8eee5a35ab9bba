//! The conditions of `--fail-if`, each with its actual value.

use std::fmt::{self, Write};

use crate::thresholds::Judged;

/// The last lines of a report; nothing without conditions.
pub fn write_thresholds(out: &mut dyn Write, judged: &[Judged]) -> fmt::Result {
    if judged.is_empty() {
        return Ok(());
    }
    writeln!(out, "--- thresholds ---")?;
    let lengths = judged.iter().map(|one| one.threshold.text.chars().count());
    let width = lengths.max().unwrap_or(0);
    judged.iter().try_for_each(|Judged { threshold, actual, failed }| {
        let word = if *failed { "FAILED" } else { "ok" };
        writeln!(out, "{word:6}  {:width$}  actual {actual}", threshold.text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thresholds::Threshold;

    #[test]
    fn each_condition_is_printed_with_its_actual_value() {
        let judge = |text: &str, actual| Threshold::parse(text).unwrap().judge(actual, 4);
        let judged = [
            judge("established < 95%", Some(2)),
            judge("dial_p99>20ms", Some(3_100_000)),
            judge("lateness_p99>1s", None),
        ];
        let mut text = String::new();
        write_thresholds(&mut text, &judged).unwrap();
        let lines = "\
--- thresholds ---
FAILED  established<95%  actual 2 of 4 (50%)
ok      dial_p99>20ms    actual 3.1ms
FAILED  lateness_p99>1s  actual unknown
";
        assert_eq!(text, lines);
        text.clear();
        write_thresholds(&mut text, &[]).unwrap();
        assert_eq!(text, "");
    }
}
