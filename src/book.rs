//! The Rust code of the book and of the README, as doc tests of this crate: one binary for all of it.
//!
//! A chapter with Rust code needs a line here; a test of the whole repository looks that it has one.

macro_rules! chapters {
    ($($name:ident: $file:literal,)*) => { $(
        #[doc = include_str!($file)]
        mod $name {}
    )* };
}

chapters! {
    readme: "../README.md",
    closures: "../docs/connectors/closures.md",
    event_time: "../docs/event-time.md",
    memory: "../docs/connectors/memory.md",
    moving: "../docs/moving-from-spark.md",
    own: "../docs/connectors/own.md",
    quickstart: "../docs/quickstart.md",
    state_store: "../docs/state-store.md",
}
