//! The logical node, and the physical plan that it becomes.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DFSchema, DFSchemaRef, JoinType, Result, internal_err};
use datafusion_expr::logical_plan::builder::build_join_schema;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column as PhysicalColumn;
use datafusion_physical_expr::utils::collect_columns;
use datafusion_physical_plan::ExecutionPlan;
use datafusion_physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion_session::{PhysicalPlanner, Session};

use super::exec::StreamJoinExec;
use super::range::{TimeBound, difference_range, time_bounds};
use super::spec::{Buckets, Expiry, JoinSpec, SideSpec, StreamJoinType};
use crate::joining::{ConditionColumn, JoinSideOf, PairCondition};
use crate::plan::ExchangeExec;
use crate::plan::codec::NodeExpression;

/// Buckets are at least so wide, in microseconds: times are no finer.
const NARROWEST_BUCKET: i64 = 1;
/// The width of buckets where the time is one of the keys, in microseconds.
const KEY_BUCKET: i64 = 60_000_000;

/// The logical node: a join of two streams whose sides are remembered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamJoinNode {
    left: LogicalPlan,
    right: LogicalPlan,
    join_type: StreamJoinType,
    operator: u32,
    partitions: usize,
    /// Each key's expression over the left and over the right side, and whether a null equals a null.
    keys: Vec<(Expr, Expr, bool)>,
    /// What a row of a side must fulfil alone.
    left_only: Option<Expr>,
    right_only: Option<Expr>,
    condition: Option<Expr>,
    /// The event time of each side.
    left_time: Option<Column>,
    right_time: Option<Column>,
    /// Which key is a time with a watermark.
    time_key: Option<usize>,
    schema: DFSchemaRef,
}

impl PartialOrd for StreamJoinNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.operator.partial_cmp(&other.operator)
    }
}

/// What a join of two streams is made of.
#[derive(Debug)]
pub(crate) struct StreamJoin {
    pub(crate) left: LogicalPlan,
    pub(crate) right: LogicalPlan,
    pub(crate) join_type: StreamJoinType,
    pub(crate) keys: Vec<(Expr, Expr, bool)>,
    pub(crate) left_only: Option<Expr>,
    pub(crate) right_only: Option<Expr>,
    pub(crate) condition: Option<Expr>,
    pub(crate) left_time: Option<Column>,
    pub(crate) right_time: Option<Column>,
    pub(crate) time_key: Option<usize>,
}

impl StreamJoinNode {
    /// The join as operator number `operator`, its state in `partitions` partitions.
    pub(crate) fn try_new(join: StreamJoin, operator: u32, partitions: usize) -> Result<Self> {
        let schema = build_join_schema(join.left.schema(), join.right.schema(), &join.join_type.datafusion())?;
        let StreamJoin {
            left,
            right,
            join_type,
            keys,
            left_only,
            right_only,
            condition,
            left_time,
            right_time,
            time_key,
        } = join;
        let schema = Arc::new(schema);
        Ok(Self {
            left,
            right,
            join_type,
            operator,
            partitions,
            keys,
            left_only,
            right_only,
            condition,
            left_time,
            right_time,
            time_key,
            schema,
        })
    }

