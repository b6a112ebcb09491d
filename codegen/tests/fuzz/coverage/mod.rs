//! In how many kernels each kind of node was reached: of the algorithm IR, of the loop IR, and each instruction.
mod algorithm;
mod loops;
mod rows;

pub use loops::ty;

use kgen::ir::{Kernel, UnOp};
use kgen::loop_ir::Func;
use std::collections::{BTreeMap, BTreeSet};

/// How many kernels (for nodes of the loop IR: lowered kernels) have each kind of node.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    kernels: u64,
    counts: BTreeMap<String, u64>,
}

impl Coverage {
    /// Counts the nodes of a kernel.
    pub fn kernel(&mut self, kernel: &Kernel) {
        self.kernels += 1;
        self.add(algorithm::nodes(kernel));
    }

    /// Counts the nodes of a lowered kernel.
    pub fn func(&mut self, func: &Func) {
        self.add(loops::nodes(func));
    }

    fn add(&mut self, nodes: BTreeSet<String>) {
        for node in nodes {
            *self.counts.entry(node).or_default() += 1;
        }
    }

    pub fn merge(&mut self, other: &Coverage) {
        self.kernels += other.kernels;
        for (node, count) in &other.counts {
            *self.counts.entry(node.clone()).or_default() += count;
        }
    }

    /// The table, four nodes a line.
    pub fn table(&self) -> String {
        let rows = rows::wanted();
        let cell = |row: &String| format!("{:>8} {row:<26}", self.counts.get(row).copied().unwrap_or(0));
        let lines = rows.chunks(4).map(|row| row.iter().map(cell).collect::<String>().trim_end().to_string());
        format!("{} kernels; how many reached\n{}", self.kernels, lines.collect::<Vec<_>>().join("\n"))
    }

    /// Nodes that fewer than one in a hundred kernels have.
    pub fn missing(&self) -> Vec<String> {
        let least = (self.kernels / 100).max(1);
        let few = |row: &String| self.counts.get(row).copied().unwrap_or(0) < least;
        rows::wanted().into_iter().filter(few).collect()
    }

    /// Nodes that are counted but wanted nowhere: the list of rows is incomplete.
    pub fn unknown(&self) -> Vec<&String> {
        let wanted: BTreeSet<String> = rows::wanted().into_iter().collect();
        self.counts.keys().filter(|node| !wanted.contains(*node)).collect()
    }
}

/// The name of an operation on one value. A new operation does not compile here until it has one.
fn unary(op: UnOp) -> &'static str {
    match op {
        UnOp::Neg => "neg",
        UnOp::Abs => "abs",
        UnOp::Sqrt => "sqrt",
        UnOp::Rint => "rint",
        UnOp::ToInt { .. } => "to_int",
        UnOp::ToF32 => "to_f32",
        UnOp::FromHalf => "from_half",
        UnOp::ToHalf(_) => "to_half",
        UnOp::Bits => "bits",
        UnOp::FromBits => "from_bits",
        UnOp::Not => "not",
    }
}
