//! One expression: its names resolved, its operators typed as Spark types them.

use std::sync::Arc;

use datafusion::common::{DataFusionError, Result, ScalarValue, Spans};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery, lit};
use sqlparser::ast::{self, AccessExpr, BinaryOperator, CastKind, Subscript, UnaryOperator};
use sqlparser::tokenizer::Span;

use super::scope::Scope;
use super::{Env, Planner, error_at, literal, unsupported};
use crate::expressions::{Op, Semantics, parse_type};

impl Planner<'_> {
    pub(super) fn expr(&self, expr: &ast::Expr, scope: &Scope<'_>) -> Result<Expr> {
        use ast::Expr as E;
        let semantics = Semantics::new(&scope.schema, &self.zone);
        let plan = |expr: &ast::Expr| self.expr(expr, scope);
        if let Some(text) = literal::negative_number(expr) {
            return Ok(Expr::Literal(literal::number(&format!("-{text}"))?, None));
        }
        if let Some(marked) = literal::marked(expr, &self.zone) {
            return marked;
        }
        match expr {
            E::Identifier(ident) => scope.resolve(std::slice::from_ref(ident), &semantics),
            E::CompoundIdentifier(parts) => scope.resolve(parts, &semantics),
            E::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain, scope),
            E::Value(value) => Ok(Expr::Literal(literal::value(&value.value)?, None)),
            E::Nested(inner) => plan(inner),
            E::UnaryOp { op, expr } => self.unary(op, plan(expr)?, &semantics),
            E::BinaryOp { left, op, right } => self.binary(left, op, right, scope),
            E::IsNull(inner) => Ok(plan(inner)?.is_null()),
            E::IsNotNull(inner) => Ok(plan(inner)?.is_not_null()),
            E::IsTrue(inner) => Ok(Expr::IsTrue(Box::new(semantics.condition(plan(inner)?, "IS TRUE")?))),
            E::IsNotTrue(inner) => Ok(Expr::IsNotTrue(Box::new(semantics.condition(plan(inner)?, "IS TRUE")?))),
            E::IsFalse(inner) => Ok(Expr::IsFalse(Box::new(semantics.condition(plan(inner)?, "IS FALSE")?))),
            E::IsNotFalse(inner) => Ok(Expr::IsNotFalse(Box::new(semantics.condition(plan(inner)?, "IS FALSE")?))),
            E::IsUnknown(inner) => Ok(plan(inner)?.is_null()),
            E::IsNotUnknown(inner) => Ok(plan(inner)?.is_not_null()),
            E::IsDistinctFrom(left, right) => Ok(!semantics.binary(plan(left)?, Op::NullSafeEq, plan(right)?)?),
            E::IsNotDistinctFrom(left, right) => semantics.binary(plan(left)?, Op::NullSafeEq, plan(right)?),
            E::InList { expr, list, negated } => {
                let list = list.iter().map(plan).collect::<Result<_>>()?;
                Ok(negate_if(*negated, semantics.in_list(plan(expr)?, list)?))
            }
            E::Between { expr, negated, low, high } => {
                let value = plan(expr)?;
                let from = semantics.binary(value.clone(), Op::GtEq, plan(low)?)?;
                let to = semantics.binary(value, Op::LtEq, plan(high)?)?;
                Ok(negate_if(*negated, from.and(to)))
            }
            E::Like { negated, any, expr, pattern, .. } if *any || all_patterns(pattern).is_some() => {
                self.like_several(expr, pattern, *negated, scope)
            }
            E::Like { negated, expr, pattern, escape_char, .. } => {
                let like = semantics.like(plan(expr)?, plan(pattern)?, escape(escape_char.as_ref())?, false)?;
                Ok(negate_if(*negated, like))
            }
            E::ILike { negated, expr, pattern, escape_char, .. } => {
                let like = semantics.like(plan(expr)?, plan(pattern)?, escape(escape_char.as_ref())?, true)?;
                Ok(negate_if(*negated, like))
            }
            E::RLike { negated, expr, pattern, .. } => {
                Ok(negate_if(*negated, self.named("rlike", vec![plan(expr)?, plan(pattern)?])?))
            }
            E::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref(), scope)
            }
            E::Cast { kind, expr, data_type, .. } => {
                let to = parse_type(&type_text(data_type))?;
                semantics.explicit_cast(plan(expr)?, &to, matches!(kind, CastKind::TryCast))
            }
            E::Function(function) => self.call(function, scope),
            E::Exists { .. } | E::InSubquery { .. } | E::Subquery(_) => self.subquery_expr(expr, scope),
            E::Tuple(items) => self.tuple(items, scope),
            other => self.special_form(other, scope),
        }
    }

    fn unary(&self, op: &UnaryOperator, expr: Expr, semantics: &Semantics<'_>) -> Result<Expr> {
        match op {
            UnaryOperator::Not | UnaryOperator::BangNot => Ok(Expr::Not(Box::new(semantics.condition(expr, "NOT")?))),
            UnaryOperator::Minus => semantics.negate(expr),
            UnaryOperator::Plus => semantics.positive(expr),
            UnaryOperator::BitwiseNot => semantics.bit_not(expr),
            other => Err(unsupported(format!("the operator {other} is not supported"))),
        }
    }

    fn binary(&self, left: &ast::Expr, op: &BinaryOperator, right: &ast::Expr, scope: &Scope<'_>) -> Result<Expr> {
        let semantics = Semantics::new(&scope.schema, &self.zone);
        let (left, right) = (self.expr(left, scope)?, self.expr(right, scope)?);
        let op = match op {
            BinaryOperator::Plus => Op::Add,
            BinaryOperator::Minus => Op::Subtract,
            BinaryOperator::Multiply => Op::Multiply,
            BinaryOperator::Divide => Op::Divide,
            BinaryOperator::Modulo => Op::Modulo,
            BinaryOperator::MyIntegerDivide => Op::IntegerDivide,
            BinaryOperator::Eq => Op::Eq,
            BinaryOperator::NotEq => return Ok(Expr::Not(Box::new(semantics.binary(left, Op::Eq, right)?))),
            BinaryOperator::Lt => Op::Lt,
            BinaryOperator::LtEq => Op::LtEq,
            BinaryOperator::Gt => Op::Gt,
            BinaryOperator::GtEq => Op::GtEq,
            BinaryOperator::Spaceship => Op::NullSafeEq,
            BinaryOperator::And => Op::And,
            BinaryOperator::Or => Op::Or,
            BinaryOperator::BitwiseAnd => Op::BitAnd,
            BinaryOperator::BitwiseOr => Op::BitOr,
            BinaryOperator::BitwiseXor => Op::BitXor,
            BinaryOperator::PGBitwiseShiftLeft => return self.named("shiftleft", vec![left, right]),
            BinaryOperator::PGBitwiseShiftRight => return self.named("shiftright", vec![left, right]),
            BinaryOperator::Custom(symbol) if symbol == ">>>" => {
                return self.named("shiftrightunsigned", vec![left, right]);
            }
            BinaryOperator::StringConcat => return self.named("concat", vec![left, right]),
            other => return Err(unsupported(format!("the operator {other} is not supported"))),
        };
        semantics.binary(left, op, right)
    }

    fn case(
        &self,
        operand: Option<&ast::Expr>,
        whens: &[ast::CaseWhen],
        other: Option<&ast::Expr>,
        scope: &Scope<'_>,
    ) -> Result<Expr> {
        let semantics = Semantics::new(&scope.schema, &self.zone);
        let operand = operand.map(|operand| self.expr(operand, scope)).transpose()?;
        let mut branches = Vec::with_capacity(whens.len());
        for when in whens {
            let condition = self.expr(&when.condition, scope)?;
            let condition = match &operand {
                Some(operand) => semantics.binary(operand.clone(), Op::Eq, condition)?,
                None => semantics.condition(condition, "WHEN")?,
            };
            branches.push((condition, self.expr(&when.result, scope)?));
        }
        let other = other.map(|other| self.expr(other, scope)).transpose()?;
        semantics.case(branches, other)
    }

    /// `expr [NOT] LIKE ANY | ALL (patterns)`.
    fn like_several(&self, expr: &ast::Expr, patterns: &ast::Expr, negated: bool, scope: &Scope<'_>) -> Result<Expr> {
        let semantics = Semantics::new(&scope.schema, &self.zone);
        let all = all_patterns(patterns);
        let patterns: Vec<&ast::Expr> = match (patterns, &all) {
            (_, Some(patterns)) => patterns.clone(),
            (ast::Expr::Tuple(patterns), None) => patterns.iter().collect(),
            (ast::Expr::Nested(pattern), None) => vec![pattern.as_ref()],
            (pattern, None) => vec![pattern],
        };
        let mut likes = Vec::with_capacity(patterns.len());
        for pattern in patterns {
            let like = semantics.like(self.expr(expr, scope)?, self.expr(pattern, scope)?, None, false)?;
            likes.push(negate_if(negated, like));
        }
        let joined = likes.into_iter().reduce(if all.is_some() { Expr::and } else { Expr::or });
        joined.ok_or_else(|| DataFusionError::Plan("LIKE ANY and LIKE ALL need patterns".to_string()))
    }

    /// `root.field`, `root[key]`, any number of them. A root that is a name may be a relation's.
    fn access(&self, root: &ast::Expr, chain: &[AccessExpr], scope: &Scope<'_>) -> Result<Expr> {
        let semantics = Semantics::new(&scope.schema, &self.zone);
        let mut names: Vec<ast::Ident> = match root {
            ast::Expr::Identifier(ident) => vec![ident.clone()],
            ast::Expr::CompoundIdentifier(idents) => idents.clone(),
            _ => Vec::new(),
        };
        let mut chain = chain.iter().peekable();
        while !names.is_empty()
            && let Some(AccessExpr::Dot(ast::Expr::Identifier(field))) = chain.peek()
        {
            names.push(field.clone());
            chain.next();
        }
        let mut expr = if names.is_empty() { self.expr(root, scope)? } else { scope.resolve(&names, &semantics)? };
        for access in chain {
            expr = match access {
                AccessExpr::Dot(ast::Expr::Identifier(field)) => {
                    semantics.field(expr, &field.value).map_err(|error| place(field.span, error))?
                }
                AccessExpr::Subscript(Subscript::Index { index }) => semantics.item(expr, self.expr(index, scope)?)?,
                other => return Err(unsupported(format!("the access {other} is not supported"))),
            };
        }
        Ok(expr)
    }

    fn subquery_expr(&self, expr: &ast::Expr, scope: &Scope<'_>) -> Result<Expr> {
        let semantics = Semantics::new(&scope.schema, &self.zone);
        match expr {
            ast::Expr::Subquery(query) => {
                let subquery = self.subquery(query, scope)?;
                one_column(&subquery, "[SCALAR_SUBQUERY_RETURN_MORE_THAN_ONE_OUTPUT_COLUMN] a subquery as a value")?;
                Ok(Expr::ScalarSubquery(subquery))
            }
            ast::Expr::Exists { subquery, negated } => {
                Ok(Expr::Exists(Exists::new(self.subquery(subquery, scope)?, *negated)))
            }
            ast::Expr::InSubquery { expr, subquery, negated } => {
                let subquery = self.subquery(subquery, scope)?;
                one_column(&subquery, "[IN_SUBQUERY_TYPES_MISMATCH] the subquery of IN")?;
                let value = self.expr(expr, scope)?;
                let theirs = subquery.subquery.schema().field(0).data_type().clone();
                let common = semantics.common_type(&[semantics.type_of(&value)?, theirs], "IN")?;
                let value = semantics.cast(value, &common, false)?;
                Ok(Expr::InSubquery(InSubquery::new(Box::new(value), subquery, *negated)))
            }
            other => Err(unsupported(format!("'{other}' is not supported"))),
        }
    }

    fn subquery(&self, query: &ast::Query, scope: &Scope<'_>) -> Result<Subquery> {
        let env = Env { ctes: scope.ctes.clone(), outer: Some(scope) };
        let plan: LogicalPlan = self.query(query, &env)?;
        let outer_ref_columns = plan.all_out_ref_exprs();
        Ok(Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: Spans::new() })
    }

    /// `struct(a, b + 1 AS c)`.
    fn struct_literal(&self, values: &[ast::Expr], scope: &Scope<'_>) -> Result<Expr> {
        let mut arguments = Vec::new();
        for (nth, value) in values.iter().enumerate() {
            let (name, value) = match value {
                ast::Expr::Named { expr, name } => (name.value.clone(), expr.as_ref()),
                value => (super::names::of_field(value).unwrap_or_else(|| format!("col{}", nth + 1)), value),
            };
            arguments.extend([lit(name), self.expr(value, scope)?]);
        }
        self.named("named_struct", arguments)
    }

    fn tuple(&self, items: &[ast::Expr], scope: &Scope<'_>) -> Result<Expr> {
        let mut arguments = Vec::new();
        for (nth, item) in items.iter().enumerate() {
            arguments.extend([lit(format!("col{}", nth + 1)), self.expr(item, scope)?]);
        }
        self.named("named_struct", arguments)
    }

    /// Forms with a syntax of their own that are functions underneath.
    fn special_form(&self, expr: &ast::Expr, scope: &Scope<'_>) -> Result<Expr> {
        use ast::Expr as E;
        let plan = |expr: &ast::Expr| self.expr(expr, scope);
        match expr {
            E::Struct { values, .. } => self.struct_literal(values, scope),
            E::Substring { expr, substring_from, substring_for, .. } => {
                let mut arguments = vec![plan(expr)?];
                arguments.push(substring_from.as_deref().map_or_else(|| Ok(lit(1_i32)), plan)?);
                arguments.extend(substring_for.as_deref().map(plan).transpose()?);
                self.named("substring", arguments)
            }
            E::Trim { expr, trim_where, trim_what, trim_characters } => {
                // `trim(x, s)` is `trim(BOTH x FROM s)`.
                let (what, text) = match (trim_what, trim_characters.as_deref()) {
                    (Some(what), _) => (Some(plan(what)?), plan(expr)?),
                    (None, Some([text, ..])) => (Some(plan(expr)?), plan(text)?),
                    (None, _) => (None, plan(expr)?),
                };
                match (trim_where, what) {
                    (Some(ast::TrimWhereField::Leading), what) => {
                        self.named("ltrim", what.into_iter().chain([text]).collect())
                    }
                    (Some(ast::TrimWhereField::Trailing), what) => {
                        self.named("rtrim", what.into_iter().chain([text]).collect())
                    }
                    (_, Some(what)) => self.named("btrim", vec![text, what]),
                    (_, None) => self.named("trim", vec![text]),
                }
            }
            E::Position { expr, r#in } => self.named("locate", vec![plan(expr)?, plan(r#in)?]),
            E::Extract { field, expr, .. } => self.named("date_part", vec![lit(field.to_string()), plan(expr)?]),
            E::Ceil { expr, field } => self.rounded("ceil", expr, field, scope),
            E::Floor { expr, field } => self.rounded("floor", expr, field, scope),
            E::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let mut arguments = vec![plan(expr)?, plan(overlay_what)?, plan(overlay_from)?];
                arguments.extend(overlay_for.as_deref().map(plan).transpose()?);
                self.named("overlay", arguments)
            }
            E::AtTimeZone { .. } => {
                Err(unsupported("AT TIME ZONE is not supported: use from_utc_timestamp or to_utc_timestamp"))
            }
            E::Lambda(_) => Err(DataFusionError::Plan(format!(
                "[UNSUPPORTED_EXPR] the lambda '{expr}' can only be an argument of a function such as transform"
            ))),
            other => Err(unsupported(format!("the expression '{other}' is not supported"))),
        }
    }

    fn rounded(&self, name: &str, expr: &ast::Expr, field: &ast::CeilFloorKind, scope: &Scope<'_>) -> Result<Expr> {
        let mut arguments = vec![self.expr(expr, scope)?];
        if let ast::CeilFloorKind::Scale(scale) = field {
            arguments.push(Expr::Literal(literal::value(&scale.value)?, None));
        }
        self.named(name, arguments)
    }
}

