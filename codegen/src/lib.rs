//! kgen: a compiler for kernels with one meaning.
pub mod check;
pub mod cpu;
pub mod data;
pub mod diagnostic;
pub mod float;
pub mod ir;
pub mod library;
pub mod loop_ir;
pub mod lower;
mod nesting;
pub mod schedule;
pub mod syntax;
pub mod table;
pub mod text;

use diagnostic::{Diagnostic, Source};

/// Parses and checks files together: every kernel in every instance, or every error.
pub fn compile(sources: &[Source]) -> Result<Vec<ir::Kernel>, Vec<Diagnostic>> {
    let (program, errors) = syntax::parse(sources);
    if !errors.is_empty() {
        return Err(errors);
    }
    check::instances(&program)
}
