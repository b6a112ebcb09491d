//! Faults in the text of emitted Rust code.
use crate::case::{Case, Checked};
use crate::emitted::{differs_with, targets};
use crate::run::first_seed;

/// A mistake of the printer or of the table of operations: one text where another should be.
pub struct TextFault {
    pub name: &'static str,
    right: &'static str,
    wrong: &'static str,
}

pub const FAULTS: &[TextFault] = &[
    TextFault { name: "the sum of lanes leaves its last step out", right: "while m > 0 {", wrong: "while m > 1 {" },
    TextFault {
        name: "max and min return the number beside a NaN",
        right: "if a.is_nan() || b.is_nan() {",
        wrong: "if a.is_nan() && b.is_nan() {",
    },
    TextFault {
        name: "a stored NaN keeps its payload",
        right: "write_unaligned(bits_f32(b))",
        wrong: "write_unaligned(b.to_bits() as i32)",
    },
];

/// Kernels that are compiled together.
const BATCH: usize = 8;

/// Plants a fault into the code of batches of kernels until one shows it; how it does.
pub fn found(fault: &TextFault, count: u64) -> Option<String> {
    let target = targets().pop().expect("every machine has an instruction set");
    let mut seeds = first_seed()..first_seed() + count;
    loop {
        let mut cases = Vec::new();
        while cases.len() < BATCH {
            let case = Case::drawn("f", seeds.next()?, &[target]).unwrap_or_else(|e| panic!("{e}"));
            if has(&case, fault) {
                cases.push(case);
            }
        }
        let plant = |text: String| {
            let planted = text.replace(fault.right, fault.wrong);
            assert_ne!(planted, text, "`{}` is nowhere", fault.right);
            // What the fault no longer uses is not its point.
            planted.replace("#![deny(warnings)]", "#![allow(warnings)]")
        };
        let shown: Checked<()> = differs_with(&cases, plant);
        if let Err(how) = shown {
            return Some(how);
        }
    }
}

/// Whether the fault can be made in the kernel's code.
fn has(case: &Case, fault: &TextFault) -> bool {
    crate::emitted::text(case).is_ok_and(|text| text.contains(fault.right))
}
