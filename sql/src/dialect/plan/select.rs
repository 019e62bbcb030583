//! One SELECT, clause by clause in the order they take effect.

use std::sync::Arc;

use datafusion::common::{Column, DataFusionError, Result, TableReference};
use datafusion::logical_expr::{Expr, GroupingSet, LogicalPlan, LogicalPlanBuilder, SortExpr};
use sqlparser::ast::{self, Distinct, GroupByExpr, GroupByWithModifier, Select, SelectItem};

use super::aggregate::{self, Output};
use super::query::{at_ordinal, nth_column, ordinal};
use super::relation::Relation;
use super::scope::{Scope, ScopeColumn, same};
use super::{Env, Planner, error_at, name_parts, unsupported};
use crate::dialect::relations::distinct_on;
use crate::expressions::Semantics;

/// A column of the output.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) expr: Expr,
}

impl Planner<'_> {
    pub(super) fn select(
        &self,
        select: &Select,
        order_by: Option<&ast::OrderBy>,
        env: &Env<'_>,
    ) -> Result<LogicalPlan> {
        refuse_foreign_clauses(select)?;
        let relation = self.from(&select.from, env)?;
        let relation = self.lateral_views(relation, &select.lateral_views, env)?;
        let Relation { plan, columns } = relation;
        let mut scope = Scope::new(columns, Arc::clone(plan.schema()), env.outer);
        scope.ctes = env.ctes.clone();
        let plan = self.filter(plan, select.selection.as_ref(), &scope, "WHERE")?;
        let plan = self.time_windows(plan, select, order_by, &mut scope)?;
        let (plan, items) = self.items(plan, select, &mut scope)?;
        let aliases: Vec<(String, Expr)> = items.iter().map(|item| (item.name.clone(), item.expr.clone())).collect();
        scope.last = aliases.clone();
        let groups = self.groups(&select.group_by, &items, &scope)?;
        scope.first = aliases;
        scope.last.clear();
        let having = select.having.as_ref().map(|having| self.expr(having, &scope)).transpose()?;
        let output: Vec<Expr> = items.iter().map(|item| item.expr.clone()).collect();
        let sorts = match order_by {
            Some(order_by) => self.sort_keys(order_by, &output, &scope)?,
            None => Vec::new(),
        };
        let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(exprs, _) if exprs.is_empty());
        let output = Output { items, having, sorts };
        let (plan, output) = aggregate::aggregate(plan, groups, is_grouped, output, &self.zone)?;
        let (plan, output) = aggregate::window_functions(plan, output)?;
        self.project(plan, output, select.distinct.as_ref())
    }

    pub(super) fn filter(
        &self,
        plan: LogicalPlan,
        condition: Option<&ast::Expr>,
        scope: &Scope<'_>,
        clause: &str,
    ) -> Result<LogicalPlan> {
        let Some(condition) = condition else { return Ok(plan) };
        let condition = self.expr(condition, scope)?;
        if aggregate::has_aggregate(&condition) {
            let message = "[INVALID_WHERE_CONDITION] the WHERE clause contains an aggregate function: put the condition into HAVING";
            return Err(DataFusionError::Plan(message.to_string()));
        }
        let condition = Semantics::new(&scope.schema, &self.zone).condition(condition, clause)?;
        LogicalPlanBuilder::from(plan).filter(condition)?.build()
    }

    fn lateral_views(&self, mut relation: Relation, views: &[ast::LateralView], env: &Env<'_>) -> Result<Relation> {
        for view in views {
            let scope = Scope::new(relation.columns.clone(), Arc::clone(relation.plan.schema()), env.outer);
            let names: Vec<String> = view.lateral_col_alias.iter().map(|ident| ident.value.clone()).collect();
            let ast::Expr::Function(function) = &view.lateral_view else {
                return Err(unsupported(format!(
                    "LATERAL VIEW needs a generator such as explode, not '{}'",
                    view.lateral_view
                )));
            };
            let (plan, columns) = self.generate(relation.plan, function, view.outer, &names, &scope)?;
            let qualifier = name_parts(&view.lateral_view_name);
            relation.plan = plan;
            relation.columns.extend(columns.into_iter().map(|item| ScopeColumn {
                qualifier: qualifier.clone(),
                name: item.name,
                expr: item.expr,
                is_hidden: false,
                is_source_hidden: false,
            }));
        }
        Ok(relation)
    }

    /// The select list, stars expanded and generators put into the plan.
    fn items(&self, mut plan: LogicalPlan, select: &Select, scope: &mut Scope<'_>) -> Result<(LogicalPlan, Vec<Item>)> {
        let mut items: Vec<Item> = Vec::new();
        for item in &select.projection {
            let (expr, aliases): (&ast::Expr, Vec<String>) = match item {
                SelectItem::Wildcard(options) => {
                    items.extend(self.star(&[], options, scope)?);
                    continue;
                }
                SelectItem::QualifiedWildcard(kind, options) => {
                    items.extend(self.qualified_star(kind, options, scope)?);
                    continue;
                }
                SelectItem::UnnamedExpr(expr) => (expr, Vec::new()),
                SelectItem::ExprWithAlias { expr, alias } => (expr, vec![alias.value.clone()]),
                SelectItem::ExprWithAliases { expr, aliases } => {
                    (expr, aliases.iter().map(|ident| ident.value.clone()).collect())
                }
            };
            if let Some(function) = super::generate::generator(expr) {
                let (generated, columns) = self.generate(plan, function, false, &aliases, scope)?;
                plan = generated;
                scope.schema = Arc::clone(plan.schema());
                items.extend(columns);
                continue;
            }
            let name = match &aliases[..] {
                [] => self.name_of(expr, scope),
                [alias] => alias.clone(),
                _ => {
                    return Err(DataFusionError::Plan(format!(
                        "[MULTI_ALIAS_WITHOUT_GENERATOR] '{expr}' is one column but has several names"
                    )));
                }
            };
            let expr = self.expr(expr, scope)?;
            if !aliases.is_empty() {
                // What stands to the right may use it.
                scope.last.push((name.clone(), expr.clone()));
            }
            items.push(Item { name, expr });
        }
        scope.last.clear();
        Ok((plan, items))
    }

    pub(super) fn star(
        &self,
        qualifier: &[String],
        options: &ast::WildcardAdditionalOptions,
        scope: &Scope<'_>,
    ) -> Result<Vec<Item>> {
        let mut items: Vec<Item> = scope
            .star(qualifier)
            .into_iter()
            .map(|column| Item { name: column.name.clone(), expr: column.expr.clone() })
            .collect();
        if let Some(except) = &options.opt_except {
            for ident in [&except.first_element].into_iter().chain(&except.additional_elements) {
                let before = items.len();
                items.retain(|item| !same(&item.name, &ident.value));
                if items.len() == before {
                    return Err(error_at(
                        ident.span,
                        format!("[UNRESOLVED_COLUMN] EXCEPT column `{}` cannot be resolved.", ident.value),
                    ));
                }
            }
        }
        if options.opt_replace.is_some()
            || options.opt_rename.is_some()
            || options.opt_ilike.is_some()
            || options.opt_exclude.is_some()
        {
            return Err(unsupported("of the words after * only EXCEPT is supported"));
        }
        Ok(items)
    }

    /// `t.*`, or `s.*` for the fields of a struct.
    pub(super) fn qualified_star(
        &self,
        kind: &ast::SelectItemQualifiedWildcardKind,
        options: &ast::WildcardAdditionalOptions,
        scope: &Scope<'_>,
    ) -> Result<Vec<Item>> {
        let idents: Vec<ast::Ident> = match kind {
            ast::SelectItemQualifiedWildcardKind::ObjectName(name) => {
                let idents = name.0.iter().map(|part| match part {
                    ast::ObjectNamePart::Identifier(ident) => ident.clone(),
                    other => ast::Ident::new(other.to_string()),
                });
                idents.collect()
            }
            ast::SelectItemQualifiedWildcardKind::Expr(expr) => {
                return Err(unsupported(format!("'{expr}.*' is not supported")));
            }
        };
        let qualifier: Vec<String> = idents.iter().map(|ident| ident.value.clone()).collect();
        if !scope.star(&qualifier).is_empty() {
            return self.star(&qualifier, options, scope);
        }
        let semantics = Semantics::new(&scope.schema, &self.zone);
        let base = scope.resolve(&idents, &semantics)?;
        match semantics.type_of(&base)? {
            arrow::datatypes::DataType::Struct(fields) => fields
                .iter()
                .map(|field| {
                    Ok(Item { name: field.name().clone(), expr: semantics.field(base.clone(), field.name())? })
                })
                .collect(),
            _ => Err(DataFusionError::Plan(format!(
                "[CANNOT_RESOLVE_STAR_EXPAND] `{}` is neither a relation nor a struct",
                qualifier.join(".")
            ))),
        }
    }

    fn groups(&self, group_by: &GroupByExpr, items: &[Item], scope: &Scope<'_>) -> Result<Vec<Expr>> {
        let output: Vec<Expr> = items.iter().map(|item| item.expr.clone()).collect();
        let (exprs, modifiers) = match group_by {
            GroupByExpr::All(_) => {
                return Ok(output.into_iter().filter(|expr| !aggregate::has_aggregate(expr)).collect());
            }
            GroupByExpr::Expressions(exprs, modifiers) => (exprs, modifiers),
        };
        let one = |expr: &ast::Expr| -> Result<Expr> {
            match ordinal(expr) {
                Some(nth) => at_ordinal(&output, nth, "GROUP").cloned(),
                None => self.expr(expr, scope),
            }
        };
        let sets = |sets: &[Vec<ast::Expr>]| -> Result<Vec<Vec<Expr>>> {
            sets.iter().map(|set| set.iter().map(one).collect()).collect()
        };
        let mut groups = Vec::new();
        for expr in exprs {
            groups.push(match expr {
                ast::Expr::Rollup(rollup) => rollup_of(sets(rollup)?),
                ast::Expr::Cube(cube) => cube_of(sets(cube)?),
                ast::Expr::GroupingSets(all) => Expr::GroupingSet(GroupingSet::GroupingSets(sets(all)?)),
                expr => one(expr)?,
            });
        }
        let each = |groups: Vec<Expr>| groups.into_iter().map(|group| vec![group]).collect();
        Ok(match modifiers.first() {
            Some(GroupByWithModifier::Rollup) => vec![rollup_of(each(groups))],
            Some(GroupByWithModifier::Cube) => vec![cube_of(each(groups))],
            Some(GroupByWithModifier::GroupingSets(ast::Expr::GroupingSets(all))) => {
                vec![Expr::GroupingSet(GroupingSet::GroupingSets(sets(all)?))]
            }
            Some(other) => return Err(unsupported(format!("GROUP BY … {other} is not supported"))),
            None => groups,
        })
    }

    /// The output's columns under their names, then `DISTINCT`, then the order; columns needed only for that are dropped again.
    fn project(&self, plan: LogicalPlan, output: Output, distinct: Option<&Distinct>) -> Result<LogicalPlan> {
        let width = output.items.len();
        let mut exprs = named(&output.items);
        let mut sorts: Vec<(SortExpr, usize)> = Vec::new();
        for sort in output.sorts {
            let place = match output.items.iter().position(|item| item.expr == sort.expr) {
                Some(place) => place,
                None => {
                    exprs.push(sort.expr.clone().alias(format!("#sort{}", exprs.len())));
                    exprs.len() - 1
                }
            };
            sorts.push((sort, place));
        }
        let has_hidden = exprs.len() > width;
        if has_hidden && distinct.is_some_and(|distinct| !matches!(distinct, Distinct::All)) {
            return Err(DataFusionError::Plan(
                "with DISTINCT, ORDER BY can only use columns of the select list".to_string(),
            ));
        }
        let mut plan = LogicalPlanBuilder::from(plan).project(exprs)?.build()?;
        plan = match distinct {
            Some(Distinct::Distinct) => LogicalPlanBuilder::from(plan).distinct()?.build()?,
            Some(Distinct::On(exprs)) => self.distinct_on(plan, exprs)?,
            Some(Distinct::All) | None => plan,
        };
        if !sorts.is_empty() {
            let keys: Vec<SortExpr> = sorts
                .iter()
                .map(|(sort, place)| SortExpr::new(nth_column(&plan, *place), sort.asc, sort.nulls_first))
                .collect();
            plan = LogicalPlanBuilder::from(plan).sort(keys)?.build()?;
        }
        if has_hidden {
            let columns: Vec<Expr> = (0..width).map(|nth| nth_column(&plan, nth)).collect();
            plan = LogicalPlanBuilder::from(plan).project(columns)?.build()?;
        }
        Ok(plan)
    }

    fn distinct_on(&self, plan: LogicalPlan, exprs: &[ast::Expr]) -> Result<LogicalPlan> {
        let (exprs, within_watermark) = distinct_on(exprs);
        let scope = Scope::of_schema(plan.schema());
        let mut columns: Vec<Column> = Vec::new();
        for expr in exprs {
            match self.expr(expr, &scope)? {
                Expr::Column(column) => columns.push(column),
                _ => {
                    return Err(DataFusionError::Plan(format!(
                        "DISTINCT ON takes columns of the select list, not '{expr}'"
                    )));
                }
            }
        }
        self.streams()?.deduplicate_plan(plan, columns, within_watermark)
    }
}

