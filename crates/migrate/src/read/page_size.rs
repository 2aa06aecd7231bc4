//! How many rows to ask for, so that a page has the size wanted.

use vecferry_milvus::schema::FieldSpec;

/// Largest page that is passed on: servers take 64 MiB, with room for what they add.
pub(crate) const PAGE_BYTES_MAX: usize = 48 << 20;
/// Most rows a query may answer (`quotaAndLimits.limits.maxQueryResultWindow`).
pub(crate) const PAGE_ROWS_MAX: u32 = 16_384;
/// Rows of the first page where values can be of any size.
const FIRST_ROWS_MAX: u32 = 64;
/// Growth from one page to the next.
const GROWTH_MAX: u32 = 4;

/// Rows to ask for next; follows the size of what came.
#[derive(Clone, Debug)]
pub(crate) struct PageSize {
    rows: u32,
    bytes_target: usize,
    /// Pages of more rows were refused as too large; forgotten step by step.
    ceiling: u32,
    /// What a limited rate allows.
    rows_max: u32,
    bytes_max: usize,
}

impl PageSize {
    /// Starts with what the schema says of a row's size.
    pub(crate) fn new(columns: &[FieldSpec], bytes_target: usize) -> Self {
        let known: usize = columns.iter().filter_map(FieldSpec::fixed_bytes).sum();
        let all_known = columns.iter().all(|column| column.fixed_bytes().is_some());
        let fitting = u32::try_from(bytes_target / known.max(1)).unwrap_or(u32::MAX);
        let most = if all_known { PAGE_ROWS_MAX } else { FIRST_ROWS_MAX };
        let rows = fitting.clamp(1, most);
        Self { rows, bytes_target, ceiling: PAGE_ROWS_MAX, rows_max: PAGE_ROWS_MAX, bytes_max: usize::MAX }
    }

    /// Never more than some rows a page.
    pub(crate) fn fixed(rows: usize) -> Self {
        let rows = u32::try_from(rows).unwrap_or(PAGE_ROWS_MAX).clamp(1, PAGE_ROWS_MAX);
        Self {
            rows,
            bytes_target: crate::tuning::PAGE_BYTES_TARGET,
            ceiling: rows,
            rows_max: PAGE_ROWS_MAX,
            bytes_max: usize::MAX,
        }
    }

    /// Rows to ask for.
    pub(crate) fn rows(&self) -> u32 {
        self.rows.min(self.rows_max)
    }

    /// Rows that would fill a page, whatever a limited rate allows.
    pub(crate) fn wanted(&self) -> usize {
        self.rows as usize
    }

    /// No more rows and bytes than that, until told otherwise.
    pub(crate) fn limit(&mut self, (rows_max, bytes_max): (u32, usize)) {
        // Rows that were asked for under the former limit in bytes may be too many now.
        if bytes_max < self.bytes() {
            let shrunk = u64::from(self.rows) * bytes_max as u64 / self.bytes() as u64;
            self.rows = u32::try_from(shrunk).unwrap_or(self.rows).max(1);
        }
        (self.rows_max, self.bytes_max) = (rows_max.max(1), bytes_max);
    }

    /// At least so many rows, if pages of as many were not refused.
    pub(crate) fn at_least(&mut self, rows: usize) {
        let rows = u32::try_from(rows).unwrap_or(PAGE_ROWS_MAX);
        self.rows = self.rows.max(rows).clamp(1, self.ceiling);
    }