    /// The node in a plan.
    pub(crate) fn plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }

    pub(super) fn join_type(&self) -> JoinType {
        self.join_type.datafusion()
    }

    pub(super) fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// The event time of a side.
    pub(super) fn time(&self, side: JoinSideOf) -> Option<&Column> {
        match side {
            JoinSideOf::Left => self.left_time.as_ref(),
            JoinSideOf::Right => self.right_time.as_ref(),
        }
    }

    /// Whether the other side's watermark says when a row of `side` can have no match any more, by any of its times.
    pub(super) fn is_bounded(&self, side: JoinSideOf) -> bool {
        let schema = if side == JoinSideOf::Left { self.right.schema() } else { self.left.schema() };
        let others = self.time(side.other()).and_then(|time| schema.maybe_index_of_column(time));
        let bounds = || self.bounds().into_iter();
        self.time_key.is_some()
            || match side {
                JoinSideOf::Left => bounds().any(|bound| bound.is_lower && Some(bound.right) == others),
                JoinSideOf::Right => bounds().any(|bound| !bound.is_lower && Some(bound.left) == others),
            }
    }

    pub(super) fn left(&self) -> &LogicalPlan {
        &self.left
    }

    pub(super) fn right(&self) -> &LogicalPlan {
        &self.right
    }

    /// Everything that holds for its pairs.
    pub(super) fn conjuncts(&self) -> Vec<Expr> {
        let keys = self.keys.iter().filter(|key| !key.2).map(|(left, right, _)| left.clone().eq(right.clone()));
        let conditions = [&self.left_only, &self.right_only, &self.condition].into_iter().flatten().cloned();
        keys.chain(conditions.flat_map(datafusion_expr::utils::split_conjunction_owned)).collect()
    }

    /// The bounds that the condition sets to times of both sides.
    fn bounds(&self) -> Vec<TimeBound> {
        time_bounds(&self.condition, self.left.schema(), self.right.schema())
    }

    /// How long the rows of `side` are remembered, its keys being the columns `keys`.
    pub(crate) fn expiry(&self, side: JoinSideOf, keys: &[usize]) -> Expiry {
        if let Some(key) = self.time_key {
            return Expiry::Key(keys[key]);
        }
        let time_of = |side| match side {
            JoinSideOf::Left => self.left_time.as_ref().and_then(|time| self.left.schema().maybe_index_of_column(time)),
            JoinSideOf::Right => {
                self.right_time.as_ref().and_then(|time| self.right.schema().maybe_index_of_column(time))
            }
        };
        let (Some(own), Some(others)) = (time_of(side), time_of(side.other())) else { return Expiry::Never };
        let is_bounded = self.bounds().iter().any(|bound| {
            let other = if side == JoinSideOf::Left { bound.right } else { bound.left };
            other == others && bound.state_watermark_ms(side, own, 0).is_some()
        });
        if is_bounded { Expiry::Value(own) } else { Expiry::Never }
    }

    fn spec(&self, left_keys: Vec<usize>, right_keys: Vec<usize>) -> JoinSpec {
        let side = |side: JoinSideOf, keys: &[usize], other_keys: &[usize]| {
            let (schema, time) = match side {
                JoinSideOf::Left => (self.left.schema(), &self.left_time),
                JoinSideOf::Right => (self.right.schema(), &self.right_time),
            };
            let event_time = time.as_ref().and_then(|time| schema.maybe_index_of_column(time));
            let expiry = self.expiry(side, keys);
            let buckets = self.buckets(side, &expiry, keys, other_keys);
            SideSpec { keys: keys.to_vec(), event_time, expiry, buckets }
        };
        JoinSpec {
            operator: self.operator,
            partitions: self.partitions,
            join_type: self.join_type,
            left: side(JoinSideOf::Left, &left_keys, &right_keys),
            right: side(JoinSideOf::Right, &right_keys, &left_keys),
            null_safe: self.keys.iter().map(|key| key.2).collect(),
            bounds: self.bounds(),
        }
    }

    /// The buckets of a side: by the time among the keys, or by one whose distance to a time of the other side is bounded.
    fn buckets(&self, side: JoinSideOf, expiry: &Expiry, keys: &[usize], other_keys: &[usize]) -> Option<Buckets> {
        if let Some(key) = self.time_key {
            let (column, other_column) = (keys[key], other_keys[key]);
            return Some(Buckets { column, width: KEY_BUCKET, other_column, first: 0, last: 0 });
        }
        let bounds = self.bounds();
        let mut pairs: Vec<(usize, usize)> = bounds.iter().map(|bound| (bound.left, bound.right)).collect();
        pairs.dedup();
        pairs.into_iter().find_map(|(left, right)| {
            let (least, most) = difference_range(&bounds, left, right)?;
            let (column, other_column, first, last) = match side {
                JoinSideOf::Left => (left, right, least, most),
                JoinSideOf::Right => (right, left, -most, -least),
            };
            // Buckets leave as a whole, so they must be of the time that says when rows expire.
            let is_fit = expiry.column().is_none_or(|expires| expires == column);
            let width = (most.saturating_sub(least) / 2).max(NARROWEST_BUCKET);
            is_fit.then_some(Buckets { column, width, other_column, first, last })
        })
    }

    /// The physical nodes over the inputs.
    pub(crate) fn physical(
        &self,
        inputs: &[Arc<dyn ExecutionPlan>],
        planner: &dyn PhysicalPlanner,
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [left, right] = inputs else { return internal_err!("a join was given {} inputs", inputs.len()) };
        let physical = |expr: &Expr, schema: &DFSchema| planner.create_physical_expr(expr, schema, session, context);
        let exprs = |side: JoinSideOf| {
            let schema = if side == JoinSideOf::Left { self.left.schema() } else { self.right.schema() };
            let key =
                |key: &(Expr, Expr, bool)| physical(if side == JoinSideOf::Left { &key.0 } else { &key.1 }, schema);
            self.keys.iter().map(key).collect::<Result<Vec<_>>>()
        };
        let (left_input, left_keys) = with_keys(Arc::clone(left), exprs(JoinSideOf::Left)?)?;
        let (right_input, right_keys) = with_keys(Arc::clone(right), exprs(JoinSideOf::Right)?)?;
        let only = |expr: &Option<Expr>, logical: &DFSchema, input: &Arc<dyn ExecutionPlan>| {
            let expr = expr.as_ref().map(|expr| physical(expr, logical)).transpose()?;
            Ok::<_, datafusion_common::DataFusionError>(
                expr.map(|expr| NodeExpression { expr, schema: input.schema() }),
            )
        };
        let left_only = only(&self.left_only, self.left.schema(), &left_input)?;
        let right_only = only(&self.right_only, self.right.schema(), &right_input)?;
        let condition = match &self.condition {
            None => None,
            Some(condition) => {
                let both = self.left.schema().join(self.right.schema())?;
                Some(pair_condition(physical(condition, &both)?, &both, self.left.schema().fields().len())?)
            }
        };
        let exchange = |input, keys: &[usize]| Arc::new(ExchangeExec::new(input, keys.to_vec(), self.partitions));
        let (left_exchange, right_exchange) = (exchange(left_input, &left_keys), exchange(right_input, &right_keys));
        let output = Arc::new(Schema::new(self.schema.fields().clone()));
        let widths = (left.schema().fields().len(), right.schema().fields().len());
        let spec = self.spec(left_keys, right_keys);
        let join = StreamJoinExec::try_new(
            left_exchange,
            right_exchange,
            spec,
            widths,
            left_only,
            right_only,
            condition,
            output,
        )?;
        Ok(Arc::new(join))
    }
}

