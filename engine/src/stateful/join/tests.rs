//! A join of two streams against a batch join of the rows that were in time: any rows, any cut into batches, restarts
//! between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt16Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use datafusion_common::Result;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion_physical_plan::joins::utils::build_join_schema;
use millstream_state::{FixedBudget, KEY_GROUP_COLUMN, KeyEncoder, Place, StoreId, StoreOptions, Stores, VersionRef};
use proptest::prelude::*;

use super::range::TimeBound;
use super::side::{SideDrafts, SideLayout, SideState};
use super::spec::{Buckets, Expiry, JoinSpec, SideSpec, StreamJoinType};
use super::work::{JoinPlan, JoinWork, SidePlan};
use crate::batch_context::OperatorWatermarks;
use crate::error::Error;
use crate::joining::{ConditionColumn, JoinSideOf, OutputColumns, PairCondition};
use crate::plan::codec::NodeExpression;

const SECOND: i64 = 1_000_000;
/// How late rows may be, in seconds.
const DELAY: i64 = 5;

/// Key, time in seconds, and a number of its own.
type Row = (Option<u8>, Option<i64>, i64);

/// What the times of a pair must fulfil: `right − left` in seconds, each end open where it is `None`.
#[derive(Clone, Copy, Debug)]
struct Range {
    first: Option<i64>,
    last: Option<i64>,
}

impl Range {
    fn holds(self, left: Option<i64>, right: Option<i64>) -> bool {
        match (self, left, right) {
            (Self { first: None, last: None }, _, _) => true,
            (range, Some(left), Some(right)) => {
                range.first.is_none_or(|first| right - left >= first)
                    && range.last.is_none_or(|last| right - left <= last)
            }
            _ => false,
        }
    }

    fn bounds(self) -> Vec<TimeBound> {
        let bound =
            |is_lower, offset: i64| TimeBound { left: 1, right: 1, is_lower, is_strict: false, offset, slack: 0 };
        let lower = self.last.map(|last| bound(true, -last * SECOND));
        let upper = self.first.map(|first| bound(false, -first * SECOND));
        lower.into_iter().chain(upper).collect()
    }
}

#[derive(Clone, Copy, Debug)]
struct Case {
    join_type: StreamJoinType,
    range: Range,
    /// The time is one of the keys.
    by_time: bool,
    /// Whether rows are stored by buckets of time where they can be.
    bucketed: bool,
    /// Left rows with a smaller number than this have no match.
    least: i64,
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8, true),
        Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("v", DataType::Int64, true),
    ]))
}

fn spec(case: Case) -> JoinSpec {
    let bounds = case.range.bounds();
    let side = |side: JoinSideOf| {
        let keys = if case.by_time { vec![0, 1] } else { vec![0] };
        let has_bound = bounds.iter().any(|bound| bound.is_lower == (side == JoinSideOf::Left));
        let expiry = match (case.by_time, has_bound) {
            (true, _) => Expiry::Key(1),
            (false, true) => Expiry::Value(1),
            (false, false) => Expiry::Never,
        };
        let (first, last) = match (case.by_time, case.range.first, case.range.last) {
            (true, _, _) => (Some(0), Some(0)),
            (false, Some(first), Some(last)) if side == JoinSideOf::Right => (Some(first), Some(last)),
            (false, Some(first), Some(last)) => (Some(-last), Some(-first)),
            _ => (None, None),
        };
        let buckets = first.zip(last).filter(|_| case.bucketed).map(|(first, last)| Buckets {
            column: 1,
            width: (last - first).max(2) * SECOND / 2,
            other_column: 1,
            first: first * SECOND,
            last: last * SECOND,
        });
        SideSpec { keys, event_time: Some(1), expiry, buckets }
    };
    JoinSpec {
        operator: 0,
        partitions: 1,
        join_type: case.join_type,
        left: side(JoinSideOf::Left),
        right: side(JoinSideOf::Right),
        null_safe: vec![false; if case.by_time { 2 } else { 1 }],
        bounds,
    }
}

