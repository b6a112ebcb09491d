//! kgen: a compiler for kernels with one meaning.
pub mod ir;
pub mod loop_ir;
