//! Sources and sinks, one file or folder each.
