//! What stateful operators are made of.

pub mod elements;
