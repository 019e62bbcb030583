//! JSON, CSV, DDL types and Java date patterns, to and from Arrow.
