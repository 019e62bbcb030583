//! Names in expressions that were built in Rust: columns in any case, functions as SQL has them.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DataFusionError, TableReference};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction};
use millstream_engine::options::nearest;
use millstream_engine::{Error, Result};

use crate::expressions::Semantics;
use crate::functions;

/// What DataFusion calls aggregate functions of Spark's.
const THEIR_NAMES: &[(&str, &str)] =
    &[("approx_distinct", "approx_count_distinct"), ("covar", "covar_samp"), ("var", "var_samp")];

/// `expr` over the columns of `schema`.
pub(crate) fn resolve(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let resolved = expr.transform_up(|expr| match expr {
        Expr::Column(column) => {
            let found = find_column(schema, column.relation.as_ref(), &column.name);
            found.map(|column| Transformed::yes(Expr::Column(column))).map_err(DataFusionError::from)
        }
        // The fields of a struct have the names of what they are made of.
        Expr::ScalarFunction(call) if call.name() == "struct" => {
            let named = functions::function("named_struct").expect("a function of the catalogue");
            Ok(Transformed::yes(named.call(functions::named_struct_args(call.args))))
        }
        // DataFusion's functions have other answers than Spark's of the same name.
        Expr::ScalarFunction(call) => Ok(match functions::function(&call.func.name().to_lowercase()) {
            Some(ours) => Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(ours, call.args))),
            None => Transformed::no(Expr::ScalarFunction(call)),
        }),
        Expr::AggregateFunction(call) => aggregate(call, schema).map(Transformed::yes),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(resolved.data)
}

/// Spark's aggregate function of the name, its arguments in the types that it takes.
fn aggregate(mut call: AggregateFunction, schema: &DFSchema) -> datafusion::common::Result<Expr> {
    let given = call.func.name().to_lowercase();
    let name = THEIR_NAMES.iter().find(|(theirs, _)| *theirs == given).map_or(given.as_str(), |(_, ours)| ours);
    if !call.params.order_by.is_empty() {
        let message = format!("an order among the arguments of {given} is not supported: use min_by or max_by");
        return Err(DataFusionError::NotImplemented(message));
    }
    if name != "grouping" {
        call.func = functions::aggregate_function(name)
            .ok_or_else(|| DataFusionError::Plan(format!("[UNRESOLVED_ROUTINE] Cannot resolve routine `{given}`.")))?;
    }
    // None of the casts depends on the time zone.
    let zone: Arc<str> = "UTC".into();
    let semantics = Semantics::new(schema, &zone);
    let types =
        call.params.args.iter().map(|arg| semantics.type_of(arg)).collect::<datafusion::common::Result<Vec<_>>>()?;
    if let Some(taken) = functions::taken(&call.func, &types) {
        let args = std::mem::take(&mut call.params.args).into_iter().zip(taken?.types);
        call.params.args =
            args.map(|(arg, to)| semantics.cast(arg, &to, false)).collect::<datafusion::common::Result<_>>()?;
    }
    Ok(Expr::AggregateFunction(call))
}

/// All of `exprs` over the columns of `schema`.
pub(crate) fn resolve_all(exprs: impl IntoIterator<Item = Expr>, schema: &DFSchema) -> Result<Vec<Expr>> {
    exprs.into_iter().map(|expr| resolve(expr, schema)).collect()
}

/// The column called `name`, in any case.
///
/// # Errors
/// `Invalid` where there is none, with the nearest; or where there are several.
pub(crate) fn find_column(schema: &DFSchema, relation: Option<&TableReference>, name: &str) -> Result<Column> {
    let is_of = |qualifier: Option<&TableReference>| match relation {
        None => true,
        Some(wanted) => qualifier.is_some_and(|q| q.table().eq_ignore_ascii_case(wanted.table())),
    };
    let mut found =
        schema.iter().filter(|(qualifier, field)| is_of(*qualifier) && field.name().eq_ignore_ascii_case(name));
    let written = relation.map_or_else(|| format!("`{name}`"), |relation| format!("`{}`.`{name}`", relation.table()));
    match (found.next(), found.next()) {
        (Some((qualifier, field)), None) => Ok(Column::new(qualifier.cloned(), field.name())),
        (Some(_), Some(_)) => Err(Error::invalid(format!(
            "[AMBIGUOUS_REFERENCE] Reference {written} is ambiguous: give the frames names with alias() and write name.column"
        ))),
        (None, _) => {
            let names = schema.field_names();
            let names: Vec<&str> = names.iter().map(|name| name.rsplit('.').next().unwrap_or(name)).collect();
            let hint = match nearest(name, names.iter().copied()) {
                Some(near) => format!("Did you mean `{near}`?"),
                None => format!("There are: {}.", names.join(", ")),
            };
            Err(Error::invalid(format!(
                "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with name {written} cannot be resolved. {hint}"
            )))
        }
    }
}
