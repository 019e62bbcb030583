//! Where a plan keeps tables.

use std::sync::Arc;

use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{JoinType, NullEquality, Result};
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_plan::ExecutionPlan;
use datafusion_physical_plan::joins::utils::JoinFilter;
use datafusion_physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion_physical_plan::scalar_subquery::{ScalarSubqueryExec, ScalarSubqueryLink};
use datafusion_session::PhysicalOptimizerRule;

use super::join_exec::{StaticJoin, StaticJoinExec};
use super::kept::key_encoder;
use super::rows_exec::StaticRowsExec;
use crate::joining::{JoinSideOf, PairCondition};
use crate::plan::{SourceExec, SplitsFrom};

/// Puts nodes that keep a table in place of DataFusion's joins of a stream with a table, and around scalar subqueries
/// over tables. It comes before all other rules, so that none of them plans for what is replaced. Of a plan that reads no
/// stream nothing is changed.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeepStaticSides;

impl PhysicalOptimizerRule for KeepStaticSides {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if !reads_stream(&plan) {
            return Ok(plan);
        }
        let mut numbers = 0..;
        let mut number = || numbers.next().unwrap_or(u32::MAX);
        let plan = plan.transform_up(|node| {
            if let Some(subqueries) = node.downcast_ref::<ScalarSubqueryExec>() {
                return Ok(Transformed::yes(kept_subqueries(subqueries, &mut number)));
            }
            match candidate(&node).filter(|candidate| candidate.may_be_kept()) {
                Some(candidate) => Ok(Transformed::yes(candidate.kept(number())?)),
                None => Ok(Transformed::no(node)),
            }
        })?;
        number_tables(plan.data)
    }

    fn name(&self) -> &str {
        "KeepStaticSides"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether `plan` reads a stream.
fn reads_stream(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let is_stream = plan.downcast_ref::<SourceExec>().is_some_and(|scan| scan.stream_number().is_some());
    is_stream || plan.children().into_iter().any(reads_stream)
}

fn kept_subqueries(node: &ScalarSubqueryExec, number: &mut impl FnMut() -> u32) -> Arc<dyn ExecutionPlan> {
    let subqueries = node.subqueries().iter().map(|link| {
        let plan = match link.plan.downcast_ref::<StaticRowsExec>() {
            Some(_) => Arc::clone(&link.plan),
            None => Arc::new(StaticRowsExec::new(number(), table_name(&link.plan), Arc::clone(&link.plan))),
        };
        ScalarSubqueryLink { plan, index: link.index }
    });
    Arc::new(ScalarSubqueryExec::new(Arc::clone(node.input()), subqueries.collect(), node.results().clone()))
}

/// A join of DataFusion's.
struct Candidate<'a> {
    left: &'a Arc<dyn ExecutionPlan>,
    right: &'a Arc<dyn ExecutionPlan>,
    join_type: JoinType,
    null_aware: bool,
    /// `None` where a key is no column.
    keys: Option<Vec<(usize, usize)>>,
    null_equals_null: bool,
    filter: Option<&'a JoinFilter>,
    projection: Option<Vec<usize>>,
}

fn candidate(node: &Arc<dyn ExecutionPlan>) -> Option<Candidate<'_>> {
    if let Some(join) = node.downcast_ref::<HashJoinExec>() {
        let index = |expr: &Arc<dyn datafusion_physical_expr::PhysicalExpr>| {
            expr.downcast_ref::<Column>().map(|column| column.index())
        };
        return Some(Candidate {
            left: join.left(),
            right: join.right(),
            join_type: *join.join_type(),
            null_aware: join.null_aware,
            keys: join.on().iter().map(|(left, right)| Some((index(left)?, index(right)?))).collect(),
            null_equals_null: join.null_equality() == NullEquality::NullEqualsNull,
            filter: join.filter(),
            projection: join.projection.as_ref().map(|columns| columns.to_vec()),
        });
    }
    if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
        return Some(Candidate {
            left: join.left(),
            right: join.right(),
            join_type: *join.join_type(),
            null_aware: false,
            keys: Some(Vec::new()),
            null_equals_null: false,
            filter: join.filter(),
            projection: join.projection().as_ref().map(|columns| columns.to_vec()),
        });
    }
    let join = node.downcast_ref::<CrossJoinExec>()?;
    Some(Candidate {
        left: join.left(),
        right: join.right(),
        join_type: JoinType::Inner,
        null_aware: false,
        keys: Some(Vec::new()),
        null_equals_null: false,
        filter: None,
        projection: None,
    })
}

