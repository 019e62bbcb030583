//! Real-time analytics of a shop: four queries over two Kafka topics, at once and in one process.
//!
//! ```text
//! user-events ──┬─► page_views       update, console      who looks at what, in sliding windows
//!               ├─► sessions         append, Parquet      what each session looked at, a folder a day
//!               └─┐
//! transactions ─┬─┴► recommendations append, Kafka        pages visited, beside merchants bought from
//!               └──► fraud           update, SQLite       who pays suspiciously, upserted once for each batch
//! ```
//! Without arguments it brings its own Kafka and shoppers, and shows a page on the terminal until it is stopped:
//! `cargo run -p examples -- realtime_analytics`; `--help` tells how to point it at a Kafka of yours.
//!
//! # Read next
//! `queries.rs` (the pipeline itself) → `suspicions.rs` (an upsert that may be asked twice) → `shoppers.rs` (what is
//! produced) → `board.rs` (what is known of the queries) → `page.rs` and `lines.rs` (how it is shown).

mod arguments;
mod board;
mod lines;
mod page;
mod queries;
mod shoppers;
mod suspicions;

use std::io::IsTerminal;
use std::sync::Arc;

use futures::future::try_join_all;
use millstream::prelude::*;
use millstream::{Error, Result};
use tokio::signal::unix::{SignalKind, signal};

use crate::broker::Broker;
use arguments::Arguments;
use board::Board;
use page::Page;
use shoppers::Shoppers;

pub(crate) async fn run() -> Result<()> {
    let arguments = Arguments::of_command_line()?;
    let topics = [(queries::EVENTS, 2), (queries::TRANSACTIONS, 2), (queries::RECOMMENDATIONS, 1)];
    let broker = Broker::connect(arguments.bootstrap_servers.clone(), &topics).await?;
    let session = StreamSession::builder().app_name("realtime_analytics").build().await?;
    let board = Arc::new(Board::new(&arguments, &broker.servers));
    let listener: Arc<dyn StreamingQueryListener> = Arc::<Board>::clone(&board);
    session.streams().add_listener(listener);

    let has_page = std::io::stdout().is_terminal() && !arguments.plain;
    let running = queries::start(&session, &broker, &arguments, &board, has_page).await?;
    if arguments.produces() {
        let shoppers = Shoppers::new(&arguments);
        board.shows_produced(shoppers.counts());
        tokio::spawn(shoppers.go_shopping(broker.client()));
    }
    if has_page {
        tokio::spawn(board::follow_sessions(
            session.clone(),
            Arc::clone(&board),
            arguments.sessions_folder().display().to_string(),
        ));
        board::follow_recommendations(&broker, Arc::clone(&board))?;
    }
    let shown = match has_page {
        true => Some(Page::open(Arc::clone(&board))?),
        false => {
            tokio::spawn(lines::report(Arc::clone(&board)));
            None
        }
    };
    // All of them, where there is an end to what they read; or the first that fails.
    let ended = async { try_join_all(running.iter().map(|query| query.await_termination())).await.map(drop) };
    let ended = tokio::select! {
        ended = ended => ended,
        asked = asked_to_stop(&arguments, shown.as_ref()) => asked,
    };
    let stopped = session.streams().stop_all().await;
    // The terminal is as it was before the last words are said.
    drop(shown);
    lines::summary(&board, &arguments);
    ended.and(stopped)
}

/// Returns after `--duration`, at Ctrl-C, when the process is told to end, or when the page is left.
async fn asked_to_stop(arguments: &Arguments, page: Option<&Page>) -> Result<()> {
    let no_signals = |e| Error::internal(format!("signals cannot be waited for: {e}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let over = async {
        match arguments.duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    let left = async {
        match page {
            Some(page) => page.left().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.map_err(no_signals),
        _ = terminate.recv() => Ok(()),
        () = over => Ok(()),
        () = left => Ok(()),
    }
}
