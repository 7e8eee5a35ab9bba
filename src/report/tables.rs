//! The run by target and by source, if there are several.

use std::fmt::{self, Write};

use crate::engine::Summary;
use crate::engine::breakdown::{Breakdown, Row};
use crate::route::Routes;

/// The width of a column of numbers.
const COLUMN: usize = 11;

/// The counts of a row; the last one only if a reply was expected.
const COLUMNS: [&str; 5] = ["dialed", "established", "errors", "closed", "no reply"];

/// A table of targets, one of sources, or neither.
pub fn write_tables(out: &mut dyn Write, summary: &Summary, routes: &Routes) -> fmt::Result {
    tables(summary, routes).iter().try_for_each(|table| write_table(out, table))
}

/// The run by target, or by source.
pub struct Table {
    /// `Targets: 80, the worst 20`.
    pub title: String,
    pub columns: &'static [&'static str],
    /// A name, counts by column, and the p99 of dial times.
    pub rows: Vec<(String, [u32; COLUMNS.len()], String)>,
}

/// Those of them with several rows.
pub fn tables(summary: &Summary, routes: &Routes) -> Vec<Table> {
    let target = |index: usize| routes.targets()[index].to_string();
    let source = |index: usize| routes.sources()[index].ip().to_string();
    let targets = table("Targets", &summary.targets, &target);
    targets.into_iter().chain(table("Sources", &summary.sources, &source)).collect()
}

fn table(title: &str, breakdown: &Breakdown, name: &dyn Fn(usize) -> String) -> Option<Table> {
    let (count, rows) = (breakdown.count, &breakdown.worst);
    let shown = rows.len();
    let which = if shown < count { format!("the worst {shown}") } else { "worst first".into() };
    let has_replies = rows.iter().any(|row| row.replied + row.no_reply > 0);
    let row = |row: &Row| {
        let counts = [row.dialed, row.established, row.errors, row.closed, row.no_reply];
        let p99 = match row.established {
            0 => "-".into(),
            _ => row.p99.rounded_to_3_digits().to_string(),
        };
        (name(row.index as usize), counts, p99)
    };
    (shown > 0).then(|| Table {
        title: format!("{title}: {count}, {which}"),
        columns: if has_replies { &COLUMNS } else { &COLUMNS[..4] },
        rows: rows.iter().map(row).collect(),
    })
}

fn write_table(out: &mut dyn Write, table: &Table) -> fmt::Result {
    let Table { title, columns, rows } = table;
    writeln!(out, "{title}")?;
    let width = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
    write!(out, "  {:width$}", "")?;
    columns.iter().try_for_each(|heading| write!(out, "  {heading:>COLUMN$}"))?;
    writeln!(out, "  p99")?;
    for (name, counts, p99) in rows {
        write!(out, "  {name:width$}")?;
        counts.iter().zip(*columns).try_for_each(|(count, _)| write!(out, "  {count:COLUMN$}"))?;
        writeln!(out, "  {p99}")?;
    }
    Ok(())
}

/// Adds a row to the cells of a table.
pub fn push_row(table: &mut Vec<String>, cells: &[&dyn fmt::Display]) {
    table.extend(cells.iter().map(ToString::to_string));
}

/// Rows of `count` cells in aligned columns, headings first; nothing without other rows. The first
/// column and those from `left` on are flush left, the others flush right. What does not fit into the
/// width is left out, the last column first.
pub fn write_columns(
    out: &mut dyn Write,
    table: &[String],
    count: usize,
    left: usize,
    columns: usize,
) -> fmt::Result {
    if table.len() <= count {
        return Ok(());
    }
    let mut widths = vec![0; count];
    for (index, cell) in table.iter().enumerate() {
        let width = &mut widths[index % count];
        *width = cell.chars().count().max(*width);
    }
    let mut shown = count;
    while shown > 1 && widths[..shown].iter().sum::<usize>() + 2 * (shown - 1) > columns {
        shown -= 1;
    }
    let mut line = String::new();
    for (index, cell) in table.iter().enumerate() {
        let column = index % count;
        let width = widths[column];
        match column {
            0 => write!(line, "{cell:width$}")?,
            _ if column >= shown => {}
            _ if column >= left => write!(line, "  {cell:width$}")?,
            _ => write!(line, "  {cell:>width$}")?,
        }
        if column + 1 == count {
            writeln!(out, "{}", line.trim_end())?;
            line.clear();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
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
        write_table(&mut text, &table("Targets", &breakdown, &name).unwrap()).unwrap();
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
        write_table(&mut text, &table("Sources", &breakdown, &name).unwrap()).unwrap();
        assert!(text.starts_with("Sources: 3, worst first\n"), "{text}");
        assert!(text.contains("     closed     no reply  p99\n"), "{text}");
        assert!(
            text.contains(" 1000000            0            0           12  31.2µs\n"),
            "{text}"
        );
        assert!(table("Sources", &Breakdown::default(), &name).is_none());
    }

    #[test]
    fn the_last_columns_are_left_out_where_they_do_not_fit() {
        let mut table = Vec::new();
        push_row(&mut table, &[&"", &"count", &"side"]);
        let mut text = String::new();
        write_columns(&mut text, &table, 3, 2, 80).unwrap();
        assert_eq!(text, "", "headings only");
        push_row(&mut table, &[&"refused", &12, &"server"]);
        let mut written = |columns| {
            text.clear();
            write_columns(&mut text, &table, 3, 2, columns).unwrap();
            text.clone()
        };
        assert_eq!(written(22), "         count  side\nrefused     12  server\n");
        assert_eq!(written(21), "         count\nrefused     12\n");
        assert_eq!(written(1), "\nrefused\n");
    }
}