/// `input` with every key as a column: keys that are no columns yet are added behind the others.
fn with_keys(
    input: Arc<dyn ExecutionPlan>,
    keys: Vec<Arc<dyn PhysicalExpr>>,
) -> Result<(Arc<dyn ExecutionPlan>, Vec<usize>)> {
    let schema = input.schema();
    let mut columns: Vec<ProjectionExpr> = (0..schema.fields().len())
        .map(|at| ProjectionExpr {
            expr: Arc::new(PhysicalColumn::new(schema.field(at).name(), at)),
            alias: schema.field(at).name().clone(),
        })
        .collect();
    let width = columns.len();
    let mut places = Vec::with_capacity(keys.len());
    for (number, key) in keys.into_iter().enumerate() {
        match key.downcast_ref::<PhysicalColumn>() {
            Some(column) => places.push(column.index()),
            None => {
                places.push(columns.len());
                columns.push(ProjectionExpr { expr: key, alias: format!("__join_key_{number}") });
            }
        }
    }
    match columns.len() > width {
        true => Ok((Arc::new(ProjectionExec::try_new(columns, input)?), places)),
        false => Ok((input, places)),
    }
}

/// A condition over the columns of both sides, the right ones from `left_width` on, as one over those it needs.
fn pair_condition(expr: Arc<dyn PhysicalExpr>, both: &DFSchema, left_width: usize) -> Result<PairCondition> {
    let mut used: Vec<usize> = collect_columns(&expr).iter().map(PhysicalColumn::index).collect();
    used.sort_unstable();
    used.dedup();
    let fields = used.iter().map(|at| both.field(*at).as_ref().clone().with_nullable(true)).collect::<Vec<_>>();
    let expr = expr.transform(|expr| match expr.downcast_ref::<PhysicalColumn>() {
        Some(column) => {
            let at = used.iter().position(|at| *at == column.index()).unwrap_or_default();
            Ok(Transformed::yes(Arc::new(PhysicalColumn::new(column.name(), at)) as Arc<dyn PhysicalExpr>))
        }
        None => Ok(Transformed::no(expr)),
    })?;
    let columns = used.into_iter().map(|at| match at < left_width {
        true => ConditionColumn { side: JoinSideOf::Left, column: at },
        false => ConditionColumn { side: JoinSideOf::Right, column: at - left_width },
    });
    Ok(PairCondition::new(expr.data, columns.collect(), Arc::new(Schema::new(fields))))
}

