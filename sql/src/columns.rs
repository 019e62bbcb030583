//! Names in expressions that were built in Rust: columns in any case, functions as SQL has them.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DataFusionError, TableReference};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;
use millstream_engine::options::nearest;
use millstream_engine::{Error, Result};

use crate::functions;

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
        other => Ok(Transformed::no(other)),
    })?;
    Ok(resolved.data)
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
