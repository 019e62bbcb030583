//! From sqlparser's tree to DataFusion's logical plan, as Spark's analyzer would.
//!
//! Names are resolved, operators typed and columns named in one walk over the tree: what an expression means is settled while
//! the relations it can see are known. Every function and operator used is a registered one, so plans can be sent.
//!
//! Read next: `query.rs` → `select.rs` → `relation.rs` → `scope.rs` → `expr.rs` → `call.rs`.

mod aggregate;
mod aggregate_call;
mod call;
mod call_names;
mod expr;
mod generate;
mod literal;
mod names;
mod query;
mod relation;
mod scope;
mod select;
mod shown;
mod time_window;

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use datafusion::catalog::TableFunction;
use datafusion::common::{Column, DFSchema, DataFusionError, Result, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, TableSource};
use sqlparser::ast;
use sqlparser::tokenizer::Span;

use super::parser::parse_expression;
use super::relations;
use super::statement::SqlQuery;
use crate::hidden_columns;
pub use time_window::several_windows;

use scope::Scope;

/// What a session knows about streams: how the relations that SQL has no plan for become plans.
pub trait StreamCatalog: Send + Sync {
    /// The plan of `STREAM name WITH (options)`.
    ///
    /// # Errors
    /// When there is no such stream, or an option is wrong.
    fn stream_plan(&self, name: &TableReference, options: &[(String, String)]) -> Result<LogicalPlan>;

    /// `input` with its column `column` as event time, rows being late after `delay_ms`. The schema stays the same.
    ///
    /// # Errors
    /// When the column is no time.
    fn watermark_plan(&self, input: LogicalPlan, column: &Column, delay_ms: i64) -> Result<LogicalPlan>;

    /// `input` without the rows whose `columns` have been seen, for ever or while the watermark remembers.
    ///
    /// # Errors
    /// When the input has no watermark and needs one.
    fn deduplicate_plan(&self, input: LogicalPlan, columns: Vec<Column>, within_watermark: bool)
    -> Result<LogicalPlan>;

    /// `input` with one more column, last, called `window`'s [`TimeWindow::name`]: the window each row belongs to.
    /// A row that belongs to several windows becomes several rows; one that belongs to none is left out.
    ///
    /// # Errors
    /// When an argument is wrong.
    fn window_plan(&self, input: LogicalPlan, window: &TimeWindow) -> Result<LogicalPlan>;
}

/// A call of `window` or `session_window`.
#[derive(Clone, Debug)]
pub struct TimeWindow {
    /// Whether it is a session's.
    pub is_session: bool,
    /// The column it adds.
    pub name: String,
    /// The arguments, resolved against the input: the time, then size, slide and start, or the gap.
    pub arguments: Vec<Expr>,
}

/// Plans a query: the tables it names are looked up in `state`'s catalogs, its streams in `catalog`.
///
/// # Errors
/// [`DataFusionError::Plan`] with Spark's error condition for what does not resolve or has a wrong type.
pub async fn plan_query(state: &SessionState, catalog: &dyn StreamCatalog, query: &SqlQuery) -> Result<LogicalPlan> {
    let tables = lookup_tables(state, &query.ast).await?;
    let mut planner = Planner::new(state, Some(catalog), tables);
    planner.names_hidden = hidden_columns::names_hidden_in_sql(&query.ast.to_string());
    planner.query(&query.ast, &Env::default())
}

/// Plans the text of one expression over columns of `schema`, as in `expr("v + 1 AS w")`. An unnamed one gets Spark's name.
///
/// # Errors
/// A syntax error, or what [`plan_query`] refuses.
pub fn plan_expression(state: &SessionState, schema: &DFSchema, text: &str) -> Result<Expr> {
    let planner = Planner::new(state, None, HashMap::new());
    let scope = Scope::of_schema(schema);
    let parsed = parse_expression(text)?;
    if let ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } = &parsed
        && let Some(function) = generate::generator(expr)
    {
        // The frame that it is used in makes rows of it, and names its columns where nobody else does.
        let call = planner.named(&function.name.to_string().to_lowercase(), planner.arguments(function, &scope)?)?;
        return Ok(match parsed {
            ast::SelectItem::ExprWithAlias { alias, .. } => call.alias(alias.value),
            _ => call,
        });
    }
    let (expr, name) = match parsed {
        ast::SelectItem::UnnamedExpr(expr) => (planner.expr(&expr, &scope)?, planner.name_of(&expr, &scope)),
        ast::SelectItem::ExprWithAlias { expr, alias } => (planner.expr(&expr, &scope)?, alias.value),
        other => return Err(DataFusionError::Plan(format!("'{other}' is not one expression"))),
    };
    Ok(match &expr {
        Expr::Column(column) if column.name == name => expr,
        _ => expr.alias(name),
    })
}

