//! Inputs for every kernel: small shapes that leave remainders everywhere, tame numbers and wild ones.
use kgen::ir::{self, Kernel, interp};
use kgen::random::Random;

/// Random numbers, and the floats that kernels are run on.
pub struct Rng(Random);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(Random::new(seed))
    }

    fn next(&mut self) -> u64 {
        self.0.bits()
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0.below(n)
    }

    /// Roughly normal, or any bits at all.
    fn number(&mut self, wild: bool) -> f32 {
        let bits = self.next();
        if wild && bits.is_multiple_of(7) {
            let special = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e-40, -3e-45, 3e38];
            return special[(bits >> 8) as usize % special.len()];
        }
        let sum: u64 = (0..4).map(|i| (bits >> (16 * i)) & 0xffff).sum();
        (sum as f32 - 131070.0) / 40000.0
    }
}

/// One call of a kernel.
pub struct Case {
    pub ints: Vec<i32>,
    pub floats: Vec<f32>,
    pub buffers: Vec<Vec<u8>>,
}

/// A size for each parameter, chosen so that no loop comes out even.
fn size(kernel: &str, name: &str, rng: &mut Rng) -> i32 {
    let chunked = kernel.starts_with("attention") || kernel.ends_with("_write");
    match name {
        // Attention costs the interpreter T * G * R * positions * head_dim steps.
        "T" if chunked => 1 + rng.below(3) as i32,
        "G" | "R" if chunked => 1 + rng.below(2) as i32,
        // The interpreter computes the products of each token with each of its experts.
        "T" if kernel.starts_with("expert") => 1 + rng.below(2) as i32,
        "B" if kernel.starts_with("expert") => 1 + rng.below(4) as i32,
        "K" if kernel.starts_with("expert") => [7, 300][rng.below(2)],
        "T" => 1 + rng.below(6) as i32,
        "C" if chunked => 3,
        "C" => 12,
        "B" => 1 + rng.below(10) as i32,
        "K" => [7, 256, 300, 544, 2100][rng.below(5)],
        // Experts, those of a token, and the rows of activations of a token.
        "E" => 3 + rng.below(6) as i32,
        "S" => 1 + rng.below(3) as i32,
        "X" => 1 + rng.below(3) as i32,
        "pos" if chunked => rng.below(150) as i32,
        "pos" => rng.below(6) as i32,
        // From the query alone to more than there is.
        "window" => [1, 20, 64, 65, 100, 1 << 22, 1 << 22][rng.below(7)],
        // Positions in the tables.
        "P" if kernel.starts_with("attention") => 3 * 64,
        "N" if kernel == "k_write" => 3 * 64,
        "P" => [5, 32, 48][rng.below(3)],
        "G" | "R" | "H" => 1 + rng.below(3) as i32,
        "N" if kernel.starts_with("matvec") || kernel.starts_with("gate_up") || kernel.starts_with("expert") => {
            [1, 5, 11][rng.below(3)]
        }
        _ => [1, 5, 11, 37][rng.below(4)],
    }
}

/// Draws a case. A wild one has NaN, infinities, subnormals and arbitrary scales among its numbers.
pub fn case(kernel: &Kernel, wild: bool, rng: &mut Rng) -> Case {
    let name = |v: &ir::Var| kernel.vars[v.0 as usize].name.clone();
    let is_int = |v: &&ir::Var| matches!(kernel.vars[v.0 as usize].ty, ir::Ty::Int { .. });
    let params = kernel.dims.iter().chain(kernel.scalars.iter().filter(is_int));
    let mut ints: Vec<i32> = params.map(|v| size(&kernel.name, &name(v), rng)).collect();
    // Rows that are read as blocks are as long as these.
    let place = |dim: &str| kernel.dims.iter().position(|v| name(v) == dim);
    if let (Some(blocks), Some(numbers)) = (place("B"), place("K")) {
        ints[numbers] = 256 * ints[blocks];
    }
    if let (Some(groups), Some(numbers)) = (place("G"), place("K")) {
        ints[groups] = (ints[numbers] + 255) / 256;
    }
    filled(kernel, ints, wild, rng)
}

