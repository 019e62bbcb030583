//! Expressions built in Rust mean what they mean in SQL; operators are found by their names.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::util::display::array_value_to_string;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{Expr, LogicalPlan, col, lit};
use datafusion::prelude::{SessionConfig, SessionContext};

use super::{install, operators};

fn context() -> Result<SessionContext> {
    let config = SessionConfig::new().set_str("datafusion.execution.time_zone", "UTC").with_target_partitions(1);
    let builder = SessionStateBuilder::new().with_config(config).with_default_features();
    let context = SessionContext::new_with_state(install(builder).build());
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("i", Arc::new(Int32Array::from(vec![7]))),
        ("l", Arc::new(Int64Array::from(vec![i64::MAX]))),
        ("z", Arc::new(Int32Array::from(vec![0]))),
        ("n", Arc::new(Int32Array::from(vec![None]))),
        ("s", Arc::new(StringArray::from(vec!["2024-02-29"]))),
        ("dt", Arc::new(Date32Array::from(vec![19_782]))),
        ("dec", Arc::new(Decimal128Array::from(vec![100]).with_precision_and_scale(5, 2)?)),
    ];
    context.register_batch("t", RecordBatch::try_from_iter(columns)?)?;
    Ok(context)
}

async fn value(expr: Expr) -> Result<String> {
    let context = context()?;
    let batches = context.table("t").await?.select([expr.alias("x")])?.collect().await?;
    array_value_to_string(batches[0].column(0), 0).map_err(DataFusionError::from)
}

#[tokio::test]
async fn rust_expressions_mean_what_sql_means() -> Result<()> {
    let cases: Vec<(Expr, &str)> = vec![
        (col("i") / lit(2), "3.5"),
        (col("i") % lit(4), "3"),
        (-col("i"), "-7"),
        (col("i") + lit(1_i64), "8"),
        (col("i") / col("z"), "[DIVIDE_BY_ZERO]"),
        (col("i") % col("z"), "[REMAINDER_BY_ZERO]"),
        (col("n") / col("z"), ""),
        (col("l") + lit(1), "[ARITHMETIC_OVERFLOW]"),
        (col("l") * lit(2), "[ARITHMETIC_OVERFLOW]"),
        (-(col("l") * lit(-1) - lit(1)), "[ARITHMETIC_OVERFLOW]"),
        (col("dec") / lit(3), "0.333333"),
        (col("dec") * col("dec"), "1.0000"),
        (col("dt").eq(col("s")), "true"),
        (col("dt") + lit(1), "2024-03-01"),
        (col("i").gt(lit("6")), "true"),
        (lit(1.5_f64) + lit(1.0_f64), "2.5"),
    ];
    for (expr, expected) in cases {
        let shown = expr.to_string();
        let answer = match value(expr).await {
            Ok(value) => value,
            Err(error) => error.strip_backtrace(),
        };
        let is_right = if expected.starts_with('[') { answer.contains(expected) } else { answer == expected };
        assert!(is_right, "{shown}: expected {expected}, got {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn constants_are_folded_and_operators_are_known_by_name() -> Result<()> {
    let context = context()?;
    let known: Vec<String> = operators().iter().map(|function| function.name().to_string()).collect();
    let frame = context.table("t").await?.select([(lit(7) / lit(2)).alias("c"), (col("i") / lit(2)).alias("v")])?;
    let plan = context.state().optimize(frame.logical_plan())?;
    let mut literals = Vec::new();
    plan.apply_with_subqueries(|node: &LogicalPlan| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                match expr {
                    Expr::Literal(value, _) => literals.push(value.clone()),
                    Expr::ScalarFunction(call) => {
                        assert!(known.iter().any(|name| name == call.name()), "{}", call.name())
                    }
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    assert!(literals.contains(&ScalarValue::Float64(Some(3.5))), "{plan}");
    for name in &known {
        assert!(context.state().scalar_functions().contains_key(name), "{name} is not registered");
    }
    Ok(())
}
