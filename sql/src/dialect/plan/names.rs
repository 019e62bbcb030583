//! The names that Spark gives to unnamed columns: the expression, printed its way.

use arrow::datatypes::DataType;
use sqlparser::ast::{
    self, AccessExpr, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Subscript, UnaryOperator,
    Value,
};

use super::expr::{all_patterns, type_text};
use super::literal;
use crate::expressions::{parse_type, sql_type_name};

/// The name of a select list's column: a cast of a name keeps the name.
pub(super) fn of_item(expr: &Expr) -> String {
    match expr {
        Expr::Cast { expr: inner, .. } => of_field(inner).unwrap_or_else(|| of(expr)),
        Expr::Nested(inner) => of_item(inner),
        Expr::Function(function) => match cast_function(function) {
            Some(inner) => of_item(inner),
            None => of(expr),
        },
        _ => of_field(expr).unwrap_or_else(|| of(expr)),
    }
}

/// The name of a column or of a field that a path of names leads to.
pub(super) fn of_field(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(ident.value.clone()),
        Expr::CompoundIdentifier(idents) => idents.last().map(|ident| ident.value.clone()),
        Expr::Nested(inner) => of_field(inner),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let is_path = access_chain.iter().all(|access| matches!(access, AccessExpr::Dot(Expr::Identifier(_))));
            match access_chain.last() {
                Some(AccessExpr::Dot(Expr::Identifier(last))) if is_path && of_field(root).is_some() => {
                    Some(last.value.clone())
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// The expression as Spark prints it.
pub(super) fn of(expr: &Expr) -> String {
    if let Some(interval) = literal::interval(expr) {
        return interval.to_sql();
    }
    if let Some((name, text)) = literal::typed(expr) {
        return literal::typed_sql(&name, &text);
    }
    match expr {
        Expr::Identifier(ident) => ident.value.clone(),
        Expr::CompoundIdentifier(idents) => compound(idents),
        Expr::Value(value) => of_value(&value.value),
        Expr::Nested(inner) => of(inner),
        Expr::UnaryOp { op, expr } => unary(op, expr),
        Expr::BinaryOp { left, op, right } => binary(left, op, right),
        Expr::IsNull(inner) => format!("({} IS NULL)", of(inner)),
        Expr::IsNotNull(inner) => format!("({} IS NOT NULL)", of(inner)),
        Expr::IsUnknown(inner) => format!("({} IS NULL)", of(inner)),
        Expr::IsNotUnknown(inner) => format!("({} IS NOT NULL)", of(inner)),
        Expr::IsTrue(inner) => format!("({} <=> true)", of(inner)),
        Expr::IsNotTrue(inner) => format!("(NOT ({} <=> true))", of(inner)),
        Expr::IsFalse(inner) => format!("({} <=> false)", of(inner)),
        Expr::IsNotFalse(inner) => format!("(NOT ({} <=> false))", of(inner)),
        Expr::IsDistinctFrom(left, right) => format!("(NOT ({} <=> {}))", of(left), of(right)),
        Expr::IsNotDistinctFrom(left, right) => format!("({} <=> {})", of(left), of(right)),
        Expr::InList { expr, list, negated } => not_if(*negated, format!("({} IN ({}))", of(expr), all(list))),
        Expr::InSubquery { expr, negated, .. } => not_if(*negated, format!("({} IN (listquery()))", of(expr))),
        Expr::Between { expr, negated, low, high } => {
            not_if(*negated, format!("between({}, {}, {})", of(expr), of(low), of(high)))
        }
        Expr::Like { negated, any, expr, pattern, .. } if *any || all_patterns(pattern).is_some() => {
            format!("{}like{}({})", if *negated { "not" } else { "" }, if *any { "any" } else { "all" }, of(expr))
        }
        Expr::Like { negated, expr, pattern, escape_char, .. } => {
            let escape = escape_char.as_ref().map(|escape| format!(" ESCAPE {escape}")).unwrap_or_default();
            not_if(*negated, format!("{} LIKE {}{escape}", of(expr), of(pattern)))
        }
        Expr::ILike { negated, expr, pattern, .. } => not_if(*negated, format!("ilike({}, {})", of(expr), of(pattern))),
        Expr::RLike { negated, expr, pattern, .. } => not_if(*negated, format!("RLIKE({}, {})", of(expr), of(pattern))),
        Expr::Case { operand, conditions, else_result, .. } => {
            case(operand.as_deref(), conditions, else_result.as_deref())
        }
        Expr::Cast { kind, expr, data_type, .. } => {
            let parsed = parse_type(&type_text(data_type));
            if parsed.as_ref().is_ok_and(DataType::is_nested) {
                // Spark takes such a cast apart.
                return of(expr);
            }
            let name = parsed.map_or_else(|_| type_text(data_type), |data_type| sql_type_name(&data_type));
            let cast = if matches!(kind, ast::CastKind::TryCast) { "TRY_CAST" } else { "CAST" };
            format!("{cast}({} AS {name})", of(expr))
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            access_chain.iter().fold(of(root), |text, access| match access {
                AccessExpr::Dot(field) => format!("{text}.{}", of(field)),
                AccessExpr::Subscript(Subscript::Index { index }) => format!("{text}[{}]", of(index)),
                AccessExpr::Subscript(other) => format!("{text}[{other}]"),
            })
        }
        Expr::Function(function) => call(function),
        Expr::Subquery(_) => "scalarsubquery()".to_string(),
        Expr::Exists { negated, .. } => not_if(*negated, "exists()".to_string()),
        Expr::Tuple(items) => format!("struct({})", all(items)),
        other => special_form(other),
    }
}

fn special_form(expr: &Expr) -> String {
    match expr {
        Expr::Struct { values, .. } => format!("struct({})", all(values)),
        Expr::Named { expr, name } => format!("{} AS {}", of(expr), name.value),
        Expr::Substring { expr, substring_from, substring_for, shorthand, .. } => {
            let from = substring_from.as_deref().map_or_else(|| "1".to_string(), of);
            let length = substring_for.as_deref().map_or_else(|| i32::MAX.to_string(), of);
            format!("{}({}, {from}, {length})", if *shorthand { "substr" } else { "substring" }, of(expr))
        }
        Expr::Trim { expr, trim_where, trim_what, trim_characters } => {
            trim(expr, *trim_where, trim_what.as_deref(), trim_characters.as_deref())
        }
        Expr::Position { expr, r#in } => format!("locate({}, {}, 1)", of(expr), of(r#in)),
        Expr::Extract { field, expr, .. } => format!("extract({field} FROM {})", of(expr)),
        Expr::Ceil { expr, field } => rounded("CEIL", expr, field),
        Expr::Floor { expr, field } => rounded("FLOOR", expr, field),
        Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
            let length = overlay_for.as_deref().map_or_else(|| "-1".to_string(), of);
            format!("overlay({}, {}, {}, {length})", of(expr), of(overlay_what), of(overlay_from))
        }
        Expr::Lambda(lambda) => {
            let names: Vec<String> = lambda.params.iter().map(|param| param.name.value.to_lowercase()).collect();
            let variables = vec!["namedlambdavariable()"; names.len()].join(", ");
            format!("lambdafunction({}, {variables})", of(&with_variables(&lambda.body, &names)))
        }
        other => other.to_string(),
    }
}

/// The lambda's body with its variables as Spark prints them.
fn with_variables(body: &Expr, names: &[String]) -> Expr {
    let mut body = body.clone();
    let _ = ast::visit_expressions_mut(&mut body, |expr| {
        match expr {
            Expr::Identifier(ident) if names.contains(&ident.value.to_lowercase()) => {
                ident.value = "namedlambdavariable()".to_string()
            }
            Expr::CompoundIdentifier(idents) if names.contains(&idents[0].value.to_lowercase()) => {
                idents[0].value = "namedlambdavariable()".to_string();
            }
            _ => {}
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
    body
}

fn rounded(name: &str, expr: &Expr, field: &ast::CeilFloorKind) -> String {
    match field {
        ast::CeilFloorKind::Scale(scale) => {
            format!("{}({}, {})", name.to_lowercase(), of(expr), of_value(&scale.value))
        }
        ast::CeilFloorKind::DateTimeField(_) => format!("{name}({})", of(expr)),
    }
}

fn compound(idents: &[ast::Ident]) -> String {
    idents.iter().map(|ident| ident.value.as_str()).collect::<Vec<_>>().join(".")
}

fn all(exprs: &[Expr]) -> String {
    exprs.iter().map(of).collect::<Vec<_>>().join(", ")
}

fn not_if(negated: bool, text: String) -> String {
    if negated { format!("(NOT {text})") } else { text }
}

fn of_value(value: &Value) -> String {
    match value {
        Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.clone(),
        Value::Number(text, _) => number(text),
        Value::Boolean(value) => value.to_string(),
        Value::Null => "NULL".to_string(),
        Value::HexStringLiteral(digits) => {
            let zero = if digits.len() % 2 == 1 { "0" } else { "" };
            format!("X'{zero}{}'", digits.to_uppercase())
        }
        other => other.to_string(),
    }
}

fn number(text: &str) -> String {
    literal::number(text).map_or_else(|_| text.to_string(), |value| crate::expressions::literal_sql(&value))
}

fn unary(op: &UnaryOperator, expr: &Expr) -> String {
    match (op, expr) {
        (UnaryOperator::Minus, Expr::Value(value)) if matches!(value.value, Value::Number(..)) => {
            number(&format!("-{value}"))
        }
        (UnaryOperator::Minus, _) => format!("(- {})", of(expr)),
        (UnaryOperator::Plus, _) => format!("(+ {})", of(expr)),
        (UnaryOperator::BitwiseNot, _) => format!("~{}", of(expr)),
        (UnaryOperator::Not | UnaryOperator::BangNot, _) => format!("(NOT {})", of(expr)),
        _ => format!("{op}{}", of(expr)),
    }
}

fn binary(left: &Expr, op: &BinaryOperator, right: &Expr) -> String {
    let (a, b) = (of(left), of(right));
    let symbol = match op {
        BinaryOperator::MyIntegerDivide => "div".to_string(),
        BinaryOperator::Spaceship => "<=>".to_string(),
        BinaryOperator::NotEq => return format!("(NOT ({a} = {b}))"),
        BinaryOperator::StringConcat => return format!("concat({a}, {b})"),
        BinaryOperator::PGBitwiseShiftLeft => "<<".to_string(),
        BinaryOperator::PGBitwiseShiftRight => ">>".to_string(),
        BinaryOperator::Plus | BinaryOperator::Minus if is_interval(right) && !is_interval(left) => {
            return format!("{a} {op} {b}");
        }
        BinaryOperator::Multiply if is_interval(right) && !is_interval(left) => return format!("({b} * {a})"),
        BinaryOperator::Plus if is_interval(left) && !is_interval(right) => return format!("{b} + {a}"),
        other => other.to_string(),
    };
    format!("({a} {symbol} {b})")
}

fn is_interval(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_interval(inner),
        Expr::UnaryOp { expr, .. } => is_interval(expr),
        Expr::BinaryOp { left, op: BinaryOperator::Plus | BinaryOperator::Minus, right } => {
            is_interval(left) && is_interval(right)
        }
        Expr::BinaryOp { left, op: BinaryOperator::Multiply | BinaryOperator::Divide, right } => {
            is_interval(left) || is_interval(right)
        }
        _ => literal::interval(expr).is_some(),
    }
}

fn case(operand: Option<&Expr>, whens: &[ast::CaseWhen], other: Option<&Expr>) -> String {
    let mut text = "CASE".to_string();
    for when in whens {
        let condition = match operand {
            Some(operand) => format!("({} = {})", of(operand), of(&when.condition)),
            None => of(&when.condition),
        };
        text += &format!(" WHEN {condition} THEN {}", of(&when.result));
    }
    if let Some(other) = other {
        text += &format!(" ELSE {}", of(other));
    }
    text + " END"
}

fn trim(expr: &Expr, place: Option<ast::TrimWhereField>, what: Option<&Expr>, characters: Option<&[Expr]>) -> String {
    if let Some([characters]) = characters {
        return format!("TRIM(BOTH {} FROM {})", of(expr), of(characters));
    }
    match (place, what) {
        (Some(place), Some(what)) => format!("TRIM({place} {} FROM {})", of(what), of(expr)),
        (None, Some(what)) => format!("TRIM(BOTH {} FROM {})", of(what), of(expr)),
        (Some(ast::TrimWhereField::Leading), None) => format!("ltrim({})", of(expr)),
        (Some(ast::TrimWhereField::Trailing), None) => format!("rtrim({})", of(expr)),
        (_, None) => format!("trim({})", of(expr)),
    }
}

/// The argument of `int(x)`, which is a cast.
fn cast_function(function: &ast::Function) -> Option<&Expr> {
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

/// Functions that Spark prints in capitals, whatever was written.
const CAPITALS: &[&str] =
    &["power", "pi", "e", "ceil", "floor", "regexp_like", "rlike", "acosh", "asinh", "atanh", "rint"];

/// Functions with a default that Spark prints: the name, how many arguments there are without it, and what is added.
const DEFAULTS: &[(&str, usize, &str)] = &[
    ("round", 1, "0"),
    ("bround", 1, "0"),
    ("split", 2, "-1"),
    ("locate", 2, "1"),
    ("substr", 2, "2147483647"),
    ("substring", 2, "2147483647"),
    ("unix_timestamp", 1, "yyyy-MM-dd HH:mm:ss"),
    ("to_unix_timestamp", 1, "yyyy-MM-dd HH:mm:ss"),
    ("from_unixtime", 1, "yyyy-MM-dd HH:mm:ss"),
    ("regexp_extract", 2, "1"),
    ("regexp_extract_all", 2, "1"),
    ("regexp_replace", 3, "1"),
    ("array_join", 1, ","),
];

fn call(function: &ast::Function) -> String {
    let written = function.name.to_string().replace('`', "");
    let name = written.to_lowercase();
    let list = match &function.args {
        FunctionArguments::List(list) => Some(list),
        _ => None,
    };
    if let Some(inner) = cast_function(function) {
        return of(inner);
    }
    let mut arguments: Vec<String> = list.map(|list| list.args.iter().map(argument).collect()).unwrap_or_default();
    match (name.as_str(), &arguments[..]) {
        ("ltrim", [what, text]) => return format!("TRIM(LEADING {what} FROM {text})"),
        ("rtrim", [what, text]) => return format!("TRIM(TRAILING {what} FROM {text})"),
        ("count", [star]) if star == "*" => arguments = vec!["1".to_string()],
        ("count", []) => arguments = vec!["1".to_string()],
        ("if", [condition, then, other]) => return format!("(IF({condition}, {then}, {other}))"),
        _ => {}
    }
    if let Some((_, _, default)) = DEFAULTS.iter().find(|(known, count, _)| *known == name && *count == arguments.len())
    {
        arguments.push((*default).to_string());
    }
    if name == "from_json" {
        arguments.truncate(1);
    }
    let shown = if CAPITALS.contains(&name.as_str()) && !(name == "ceil" || name == "floor") | (arguments.len() == 1) {
        name.to_uppercase()
    } else {
        name
    };
    let distinct = match list.and_then(|list| list.duplicate_treatment) {
        Some(ast::DuplicateTreatment::Distinct) => "DISTINCT ",
        _ => "",
    };
    let mut text = format!("{shown}({distinct}{})", arguments.join(", "));
    if let Some(filter) = &function.filter {
        text += &format!(" FILTER (WHERE {})", of(filter));
    }
    match &function.over {
        Some(ast::WindowType::WindowSpec(spec)) => text + " OVER (" + &window_spec(spec, &written) + ")",
        Some(ast::WindowType::NamedWindow(name)) => format!("{text} OVER {name}"),
        None => text,
    }
}

fn argument(argument: &FunctionArg) -> String {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Named { expr, name })) => {
            format!("{} AS {}", of(expr), name.value)
        }
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => of(expr),
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
            format!("{} {} NULLS {nulls}", of(&key.expr), if asc { "ASC" } else { "DESC" })
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
