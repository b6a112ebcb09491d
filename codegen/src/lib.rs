//! kgen: a compiler for kernels with one meaning.
pub mod cpu;
pub mod float;
pub mod ir;
pub mod loop_ir;
