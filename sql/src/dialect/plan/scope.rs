//! What names mean at a place of a query.
//!
//! Spark's order: a lambda's variable, a column (its qualifier as long as it fits, the rest being fields), a lateral alias, a
//! column of the query around. Case never matters; the case written is the case of the output.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DFSchemaRef, ExprSchema, Result};
use datafusion::logical_expr::expr::LambdaVariable;
use datafusion::logical_expr::{Expr, LogicalPlan};
use sqlparser::ast::Ident;
use sqlparser::tokenizer::Span;

use super::error_at;
use crate::expressions::Semantics;

/// A column that can be named.
#[derive(Clone, Debug)]
pub(super) struct ScopeColumn {
    /// The relation it belongs to, as far as it has a name: `a.t` is `["a", "t"]`.
    pub(super) qualifier: Vec<String>,
    /// Its name.
    pub(super) name: String,
    /// Its value.
    pub(super) expr: Expr,
    /// Whether only its qualified name reaches it, as the right side's key of a `USING` join.
    pub(super) is_hidden: bool,
    /// Whether its source hides it: any name of it reaches it, `*` does not.
    pub(super) is_source_hidden: bool,
}

impl ScopeColumn {
    /// Whether a plain `*` has it.
    pub(super) fn is_shown(&self) -> bool {
        !self.is_hidden && !self.is_source_hidden
    }
}

