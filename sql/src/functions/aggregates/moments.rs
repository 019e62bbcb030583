//! Averages of powers and products: variance, standard deviation, skewness, kurtosis, covariance, correlation, regression.
//!
//! The updates are those of Welford and their generalisations to higher moments and to merging by Chan et al. and Pébay;
//! taken row by row they lose as little precision as possible, and merge in any grouping.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;
use datafusion::logical_expr::EmitTo;

use super::function::Call;
use super::groups::{Groups, Rows};

/// Count, mean, and the sums of the second to fourth powers of the distances from it.
type Powers = [f64; 5];

/// Count, mean of x, mean of y, and the sums of dx·dy, dx² and dy².
type Products = [f64; 6];

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident = $family:ident($evaluate:expr);)*) => {
        $($(#[$doc])* pub(super) fn $name(_: &Call<'_>) -> Result<Box<dyn Groups>> {
            Ok(Box::new($family { groups: Vec::new(), evaluate: $evaluate }))
        })*
    };
}

functions! {
    /// `var_pop(x)`.
    var_pop = Single(|m| (m[0] > 0.0).then(|| m[2] / m[0]));
    /// `var_samp(x)`, `variance(x)`.
    var_samp = Single(|m| (m[0] > 1.0).then(|| m[2] / (m[0] - 1.0)));
    /// `stddev_pop(x)`.
    stddev_pop = Single(|m| (m[0] > 0.0).then(|| (m[2] / m[0]).sqrt()));
    /// `stddev_samp(x)`, `stddev(x)`, `std(x)`.
    stddev_samp = Single(|m| (m[0] > 1.0).then(|| (m[2] / (m[0] - 1.0)).sqrt()));
    /// `skewness(x)`.
    skewness = Single(|m| (m[0] > 0.0 && m[2] != 0.0).then(|| m[0].sqrt() * m[3] / (m[2] * m[2] * m[2]).sqrt()));
    /// `kurtosis(x)`.
    kurtosis = Single(|m| (m[0] > 0.0 && m[2] != 0.0).then(|| m[0] * m[4] / (m[2] * m[2]) - 3.0));
    /// `covar_pop(y, x)`.
    covar_pop = Pair(|p| (p[0] > 0.0).then(|| p[3] / p[0]));
    /// `covar_samp(y, x)`.
    covar_samp = Pair(|p| (p[0] > 1.0).then(|| p[3] / (p[0] - 1.0)));
    /// `corr(y, x)`.
    corr = Pair(correlation);
    /// `regr_avgx(y, x)`.
    regr_avgx = Pair(|p| (p[0] > 0.0).then_some(p[1]));
    /// `regr_avgy(y, x)`.
    regr_avgy = Pair(|p| (p[0] > 0.0).then_some(p[2]));
    /// `regr_sxx(y, x)`.
    regr_sxx = Pair(|p| (p[0] > 0.0).then_some(p[4]));
    /// `regr_syy(y, x)`.
    regr_syy = Pair(|p| (p[0] > 0.0).then_some(p[5]));
    /// `regr_sxy(y, x)`.
    regr_sxy = Pair(|p| (p[0] > 0.0).then_some(p[3]));
    /// `regr_slope(y, x)`.
    regr_slope = Pair(|p| (p[4] != 0.0).then(|| p[3] / p[4]));
    /// `regr_intercept(y, x)`.
    regr_intercept = Pair(|p| (p[4] != 0.0).then(|| p[2] - p[3] / p[4] * p[1]));
    /// `regr_r2(y, x)`: 1 where all y are equal.
    regr_r2 = Pair(|p| match (p[4] != 0.0, p[5] != 0.0) {
        (false, _) => None,
        (true, false) => Some(1.0),
        (true, true) => correlation(p).map(|corr| corr * corr),
    });
}

/// Count and sums of powers.
pub(super) fn powers_state(_: &[DataType], _: &DataType) -> Vec<DataType> {
    vec![DataType::Float64; 5]
}

/// Count, means and sums of products.
pub(super) fn products_state(_: &[DataType], _: &DataType) -> Vec<DataType> {
    vec![DataType::Float64; 6]
}

/// `regr_count(y, x)`: the rows where neither is null.
pub(super) fn regr_count(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    super::count::count(call)
}

fn correlation(p: &Products) -> Option<f64> {
    let spread = (p[4] * p[5]).sqrt();
    (p[0] > 1.0 && spread != 0.0).then(|| p[3] / spread)
}

fn add_power(m: &mut Powers, x: f64) {
    let n = m[0] + 1.0;
    let delta = x - m[1];
    let step = delta / n;
    let second = m[2] + delta * (delta - step);
    let (delta2, step2) = (delta * delta, step * step);
    let third = m[3] - 3.0 * step * second + delta * (delta2 - step2);
    let fourth = m[4] - 4.0 * step * third - 6.0 * step2 * second + delta * (delta * delta2 - step * step2);
    *m = [n, m[1] + step, second, third, fourth];
}