/// Plans queries over tables that are already looked up.
struct Planner<'a> {
    state: &'a SessionState,
    catalog: Option<&'a dyn StreamCatalog>,
    tables: HashMap<String, Arc<dyn TableSource>>,
    zone: Arc<str>,
    /// How many subqueries without a name there have been: the same query gets the same numbers, whenever it is planned.
    nameless: Cell<usize>,
    /// Whether the query may name a column that sources hide.
    names_hidden: bool,
}

/// What a query can see besides its own relations.
#[derive(Clone, Default)]
struct Env<'a> {
    /// `WITH`: lower-case name → plan.
    ctes: HashMap<String, Arc<LogicalPlan>>,
    /// The query around this subquery.
    outer: Option<&'a Scope<'a>>,
}

impl<'a> Planner<'a> {
    fn new(
        state: &'a SessionState,
        catalog: Option<&'a dyn StreamCatalog>,
        tables: HashMap<String, Arc<dyn TableSource>>,
    ) -> Self {
        let zone = state.config_options().execution.time_zone.clone().unwrap_or_else(|| "UTC".to_string());
        Self { state, catalog, tables, zone: zone.into(), nameless: Cell::new(0), names_hidden: false }
    }

    fn next_number(&self) -> usize {
        self.nameless.replace(self.nameless.get() + 1)
    }

    fn streams(&self) -> Result<&'a dyn StreamCatalog> {
        self.catalog.ok_or_else(|| DataFusionError::Plan("a query cannot stand in an expression's text".to_string()))
    }

    fn table_function(&self, name: &str) -> Option<&Arc<TableFunction>> {
        self.state.table_functions().get(name)
    }
}

/// Finds every table that the query may mean; a name that is not found may be a CTE's.
async fn lookup_tables(state: &SessionState, query: &ast::Query) -> Result<HashMap<String, Arc<dyn TableSource>>> {
    let mut names: Vec<Vec<String>> = Vec::new();
    let _ = ast::visit_relations(query, |name| {
        names.push(name_parts(name));
        std::ops::ControlFlow::<()>::Continue(())
    });
    let mut tables = HashMap::new();
    for parts in names {
        let key = table_key(&parts);
        if tables.contains_key(&key) {
            continue;
        }
        let reference = table_reference(&parts);
        let Ok(schema) = state.schema_for_ref(reference.clone()) else { continue };
        let wanted = reference.table();
        let exact = match schema.table_exist(wanted) {
            true => Some(wanted.to_string()),
            false => schema.table_names().into_iter().find(|name| name.eq_ignore_ascii_case(wanted)),
        };
        if let Some(exact) = exact
            && let Some(provider) = schema.table(&exact).await?
        {
            tables.insert(key, provider_as_source(provider));
        }
    }
    Ok(tables)
}

/// A table's name as the catalogs take it.
fn table_reference(parts: &[String]) -> TableReference {
    match parts {
        [schema, table] => TableReference::partial(schema.as_str(), table.as_str()),
        [catalog, schema, table] => TableReference::full(catalog.as_str(), schema.as_str(), table.as_str()),
        _ => TableReference::bare(parts.join(".")),
    }
}

fn table_key(parts: &[String]) -> String {
    parts.join(".").to_lowercase()
}

fn name_parts(name: &ast::ObjectName) -> Vec<String> {
    name.0
        .iter()
        .map(|part| match part {
            ast::ObjectNamePart::Identifier(ident) => ident.value.clone(),
            other => other.to_string(),
        })
        .collect()
}

/// An error about something at a place of the query.
fn error_at(span: Span, message: impl std::fmt::Display) -> DataFusionError {
    match span.start.line {
        0 => DataFusionError::Plan(message.to_string()),
        line => DataFusionError::Plan(format!("{message} (line {line}, column {})", span.start.column)),
    }
}

/// An error about something that we do not have.
fn unsupported(what: impl std::fmt::Display) -> DataFusionError {
    DataFusionError::NotImplemented(what.to_string())
}

#[cfg(test)]
mod tests;
