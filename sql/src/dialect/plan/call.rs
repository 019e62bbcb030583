//! Calls of functions: scalar, aggregate, over a window of rows, with lambdas.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DataFusionError, Result, Spans};
use datafusion::logical_expr::expr::{HigherOrderFunction, Lambda, LambdaVariable, ScalarFunction, WindowFunction};
use datafusion::logical_expr::type_coercion::functions::value_fields_with_higher_order_udf;
use datafusion::logical_expr::{
    Cast, Expr, ExprSchemable, HigherOrderUDF, LambdaParametersProgress, SortExpr, ValueOrLambda, WindowFrame,
    WindowFunctionDefinition, lit,
};
use millstream_formats::types::array_of;
use sqlparser::ast::{self, Function, FunctionArg, FunctionArgExpr, FunctionArguments, WindowType};
use sqlparser::tokenizer::Span;

use super::aggregate_call::{AggregateCall, modifiers};
use super::query::sort_key;
use super::scope::Scope;
use super::select::Item;
use super::{Planner, error_at, name_parts, names, time_window, unsupported};
use crate::expressions::{Op, Semantics, parse_type};

/// Names of types that are also functions: `int(x)` is `CAST(x AS INT)`.
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

impl Planner<'_> {
    pub(super) fn call(&self, function: &Function, scope: &Scope<'_>) -> Result<Expr> {
        let name = name_parts(&function.name).pop().unwrap_or_default().to_lowercase();
        let semantics = Semantics::new(&scope.schema, &self.zone);
        if time_window::is_time_window(function) {
            return self.time_window_column(function, scope);
        }
        if super::generate::is_generator(&name) {
            let message = format!(
                "[UNSUPPORTED_GENERATOR.NESTED_IN_EXPRESSIONS] {name} gives rows: it can only stand alone in the select list"
            );
            return Err(error_at(span_of(function), message));
        }
        if CASTS.contains(&name.as_str()) && function.over.is_none() {
            let arguments = self.arguments(function, scope)?;
            let [argument] =
                <[Expr; 1]>::try_from(arguments).map_err(|all| wrong_count(function, &name, "1", all.len()))?;
            return semantics.explicit_cast(argument, &parse_type(&name)?, false);
        }
        if name == "extract" {
            return self.named("date_part", self.arguments(function, scope)?);
        }
        if name == "div" {
            let operands = <[Expr; 2]>::try_from(self.arguments(function, scope)?);
            let [left, right] = operands.map_err(|all| wrong_count(function, &name, "2", all.len()))?;
            return semantics.binary(left, Op::IntegerDivide, right);
        }
        if name == "struct" {
            return self.struct_of(function, scope);
        }
        if let Some(window) = &function.over {
            return self.over(function, &name, window, scope);
        }
        if let Some(higher_order) = self.with_lambda(&name, function, scope)? {
            return Ok(higher_order);
        }
        if self.aggregate_function(&name).is_some() {
            return self.aggregate(function, &name, scope);
        }
        if function.null_treatment.is_some() {
            let message = format!(
                "[INVALID_SQL_SYNTAX.FUNCTION_WITH_UNSUPPORTED_SYNTAX] Invalid SQL syntax: the function `{name}` does not support IGNORE NULLS."
            );
            return Err(error_at(span_of(function), message));
        }
        let arguments = match unit_of_time(&name, function) {
            Some((unit, rest)) => {
                let rest = rest.into_iter().map(|argument| self.expr(argument, scope));
                std::iter::once(Ok(lit(unit))).chain(rest).collect::<Result<_>>()?
            }
            None => self.arguments(function, scope)?,
        };
        // The engine knows one clock, whose time is the batch's.
        let is_now = name == "unix_timestamp" && arguments.is_empty();
        let arguments = if is_now { vec![self.named("current_timestamp", Vec::new())?] } else { arguments };
        self.named(&name, arguments).map_err(|error| match error {
            DataFusionError::Plan(message) => error_at(span_of(function), message),
            other => other,
        })
    }

    /// A scalar function by its name.
    pub(super) fn named(&self, name: &str, arguments: Vec<Expr>) -> Result<Expr> {
        let Some(function) = self.state.scalar_functions().get(name) else {
            let known: Vec<&str> = self.state.scalar_functions().keys().map(String::as_str).collect();
            let nearest = known.iter().map(|known| (strsim::damerau_levenshtein(known, name), *known)).min();
            let help = match nearest {
                Some((distance, nearest)) if distance <= 2 => format!(" Did you mean {nearest}?"),
                _ => String::new(),
            };
            return Err(DataFusionError::Plan(format!("[UNRESOLVED_ROUTINE] Cannot resolve routine `{name}`.{help}")));
        };
        Ok(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), arguments)))
    }

    /// The arguments, `*` being all columns.
    pub(super) fn arguments(&self, function: &Function, scope: &Scope<'_>) -> Result<Vec<Expr>> {
        Ok(self.named_arguments(function, scope)?.into_iter().map(|item| item.expr).collect())
    }

    /// The arguments under the names that `struct` gives them.
    fn named_arguments(&self, function: &Function, scope: &Scope<'_>) -> Result<Vec<Item>> {
        let list = match &function.args {
            FunctionArguments::None => return Ok(Vec::new()),
            FunctionArguments::Subquery(_) => {
                return Err(unsupported(format!("a subquery as argument of {} is not supported", function.name)));
            }
            FunctionArguments::List(list) => list,
        };
        let mut items = Vec::new();
        for arg in &list.args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Named { expr, name })) => {
                    items.push(Item { name: name.value.clone(), expr: self.expr(expr, scope)? });
                }
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                    let name = names::of_field(expr).unwrap_or_else(|| format!("col{}", items.len() + 1));
                    items.push(Item { name, expr: self.expr(expr, scope)? });
                }
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => {
                    items.extend(
                        scope
                            .star(&[])
                            .into_iter()
                            .map(|column| Item { name: column.name.clone(), expr: column.expr.clone() }),
                    );
                }
                FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name)) => {
                    items.extend(self.star_of(name, scope)?)
                }
                other => {
                    return Err(unsupported(format!("the argument '{other}' of {} is not supported", function.name)));
                }
            }
        }
        Ok(items)
    }

    fn star_of(&self, name: &ast::ObjectName, scope: &Scope<'_>) -> Result<Vec<Item>> {
        let kind = ast::SelectItemQualifiedWildcardKind::ObjectName(name.clone());
        self.qualified_star(&kind, &ast::WildcardAdditionalOptions::default(), scope)
    }

    fn struct_of(&self, function: &Function, scope: &Scope<'_>) -> Result<Expr> {
        let items = self.named_arguments(function, scope)?;
        let arguments = items.into_iter().flat_map(|item| [lit(item.name), item.expr]).collect();
        self.named("named_struct", arguments)
    }

    /// The column that the call has become below this SELECT.
    fn time_window_column(&self, function: &Function, scope: &Scope<'_>) -> Result<Expr> {
        let text = names::of(&ast::Expr::Function(function.clone()));
        match scope.windows.iter().find(|(call, _)| *call == text) {
            Some((_, column)) => Ok(column.clone()),
            None => Err(error_at(span_of(function), format!("{text} can stand in GROUP BY and the select list only"))),
        }
    }

    /// `f(…) OVER (PARTITION BY … ORDER BY … frame)`.
    fn over(&self, function: &Function, name: &str, window: &WindowType, scope: &Scope<'_>) -> Result<Expr> {
        let WindowType::WindowSpec(spec) = window else {
            return Err(unsupported("named windows are not supported: write the window after OVER"));
        };
        let mut call = self.window_call(function, name, scope)?;
        let partition_by = spec.partition_by.iter().map(|expr| self.expr(expr, scope)).collect::<Result<_>>()?;
        let order_by: Vec<SortExpr> = spec
            .order_by
            .iter()
            .map(|key| Ok(sort_key(self.expr(&key.expr, scope)?, key.options)))
            .collect::<Result<_>>()?;
        let frame = match &spec.window_frame {
            Some(frame) => WindowFrame::try_from(frame.clone())?,
            None => WindowFrame::new((!order_by.is_empty()).then_some(false)),
        };
        call.params.partition_by = partition_by;
        call.params.order_by = order_by;
        call.params.window_frame = frame;
        let expr = Expr::WindowFunction(Box::new(call));
        match expr.get_type(scope.schema.as_ref())? {
            // Ranks and row numbers are INT in Spark.
            DataType::UInt64 | DataType::UInt32 => Ok(Expr::Cast(Cast::new(Box::new(expr), DataType::Int32))),
            _ => Ok(expr),
        }
    }

    /// The function of a call over a window, and its arguments. An aggregate of Spark's comes before DataFusion's window
    /// function of the same name.
    fn window_call(&self, function: &Function, name: &str, scope: &Scope<'_>) -> Result<WindowFunction> {
        if self.aggregate_function(name).is_some() {
            let AggregateCall { function: aggregate, params } = self.aggregate_call(function, name, scope)?;
            let mut call = WindowFunction::new(WindowFunctionDefinition::AggregateUDF(aggregate), params.args);
            call.params.filter = params.filter;
            call.params.distinct = params.distinct;
            call.params.null_treatment = params.null_treatment;
            return Ok(call);
        }
        let Some(definition) = self.state.window_functions().get(name) else {
            let message = format!("[UNRESOLVED_ROUTINE] Cannot resolve routine `{name}` over a window.");
            return Err(error_at(span_of(function), message));
        };
        let mut call = WindowFunction::new(
            WindowFunctionDefinition::WindowUDF(Arc::clone(definition)),
            self.arguments(function, scope)?,
        );
        call.params.null_treatment = modifiers(function).1;
        Ok(call)
    }

    /// A call of a function that takes a lambda, if it is one.
    fn with_lambda(&self, name: &str, function: &Function, scope: &Scope<'_>) -> Result<Option<Expr>> {
        // Spark's name and DataFusion's.
        const NAMES: &[(&str, &str)] = &[
            ("transform", "array_transform"),
            ("filter", "array_filter"),
            ("exists", "array_any_match"),
            ("forall", "array_any_match"),
        ];
        let theirs = NAMES.iter().find(|(ours, _)| *ours == name).map_or(name, |(_, theirs)| *theirs);
        let Some(higher_order) = self.state.higher_order_functions().get(theirs) else { return Ok(None) };
        if name == "forall" {
            // All are, if none is not.
            let mut negated = function.clone();
            if let FunctionArguments::List(list) = &mut negated.args
                && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Lambda(lambda)))) =
                    list.args.get_mut(1)
            {
                let body = ast::Expr::Nested(lambda.body.clone());
                *lambda.body = ast::Expr::UnaryOp { op: ast::UnaryOperator::Not, expr: Box::new(body) };
            }
            return Ok(Some(Expr::Not(Box::new(self.higher_order(higher_order, &negated, scope)?))));
        }
        let call = self.higher_order(higher_order, function, scope)?;
        // An array's elements are called alike everywhere.
        Ok(Some(match call.get_type(scope.schema.as_ref())? {
            DataType::List(element) => Expr::Cast(Cast::new(Box::new(call), array_of(element.data_type().clone()))),
            _ => call,
        }))
    }

    /// A function whose lambdas see what the function gives them.
    fn higher_order(&self, higher_order: &Arc<HigherOrderUDF>, function: &Function, scope: &Scope<'_>) -> Result<Expr> {
        let mut arguments: Vec<ValueOrLambda<Expr, ast::LambdaFunction>> = Vec::new();
        for argument in arguments_of(function)? {
            arguments.push(match argument {
                ast::Expr::Lambda(lambda) => ValueOrLambda::Lambda(lambda.clone()),
                expr => ValueOrLambda::Value(self.expr(expr, scope)?),
            });
        }
        let given = arguments
            .iter()
            .map(|argument| match argument {
                ValueOrLambda::Value(expr) => Ok(ValueOrLambda::Value(expr.to_field(scope.schema.as_ref())?.1)),
                ValueOrLambda::Lambda(_) => Ok(ValueOrLambda::Lambda(())),
            })
            .collect::<Result<Vec<_>>>()?;
        let mut fields: Vec<ValueOrLambda<FieldRef, Option<FieldRef>>> =
            value_fields_with_higher_order_udf(&given, higher_order)?
                .into_iter()
                .map(|field| match field {
                    ValueOrLambda::Value(field) => ValueOrLambda::Value(field),
                    ValueOrLambda::Lambda(()) => ValueOrLambda::Lambda(None),
                })
                .collect();
        for step in 0..higher_order.signature().lambda_parameters_max_iterations {
            let (parameters, is_complete) = match higher_order.lambda_parameters(step, &fields)? {
                LambdaParametersProgress::Partial(parameters) => (parameters, false),
                LambdaParametersProgress::Complete(parameters) => (parameters.into_iter().map(Some).collect(), true),
            };
            let mut parameters = parameters.into_iter();
            let mut planned = Vec::with_capacity(arguments.len());
            for (argument, field) in arguments.iter().zip(&mut fields) {
                match argument {
                    ValueOrLambda::Value(expr) => planned.push(expr.clone()),
                    ValueOrLambda::Lambda(lambda) => {
                        let Some(parameters) = parameters.next().flatten() else { continue };
                        let lambda = self.lambda(lambda, &parameters, scope)?;
                        *field = ValueOrLambda::Lambda(Some(lambda.body.to_field(scope.schema.as_ref())?.1));
                        planned.push(Expr::Lambda(lambda));
                    }
                }
            }
            if is_complete {
                return Ok(Expr::HigherOrderFunction(HigherOrderFunction::new(Arc::clone(higher_order), planned)));
            }
        }
        Err(error_at(span_of(function), format!("the types of the lambdas of {} cannot be found", higher_order.name())))
    }

    fn lambda(&self, lambda: &ast::LambdaFunction, parameters: &[FieldRef], scope: &Scope<'_>) -> Result<Lambda> {
        let names: Vec<String> = lambda.params.iter().map(|param| param.name.value.clone()).collect();
        if names.len() > parameters.len() {
            return Err(DataFusionError::Plan(format!(
                "[INVALID_LAMBDA_FUNCTION_CALL.NUM_ARGS_MISMATCH] the lambda has {} parameters but gets {} values",
                names.len(),
                parameters.len()
            )));
        }
        let variables = names.iter().zip(parameters).map(|(name, field)| LambdaVariable {
            name: name.clone(),
            field: Some(Arc::new(field.as_ref().clone().with_name(name))),
            spans: Spans::new(),
        });
        let before = scope.variables.borrow().len();
        scope.variables.borrow_mut().extend(variables);
        let body = self.expr(&lambda.body, scope);
        scope.variables.borrow_mut().truncate(before);
        Ok(Lambda::new(names, body?))
    }
}

