//! Tests of the state store from outside.

mod crash_points;
mod faults;
mod fixtures;
mod harness;
mod key_groups;
mod larger;
mod model;
mod place;
mod reading;
