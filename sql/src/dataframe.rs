//! A [`DataFrame`]: a plan over streams or batches, and what can be done with it. Expressions are DataFusion's `Expr`;
//! their columns are found without regard to case, their operators and functions mean what they mean in SQL.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use datafusion::common::{Column, DFSchema};
use datafusion::execution::SessionState;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, LogicalPlanBuilder, SortExpr, lit};
use datafusion::physical_plan::{collect, displayable};
use millstream_engine::plan::has_streams;
use millstream_engine::sink::OutputMode;
use millstream_engine::{Error, Result};

use crate::batch_writer::DataFrameWriter;
use crate::columns::{find_column, resolve, resolve_all};
use crate::dialect;
use crate::foreach_batch::plan_of_rows;
use crate::functions;
use crate::grouping::{refuse_marks, with_windows};
use crate::hidden_columns::{METADATA, names_hidden, names_hidden_in_sql, reveal_in_frame};
use crate::printing;
use crate::session::StreamSession;
use crate::writer::DataStreamWriter;

/// A table that has not been computed yet: of a stream or a batch.
#[derive(Clone, Debug)]
pub struct DataFrame {
    session: StreamSession,
    plan: LogicalPlan,
}

/// A condition: an expression, or its SQL text.
#[derive(Clone, Debug)]
pub enum Condition {
    /// An expression.
    Expr(Box<Expr>),
    /// SQL text, such as `v > 1 AND k IS NOT NULL`.
    Sql(String),
}

impl From<Expr> for Condition {
    fn from(expr: Expr) -> Self {
        Self::Expr(Box::new(expr))
    }
}

impl From<&str> for Condition {
    fn from(sql: &str) -> Self {
        Self::Sql(sql.to_string())
    }
}

/// What a frame is computed from, and its shape.
impl DataFrame {
    pub(crate) fn new(session: StreamSession, plan: LogicalPlan) -> Self {
        Self { session, plan }
    }

    /// The plan: analysed, not optimised.
    pub fn logical_plan(&self) -> &LogicalPlan {
        &self.plan
    }

    /// The session it belongs to.
    pub fn session(&self) -> &StreamSession {
        &self.session
    }

    /// Whether it reads a stream, and so can only be run by [`write_stream`](Self::write_stream).
    pub fn is_streaming(&self) -> bool {
        has_streams(&self.plan)
    }

    /// Its columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(self.plan.schema().as_arrow().clone())
    }

    /// Its columns as a DDL string: `k STRING, v BIGINT`.
    pub fn schema_ddl(&self) -> String {
        millstream_formats::ddl::to_ddl(self.plan.schema().as_arrow())
    }
}

/// Frames from frames.
impl DataFrame {
    /// The values of `exprs`.
    ///
    /// # Errors
    /// `Invalid` for a column that does not exist, or types that do not fit.
    pub fn select(&self, exprs: impl IntoIterator<Item = Expr>) -> Result<Self> {
        let exprs: Vec<Expr> = exprs.into_iter().collect();
        let frame = self.reaching(exprs.iter().any(names_hidden))?;
        let exprs = resolve_all(exprs, frame.plan.schema())?;
        let (plan, exprs) = with_windows(frame.plan, exprs)?;
        self.with_plan(LogicalPlanBuilder::from(plan).project(exprs)?)
    }

    /// The values of SQL expressions: `["k", "v * 2 AS v2", "upper(k) AS u"]`.
    ///
    /// # Errors
    /// A syntax error, or as [`select`](Self::select).
    pub fn select_expr<T: AsRef<str>>(&self, exprs: impl IntoIterator<Item = T>) -> Result<Self> {
        let texts: Vec<T> = exprs.into_iter().collect();
        let frame = self.reaching(texts.iter().any(|text| names_hidden_in_sql(text.as_ref())))?;
        let exprs = texts.iter().map(|text| frame.expr(text.as_ref())).collect::<Result<Vec<_>>>()?;
        self.with_plan(LogicalPlanBuilder::from(frame.plan).project(exprs)?)
    }