/// `right.t − left.t` in the range, as an expression over both times.
fn condition(range: Range) -> Option<PairCondition> {
    let times = [("lt", 0), ("rt", 1)];
    let fields = times.map(|(name, _)| Field::new(name, schema().field(1).data_type().clone(), true));
    let column = |at: usize| Arc::new(Column::new(times[at].0, at)) as Arc<dyn PhysicalExpr>;
    let moved = |seconds: i64| -> Arc<dyn PhysicalExpr> {
        let by = datafusion_common::ScalarValue::DurationMicrosecond(Some(seconds * SECOND));
        Arc::new(BinaryExpr::new(column(0), datafusion_expr::Operator::Plus, Arc::new(Literal::new(by))))
    };
    let compare = |op, seconds| Arc::new(BinaryExpr::new(column(1), op, moved(seconds))) as Arc<dyn PhysicalExpr>;
    let first = range.first.map(|seconds| compare(datafusion_expr::Operator::GtEq, seconds));
    let last = range.last.map(|seconds| compare(datafusion_expr::Operator::LtEq, seconds));
    let and = |a, b| Arc::new(BinaryExpr::new(a, datafusion_expr::Operator::And, b)) as Arc<dyn PhysicalExpr>;
    let expr = first.into_iter().chain(last).reduce(and)?;
    let columns = [JoinSideOf::Left, JoinSideOf::Right].map(|side| ConditionColumn { side, column: 1 });
    Some(PairCondition::new(expr, columns.to_vec(), Arc::new(Schema::new(fields.to_vec()))))
}

fn plan(case: Case) -> Result<JoinPlan> {
    let spec = spec(case);
    let (output, indices) = build_join_schema(&schema(), &schema(), &case.join_type.datafusion());
    let nullable = output.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>();
    let least: Arc<dyn PhysicalExpr> = Arc::new(BinaryExpr::new(
        Arc::new(Column::new("v", 2)),
        datafusion_expr::Operator::GtEq,
        Arc::new(Literal::new(case.least.into())),
    ));
    let side = |side: JoinSideOf, condition| {
        SidePlan::new(SideLayout::new(spec.side(side), schema(), spec.join_type.keeps_unmatched(side)), condition)
    };
    Ok(JoinPlan {
        left: side(JoinSideOf::Left, Some(NodeExpression { expr: least, schema: schema() }))?,
        right: side(JoinSideOf::Right, None)?,
        condition: condition(case.range).filter(|_| !case.by_time),
        output: OutputColumns::new(Arc::new(Schema::new(nullable)), &indices),
        spec,
    })
}

fn batch(rows: &[Row], keys: &[usize]) -> Result<RecordBatch> {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|(k, _, _)| k.map(|k| format!("key {k}"))).collect::<StringArray>()),
        Arc::new(
            rows.iter()
                .map(|(_, t, _)| t.map(|t| t * SECOND))
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
        Arc::new(rows.iter().map(|(_, _, v)| *v).collect::<Int64Array>()),
    ];
    let fields: Vec<_> = keys.iter().map(|key| schema().field(*key).clone()).collect();
    let key_columns: Vec<ArrayRef> = keys.iter().map(|key| Arc::clone(&columns[*key])).collect();
    let encoded = KeyEncoder::new(fields).and_then(|encoder| encoder.encode(&key_columns)).map_err(Error::from)?;
    let mut fields: Vec<Field> = schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.push(Field::new(KEY_GROUP_COLUMN, DataType::UInt16, false));
    let key_groups: ArrayRef = Arc::new(UInt16Array::from(encoded.key_groups()));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), [columns, vec![key_groups]].concat())?)
}

/// Runs the batches and then one with a watermark behind everything; the numbers of the rows of each output row.
async fn run(
    case: Case,
    batches: &[(Vec<Row>, Vec<Row>)],
    restarts: &[bool],
    budget_bytes: usize,
) -> Result<Vec<(Option<i64>, Option<i64>)>> {
    static PLACES: AtomicU64 = AtomicU64::new(0);
    let place = format!("memory://joins/{}", PLACES.fetch_add(1, Ordering::Relaxed));
    let options = StoreOptions { budget: Arc::new(FixedBudget::new(budget_bytes)), ..StoreOptions::default() };
    let stores = Stores::open(Place::open(&place, &[]).map_err(Error::from)?, options);
    let plan = Arc::new(plan(case)?);
    let (mut base, mut late_ms, mut out) = (VersionRef::empty(), 0, Vec::new());
    let mut clock = Clock::default();
    let last = (Vec::new(), Vec::new());
    for (number, (left, right)) in batches.iter().chain([&last]).enumerate() {
        let is_last = number == batches.len();
        let eviction_ms = if is_last { 1_000_000_000 } else { clock.watermark_ms };
        let watermarks = OperatorWatermarks { late_ms, eviction_ms };
        if restarts.get(number).copied().unwrap_or(false) {
            stores.unload();
        }
        let state = stores.begin(&base, base.version + 1, &format!("a{number}")).map_err(Error::from)?;
        let (left_state, right_state) = sides(&plan, &state, late_ms).await?;
        let mut work = JoinWork::new(Arc::clone(&plan), left_state, right_state, watermarks);
        for (side, rows) in [(JoinSideOf::Left, left), (JoinSideOf::Right, right)] {
            // In pieces, as record batches come.
            for rows in rows.chunks(3) {
                work.take_in(side, &batch(rows, &plan.spec.left.keys)?)?;
            }
        }
        let (ready, counts) = work.finish()?;
        if is_last && case.forgets_everything() {
            assert_eq!(counts.rows_total, 0, "{case:?}: rows are left");
        }
        base = state.commit().await.map_err(Error::from)?.reference;
        out.extend(ready.iter().flat_map(|rows| numbers_of(case, rows)));
        late_ms = eviction_ms;
        clock.advance(left, right);
    }
    out.sort_unstable();
    Ok(out)
}