/// `ROLLUP (a, (b, c))`: the parts in parentheses stay together.
fn rollup_of(parts: Vec<Vec<Expr>>) -> Expr {
    if parts.iter().all(|part| part.len() == 1) {
        return Expr::GroupingSet(GroupingSet::Rollup(parts.concat()));
    }
    let sets = (0..=parts.len()).rev().map(|count| parts[..count].concat());
    Expr::GroupingSet(GroupingSet::GroupingSets(sets.collect()))
}

/// `CUBE (a, (b, c))`: every choice of the parts.
fn cube_of(parts: Vec<Vec<Expr>>) -> Expr {
    if parts.iter().all(|part| part.len() == 1) || parts.len() > 12 {
        return Expr::GroupingSet(GroupingSet::Cube(parts.concat()));
    }
    let choices = (0..1_usize << parts.len()).rev();
    let sets = choices.map(|choice| {
        let chosen = parts.iter().enumerate().filter(|(nth, _)| choice >> (parts.len() - 1 - nth) & 1 == 1);
        chosen.flat_map(|(_, part)| part.clone()).collect()
    });
    Expr::GroupingSet(GroupingSet::GroupingSets(sets.collect()))
}

/// The output under its names; names that come twice get qualifiers of their own, since a plan's columns must differ.
fn named(items: &[Item]) -> Vec<Expr> {
    let is_twice = |name: &str| items.iter().filter(|item| item.name == name).count() > 1;
    items
        .iter()
        .enumerate()
        .map(|(nth, item)| match &item.expr {
            _ if is_twice(&item.name) => {
                item.expr.clone().alias_qualified(Some(TableReference::bare(format!("#{nth}"))), &item.name)
            }
            Expr::Column(Column { relation: None, name, .. }) if *name == item.name => item.expr.clone(),
            expr => expr.clone().alias(&item.name),
        })
        .collect()
}

/// `DISTRIBUTE BY` says how rows are spread, which changes no answer: it is left out.
fn refuse_foreign_clauses(select: &Select) -> Result<()> {
    let foreign = [
        ("TOP", select.top.is_some()),
        ("INTO", select.into.is_some()),
        ("PREWHERE", select.prewhere.is_some()),
        ("CONNECT BY", !select.connect_by.is_empty()),
        ("CLUSTER BY", !select.cluster_by.is_empty()),
        ("SORT BY", !select.sort_by.is_empty()),
        ("QUALIFY", select.qualify.is_some()),
        ("WINDOW", !select.named_window.is_empty()),
    ];
    match foreign.iter().find(|(_, is_used)| *is_used) {
        Some((clause, _)) => Err(unsupported(format!("{clause} is not supported"))),
        None => Ok(()),
    }
}
