//! How Spark prints calls of functions in the names of columns.

use millstream_formats::ddl;
use sqlparser::ast::{self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::names::{self, all};

/// Functions that Spark prints in capitals, whatever was written.
const CAPITALS: &[&str] = &[
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "ceil",
    "cos",
    "cosh",
    "cot",
    "csc",
    "degrees",
    "e",
    "exp",
    "expm1",
    "floor",
    "hypot",
    "log",
    "log10",
    "log1p",
    "log2",
    "pi",
    "power",
    "radians",
    "regexp",
    "regexp_like",
    "rlike",
    "sec",
    "signum",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
];

/// Functions with defaults that Spark prints: the name, how many arguments there are without them, and what is added.
const DEFAULTS: &[(&str, usize, &[&str])] = &[
    ("round", 1, &["0"]),
    ("bround", 1, &["0"]),
    ("split", 2, &["-1"]),
    ("locate", 2, &["1"]),
    ("position", 2, &["1"]),
    ("substr", 2, &["2147483647"]),
    ("substring", 2, &["2147483647"]),
    ("lpad", 2, &[" "]),
    ("rpad", 2, &[" "]),
    ("replace", 2, &[""]),
    ("overlay", 3, &["-1"]),
    ("mask", 1, &["X", "x", "n", "NULL"]),
    ("mask", 2, &["x", "n", "NULL"]),
    ("mask", 3, &["n", "NULL"]),
    ("mask", 4, &["NULL"]),
    ("unix_timestamp", 1, &["yyyy-MM-dd HH:mm:ss"]),
    ("to_unix_timestamp", 1, &["yyyy-MM-dd HH:mm:ss"]),
    ("from_unixtime", 1, &["yyyy-MM-dd HH:mm:ss"]),
    ("months_between", 2, &["true"]),
    ("regexp_extract", 2, &["1"]),
    ("regexp_extract_all", 2, &["1"]),
    ("regexp_instr", 2, &["0"]),
    ("regexp_replace", 3, &["1"]),
    ("sort_array", 1, &["true"]),
    ("str_to_map", 1, &[",", ":"]),
    ("str_to_map", 2, &[":"]),
    ("percentile", 2, &["1"]),
    ("approx_percentile", 2, &["10000"]),
    ("percentile_approx", 2, &["10000"]),
    ("listagg", 1, &["NULL"]),
    ("string_agg", 1, &["NULL"]),
];

/// Aggregate functions that Spark prints under another name, `first_value` and `last_value` where the call says what to do
/// with nulls.
const OTHER_NAMES: &[(&str, &str)] = &[("array_agg", "collect_list"), ("first_value", "first"), ("last_value", "last")];

/// A call as Spark prints it.
pub(super) fn of(function: &ast::Function) -> String {
    if let Some(inner) = cast_function(function) {
        return names::of(inner);
    }
    let name = function.name.to_string().replace('`', "").to_lowercase();
    let list = match &function.args {
        FunctionArguments::List(list) => Some(list),
        _ => None,
    };
    let mut arguments: Vec<String> = list.map(|list| list.args.iter().map(argument).collect()).unwrap_or_default();
    if let Some(form) = other_form(&name, &arguments) {
        return form;
    }
    let defaults = DEFAULTS.iter().find(|(known, count, _)| *known == name && *count == arguments.len());
    arguments.extend(defaults.iter().flat_map(|(_, _, defaults)| defaults.iter()).map(ToString::to_string));
    match name.as_str() {
        "count" if arguments.is_empty() || arguments == ["*"] => arguments = vec!["1".to_string()],
        // A schema and options are no arguments to Spark.
        "from_json" if is_map_schema(&arguments) => return "entries".to_string(),
        "from_json" | "to_json" => arguments.truncate(1),
        // Nor are what an aggregate does with nulls, and how exact it is.
        "first" | "first_value" | "last" | "last_value" | "any_value" | "approx_count_distinct" => {
            arguments.truncate(1)
        }
        _ => {}
    }
    let is_plain = (name == "ceil" || name == "floor") && arguments.len() > 1;
    let shown = if CAPITALS.contains(&name.as_str()) && !is_plain { name.to_uppercase() } else { name.clone() };
    let distinct = match list.and_then(|list| list.duplicate_treatment) {
        Some(ast::DuplicateTreatment::Distinct) => "DISTINCT ",
        _ => "",
    };
    let says_nulls = null_treatment(function, list).is_some();
    let other = OTHER_NAMES.iter().find(|(written, _)| *written == shown && (says_nulls || shown == "array_agg"));
    let shown = other.map_or(shown, |(_, other)| other.to_string());
    let mut text = match ordered_mode(&name, &arguments, function) {
        Some(text) => text,
        None => format!("{shown}({distinct}{}){}", arguments.join(", "), within_group(&name, function)),
    };
    if shown == "collect_list" && null_treatment(function, list) == Some(ast::NullTreatment::RespectNulls) {
        text += " RESPECT NULLS";
    }
    if let Some(filter) = &function.filter {
        text += &format!(" FILTER (WHERE {})", names::of(filter));
    }
    match &function.over {
        Some(ast::WindowType::WindowSpec(spec)) => text + " OVER (" + &window_spec(spec, &name) + ")",
        Some(ast::WindowType::NamedWindow(name)) => format!("{text} OVER {name}"),
        None => text,
    }
}

/// `mode` under an order, in Spark's words, which name the order the other way round.
fn ordered_mode(name: &str, arguments: &[String], function: &ast::Function) -> Option<String> {
    let (key, is_descending) = match (name, arguments, &function.within_group[..]) {
        ("mode", [key, deterministic], []) if deterministic == "true" => (key.clone(), false),
        ("mode", [key, deterministic], []) if deterministic == "false" => return Some(format!("mode({key})")),
        ("mode", [], [key]) => (names::of(&key.expr), key.options.asc == Some(false)),
        _ => return None,
    };
    let order = if is_descending { "" } else { " DESC" };
    Some(format!("mode() WITHIN GROUP (ORDER BY {key}{order})"))
}

fn within_group(name: &str, function: &ast::Function) -> String {
    let keys = function.within_group.iter().map(|key| {
        let order = if key.options.asc == Some(false) { " DESC" } else { "" };
        format!("{}{order}", names::of(&key.expr))
    });
    match name {
        "percentile_cont" | "percentile_disc" if !function.within_group.is_empty() => {
            format!(" WITHIN GROUP (ORDER BY {})", keys.collect::<Vec<_>>().join(", "))
        }
        _ => String::new(),
    }
}

fn null_treatment(function: &ast::Function, list: Option<&ast::FunctionArgumentList>) -> Option<ast::NullTreatment> {
    let clauses = list.map_or(&[][..], |list| &list.clauses[..]);
    let inside = clauses.iter().find_map(|clause| match clause {
        ast::FunctionArgumentClause::IgnoreOrRespectNulls(nulls) => Some(*nulls),
        _ => None,
    });
    function.null_treatment.or(inside)
}

/// Functions that Spark prints as something else.
fn other_form(name: &str, arguments: &[String]) -> Option<String> {
    Some(match (name, arguments) {
        ("if", [condition, then, other]) => format!("(IF({condition}, {then}, {other}))"),
        ("isnull", [value]) => format!("({value} IS NULL)"),
        ("isnotnull", [value]) => format!("({value} IS NOT NULL)"),
        ("positive", [value]) => format!("(+ {value})"),
        ("like", [value, pattern]) => format!("{value} LIKE {pattern}"),
        ("div", [left, right]) => format!("({left} div {right})"),
        ("log", [value]) => format!("LOG(E(), {value})"),
        ("dateadd", [date, days]) => format!("date_add({date}, {days})"),
        ("extract", [field, time]) => format!("extract({field} FROM {time})"),
        ("datepart", [field, time]) => format!("datepart({field} FROM {time})"),
        ("assert_true", [condition]) => format!("assert_true({condition}, '{condition}' is not true!)"),
        ("ltrim", [what, text]) => format!("TRIM(LEADING {what} FROM {text})"),
        ("rtrim", [what, text]) => format!("TRIM(TRAILING {what} FROM {text})"),
        _ => return None,
    })
}

/// Whether the schema given to `from_json` is a map's.
fn is_map_schema(arguments: &[String]) -> bool {
    let schema = arguments.get(1).map(|text| ddl::parse_type_or_columns(text));
    matches!(schema, Some(Ok(arrow::datatypes::DataType::Map(..))))
}

/// The argument of `int(x)`, which is a cast.
pub(super) fn cast_function(function: &ast::Function) -> Option<&Expr> {
    const CASTS: &[&str] = &[
        "boolean",
        "tinyint",
        "smallint",
        "int",
        "bigint",
        "float",
        "double",
        "decimal",
        "date",
        "timestamp",
        "binary",
        "string",
    ];
    let name = function.name.to_string().to_lowercase();
    let FunctionArguments::List(list) = &function.args else { return None };
    match &list.args[..] {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))] if CASTS.contains(&name.as_str()) => Some(expr),
        _ => None,
    }
}

