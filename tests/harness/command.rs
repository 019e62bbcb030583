//! The `millstream` command as a process: its output, its exit code, and signals to it.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// The command, found by the test that was built with it.
#[derive(Clone, Copy, Debug)]
pub struct Millstream(&'static str);

/// What a run of the command gave.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Millstream {
    /// The command at `path`: `env!("CARGO_BIN_EXE_millstream-under-test")`.
    pub const fn at(path: &'static str) -> Self {
        Self(path)
    }

    /// A process to be, in the folder `work`, with a fixed time zone.
    pub fn command(&self, work: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(self.0);
        command.args(args).current_dir(work).env("TZ", "UTC").env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }

    /// Runs `sql` from a file in `work` to its end.
    pub fn run_sql(&self, work: &Path, sql: &str) -> io::Result<Ran> {
        self.run_sql_with(work, sql, &[])
    }

    /// As [`run_sql`](Self::run_sql), with more arguments after the file.
    pub fn run_sql_with(&self, work: &Path, sql: &str, args: &[&str]) -> io::Result<Ran> {
        std::fs::write(work.join("query.sql"), sql)?;
        let args: Vec<&str> = ["run", "query.sql"].iter().chain(args).copied().collect();
        Ok(self.command(work, &args).output()?.into())
    }

    /// Starts `sql` from a file in `work`; its output is kept.
    pub fn start_sql(&self, work: &Path, sql: &str, args: &[&str]) -> io::Result<Child> {
        std::fs::write(work.join("query.sql"), sql)?;
        let args: Vec<&str> = ["run", "query.sql"].iter().chain(args).copied().collect();
        self.command(work, &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// Fails unless the command ended well.
    pub fn ok(self) -> io::Result<Self> {
        match self.code {
            Some(0) => Ok(self),
            _ => Err(io::Error::other(format!("exit code {:?}: {}", self.code, self.stderr.trim()))),
        }
    }
}

/// Sends `signal` to a child.
pub fn send(child: &Child, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    Ok(kill_process(pid.ok_or_else(|| io::Error::other("the child has no process id"))?, signal)?)
}
