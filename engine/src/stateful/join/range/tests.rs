//! Every linear form of a condition over two times, and what is none.

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion_common::{DFSchema, Result};
use datafusion_expr::{Expr, Operator, binary_expr, col, lit};

use super::*;

const SECOND: i64 = 1_000_000;

fn side(name: &str) -> DFSchema {
    let time = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
    let fields = vec![
        Field::new(format!("{name}t"), time(Some("UTC")), true),
        Field::new(format!("{name}v"), DataType::Int64, true),
        Field::new(format!("{name}o"), time(Some("UTC")), true),
    ];
    DFSchema::try_from(Schema::new(fields)).expect("a schema")
}

fn seconds(count: i64) -> Expr {
    lit(ScalarValue::DurationMicrosecond(Some(count * SECOND)))
}

fn number(time: &str) -> Expr {
    datafusion_expr::cast(col(time), DataType::Float64)
}

fn whole(time: &str) -> Expr {
    datafusion_expr::cast(col(time), DataType::Int64)
}

/// `left − right` compared with seconds: (at least, strict, seconds).
type Expected = Option<(bool, bool, i64)>;

#[test]
fn what_is_linear_in_one_time_of_each_side_is_a_bound() -> Result<()> {
    let (lower, upper) = (true, false);
    let (strict, included) = (true, false);
    let months = lit(ScalarValue::new_interval_mdn(1, 0, 0));
    let days = lit(ScalarValue::new_interval_mdn(0, 1, 0));
    let cases: Vec<(Expr, Expected)> = vec![
        (col("lt").gt(col("rt")), Some((lower, strict, 0))),
        (col("lt").gt_eq(col("rt")), Some((lower, included, 0))),
        (col("lt").lt(col("rt")), Some((upper, strict, 0))),
        (col("lt").lt_eq(col("rt")), Some((upper, included, 0))),
        (col("rt").gt(col("lt")), Some((upper, strict, 0))),
        (col("rt").lt_eq(col("lt")), Some((lower, included, 0))),
        (col("lt").gt(col("rt") - seconds(8)), Some((lower, strict, -8))),
        ((col("lt") + seconds(8)).gt(col("rt")), Some((lower, strict, -8))),
        ((col("lt") - seconds(8)).lt_eq(col("rt")), Some((upper, included, 8))),
        (col("rt").gt_eq(col("lt") - seconds(5)), Some((upper, included, 5))),
        (col("rt").lt_eq(col("lt") + seconds(60) + seconds(1)), Some((lower, included, -61))),
        (col("rt").lt((seconds(3) + col("lt")) - (seconds(1) - seconds(2))), Some((lower, strict, -4))),
        (Expr::Not(Box::new(col("lt").lt_eq(col("rt")))), Some((lower, strict, 0))),
        (number("lt").gt(number("rt") - lit(2.5)), Some((lower, strict, -3))),
        ((number("lt") - number("rt")).lt(lit(7)), Some((upper, strict, 7))),
        ((col("lt") - col("rt")).lt_eq(seconds(7)), Some((upper, included, 7))),
        (seconds(7).lt_eq(col("lt") - col("rt")), Some((lower, included, 7))),
        ((whole("lt") - lit(8)).lt_eq(whole("rt")), Some((upper, included, 8))),
        (Expr::Negative(Box::new(number("rt"))).gt(lit(10) - number("lt")), Some((lower, strict, 10))),
        (col("lt").gt(col("rt") - days), Some((lower, strict, -86_400))),
        (col("lt").alias("x").gt(col("rt")), Some((lower, strict, 0))),
        // None:
        (col("lt").gt(col("rt") - months), None),
        (col("lt").eq(col("rt")), None),
        (col("lt").gt(seconds(5)), None),
        (col("lv").gt(lit(3)), None),
        (col("lt").gt(col("lo")), None),
        (col("lt").gt(col("rt") + (col("lo") - col("ro"))), None),
        ((number("lt") + number("rt")).gt(lit(1)), None),
        ((number("lt") * lit(2)).gt(number("rt")), None),
        ((number("lt") + number("lt")).gt(number("rt")), None),
        (col("lt").gt(col("rt")).or(col("lv").gt(lit(1))), None),
        (number("lt").gt(number("rt") + col("rv")), None),
        (binary_expr(col("lt"), Operator::NotEq, col("rt")), None),
    ];
    for (condition, expected) in cases {
        let found = time_bounds([&condition], &side("l"), &side("r"));
        let found: Vec<_> = found.iter().map(|b| (b.is_lower, b.is_strict, b.offset, b.left, b.right)).collect();
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(is_lower, is_strict, seconds)| {
                let micros = if seconds == -3 { -2_500_000 } else { seconds * SECOND };
                (is_lower, is_strict, micros, 0, 0)
            })
            .collect();
        assert_eq!(found, expected, "{condition}");
    }
    Ok(())
}

#[test]
fn bounds_say_until_when_rows_are_needed_and_where_to_look() {
    let of = |condition: Expr| time_bounds([&condition], &side("l"), &side("r"));
    let state = |bounds: &[TimeBound], side, watermark_ms| {
        bounds.iter().filter_map(|bound| bound.state_watermark_ms(side, 0, watermark_ms)).min()
    };
    // Condition; until when left and right rows are not needed at a watermark of 100 s, in milliseconds; left − right.
    type Case = (Expr, Option<i64>, Option<i64>, Option<(i64, i64)>);
    let cases: Vec<Case> = vec![
        (col("lt").gt(col("rt") - seconds(8)), Some(92_000), None, None),
        (col("lt").gt_eq(col("rt") - seconds(8)), Some(91_999), None, None),
        (col("rt").between(col("lt"), col("lt") + seconds(5)), Some(94_999), Some(99_999), Some((-5, 0))),
        (
            col("rt").gt_eq(col("lt") - seconds(60)).and(col("rt").lt_eq(col("lt") + seconds(600))),
            Some(-500_001),
            Some(39_999),
            Some((-600, 60)),
        ),
        // Of several the most patient counts, and the narrowest to look.
        (
            col("lt").gt(col("rt") - seconds(8)).and(col("lt").gt(col("rt") - seconds(3))).and(col("lt").lt(col("rt"))),
            Some(92_000),
            Some(100_000),
            Some((-3, 0)),
        ),
        // What a cast cut off may be there.
        (
            whole("lt").gt_eq(whole("rt")).and(whole("lt").lt_eq(whole("rt") + lit(1))),
            Some(99_999),
            Some(98_999),
            Some((-1, 2)),
        ),
    ];
    for (condition, left, right, range) in cases {
        let bounds = of(condition.clone());
        assert_eq!(state(&bounds, JoinSideOf::Left, 100_000), left, "{condition}: left");
        assert_eq!(state(&bounds, JoinSideOf::Right, 100_000), right, "{condition}: right");
        let range = range.map(|(least, most)| (least * SECOND, most * SECOND));
        assert_eq!(difference_range(&bounds, 0, 0), range, "{condition}: range");
    }
}
