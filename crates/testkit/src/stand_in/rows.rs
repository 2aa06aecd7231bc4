//! The rows of a partition, column by column.

use super::value::Value;

/// Columns of equal length, in the order of the collection's fields.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    columns: Vec<Vec<Value>>,
    /// When each row came, as a number that grows: of the copies of a key the newest is answered.
    sequence: Vec<u64>,
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.sequence.len()
    }

    /// Adds rows, given as columns.
    pub(super) fn append(&mut self, columns: Vec<Vec<Value>>, sequence: u64) {
        let rows = columns.first().map_or(0, Vec::len);
        assert!(columns.iter().all(|column| column.len() == rows), "columns of one length");
        if self.columns.is_empty() {
            self.columns = vec![Vec::new(); columns.len()];
        }
        for (column, more) in self.columns.iter_mut().zip(columns) {
            column.extend(more);
        }
        self.sequence.extend((sequence..).take(rows));
    }

    /// Removes the rows that a test picks by the value of a column.
    pub(super) fn remove(&mut self, column: usize, gone: impl Fn(&Value) -> bool) {
        if self.len() == 0 {
            return;
        }
        let stays: Vec<_> = self.columns[column].iter().map(|value| !gone(value)).collect();
        let mut index = 0;
        let mut next = || {
            index += 1;
            stays[(index - 1) % stays.len()]
        };
        for column in &mut self.columns {
            column.retain(|_| next());
        }
        self.sequence.retain(|_| next());
    }

    /// A column of nulls, which a field that is added has in the rows that were there.
    pub(super) fn insert_column(&mut self, at: usize) {
        if !self.columns.is_empty() {
            self.columns.insert(at, vec![Value::Null; self.sequence.len()]);
        }
    }

    /// A value.
    pub(super) fn value(&self, column: usize, row: usize) -> &Value {
        &self.columns[column][row]
    }

    pub(super) fn set(&mut self, column: usize, row: usize, value: Value) {
        self.columns[column][row] = value;
    }

    pub(super) fn sequence(&self, row: usize) -> u64 {
        self.sequence[row]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_from_every_column() {
        let mut rows = Rows::default();
        let longs = |numbers: &[i64]| numbers.iter().copied().map(Value::Long).collect::<Vec<_>>();
        rows.append(vec![longs(&[1, 2, 3]), longs(&[10, 20, 30])], 5);
        rows.append(vec![longs(&[2]), longs(&[21])], 9);
        rows.remove(0, |value| *value == Value::Long(2));
        assert_eq!(rows.len(), 2);
        assert_eq!(rows.value(1, 1), &Value::Long(30));
        assert_eq!(rows.sequence(1), 7);
    }
}
