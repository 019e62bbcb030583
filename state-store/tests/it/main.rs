//! Tests of the state store from outside.

mod attempts;
mod crash_points;
mod faults;
mod faulty;
mod fixtures;
mod harness;
mod key_groups;
mod larger;
mod model;
mod place;
mod reading;
