//! `FROM`: tables, streams, subqueries, joins, lateral views.

use std::sync::Arc;

use datafusion::catalog::TableFunctionArgs;
use datafusion::common::{Column, DFSchema, DataFusionError, JoinType, Result, ScalarValue, TableReference};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use sqlparser::ast::{self, Join, JoinConstraint, JoinOperator, TableAlias, TableFactor, TableWithJoins};
use sqlparser::tokenizer::Span;

use super::query::rename_columns;
use super::scope::{Scope, ScopeColumn, columns_of, same};
use super::{Env, Planner, error_at, name_parts, table_key, table_reference, unsupported};
use crate::dialect::relations::{StreamRelation, WatermarkClause};
use crate::expressions::{Op, Semantics};
use crate::hidden_columns;

/// A plan and how its columns can be named.
pub(super) struct Relation {
    pub(super) plan: LogicalPlan,
    pub(super) columns: Vec<ScopeColumn>,
}

impl Relation {
    fn of_plan(plan: LogicalPlan) -> Self {
        let columns = columns_of(plan.schema());
        Self { plan, columns }
    }

    /// The same with the columns that its source hides, which `*` leaves out.
    fn revealed(plan: LogicalPlan) -> Result<Self> {
        let Some(revealed) = hidden_columns::reveal_in_relation(&plan)? else { return Ok(Self::of_plan(plan)) };
        let mut relation = Self::of_plan(revealed);
        let shown = plan.schema().fields().len();
        relation.columns.iter_mut().skip(shown).for_each(|column| column.is_source_hidden = true);
        Ok(relation)
    }

    /// `plan`, which has this relation's columns at its start.
    fn over(self, plan: LogicalPlan) -> Self {
        let mut relation = Self::of_plan(plan);
        for (column, before) in relation.columns.iter_mut().zip(self.columns) {
            column.is_source_hidden = before.is_source_hidden;
        }
        relation
    }

    /// Without the columns that its source hides.
    fn shown(self) -> Result<Self> {
        if self.columns.iter().all(|column| !column.is_source_hidden) {
            return Ok(self);
        }
        let shown = self.columns.into_iter().filter(|column| !column.is_source_hidden).map(|column| column.expr);
        Ok(Self::of_plan(LogicalPlanBuilder::from(self.plan).project(shown.collect::<Vec<_>>())?.build()?))
    }

    /// Its columns under one more name: a plain alias, or one with names for the columns.
    fn aliased(self, alias: &TableAlias) -> Result<Self> {
        let names: Vec<String> = alias.columns.iter().map(|column| column.name.value.clone()).collect();
        let renamed = match names.is_empty() {
            true => self,
            false => Self::of_plan(rename_columns(self.shown()?.plan, &names)?),
        };
        let name = TableReference::bare(alias.name.value.as_str());
        let plan = LogicalPlanBuilder::from(renamed.plan.clone()).alias(name)?.build()?;
        Ok(renamed.over(plan))
    }

    /// Its columns under no name, kept apart from those of other such relations by a number that nobody can write.
    fn nameless(self, number: usize) -> Result<Self> {
        let plan = LogicalPlanBuilder::from(self.plan).alias(TableReference::bare(format!("#{number}")))?.build()?;
        let mut relation = Self::of_plan(plan);
        relation.columns.iter_mut().for_each(|column| column.qualifier.clear());
        Ok(relation)
    }
}

