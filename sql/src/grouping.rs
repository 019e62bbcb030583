//! Groups of rows, and the windows of time that they may be grouped by.
//!
//! `window(…)` in an expression is a mark: the frame that the expression is used in gets a column of windows, as in SQL, and
//! the mark becomes that column.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result as DfResult, plan_err};
use datafusion::logical_expr::utils::find_aggregate_exprs;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, lit,
};
use millstream_engine::{Error, Result};

use crate::columns::resolve_all;
use crate::dataframe::DataFrame;
use crate::dialect::{TimeWindow, several_windows};
use crate::{functions, streams};

/// Windows of time to group by: made by [`window`]. Becomes an expression with `.into()`.
#[derive(Clone, Debug)]
pub struct TimeWindows {
    time: Expr,
    size: String,
    slide: Option<String>,
    start: Option<String>,
}

/// The windows of `time` that are `size` long, an interval such as `5 minutes`, one after the other.
pub fn window(time: Expr, size: &str) -> TimeWindows {
    TimeWindows { time, size: size.to_string(), slide: None, start: None }
}

impl TimeWindows {
    /// From the start of one window to the next; not more than the size. A row is in every window that covers it.
    pub fn slide(self, slide: &str) -> Self {
        Self { slide: Some(slide.to_string()), ..self }
    }

    /// Where windows begin, from 1970-01-01: `15 minutes` for windows that begin a quarter past.
    pub fn start(self, start: &str) -> Self {
        Self { start: Some(start.to_string()), ..self }
    }

    /// The windows as a column called `name`.
    pub fn alias(self, name: impl Into<String>) -> Expr {
        Expr::from(self).alias(name)
    }
}

impl From<TimeWindows> for Expr {
    fn from(windows: TimeWindows) -> Self {
        let slide = windows.slide.unwrap_or_else(|| windows.size.clone());
        let mut arguments = vec![windows.time, lit(windows.size), lit(slide)];
        arguments.extend(windows.start.map(lit));
        mark(WINDOW, arguments)
    }
}

/// The session of each row: rows of a key whose `time`s are not further apart than `gap` are in one. The gap is an interval
/// such as `lit("5 minutes")`, or an expression that gives one for each row.
pub fn session_window(time: Expr, gap: Expr) -> Expr {
    mark(SESSION_WINDOW, vec![time, gap])
}

/// The last moment of a window: a microsecond before its end. An event time where the window is one.
pub fn window_time(window: Expr) -> Expr {
    let function = functions::function("window_time").expect("a function of the catalogue");
    function.call(vec![window])
}

const WINDOW: &str = "window";
const SESSION_WINDOW: &str = "session_window";

fn mark(name: &'static str, arguments: Vec<Expr>) -> Expr {
    let function = Mark { name, signature: Signature::variadic_any(Volatility::Immutable) };
    ScalarUDF::new_from_impl(function).call(arguments)
}

/// Stands for a window until the frame is known; never runs.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Mark {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for Mark {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        plan_err!("{} can be used in group_by and select only", self.name)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        plan_err!("{} can be used in group_by and select only", self.name)
    }
}