    /// The rows for which `condition`, an expression or SQL text, is true.
    ///
    /// # Errors
    /// As [`select_expr`](Self::select_expr).
    pub fn filter(&self, condition: impl Into<Condition>) -> Result<Self> {
        let condition = condition.into();
        let names_hidden = match &condition {
            Condition::Expr(expr) => names_hidden(expr),
            Condition::Sql(text) => names_hidden_in_sql(text),
        };
        let frame = self.reaching(names_hidden)?;
        let condition = match condition {
            Condition::Expr(expr) => resolve(*expr, frame.plan.schema())?,
            Condition::Sql(text) => frame.expr(&text)?.unalias(),
        };
        let is_same = frame.plan.schema() == self.plan.schema();
        let filtered = LogicalPlanBuilder::from(frame.plan).filter(condition)?;
        self.with_plan(match is_same {
            true => filtered,
            false => filtered.project(self.plan.schema().columns().into_iter().map(Expr::Column))?,
        })
    }

    /// The same as [`filter`](Self::filter).
    ///
    /// # Errors
    /// As [`filter`](Self::filter).
    pub fn where_(&self, condition: impl Into<Condition>) -> Result<Self> {
        self.filter(condition)
    }

    /// This frame with a column more, or another in place of the one of this name.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    pub fn with_column(&self, name: &str, expr: Expr) -> Result<Self> {
        let frame = self.reaching(names_hidden(&expr))?;
        let expr = resolve(expr, frame.plan.schema())?;
        let mut found = false;
        let mut exprs = Vec::new();
        for column in self.plan.schema().columns() {
            if column.name.eq_ignore_ascii_case(name) {
                found = true;
                exprs.push(expr.clone().alias(name));
            } else {
                exprs.push(Expr::Column(column));
            }
        }
        if !found {
            exprs.push(expr.alias(name));
        }
        self.with_plan(LogicalPlanBuilder::from(frame.plan).project(exprs)?)
    }

    /// This frame with the column `old` called `new`; unchanged where there is no such column.
    ///
    /// # Errors
    /// When two columns would have the same name.
    pub fn with_column_renamed(&self, old: &str, new: &str) -> Result<Self> {
        let exprs =
            self.plan.schema().columns().into_iter().map(|column| match column.name.eq_ignore_ascii_case(old) {
                true => Expr::Column(column).alias(new),
                false => Expr::Column(column),
            });
        self.with_plan(LogicalPlanBuilder::from(self.plan.clone()).project(exprs.collect::<Vec<_>>())?)
    }

    /// This frame without these columns; names that it does not have are passed over, as in Spark.
    ///
    /// # Errors
    /// Never for a frame that could be made.
    pub fn drop<T: AsRef<str>>(&self, names: impl IntoIterator<Item = T>) -> Result<Self> {
        let names: Vec<String> = names.into_iter().map(|name| name.as_ref().to_lowercase()).collect();
        let kept = self.plan.schema().columns().into_iter().filter(|c| !names.contains(&c.name.to_lowercase()));
        self.with_plan(LogicalPlanBuilder::from(self.plan.clone()).project(kept.map(Expr::Column).collect::<Vec<_>>())?)
    }

    /// This frame under a name: its columns are then `name.column`.
    ///
    /// # Errors
    /// Never for a frame that could be made.
    pub fn alias(&self, name: &str) -> Result<Self> {
        let name = datafusion::common::TableReference::bare(name);
        self.with_plan(LogicalPlanBuilder::from(self.plan.clone()).alias(name)?)
    }

    /// The rows of both, columns matched by position: `UNION ALL`.
    ///
    /// # Errors
    /// `Invalid` when they have different numbers of columns, or types that do not fit.
    pub fn union(&self, other: &Self) -> Result<Self> {
        self.with_plan(LogicalPlanBuilder::from(self.plan.clone()).union(other.plan.clone())?)
    }

    /// The rows of both, columns matched by name.
    ///
    /// # Errors
    /// As [`union`](Self::union), or when `other` lacks a column.
    pub fn union_by_name(&self, other: &Self) -> Result<Self> {
        let names = self.plan.schema().columns();
        let columns = names.iter().map(|c| find_column(other.plan.schema(), None, &c.name).map(Expr::Column));
        self.union(&other.select(columns.collect::<Result<Vec<_>>>()?)?)
    }

    /// Joins on columns that both have; they are in the result once.
    ///
    /// # Errors
    /// `Invalid` for a column that one of them lacks, or when another column has the same name in both: rename one.
    pub fn join<T: AsRef<str>>(
        &self,
        right: &Self,
        using: impl IntoIterator<Item = T>,
        join_type: JoinType,
    ) -> Result<Self> {
        // Columns that are told apart by nothing get a side, which the result drops again.
        let columns = self.plan.schema().columns();
        let is_same = |one: &Column, other: &Column| {
            one.name == other.name
                && (one.relation.is_none() || other.relation.is_none() || one.relation == other.relation)
        };
        let is_ambiguous =
            right.plan.schema().columns().iter().any(|right| columns.iter().any(|left| is_same(left, right)));
        let side = |plan: &LogicalPlan, name: &str| match is_ambiguous {
            true => LogicalPlanBuilder::from(plan.clone()).alias(name)?.build(),
            false => Ok(plan.clone()),
        };
        let (left, right) = (side(&self.plan, "$left")?, side(&right.plan, "$right")?);
        let mut condition: Option<Expr> = None;
        let mut keys = Vec::new();
        for name in using {
            let left_key = find_column(left.schema(), None, name.as_ref())?;
            let right_key = find_column(right.schema(), None, name.as_ref())?;
            let equal = Expr::Column(left_key.clone()).eq(Expr::Column(right_key.clone()));
            condition = Some(match condition {
                Some(condition) => condition.and(equal),
                None => equal,
            });
            keys.push((left_key, right_key));
        }
        let condition = condition.ok_or_else(|| Error::invalid("a join needs at least one column to join on"))?;
        let joined = LogicalPlanBuilder::from(left).join_on(right, join_type, [condition])?.build()?;
        let exprs = joined.schema().columns().into_iter().filter_map(|column| {
            let as_right = keys.iter().any(|(_, right_key)| *right_key == column);
            let as_left = keys.iter().find(|(left_key, _)| *left_key == column);
            match (as_left, as_right) {
                (Some((left_key, right_key)), _) => Some(match join_type {
                    JoinType::Right => Expr::Column(right_key.clone()).alias(&left_key.name),
                    JoinType::Full => {
                        let either = vec![Expr::Column(left_key.clone()), Expr::Column(right_key.clone())];
                        datafusion::functions::core::expr_fn::coalesce(either).alias(&left_key.name)
                    }
                    _ => Expr::Column(column),
                }),
                (None, true) if !matches!(join_type, JoinType::RightSemi | JoinType::RightAnti) => None,
                _ => Some(Expr::Column(column)),
            }
        });
        let mut exprs = resolve_all(exprs.collect::<Vec<_>>(), joined.schema())?;
        if is_ambiguous {
            let bare = |expr: Expr| match expr {
                Expr::Column(column) => Expr::Column(column.clone()).alias(column.name),
                other => other,
            };
            exprs = exprs.into_iter().map(bare).collect();
        }
        self.with_plan(LogicalPlanBuilder::from(joined).project(exprs)?)
    }

    /// Joins on a condition, an expression or SQL text; the result has the columns of both.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub fn join_on(&self, right: &Self, condition: impl Into<Condition>, join_type: JoinType) -> Result<Self> {
        let schema = self.plan.schema().join(right.plan.schema())?;
        let condition = match condition.into() {
            Condition::Expr(expr) => resolve(*expr, &schema)?,
            Condition::Sql(text) => self.expr_over(&schema, &text)?.unalias(),
        };
        self.with_plan(LogicalPlanBuilder::from(self.plan.clone()).join_on(
            right.plan.clone(),
            join_type,
            [condition],
        )?)
    }

    /// The rows in order: `[col("v").sort(true, true)]`.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    pub fn order_by(&self, order: impl IntoIterator<Item = SortExpr>) -> Result<Self> {
        let order = order.into_iter().map(|sort| {
            let expr = resolve(sort.expr, self.plan.schema())?;
            Ok(SortExpr { expr, ..sort })
        });
        let order = order.collect::<Result<Vec<_>>>()?;
        self.with_plan(LogicalPlanBuilder::from(self.plan.clone()).sort(order)?)
    }

    /// The first `rows` rows.
    ///
    /// # Errors
    /// Never for a frame that could be made.
    pub fn limit(&self, rows: usize) -> Result<Self> {
        self.with_plan(LogicalPlanBuilder::from(self.plan.clone()).limit(0, Some(rows))?)
    }

    /// Gives the frame a name that SQL can use, in place of a view of that name. A view over a stream is a stream.
    ///
    /// # Errors
    /// `Invalid` where a table has the name.
    pub fn create_or_replace_temp_view(&self, name: &str) -> Result<()> {
        self.session.put_view(name, self.plan.clone(), "", true)
    }

    /// This frame; with its source's hidden columns where one is named that is no column of the frame's own.
    fn reaching(&self, names_hidden: bool) -> Result<Self> {
        let is_own = self.plan.schema().fields().iter().any(|field| field.name().eq_ignore_ascii_case(METADATA));
        let revealed = if names_hidden && !is_own { reveal_in_frame(&self.plan)? } else { None };
        Ok(Self { session: self.session.clone(), plan: revealed.unwrap_or_else(|| self.plan.clone()) })
    }

    fn expr(&self, text: &str) -> Result<Expr> {
        self.expr_over(self.plan.schema(), text)
    }

    fn expr_over(&self, columns: &DFSchema, text: &str) -> Result<Expr> {
        let planning = self.session.planning()?;
        Ok(dialect::plan_expression(&planning.batch, columns, text)?)
    }

    /// `plan` in the same session.
    pub(crate) fn over(&self, plan: LogicalPlan) -> Result<Self> {
        self.with_plan(LogicalPlanBuilder::from(plan))
    }

    fn with_plan(&self, builder: LogicalPlanBuilder) -> Result<Self> {
        let plan = match builder.build()? {
            // A generator among the columns gives rows.
            LogicalPlan::Projection(columns) if columns.expr.iter().any(functions::is_generator) => {
                functions::rewrite_generators(LogicalPlan::Projection(columns))?
            }
            plan => plan,
        };
        refuse_marks(&plan)?;
        Ok(Self { session: self.session.clone(), plan })
    }
}

