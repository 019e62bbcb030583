//! A child process and what it cost: read from /proc while it runs, so its own and nobody else's.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

/// What a process cost. Its last ten milliseconds may be missing from the CPU time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// From start to end, in seconds.
    pub(crate) wall_s: f64,
    /// CPU time of all its threads, in seconds.
    pub(crate) cpu_s: f64,
    /// The most memory it ever had resident (VmHWM), in bytes.
    pub(crate) peak_bytes: u64,
}

/// Runs `command` to its end. `watch` is called every few milliseconds with the process id and may end it early by
/// returning `false`: it is then interrupted as by Ctrl-C.
pub(crate) fn run(mut command: Command, mut watch: impl FnMut(u32) -> Result<bool>) -> Result<(String, Cost)> {
    let shown = format!("{command:?}");
    let start = Instant::now();
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().map_err(|e| format!("{shown}: {e}"))?;
    let stdout = child.stdout.take().ok_or("no standard output")?;
    let reader = thread::spawn(move || std::io::read_to_string(stdout));
    let mut cost = Cost::default();
    let mut interrupted = false;
    let status = loop {
        sample(child.id(), &mut cost);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if !interrupted {
            match watch(child.id()) {
                Ok(true) => {}
                Ok(false) => {
                    interrupt(&child)?;
                    interrupted = true;
                }
                Err(error) => {
                    child.kill()?;
                    child.wait()?;
                    return Err(error);
                }
            }
        }
        thread::sleep(Duration::from_millis(5));
    };
    cost.wall_s = start.elapsed().as_secs_f64();
    let output = reader.join().map_err(|_| "the reader of the output failed")??;
    if !status.success() {
        return Err(format!("{shown} ended with {status}").into());
    }
    Ok((output, cost))
}

/// Resident memory of a process now, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    status_kib(pid, "VmRSS:").map(|kib| kib * 1024)
}

fn interrupt(child: &Child) -> Result<()> {
    let done = Command::new("kill").args(["-INT", &child.id().to_string()]).status()?;
    if done.success() { Ok(()) } else { Err("the process could not be interrupted".into()) }
}

fn sample(pid: u32, cost: &mut Cost) {
    if let Some(kib) = status_kib(pid, "VmHWM:") {
        cost.peak_bytes = cost.peak_bytes.max(kib * 1024);
    }
    // Fields 14 and 15 of proc(5)'s stat, counted after the command's name in parentheses; ticks are 1/100 s on Linux.
    if let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat"))
        && let Some((_, fields)) = stat.rsplit_once(')')
    {
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum();
        cost.cpu_s = cost.cpu_s.max(ticks as f64 / 100.0);
    }
}

fn status_kib(pid: u32, key: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
}
