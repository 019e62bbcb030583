//! Aggregates in expressions that were built in Rust are Spark's, DataFusion's of the same name included.

use arrow::datatypes::DataType;
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::DataFusionError;
use datafusion::functions_aggregate::expr_fn as theirs;
use datafusion::logical_expr::col;
use millstream_engine::Result;

use crate::StreamSessionBuilder;
use crate::functions::{avg, count_all, count_distinct, first, ignore_nulls, max_by, sum};

#[tokio::test]
async fn calls_from_rust_are_sparks() -> Result<()> {
    let session = StreamSessionBuilder::new().build().await?;
    let rows = "SELECT * FROM VALUES (1, 1, 1.50, 'a'), (1, 2, 2.25, CAST(NULL AS STRING)), (2, 3, NULL, NULL), (2, 5, 0.10, 'b') AS t(g, v, d, s)";
    let frame = session.sql(rows).await?.group_by([col("G")])?;
    let frame = frame.agg([
        count_all().alias("n"),
        count_distinct(col("s")).alias("names"),
        sum(col("v")).alias("total"),
        avg(col("d")).alias("mean"),
        ignore_nulls(first(col("s"))).alias("first"),
        max_by(col("v"), col("d")).alias("best"),
        theirs::avg(col("d")).alias("their_mean"),
        theirs::var_sample(col("v")).alias("spread"),
        theirs::approx_distinct(col("v")).alias("about"),
    ])?;
    let types: Vec<DataType> = frame.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    assert_eq!(types[4], DataType::Decimal128(7, 6));
    assert_eq!(types[7], DataType::Decimal128(7, 6));
    assert_eq!((&types[3], &types[9]), (&DataType::Int64, &DataType::Int64));
    let batches = frame.order_by([col("g").sort(true, true)])?.collect().await?;
    insta::assert_snapshot!(pretty_format_batches(&batches).map_err(DataFusionError::from)?, @"
    +---+---+-------+-------+----------+-------+------+------------+--------+-------+
    | g | n | names | total | mean     | first | best | their_mean | spread | about |
    +---+---+-------+-------+----------+-------+------+------------+--------+-------+
    | 1 | 2 | 1     | 3     | 1.875000 | a     | 2    | 1.875000   | 0.5    | 2     |
    | 2 | 2 | 1     | 8     | 0.100000 | b     | 5    | 0.100000   | 2.0    | 2     |
    +---+---+-------+-------+----------+-------+------+------------+--------+-------+
    ");
    Ok(())
}
