//! The plan of a whole model run by the interpreter of the algorithm IR: what the forward pass means, with no lowering,
//! no executor and no thread in between. The kernels that are computed in others are run so, too, under random plan schedules.
mod engine_support;

use apr::{
    exec::{
        ExecError, Session,
        cpu::{Cpu, Setup},
    },
    gguf::Gguf,
    model::Model,
    plan::{Arg, BoundStage, LOGITS, Plan, PlanSchedule, Role, Stage, Step, transformer, units},
    synth::Quant,
};
use engine_support::model;
use kernels_gen::Isa;
use kernels_gen::{INLINED, Target};
use kgen::{ir, library::Library, loop_ir::interp::run_at_once};
use std::{collections::HashMap, path::Path};

/// What runs a call: with its integers, floats and buffers.
type Run = Box<dyn Fn(&[i32], &[f32], &mut Vec<Vec<u8>>)>;

fn library() -> Library {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("kernels-gen");
    Library::open(&folder).unwrap_or_else(|error| panic!("{error}"))
}

/// Every kernel, from the sources of kernels-gen, with those that others are computed in.
fn kernels() -> HashMap<String, ir::Kernel> {
    library().kernels_on(Target::Cuda).map(|kernel| (kernel.name.clone(), kernel.clone())).collect()
}

/// What runs each kernel: the interpreter of the algorithm IR, and of the loop IR where teams compute rows by another kernel.
fn runs() -> HashMap<String, Run> {
    let meant = kernels().into_iter().map(|(name, kernel)| {
        let run = move |ints: &[i32], floats: &[f32], bufs: &mut Vec<Vec<u8>>| {
            ir::interp::run(&kernel, ints, floats, bufs).unwrap_or_else(|error| panic!("{}: {error}", kernel.name));
        };
        (name, Box::new(run) as Run)
    });
    let library = library();
    let rows = library.recomputed().unwrap_or_else(|error| panic!("{error}")).into_iter().map(|rows| {
        let func = rows.func;
        let run = move |ints: &[i32], floats: &[f32], bufs: &mut Vec<Vec<u8>>| {
            func.with_layouts(ints, bufs, |bufs| run_at_once(&func, ints, floats, bufs, 2, |n| n - 1))
                .unwrap_or_else(|error| panic!("{}: {error}", func.name));
        };
        (rows.spec.name, Box::new(run) as Run)
    });
    meant.chain(rows).collect()
}

/// Runs a plan with a buffer of bytes for each of its buffers.
struct Interpreted<'p> {
    plan: &'p Plan,
    kernels: HashMap<String, ir::Kernel>,
    runs: HashMap<String, Run>,
    memory: Vec<Vec<u8>>,
}

impl<'p> Interpreted<'p> {
    fn new(plan: &'p Plan, model: &Gguf, limits: Step) -> Self {
        let memory = plan.buffers.iter().map(|buffer| {
            let bytes = buffer.bytes(&limits).unwrap();
            match &buffer.role {
                Role::Weight(_) => buffer.tensor(model).unwrap().data.to_vec(),
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
        Interpreted { plan, kernels: kernels(), runs: runs(), memory: memory.collect() }
    }

    fn step(&mut self, tokens: &[u32], step: Step) -> Vec<f32> {
        self.begin(tokens);
        for stage in &self.plan.stages {
            self.run(stage, step);
        }
        self.logits(step)
    }

    fn begin(&mut self, tokens: &[u32]) {
        let input = self.plan.buffers.iter().position(|b| matches!(b.role, Role::Input)).unwrap();
        self.memory[input] = tokens.iter().flat_map(|t| t.to_le_bytes()).collect();
    }

    fn logits(&self, step: Step) -> Vec<f32> {
        let plan = self.plan;
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
        self.run_kernel(&stage.kernel, (&ints, &floats), &args, step);
    }

    fn run_bound(&mut self, bound: &BoundStage, step: Step) {
        let ints: Vec<i32> = bound.ints.iter().map(|&size| step.get(size) as i32).collect();
        self.run_kernel(bound.kernel.name, (&ints, &bound.floats), &bound.args, step);
    }

    fn run_kernel(&mut self, kernel: &str, (ints, floats): (&[i32], &[f32]), args: &[Arg], step: Step) {
        let mut bufs: Vec<_> = args.iter().map(|arg| std::mem::take(&mut self.memory[arg.buffer.0])).collect();
        let starts: Vec<_> = args.iter().map(|&arg| self.start(arg, step)).collect();
        for (buf, &start) in bufs.iter_mut().zip(&starts) {
            buf.rotate_left(start);
        }
        self.runs[kernel](ints, floats, &mut bufs);
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

#[test]
fn the_executor_gives_the_bits_of_the_interpreted_plan() {
    for name in ["tiny", "tiny-llama", "tiny-qwen3", "tiny-qwen3moe", "tiny-phi3", "tiny-gemma3"] {
        executed_as_interpreted(name);
    }
}

fn executed_as_interpreted(name: &str) {
    let gguf = model(name, Quant::Q4KM);
    let plan = transformer(&Model::load(&gguf).unwrap());
    let limits = Step { tokens: 3, outputs: 3, position: 0, chunks: 1 };
    let tokens = [5, 100, 77];
    let mut machine = Interpreted::new(&plan, &gguf, limits);
    let mut expected = machine.step(&tokens[..2], Step { tokens: 2, outputs: 2, ..limits });
    expected.extend(machine.step(&tokens[2..], Step { tokens: 1, outputs: 1, position: 2, ..limits }));

    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        let cpu = Cpu::new(&plan, &gguf, Setup { threads: 2, isa, limits }, &|_, _| ()).unwrap();
        let mut bits = Vec::new();
        let all = Session::new(Box::new(cpu)).prefill_all(&tokens, |logits| {
            bits.extend(logits.iter().map(|x| x.to_bits()));
            Ok::<_, ExecError>(())
        });
        all.unwrap();
        assert!(bits == expected.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), "{name} {isa}");
    }
}

#[test]
fn stages_computed_in_others_give_the_bits_of_the_plan() {
    let gguf = model("tiny", Quant::Q4KM);
    let plan = transformer(&Model::load(&gguf).unwrap());
    let limits = Step { tokens: 2, outputs: 2, position: 0, chunks: 1 };
    let decode = Step { tokens: 1, outputs: 1, position: 2, ..limits };
    let mut machine = Interpreted::new(&plan, &gguf, limits);
    machine.step(&[5, 500], limits);
    let before = machine.memory.clone();
    let expected: Vec<u32> = machine.step(&[77], decode).iter().map(|x| x.to_bits()).collect();
    let stages = plan.bind(kernels_gen::kernel).unwrap();
    let mut counts = Vec::new();
    for schedule in [PlanSchedule::ALL].into_iter().chain((0..3).map(PlanSchedule::random)) {
        machine.memory.clone_from(&before);
        machine.begin(&[77]);
        let units = units(&plan, &stages, INLINED, schedule);
        for unit in &units {
            let ints: Vec<i32> = unit.bound.ints.iter().map(|&size| decode.get(size) as i32).collect();
            assert!((unit.fits)(&ints), "{}", unit.bound.name);
            machine.run_bound(&unit.bound, decode);
        }
        assert!(machine.logits(decode).iter().map(|x| x.to_bits()).eq(expected.iter().copied()), "{schedule:?}");
        counts.push(units.len());
    }
    assert!(counts[1..].iter().all(|count| counts[0] < *count && *count < stages.len()), "{counts:?}");
}