impl Case {
    fn forgets_everything(self) -> bool {
        let spec = spec(self);
        spec.left.expiry != Expiry::Never && spec.right.expiry != Expiry::Never
    }
}

fn numbers_of(case: Case, rows: &RecordBatch) -> Vec<(Option<i64>, Option<i64>)> {
    let numbers = |column: usize| rows.column(column).as_primitive::<Int64Type>().iter().collect::<Vec<_>>();
    match case.join_type {
        StreamJoinType::LeftSemi | StreamJoinType::LeftAnti => {
            numbers(2).into_iter().map(|left| (left, None)).collect()
        }
        _ => numbers(2).into_iter().zip(numbers(5)).collect(),
    }
}

/// The watermark of two streams, as Spark moves it.
#[derive(Default)]
struct Clock {
    left: Option<i64>,
    right: Option<i64>,
    watermark_ms: i64,
}

impl Clock {
    fn advance(&mut self, left: &[Row], right: &[Row]) {
        for (at, rows) in [(&mut self.left, left), (&mut self.right, right)] {
            let latest = rows.iter().filter_map(|(_, time, _)| *time).max().map(|time| (time - DELAY) * 1000);
            *at = (*at).max(latest);
        }
        self.watermark_ms = self.watermark_ms.max(self.left.unwrap_or(0).min(self.right.unwrap_or(0)));
    }
}

/// A batch join of the rows that were in time.
fn expected(case: Case, batches: &[(Vec<Row>, Vec<Row>)]) -> Vec<(Option<i64>, Option<i64>)> {
    let (mut clock, mut late_ms) = (Clock::default(), 0);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for (lefts, rights) in batches {
        let in_time = |row: &&Row| row.1.is_none_or(|time| time * 1000 > late_ms);
        left.extend(lefts.iter().filter(in_time));
        right.extend(rights.iter().filter(in_time));
        late_ms = clock.watermark_ms;
        clock.advance(lefts, rights);
    }
    let matches = |l: &Row, r: &Row| {
        let equal = l.0.is_some() && l.0 == r.0 && (!case.by_time || (l.1.is_some() && l.1 == r.1));
        equal && l.2 >= case.least && (case.by_time || case.range.holds(l.1, r.1))
    };
    let mut out = Vec::new();
    if case.join_type.gives_pairs() {
        for l in &left {
            out.extend(right.iter().filter(|r| matches(l, r)).map(|r| (Some(l.2), Some(r.2))));
        }
    }
    // A row whose time is null never expires, unless it could be given out at once.
    let has_time = |row: &Row| row.1.is_some();
    for l in &left {
        let matched = right.iter().any(|r| matches(l, r));
        let alone = !matched && case.join_type.keeps_unmatched(JoinSideOf::Left) && (has_time(l) || l.2 < case.least);
        if alone || matched && case.join_type == StreamJoinType::LeftSemi {
            out.push((Some(l.2), None));
        }
    }
    for r in right.iter().filter(|r| has_time(r) && case.join_type.keeps_unmatched(JoinSideOf::Right)) {
        if !left.iter().any(|l| matches(l, r)) {
            out.push((None, Some(r.2)));
        }
    }
    out.sort_unstable();
    out
}

fn rows() -> impl Strategy<Value = Vec<(Option<u8>, Option<i64>)>> {
    let key = prop_oneof![1 => Just(None), 9 => (0u8..3).prop_map(Some)];
    let time = prop_oneof![1 => Just(None), 12 => (0i64..60).prop_map(Some)];
    prop::collection::vec((key, time), 0..8)
}

fn batches() -> impl Strategy<Value = Vec<(Vec<Row>, Vec<Row>)>> {
    prop::collection::vec((rows(), rows()), 1..6).prop_map(|batches| {
        let mut numbers = 0..;
        let mut number = |start: i64, rows: Vec<(Option<u8>, Option<i64>)>| -> Vec<Row> {
            // Later batches have later times, mostly.
            rows.into_iter().map(|(k, t)| (k, t.map(|t| t + start), numbers.next().unwrap_or(0))).collect()
        };
        (0..).step_by(15).zip(batches).map(|(start, (l, r))| (number(start, l), number(start, r))).collect()
    })
}

