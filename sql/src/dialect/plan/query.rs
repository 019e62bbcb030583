//! Whole queries: `WITH`, set operations, `VALUES`, `ORDER BY`, `LIMIT`.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, SortExpr, col};
use sqlparser::ast::{self, LimitClause, OrderByKind, SetExpr, SetOperator, SetQuantifier};

use super::scope::Scope;
use super::{Env, Planner, unsupported};
use crate::expressions::{Semantics, sql_type_name};

impl Planner<'_> {
    pub(super) fn query(&self, query: &ast::Query, env: &Env<'_>) -> Result<LogicalPlan> {
        refuse_foreign_clauses(query)?;
        let env = &self.with_ctes(query.with.as_ref(), env)?;
        let order_by = query.order_by.as_ref();
        let plan = match query.body.as_ref() {
            SetExpr::Select(select) => self.select(select, order_by, env)?,
            body => {
                let plan = self.set_expr(body, env)?;
                self.order_output(plan, order_by, env)?
            }
        };
        self.limit(plan, query, env)
    }

    fn with_ctes<'e>(&self, with: Option<&ast::With>, env: &Env<'e>) -> Result<Env<'e>> {
        let mut env = env.clone();
        let Some(with) = with else { return Ok(env) };
        if with.recursive {
            return Err(unsupported("WITH RECURSIVE is not supported"));
        }
        for cte in &with.cte_tables {
            let plan = self.query(&cte.query, &env)?;
            let columns: Vec<String> = cte.alias.columns.iter().map(|column| column.name.value.clone()).collect();
            let plan = if columns.is_empty() { plan } else { rename_columns(plan, &columns)? };
            env.ctes.insert(cte.alias.name.value.to_lowercase(), Arc::new(plan));
        }
        Ok(env)
    }

    fn set_expr(&self, body: &SetExpr, env: &Env<'_>) -> Result<LogicalPlan> {
        match body {
            SetExpr::Select(select) => self.select(select, None, env),
            SetExpr::Query(query) => self.query(query, env),
            SetExpr::Values(values) => self.values(values, env),
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                let (left, right) = (self.set_expr(left, env)?, self.set_expr(right, env)?);
                self.set_operation(left, *op, *set_quantifier, right)
            }
            SetExpr::Table(table) => {
                let name = table.table_name.clone().unwrap_or_default();
                self.named_table(&[name], env)
            }
            other => Err(unsupported(format!("'{other}' is not supported in a query"))),
        }
    }

    fn set_operation(
        &self,
        left: LogicalPlan,
        op: SetOperator,
        quantifier: SetQuantifier,
        right: LogicalPlan,
    ) -> Result<LogicalPlan> {
        let by_name =
            matches!(quantifier, SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName);
        if by_name {
            return Err(unsupported("BY NAME is not supported: give the columns of both sides in the same order"));
        }
        let all = quantifier == SetQuantifier::All;
        let (left, right) = self.same_columns(left, right, &op.to_string())?;
        match op {
            SetOperator::Union if all => LogicalPlanBuilder::from(left).union(right)?.build(),
            SetOperator::Union => LogicalPlanBuilder::from(left).union(right)?.distinct()?.build(),
            SetOperator::Intersect => LogicalPlanBuilder::intersect(left, right, all),
            SetOperator::Except | SetOperator::Minus => LogicalPlanBuilder::except(left, right, all),
        }
    }

    /// Both sides with the left one's names and, column by column, one type.
    fn same_columns(&self, left: LogicalPlan, right: LogicalPlan, op: &str) -> Result<(LogicalPlan, LogicalPlan)> {
        let (ours, theirs) = (left.schema().fields().len(), right.schema().fields().len());
        if ours != theirs {
            return Err(DataFusionError::Plan(format!(
                "[NUM_COLUMNS_MISMATCH] {op} can only be performed on inputs with the same number of columns, but the first input has {ours} \
                 columns and the second input has {theirs} columns."
            )));
        }
        let mut sides = (Vec::new(), Vec::new());
        let (left_semantics, right_semantics) =
            (Semantics::new(left.schema(), &self.zone), Semantics::new(right.schema(), &self.zone));
        for nth in 0..ours {
            let ((left_qualifier, left_field), (right_qualifier, right_field)) =
                (left.schema().qualified_field(nth), right.schema().qualified_field(nth));
            let types = [left_field.data_type().clone(), right_field.data_type().clone()];
            let common =
                crate::expressions::common_type(&types[0], &types[1]).ok_or_else(|| incompatible(op, nth, &types))?;
            let left_column = Expr::Column(Column::new(left_qualifier.cloned(), left_field.name()));
            let right_column = Expr::Column(Column::new(right_qualifier.cloned(), right_field.name()));
            sides.0.push(left_semantics.cast(left_column, &common, false)?.alias(left_field.name()));
            sides.1.push(right_semantics.cast(right_column, &common, false)?.alias(left_field.name()));
        }
        Ok((
            LogicalPlanBuilder::from(left).project(sides.0)?.build()?,
            LogicalPlanBuilder::from(right).project(sides.1)?.build()?,
        ))
    }

    pub(super) fn values(&self, values: &ast::Values, env: &Env<'_>) -> Result<LogicalPlan> {
        let empty = LogicalPlanBuilder::empty(true).build()?;
        let scope = Scope::new(Vec::new(), Arc::clone(empty.schema()), env.outer);
        let semantics = Semantics::new(&scope.schema, &self.zone);
        let mut rows: Vec<Vec<Expr>> = Vec::new();
        for row in &values.rows {
            rows.push(row.content.iter().map(|expr| self.expr(expr, &scope)).collect::<Result<_>>()?);
        }
        let width = rows.first().map_or(0, Vec::len);
        if rows.iter().any(|row| row.len() != width) {
            return Err(DataFusionError::Plan(
                "[INVALID_INLINE_TABLE.NUM_COLUMNS_MISMATCH] the rows of VALUES have different lengths".to_string(),
            ));
        }
        for nth in 0..width {
            let types = rows.iter().map(|row| semantics.type_of(&row[nth])).collect::<Result<Vec<_>>>()?;
            let common = semantics.common_type(&types, "VALUES")?;
            for row in &mut rows {
                let value = std::mem::take(&mut row[nth]);
                row[nth] = semantics.cast(value, &common, false)?;
            }
        }
        let plan = LogicalPlanBuilder::values(rows)?.build()?;
        rename_columns(plan, &(1..=width).map(|nth| format!("col{nth}")).collect::<Vec<_>>())
    }

    /// `ORDER BY` over the output of a set operation: its columns, by name or number.
    fn order_output(&self, plan: LogicalPlan, order_by: Option<&ast::OrderBy>, env: &Env<'_>) -> Result<LogicalPlan> {
        let Some(order_by) = order_by else { return Ok(plan) };
        let columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        let mut scope = Scope::of_schema(plan.schema());
        scope.outer = env.outer;
        let sorts = self.sort_keys(order_by, &columns, &scope)?;
        LogicalPlanBuilder::from(plan).sort(sorts)?.build()
    }

    /// The keys of an `ORDER BY`; a number means the column of the output at that place.
    pub(super) fn sort_keys(
        &self,
        order_by: &ast::OrderBy,
        output: &[Expr],
        scope: &Scope<'_>,
    ) -> Result<Vec<SortExpr>> {
        let keys = match &order_by.kind {
            OrderByKind::All(options) => {
                return Ok(output.iter().map(|expr| sort_key(expr.clone(), *options)).collect());
            }
            OrderByKind::Expressions(keys) => keys,
        };
        keys.iter()
            .map(|key| {
                let expr = match ordinal(&key.expr) {
                    Some(nth) => at_ordinal(output, nth, "ORDER")?.clone(),
                    None => self.expr(&key.expr, scope)?,
                };
                Ok(sort_key(expr, key.options))
            })
            .collect()
    }

    fn limit(&self, plan: LogicalPlan, query: &ast::Query, env: &Env<'_>) -> Result<LogicalPlan> {
        let (limit, offset) = match &query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
            None => (None, None),
        };
        if limit.is_none() && offset.is_none() {
            return Ok(plan);
        }
        let row_count = |expr: Option<&ast::Expr>| expr.map(|expr| self.row_count(expr, env)).transpose();
        let (limit, offset) = (row_count(limit)?, row_count(offset)?);
        LogicalPlanBuilder::from(plan).limit(offset.unwrap_or(0), limit)?.build()
    }

    /// A constant number of rows.
    fn row_count(&self, expr: &ast::Expr, env: &Env<'_>) -> Result<usize> {
        let empty = LogicalPlanBuilder::empty(true).build()?;
        let scope = Scope::new(Vec::new(), Arc::clone(empty.schema()), env.outer);
        let value = match self.expr(expr, &scope)? {
            Expr::Literal(ScalarValue::Int32(Some(value)), _) => Some(i64::from(value)),
            Expr::Literal(ScalarValue::Int64(Some(value)), _) => Some(value),
            _ => None,
        };
        value.and_then(|value| usize::try_from(value).ok()).ok_or_else(|| {
            DataFusionError::Plan(format!(
                "[INVALID_LIMIT_LIKE_EXPRESSION] a limit or offset must be a whole number, not '{expr}'"
            ))
        })
    }
}

