//! Functions of numbers.

pub(super) mod bits;
pub(super) mod modulo;
pub(super) mod real;
pub(super) mod round;
pub(super) mod tried;
