//! What an operator means, given the types of its operands.
//!
//! Where DataFusion's own expression has exactly Spark's answer it is used: the optimizer knows it, and it is the fastest.
//! Otherwise the result is a call of one of [`OPERATORS`](super::OPERATORS).

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::{InList, Like};
use datafusion::logical_expr::{BinaryExpr, Case, Cast, Expr, ExprSchemable, Operator as DfOperator, lit};

use super::error::{different_types, wrong_type};
use super::types::{common_type, is_integer, is_numeric, is_orderable};
use super::{access, arithmetic, cast, sql_type_name, temporal};

/// The operators that have two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `DIV`
    IntegerDivide,
    /// `%`
    Modulo,
    /// `=`
    Eq,
    /// `<=>`
    NullSafeEq,
    /// `<`
    Lt,
    /// `<=`
    LtEq,
    /// `>`
    Gt,
    /// `>=`
    GtEq,
    /// `AND`
    And,
    /// `OR`
    Or,
    /// `&`
    BitAnd,
    /// `|`
    BitOr,
    /// `^`
    BitXor,
}

impl Op {
    /// As it is written.
    pub(super) fn symbol(self) -> &'static str {
        use Op::*;
        match self {
            Add => "+",
            Subtract => "-",
            Multiply => "*",
            Divide => "/",
            IntegerDivide => "div",
            Modulo => "%",
            Eq => "=",
            NullSafeEq => "<=>",
            Lt => "<",
            LtEq => "<=",
            Gt => ">",
            GtEq => ">=",
            And => "AND",
            Or => "OR",
            BitAnd => "&",
            BitOr => "|",
            BitXor => "^",
        }
    }
}

/// Spark's meaning of operators over the columns of one schema, in one session time zone.
#[derive(Clone, Copy)]
pub struct Semantics<'a> {
    schema: &'a DFSchema,
    zone: &'a Arc<str>,
}

impl<'a> Semantics<'a> {
    /// For expressions over `schema`'s columns.
    pub fn new(schema: &'a DFSchema, zone: &'a Arc<str>) -> Self {
        Self { schema, zone }
    }