fn incompatible(op: &str, nth: usize, [ours, theirs]: &[DataType; 2]) -> DataFusionError {
    DataFusionError::Plan(format!(
        "[INCOMPATIBLE_COLUMN_TYPE] {op} can only be performed on tables with compatible column types. Column {} of the second table is of \
         \"{}\" type which is not compatible with \"{}\" at the same column of the first table.",
        nth + 1,
        sql_type_name(theirs),
        sql_type_name(ours)
    ))
}

/// The same rows under other names.
pub(super) fn rename_columns(plan: LogicalPlan, names: &[String]) -> Result<LogicalPlan> {
    let columns = plan.schema().columns();
    if columns.len() != names.len() {
        return Err(DataFusionError::Plan(format!(
            "[ASSIGNMENT_ARITY_MISMATCH] {} names are given for {} columns",
            names.len(),
            columns.len()
        )));
    }
    let renamed = columns.into_iter().zip(names).map(|(column, name)| Expr::Column(column).alias(name));
    LogicalPlanBuilder::from(plan).project(renamed.collect::<Vec<_>>())?.build()
}

/// A sort key; nulls come first when ascending and last when descending, unless said otherwise.
pub(super) fn sort_key(expr: Expr, options: ast::OrderByOptions) -> SortExpr {
    let asc = options.asc.unwrap_or(true);
    SortExpr::new(expr, asc, options.nulls_first.unwrap_or(asc))
}

