//! The run by target and by source, if there are several.

use std::fmt::{self, Write};

use crate::engine::Summary;
use crate::engine::breakdown::Breakdown;
use crate::route::Routes;

/// The width of a column of numbers.
const COLUMN: usize = 11;

/// A table of targets, one of sources, or neither.
pub fn write_tables(out: &mut dyn Write, summary: &Summary, routes: &Routes) -> fmt::Result {
    let target = |index: usize| routes.targets()[index].to_string();
    write_table(out, "Targets", &summary.targets, target)?;
    let source = |index: usize| routes.sources()[index].ip().to_string();
    write_table(out, "Sources", &summary.sources, source)
}

fn write_table(
    out: &mut dyn Write,
    title: &str,
    breakdown: &Breakdown,
    name: impl Fn(usize) -> String,
) -> fmt::Result {
    let (count, rows) = (breakdown.count, &breakdown.worst);
    if rows.is_empty() {
        return Ok(());
    }
    let shown = rows.len();
    let which = if shown < count { format!("the worst {shown}") } else { "worst first".into() };
    writeln!(out, "{title}: {count}, {which}")?;
    let names: Vec<String> = rows.iter().map(|row| name(row.index as usize)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let has_replies = rows.iter().any(|row| row.replied + row.no_reply > 0);
    let headings = ["dialed", "established", "errors", "closed", "no reply"];
    let columns = if has_replies { &headings[..] } else { &headings[..4] };
    write!(out, "  {:width$}", "")?;
    columns.iter().try_for_each(|heading| write!(out, "  {heading:>COLUMN$}"))?;
    writeln!(out, "  p99")?;
    for (row, name) in rows.iter().zip(names) {
        let counts = [row.dialed, row.established, row.errors, row.closed, row.no_reply];
        write!(out, "  {name:width$}")?;
        counts.iter().zip(columns).try_for_each(|(count, _)| write!(out, "  {count:COLUMN$}"))?;
        match row.established {
            0 => writeln!(out, "  -")?,
            _ => writeln!(out, "  {}", row.p99.rounded_to_3_digits())?,
        }
    }
    Ok(())
}

/// Rows of cells in aligned columns, headings first. The first column and those from `left` on are
/// flush left, the others flush right. What does not fit into the width is left out, the last column
/// first.
pub fn write_columns(
    out: &mut dyn Write,
    rows: &[Vec<String>],
    left: usize,
    columns: usize,
) -> fmt::Result {
    let count = rows.first().map_or(0, Vec::len);
    let cells = |column: usize| rows.iter().map(move |row| row[column].chars().count());
    let widths: Vec<usize> = (0..count).map(|column| cells(column).max().unwrap_or(0)).collect();
    let fits = |count: &usize| widths[..*count].iter().sum::<usize>() + 2 * (count - 1) <= columns;
    let shown = (1..=count).rev().find(fits).unwrap_or(1);
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).take(shown).enumerate() {
            match column {
                0 => write!(line, "{cell:width$}")?,
                _ if column >= left => write!(line, "  {cell:width$}")?,
                _ => write!(line, "  {cell:>width$}")?,
            }
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::breakdown::Row;
    use crate::units::Span;

    #[test]
    fn columns_are_aligned_and_hidden_rows_are_counted() {
        let rows = [
            (7, 100, 98, 2, 7, 1_234_567),
            (0, 1_000_000, 1_000_000, 0, 0, 31_249),
            (3, 9, 0, 0, 0, 0),
        ];
        let rows = rows.into_iter().map(|(index, dialed, established, errors, closed, p99)| Row {
            index,
            dialed,
            established,
            errors,
            closed,
            p99: Span(p99),
            ..Row::default()
        });
        let mut breakdown = Breakdown::of(80, rows);
        let mut text = String::new();
        let name = |index: usize| format!("127.0.0.{}:80", 1 << index);
        write_table(&mut text, "Targets", &breakdown, name).unwrap();
        assert_eq!(
            text,
            "\
Targets: 80, the worst 3
                       dialed  established       errors       closed  p99
  127.0.0.128:80          100           98            2            7  1.23ms
  127.0.0.1:80        1000000      1000000            0            0  31.2µs
  127.0.0.8:80              9            0            0            0  -
"
        );
        breakdown.count = 3;
        breakdown.worst[1].no_reply = 12;
        text.clear();
        write_table(&mut text, "Sources", &breakdown, name).unwrap();
        assert!(text.starts_with("Sources: 3, worst first\n"), "{text}");
        assert!(text.contains("     closed     no reply  p99\n"), "{text}");
        assert!(
            text.contains(" 1000000            0            0           12  31.2µs\n"),
            "{text}"
        );
        text.clear();
        write_table(&mut text, "Sources", &Breakdown::default(), name).unwrap();
        assert_eq!(text, "");
    }
}
