//! A kernel with memory of its own, ready to be run again and again.
use kernels_gen::{Buf, Isa, Kernel, Launch, Target, kernel};

/// A kernel, its parameters, and its buffers.
pub struct Case {
    kernel: &'static Kernel,
    ints: Vec<i32>,
    floats: Vec<f32>,
    /// Row-major.
    buffers: Vec<Vec<u8>>,
    /// Weights as the code for an instruction set wants them, where that is not so.
    packed: Option<(Isa, Vec<Option<Vec<u8>>>)>,
}

impl Case {
    /// The kernel of this name with its integers in the order of [`Kernel::ints`]. Its floats are 0.1, its buffers zero.
    ///
    /// # Panics
    /// When there is no such kernel, or it takes other integers.
    pub fn new(name: &str, ints: &[(&str, i32)]) -> Case {
        let kernel = kernel(name).unwrap_or_else(|| panic!("there is no kernel `{name}`"));
        let given: Vec<_> = ints.iter().map(|(name, _)| *name).collect();
        assert_eq!(kernel.ints, given, "the integers of `{name}`");
        let ints: Vec<i32> = ints.iter().map(|(_, value)| *value).collect();
        let mut bytes = vec![0; kernel.buffers.len()];
        // Row-major, as for plain code.
        (kernel.memory(Target::Cpu(Isa::Scalar)).bytes)(&ints, &mut bytes);
        let buffers = bytes.into_iter().map(|bytes| vec![0; bytes as usize]).collect();
        Case { kernel, ints, floats: vec![0.1; kernel.floats.len()], buffers, packed: None }
    }

    /// The buffer of this name.
    ///
    /// # Panics
    /// When the kernel has none.
    pub fn buffer(&mut self, name: &str) -> &mut Vec<u8> {
        let index = self.kernel.buffers.iter().position(|b| b.name == name);
        &mut self.buffers[index.unwrap_or_else(|| panic!("`{}` has no buffer `{name}`", self.kernel.name))]
    }

    /// Fills a buffer of floats with values in -1..1.
    pub fn floats(mut self, name: &str) -> Case {
        let mut random = Random(1);
        for word in self.buffer(name).as_chunks_mut().0 {
            *word = random.float().to_le_bytes();
        }
        self
    }

    /// Fills a buffer of halves with values in -1..1.
    pub fn halves(mut self, name: &str) -> Case {
        let mut random = Random(1);
        for word in self.buffer(name).as_chunks_mut::<2>().0 {
            // A sign, the exponent of 0.5, and ten random bits.
            *word = (random.next() as u16 & 0x83ff | 0x3800).to_le_bytes();
        }
        self
    }

    /// Fills a buffer of blocks with random bytes; the scales at these offsets are halves near 2^-10.
    pub fn blocks(mut self, name: &str, scales: &[usize]) -> Case {
        let index = self.kernel.buffers.iter().position(|b| b.name == name).expect("asked for by name");
        let size = self.kernel.buffers[index].elem_bytes;
        let mut random = Random(1);
        for block in self.buffers[index].chunks_exact_mut(size) {
            block.iter_mut().for_each(|byte| *byte = random.next() as u8);
            for &at in scales {
                block[at..at + 2].copy_from_slice(&(random.next() as u16 & 0x3ff | 0x1400).to_le_bytes());
            }
        }
        self
    }

    /// Fills a buffer of activations by quantizing random floats.
    ///
    /// # Panics
    /// When the buffer holds no quantized activations.
    pub fn activations(mut self, name: &str, tokens: i32, blocks: i32) -> Case {
        let mut quantize = Case::new("quantize_q8k", &[("T", tokens), ("B", blocks)]).floats("x");
        quantize.run(Isa::best());
        let quantized = std::mem::take(quantize.buffer("y"));
        let buffer = self.buffer(name);
        assert_eq!(buffer.len(), quantized.len());
        *buffer = quantized;
        self
    }

    /// Runs the kernel once, in this thread.
    ///
    /// # Panics
    /// When the launch is refused, or this processor lacks the instructions.
    pub fn run(&mut self, isa: Isa) {
        assert!(isa.available());
        let (_, packed) = match self.packed.take() {
            Some(packed) if packed.0 == isa => self.packed.insert(packed),
            _ => self.packed.insert((isa, pack(self.kernel, isa, &self.ints, &self.buffers))),
        };
        let buffers = self.buffers.iter_mut().zip(packed);
        let buffers: Vec<Buf> = buffers.map(|(bytes, packed)| Buf::write(packed.as_mut().unwrap_or(bytes))).collect();
        let launch = Launch::new(self.kernel, isa, &self.ints, &self.floats, &buffers).expect("the buffers fit");
        // SAFETY: the instructions are there, and this is the only call.
        unsafe { launch.run(0, launch.work()) }
    }

    /// Bytes of all buffers that the kernel reads.
    pub fn bytes_read(&self) -> u64 {
        let read = self.kernel.buffers.iter().zip(&self.buffers).filter(|(info, _)| !info.written);
        read.map(|(_, bytes)| bytes.len() as u64).sum()
    }
}

/// Weights in the layouts of an instruction set. Their rows have as many blocks as `B` says.
fn pack(kernel: &Kernel, isa: Isa, ints: &[i32], buffers: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
    let layouts = kernel.memory(Target::Cpu(isa)).layouts;
    let blocks = kernel.ints.iter().position(|name| *name == "B").map_or(1, |i| ints[i] as usize);
    let packed = |(bytes, layout): (&Vec<u8>, &Option<kernels_gen::Layout>)| {
        layout.as_ref().map(|layout| layout.packed(bytes, bytes.len() / (blocks * layout.block_bytes), blocks))
    };
    buffers.iter().zip(layouts).map(packed).collect()
}

/// Numbers that look random (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 16
    }

    fn float(&mut self) -> f32 {
        (self.next() as u32 as i32 as f32) / 2f32.powi(31)
    }
}
