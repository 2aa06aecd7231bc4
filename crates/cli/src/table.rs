//! Tables whose columns are right also where characters are two columns wide.

use crate::format::{pad, width};

/// On which side a column's texts stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Texts.
    Left,
    /// Numbers.
    Right,
}

/// A table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
    totals: Option<Vec<String>>,
}

impl Table {
    /// A table of these columns.
    pub(crate) fn new<const N: usize>(columns: [(&str, Align); N]) -> Self {
        let columns = columns.into_iter().map(|(name, align)| (name.to_owned(), align)).collect();
        Self { columns, rows: Vec::new(), totals: None }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Sets the last row, which a rule separates.
    pub(crate) fn totals(&mut self, cells: Vec<String>) {
        self.totals = Some(cells);
    }

    /// The lines of the table: names, a rule, rows, and totals behind another rule.
    pub(crate) fn lines(&self) -> Vec<String> {
        let names: Vec<_> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let cells = || std::iter::once(&names).chain(&self.rows).chain(&self.totals);
        let widths: Vec<_> = (0..self.columns.len())
            .map(|column| {
                cells().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or(0)
            })
            .collect();
        let line = |row: &Vec<String>| {
            let mut text = String::new();
            for ((cell, &columns), (_, align)) in row.iter().zip(&widths).zip(&self.columns) {
                if !text.is_empty() {
                    text.push_str("  ");
                }
                match align {
                    Align::Left => text.push_str(&pad(cell, columns)),
                    Align::Right => {
                        text.push_str(&" ".repeat(columns.saturating_sub(width(cell))));
                        text.push_str(cell);
                    }
                }
            }
            text.trim_end().to_owned()
        };
        let rule = || widths.iter().map(|&columns| "─".repeat(columns)).collect::<Vec<_>>().join("  ");
        let mut lines = vec![line(&names), rule()];
        lines.extend(self.rows.iter().map(line));
        if let Some(totals) = &self.totals {
            lines.push(rule());
            lines.push(line(totals));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_also_with_wide_characters() {
        let mut table = Table::new([("集合", Align::Left), ("行", Align::Right)]);
        table.row(vec!["books".into(), "1,000".into()]);
        table.row(vec!["图书馆".into(), "7".into()]);
        table.totals(vec!["2".into(), "1,007".into()]);
        assert_eq!(
            table.lines(),
            [
                "集合       行",
                "──────  ─────",
                "books   1,000",
                "图书馆      7",
                "──────  ─────",
                "2       1,007",
            ]
        );
    }
}
