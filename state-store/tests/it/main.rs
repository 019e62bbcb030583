//! Tests of the state store from outside.

mod harness;
mod model;
mod place;