fn merge_powers(a: &mut Powers, b: &Powers) {
    let (n1, n2) = (a[0], b[0]);
    let n = n1 + n2;
    if n1 == 0.0 {
        *a = *b;
    }
    if n1 == 0.0 || n2 == 0.0 {
        return;
    }
    let delta = b[1] - a[1];
    let step = delta / n;
    let second = a[2] + b[2] + delta * step * n1 * n2;
    let third = a[3] + b[3] + step * step * delta * n1 * n2 * (n1 - n2) + 3.0 * step * (n1 * b[2] - n2 * a[2]);
    let fourth = a[4]
        + b[4]
        + step * step * step * delta * n1 * n2 * (n1 * n1 - n1 * n2 + n2 * n2)
        + 6.0 * step * step * (n1 * n1 * b[2] + n2 * n2 * a[2])
        + 4.0 * step * (n1 * b[3] - n2 * a[3]);
    *a = [n, a[1] + step * n2, second, third, fourth];
}

fn add_product(p: &mut Products, y: f64, x: f64) {
    let n = p[0] + 1.0;
    let (dx, dy) = (x - p[1], y - p[2]);
    let (mean_x, mean_y) = (p[1] + dx / n, p[2] + dy / n);
    *p = [n, mean_x, mean_y, p[3] + dx * (y - mean_y), p[4] + dx * (x - mean_x), p[5] + dy * (y - mean_y)];
}

fn merge_products(a: &mut Products, b: &Products) {
    let (n1, n2) = (a[0], b[0]);
    let n = n1 + n2;
    if n1 == 0.0 {
        *a = *b;
    }
    if n1 == 0.0 || n2 == 0.0 {
        return;
    }
    let (dx, dy) = (b[1] - a[1], b[2] - a[2]);
    let (step_x, step_y) = (dx / n, dy / n);
    *a = [
        n,
        a[1] + step_x * n2,
        a[2] + step_y * n2,
        a[3] + b[3] + dx * step_y * n1 * n2,
        a[4] + b[4] + dx * step_x * n1 * n2,
        a[5] + b[5] + dy * step_y * n1 * n2,
    ];
}

struct Single {
    groups: Vec<Powers>,
    evaluate: fn(&Powers) -> Option<f64>,
}

struct Pair {
    groups: Vec<Products>,
    evaluate: fn(&Products) -> Option<f64>,
}

fn doubles(array: &ArrayRef) -> &[f64] {
    array.as_primitive::<Float64Type>().values()
}

/// A column for each of a state's parts.
fn columns<const K: usize>(groups: &[[f64; K]]) -> Vec<ArrayRef> {
    (0..K)
        .map(|part| Arc::new(Float64Array::from_iter_values(groups.iter().map(|group| group[part]))) as ArrayRef)
        .collect()
}

/// A state of its parts.
fn row<const K: usize>(parts: &[&[f64]; K], row: usize) -> [f64; K] {
    std::array::from_fn(|part| parts[part][row])
}

fn answers<const K: usize>(groups: &[[f64; K]], evaluate: fn(&[f64; K]) -> Option<f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter(groups.iter().map(evaluate)))
}

impl Groups for Single {
    fn fresh(&self) -> Box<dyn Groups> {
        Box::new(Self { groups: Vec::new(), evaluate: self.evaluate })
    }

    fn resize(&mut self, count: usize) {
        self.groups.resize(count, [0.0; 5]);
    }

    fn update(&mut self, args: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let (groups, values) = (&mut self.groups, doubles(&args[0]));
        rows.known(&args[0]).each(|row, group| add_power(&mut groups[group], values[row]));
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let parts: [&[f64]; 5] = std::array::from_fn(|part| doubles(&states[part]));
        let groups = &mut self.groups;
        rows.known(&states[0]).each(|at, group| merge_powers(&mut groups[group], &row(&parts, at)));
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        Ok(answers(&emit.take_needed(&mut self.groups), self.evaluate))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(columns(&emit.take_needed(&mut self.groups)))
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Powers>()
    }
}

impl Groups for Pair {
    fn fresh(&self) -> Box<dyn Groups> {
        Box::new(Self { groups: Vec::new(), evaluate: self.evaluate })
    }

    fn resize(&mut self, count: usize) {
        self.groups.resize(count, [0.0; 6]);
    }

    fn update(&mut self, args: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let (groups, y, x) = (&mut self.groups, doubles(&args[0]), doubles(&args[1]));
        rows.known(&args[0]).known(&args[1]).each(|row, group| add_product(&mut groups[group], y[row], x[row]));
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let parts: [&[f64]; 6] = std::array::from_fn(|part| doubles(&states[part]));
        let groups = &mut self.groups;
        rows.known(&states[0]).each(|at, group| merge_products(&mut groups[group], &row(&parts, at)));
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        Ok(answers(&emit.take_needed(&mut self.groups), self.evaluate))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(columns(&emit.take_needed(&mut self.groups)))
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Products>()
    }
}
