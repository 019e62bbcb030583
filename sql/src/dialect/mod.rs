//! Spark's SQL, from text to DataFusion's logical plans.
//!
//! ```text
//! text ─lexer─► tokens ─parser─► Statement ──────────────► the session executes it
//!                         └ query ─literals, relations─► sqlparser's tree ─plan─► LogicalPlan
//! ```
//! Statements that are ours are parsed here; what is a query is parsed by sqlparser, from our tokens. The tree is turned into
//! a plan by a planner of our own: names resolve as in Spark (without regard to case, keeping the case they were written in,
//! lateral aliases, `window.start`, fields of structs), operators get Spark's types and errors as soon as their operands are
//! known, and unnamed columns get Spark's names.
//!
//! Read next: `parser.rs`, `relations.rs`, `plan/mod.rs`.

mod cursor;
mod error;
mod interval;
mod lexer;
mod literals;
mod parser;
mod plan;
#[cfg(test)]
mod recorded;
mod relations;
mod spark_dialect;
mod statement;

pub use error::SyntaxError;
pub use interval::{Interval, IntervalField, parse_interval};
pub use parser::{parse_expression, parse_script};
pub use plan::{StreamCatalog, TimeWindow, plan_expression, plan_query, several_windows};
pub use relations::{StreamRelation, WatermarkClause};
pub use statement::{CreateTable, CreateView, DropKind, Name, ParsedStatement, SqlQuery, Statement};
