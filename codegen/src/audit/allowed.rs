//! What a kernel's source allows its code to compute: the kinds of float operation of each line.
use crate::cuda;
use crate::ir::sum_order::Shape;
use crate::ir::{BinOp, Kernel, Kind, Node, Ty, UnOp};
use crate::places::{Line, Places};
use std::collections::{BTreeMap, BTreeSet};
use std::{fmt, str::FromStr};

/// A kind of float operation: one that rounds, or converts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the names say it
pub enum Operation {
    /// Subtraction too.
    Add,
    Mul,
    Fma,
    /// The reciprocal too: it is one divided by something.
    Div,
    Sqrt,
    /// To the nearest integral float.
    Rint,
    FromInt,
    ToInt,
    FromHalf,
    ToHalf,
}

impl Operation {
    /// Every kind, in the order of the declaration.
    pub const ALL: [Operation; 10] = [
        Operation::Add,
        Operation::Mul,
        Operation::Fma,
        Operation::Div,
        Operation::Sqrt,
        Operation::Rint,
        Operation::FromInt,
        Operation::ToInt,
        Operation::FromHalf,
        Operation::ToHalf,
    ];

    /// What a node is; the merging of a sum's parts is one of the sum.
    pub fn of(node: &Node) -> Option<Operation> {
        let float = node.ty == Ty::F32;
        Some(match &node.kind {
            Kind::Binary(BinOp::Add | BinOp::Sub, ..) if float => Operation::Add,
            Kind::Binary(BinOp::Mul, ..) if float => Operation::Mul,
            Kind::Binary(BinOp::Div, ..) if float => Operation::Div,
            Kind::Fma(..) => Operation::Fma,
            Kind::Sum { shape, .. } if *shape != Shape::Chain => Operation::Add,
            Kind::Unary(UnOp::Sqrt, _) => Operation::Sqrt,
            Kind::Unary(UnOp::Rint, _) => Operation::Rint,
            Kind::Unary(UnOp::ToF32, _) => Operation::FromInt,
            Kind::Unary(UnOp::ToInt { .. }, _) => Operation::ToInt,
            Kind::Unary(UnOp::FromHalf, _) => Operation::FromHalf,
            Kind::Unary(UnOp::ToHalf(_), _) => Operation::ToHalf,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Operation::Add => "add",
            Operation::Mul => "mul",
            Operation::Fma => "fma",
            Operation::Div => "div",
            Operation::Sqrt => "sqrt",
            Operation::Rint => "rint",
            Operation::FromInt => "from_int",
            Operation::ToInt => "to_int",
            Operation::FromHalf => "from_half",
            Operation::ToHalf => "to_half",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The float operations of a kernel's source, by file and line. As a text it is a line for each line, `fma,mul 46
/// kernels/rope.rs`, which a program can keep beside the CUDA source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    lines: BTreeMap<(String, u32), BTreeSet<Operation>>,
    /// Whether an operation may stand at the line of another.
    any_line: bool,
}

impl Allowed {
    /// What a kernel means, and nothing that a schedule or a compiler made of it.
    pub fn of(kernel: &Kernel, places: &Places) -> Allowed {
        let mut allowed = Allowed::default();
        kernel.visit(&mut |node| {
            if let (Some(operation), Some(Line { file, number })) = (Operation::of(node), places.line(node.span)) {
                allowed.lines.entry((file.to_string(), number)).or_default().insert(operation);
            }
        });
        allowed
    }

    /// The same operations, each at any line of the kernel: for source that was not seen to keep its lines. What a compiler
    /// moves out of a loop may come to stand at the line of a neighbour.
    pub fn at_any_line(self) -> Allowed {
        Allowed { any_line: true, ..self }
    }

    /// Whether an operation may stand at another line than its own.
    pub(super) fn moves(&self) -> bool {
        self.any_line
    }

    /// What either has: of several kernels in one text.
    pub fn and(mut self, other: Allowed) -> Allowed {
        for (line, operations) in other.lines {
            self.lines.entry(line).or_default().extend(operations);
        }
        self
    }

    /// Whether a line has an operation. The lines of the prelude are the same for all kernels.
    pub(super) fn has(&self, line: Line, operation: Operation) -> bool {
        let Line { file, number } = line;
        if file == cuda::PRELUDE_FILE {
            return of_prelude(number).any(|found| found == operation);
        }
        self.lines.get(&(file.to_string(), number)).is_some_and(|found| found.contains(&operation))
    }

    /// Whether any line has an operation.
    pub(super) fn anywhere(&self, operation: Operation) -> bool {
        self.lines.values().any(|found| found.contains(&operation))
    }

    /// Whether anything is known of a file, so that a place in it says where an instruction comes from.
    pub(super) fn knows(&self, file: &str) -> bool {
        file == cuda::PRELUDE_FILE || self.lines.keys().any(|(known, _)| known == file)
    }
}

/// How the prelude writes what its helpers do: they convert, and never compute.
const WRITTEN: [(&str, Operation); 3] = [
    ("__float2int_rn(", Operation::ToInt),
    ("cvt.f32.f16", Operation::FromHalf),
    ("cvt.rn.f16.f32", Operation::ToHalf),
];

fn of_prelude(number: u32) -> impl Iterator<Item = Operation> {
    let text = cuda::PRELUDE.lines().nth((number as usize).saturating_sub(1)).unwrap_or_default();
    WRITTEN.into_iter().filter(move |(written, _)| text.contains(written)).map(|(_, operation)| operation)
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|((file, number), operations)| {
            let names: Vec<&str> = operations.iter().map(|o| o.name()).collect();
            writeln!(f, "{} {number} {file}", names.join(","))
        })
    }
}

/// The error of parsing an [`Allowed`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` does not say which operations a line of the source has: write `fma,mul 46 kernels/rope.rs`")]
pub struct NotAllowed(String);

impl FromStr for Allowed {
    type Err = NotAllowed;

