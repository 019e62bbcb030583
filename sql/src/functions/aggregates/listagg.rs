//! `listagg`, `string_agg`: a group's strings, put together in the order of their arrival.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringBuilder};
use datafusion::common::{Result, ScalarValue};

use super::function::Call;
use super::groups::Groups;
use super::lists::{Finish, Values, keeping};

/// `listagg(x, delimiter)`.
pub(super) fn listagg(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    let delimiter = match call.constant(1, "delimiter")? {
        Some(ScalarValue::Utf8(Some(delimiter))) => delimiter,
        _ => String::new(),
    };
    Ok(keeping(call.types[..1].to_vec(), Arc::new(Join { delimiter })))
}

struct Join {
    delimiter: String,
}

impl Finish for Join {
    fn finish(&self, values: &Values<'_>) -> Result<ArrayRef> {
        let texts = values.columns[0].as_string::<i32>();
        let mut joined = StringBuilder::with_capacity(values.offsets.len(), texts.value_data().len());
        for group in values.groups() {
            if group.is_empty() {
                joined.append_null();
                continue;
            }
            let parts: Vec<&str> = group.map(|at| texts.value(at)).collect();
            joined.append_value(parts.join(&self.delimiter));
        }
        Ok(Arc::new(joined.finish()))
    }
}