    /// The session time zone.
    pub fn zone(&self) -> &'a Arc<str> {
        self.zone
    }

    /// The type of an expression.
    ///
    /// # Errors
    /// When it names a column that is not in the schema.
    pub fn type_of(&self, expr: &Expr) -> Result<DataType> {
        expr.get_type(self.schema)
    }

    /// `left op right`.
    ///
    /// # Errors
    /// `DATATYPE_MISMATCH` when the operand's types do not go with the operator or each other.
    pub fn binary(&self, left: Expr, op: Op, right: Expr) -> Result<Expr> {
        match op {
            Op::Add | Op::Subtract | Op::Multiply | Op::Divide | Op::IntegerDivide | Op::Modulo => {
                if let Some(expr) = temporal::arithmetic(self, &left, op, &right)? {
                    return Ok(expr);
                }
                arithmetic::arithmetic(self, left, op, right)
            }
            Op::Eq | Op::NullSafeEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq => self.comparison(left, op, right),
            Op::And | Op::Or => self.logic(left, op, right),
            Op::BitAnd | Op::BitOr | Op::BitXor => self.bits(left, op, right),
        }
    }

    /// A condition: it must be BOOLEAN, or a string that says so.
    ///
    /// # Errors
    /// When it is something else.
    pub fn condition(&self, expr: Expr, clause: &str) -> Result<Expr> {
        match self.type_of(&expr)? {
            DataType::Boolean => Ok(expr),
            DataType::Null | DataType::Utf8 => self.cast(expr, &DataType::Boolean, false),
            other => Err(DataFusionError::Plan(format!(
                "[DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN] the condition of {clause} must be \"BOOLEAN\", not \"{}\".",
                sql_type_name(&other)
            ))),
        }
    }

    /// `-expr`.
    ///
    /// # Errors
    /// When it is no number or interval.
    pub fn negate(&self, expr: Expr) -> Result<Expr> {
        let expr = self.number_of_string(expr)?;
        match self.type_of(&expr)? {
            DataType::Float32 | DataType::Float64 => Ok(Expr::Negative(Box::new(expr))),
            data_type if is_integer(&data_type) || matches!(data_type, DataType::Decimal128(..)) => {
                Ok(arithmetic::NEGATE.call(vec![expr]))
            }
            data_type if super::types::is_interval(&data_type) => Ok(arithmetic::NEGATE.call(vec![expr])),
            DataType::Null => Ok(expr),
            other => Err(wrong_type("-", "a number or an interval", &other)),
        }
    }

    /// `+expr`.
    ///
    /// # Errors
    /// As [`negate`](Self::negate).
    pub fn positive(&self, expr: Expr) -> Result<Expr> {
        let expr = self.number_of_string(expr)?;
        match self.type_of(&expr)? {
            data_type if is_numeric(&data_type) || super::types::is_interval(&data_type) || data_type.is_null() => {
                Ok(expr)
            }
            other => Err(wrong_type("+", "a number or an interval", &other)),
        }
    }

    /// `~expr`.
    ///
    /// # Errors
    /// When it is no whole number.
    pub fn bit_not(&self, expr: Expr) -> Result<Expr> {
        let data_type = self.type_of(&expr)?;
        if !is_integer(&data_type) {
            return Err(wrong_type("~", "a whole number", &data_type));
        }
        let ones = ScalarValue::Int64(Some(-1)).cast_to(&data_type)?;
        Ok(binary(expr, DfOperator::BitwiseXor, Expr::Literal(ones, None)))
    }

    /// `expr IN (list)`.
    ///
    /// # Errors
    /// When the types have nothing in common.
    pub fn in_list(&self, expr: Expr, list: Vec<Expr>) -> Result<Expr> {
        let mut types = vec![self.type_of(&expr)?];
        for item in &list {
            types.push(self.type_of(item)?);
        }
        let common = self.common_type(&types, "IN")?;
        let expr = self.cast(expr, &common, false)?;
        let list = list.into_iter().map(|item| self.cast(item, &common, false)).collect::<Result<_>>()?;
        Ok(Expr::InList(InList::new(Box::new(expr), list, false)))
    }

    /// `expr LIKE pattern [ESCAPE escape]`.
    ///
    /// # Errors
    /// When a side cannot be a string, or another escape than a backslash stands in a pattern that is not constant.
    pub fn like(&self, expr: Expr, pattern: Expr, escape: Option<char>, ignore_case: bool) -> Result<Expr> {
        let expr = self.cast(expr, &DataType::Utf8, false)?;
        let mut pattern = self.cast(pattern, &DataType::Utf8, false)?;
        if let Some(escape) = escape.filter(|escape| *escape != '\\') {
            let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = &pattern else {
                return Err(DataFusionError::NotImplemented("LIKE with ESCAPE needs a constant pattern".to_string()));
            };
            pattern = lit(with_backslashes(text, escape)?);
        }
        if let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = &pattern
            && text.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
        {
            return Err(DataFusionError::Plan(format!(
                "[INVALID_FORMAT.ESC_AT_THE_END] the escape character is not allowed at the end of '{text}'"
            )));
        }
        Ok(Expr::Like(Like::new(false, Box::new(expr), Box::new(pattern), None, ignore_case)))
    }

    /// `CASE WHEN … THEN … ELSE … END`.
    ///
    /// # Errors
    /// When the results have no common type.
    pub fn case(&self, branches: Vec<(Expr, Expr)>, other: Option<Expr>) -> Result<Expr> {
        let mut types = Vec::new();
        for result in branches.iter().map(|(_, result)| result).chain(&other) {
            types.push(self.type_of(result)?);
        }
        let common = self.common_type(&types, "CASE")?;
        let mut when_then = Vec::with_capacity(branches.len());
        for (when, then) in branches {
            when_then.push((Box::new(when), Box::new(self.cast(then, &common, false)?)));
        }
        let other = other.map(|other| self.cast(other, &common, false)).transpose()?;
        Ok(Expr::Case(Case::new(None, when_then, other.map(Box::new))))
    }

    /// The type that all are brought to.
    ///
    /// # Errors
    /// `DATATYPE_MISMATCH.DATA_DIFF_TYPES` when there is none.
    pub fn common_type(&self, types: &[DataType], what: &str) -> Result<DataType> {
        let mut common = DataType::Null;
        // Strings last: they take the type of the others.
        let (strings, others): (Vec<&DataType>, Vec<&DataType>) =
            types.iter().partition(|data_type| **data_type == DataType::Utf8);
        for data_type in others.into_iter().chain(strings) {
            common = super::types::common_type(&common, data_type).ok_or_else(|| {
                let names: Vec<String> = types.iter().map(|data_type| format!("\"{}\"", sql_type_name(data_type))).collect();
                DataFusionError::Plan(format!(
                    "[DATATYPE_MISMATCH.DATA_DIFF_TYPES] Cannot resolve \"{what}\" due to data type mismatch: Input to `{what}` should all be the \
                     same type, but it's [{}].",
                    names.join(", ")
                ))
            })?;
        }
        Ok(common)
    }

    /// `expr` as `to`, where the two may be cast into each other without being asked to.
    ///
    /// # Errors
    /// When there is no such cast.
    pub fn cast(&self, expr: Expr, to: &DataType, is_try: bool) -> Result<Expr> {
        cast::cast(self, expr, to, is_try)
    }

    /// `CAST(expr AS to)`, `TRY_CAST`.
    ///
    /// # Errors
    /// `DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION` where Spark has no such cast.
    pub fn explicit_cast(&self, expr: Expr, to: &DataType, is_try: bool) -> Result<Expr> {
        let from = self.type_of(&expr)?;
        cast::check(&from, to, is_try)?;
        self.cast(expr, to, is_try)
    }

    /// `expr.name`: a struct's field, the fields of an array's structs, or a map's value.
    ///
    /// # Errors
    /// When there is no such field.
    pub fn field(&self, expr: Expr, name: &str) -> Result<Expr> {
        access::field(self, expr, name)
    }

    /// `expr[index]`: an array's element from 0, a map's value, a struct's field.
    ///
    /// # Errors
    /// When the types do not go together.
    pub fn item(&self, expr: Expr, index: Expr) -> Result<Expr> {
        access::item(self, expr, index)
    }

    /// A map's entries as an array of `{key, value}`.
    ///
    /// # Errors
    /// When it is no map.
    pub fn map_entries(&self, expr: Expr) -> Result<Expr> {
        Ok(access::MAP_ENTRIES.call(vec![expr]))
    }

    /// An array's elements as `{pos, col}`, a map's entries as `{pos, key, value}`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn with_positions(&self, expr: Expr) -> Result<Expr> {
        Ok(access::WITH_POSITIONS.call(vec![expr]))
    }

    fn comparison(&self, left: Expr, op: Op, right: Expr) -> Result<Expr> {
        let (left_type, right_type) = (self.type_of(&left)?, self.type_of(&right)?);
        let common = common_type(&left_type, &right_type)
            .ok_or_else(|| different_types(op.symbol(), &left_type, &right_type))?;
        if !is_orderable(&common) {
            return Err(DataFusionError::Plan(format!(
                "[DATATYPE_MISMATCH.INVALID_ORDERING_TYPE] Cannot resolve \"{}\" due to data type mismatch: values of \"{}\" have no order.",
                op.symbol(),
                sql_type_name(&common)
            )));
        }
        let (left, right) = (self.cast(left, &common, false)?, self.cast(right, &common, false)?);
        let operator = match op {
            Op::Eq => DfOperator::Eq,
            Op::NullSafeEq => DfOperator::IsNotDistinctFrom,
            Op::Lt => DfOperator::Lt,
            Op::LtEq => DfOperator::LtEq,
            Op::Gt => DfOperator::Gt,
            _ => DfOperator::GtEq,
        };
        if super::compare::has_float(&common) {
            return Ok(super::compare::compare(left, operator, right, &common));
        }
        Ok(binary(left, operator, right))
    }

    fn logic(&self, left: Expr, op: Op, right: Expr) -> Result<Expr> {
        let (left_type, right_type) = (self.type_of(&left)?, self.type_of(&right)?);
        let as_boolean = |expr: Expr, data_type: &DataType| match data_type {
            DataType::Boolean => Ok(expr),
            DataType::Null | DataType::Utf8 => self.cast(expr, &DataType::Boolean, false),
            _ => Err(different_types(op.symbol(), &left_type, &right_type)),
        };
        let (left, right) = (as_boolean(left, &left_type)?, as_boolean(right, &right_type)?);
        Ok(binary(left, if op == Op::And { DfOperator::And } else { DfOperator::Or }, right))
    }

    fn bits(&self, left: Expr, op: Op, right: Expr) -> Result<Expr> {
        let (left_type, right_type) = (self.type_of(&left)?, self.type_of(&right)?);
        let common = common_type(&left_type, &right_type)
            .ok_or_else(|| different_types(op.symbol(), &left_type, &right_type))?;
        if !is_integer(&common) {
            return Err(wrong_type(op.symbol(), "whole numbers", &common));
        }
        let operator = match op {
            Op::BitAnd => DfOperator::BitwiseAnd,
            Op::BitOr => DfOperator::BitwiseOr,
            _ => DfOperator::BitwiseXor,
        };
        Ok(binary(self.cast(left, &common, false)?, operator, self.cast(right, &common, false)?))
    }

    /// A string where a number is wanted is read as DOUBLE.
    fn number_of_string(&self, expr: Expr) -> Result<Expr> {
        match self.type_of(&expr)? {
            DataType::Utf8 => self.cast(expr, &DataType::Float64, false),
            _ => Ok(expr),
        }
    }
}