    fn from_str(text: &str) -> Result<Allowed, NotAllowed> {
        let line = |text: &str| {
            let mut parts = text.splitn(3, ' ');
            let mut part = || parts.next();
            let of = |name| Operation::ALL.into_iter().find(|o| o.name() == name);
            let operations = part()?.split(',').map(of).collect::<Option<BTreeSet<_>>>()?;
            let number = part()?.parse().ok()?;
            Some(((part()?.to_string(), number), operations))
        };
        let parsed = text.lines().map(|text| line(text).ok_or_else(|| NotAllowed(text.into())));
        Ok(Allowed { lines: parsed.collect::<Result<_, _>>()?, any_line: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;

    #[test]
    fn every_line_has_what_the_kernel_means_there() {
        let text = "#[kernel]\nfn f<T: Dim, N: Dim>(x: &Ten<f16, T, N>, y: &mut Ten<f32, T>) {\n\
            for t in par(T) {\n y[t] = sum(0..N, lanes(4), |acc, n|\n fma(x[t][n].f32(), 2.0, acc))\n\
            / sqrt(N.f32());\n}\n}\n";
        let sources = [Source { name: "/a b/kernels/f.rs".into(), text: text.into() }];
        let kernels = crate::compile(&sources).unwrap();
        let allowed = Allowed::of(&kernels[0], &Places::new(&sources));
        let wanted = "add,div 4 kernels/f.rs\nfma,from_half 5 kernels/f.rs\nsqrt,from_int 6 kernels/f.rs\n";
        assert_eq!(allowed.to_string(), wanted);
        assert_eq!(wanted.parse(), Ok(allowed.clone()));
        let line = |number| Line { file: "kernels/f.rs", number };
        assert!(allowed.has(line(5), Operation::Fma) && !allowed.has(line(4), Operation::Fma));
        for bad in ["fma 4", "fma x kernels/f.rs", "sin 4 kernels/f.rs", "4 kernels/f.rs"] {
            assert_eq!(bad.parse::<Allowed>(), Err(NotAllowed(bad.into())));
        }
    }

    /// So that the table is what the prelude says, and nothing else in it computes.
    #[test]
    fn the_prelude_only_converts() {
        let lines = || (1..).zip(cuda::PRELUDE.lines());
        for (written, _) in WRITTEN {
            assert!(lines().any(|(_, text)| text.contains(written)), "{written}");
        }
        for (number, text) in lines() {
            let converts = ["cvt.", "__float2", "2float"].iter().any(|word| text.contains(word));
            assert_eq!(of_prelude(number).count() > 0, converts, "{text}");
            let computing =
                ["__fadd", "__fsub", "__fmul", "__fma", "__fdiv", "__fsqrt", "__frcp", "rintf", "sqrtf", "fma("];
            assert!(!computing.iter().any(|word| text.contains(word)), "{text}");
        }
    }
}