/// What runs a frame.
impl DataFrame {
    /// Says where the stream goes.
    pub fn write_stream(&self) -> DataStreamWriter {
        DataStreamWriter::new(self.session.clone(), self.plan.clone())
    }

    /// Says where the rows of a batch frame go.
    pub fn write(&self) -> DataFrameWriter {
        DataFrameWriter::new(self.clone())
    }

    /// This frame with its rows computed, once, and kept in memory: what is done with the result does not compute them
    /// again. They are given back when the last frame over them is dropped.
    ///
    /// # Errors
    /// As [`collect`](Self::collect).
    pub async fn cache(&self) -> Result<Self> {
        let (schema, rows) = self.run().await?;
        self.over(plan_of_rows(&schema, rows)?)
    }

    /// Its rows, as Arrow batches; [`Row::all`](crate::Row::all) goes through them row by row.
    ///
    /// # Errors
    /// `Invalid` for a stream, or what went wrong.
    pub async fn collect(&self) -> Result<Vec<RecordBatch>> {
        self.run().await.map(|(_, rows)| rows)
    }

    async fn run(&self) -> Result<(SchemaRef, Vec<RecordBatch>)> {
        self.refuse_stream()?;
        let state = self.session.batch_state()?;
        let plan = state.create_physical_plan(&self.plan).await?;
        let schema = plan.schema();
        Ok((schema, collect(plan, state.task_ctx()).await?))
    }

