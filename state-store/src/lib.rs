//! Versioned, columnar state for stateful operators, and the durable files it stands on.