fn argument(argument: &FunctionArg) -> String {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Named { expr, name })) => {
            format!("{} AS {}", names::of(expr), ddl::quote_if_needed(&name.value))
        }
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => names::of(expr),
        FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => "*".to_string(),
        other => other.to_string(),
    }
}

fn window_spec(spec: &ast::WindowSpec, function: &str) -> String {
    let mut parts = Vec::new();
    if !spec.partition_by.is_empty() {
        parts.push(format!("PARTITION BY {}", all(&spec.partition_by)));
    }
    if !spec.order_by.is_empty() {
        let keys = spec.order_by.iter().map(|key| {
            let asc = key.options.asc.unwrap_or(true);
            let nulls = if key.options.nulls_first.unwrap_or(asc) { "FIRST" } else { "LAST" };
            format!("{} {} NULLS {nulls}", names::of(&key.expr), if asc { "ASC" } else { "DESC" })
        });
        parts.push(format!("ORDER BY {}", keys.collect::<Vec<_>>().join(", ")));
    }
    const ROWS: &[&str] = &["row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile"];
    parts.push(match &spec.window_frame {
        Some(frame) => {
            let end = frame.end_bound.as_ref().map_or_else(|| "CURRENT ROW".to_string(), ToString::to_string);
            format!("{} BETWEEN {} AND {end}", frame.units, frame.start_bound)
        }
        None if spec.order_by.is_empty() => "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING".to_string(),
        None if ROWS.contains(&function.to_lowercase().as_str()) => {
            "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW".to_string()
        }
        None => "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW".to_string(),
    });
    parts.join(" ")
}
