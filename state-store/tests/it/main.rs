//! Tests of the state store from outside.

mod crash_points;
mod faults;
mod harness;
mod model;
mod place;
mod reading;