/// The unit of `dateadd(MONTH, 1, d)` and its kin, where it stands bare as if it were a column, and the other arguments.
fn unit_of_time<'a>(name: &str, function: &'a Function) -> Option<(&'a str, Vec<&'a ast::Expr>)> {
    let takes_unit = ["dateadd", "date_add", "timestampadd", "datediff", "date_diff", "timestampdiff", "timediff"];
    let mut arguments = arguments_of(function).ok().filter(|all| takes_unit.contains(&name) && all.len() == 3)?;
    match arguments.remove(0) {
        ast::Expr::Identifier(unit) if unit.quote_style.is_none() => Some((&unit.value, arguments)),
        _ => None,
    }
}

/// The plain arguments of a call.
///
/// # Errors
/// When one is named or a star.
pub(super) fn arguments(function: &Function) -> Result<Vec<&ast::Expr>> {
    arguments_of(function)
}

fn arguments_of(function: &Function) -> Result<Vec<&ast::Expr>> {
    let FunctionArguments::List(list) = &function.args else { return Ok(Vec::new()) };
    list.args
        .iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
            other => Err(unsupported(format!("the argument '{other}' of {} is not supported", function.name))),
        })
        .collect()
}

pub(super) fn wrong_count(function: &Function, name: &str, expected: &str, found: usize) -> DataFusionError {
    let message = format!(
        "[WRONG_NUM_ARGS.WITHOUT_SUGGESTION] The `{name}` requires {expected} parameters but the actual number is {found}."
    );
    error_at(span_of(function), message)
}

pub(super) fn span_of(function: &Function) -> Span {
    match function.name.0.first() {
        Some(ast::ObjectNamePart::Identifier(ident)) => ident.span,
        _ => Span::empty(),
    }
}