    /// The number of its rows.
    ///
    /// # Errors
    /// As [`collect`](Self::collect).
    pub async fn count(&self) -> Result<u64> {
        let plan =
            LogicalPlanBuilder::from(self.plan.clone()).aggregate(Vec::<Expr>::new(), vec![count(lit(1_i64))])?;
        let rows = self.with_plan(plan)?.collect().await?;
        let counted = rows.first().filter(|batch| batch.num_rows() == 1).map(|batch| Arc::clone(batch.column(0)));
        match counted.as_ref().and_then(|column| column.as_primitive_opt::<Int64Type>()) {
            Some(column) if !column.is_null(0) => Ok(u64::try_from(column.value(0)).unwrap_or(0)),
            _ => Err(Error::internal("a count gave no number")),
        }
    }

    /// The first `rows_max` rows as Spark's `show()` prints them, cells cut to `cell_max` characters (0 for all of them).
    ///
    /// # Errors
    /// As [`collect`](Self::collect).
    pub async fn show_string(&self, rows_max: usize, cell_max: usize) -> Result<String> {
        let rows = self.limit(rows_max.saturating_add(1))?.collect().await?;
        printing::show(&self.session, &self.schema(), &rows, rows_max, cell_max)
    }

    /// Prints the first 20 rows on standard output.
    ///
    /// # Errors
    /// As [`collect`](Self::collect).
    #[expect(clippy::print_stdout, reason = "printing is what it is for")]
    pub async fn show(&self) -> Result<()> {
        print!("{}", self.show_string(20, 20).await?);
        Ok(())
    }

