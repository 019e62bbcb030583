//! The elements of an aggregate whose state grows with its input: one by one, in a store of their own.
//!
//! State      by kind: (group, sequence number) → element; (group, element) → sequence number of its first arrival; (group, element)
//!            → how often; (group, element) → nothing, where the aggregate itself has a small state
//! Per batch  writes the batch's new elements, and reads only where counts change: what a group holds already does not matter
//! Evaluate   feeds the elements of the wanted groups to a new accumulator
//!
//! Keys begin with the group's key, so that the elements of a group lie side by side, and those of closed groups are a range.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, UInt32Array};
use arrow::compute::{filter, take};
use arrow::datatypes::{DataType, Field, Fields, Int64Type, Schema};
use datafusion_common::{Result, internal_err};
use datafusion_expr::EmitTo;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use datafusion_physical_expr::expressions::Literal;
use millstream_state::{Draft, KEY_GROUP_COLUMN, KeyEncoder, KeyRange, Keys, StateRows, StoreSchema};

use super::accumulators::accumulator;
use super::group_table::GroupTable;
use crate::error::Error;
use crate::stateful::elements::{ElementsKind, elements_kind, keeps_nulls};

/// Rows given to an accumulator at a time.
const ROWS: usize = 65_536;

/// How an aggregate's elements are kept.
#[derive(Clone, Debug)]
pub(in crate::stateful) struct ElementsSpec {
    /// The store's name.
    pub(in crate::stateful) store: String,
    pub(in crate::stateful) schema: StoreSchema,
    kind: ElementsKind,
    /// Whether the aggregate has a small state besides, which takes in each element once: then elements only tell new from
    /// known ones.
    pub(in crate::stateful) is_members: bool,
    keeps_nulls: bool,
    /// Columns of the group's key.
    groups: usize,
    /// Which arguments are elements: those that are no constants.
    elements: Vec<usize>,
}

impl ElementsSpec {
    /// How aggregate number `number` keeps its elements, beside groups with the key `group`; `None` where its state is small.
    pub(in crate::stateful) fn of(
        function: &AggregateFunctionExpr,
        number: usize,
        group: &[Arc<Field>],
        input: &Schema,
    ) -> Result<Option<Self>> {
        let name = function.fun().name();
        let Some(kind) = elements_kind(name, function.is_distinct()) else { return Ok(None) };
        let is_members = function.is_distinct() && elements_kind(name, false).is_none();
        let arguments = function.expressions();
        let is_element = |at: &usize| arguments[*at].downcast_ref::<Literal>().is_none();
        let elements: Vec<usize> = (0..arguments.len()).filter(is_element).collect();
        let columns = elements.iter().map(|at| {
            let data_type = arguments[*at].data_type(input)?;
            Ok(Arc::new(Field::new(format!("element.{at}"), data_type, true)))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let number_of = |name: &str| vec![Arc::new(Field::new(name, DataType::Int64, false))];
        let (in_key, value) = match kind {
            ElementsKind::List => (number_of("arrival"), columns),
            ElementsKind::Set if is_members => (columns, Vec::new()),
            ElementsKind::Set => (columns, number_of("arrival")),
            ElementsKind::Counted => (columns, number_of("count")),
        };
        let key_group = Arc::new(Field::new(KEY_GROUP_COLUMN, DataType::UInt16, false));
        let key: Fields = group.iter().cloned().chain(in_key).chain([key_group]).collect();
        Ok(Some(Self {
            store: format!("elements_{number}"),
            schema: StoreSchema::new(key, value),
            kind,
            is_members,
            keeps_nulls: keeps_nulls(name),
            groups: group.len(),
            elements,
        }))
    }

    /// Whether it needs to know in which order elements have arrived.
    pub(in crate::stateful) fn needs_arrivals(&self) -> bool {
        !self.is_members && self.kind != ElementsKind::Counted
    }
}

/// The rows of one record batch, and the group of each.
pub(in crate::stateful) struct GroupedRows<'a> {
    /// The group's key columns.
    pub(in crate::stateful) key: &'a [ArrayRef],
    pub(in crate::stateful) key_groups: &'a ArrayRef,
    pub(in crate::stateful) groups: &'a [usize],
    /// Each row's number among all rows of its group, in order of arrival; empty where nobody needs it.
    pub(in crate::stateful) arrivals: &'a [i64],
}

/// The elements that were new.
pub(in crate::stateful) struct NewElements {
    pub(in crate::stateful) arguments: Vec<ArrayRef>,
    pub(in crate::stateful) groups: Vec<usize>,
}

/// The elements of one aggregate in one batch of one state partition.
pub(in crate::stateful) struct ElementStore {
    spec: ElementsSpec,
    function: Arc<AggregateFunctionExpr>,
    draft: Draft,
    encoder: KeyEncoder,
    prefix: Option<KeyEncoder>,
}

impl ElementStore {
    /// `function` is the aggregate without DISTINCT.
    pub(in crate::stateful) fn new(
        spec: ElementsSpec,
        function: Arc<AggregateFunctionExpr>,
        draft: Draft,
    ) -> Result<Self> {
        let encoder = draft.key_encoder().clone();
        let prefix = match spec.groups {
            0 => None,
            groups => Some(KeyEncoder::new(encoder.fields()[..groups].to_vec()).map_err(Error::from)?),
        };
        Ok(Self { spec, function, draft, encoder, prefix })
    }

