//! Which aggregates keep the values they were given, and in what form.
//!
//! Most aggregates have a state of fixed size. The state of those named here grows with their input: it is their
//! *elements*. A stateful operator keeps elements one by one, in a store of their own, so that a batch writes only what
//! is new, and leaves the aggregate's own state columns unused.
//!
//! # What an element is
//! The values of the call's arguments that are no constants, for one row that passed the call's `FILTER`: `v` in
//! `percentile(v, 0.5)`, the pair `(v, n)` in `percentile(v, 0.5, n)`. A row whose first argument is null gives no
//! element, except where the function [keeps nulls](keeps_nulls).
//!
//! # How a group is evaluated
//! Its elements are fed to `update_batch` of a new accumulator of the same function, made *without* `DISTINCT`: those of
//! a [`List`](ElementsKind::List) in arrival order, those of a [`Set`](ElementsKind::Set) once each in the order of their
//! first arrival, those of a [`Counted`](ElementsKind::Counted) as often as they were counted, in any order.

/// The form in which the elements of a group are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ElementsKind {
    /// Every element, in the order of arrival: keyed by (group key, sequence number).
    List,
    /// Every different element once: keyed by (group key, element).
    Set,
    /// Every different element with how often it came: keyed by (group key, element).
    Counted,
}

/// What `collect_list(x) RESPECT NULLS` is planned as; nobody can write the name.
pub const COLLECT_WITH_NULLS: &str = "$collect_list_respect_nulls";

/// Functions whose elements are kept whether or not they are called with `DISTINCT`.
const KINDS: &[(&str, ElementsKind)] = &[
    (COLLECT_WITH_NULLS, ElementsKind::List),
    ("array_agg", ElementsKind::List),
    ("collect_list", ElementsKind::List),
    ("collect_set", ElementsKind::Set),
    ("listagg", ElementsKind::List),
    ("median", ElementsKind::Counted),
    ("mode", ElementsKind::Counted),
    ("percentile", ElementsKind::Counted),
    ("percentile_cont", ElementsKind::Counted),
    ("percentile_disc", ElementsKind::Counted),
    ("string_agg", ElementsKind::List),
];

/// Functions whose answer is the same with and without `DISTINCT`, and that keep no elements for it.
const INDIFFERENT_TO_DISTINCT: &[&str] = &[
    "any",
    "any_value",
    "approx_count_distinct",
    "bit_and",
    "bit_or",
    "bool_and",
    "bool_or",
    "every",
    "first",
    "first_value",
    "last",
    "last_value",
    "max",
    "max_by",
    "min",
    "min_by",
    "some",
];

/// How an aggregate function called `name` (in lower case), with or without `DISTINCT`, keeps its elements; `None` where
/// its state has a fixed size.
pub fn elements_kind(name: &str, is_distinct: bool) -> Option<ElementsKind> {
    if is_distinct {
        return (!INDIFFERENT_TO_DISTINCT.contains(&name)).then_some(ElementsKind::Set);
    }
    KINDS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

/// Whether rows whose first argument is null are elements of this function too.
pub fn keeps_nulls(name: &str) -> bool {
    name == COLLECT_WITH_NULLS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_with_its_input_keeps_elements() {
        let cases = [
            ("sum", false, None),
            ("sum", true, Some(ElementsKind::Set)),
            ("count", true, Some(ElementsKind::Set)),
            ("max", true, None),
            ("last", true, None),
            ("collect_list", false, Some(ElementsKind::List)),
            ("collect_list", true, Some(ElementsKind::Set)),
            ("listagg", false, Some(ElementsKind::List)),
            ("collect_set", true, Some(ElementsKind::Set)),
            ("median", false, Some(ElementsKind::Counted)),
            ("median", true, Some(ElementsKind::Set)),
            ("approx_percentile", false, None),
        ];
        for (name, is_distinct, kind) in cases {
            assert_eq!(elements_kind(name, is_distinct), kind, "{name}, distinct {is_distinct}");
        }
    }
}