impl UserDefinedLogicalNodeCore for StreamJoinNode {
    fn name(&self) -> &str {
        "StreamJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let keys = self.keys.iter().flat_map(|(left, right, _)| [left.clone(), right.clone()]);
        let conditions = [&self.left_only, &self.right_only, &self.condition].into_iter().flatten().cloned();
        let times = [&self.left_time, &self.right_time].into_iter().flatten().cloned().map(Expr::Column);
        keys.chain(conditions).chain(times).collect()
    }

    /// A filter above would have to know which rows are kept without a match: nothing passes by itself.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(|(left, right, _)| format!("{left} = {right}")).collect();
        write!(f, "StreamJoin: {}, on=[{}]", self.join_type(), keys.join(", "))?;
        let conditions = [("left", &self.left_only), ("right", &self.right_only), ("filter", &self.condition)];
        for (name, condition) in conditions {
            if let Some(condition) = condition {
                write!(f, ", {name}={condition}")?;
            }
        }
        Ok(())
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Ok([left, right]), mut exprs) = (<[LogicalPlan; 2]>::try_from(inputs), exprs.into_iter()) else {
            return internal_err!("a join has two inputs");
        };
        let mut next = || match exprs.next() {
            Some(expr) => Ok(expr),
            None => internal_err!("a join has lost an expression"),
        };
        let keys = self.keys.iter().map(|key| Ok((next()?, next()?, key.2))).collect::<Result<Vec<_>>>()?;
        let mut condition = |old: &Option<Expr>| old.as_ref().map(|_| next()).transpose();
        let conditions = [condition(&self.left_only)?, condition(&self.right_only)?, condition(&self.condition)?];
        let mut time = |old: &Option<Column>| match old.as_ref().map(|_| next()).transpose()? {
            None => Ok(None),
            Some(Expr::Column(column)) => Ok(Some(column)),
            Some(other) => internal_err!("the event time of a join is {other}"),
        };
        let (left_time, right_time) = (time(&self.left_time)?, time(&self.right_time)?);
        let [left_only, right_only, condition] = conditions;
        let (join_type, time_key) = (self.join_type, self.time_key);
        let join = StreamJoin {
            left,
            right,
            join_type,
            keys,
            left_only,
            right_only,
            condition,
            left_time,
            right_time,
            time_key,
        };
        Self::try_new(join, self.operator, self.partitions)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let left_width = self.left.schema().fields().len();
        let (mut left, mut right): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
        for column in output_columns {
            match column.checked_sub(left_width) {
                None => left.push(*column),
                Some(column) => right.push(column),
            }
        }
        for expr in self.expressions() {
            for column in expr.column_refs() {
                match self.left.schema().maybe_index_of_column(column) {
                    Some(at) => left.push(at),
                    None => right.push(self.right.schema().maybe_index_of_column(column)?),
                }
            }
        }
        for columns in [&mut left, &mut right] {
            columns.sort_unstable();
            columns.dedup();
        }
        Some(vec![left, right])
    }
}
