//! The plan of a whole model run by the interpreter of the algorithm IR: what the forward pass means, with no lowering,
//! no executor and no thread in between.
use apr::{
    gguf::Gguf,
    model::Model,
    plan::{Arg, LOGITS, Plan, Role, Stage, Step, transformer},
};
use kgen::{diagnostic::Source, ir};
use std::{collections::HashMap, env, fs, path::Path};

/// Every kernel, from the sources of kernels-gen.
fn kernels() -> HashMap<String, ir::Kernel> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("kernels-gen");
    let files = ["formats", "kernels"].iter().flat_map(|folder| fs::read_dir(root.join(folder)).unwrap());
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let source = |path: &Path| Source { name: path.display().to_string(), text: fs::read_to_string(path).unwrap() };
    let sources: Vec<_> = paths.iter().map(|path| source(path)).collect();
    let kernels = kgen::compile(&sources)
        .unwrap_or_else(|errors| panic!("{}", kgen::diagnostic::render(&errors, &sources, false)));
    kernels.into_iter().map(|kernel| (kernel.name.clone(), kernel)).collect()
}

/// Runs a plan with a buffer of bytes for each of its buffers.
struct Interpreted<'p> {
    plan: &'p Plan,
    kernels: HashMap<String, ir::Kernel>,
    memory: Vec<Vec<u8>>,
}

impl<'p> Interpreted<'p> {
    fn new(plan: &'p Plan, model: &Gguf, limits: Step) -> Self {
        let memory = plan.buffers.iter().map(|buffer| {
            let bytes = buffer.bytes(&limits).unwrap();
            match &buffer.role {
                Role::Weight => model.tensor(&buffer.name).unwrap().data.to_vec(),
                Role::Table(fill) => {
                    let mut row = vec![0.0; buffer.row_bytes(&limits).unwrap() / 4];
                    let rows = 0..bytes / (row.len() * 4);
                    rows.flat_map(|i| {
                        fill(i, &mut row);
                        row.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>()
                    })
                    .collect()
                }
                _ => vec![0; bytes],
            }
        });
        Interpreted { plan, kernels: kernels(), memory: memory.collect() }
    }

    fn step(&mut self, tokens: &[u32], step: Step) -> Vec<f32> {
        let plan = self.plan;
        let input = plan.buffers.iter().position(|b| matches!(b.role, Role::Input)).unwrap();
        self.memory[input] = tokens.iter().flat_map(|t| t.to_le_bytes()).collect();
        for stage in &plan.stages {
            self.run(stage, step);
        }
        let logits = plan.find(LOGITS).unwrap();
        let bytes = plan.buffer(logits).bytes(&step).unwrap();
        self.memory[logits.0][..bytes].as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect()
    }

    fn run(&mut self, stage: &Stage, step: Step) {
        let kernel = &self.kernels[&stage.kernel];
        let name = |var: &ir::Var| kernel.vars[var.0 as usize].name.as_str();
        let (mut ints, mut floats) = (Vec::new(), Vec::new());
        for var in kernel.dims.iter().chain(&kernel.scalars) {
            let int = stage.ints.iter().find(|(n, _)| n == &name(var));
            let float = stage.floats.iter().find(|(n, _)| n == &name(var));
            ints.extend(int.map(|&(_, size)| step.get(size) as i32));
            floats.extend(float.map(|&(_, value)| value));
        }
        let args: Vec<Arg> = kernel
            .buffers
            .iter()
            .map(|b| {
                stage
                    .args
                    .iter()
                    .find(|(n, _)| *n == b.name)
                    .unwrap_or_else(|| panic!("{}: no {}", stage.name, b.name))
                    .1
            })
            .collect();
        let mut bufs: Vec<_> = args.iter().map(|arg| std::mem::take(&mut self.memory[arg.buffer.0])).collect();
        let starts: Vec<_> = args.iter().map(|&arg| self.start(arg, step)).collect();
        for (buf, &start) in bufs.iter_mut().zip(&starts) {
            buf.rotate_left(start);
        }
        ir::interp::run(kernel, &ints, &floats, &mut bufs).unwrap_or_else(|error| panic!("{}: {error}", stage.name));
        for ((arg, mut buf), start) in args.iter().zip(bufs).zip(starts) {
            buf.rotate_right(start);
            self.memory[arg.buffer.0] = buf;
        }
    }

    /// Where an argument begins in its buffer.
    fn start(&self, arg: Arg, step: Step) -> usize {
        let buffer = self.plan.buffer(arg.buffer);
        let rows = step.get(buffer.shape[0]);
        if arg.outputs_only { (rows - step.outputs) * buffer.row_bytes(&step).unwrap() } else { 0 }
    }
}

/// Mean squared error by the mean square of the truth.
fn nmse(ours: &[f32], truth: &[f32]) -> f64 {
    let square = |x: f32, y: f32| f64::from(x - y).powi(2);
    let error: f64 = ours.iter().zip(truth).map(|(&x, &y)| square(x, y)).sum();
    error / truth.iter().map(|&y| square(y, 0.0)).sum::<f64>()
}

#[test]
fn the_interpreted_plan_is_near_the_float64_forward_pass() {
    let Some(folder) = env::var_os("KGEN_ORACLES") else {
        eprintln!("skipped: KGEN_ORACLES names no folder with oracle/qwen2-tiny.gguf");
        return;
    };
    let file = |name: &str| Path::new(&folder).join("oracle").join(name);
    let gguf = Gguf::open(&file("qwen2-tiny.gguf")).unwrap();
    let model = Model::load(&gguf).unwrap();
    let tokens = fs::read_to_string(file("qwen2-tiny.tokens")).unwrap();
    let tokens: Vec<u32> = tokens.trim().split(',').take(3).map(|t| t.parse().unwrap()).collect();
    let truth: Vec<f32> =
        fs::read(file("qwen2-tiny.truth.f32")).unwrap().as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect();

    let plan = transformer(&model);
    let whole = Step { tokens: 3, outputs: 3, position: 0, chunks: 1 };
    let mut machine = Interpreted::new(&plan, &gguf, whole);
    let prefill = machine.step(&tokens[..2], Step { tokens: 2, outputs: 1, position: 0, chunks: 1 });
    let decode = machine.step(&tokens[2..], Step { tokens: 1, outputs: 1, position: 2, chunks: 1 });
    let vocab = model.config.vocab;
    for (position, logits) in [(1, &prefill), (2, &decode)] {
        let error = nmse(logits, &truth[position * vocab..][..vocab]);
        assert!(error < 2e-3, "position {position}: NMSE {error:.2e}");
    }
    let mut machine = Interpreted::new(&plan, &gguf, whole);
    let all = machine.step(&tokens, whole);
    assert_eq!(all[vocab..], [prefill, decode].concat(), "prefill and decode give other bits");
}
