//! The names that Spark gives to unnamed columns: the expression, printed its way.

use arrow::datatypes::DataType;
use millstream_formats::ddl::quote_if_needed;
use sqlparser::ast::{self, AccessExpr, BinaryOperator, Expr, Subscript, UnaryOperator, Value};

use super::call_names::{self, cast_function};
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
        Expr::Function(function) => call_names::of(function),
        Expr::Subquery(_) => "scalarsubquery()".to_string(),
        Expr::Exists { negated, .. } => not_if(*negated, "exists()".to_string()),
        Expr::Tuple(items) => format!("struct({})", all(items)),
        other => special_form(other),
    }
}

fn special_form(expr: &Expr) -> String {
    match expr {
        Expr::Struct { values, .. } => format!("struct({})", all(values)),
        Expr::Named { expr, name } => format!("{} AS {}", of(expr), quote_if_needed(&name.value)),
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

pub(super) fn all(exprs: &[Expr]) -> String {
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
