//! Aggregates as a plan runs them, under names that are the same in the next run: the state's columns are called by them.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DFSchema, Result};
use datafusion_expr::Expr;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder};
use datafusion_session::Session;

/// Aggregates, each with its filter.
type Lowered = (Vec<Arc<AggregateFunctionExpr>>, Vec<Option<Arc<dyn PhysicalExpr>>>);

/// The physical aggregates of `exprs` over rows with the columns `logical`, which are `schema`.
pub(in crate::stateful) fn lowered(
    exprs: &[Expr],
    logical: &DFSchema,
    schema: &SchemaRef,
    session: &dyn Session,
    context: &PhysicalPlanningContext,
) -> Result<Lowered> {
    let (mut aggregates, mut filters) = (Vec::with_capacity(exprs.len()), Vec::with_capacity(exprs.len()));
    let mut names = HashSet::new();
    for expr in exprs {
        let mut builder = LoweredAggregateBuilder::new(expr, logical, schema, session.execution_props(), context);
        if let Some(mut name) = lasting_name(expr)? {
            while !names.insert(name.clone()) {
                name.push('#');
            }
            builder = builder.with_name(name);
        }
        let lowered = builder.build()?;
        aggregates.push(lowered.aggregate);
        filters.push(lowered.filter);
    }
    Ok((aggregates, filters))
}

/// The name of `expr` without the relations in it that are only numbered, as `json#2` is: the number counts what has been
/// loaded before in this process. `None` where there are none.
fn lasting_name(expr: &Expr) -> Result<Option<String>> {
    let renamed = expr.clone().transform(|expr| match expr {
        Expr::Column(column) if column.relation.as_ref().is_some_and(|relation| relation.table().contains('#')) => {
            Ok(Transformed::yes(Expr::Column(Column::new_unqualified(column.name))))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(renamed.transformed.then(|| renamed.data.schema_name().to_string()))
}
