//! Reports as plain lines on standard error, where standard output is no terminal.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::arguments::Arguments;
use super::board::Board;
use super::queries::NAMES;

/// How long between two reports.
const EVERY: Duration = Duration::from_secs(5);

/// Reports until the process ends.
pub(crate) async fn report(board: Arc<Board>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.tick().await;
    let mut alerts_reported = 0;
    loop {
        ticks.tick().await;
        queries(&board);
        alerts(&board, &mut alerts_reported);
    }
}

fn queries(board: &Board) {
    let news = board.news();
    for name in NAMES {
        let Some(query) = news.queries.get(name) else { continue };
        eprintln!(
            "{name:<16} batch {:>5}  {:>8.0} rows/s  watermark {}  {:>7} rows of state  {:>5} too late  {:>5} ms",
            query.batch_id,
            query.rows_per_second(),
            query.watermark,
            query.state_rows,
            query.late_rows,
            query.latency_ms
        );
    }
}

fn alerts(board: &Board, reported: &mut u64) {
    let news = board.news();
    let new = usize::try_from(news.alerts_raised - *reported).unwrap_or(usize::MAX);
    *reported = news.alerts_raised;
    for alert in news.alerts.iter().take(new).take(5) {
        eprintln!(
            "ALERT {} {}: {} payments, {:.2} in all, to {} merchants by {}: score {}",
            alert.window_start,
            alert.user_id,
            alert.payments,
            alert.total,
            alert.merchants,
            alert.methods.join(", "),
            alert.score
        );
    }
}

/// What there is to say at the end.
pub(crate) fn summary(board: &Board, arguments: &Arguments) {
    if let Some(produced) = board.produced() {
        let of = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        eprintln!(
            "Produced {} events and {} transactions, {} of them late, {} twice, {} broken.",
            of(&produced.events),
            of(&produced.transactions),
            of(&produced.late),
            of(&produced.duplicated),
            of(&produced.malformed)
        );
    }
    let news = board.news();
    for name in NAMES {
        let Some(query) = news.queries.get(name) else { continue };
        eprintln!("{name:<16} read {} rows in {} batches", query.input_rows, query.batch_id + 1);
    }
    let output = arguments.output().display();
    eprintln!("Results: {output}/fraud.db (SQLite), {output}/sessions (Parquet), the topic recommendations (Kafka)");
}
