//! The `millstream` command: runs SQL files, and is a shell.

mod command;

/// Batches are many small allocations that live shortly, on many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    command::main()
}
