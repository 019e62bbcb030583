//! An expression as its column's name shows it: what Spark prints depends on what names and types mean.
//!
//! | written | shown as |
//! |---|---|
//! | `t.s.f + 1` | `s.f + 1`: a relation's name is left out |
//! | `struct(*)` | `struct(a, b)` |
//! | `s['f']` | `s.f`, for a struct |
//! | `dt + 1`, `dt - INTERVAL 1 DAY` | `date_add(dt, 1)`, `date_add(dt, (- extractansiintervaldays(INTERVAL '1' DAY)))` |

use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use sqlparser::ast::{
    self, AccessExpr, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Subscript,
    VisitMut, VisitorMut,
};

use super::relations::string_value;
use super::scope::Scope;
use super::{Planner, literal, name_parts, names};
use crate::expressions::Semantics;

impl Planner<'_> {
    /// The name that Spark gives to an unnamed column.
    pub(super) fn name_of(&self, expr: &Expr, scope: &Scope<'_>) -> String {
        let mut shown = expr.clone();
        let _ = shown.visit(&mut Shown { planner: self, scope });
        names::of_item(&shown)
    }

    fn type_of(&self, expr: &Expr, scope: &Scope<'_>) -> Option<DataType> {
        let semantics = Semantics::new(&scope.schema, &self.zone);
        self.expr(expr, scope).and_then(|expr| semantics.type_of(&expr)).ok()
    }
}

struct Shown<'a, 'p> {
    planner: &'a Planner<'p>,
    scope: &'a Scope<'a>,
}

impl VisitorMut for Shown<'_, '_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::CompoundIdentifier(parts) => {
                let rest = parts.split_off(self.scope.qualifier_length(parts));
                *expr = match <[Ident; 1]>::try_from(rest) {
                    Ok([ident]) => Expr::Identifier(ident),
                    Err(rest) => Expr::CompoundIdentifier(rest),
                };
            }
            Expr::Function(function) => self.expand_stars(function),
            Expr::CompoundFieldAccess { root, access_chain } => self.name_fields(root, access_chain),
            Expr::BinaryOp { left, op, right } => {
                if let Some(call) = self.date_arithmetic(left, op, right) {
                    *expr = call;
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Shown<'_, '_> {
    fn expand_stars(&self, function: &mut ast::Function) {
        let is_count = function.name.to_string().eq_ignore_ascii_case("count");
        let FunctionArguments::List(list) = &mut function.args else { return };
        if is_count && list.duplicate_treatment != Some(ast::DuplicateTreatment::Distinct) {
            return;
        }
        let argument = |expr: Expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
        let mut args = Vec::with_capacity(list.args.len());
        for arg in list.args.drain(..) {
            let qualifier = match &arg {
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => Vec::new(),
                FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name)) => name_parts(name),
                _ => {
                    args.push(arg);
                    continue;
                }
            };
            let columns = self.scope.star(&qualifier);
            if !columns.is_empty() {
                args.extend(columns.into_iter().map(|column| argument(Expr::Identifier(Ident::new(&column.name)))));
                continue;
            }
            let base: Vec<Ident> = qualifier.iter().map(Ident::new).collect();
            if let Some(DataType::Struct(fields)) =
                self.planner.type_of(&Expr::CompoundIdentifier(base.clone()), self.scope)
            {
                args.extend(fields.iter().map(|field| {
                    let name = Ident::new(field.name());
                    let path = base.iter().cloned().chain([name.clone()]).collect();
                    argument(Expr::Named { expr: Box::new(Expr::CompoundIdentifier(path)), name })
                }));
            }
        }
        list.args = args;
    }

    fn name_fields(&self, root: &Expr, chain: &mut [AccessExpr]) {
        if let Some(AccessExpr::Subscript(Subscript::Index { index })) = chain.first()
            && let Some(name) = string_value(index)
            && matches!(self.planner.type_of(root, self.scope), Some(DataType::Struct(_)))
        {
            let field = Ident::new(name);
            // In parentheses it is no path of names, whose last one would name the column.
            chain[0] = AccessExpr::Dot(Expr::Nested(Box::new(Expr::Identifier(field))));
        }
    }

    fn date_arithmetic(&self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Option<Expr> {
        let is_date = |expr: &Expr| self.planner.type_of(expr, self.scope) == Some(DataType::Date32);
        let is_minus = match op {
            BinaryOperator::Plus => false,
            BinaryOperator::Minus => true,
            _ => return None,
        };
        if matches!((left, right), (Expr::Value(_), Expr::Value(_))) {
            return None;
        }
        let (date, days) = if is_date(left) {
            (left, right)
        } else if !is_minus && is_date(right) {
            (right, left)
        } else {
            return None;
        };
        if let Some(interval) = literal::interval(days) {
            const DAY_US: i64 = 86_400_000_000;
            if interval.is_year_month() || interval.micros % DAY_US != 0 {
                return None;
            }
            let extracted = call("extractansiintervaldays", vec![days.clone()]);
            let days = if is_minus {
                Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr: Box::new(extracted) }
            } else {
                extracted
            };
            return Some(call("date_add", vec![date.clone(), days]));
        }
        match self.planner.type_of(days, self.scope)? {
            DataType::Int8 | DataType::Int16 | DataType::Int32 => {
                Some(call(if is_minus { "date_sub" } else { "date_add" }, vec![date.clone(), days.clone()]))
            }
            _ => None,
        }
    }
}

fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))).collect();
    Expr::Function(ast::Function {
        name: ast::ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
