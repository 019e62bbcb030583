//! What tests of every crate stand on: a clock that stands still, and the contracts of [`Source`](crate::source::Source)
//! and [`Sink`](crate::sink::Sink) as checks to call.

mod check_sink;
mod check_source;
mod manual_clock;

pub use check_sink::check_sink;
pub use check_source::{check_source, read_rows};
pub use manual_clock::ManualClock;