/// The number of `ORDER BY 2` and `GROUP BY 2`.
pub(super) fn ordinal(expr: &ast::Expr) -> Option<usize> {
    match expr {
        ast::Expr::Value(ast::ValueWithSpan { value: ast::Value::Number(number, _), .. }) => number.parse().ok(),
        _ => None,
    }
}

/// The output's column of that number, from 1.
pub(super) fn at_ordinal<'e>(output: &'e [Expr], nth: usize, clause: &str) -> Result<&'e Expr> {
    nth.checked_sub(1).and_then(|at| output.get(at)).ok_or_else(|| {
        let message = format!(
            "[{clause}_BY_POS_OUT_OF_RANGE] {clause} BY position {nth} is not in the select list: it has {} columns",
            output.len()
        );
        DataFusionError::Plan(message)
    })
}

fn refuse_foreign_clauses(query: &ast::Query) -> Result<()> {
    let is_foreign = query.fetch.is_some()
        || !query.locks.is_empty()
        || query.for_clause.is_some()
        || query.settings.is_some()
        || query.format_clause.is_some()
        || !query.pipe_operators.is_empty();
    if is_foreign { Err(unsupported(format!("a clause of this query is not supported: {query}"))) } else { Ok(()) }
}

/// A column of a plan by its place.
pub(super) fn nth_column(plan: &LogicalPlan, nth: usize) -> Expr {
    let (qualifier, field) = plan.schema().qualified_field(nth);
    match qualifier {
        Some(_) => Expr::Column(Column::new(qualifier.cloned(), field.name())),
        None => col(Column::new_unqualified(field.name())),
    }
}