/// A case with these integers.
pub fn filled(kernel: &Kernel, ints: Vec<i32>, wild: bool, rng: &mut Rng) -> Case {
    let name = |v: &ir::Var| kernel.vars[v.0 as usize].name.clone();
    let is_int = |v: &&ir::Var| matches!(kernel.vars[v.0 as usize].ty, ir::Ty::Int { .. });
    let floats =
        kernel.scalars.iter().filter(|v| !is_int(v)).map(|v| if name(v) == "eps" { 1e-6 } else { 0.18 }).collect();
    let buffers = kernel.buffers.iter().map(|b| buffer(kernel, b, &ints, wild, rng)).collect();
    Case { ints, floats, buffers }
}

fn buffer(kernel: &Kernel, b: &ir::Buffer, ints: &[i32], wild: bool, rng: &mut Rng) -> Vec<u8> {
    let extent = |e: &ir::Expr| interp::size(kernel, e, ints).expect("a shape is made of sizes") as usize;
    let elements: usize = b.shape.iter().map(extent).product();
    if b.written {
        return vec![0xa5; elements * b.elem_bytes];
    }
    if let Some(below) = &b.index_below {
        let below = extent(below);
        return (0..elements).flat_map(|_| (rng.below(below) as i32).to_le_bytes()).collect();
    }
    (0..elements).flat_map(|_| element(b, wild, rng)).collect()
}

fn element(b: &ir::Buffer, wild: bool, rng: &mut Rng) -> Vec<u8> {
    let half = |x: f32| kgen::float::to_half(ir::Scalar::F16, x).expect("a half").to_le_bytes();
    match (b.elem.as_str(), b.scalar) {
        (_, Some(ir::Scalar::F32)) => rng.number(wild).to_le_bytes().to_vec(),
        // Indices that a kernel bounds itself: some are outside.
        (_, Some(ir::Scalar::I32)) => (rng.below(12) as i32 - 2).to_le_bytes().to_vec(),
        (_, Some(scalar)) => {
            let x = rng.number(wild);
            kgen::float::to_half(scalar, x).expect("an input is a float or an index").to_le_bytes().to_vec()
        }
        ("Q8K", _) => {
            let (mut block, sums) = activation(256, rng);
            block.extend(sums.chunks(16).flat_map(|sums| sums.iter().sum::<i16>().to_le_bytes()));
            block.extend(rng.number(wild).to_le_bytes());
            padded(block, b)
        }
        ("Q8", _) => {
            let (mut block, sums) = activation(32, rng);
            block.extend(rng.number(wild).to_le_bytes());
            block.extend(sums.iter().sum::<i16>().to_le_bytes());
            padded(block, b)
        }
        (_, None) => {
            let mut block: Vec<u8> = (0..b.elem_bytes).map(|_| rng.next() as u8).collect();
            if !wild {
                let scales = b.fields.iter().filter(|field| field.scalar == ir::Scalar::F16).map(|field| field.offset);
                scales.for_each(|at| block[at..at + 2].copy_from_slice(&half(rng.number(false) * 0.01)));
            }
            block
        }
    }
}

/// Activations keep what their declaration promises: -127..=127. Their bytes, and their values.
fn activation(count: usize, rng: &mut Rng) -> (Vec<u8>, Vec<i16>) {
    let extreme = rng.below(4) == 0;
    let q: Vec<i8> = (0..count).map(|_| if extreme { 127 } else { (rng.below(255) as i32 - 127) as i8 }).collect();
    (q.iter().map(|v| *v as u8).collect(), q.iter().map(|v| i16::from(*v)).collect())
}

fn padded(mut block: Vec<u8>, b: &ir::Buffer) -> Vec<u8> {
    block.resize(b.elem_bytes, 0);
    block
}