    /// Takes in the elements of these rows, those that `filter` leaves out left out. What was new is given back where the
    /// aggregate has a small state besides.
    pub(in crate::stateful) fn add(
        &mut self,
        rows: &GroupedRows<'_>,
        arguments: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Option<NewElements>> {
        let wanted = self.wanted(rows.groups.len(), arguments, filter)?;
        let wanted = UInt32Array::from_iter_values(wanted.values().set_indices().map(|row| row as u32));
        let of = |column: &ArrayRef| take(column, &wanted, None);
        let arguments = arguments.iter().map(of).collect::<Result<Vec<_>, _>>()?;
        let elements = self.spec.elements.iter().map(|at| Arc::clone(&arguments[*at]));
        let groups = wanted.values().iter().map(|row| rows.groups[*row as usize]).collect::<Vec<_>>();
        let arrivals = || -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(wanted.values().iter().map(|row| rows.arrivals[*row as usize])))
        };
        let mut key = rows.key.iter().map(of).collect::<Result<Vec<_>, _>>()?;
        if self.spec.kind == ElementsKind::List {
            key.push(arrivals());
        } else {
            key.extend(elements.clone());
        }
        key.push(of(rows.key_groups)?);
        let keys = self.encoder.encode(&key).map_err(Error::from)?;
        match self.spec.kind {
            ElementsKind::List => self.draft.put(&keys, &elements.collect::<Vec<_>>()).map_err(Error::from)?,
            ElementsKind::Counted => self.count(&keys, |_| 1)?,
            ElementsKind::Set if self.spec.is_members => {
                return self.put_members(&keys, &arguments, &groups).map(Some);
            }
            ElementsKind::Set => {
                self.draft.put_where_absent(&keys, &[arrivals()]).map_err(Error::from)?;
            }
        }
        Ok(None)
    }

    /// Puts the elements of these groups, which are `arguments` of the aggregate; those that were not there.
    fn put_members(&mut self, keys: &Keys, arguments: &[ArrayRef], groups: &[usize]) -> Result<NewElements> {
        let is_new = self.draft.put_where_absent(keys, &[]).map_err(Error::from)?;
        let arguments = arguments.iter().map(|column| filter(column, &is_new)).collect::<Result<_, _>>()?;
        let groups = is_new.values().set_indices().map(|row| groups[row]).collect();
        Ok(NewElements { arguments, groups })
    }