/// DataFusion's own operator.
pub(super) fn binary(left: Expr, op: DfOperator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

/// DataFusion's own cast, where its answer is Spark's.
pub(super) fn plain_cast(expr: Expr, to: &DataType) -> Expr {
    match expr {
        Expr::Literal(value, metadata) => match value.cast_to(to) {
            Ok(value) => Expr::Literal(value, metadata),
            Err(_) => Expr::Cast(Cast::new(Box::new(Expr::Literal(value, metadata)), to.clone())),
        },
        expr => Expr::Cast(Cast::new(Box::new(expr), to.clone())),
    }
}

/// A LIKE pattern with another escape character, written with backslashes.
fn with_backslashes(pattern: &str, escape: char) -> Result<String> {
    let mut output = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c == escape {
            match chars.next() {
                Some(next) if next == escape || next == '%' || next == '_' => {
                    if next == '%' || next == '_' || next == '\\' {
                        output.push('\\');
                    }
                    output.push(next);
                }
                Some(_) => {
                    return Err(DataFusionError::Plan(format!(
                        "[INVALID_FORMAT.ESC_IN_THE_MIDDLE] the escape character is not allowed to precede any other character than itself, % and _ in '{pattern}'"
                    )));
                }
                None => {
                    return Err(DataFusionError::Plan(format!(
                        "[INVALID_FORMAT.ESC_AT_THE_END] the escape character is not allowed at the end of '{pattern}'"
                    )));
                }
            }
        } else {
            if c == '\\' {
                output.push('\\');
            }
            output.push(c);
        }
    }
    Ok(output)
}
