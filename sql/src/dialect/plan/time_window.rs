//! `window(…)` and `session_window(…)`: each different call of a SELECT becomes a column below it, called `window` or
//! `session_window`, and that column is what the call, `window` and `window.start` mean.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::LogicalPlan;
use sqlparser::ast::{self, Select};

use super::call::arguments;
use super::query::nth_column;
use super::scope::{Scope, ScopeColumn, same};
use super::{Planner, TimeWindow, names};

/// A call, and the column that it has become.
pub(super) fn is_time_window(function: &ast::Function) -> bool {
    let name = function.name.to_string();
    function.over.is_none() && (same(&name, "window") || same(&name, "session_window"))
}

impl Planner<'_> {
    pub(super) fn time_windows(
        &self,
        mut plan: LogicalPlan,
        select: &Select,
        order_by: Option<&ast::OrderBy>,
        scope: &mut Scope<'_>,
    ) -> Result<LogicalPlan> {
        let calls = calls(select, order_by);
        check_one_window(&calls)?;
        for function in calls {
            let name = function.name.to_string().to_lowercase();
            let arguments =
                arguments(&function)?.into_iter().map(|argument| self.expr(argument, scope)).collect::<Result<_>>()?;
            let is_taken = |name: &str| plan.schema().fields().iter().any(|field| field.name() == name);
            let mut column = name.clone();
            while is_taken(&column) {
                column.push('#');
            }
            let window = TimeWindow { is_session: same(&name, "session_window"), name: column, arguments };
            plan = self.streams()?.window_plan(plan, &window)?;
            let expr = nth_column(&plan, plan.schema().fields().len() - 1);
            scope.schema = Arc::clone(plan.schema());
            // From here on the name alone means the new window, not the one that it was made from.
            for old in scope.columns.iter_mut().filter(|old| same(&old.name, &name)) {
                old.is_hidden = true;
            }
            scope.windows.push((names::of(&ast::Expr::Function(function)), expr.clone()));
            scope.columns.push(ScopeColumn {
                qualifier: Vec::new(),
                name,
                expr,
                is_hidden: false,
                is_source_hidden: false,
            });
            let last = scope.columns.len() - 1;
            scope.generated.push(last);
        }
        Ok(plan)
    }
}

fn check_one_window(calls: &[ast::Function]) -> Result<()> {
    let mut texts: Vec<String> = calls.iter().map(|call| call.to_string().to_lowercase()).collect();
    texts.sort();
    texts.dedup();
    if texts.len() > 1 { Err(several_windows(&texts)) } else { Ok(()) }
}

/// Why there can be one window only: two would make a row belong to every pair of them.
pub fn several_windows(calls: &[String]) -> DataFusionError {
    DataFusionError::Plan(format!(
        "[_LEGACY_ERROR_TEMP_1039] several windows in one GROUP BY or select list are not supported, because a row would belong to \
         every pair of them: {}; keep one, and group its result by the other in a query around it",
        calls.join(" and ")
    ))
}

/// The different calls, in the order they are written: GROUP BY first, as it is where they belong.
fn calls(select: &Select, order_by: Option<&ast::OrderBy>) -> Vec<ast::Function> {
    let mut calls: Vec<ast::Function> = Vec::new();
    let mut collect = |expr: &ast::Expr| {
        if let ast::Expr::Function(function) = expr
            && is_time_window(function)
            && !calls.contains(function)
        {
            calls.push(function.clone());
        }
        ControlFlow::<()>::Continue(())
    };
    let _ = ast::visit_expressions(&select.group_by, &mut collect);
    let _ = ast::visit_expressions(&select.projection, &mut collect);
    let _ = ast::visit_expressions(&select.having, &mut collect);
    if let Some(order_by) = order_by {
        let _ = ast::visit_expressions(order_by, &mut collect);
    }
    calls
}
