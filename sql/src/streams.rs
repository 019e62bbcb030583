//! What SQL's stream clauses mean in this session: `STREAM t`, `WATERMARK`, `DISTINCT ON`, `window`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit, SchemaRef};
use datafusion::common::{Column, Result as DfResult, ScalarValue, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use millstream_engine::options::Options;
use millstream_engine::plan::{TimeWindowNode, WatermarkNode, WindowKind, Windows, has_streams};
use millstream_engine::source::SourceSpec;
use millstream_engine::stateful::DeduplicateNode;
use millstream_engine::{Error, Result};
use sqlparser::ast;

use crate::catalog::{Catalog, Entry, QueryStreams, Table};
use crate::dialect::{SqlQuery, StreamCatalog, TimeWindow, parse_interval};
use crate::hidden_columns;
use crate::session::StreamSession;

/// The session's streams as one query sees them.
#[derive(Debug)]
pub(crate) struct SessionStreams {
    catalog: Catalog,
    /// The columns of the tables that the query names, read as streams: asked for before planning, which does not wait.
    schemas: HashMap<String, Result<SchemaRef>>,
    streams: QueryStreams,
}

impl SessionStreams {
    /// Looks up what `query` may read as a stream.
    pub(crate) async fn of_query(session: &StreamSession, query: &SqlQuery) -> Self {
        let mut names = Vec::new();
        let _ = ast::visit_relations(query.ast.as_ref(), |name| {
            names.extend(name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase()));
            std::ops::ControlFlow::<()>::Continue(())
        });
        let conf = session.conf();
        let mut schemas = HashMap::new();
        for name in names {
            if let Some(Entry::Table(table)) = session.catalog().get(&name)
                && session.registry().has_source(&table.connector)
            {
                schemas.insert(name, table.schema(session.registry(), &conf, true).await);
            }
        }
        Self { catalog: session.catalog().clone(), schemas, streams: QueryStreams::default() }
    }

    fn table_plan(&self, table: &Table, name: &TableReference, options: &[(String, String)]) -> Result<LogicalPlan> {
        let schema = match self.schemas.get(&table.name.to_lowercase()) {
            Some(schema) => schema.clone()?,
            None => {
                return Err(Error::unsupported(format!(
                    "the table {} of the {} connector cannot be read as a stream",
                    table.name, table.connector
                )));
            }
        };
        let mut all = table.options.clone();
        for (key, value) in options {
            all.set(key, value);
        }
        let idle_timeout_ms = take_idle_timeout_ms(&mut all)?;
        let options = self.catalog.conf().with_option_defaults(&table.connector, all);
        let spec = SourceSpec { connector: table.connector.clone(), options, schema };
        let stream = self.streams.stream(spec, idle_timeout_ms, self.catalog.registry());
        let source = provider_as_source(Arc::new(stream));
        Ok(hidden_columns::scan(name.clone(), source)?)
    }
}

impl StreamCatalog for SessionStreams {
    fn stream_plan(&self, name: &TableReference, options: &[(String, String)]) -> DfResult<LogicalPlan> {
        match self.catalog.get(name.table()) {
            Some(Entry::Table(table)) => Ok(self.table_plan(&table, name, options)?),
            Some(Entry::View { plan, .. }) if has_streams(&plan) && options.is_empty() => Ok(plan.as_ref().clone()),
            Some(Entry::View { name, .. }) if options.is_empty() => Err(Error::invalid(format!(
                "the view {name} reads no stream: write STREAM before the tables inside the view"
            ))
            .into()),
            Some(Entry::View { name, .. }) => {
                Err(Error::invalid(format!("the view {name} takes no options: give them to the tables inside it")).into())
            }
            None if self.catalog.result(name.table()).is_some() => Err(Error::unsupported(format!(
                "{name} is the result of a query, kept in memory, and cannot be read as a stream: write it to files instead"
            ))
            .into()),
            None => Err(self.catalog.not_found(name.table()).into()),
        }
    }

    fn watermark_plan(&self, input: LogicalPlan, column: &Column, delay_ms: i64) -> DfResult<LogicalPlan> {
        Ok(watermark(input, column, delay_ms)?)
    }

    fn deduplicate_plan(
        &self,
        input: LogicalPlan,
        columns: Vec<Column>,
        within_watermark: bool,
    ) -> DfResult<LogicalPlan> {
        Ok(deduplicate(input, columns, within_watermark)?)
    }

    fn window_plan(&self, input: LogicalPlan, window: &TimeWindow) -> DfResult<LogicalPlan> {
        Ok(time_window(input, window)?)
    }
}

/// `input` with its column `column` as event time. In a batch, where every row is there, a watermark means nothing.
pub(crate) fn watermark(input: LogicalPlan, column: &Column, delay_ms: i64) -> Result<LogicalPlan> {
    match has_streams(&input) {
        true => WatermarkNode::plan(input, column, delay_ms),
        false => Ok(input),
    }
}

/// The first row of `input` for each different value of `columns`; in a stream, with `within_watermark`, within the delay of
/// the watermark.
pub(crate) fn deduplicate(input: LogicalPlan, columns: Vec<Column>, within_watermark: bool) -> Result<LogicalPlan> {
    match (has_streams(&input), within_watermark) {
        (true, _) => Ok(DeduplicateNode::plan(input, columns, within_watermark)),
        (false, true) => Err(Error::invalid(
            "deduplication within the watermark is for streams: leave WITHIN WATERMARK out of a batch query, or use \
             drop_duplicates()",
        )),
        (false, false) => {
            let all: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
            let keys = columns.into_iter().map(Expr::Column).collect();
            Ok(LogicalPlanBuilder::from(input).distinct_on(keys, all, None)?.build()?)
        }
    }
}

