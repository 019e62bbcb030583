//! An analyzer rule that gives expressions built in Rust (`col("a") / lit(2)`) the meaning that SQL gives them.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::optimizer::AnalyzerRule;

use super::semantics::{Op, Semantics};
use super::types::{is_interval, is_timestamp};

/// Runs before DataFusion's type coercion. What SQL has planned is left as it is: its operands have one type already.
#[derive(Debug, Default)]
pub struct SparkOperators;

impl AnalyzerRule for SparkOperators {
    fn name(&self) -> &str {
        "spark_operators"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let zone: Arc<str> = config.execution.time_zone.as_deref().unwrap_or("UTC").into();
        let analyzed = plan.transform_up_with_subqueries(|plan| node(plan, &zone))?;
        Ok(analyzed.data)
    }
}

fn node(plan: LogicalPlan, zone: &Arc<str>) -> Result<Transformed<LogicalPlan>> {
    let mut schema = DFSchema::empty();
    for input in plan.inputs() {
        schema.merge(input.schema());
    }
    if plan.inputs().is_empty() {
        schema.merge(plan.schema());
    }
    let names = NamePreserver::new(&plan);
    let rewritten = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(|expr| operator(expr, &schema, zone))?;
        Ok(if rewritten.transformed { rewritten.update_data(|expr| name.restore(expr)) } else { rewritten })
    })?;
    if rewritten.transformed { rewritten.map_data(LogicalPlan::recompute_schema) } else { Ok(rewritten) }
}

fn operator(expr: Expr, schema: &DFSchema, zone: &Arc<str>) -> Result<Transformed<Expr>> {
    let semantics = Semantics::new(schema, zone);
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (Ok(left_type), Ok(right_type)) = (left.get_type(schema), right.get_type(schema)) else {
                return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })));
            };
            match op_of(op).filter(|op| needs_us(*op, &left_type, &right_type)) {
                Some(op) => semantics.binary(*left, op, *right).map(Transformed::yes),
                None => Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
            }
        }
        Expr::Negative(inner) => match inner.get_type(schema) {
            Ok(DataType::Float32 | DataType::Float64) | Err(_) => Ok(Transformed::no(Expr::Negative(inner))),
            Ok(_) => semantics.negate(*inner).map(Transformed::yes),
        },
        other => Ok(Transformed::new(other, false, TreeNodeRecursion::Continue)),
    }
}

/// Whether DataFusion's operator on these types is not Spark's.
fn needs_us(op: Op, left: &DataType, right: &DataType) -> bool {
    use DataType as T;
    let is_unsigned = |data_type: &T| matches!(data_type, T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64);
    if is_unsigned(left) || is_unsigned(right) {
        return false;
    }
    match op {
        Op::Add | Op::Subtract | Op::Multiply => !(left == right && matches!(left, T::Float32 | T::Float64)),
        Op::Divide | Op::Modulo => true,
        Op::Eq | Op::NullSafeEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq => {
            let is_time = |data_type: &T| is_timestamp(data_type) || *data_type == T::Date32 || is_interval(data_type);
            left != right && (*left == T::Utf8 || *right == T::Utf8 || is_time(left) || is_time(right))
        }
        _ => false,
    }
}

fn op_of(op: Operator) -> Option<Op> {
    Some(match op {
        Operator::Plus => Op::Add,
        Operator::Minus => Op::Subtract,
        Operator::Multiply => Op::Multiply,
        Operator::Divide => Op::Divide,
        Operator::Modulo => Op::Modulo,
        Operator::Eq => Op::Eq,
        Operator::IsNotDistinctFrom => Op::NullSafeEq,
        Operator::Lt => Op::Lt,
        Operator::LtEq => Op::LtEq,
        Operator::Gt => Op::Gt,
        Operator::GtEq => Op::GtEq,
        _ => return None,
    })
}
