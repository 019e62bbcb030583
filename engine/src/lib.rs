//! The micro-batch engine: the loop, the checkpoint, sources, sinks and stateful operators.