/// `input` with a column of windows.
pub(crate) fn time_window(input: LogicalPlan, window: &TimeWindow) -> Result<LogicalPlan> {
    let function = if window.is_session { "session_window" } else { "window" };
    let (Some(time), lengths) = (window.arguments.first().cloned(), window.arguments.get(1..).unwrap_or_default())
    else {
        return Err(Error::invalid(format!("{function} needs a time column")));
    };
    let kind = match (window.is_session, lengths) {
        (true, [gap]) => WindowKind::Session(session_gap(gap, &input)?),
        (true, _) => {
            return Err(Error::invalid("session_window takes a time and a gap: session_window(ts, '5 minutes')"));
        }
        (false, [size]) => {
            let size = length_micros(size)?;
            WindowKind::Fixed(Windows::try_new(size, size, 0)?)
        }
        (false, [size, slide]) => WindowKind::Fixed(Windows::try_new(length_micros(size)?, length_micros(slide)?, 0)?),
        (false, [size, slide, start]) => {
            WindowKind::Fixed(Windows::try_new(length_micros(size)?, length_micros(slide)?, length_micros(start)?)?)
        }
        (false, _) => {
            return Err(Error::invalid(
                "window takes a time, a size, and perhaps a slide and a start: window(ts, '10 minutes', '5 minutes')",
            ));
        }
    };
    TimeWindowNode::plan(input, time, kind, window.name.clone())
}

/// The option of a source that says after what time without rows it no longer holds watermarks back.
const IDLE_TIMEOUT: &str = "watermarkIdleTimeout";

/// Takes [`IDLE_TIMEOUT`] off the options of a source, in milliseconds: it is not the connector's.
///
/// # Errors
/// `Invalid` where it is no interval, or not positive.
pub(crate) fn take_idle_timeout_ms(options: &mut Options) -> Result<Option<u64>> {
    let Some(text) = options.remove(IDLE_TIMEOUT) else { return Ok(None) };
    let says = |why: &str| Error::invalid(format!("option {IDLE_TIMEOUT} is '{text}': {why}"));
    let timeout_ms = parse_interval(&text).map_err(|why| says(&why))?.delay_ms();
    match timeout_ms.and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms > 0) {
        Some(timeout_ms) => Ok(Some(timeout_ms)),
        None => Err(says("expected a positive interval such as '30 seconds'")),
    }
}

/// A length of `window` in microseconds: the text of an interval, or an interval.
fn length_micros(length: &Expr) -> Result<i64> {
    let shown = match length.clone().unalias() {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => text,
        Expr::Literal(value, _) => value.to_string(),
        other => other.to_string(),
    };
    let says = |what: &str| {
        Err(Error::invalid(format!(
            "the size, slide and start of window must be intervals such as '5 minutes', but '{shown}' {what}"
        )))
    };
    match length.clone().unalias() {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => match parse_interval(&text) {
            Ok(interval) if interval.months != 0 => says("has months, whose length is not fixed"),
            Ok(interval) => Ok(interval.micros),
            Err(why) => says(&format!("is none: {why}")),
        },
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) => match interval.months {
            0 => Ok(i64::from(interval.days) * 86_400_000_000 + interval.nanoseconds / 1000),
            _ => says("has months, whose length is not fixed"),
        },
        Expr::Literal(ScalarValue::DurationMicrosecond(Some(micros)), _) => Ok(micros),
        Expr::Literal(ScalarValue::Int64(Some(micros)), _) => Ok(micros),
        Expr::Literal(..) => says("is none"),
        _ => says("is not constant"),
    }
}

/// The gap of a session as an interval: given as one, as its text, or by an expression of either type for each row.
fn session_gap(gap: &Expr, input: &LogicalPlan) -> Result<Expr> {
    let months_days_nanos = DataType::Interval(IntervalUnit::MonthDayNano);
    if let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = gap.clone().unalias() {
        let interval = parse_interval(&text).map_err(|why| {
            Error::invalid(format!(
                "the gap of session_window must be an interval such as '5 minutes', but '{text}' is none: {why}"
            ))
        })?;
        let months = i32::try_from(interval.months).unwrap_or(i32::MAX);
        let value = IntervalMonthDayNano::new(months, 0, interval.micros.saturating_mul(1000));
        return Ok(Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(value)), None));
    }
    match gap.get_type(input.schema())? {
        found if found == months_days_nanos => Ok(gap.clone()),
        DataType::Utf8 | DataType::Duration(_) | DataType::Interval(_) => {
            Ok(Expr::Cast(datafusion::logical_expr::Cast::new(Box::new(gap.clone()), months_days_nanos)))
        }
        found => {
            let shown = match gap.clone().unalias() {
                Expr::Literal(value, _) => value.to_string(),
                other => other.to_string(),
            };
            Err(Error::invalid(format!(
                "the gap of session_window must be an interval such as '5 minutes', but '{shown}' is {found}"
            )))
        }
    }
}
