//! Dates and times against Spark's recorded answers.