impl Candidate<'_> {
    fn stream_side(&self) -> Option<JoinSideOf> {
        match (reads_stream(self.left), reads_stream(self.right)) {
            (true, false) => Some(JoinSideOf::Left),
            (false, true) => Some(JoinSideOf::Right),
            _ => None,
        }
    }

    /// Whether our node can do it; what it cannot do is left to DataFusion, which reads the table in every batch.
    fn may_be_kept(&self) -> bool {
        let (Some(stream_side), Some(keys)) = (self.stream_side(), &self.keys) else { return false };
        let (left, right) = (self.left.schema(), self.right.schema());
        let same_types = keys.iter().all(|(l, r)| left.field(*l).data_type() == right.field(*r).data_type());
        let columns: Vec<usize> = keys.iter().map(|(left, _)| *left).collect();
        let has_key_bytes = keys.is_empty() || key_encoder(&left, &columns).is_ok();
        let has_condition = self.filter.is_none_or(|filter| PairCondition::of_filter(filter).is_some());
        let is_plain = !self.null_aware || (self.filter.is_none() && keys.len() == 1);
        let has_rows = self.join(0, stream_side, keys.clone()).stream_rows().is_some();
        same_types && has_key_bytes && has_condition && is_plain && has_rows
    }

    fn join(&self, number: u32, stream_side: JoinSideOf, keys: Vec<(usize, usize)>) -> StaticJoin {
        let table = if stream_side == JoinSideOf::Left { self.right } else { self.left };
        StaticJoin {
            number,
            name: table_name(table),
            stream_side,
            join_type: self.join_type,
            null_aware: self.null_aware,
            keys,
            null_equals_null: self.null_equals_null,
            condition: self.filter.and_then(PairCondition::of_filter),
            projection: self.projection.clone(),
        }
    }

    fn kept(&self, number: u32) -> Result<Arc<dyn ExecutionPlan>> {
        let stream_side = self.stream_side().unwrap_or(JoinSideOf::Left);
        let join = self.join(number, stream_side, self.keys.clone().unwrap_or_default());
        Ok(Arc::new(StaticJoinExec::try_new(join, Arc::clone(self.left), Arc::clone(self.right))?))
    }
}

/// What the tables below `plan` are called.
fn table_name(plan: &Arc<dyn ExecutionPlan>) -> String {
    let mut names = Vec::new();
    // The closure does not fail, so neither does the walk.
    let _ = plan.apply(|node| {
        if node.children().is_empty() {
            let name = match node.downcast_ref::<SourceExec>() {
                Some(scan) => scan.table_name(),
                None => node.name().to_string(),
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    names.join(", ")
}

/// Numbers the tables that are listed again while the query runs, in plan order.
fn number_tables(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let mut known = Vec::new();
    let plan = plan.transform_down(|node| {
        let Some(scan) = node.downcast_ref::<SourceExec>() else { return Ok(Transformed::no(node)) };
        let SplitsFrom::Listed { table, refresh } = scan.splits_from() else { return Ok(Transformed::no(node)) };
        let (table, refresh) = (*table, *refresh);
        let number = known.iter().position(|id| *id == table).unwrap_or_else(|| {
            known.push(table);
            known.len() - 1
        });
        let from = SplitsFrom::Listed { table: number as u64, refresh };
        let numbered: Arc<dyn ExecutionPlan> = Arc::new(scan.with_splits_from(from));
        Ok(Transformed::yes(numbered))
    })?;
    Ok(plan.data)
}

/// The numbers of the tables below `plan` that are listed again while the query runs.
pub(super) fn listed_tables(plan: &Arc<dyn ExecutionPlan>) -> impl Iterator<Item = u64> + use<> {
    let mut numbers = Vec::new();
    // The closure does not fail, so neither does the walk.
    let _ = plan.apply(|node| {
        if let Some(SplitsFrom::Listed { table, .. }) = node.downcast_ref::<SourceExec>().map(SourceExec::splits_from) {
            numbers.push(*table);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    numbers.into_iter()
}

/// The nodes of `plan` that keep a table: number and name of each, by number.
pub(crate) fn static_nodes(plan: &Arc<dyn ExecutionPlan>) -> Vec<(u32, String)> {
    let mut nodes = Vec::new();
    // The closure does not fail, so neither does the walk.
    let _ = plan.apply(|node| {
        if let Some(join) = node.downcast_ref::<StaticJoinExec>() {
            nodes.push((join.join().number, join.join().name.clone()));
        }
        if let Some(rows) = node.downcast_ref::<StaticRowsExec>() {
            nodes.push((rows.number, rows.name.clone()));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    nodes.sort_unstable();
    nodes
}
