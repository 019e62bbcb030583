//! `INSERT INTO`: a stream into a declared table starts a query; other rows are added at once.

use std::sync::{Arc, PoisonError};

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use millstream_engine::plan::has_streams;
use millstream_engine::{Error, Result};

use super::{Outcome, plain_name};
use crate::batch_writer::write_batch;
use crate::catalog::Table;
use crate::dataframe::DataFrame;
use crate::dialect::{Name, SqlQuery};
use crate::expressions::Semantics;
use crate::session::StreamSession;
use crate::writer::{Start, check_not_written, table_sink};

pub(super) async fn insert(
    session: &StreamSession,
    name: &Name,
    columns: &[String],
    query: &SqlQuery,
) -> Result<Outcome> {
    let table = session.catalog().table(plain_name(name)?)?;
    session.registry().sink(&table.connector)?;
    let plan = fit_columns(session, session.plan(query).await?, &table, columns)?;
    if !has_streams(&plan) {
        insert_rows(session, plan, &table).await?;
        return Ok(Outcome::Done);
    }
    check_not_written(session, &table.name)?;
    let mut start = Start::new(plan, table_sink(&table), &table.writer_options)?;
    start.name.get_or_insert_with(|| table.name.clone());
    Ok(Outcome::Started(start.start(session).await?))
}

async fn insert_rows(session: &StreamSession, plan: LogicalPlan, table: &Table) -> Result<()> {
    let Some(rows) = &table.rows else {
        write_batch(session, &plan, &table.connector, table.options.clone(), table.partition_by.clone()).await?;
        return Ok(());
    };
    let schema = table.columns.clone().ok_or_else(|| {
        Error::invalid(format!("table {} has no columns: declare them in CREATE TABLE to insert rows", table.name))
    })?;
    let new = DataFrame::new(session.clone(), plan).collect().await?;
    let new = new.into_iter().map(|batch| batch.with_schema(Arc::clone(&schema)));
    let new = new.collect::<Result<Vec<_>, _>>().map_err(|e| Error::invalid(format!("table {}: {e}", table.name)))?;
    rows.lock().unwrap_or_else(PoisonError::into_inner).extend(new);
    Ok(())
}

/// `plan` with the columns of `table`: by position, or by the names given; those not named are NULL.
pub(crate) fn fit_columns(
    session: &StreamSession,
    plan: LogicalPlan,
    table: &Table,
    named: &[String],
) -> Result<LogicalPlan> {
    let Some(declared) = &table.columns else {
        return match named {
            [] => Ok(plan),
            _ => {
                Err(Error::invalid(format!("table {} declares no columns: leave the list of columns out", table.name)))
            }
        };
    };
    let targets = targets(declared, named, table)?;
    let given = plan.schema().columns();
    let expected = targets.iter().filter(|target| target.is_some()).count();
    if given.len() != expected {
        return Err(Error::invalid(format!(
            "INSERT INTO {}: the query has {} columns, the table takes {expected}",
            table.name,
            given.len()
        )));
    }
    let zone: Arc<str> = session.conf().get("spark.sql.session.timeZone").unwrap_or_default().into();
    let schema = Arc::clone(plan.schema());
    let semantics = Semantics::new(&schema, &zone);
    let exprs = declared.fields().iter().zip(targets).map(|(field, from)| {
        let expr = match from.and_then(|position| given.get(position)) {
            Some(column) => {
                store(&semantics, Expr::Column(column.clone()), field.data_type(), &table.name, field.name())?
            }
            None => Expr::Literal(ScalarValue::try_from(field.data_type())?, None),
        };
        Ok(expr.alias(field.name()))
    });
    let exprs = exprs.collect::<Result<Vec<_>>>()?;
    Ok(LogicalPlanBuilder::from(plan).project(exprs)?.build()?)
}

/// For each column of the table, which column of the query goes into it.
fn targets(declared: &SchemaRef, named: &[String], table: &Table) -> Result<Vec<Option<usize>>> {
    if named.is_empty() {
        return Ok((0..declared.fields().len()).map(Some).collect());
    }
    let mut targets = vec![None; declared.fields().len()];
    for (from, name) in named.iter().enumerate() {
        let position = declared.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name));
        match position {
            None => {
                let names: Vec<&str> = declared.fields().iter().map(|field| field.name().as_str()).collect();
                return Err(Error::invalid(format!(
                    "INSERT INTO {}: there is no column {name}; there are {}",
                    table.name,
                    names.join(", ")
                )));
            }
            Some(position) if targets[position].is_some() => {
                return Err(Error::invalid(format!("INSERT INTO {}: column {name} is named twice", table.name)));
            }
            Some(position) => targets[position] = Some(from),
        }
    }
    Ok(targets)
}

/// Spark's assignment to a column: a cast, unless the types have nothing to do with each other.
fn store(semantics: &Semantics<'_>, expr: Expr, to: &DataType, table: &str, column: &str) -> Result<Expr> {
    let from = semantics.type_of(&expr)?;
    let refused = match (&from, to) {
        (from, to) if from == to => return Ok(expr),
        (DataType::Utf8, to) => {
            to.is_numeric() || matches!(to, DataType::Boolean | DataType::Timestamp(..) | DataType::Date32)
        }
        (DataType::Boolean, to) => to.is_numeric(),
        (from, DataType::Boolean) => from.is_numeric(),
        _ => false,
    };
    if refused {
        let name = millstream_formats::ddl::sql_type_name;
        return Err(Error::invalid(format!(
            "[INCOMPATIBLE_DATA_FOR_TABLE.CANNOT_SAFELY_CAST] Cannot write incompatible data for the table {table}: Cannot safely cast `{column}` \"{}\" to \"{}\": write a CAST",
            name(&from),
            name(to)
        )));
    }
    Ok(semantics.explicit_cast(expr, to, false)?)
}
