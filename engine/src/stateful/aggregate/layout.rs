//! Where things are in the rows that reach an aggregation, in its stores and in its output.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, SchemaRef};
use datafusion_common::Result;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_plan::ExecutionPlan;
use millstream_state::{KEY_GROUP_COLUMN, StoreSchema};

use super::accumulators::state_fields;
use super::aggregates::Aggregates;
use super::element_store::ElementsSpec;
use super::node::{AggregateSpec, functions_of, group_columns};
use crate::plan::Windows;
use crate::stateful::time_key::TimeKind;

/// The name of the store of groups.
pub(super) const GROUPS: &str = "groups";

/// The layout of one aggregation.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) spec: AggregateSpec,
    pub(super) aggregates: Aggregates,
    /// Of each aggregate, where its rows are aggregated here.
    pub(super) filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
    /// Columns of the state's key that stand for the time.
    pub(super) times: usize,
    /// All columns of the state's key, but for the key group.
    pub(super) groups: usize,
    /// Where the key's columns begin in the input.
    pub(super) first_key: usize,
    /// The columns of the store of groups: the states of the small functions, and the number of rows so far where elements
    /// are kept in order of arrival.
    pub(super) store: StoreSchema,
    pub(super) counts_arrivals: bool,
    pub(super) output: SchemaRef,
}

impl Layout {
    pub(super) fn new(template: &Arc<dyn ExecutionPlan>, spec: &AggregateSpec, output: SchemaRef) -> Result<Self> {
        let (partial, functions) = functions_of(template)?;
        let (schema, input, groups) = (partial.schema(), partial.input_schema(), group_columns(partial));
        // Whether a column can be null may depend on the optimizer's mood: the state's columns all may.
        let nullable = |field: &Field| Arc::new(field.clone().with_nullable(true));
        let mut key: Vec<_> = schema.fields()[..groups].iter().map(|field| nullable(field)).collect();
        let aggregates = Aggregates::new(functions, &key, &input, spec.keeps_elements)?;
        let counts_arrivals = aggregates.elements().any(ElementsSpec::needs_arrivals);
        let mut value: Vec<_> = state_fields(&aggregates.small)?.iter().map(|field| nullable(field)).collect();
        if counts_arrivals {
            value.push(Arc::new(Field::new("arrivals", DataType::Int64, true)));
        }
        if spec.windows_overlap() {
            key.push(Arc::new(Field::new(KEY_GROUP_COLUMN, DataType::UInt16, false)));
        }
        Ok(Self {
            spec: spec.clone(),
            aggregates,
            filters: partial.filter_expr().to_vec(),
            times: spec.time_columns(),
            groups,
            first_key: if spec.keeps_elements { input.fields().len() } else { 0 },
            store: StoreSchema::new(key, Fields::from(value)),
            counts_arrivals,
            output,
        })
    }

    /// The windows, where they overlap and the store holds them whole: then each row or partial state goes into several.
    pub(super) fn expands(&self) -> Option<Windows> {
        match self.spec.time.map(|time| time.kind) {
            Some(TimeKind::Slices(windows)) if windows.size != windows.slide && !self.spec.by_slices => Some(windows),
            _ => None,
        }
    }

    /// All stores, by name.
    pub(super) fn stores(&self) -> Vec<(String, StoreSchema)> {
        std::iter::once((GROUPS.to_string(), self.store.clone())).chain(self.aggregates.stores()).collect()
    }
}
