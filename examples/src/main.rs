//! Examples. 
fn main() {}
