//! The command under test.

use millstream_tests::command::Millstream;

/// The `millstream` command.
pub(crate) const MILLSTREAM: Millstream = Millstream::at(env!("CARGO_BIN_EXE_millstream-under-test"));
