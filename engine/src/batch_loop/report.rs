//! What a batch did, told as progress.

use std::collections::BTreeMap;

use futures::future::join_all;
use serde_json::Value;

use super::{BatchLoop, Durations, Intent, Ran, millis};
use crate::clock::Stopwatch;
use crate::observations::Observed;
use crate::progress::{
    SinkProgress, SourceProgress, StateOperatorProgress, StaticTableProgress, StreamingQueryProgress, iso_timestamp,
    rows_per_second,
};
use crate::source::Offset;
use crate::stateful::{StatefulNode, stateful_nodes};

impl BatchLoop {
    /// The tables beside the streams, and the rows that were read of each since the last call.
    fn static_tables_read(&self) -> Vec<StaticTableProgress> {
        let built = self.static_sides.take_built();
        let rows = |number| built.get(number).copied().unwrap_or(0);
        let tables = self.static_nodes.iter();
        tables.map(|(number, name)| StaticTableProgress { name: name.clone(), build_rows: rows(number) }).collect()
    }

    /// The watermark of the batch, and the times that the plan's first watermark saw; nothing without a watermark.
    fn event_time(&self, intent: &Intent, observed: &Observed) -> BTreeMap<String, String> {
        let mut entries = BTreeMap::new();
        if !self.watermarks.is_used() {
            return entries;
        }
        entries.insert("watermark".to_string(), iso_timestamp(intent.entry.watermark_ms));
        if let Some(times) = observed.event_times.values().next() {
            let average_ms = i64::try_from(times.sum_ms / i128::from(times.count.max(1))).unwrap_or(0);
            for (name, at_ms) in [("max", times.max_ms), ("min", times.min_ms), ("avg", average_ms)] {
                entries.insert(name.to_string(), iso_timestamp(at_ms));
            }
        }
        entries
    }

    /// What became of each operator's state, the root's first.
    fn state_operators(&self, ran: &Ran) -> Vec<StateOperatorProgress> {
        let Some(state) = &self.state else { return Vec::new() };
        let sizes = state.sizes();
        let of = |node: &dyn StatefulNode| {
            let counts = ran.observed.operators.get(&node.operator()).cloned().unwrap_or_default();
            let size = sizes.get(&node.operator()).copied().unwrap_or_default();
            StateOperatorProgress::new(node, counts, size, ran.state_commit_ms)
        };
        stateful_nodes(self.planned.plan.as_ref()).into_iter().map(of).collect()
    }

    /// Tells the handle and the listeners of a batch that is done.
    pub(super) async fn report(
        &self,
        intent: &Intent,
        ran: &Ran,
        trigger_ms: i64,
        watch: Stopwatch,
        durations: Durations,
        fsync_micros: u64,
    ) {
        let since_last_ms = self.last_trigger_ms.map(|last| (trigger_ms - last) as f64);
        let batch_ms = (watch.elapsed().as_micros() as f64 / 1000.0).max(1.0);
        // Spark's rate of the first batch is over an endless time.
        let input_rate = |rows| since_last_ms.map_or(Some(0.0), |since| rows_per_second(rows, since));
        let newest = join_all(self.sources.iter().map(|source| source.newest())).await;
        let json = |offset: Option<&Offset>| offset.map_or(Value::Null, |offset| offset.json().clone());
        let sources = self.sources.iter().enumerate().map(|(i, source)| SourceProgress {
            description: source.description(),
            // Where the stream itself starts is not told: a first batch has no start, as in Spark.
            start_offset: json(self.committed[i].as_ref()),
            end_offset: json(intent.entry.offsets[i].as_ref()),
            latest_offset: json(newest[i].as_ref()),
            num_input_rows: ran.input_rows[i],
            input_rows_per_second: input_rate(ran.input_rows[i]),
            processed_rows_per_second: rows_per_second(ran.input_rows[i], batch_ms),
            offsets_behind_latest: source.lag(intent.entry.offsets[i].as_ref()),
            metrics: source.metrics(intent.entry.offsets[i].as_ref()).into_iter().collect(),
        });
        let total = ran.input_rows.iter().sum();
        let progress = StreamingQueryProgress {
            id: self.query.id(),
            run_id: self.query.run_id(),
            name: self.query.name().map(str::to_string),
            timestamp: iso_timestamp(trigger_ms),
            batch_id: intent.batch_id,
            batch_duration: millis(watch),
            num_input_rows: total,
            input_rows_per_second: input_rate(total),
            processed_rows_per_second: rows_per_second(total, batch_ms),
            duration_ms: durations.0.into_iter().map(|(step, ms)| (step.to_string(), ms)).collect(),
            event_time: self.event_time(intent, &ran.observed),
            state_operators: self.state_operators(ran),
            sources: sources.collect(),
            sink: SinkProgress {
                description: self.sink.description(),
                num_output_rows: i64::try_from(ran.output_rows).unwrap_or(i64::MAX),
                metrics: self.sink.metrics().into_iter().collect(),
            },
            plan_count: self.plan_count,
            fsync_micros,
            static_tables: self.static_tables_read(),
            warnings: self.warnings.clone(),
        };
        self.query.shared.add_progress(progress.clone());
        self.manager.notify(|listener| listener.on_query_progress(&progress));
    }
}
