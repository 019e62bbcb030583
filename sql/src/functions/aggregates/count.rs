//! `count`, `count_if`, `regr_count`: how many rows there are.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use datafusion::common::Result;
use datafusion::logical_expr::EmitTo;

use super::function::Call;
use super::groups::{Groups, Rows};

/// `count(x)`: the rows where it is not null.
pub(super) fn count(_: &Call<'_>) -> Result<Box<dyn Groups>> {
    Ok(Box::new(Count { counts: Vec::new(), what: What::Known }))
}

/// `count_if(condition)`: the rows where it is true.
pub(super) fn count_if(_: &Call<'_>) -> Result<Box<dyn Groups>> {
    Ok(Box::new(Count { counts: Vec::new(), what: What::True }))
}

#[derive(Clone, Copy)]
enum What {
    /// Rows where no argument is null.
    Known,
    /// Rows where the argument is true.
    True,
}

struct Count {
    counts: Vec<i64>,
    what: What,
}

impl Groups for Count {
    fn fresh(&self) -> Box<dyn Groups> {
        Box::new(Self { counts: Vec::new(), what: self.what })
    }

    fn resize(&mut self, count: usize) {
        self.counts.resize(count, 0);
    }

    fn update(&mut self, args: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let counts = &mut self.counts;
        match self.what {
            What::Known => {
                let rows = args.iter().fold(rows.known(&args[0]), |rows, array| rows.known(array));
                rows.each(|_, group| counts[group] += 1);
            }
            What::True => {
                let condition = args[0].as_boolean();
                rows.known(&args[0]).each(|row, group| counts[group] += i64::from(condition.value(row)));
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let (counts, states) = (&mut self.counts, states[0].as_primitive::<Int64Type>());
        if states.null_count() > 0 {
            rows.known(&(Arc::new(states.clone()) as ArrayRef)).each(|row, group| counts[group] += states.value(row));
        } else {
            rows.each(|row, group| counts[group] += states.value(row));
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(emit.take_needed(&mut self.counts))))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit)?])
    }

    fn size(&self) -> usize {
        self.counts.capacity() * size_of::<i64>()
    }
}