/// The patterns of `LIKE ALL (…)`, which sqlparser reads as a function.
pub(super) fn all_patterns(pattern: &ast::Expr) -> Option<Vec<&ast::Expr>> {
    match pattern {
        ast::Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("all") => {
            super::call::arguments(function).ok()
        }
        _ => None,
    }
}

fn negate_if(negated: bool, expr: Expr) -> Expr {
    if negated { Expr::Not(Box::new(expr)) } else { expr }
}

fn escape(value: Option<&ast::ValueWithSpan>) -> Result<Option<char>> {
    let Some(value) = value else { return Ok(None) };
    let text = match &value.value {
        ast::Value::SingleQuotedString(text) => text.as_str(),
        _ => "",
    };
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(escape), None) => Ok(Some(escape)),
        _ => Err(error_at(value.span, "[INVALID_ESC] the escape character of LIKE must be one character in quotes")),
    }
}

/// The text of a cast's type: the rewrite of tokens has made one name of it.
pub(super) fn type_text(data_type: &ast::DataType) -> String {
    match data_type {
        ast::DataType::Custom(name, _) => match &name.0[..] {
            [ast::ObjectNamePart::Identifier(ident)] => ident.value.clone(),
            _ => name.to_string(),
        },
        other => other.to_string(),
    }
}

fn one_column(subquery: &Subquery, what: &str) -> Result<()> {
    match subquery.subquery.schema().fields().len() {
        1 => Ok(()),
        columns => Err(DataFusionError::Plan(format!("{what} must have one column, not {columns}"))),
    }
}

fn place(span: Span, error: DataFusionError) -> DataFusionError {
    match error {
        DataFusionError::Plan(message) => error_at(span, message),
        other => other,
    }
}

/// A literal's text, where a function needs it before it runs.
pub(super) fn literal_text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => Some(text),
        _ => None,
    }
}
