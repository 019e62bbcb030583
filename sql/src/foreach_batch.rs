//! `foreach_batch`: a closure that is given every batch as a [`DataFrame`] whose rows are there.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::MemTable;
use datafusion::common::{Column, DataFusionError, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use millstream_engine::sink::{BatchRows, Delivery, Sink};
use millstream_engine::{Error, ErrorKind, Result};

use crate::dataframe::DataFrame;
use crate::session::StreamSession;

/// What a user's closure fails with: any error, by its message.
#[derive(Debug)]
pub struct ForeachBatchError(Error);

impl From<Error> for ForeachBatchError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<String> for ForeachBatchError {
    fn from(message: String) -> Self {
        Self(Error::invalid(message))
    }
}

impl From<&str> for ForeachBatchError {
    fn from(message: &str) -> Self {
        Self(Error::invalid(message))
    }
}

impl From<std::io::Error> for ForeachBatchError {
    fn from(error: std::io::Error) -> Self {
        Self(Error::unavailable(error.to_string()).with_source(error))
    }
}

impl From<Box<dyn std::error::Error + Send + Sync>> for ForeachBatchError {
    fn from(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        match error.downcast::<Error>() {
            Ok(ours) => Self(*ours),
            Err(other) => Self(Error::invalid(other.to_string())),
        }
    }
}

type Call = dyn Fn(DataFrame, u64) -> Pin<Box<dyn Future<Output = Result<(), ForeachBatchError>> + Send>> + Send + Sync;

/// The sink that calls the closure.
pub(crate) struct ForeachBatchSink {
    session: StreamSession,
    call: Box<Call>,
}

impl ForeachBatchSink {
    pub(crate) fn new<F, R, E>(session: StreamSession, call: F) -> Self
    where
        F: Fn(DataFrame, u64) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<ForeachBatchError> + 'static,
    {
        let call = move |rows: DataFrame, batch_id: u64| {
            let running = call(rows, batch_id);
            Box::pin(async move { running.await.map_err(Into::into) }) as Pin<Box<dyn Future<Output = _> + Send>>
        };
        Self { session, call: Box::new(call) }
    }
}

impl fmt::Debug for ForeachBatchSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForeachBatchSink")
    }
}

#[async_trait]
impl Sink for ForeachBatchSink {
    fn description(&self) -> String {
        "ForeachBatchSink".to_string()
    }

    fn delivery(&self) -> Delivery {
        Delivery::Rows
    }

    async fn accept(&self, batch: BatchRows) -> Result<()> {
        let (batch_id, schema) = (batch.batch_id, Arc::clone(&batch.schema));
        let plan = plan_of_rows(&schema, batch.into_rows())?;
        let outcome = (self.call)(DataFrame::new(self.session.clone(), plan), batch_id).await;
        outcome.map_err(|ForeachBatchError(error)| user_error(&error, batch_id))
    }
}

/// The rows as a frame's plan. Columns of the same name are told apart by their qualifiers, as those of two tables are.
pub(crate) fn plan_of_rows(schema: &SchemaRef, rows: Vec<RecordBatch>) -> Result<LogicalPlan> {
    let names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
    let nth = |at: usize| names[..at].iter().filter(|name| **name == names[at]).count();
    if (0..names.len()).all(|at| nth(at) == 0) {
        let table = MemTable::try_new(Arc::clone(schema), vec![rows])?;
        return Ok(LogicalPlanBuilder::scan("batch", provider_as_source(Arc::new(table)), None)?.build()?);
    }
    let numbered = |(at, field): (usize, &FieldRef)| field.as_ref().clone().with_name(format!("{at}"));
    let unique = Arc::new(Schema::new(schema.fields().iter().enumerate().map(numbered).collect::<Vec<_>>()));
    let renamed = |batch: RecordBatch| {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&unique), batch.columns().to_vec(), &options)
    };
    let rows: Result<Vec<RecordBatch>, _> = rows.into_iter().map(renamed).collect();
    let rows = rows.map_err(DataFusionError::from)?;
    let table = MemTable::try_new(Arc::clone(&unique), vec![rows])?;
    let named = names.iter().enumerate().map(|(at, name)| {
        let qualifier = match nth(at) {
            0 => "batch".to_string(),
            nth => format!("batch#{nth}"),
        };
        Expr::Column(Column::new(Some("batch"), format!("{at}")))
            .alias_qualified(Some(TableReference::bare(qualifier)), name.as_str())
    });
    let scan = LogicalPlanBuilder::scan("batch", provider_as_source(Arc::new(table)), None)?;
    Ok(scan.project(named)?.build()?)
}

/// The user's message, said to be the user's. What kind of error it is stays: `Unavailable` is worth another try.
fn user_error(error: &Error, batch_id: u64) -> Error {
    let kind = match error.kind() {
        ErrorKind::Internal => ErrorKind::Invalid,
        kind => kind,
    };
    let message = format!(
        "[FOREACH_BATCH_USER_FUNCTION_ERROR] the function given to foreach_batch failed in batch {batch_id}: {}",
        error.message()
    );
    Error::new(kind, message).with_source(error.clone())
}