impl Planner<'_> {
    pub(super) fn from(&self, from: &[TableWithJoins], env: &Env<'_>) -> Result<Relation> {
        let Some((first, rest)) = from.split_first() else {
            return Ok(Relation::of_plan(LogicalPlanBuilder::empty(true).build()?));
        };
        let mut relation = self.table_with_joins(first, env)?;
        for next in rest {
            let right = self.table_with_joins(next, env)?;
            relation = self.join(relation, right, JoinType::Inner, &JoinConstraint::None, env)?;
        }
        Ok(relation)
    }

    fn table_with_joins(&self, table: &TableWithJoins, env: &Env<'_>) -> Result<Relation> {
        let mut relation = self.factor(&table.relation, env)?;
        for Join { relation: right, join_operator, .. } in &table.joins {
            let right = self.factor(right, env)?;
            let (join_type, constraint) = match join_operator {
                JoinOperator::Join(on) | JoinOperator::Inner(on) | JoinOperator::CrossJoin(on) => (JoinType::Inner, on),
                JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => (JoinType::Left, on),
                JoinOperator::Right(on) | JoinOperator::RightOuter(on) => (JoinType::Right, on),
                JoinOperator::FullOuter(on) => (JoinType::Full, on),
                JoinOperator::Semi(on) | JoinOperator::LeftSemi(on) => (JoinType::LeftSemi, on),
                JoinOperator::Anti(on) | JoinOperator::LeftAnti(on) => (JoinType::LeftAnti, on),
                other => return Err(unsupported(format!("the join {other:?} is not supported"))),
            };
            relation = self.join(relation, right, join_type, constraint, env)?;
        }
        Ok(relation)
    }

    fn factor(&self, factor: &TableFactor, env: &Env<'_>) -> Result<Relation> {
        match factor {
            TableFactor::Table { name, alias, args, sample, .. } => {
                let clauses = StreamRelation::of_sample(sample.as_ref())?;
                let parts = name_parts(name);
                let plan = match args {
                    Some(args) => self.table_valued_function(&parts, args, env)?,
                    None if clauses.is_stream => {
                        let plan = self.streams()?.stream_plan(&table_reference(&parts), &clauses.options)?;
                        LogicalPlanBuilder::from(plan).alias(table_reference(&parts))?.build()?
                    }
                    None => self.named_table(&parts, env).map_err(|error| at_name(name, error))?,
                };
                let relation = match self.names_hidden {
                    true => Relation::revealed(plan)?,
                    false => Relation::of_plan(plan),
                };
                let relation = self.watermarked(relation, clauses.watermark.as_ref())?;
                match alias {
                    Some(alias) => relation.aliased(alias),
                    None => Ok(relation),
                }
            }
            TableFactor::Derived { subquery, alias, sample, lateral: false } => {
                let clauses = StreamRelation::of_sample(sample.as_ref())?;
                let relation = Relation::of_plan(self.query(subquery, env)?);
                let relation = self.watermarked(relation, clauses.watermark.as_ref())?;
                match alias {
                    Some(alias) => relation.aliased(alias),
                    None => relation.nameless(self.next_number()),
                }
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                let relation = self.table_with_joins(table_with_joins, env)?;
                match alias {
                    Some(alias) => relation.aliased(alias),
                    None => Ok(relation),
                }
            }
            other => Err(unsupported(format!("the relation '{other}' is not supported"))),
        }
    }

    /// A CTE or a table of the catalog, under its own name.
    pub(super) fn named_table(&self, parts: &[String], env: &Env<'_>) -> Result<LogicalPlan> {
        if let [name] = parts
            && let Some(cte) = env.ctes.get(&name.to_lowercase())
        {
            return LogicalPlanBuilder::from(cte.as_ref().clone()).alias(TableReference::bare(name.as_str()))?.build();
        }
        let Some(source) = self.tables.get(&table_key(parts)) else {
            let name: Vec<String> = parts.iter().map(|part| format!("`{part}`")).collect();
            return Err(DataFusionError::Plan(format!(
                "[TABLE_OR_VIEW_NOT_FOUND] The table or view {} cannot be found. Verify the spelling, or declare it with CREATE TABLE.",
                name.join(".")
            )));
        };
        hidden_columns::scan(table_reference(parts), Arc::clone(source))
    }

    /// `range(…)` and what else is registered.
    fn table_valued_function(
        &self,
        parts: &[String],
        args: &ast::TableFunctionArgs,
        env: &Env<'_>,
    ) -> Result<LogicalPlan> {
        let name = parts.join(".").to_lowercase();
        let Some(function) = self.table_function(&name) else {
            return Err(DataFusionError::Plan(format!(
                "[UNRESOLVABLE_TABLE_VALUED_FUNCTION] there is no table function {name}"
            )));
        };
        let empty = LogicalPlanBuilder::empty(true).build()?;
        let scope = Scope::new(Vec::new(), Arc::clone(empty.schema()), env.outer);
        let semantics = Semantics::new(&scope.schema, &self.zone);
        let mut values = Vec::new();
        for arg in &args.args {
            let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) = arg else {
                return Err(unsupported(format!("the argument '{arg}' of {name} is not supported")));
            };
            values.push(semantics.cast(self.expr(expr, &scope)?, &arrow::datatypes::DataType::Int64, false)?);
        }
        let provider = function.create_table_provider_with_args(TableFunctionArgs::new(&values, self.state))?;
        let source = datafusion::datasource::provider_as_source(provider);
        let plan = LogicalPlanBuilder::scan(name.as_str(), source, None)?.build()?;
        let names: Vec<String> = if name == "range" { vec!["id".to_string()] } else { plan.schema().field_names() };
        let plan = if name == "range" { rename_columns(plan, &names)? } else { plan };
        LogicalPlanBuilder::from(plan).alias(TableReference::bare(name))?.build()
    }

    /// `WATERMARK` as the relation's columns stand before its alias.
    fn watermarked(&self, relation: Relation, clause: Option<&WatermarkClause>) -> Result<Relation> {
        let Some(clause) = clause else { return Ok(relation) };
        let scope = Scope::new(relation.columns.clone(), Arc::clone(relation.plan.schema()), None);
        let expr = self.expr(&clause.expr, &scope)?;
        let (plan, column) = match (&clause.name, expr) {
            (None, Expr::Column(column)) => (relation.plan.clone(), column),
            (None, other) => {
                let message = format!(
                    "[EVENT_TIME_MUST_BE_TOP_LEVEL_COLUMN] the event time must be a column, not {other}: name it with AS"
                );
                return Err(DataFusionError::Plan(message));
            }
            (Some(name), expr) => {
                // As in Spark, the expression becomes one more column.
                let mut columns: Vec<Expr> = relation.plan.schema().columns().into_iter().map(Expr::Column).collect();
                let qualifier = relation.plan.schema().qualified_field(0).0.cloned();
                columns.push(expr.alias_qualified(qualifier.clone(), name));
                let plan = LogicalPlanBuilder::from(relation.plan.clone()).project(columns)?.build()?;
                (plan, Column::new(qualifier, name))
            }
        };
        let plan = self.streams()?.watermark_plan(plan, &column, clause.delay_ms)?;
        Ok(relation.over(plan))
    }

    fn join(
        &self,
        left: Relation,
        right: Relation,
        join_type: JoinType,
        constraint: &JoinConstraint,
        env: &Env<'_>,
    ) -> Result<Relation> {
        let schema =
            left.plan.schema().join(right.plan.schema()).map_err(|error| same_name_twice(&left, &right, error))?;
        let keys = join_keys(&left, &right, constraint)?;
        let condition = match constraint {
            JoinConstraint::On(on) => {
                let columns = left.columns.iter().chain(&right.columns).cloned().collect();
                let scope = Scope::new(columns, schema.clone().into(), env.outer);
                let condition = self.expr(on, &scope)?;
                Semantics::new(&scope.schema, &self.zone).condition(condition, "JOIN")?
            }
            _ => self.keys_equal(&keys, &schema)?,
        };
        let columns = joined_columns(&left, &right, join_type, &keys);
        let is_always = matches!(&condition, Expr::Literal(ScalarValue::Boolean(Some(true)), _));
        let builder = LogicalPlanBuilder::from(left.plan);
        let plan = if is_always && join_type == JoinType::Inner {
            builder.cross_join(right.plan)?.build()?
        } else {
            builder.join_on(right.plan, join_type, [condition])?.build()?
        };
        Ok(Relation { plan, columns })
    }

    fn keys_equal(&self, keys: &[(ScopeColumn, ScopeColumn)], schema: &DFSchema) -> Result<Expr> {
        let semantics = Semantics::new(schema, &self.zone);
        let mut condition = Expr::Literal(ScalarValue::Boolean(Some(true)), None);
        for (nth, (left, right)) in keys.iter().enumerate() {
            let equal = semantics.binary(left.expr.clone(), Op::Eq, right.expr.clone())?;
            condition = if nth == 0 { equal } else { condition.and(equal) };
        }
        Ok(condition)
    }
}

