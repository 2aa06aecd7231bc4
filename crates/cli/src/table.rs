//! Tables whose columns are right also where characters are two columns wide.

use vecferry_report::columns::{pad, width};

use crate::shorten::tellable;

/// Columns of a name where nobody says how wide the terminal is.
pub(crate) const NAME_COLUMNS: usize = 64;
/// Columns that a name has on the narrowest terminal.
const NAME_COLUMNS_MIN: usize = 24;
/// Between two columns.
const GAP: usize = 2;

/// On which side a column's texts stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Texts.
    Left,
    /// Names, which may be longer than any terminal is wide: shortened in the middle.
    Name,
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

    /// The lines of the table: names, a rule, rows, and totals behind another rule. Names are shortened to what the
    /// columns of a terminal leave for them, or to a fixed width where there is none.
    pub(crate) fn lines(mut self, terminal: Option<usize>) -> Vec<String> {
        self.shorten(terminal);
        let names: Vec<_> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let widths: Vec<_> = (0..self.columns.len()).map(|column| self.width_of(column)).collect();
        let line = |row: &Vec<String>| {
            let mut text = String::new();
            for ((cell, &columns), (_, align)) in row.iter().zip(&widths).zip(&self.columns) {
                if !text.is_empty() {
                    text.push_str(&" ".repeat(GAP));
                }
                match align {
                    Align::Left | Align::Name => text.push_str(&pad(cell, columns)),
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

    fn cells(&self, column: usize) -> impl Iterator<Item = &String> {
        let name = std::iter::once(&self.columns[column].0);
        name.chain(self.rows.iter().chain(&self.totals).filter_map(move |row| row.get(column)))
    }

    fn width_of(&self, column: usize) -> usize {
        self.cells(column).map(|cell| width(cell)).max().unwrap_or(0)
    }

    fn shorten(&mut self, terminal: Option<usize>) {
        let is_name = |column: &usize| self.columns[*column].1 == Align::Name;
        let (mut named, others): (Vec<_>, Vec<_>) = (0..self.columns.len()).partition(is_name);
        let gaps = GAP * self.columns.len().saturating_sub(1);
        let taken = others.iter().map(|column| self.width_of(*column)).sum::<usize>() + gaps;
        // What short names leave is for the longer ones.
        named.sort_by_key(|column| self.width_of(*column));
        let mut left = terminal.map(|terminal| terminal.saturating_sub(taken));
        for (place, column) in named.iter().enumerate() {
            let share = left.map(|left| (left / (named.len() - place)).max(NAME_COLUMNS_MIN));
            let columns = share.unwrap_or(NAME_COLUMNS);
            let texts: Vec<_> =
                self.rows.iter().map(|row| row.get(*column).cloned().unwrap_or_default()).collect();
            for (row, text) in self.rows.iter_mut().zip(tellable(&texts, columns)) {
                if let Some(cell) = row.get_mut(*column) {
                    *cell = text;
                }
            }
            left = left.map(|left| left.saturating_sub(self.width_of(*column)));
        }
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
            table.lines(None),
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

    #[test]
    fn a_long_name_does_not_make_every_line_as_wide_as_itself() {
        let table = |names: &[String]| {
            let mut table = Table::new([("name", Align::Name), ("rows", Align::Right), ("of", Align::Name)]);
            for name in names {
                table.row(vec![name.clone(), "1,000".into(), "short".into()]);
            }
            table
        };
        let names = ["x".repeat(255), format!("{}y{}", "x".repeat(120), "x".repeat(134)), "集".repeat(255)];
        for (terminal, at_most) in [(None, NAME_COLUMNS + 14), (Some(80), 80), (Some(20), 24 + 14)] {
            let lines = table(&names).lines(terminal);
            assert!(lines.iter().all(|line| width(line) <= at_most), "{terminal:?}: {lines:#?}");
            assert_ne!(lines[2], lines[3], "{terminal:?}");
        }
        // Where there is room, nothing is shortened.
        assert!(table(&names).lines(Some(600))[2].starts_with(&names[0]));
    }
}