fn case() -> impl Strategy<Value = Case> {
    let both = (-20i64..20, 0i64..20).prop_map(|(first, more)| Range { first: Some(first), last: Some(first + more) });
    let first = (-20i64..20).prop_map(|first| Range { first: Some(first), last: None });
    let last = (-20i64..20).prop_map(|last| Range { first: None, last: Some(last) });
    let none = Just(Range { first: None, last: None });
    let types = prop::sample::select(vec![
        StreamJoinType::Inner,
        StreamJoinType::Left,
        StreamJoinType::Right,
        StreamJoinType::Full,
        StreamJoinType::LeftSemi,
        StreamJoinType::LeftAnti,
    ]);
    let ranges = prop_oneof![4 => both, 1 => first, 1 => last, 1 => none];
    let parts = (types, ranges, any::<bool>(), any::<bool>(), prop_oneof![Just(0i64), 0i64..20]);
    parts
        .prop_map(|(join_type, range, by_time, bucketed, least)| Case { join_type, range, by_time, bucketed, least })
        // Rows without a match are given out when they expire: the side must expire at all, which is checked at the start.
        .prop_filter("a side that never expires keeps its rows without a match", |case| {
            let spec = spec(*case);
            [JoinSideOf::Left, JoinSideOf::Right]
                .iter()
                .all(|side| !case.join_type.keeps_unmatched(*side) || spec.side(*side).expiry != Expiry::Never)
        })
}

/// The state of both sides at `base`, in a batch.
async fn sides(plan: &JoinPlan, state: &millstream_state::Batch, late_ms: i64) -> Result<(SideState, SideState)> {
    let mut sides = Vec::new();
    for (name, side) in [("left", JoinSideOf::Left), ("right", JoinSideOf::Right)] {
        let layout = Arc::clone(&plan.side(side).layout);
        let mut drafts = Vec::new();
        let schemas = [Some(&layout.rows), Some(&layout.more), Some(&layout.keys), layout.times.as_ref()];
        for (part, schema) in ["rows", "more", "keys", "times"].iter().zip(schemas) {
            let Some(schema) = schema else { continue };
            let id = StoreId::new(0, format!("{name}_{part}"), 0, 1).map_err(Error::from)?;
            drafts.push(state.draft(&id, schema).await.map_err(Error::from)?);
        }
        let expired = plan.spec.state_watermark_ms(side, late_ms).map(|ms| ms * 1000);
        let mut drafts = drafts.into_iter();
        let mut next = || drafts.next().expect("a store");
        let (rows, more, keys) = (next(), next(), next());
        let drafts = SideDrafts { rows, more, keys, times: drafts.next() };
        sides.push(SideState::new(layout, drafts, expired));
    }
    let (right, left) = (sides.pop().expect("a side"), sides.pop().expect("a side"));
    Ok((left, right))
}

#[test]
fn a_hot_key_costs_its_matches_and_no_more() -> Result<()> {
    let range = Range { first: Some(0), last: Some(10) };
    let case = Case { join_type: StreamJoinType::Left, range, by_time: false, bucketed: true, least: 0 };
    let plan = Arc::new(plan(case)?);
    let place = Place::open("memory://joins/hot", &[]).map_err(Error::from)?;
    let stores = Stores::open(place, StoreOptions::default());
    futures::executor::block_on(async {
        let state = stores.begin(&VersionRef::empty(), 1, "a").map_err(Error::from)?;
        let (left, right) = sides(&plan, &state, 0).await?;
        let watermarks = OperatorWatermarks { late_ms: 0, eviction_ms: 0 };
        let mut work = JoinWork::new(Arc::clone(&plan), left, right, watermarks);
        // One row of the one key a second.
        let rows: Vec<Row> = (1..=20_000).map(|second| (Some(1), Some(second), second)).collect();
        for rows in rows.chunks(8192) {
            work.take_in(JoinSideOf::Left, &batch(rows, &[0])?)?;
        }
        work.take_in(JoinSideOf::Right, &batch(&[(Some(1), Some(10_000), 0), (Some(1), Some(30_000), 1)], &[0])?)?;
        let found: usize = work.ready.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(found, 11, "matches");
        let looked_at = work.rows_looked_at();
        assert!((11..=22).contains(&looked_at), "{looked_at} of 20000 rows were looked at for 11 matches");
        work.finish()?;
        state.commit().await.map_err(Error::from)?;
        Ok(())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn all_batches_together_are_the_batch_join(
        case in case(),
        batches in batches(),
        restarts in prop::collection::vec(any::<bool>(), 6),
        // Without memory the stores are in files.
        budget_bytes in prop::sample::select(vec![0, usize::MAX / 2]),
    ) {
        let found = futures::executor::block_on(run(case, &batches, &restarts, budget_bytes)).expect("a join");
        prop_assert_eq!(found, expected(case, &batches));
    }
}