/// The pairs of columns that `USING` and `NATURAL` make equal.
fn join_keys(
    left: &Relation,
    right: &Relation,
    constraint: &JoinConstraint,
) -> Result<Vec<(ScopeColumn, ScopeColumn)>> {
    let find = |relation: &Relation, name: &str| {
        relation.columns.iter().find(|column| column.is_shown() && same(&column.name, name)).cloned()
    };
    let names: Vec<String> = match constraint {
        JoinConstraint::Using(names) => names.iter().map(|name| name_parts(name).join(".")).collect(),
        JoinConstraint::Natural => {
            let ours = left.columns.iter().filter(|column| column.is_shown()).map(|column| column.name.clone());
            ours.filter(|name| find(right, name).is_some()).collect()
        }
        JoinConstraint::On(_) | JoinConstraint::None => return Ok(Vec::new()),
    };
    names
        .iter()
        .map(|name| match (find(left, name), find(right, name)) {
            (Some(left), Some(right)) => Ok((left, right)),
            (left, _) => {
                let side = if left.is_none() { "left" } else { "right" };
                let message = format!("[UNRESOLVED_USING_COLUMN_FOR_JOIN] USING column `{name}` cannot be resolved on the {side} side of the join.");
                Err(DataFusionError::Plan(message))
            }
        })
        .collect()
}