/// `plan` with a column for the windows that `exprs`, over its columns, ask for; and `exprs` with that column.
pub(crate) fn with_windows(plan: LogicalPlan, exprs: Vec<Expr>) -> Result<(LogicalPlan, Vec<Expr>)> {
    let mut calls: Vec<Expr> = Vec::new();
    for expr in &exprs {
        expr.apply(|expr| {
            if is_mark(expr) && !calls.contains(expr) {
                calls.push(expr.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    let call = match &calls[..] {
        [] => return Ok((plan, exprs)),
        [Expr::ScalarFunction(call)] => call.clone(),
        _ => {
            let calls: Vec<String> = calls.iter().map(|call| call.schema_name().to_string()).collect();
            return Err(several_windows(&calls).into());
        }
    };
    let mut name = call.name().to_string();
    let is_bare = plan.schema().fields().iter().all(|field| *field.name() != name);
    while plan.schema().fields().iter().any(|field| *field.name() == name) {
        name.push('#');
    }
    let called = call.name().to_string();
    let window = TimeWindow { is_session: called == SESSION_WINDOW, name, arguments: call.args };
    let plan = streams::time_window(plan, &window)?;
    let column = plan.schema().columns().pop().map(Expr::Column);
    let column = column.ok_or_else(|| Error::internal("a plan with windows has no columns"))?;
    let replaced = exprs.into_iter().map(|expr| match is_mark(&expr) && !is_bare {
        true => Ok(column.clone().alias(&called)),
        false => Ok(expr
            .transform_up(|expr| match is_mark(&expr) {
                true => Ok(Transformed::yes(column.clone())),
                false => Ok(Transformed::no(expr)),
            })?
            .data),
    });
    let replaced = replaced.collect::<Result<Vec<_>>>()?;
    Ok((plan, replaced))
}

/// Whether `plan` itself asks for a window that nobody has made.
pub(crate) fn refuse_marks(plan: &LogicalPlan) -> Result<()> {
    let mut found = None;
    plan.apply_expressions(|expr| {
        expr.apply(|expr| {
            if is_mark(expr) {
                found = Some(expr.schema_name().to_string());
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    match found {
        None => Ok(()),
        Some(call) => Err(Error::invalid(format!("{call} can be used in group_by and select only"))),
    }
}

fn is_mark(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if matches!(call.name(), WINDOW | SESSION_WINDOW))
}

/// Rows grouped by keys.
///
/// ```
/// use datafusion::logical_expr::col;
/// use millstream_sql::functions::{count_all, count_distinct};
/// use millstream_sql::{StreamSessionBuilder, window};
///
/// # #[tokio::main]
/// # async fn main() -> millstream_engine::Result<()> {
/// let session = StreamSessionBuilder::new().build().await?;
/// let rows = "VALUES ('ada', 'home', 10), ('eve', 'home', 70), ('ada', 'home', 30), ('ada', 'home', 30) AS t(user, page, s)";
/// let clicks = session.sql(&format!("SELECT user, page, timestamp_seconds(s) AS at FROM {rows}")).await?;
/// let views = clicks
///     .with_watermark("at", "10 minutes")?
///     .drop_duplicates(["user", "at"])?
///     .group_by([window(col("at"), "1 minute").slide("30 seconds").into(), col("page")])?
///     .agg([count_all().alias("views"), count_distinct(col("user")).alias("visitors")])?;
/// // [-30 s, 30 s), [0, 60 s), [30 s, 90 s), [60 s, 120 s)
/// assert_eq!(views.filter("views = 2")?.count().await?, 2);
/// assert_eq!(views.filter("visitors = 2")?.count().await?, 1);
/// assert_eq!(views.count().await?, 4);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct GroupedFrame {
    frame: DataFrame,
    plan: LogicalPlan,
    keys: Vec<Expr>,
}

impl DataFrame {
    /// Groups rows by `keys`, for [`GroupedFrame::agg`]: `[window(col("at"), "5 minutes").into(), col("page")]`.
    ///
    /// # Errors
    /// As [`select`](Self::select); and for two different windows.
    pub fn group_by(&self, keys: impl IntoIterator<Item = Expr>) -> Result<GroupedFrame> {
        let plan = self.logical_plan().clone();
        let (plan, keys) = {
            let keys = resolve_all(keys, plan.schema())?;
            with_windows(plan, keys)?
        };
        Ok(GroupedFrame { frame: self.clone(), plan, keys })
    }
}

impl GroupedFrame {
    /// A row for each group: its keys and the values of `aggregates`, expressions over aggregate functions.
    ///
    /// # Errors
    /// As [`DataFrame::select`].
    pub fn agg(&self, aggregates: impl IntoIterator<Item = Expr>) -> Result<DataFrame> {
        let aggregates = resolve_all(aggregates, self.plan.schema())?;
        let calls = find_aggregate_exprs(&aggregates);
        let keys: Vec<Expr> = self.keys.iter().map(|key| key.clone().unalias()).collect();
        let grouped = LogicalPlanBuilder::from(self.plan.clone()).aggregate(keys.clone(), calls.clone())?.build()?;
        let columns: Vec<Expr> = grouped.schema().columns().into_iter().map(Expr::Column).collect();
        let known: Vec<(Expr, Expr)> = keys.into_iter().chain(calls).zip(columns).collect();
        let output = self.keys.iter().chain(&aggregates).map(|expr| {
            let replaced =
                expr.clone().transform_down(|expr| match known.iter().find(|(known, _)| *known == expr) {
                    Some((_, column)) => Ok(Transformed::new(column.clone(), true, TreeNodeRecursion::Jump)),
                    None => Ok(Transformed::no(expr)),
                })?;
            Ok(replaced.data)
        });
        let output = output.collect::<Result<Vec<_>>>()?;
        self.frame.over(LogicalPlanBuilder::from(grouped).project(output)?.build()?)
    }

    /// How many rows each group has, as column `count`.
    ///
    /// # Errors
    /// As [`agg`](Self::agg).
    pub fn count(&self) -> Result<DataFrame> {
        self.agg([functions::count_all().alias("count")])
    }
}
