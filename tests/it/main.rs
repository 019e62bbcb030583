//! Whole queries.