    /// The physical plan as text; all the plans with `extended`. A stream's is the one that a query would run.
    ///
    /// # Errors
    /// What is wrong with the plan.
    pub async fn explain(&self, extended: bool) -> Result<String> {
        let planning = self.session.planning()?;
        let is_streaming = self.is_streaming();
        let (state, plan) = match is_streaming {
            true => (planning.stream.clone(), self.stream_plan(&planning.stream)?),
            false => (self.session.batch_state()?, self.plan.clone()),
        };
        let physical = state.create_physical_plan(&plan).await?;
        let physical = displayable(physical.as_ref()).indent(false).to_string();
        if !extended {
            return Ok(format!("== Physical Plan ==\n{physical}"));
        }
        let optimized = state.optimize(&plan)?;
        Ok(format!(
            "== Analyzed Logical Plan ==\n{}\n\n== Optimized Logical Plan ==\n{}\n\n== Physical Plan ==\n{physical}",
            self.plan.display_indent(),
            optimized.display_indent()
        ))
    }

    /// What a stream becomes before it is optimised: in the first output mode in which it may run.
    fn stream_plan(&self, state: &SessionState) -> Result<LogicalPlan> {
        let conf = self.session.conf();
        let plan = |mode| millstream_engine::query::stream_plan(&self.plan, mode, conf.options(), state);
        let planned = plan(OutputMode::Append);
        let others = || [OutputMode::Update, OutputMode::Complete].into_iter().find_map(|mode| plan(mode).ok());
        match planned {
            Ok((plan, _)) => Ok(plan),
            Err(refused) => others().map(|(plan, _)| plan).ok_or(refused),
        }
    }

    pub(crate) fn refuse_stream(&self) -> Result<()> {
        match self.is_streaming() {
            true => Err(Error::invalid(
                "queries with streaming sources must be executed with write_stream().start(), CREATE STREAMING TABLE or INSERT INTO",
            )),
            false => Ok(()),
        }
    }
}
