//! The shell: statements, typed in lines and ended by `;`. Queries go on running while the next statement is typed.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use millstream::listener::{QueryTerminated, StreamingQueryListener};
use millstream::statements::{Outcome, STATEMENTS};
use millstream::{Error, Result, StreamSession};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use tokio::runtime::Runtime;

use super::Settings;
use super::output::{ShowError, describe, report, show};
use super::signals::StopSignals;

const HELP: &str =
    "Statements end with ';' and may span lines. Ctrl-C drops what is typed, or stops waiting for a statement;
queries go on running. \\q or Ctrl-D leaves and stops all queries; nothing is lost.\n";

/// What a line, together with those before it, amounts to.
enum Input {
    /// More lines are needed.
    Incomplete,
    /// Statements to execute.
    Script(String),
    Help,
    Quit,
}

/// Reads and executes statements until the user leaves; the exit code.
pub(super) fn shell(runtime: &Runtime, settings: &Settings) -> ExitCode {
    match talk(runtime, settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&describe(&error, None));
            ExitCode::FAILURE
        }
    }
}

fn talk(runtime: &Runtime, settings: &Settings) -> Result<()> {
    let session = runtime.block_on(super::session(settings))?;
    let failures = Arc::new(Failures::default());
    session.streams().add_listener(Arc::clone(&failures) as Arc<dyn StreamingQueryListener>);
    let terminal = |e: ReadlineError| Error::unavailable(format!("the terminal cannot be read: {e}"));
    let mut editor = DefaultEditor::new().map_err(terminal)?;
    let history = history_file();
    if let Some(file) = &history {
        // There is none the first time.
        let _ = editor.load_history(file);
    }
    eprintln!("Millstream {}. \\h for help, \\q to leave.", env!("CARGO_PKG_VERSION"));
    let mut typed = String::new();
    loop {
        failures.print();
        match editor.readline(if typed.is_empty() { "millstream> " } else { "         -> " }) {
            Ok(line) => match input(&mut typed, &line) {
                Input::Incomplete => {}
                Input::Help => print_help(),
                Input::Quit => break,
                Input::Script(script) => {
                    let _ = editor.add_history_entry(script.trim());
                    runtime.block_on(execute(&session, &script, settings));
                }
            },
            Err(ReadlineError::Interrupted) => typed.clear(),
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(terminal(error)),
        }
    }
    if let Some(file) = &history {
        let _ = editor.save_history(file);
    }
    runtime.block_on(session.streams().stop_all())
}

/// Takes a line in. A script is complete when it ends with `;` outside of quotes and comments.
fn input(typed: &mut String, line: &str) -> Input {
    if typed.is_empty() {
        match line.trim().trim_end_matches(';').to_lowercase().as_str() {
            "" => return Input::Incomplete,
            "\\q" | "quit" | "exit" => return Input::Quit,
            "\\h" | "\\?" | "help" => return Input::Help,
            _ => {}
        }
    }
    typed.push_str(line);
    typed.push('\n');
    match is_complete(typed) {
        true => Input::Script(std::mem::take(typed)),
        false => Input::Incomplete,
    }
}

/// Whether the last thing in `text`, comments and white space aside, is a semicolon outside of quotes.
fn is_complete(text: &str) -> bool {
    let mut quote: Option<char> = None;
    let mut ends = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('\'' | '"'), '\\') => {
                chars.next();
            }
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '-') if chars.peek() == Some(&'-') => while chars.next_if(|c| *c != '\n').is_some() {},
            (None, '/') if chars.peek() == Some(&'*') => {
                chars.next();
                let mut last = ' ';
                if !chars.any(|c| std::mem::replace(&mut last, c) == '*' && c == '/') {
                    return false;
                }
            }
            (None, '\'' | '"' | '`') => {
                quote = Some(c);
                ends = false;
            }
            (None, ';') => ends = true,
            (None, c) if c.is_whitespace() => {}
            (None, _) => ends = false,
        }
    }
    quote.is_none() && ends
}

async fn execute(session: &StreamSession, script: &str, settings: &Settings) {
    let Ok(mut signals) = StopSignals::listen() else { return };
    let statements = match session.parse(script) {
        Ok(statements) => statements,
        Err(error) => return report(&describe(&error, None)),
    };
    for statement in statements {
        let done = async {
            let outcome = session.execute(&statement).await?;
            if let Outcome::Started(query) = &outcome {
                eprintln!("started {} ({})", query.label(), query.id());
            }
            show(session, outcome, settings.format).await
        };
        tokio::select! {
            done = done => match done {
                Ok(()) | Err(ShowError::OutputClosed) => {}
                Err(ShowError::Failed(error)) => return report(&describe(&error, None)),
            },
            () = signals.wait() => return eprintln!("interrupted; queries go on running"),
        }
    }
}

fn print_help() {
    eprintln!("{HELP}");
    for (form, meaning) in STATEMENTS {
        eprintln!("  {form}\n      {meaning}");
    }
}

/// Where lines are remembered: below `$XDG_STATE_HOME`, or `~/.local/state`.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let folder =
        state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?.join("millstream");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}

/// Queries that failed while something else was typed.
#[derive(Debug, Default)]
struct Failures(Mutex<Vec<Error>>);

impl Failures {
    fn print(&self) {
        for error in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            report(&describe(&error, None));
        }
    }
}

impl StreamingQueryListener for Failures {
    fn on_query_terminated(&self, event: &QueryTerminated) {
        if let Some(error) = &event.exception {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(error.clone());
        }
    }
}
