//! kgen: a compiler for kernels with one meaning.
//!
//! A tensor operation is written once, in a small language with Rust's syntax ([`syntax`]). The checker ([`check`]) proves
//! types, integer ranges, bounds and the absence of races, and makes the algorithm IR ([`ir`]), whose interpreter
//! ([`ir::interp`]) is the definition of the language. A schedule ([`schedule`]) places a kernel on a machine: lowering
//! ([`lower`]) gives the loop IR ([`loop_ir`]), which is printed as Rust for an instruction set ([`cpu`]) or as CUDA C++
//! ([`cuda`]); what the GPU's compiler ([`nvrtc`]) makes of that is audited ([`audit`]), described ([`inspect`]) and tuned ([`tune`]). Every schedule and every target gives
//! the bits that the interpreter gives.
//!
//! ```
//! use kgen::diagnostic::{Source, render};
//!
//! let text = "
//!     #[kernel]
//!     fn positive_sum<T: Dim, N: Dim>(x: &Ten<f32, T, N>, y: &mut Ten<f32, T>) {
//!         for t in par(T) {
//!             y[t] = sum(0..N, lanes(4), |acc, n| acc + positive(x[t][n]));
//!         }
//!     }
//!
//!     fn positive(v: f32) -> f32 {
//!         if 0.0 < v { v } else { 0.0 }
//!     }
//! ";
//! let sources = [Source { name: "sum.rs".into(), text: text.into() }];
//! let kernels = kgen::compile(&sources).map_err(|errors| render(&errors, &sources, false))?;
//!
//! // Two rows of three numbers.
//! let x: Vec<u8> = [1.0f32, -2.0, 3.0, 0.5, 0.25, -8.0].iter().flat_map(|v| v.to_le_bytes()).collect();
//! let mut buffers = [x, vec![0; 8]];
//! kgen::ir::interp::run(&kernels[0], &[2, 3], &[], &mut buffers)?;
//! assert_eq!(buffers[1], [4.0f32, 0.75].map(f32::to_le_bytes).concat());
//! # Ok::<(), String>(())
//! ```
pub mod audit;
pub mod check;
pub mod cpu;
pub mod cuda;
pub mod data;
pub mod diagnostic;
pub mod float;
pub mod fused;
pub mod gpu;
pub mod inlined;
pub mod inspect;
pub mod instructions;
pub mod ir;
pub mod layout;
pub mod library;
pub mod loop_ir;
pub mod lower;
mod nearest;
mod nesting;
pub mod nvrtc;
pub mod places;
mod ptx;
pub mod random;
pub mod recomputed;
pub mod schedule;
pub mod syntax;
pub mod table;
pub mod target;
pub mod text;
pub mod tune;

use diagnostic::{Diagnostic, Source};

/// Parses and checks files together: every kernel in every instance, or every error.
pub fn compile(sources: &[Source]) -> Result<Vec<ir::Kernel>, Vec<Diagnostic>> {
    let (program, errors) = syntax::parse(sources);
    if !errors.is_empty() {
        return Err(errors);
    }
    check::instances(&program)
}
