//! Event time and repetitions: what only streams have of [`DataFrame`]'s methods.

use datafusion::common::Column;
use millstream_engine::{Error, Result};

use crate::columns::find_column;
use crate::dataframe::DataFrame;
use crate::dialect::parse_interval;
use crate::streams;

impl DataFrame {
    /// This frame with its column `column` as event time. Rows may be late by `delay`, an interval such as `10 minutes`; a
    /// month has 31 days. In a batch frame it means nothing.
    ///
    /// # Errors
    /// `Invalid` where there is no such column, it is no time, or `delay` is no interval or negative.
    pub fn with_watermark(&self, column: &str, delay: &str) -> Result<Self> {
        let plan = self.logical_plan();
        let column = find_column(plan.schema(), None, column)?;
        let says =
            |why: String| Error::invalid(format!("the delay of the watermark on column '{}': {why}", column.name));
        let delay_ms = parse_interval(delay).map_err(says)?.delay_ms();
        let delay_ms = delay_ms.ok_or_else(|| says(format!("'{delay}' is too long")))?;
        self.over(streams::watermark(plan.clone(), &column, delay_ms)?)
    }

    /// The rows whose values in `columns` no row before them had; in all columns, where none are named. In a stream, keys are
    /// remembered until the watermark passes them where the event time is one of them, and for ever otherwise.
    ///
    /// # Errors
    /// `Invalid` for a column that does not exist.
    pub fn drop_duplicates<T: AsRef<str>>(&self, columns: impl IntoIterator<Item = T>) -> Result<Self> {
        self.deduplicated(columns, false)
    }

    /// The rows whose values in `columns` no row had that came within the delay of the watermark before them; in all columns,
    /// where none are named. Repetitions that come later than that may be dropped too.
    ///
    /// # Errors
    /// As [`drop_duplicates`](Self::drop_duplicates), for a batch frame, and when a query starts, for a stream without a
    /// watermark.
    pub fn drop_duplicates_within_watermark<T: AsRef<str>>(
        &self,
        columns: impl IntoIterator<Item = T>,
    ) -> Result<Self> {
        self.deduplicated(columns, true)
    }

    /// The rows without repetitions.
    ///
    /// # Errors
    /// Never for a frame that could be made.
    pub fn distinct(&self) -> Result<Self> {
        self.drop_duplicates(Vec::<String>::new())
    }

    fn deduplicated<T: AsRef<str>>(
        &self,
        columns: impl IntoIterator<Item = T>,
        within_watermark: bool,
    ) -> Result<Self> {
        let plan = self.logical_plan();
        let named = columns.into_iter().map(|name| find_column(plan.schema(), None, name.as_ref()));
        let mut keys: Vec<Column> = named.collect::<Result<_>>()?;
        if keys.is_empty() {
            keys = plan.schema().columns();
        }
        self.over(streams::deduplicate(plan.clone(), keys, within_watermark)?)
    }
}