    /// Which rows give an element.
    fn wanted(&self, rows: usize, arguments: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<BooleanArray> {
        let mut wanted = match filter {
            Some(passed) if passed.null_count() == 0 => passed.clone(),
            Some(passed) => arrow::compute::prep_null_mask_filter(passed),
            None => BooleanArray::from(vec![true; rows]),
        };
        if !self.spec.keeps_nulls {
            for at in &self.spec.elements {
                wanted = arrow::compute::and(&wanted, &arrow::compute::is_not_null(&arguments[*at])?)?;
                // `percentile(v, p, n)`: what a null frequency means is the function's business.
                if !self.function.is_distinct() && !self.spec.is_members {
                    break;
                }
            }
        }
        Ok(wanted)
    }

    /// Adds to the count of each of these elements, a row at a time.
    fn count(&mut self, keys: &Keys, more: impl Fn(usize) -> i64) -> Result<()> {
        let mut different = GroupTable::new();
        let (numbers, _) = different.intern(keys)?;
        let mut counts = vec![0i64; different.len()];
        for (row, number) in numbers.into_iter().enumerate() {
            counts[number] += more(row);
        }
        let keys = different.into_keys()?;
        if keys.is_empty() {
            return Ok(());
        }
        let found = self.draft.get(&keys).map_err(Error::from)?;
        let known = found.values[0].as_primitive::<Int64Type>();
        let counts = counts.iter().zip(known).map(|(new, known)| new + known.unwrap_or(0));
        let counts: ArrayRef = Arc::new(Int64Array::from_iter_values(counts));
        Ok(self.draft.put(&keys, &[counts]).map_err(Error::from)?)
    }

    /// Puts the elements of the groups `from` into the groups `to`, row by row, which are numbered `groups`. What is new there is given
    /// back where the aggregate has a small state besides.
    pub(in crate::stateful) fn move_groups(
        &mut self,
        from: &[ArrayRef],
        to: &[ArrayRef],
        groups: &[usize],
    ) -> Result<Option<NewElements>> {
        let (owners, found) = self.scan(from, groups.len())?;
        self.draft.remove(&found.keys).map_err(Error::from)?;
        let columns = found.key_columns().map_err(Error::from)?;
        let mut key = to.iter().map(|column| take(column, &owners, None)).collect::<Result<Vec<_>, _>>()?;
        key.extend_from_slice(&columns[self.spec.groups..]);
        let keys = self.encoder.encode(&key).map_err(Error::from)?;
        match self.spec.kind {
            ElementsKind::List => self.draft.put(&keys, &found.values).map_err(Error::from)?,
            ElementsKind::Counted => {
                let counts = found.values[0].as_primitive::<Int64Type>();
                self.count(&keys, |row| counts.value(row))?;
            }
            ElementsKind::Set if self.spec.is_members => {
                let elements = &columns[self.spec.groups..];
                let rows = UInt32Array::from_iter_values(0..found.len() as u32);
                let groups: Vec<usize> = owners.values().iter().map(|owner| groups[*owner as usize]).collect();
                let arguments = self.arguments(elements, &rows)?;
                return self.put_members(&keys, &arguments, &groups).map(Some);
            }
            ElementsKind::Set => self.put_earliest(&keys, found.values[0].as_primitive::<Int64Type>())?,
        }
        Ok(None)
    }

    /// Puts these elements with their arrivals, where they are not there with an earlier one.
    fn put_earliest(&mut self, keys: &Keys, arrivals: &Int64Array) -> Result<()> {
        let known = self.draft.get(keys).map_err(Error::from)?.values;
        let known = known[0].as_primitive::<Int64Type>();
        // Of rows with the same key the last counts.
        let mut order: Vec<u32> = (0..keys.len() as u32).collect();
        order.sort_by_key(|row| std::cmp::Reverse(arrivals.value(*row as usize)));
        let earliest = order.iter().map(|row| {
            let (row, arrival) = (*row as usize, arrivals.value(*row as usize));
            if known.is_valid(row) { arrival.min(known.value(row)) } else { arrival }
        });
        let earliest: ArrayRef = Arc::new(Int64Array::from_iter_values(earliest));
        let keys = keys.take(&UInt32Array::from(order)).map_err(Error::from)?;
        Ok(self.draft.put(&keys, &[earliest]).map_err(Error::from)?)
    }

    /// The elements of the groups with these keys, and for each which of the groups it belongs to.
    fn scan(&mut self, key: &[ArrayRef], rows: usize) -> Result<(UInt32Array, StateRows)> {
        let prefixes = self.prefixes(key, rows)?;
        Ok(self.draft.scan_prefixes(&prefixes).map_err(Error::from)?)
    }

    /// What the keys of the elements of groups begin with.
    fn prefixes(&self, key: &[ArrayRef], rows: usize) -> Result<Keys> {
        Ok(match &self.prefix {
            Some(encoder) => encoder.encode(key).map_err(Error::from)?,
            None => Keys::of_no_columns(rows),
        })
    }

    /// The aggregate's values for the groups with these keys, in their order.
    pub(in crate::stateful) fn values(&mut self, key: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let (owners, found) = self.scan(key, rows)?;
        let columns = found.key_columns().map_err(Error::from)?;
        let in_key = || columns[self.spec.groups..self.spec.groups + self.spec.elements.len()].to_vec();
        let number = || found.values[0].as_primitive::<Int64Type>().values();
        let (elements, order): (Vec<ArrayRef>, Vec<u32>) = match self.spec.kind {
            ElementsKind::List => (found.values.clone(), (0..found.len() as u32).collect()),
            ElementsKind::Set => {
                let mut order: Vec<u32> = (0..found.len() as u32).collect();
                let arrival = number();
                order.sort_by_key(|row| (owners.value(*row as usize), arrival[*row as usize]));
                (in_key(), order)
            }
            ElementsKind::Counted => {
                let repeated = number().iter().zip(0u32..);
                (in_key(), repeated.flat_map(|(count, row)| std::iter::repeat_n(row, *count as usize)).collect())
            }
        };
        let mut accumulator = accumulator(&self.function)?;
        let all: Vec<usize> = owners.values().iter().map(|owner| *owner as usize).collect();
        for order in order.chunks(ROWS) {
            let groups: Vec<usize> = order.iter().map(|row| all[*row as usize]).collect();
            let order = UInt32Array::from(order.to_vec());
            accumulator.update_batch(&self.arguments(&elements, &order)?, &groups, None, rows)?;
        }
        if order.is_empty() {
            // Groups without elements have a value too.
            let none = elements.iter().map(|column| column.slice(0, 0)).collect::<Vec<_>>();
            accumulator.update_batch(
                &self.arguments(&none, &UInt32Array::from(Vec::<u32>::new()))?,
                &[],
                None,
                rows,
            )?;
        }
        accumulator.evaluate(EmitTo::All)
    }

    /// The arguments for these rows of elements, constants among them.
    fn arguments(&self, elements: &[ArrayRef], order: &UInt32Array) -> Result<Vec<ArrayRef>> {
        let mut elements = elements.iter();
        self.function
            .expressions()
            .iter()
            .map(|expr| match (expr.downcast_ref::<Literal>(), elements.len()) {
                (Some(literal), _) => literal.value().to_array_of_size(order.len()),
                (None, 0) => internal_err!("an aggregate has fewer elements than arguments"),
                (None, _) => match elements.next() {
                    Some(column) => Ok(take(column, order, None)?),
                    None => internal_err!("an aggregate has fewer elements than arguments"),
                },
            })
            .collect()
    }

    /// Forgets the elements of the groups with these keys.
    pub(in crate::stateful) fn remove_groups(&mut self, key: &[ArrayRef], rows: usize) -> Result<()> {
        let prefixes = self.prefixes(key, rows)?;
        (0..rows).try_for_each(|row| self.remove_range(&KeyRange::prefix(prefixes.key(row))))
    }

    /// Forgets the elements of closed groups.
    pub(in crate::stateful) fn remove_range(&mut self, range: &KeyRange) -> Result<()> {
        self.draft.remove_range(range).map_err(Error::from)?;
        Ok(())
    }

    /// Hands the changes over, to be committed with the groups.
    pub(in crate::stateful) fn finish(self) -> Result<()> {
        self.draft.finish().map_err(Error::from)?;
        Ok(())
    }
}
