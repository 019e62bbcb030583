//! Columns that a source has beside those it shows (`_metadata`): in a plan only where a query names one.

use std::sync::Arc;

use datafusion::common::{Result, TableReference};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableSource};
use millstream_engine::plan::hidden_columns;

/// The name of the hidden column there is.
pub(crate) const METADATA: &str = "_metadata";

/// A scan of the columns that `source` shows.
pub(crate) fn scan(name: impl Into<TableReference>, source: Arc<dyn TableSource>) -> Result<LogicalPlan> {
    let hidden = source_as_provider(&source).map(|table| hidden_columns(table.as_ref())).unwrap_or_default();
    let shown = (!hidden.is_empty()).then(|| (0..hidden.start).collect());
    LogicalPlanBuilder::scan(name, source, shown)?.build()
}

/// A relation of SQL, a scan under whatever names, with the hidden columns after those it shows. `None` where there are
/// none; what is hidden in a view or subquery stays there.
pub(crate) fn reveal_in_relation(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => match reveal_in_relation(&alias.input)? {
            Some(input) => LogicalPlanBuilder::from(input).alias(alias.alias.clone())?.build().map(Some),
            None => Ok(None),
        },
        LogicalPlan::TableScan(scan) => {
            let hidden = source_as_provider(&scan.source).map(|table| hidden_columns(table.as_ref()));
            match hidden {
                Ok(hidden) if !hidden.is_empty() => {
                    let all = Some((0..hidden.end).collect());
                    LogicalPlanBuilder::scan(scan.table_name.clone(), Arc::clone(&scan.source), all)?.build().map(Some)
                }
                _ => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

/// A frame's plan with the hidden columns of the source it was made from, through filters and selections.
pub(crate) fn reveal_in_frame(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    if plan.schema().fields().iter().any(|field| field.name() == METADATA) {
        return Ok(Some(plan.clone()));
    }
    match plan {
        LogicalPlan::SubqueryAlias(alias) => match reveal_in_frame(&alias.input)? {
            Some(input) => LogicalPlanBuilder::from(input).alias(alias.alias.clone())?.build().map(Some),
            None => Ok(None),
        },
        LogicalPlan::Filter(filter) => match reveal_in_frame(&filter.input)? {
            Some(input) => LogicalPlanBuilder::from(input).filter(filter.predicate.clone())?.build().map(Some),
            None => Ok(None),
        },
        LogicalPlan::Projection(projection) => match reveal_in_frame(&projection.input)? {
            Some(input) => {
                let hidden = input.schema().columns().into_iter().filter(|column| column.name == METADATA);
                let exprs: Vec<Expr> = projection.expr.iter().cloned().chain(hidden.map(Expr::Column)).collect();
                LogicalPlanBuilder::from(input).project(exprs)?.build().map(Some)
            }
            None => Ok(None),
        },
        other => reveal_in_relation(other),
    }
}

/// Whether `expr` names a hidden column.
pub(crate) fn names_hidden(expr: &Expr) -> bool {
    expr.column_refs().iter().any(|column| column.name.eq_ignore_ascii_case(METADATA))
}

/// Whether an expression's text could name one.
pub(crate) fn names_hidden_in_sql(text: &str) -> bool {
    text.to_ascii_lowercase().contains(METADATA)
}
