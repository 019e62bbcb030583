//! `millstream run`: the statements of a script, then the queries that they started.

use std::io::{IsTerminal, Read};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use millstream::query::StreamingQuery;
use millstream::statements::Outcome;
use millstream::{Error, Result, StreamSession};

use super::Settings;
use super::live::{LiveProgress, clear_lines, output_is_closed};
use super::output::{ShowError, describe, report, show};
use super::signals::StopSignals;

/// How a script ended.
enum End {
    /// All statements and queries ended well, or were stopped.
    Well,
    /// One failed; the error has been printed.
    Failed,
}

/// Runs a script; its exit code.
pub(super) async fn run(file: &Path, settings: &Settings) -> ExitCode {
    let (session, mut signals) = match prepare(settings).await {
        Ok(prepared) => prepared,
        Err(error) => {
            report(&describe(&error, None));
            return ExitCode::FAILURE;
        }
    };
    let end = tokio::select! {
        end = script(&session, file, settings) => end,
        () = signals.wait() => End::Well,
    };
    // Nothing is lost: what was not committed is read again by the next run.
    let stopped = session.streams().stop_all().await;
    clear_lines();
    match (end, stopped) {
        (End::Well, Ok(())) => ExitCode::SUCCESS,
        (End::Well, Err(_)) if output_is_closed() => ExitCode::SUCCESS,
        (End::Well, Err(error)) => {
            report(&describe(&error, None));
            ExitCode::FAILURE
        }
        (End::Failed, _) => ExitCode::FAILURE,
    }
}

async fn prepare(settings: &Settings) -> Result<(StreamSession, StopSignals)> {
    let signals = StopSignals::listen().map_err(|e| Error::internal(format!("signals cannot be listened to: {e}")))?;
    Ok((super::session(settings).await?, signals))
}

async fn script(session: &StreamSession, file: &Path, settings: &Settings) -> End {
    let text = match read(file) {
        Ok(text) => text,
        Err(error) => return failed(&error, None),
    };
    if std::io::stderr().is_terminal() {
        session.streams().add_listener(Arc::new(LiveProgress::new()));
    }
    let mut started = Vec::new();
    let statements = match session.parse(&text) {
        Ok(statements) => statements,
        Err(error) => return failed(&error, None),
    };
    for statement in statements {
        let place = Some((statement.location.line, statement.location.column));
        let outcome = match session.execute(&statement).await {
            Ok(outcome) => outcome,
            Err(error) => return failed(&error, place),
        };
        if let Outcome::Started(query) = &outcome {
            started.push(Arc::clone(query));
        }
        match show(session, outcome, settings.format).await {
            Ok(()) => {}
            Err(ShowError::OutputClosed) => return End::Well,
            Err(ShowError::Failed(error)) => return failed(&error, place),
        }
    }
    wait(started).await
}

/// Waits for the queries; the first that fails ends the waiting.
async fn wait(queries: Vec<Arc<StreamingQuery>>) -> End {
    let mut running: FuturesUnordered<_> =
        queries.into_iter().map(|query| async move { query.await_termination().await }).collect();
    while let Some(ended) = running.next().await {
        match ended {
            // What a query could not print nobody wanted to see: the batch is there when it goes on.
            Err(_) if output_is_closed() => return End::Well,
            Err(error) => return failed(&error, None),
            Ok(()) => {}
        }
    }
    End::Well
}

fn failed(error: &Error, place: Option<(u64, u64)>) -> End {
    report(&describe(error, place));
    End::Failed
}

fn read(file: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let outcome = match file == Path::new("-") {
        true => std::io::stdin().lock().read_to_end(&mut bytes).map(|_| ()),
        false => std::fs::read(file).map(|read| bytes = read),
    };
    outcome.map_err(|e| Error::invalid(format!("{} cannot be read: {e}", file.display())))?;
    String::from_utf8(bytes).map_err(|_| Error::invalid(format!("{} is not UTF-8 text", file.display())))
}