/// The columns of a join: keys of `USING` once and first, then the left side's, then the right one's.
fn joined_columns(
    left: &Relation,
    right: &Relation,
    join_type: JoinType,
    keys: &[(ScopeColumn, ScopeColumn)],
) -> Vec<ScopeColumn> {
    let has_right = !matches!(join_type, JoinType::LeftSemi | JoinType::LeftAnti);
    let mut columns = Vec::new();
    for (ours, theirs) in keys {
        columns.push(match join_type {
            JoinType::Right => theirs.clone(),
            JoinType::Full => ScopeColumn {
                qualifier: Vec::new(),
                expr: datafusion::functions::core::expr_fn::coalesce(vec![ours.expr.clone(), theirs.expr.clone()]),
                ..ours.clone()
            },
            _ => ours.clone(),
        });
    }
    let is_shown =
        |column: &ScopeColumn, columns: &[ScopeColumn]| columns[..keys.len()].iter().any(|key| key.expr == column.expr);
    let is_key =
        |column: &ScopeColumn| keys.iter().any(|(ours, theirs)| ours.expr == column.expr || theirs.expr == column.expr);
    for column in left.columns.iter().chain(right.columns.iter().filter(|_| has_right)) {
        if !is_shown(column, &columns) {
            columns.push(ScopeColumn { is_hidden: column.is_hidden || is_key(column), ..column.clone() });
        }
    }
    columns
}

fn same_name_twice(left: &Relation, right: &Relation, error: DataFusionError) -> DataFusionError {
    let name =
        |relation: &Relation| relation.columns.first().map(|column| column.qualifier.join(".")).unwrap_or_default();
    if same(&name(left), &name(right)) {
        return DataFusionError::Plan(format!(
            "both sides of the join are called `{}`: give one of them an alias",
            name(left)
        ));
    }
    error
}

fn at_name(name: &ast::ObjectName, error: DataFusionError) -> DataFusionError {
    let span = match name.0.first() {
        Some(ast::ObjectNamePart::Identifier(ident)) => ident.span,
        _ => Span::empty(),
    };
    match error {
        DataFusionError::Plan(message) => error_at(span, message),
        other => other,
    }
}