    /// Bytes that the next page will have, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes_target.min(self.bytes_max)
    }

    /// A page came.
    pub(crate) fn came(&mut self, rows: usize, bytes: usize) {
        if rows == 0 {
            return;
        }
        let row_bytes = (bytes / rows).max(1);
        let fitting = u32::try_from(self.bytes() / row_bytes).unwrap_or(u32::MAX);
        let grown = self.rows.saturating_mul(GROWTH_MAX);
        self.ceiling = self.ceiling.saturating_add(self.ceiling / 8 + 1).min(PAGE_ROWS_MAX);
        self.rows = fitting.min(grown).clamp(1, self.ceiling);
    }

    /// Takes over what a copy of this learnt: that pages as large as these are refused.
    pub(crate) fn learn(&mut self, (before, after): (&Self, &Self)) {
        if after.ceiling < before.ceiling {
            self.ceiling = self.ceiling.min(after.ceiling);
            self.rows = self.rows.min(self.ceiling);
        }
    }

    /// A page was refused as too large. False if it was a single row already.
    pub(crate) fn refused(&mut self) -> bool {
        // Asked for were those that the rate allows.
        self.rows = self.rows();
        if self.rows <= 1 {
            return false;
        }
        self.rows /= 2;
        self.ceiling = self.rows;
        true
    }
}

#[cfg(test)]
mod tests {
    use vecferry_milvus::proto::schema::DataType;

    use super::*;

    fn column(data_type: DataType, dim: Option<u64>) -> FieldSpec {
        FieldSpec { name: String::new(), data_type, dim, ..FieldSpec::default() }
    }

    #[test]
    fn the_first_page_fits_what_is_known() {
        let vectors = [column(DataType::FloatVector, Some(32_768))];
        assert_eq!(PageSize::new(&vectors, 6 << 20).rows(), 48);
        let texts = [column(DataType::Int64, None), column(DataType::VarChar, None)];
        assert_eq!(PageSize::new(&texts, 6 << 20).rows(), FIRST_ROWS_MAX);
        assert_eq!(PageSize::new(&[column(DataType::Int64, None)], 6 << 20).rows(), PAGE_ROWS_MAX);
    }

    #[test]
    fn a_limited_rate_makes_pages_smaller_and_its_end_large_again() {
        let mut size = PageSize::new(&[column(DataType::Int64, None)], 6 << 20);
        size.limit((PAGE_ROWS_MAX, 1 << 20));
        assert_eq!((size.rows(), size.bytes()), (PAGE_ROWS_MAX / 6, 1 << 20));
        size.came(100, 100_000);
        assert_eq!(size.rows(), (1 << 20) / 1000);
        size.limit((10, usize::MAX));
        assert_eq!((size.rows(), size.bytes()), (10, 6 << 20));
        size.came(10, 10_000);
        assert_eq!(size.rows(), 10);
        size.limit((PAGE_ROWS_MAX, usize::MAX));
        size.came(10, 10_000);
        assert_eq!(size.rows(), (6 << 20) / 1000);
        size.limit((1, usize::MAX));
        assert!(!size.refused(), "a single row is no smaller page");
    }

    #[test]
    fn what_a_copy_was_refused_is_learnt() {
        let mut size = PageSize::new(&[column(DataType::Int64, None)], 6 << 20);
        let before = size.clone();
        let mut copy = size.clone();
        assert!(copy.refused());
        copy.came(10, 1000);
        size.learn((&before, &copy));
        size.at_least(usize::MAX);
        assert_eq!(size.rows(), PAGE_ROWS_MAX / 2 + PAGE_ROWS_MAX / 16 + 1);
        let (before, mut copy) = (size.clone(), size.clone());
        copy.came(10, 1000);
        size.learn((&before, &copy));
        assert_eq!(size.rows(), before.rows(), "nothing was refused");
    }

    #[test]
    fn sizes_adapt_down_and_up_again() {
        let mut size = PageSize::new(&[column(DataType::VarChar, None)], 1 << 20);
        for _ in 0..8 {
            size.came(size.rows() as usize, size.rows() as usize * 100);
        }
        assert_eq!(size.rows(), (1 << 20) / 100);
        assert!(size.refused());
        let halved = size.rows();
        assert_eq!(halved, (1 << 20) / 200);
        size.came(10, 1000);
        assert!(size.rows() > halved && size.rows() < (1 << 20) / 100);
        for _ in 0..20 {
            size.came(10, 1000);
        }
        assert_eq!(size.rows(), (1 << 20) / 100);
        size.came(1, 4 << 20);
        assert_eq!(size.rows(), 1);
        assert!(!size.refused());
    }
}