/// Everything that can be named at one place.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    pub(super) columns: Vec<ScopeColumn>,
    pub(super) schema: DFSchemaRef,
    pub(super) outer: Option<&'a Scope<'a>>,
    /// The CTEs that a subquery here can name.
    pub(super) ctes: HashMap<String, Arc<LogicalPlan>>,
    /// Names that come before columns: the output of a SELECT for its ORDER BY and HAVING.
    pub(super) first: Vec<(String, Expr)>,
    /// Names that come after columns: aliases to the left, and the output for GROUP BY.
    pub(super) last: Vec<(String, Expr)>,
    /// Calls of `window` and `session_window` by their text, and the columns they have become.
    pub(super) windows: Vec<(String, Expr)>,
    /// The places of columns that are not the relations' own: `*` leaves them out.
    pub(super) generated: Vec<usize>,
    /// Whether we are inside an aggregate function's arguments, which see the relations and not the output.
    pub(super) in_aggregate: Cell<bool>,
    /// The variables of the lambdas around, innermost last.
    pub(super) variables: RefCell<Vec<LambdaVariable>>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(columns: Vec<ScopeColumn>, schema: DFSchemaRef, outer: Option<&'a Scope<'a>>) -> Self {
        Self {
            columns,
            schema,
            outer,
            ctes: HashMap::new(),
            first: Vec::new(),
            last: Vec::new(),
            windows: Vec::new(),
            generated: Vec::new(),
            in_aggregate: Cell::new(false),
            variables: RefCell::default(),
        }
    }

    /// The columns of a plan under their qualified names.
    pub(super) fn of_schema(schema: &DFSchema) -> Self {
        Self::new(columns_of(schema), DFSchemaRef::new(schema.clone()), None)
    }

    /// The value that a (qualified) name has, with the fields that follow the column's name.
    pub(super) fn resolve(&self, parts: &[Ident], semantics: &Semantics<'_>) -> Result<Expr> {
        if let Some(expr) = self.find(parts, semantics)? {
            return Ok(expr);
        }
        let mut scope = self.outer;
        while let Some(outer) = scope {
            let outer_semantics = Semantics::new(&outer.schema, semantics.zone());
            if let Some(expr) = outer.find(parts, &outer_semantics)? {
                return outer.as_outer_reference(expr);
            }
            scope = outer.outer;
        }
        Err(self.unresolved(parts))
    }

    /// The columns that `*` (or `t.*`) stands for; none when no relation has that name.
    pub(super) fn star(&self, qualifier: &[String]) -> Vec<&ScopeColumn> {
        let own = self.columns.iter().enumerate().filter(|(nth, _)| !self.generated.contains(nth));
        own.map(|(_, column)| column)
            .filter(
                |column| if qualifier.is_empty() { !column.is_hidden } else { ends_with(&column.qualifier, qualifier) },
            )
            .filter(|column| !column.is_source_hidden)
            .collect()
    }

    /// How many of a name's parts name the relation and not the column or its fields.
    pub(super) fn qualifier_length(&self, parts: &[Ident]) -> usize {
        let names: Vec<String> = parts.iter().map(|part| part.value.clone()).collect();
        let is_variable = self.variables.borrow().iter().any(|variable| same(&variable.name, &names[0]));
        let fits = |qualified: &usize| {
            let (qualifier, rest) = names.split_at(*qualified);
            self.columns.iter().any(|column| ends_with(&column.qualifier, qualifier) && same(&column.name, &rest[0]))
        };
        match (0..parts.len()).rev().find(fits).filter(|_| !is_variable) {
            Some(qualified) => qualified,
            None => self.outer.map_or(0, |outer| outer.qualifier_length(parts)),
        }
    }

    fn find(&self, parts: &[Ident], semantics: &Semantics<'_>) -> Result<Option<Expr>> {
        let names: Vec<String> = parts.iter().map(|part| part.value.clone()).collect();
        let variables = self.variables.borrow();
        if let Some(variable) = variables.iter().rev().find(|variable| variable.name.eq_ignore_ascii_case(&names[0])) {
            return fields(Expr::LambdaVariable(variable.clone()), &names[1..], semantics).map(Some);
        }
        if !self.in_aggregate.get()
            && let Some(expr) = self.find_alias(&self.first, &names, semantics)?
        {
            return Ok(Some(expr));
        }
        for qualified in (0..parts.len()).rev() {
            let (qualifier, rest) = names.split_at(qualified);
            let mut found = self.columns.iter().filter(|column| {
                let is_of_relation =
                    if qualified == 0 { !column.is_hidden } else { ends_with(&column.qualifier, qualifier) };
                is_of_relation && same(&column.name, &rest[0])
            });
            if let Some(column) = found.next() {
                if let Some(other) = found.find(|other| other.expr != column.expr) {
                    return Err(ambiguous(parts, column, other));
                }
                return fields(column.expr.clone(), &rest[1..], semantics).map(Some);
            }
        }
        self.find_alias(&self.last, &names, semantics)
    }

    fn find_alias(
        &self,
        aliases: &[(String, Expr)],
        names: &[String],
        semantics: &Semantics<'_>,
    ) -> Result<Option<Expr>> {
        match aliases.iter().rev().find(|(alias, _)| same(alias, &names[0])) {
            Some((_, expr)) => fields(expr.clone(), &names[1..], semantics).map(Some),
            None => Ok(None),
        }
    }

    fn as_outer_reference(&self, expr: Expr) -> Result<Expr> {
        let transformed = expr.transform_up(|expr| match expr {
            Expr::Column(column) => {
                let field = self.schema.field_from_column(&column)?.clone();
                Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(transformed.data)
    }

    fn unresolved(&self, parts: &[Ident]) -> datafusion::common::DataFusionError {
        let name = parts.iter().map(|part| format!("`{}`", part.value)).collect::<Vec<_>>().join(".");
        let wanted = parts.last().map(|part| part.value.to_lowercase()).unwrap_or_default();
        let mut known: Vec<&str> =
            self.columns.iter().filter(|column| column.is_shown()).map(|column| column.name.as_str()).collect();
        known.sort_by_key(|name| strsim::damerau_levenshtein(&name.to_lowercase(), &wanted));
        known.truncate(5);
        let span = parts.first().map_or(Span::empty(), |part| part.span);
        let (condition, help) = if known.is_empty() {
            ("WITHOUT_SUGGESTION", String::new())
        } else {
            let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            ("WITH_SUGGESTION", format!(" Did you mean one of the following? [{}].", known.join(", ")))
        };
        error_at(span, format!("[UNRESOLVED_COLUMN.{condition}] A column with name {name} cannot be resolved.{help}"))
    }
}

/// The columns of a plan under their qualified names.
pub(super) fn columns_of(schema: &DFSchema) -> Vec<ScopeColumn> {
    schema
        .iter()
        .map(|(qualifier, field)| ScopeColumn {
            qualifier: qualifier.map(datafusion::common::TableReference::to_vec).unwrap_or_default(),
            name: field.name().clone(),
            expr: Expr::Column(Column::new(qualifier.cloned(), field.name())),
            is_hidden: false,
            is_source_hidden: false,
        })
        .collect()
}

/// Names are the same when only their case differs.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || (!(a.is_ascii() && b.is_ascii()) && a.to_lowercase() == b.to_lowercase())
}

fn ends_with(qualifier: &[String], written: &[String]) -> bool {
    written.len() <= qualifier.len()
        && qualifier[qualifier.len() - written.len()..].iter().zip(written).all(|(a, b)| same(a, b))
}

fn fields(expr: Expr, names: &[String], semantics: &Semantics<'_>) -> Result<Expr> {
    names.iter().try_fold(expr, |expr, name| semantics.field(expr, name))
}

fn ambiguous(parts: &[Ident], one: &ScopeColumn, other: &ScopeColumn) -> datafusion::common::DataFusionError {
    let shown = |column: &ScopeColumn| {
        let parts: Vec<String> =
            column.qualifier.iter().chain([&column.name]).map(|part| format!("`{part}`")).collect();
        parts.join(".")
    };
    let name = parts.iter().map(|part| format!("`{}`", part.value)).collect::<Vec<_>>().join(".");
    let span = parts.first().map_or(Span::empty(), |part| part.span);
    let message =
        format!("[AMBIGUOUS_REFERENCE] Reference {name} is ambiguous, could be: [{}, {}].", shown(one), shown(other));
    error_at(span, message)
}
