//! The CUDA executor against the CPU: the same bits, whatever the way of feeding. Without a GPU nothing can be shown.
mod engine_support;
mod gpu_support;

use apr::{
    exec::{
        ExecError, Executor,
        cpu::{Cpu, Setup},
        cuda::{self, Cuda, Gpu},
    },
    gguf::Gguf,
    model::Model,
    plan::{Activations, BufferId, Plan, PlanSchedule, Role, Step, transformer, transformer_with, units},
    synth::Quant,
};
use clap::ValueEnum;
use engine_support::model;
use gpu_support::gpu;
use kernels_gen::Isa;

fn limits(chunk: usize) -> Step {
    Step { tokens: chunk, outputs: chunk, position: 0, chunks: 2 }
}

fn cuda(plan: &Plan, gguf: &Gguf, gpu: &Gpu, limits: Step) -> Cuda {
    Cuda::new(plan, gguf, cuda::Setup { gpu: gpu.clone(), limits }, &|_, _| ()).unwrap()
}

fn cpu<'m>(plan: &Plan, gguf: &'m Gguf, limits: Step) -> Cpu<'m> {
    Cpu::new(plan, gguf, Setup { threads: 2, isa: Isa::best(), limits }, &|_, _| ()).unwrap()
}

fn tokens(count: i32) -> Vec<i32> {
    (0..count).map(|i| i * 37 % 128).collect()
}

/// The bits of all logits, and all bytes of the KV cache at the end.
fn run(executor: &mut dyn Executor, plan: &Plan, tokens: &[i32], chunk: usize) -> (Vec<u32>, Vec<Vec<u8>>) {
    let mut logits = Vec::new();
    for (i, part) in tokens.chunks(chunk).enumerate() {
        executor.step(part, i * chunk, part.len()).unwrap();
        logits.extend(executor.logits().iter().map(|x| x.to_bits()));
        assert_eq!(executor.best().len(), part.len());
    }
    let caches = (0..plan.buffers.len()).filter(|&i| matches!(plan.buffers[i].role, Role::Cache)).map(BufferId);
    (logits, {
        let bytes = |id: BufferId| plan.buffer(id).bytes(&executor.limits()).unwrap();
        caches.map(|id| executor.read(id, 0..bytes(id)).unwrap()).collect()
    })
}

#[test]
fn logits_and_cache_are_those_of_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for (name, quant) in [
        ("tiny", Quant::Q4KM),
        ("tiny-hd128", Quant::Q4KM),
        ("tiny-tied", Quant::Q4KM),
        ("tiny-gqa7", Quant::Q4KM),
        ("tiny", Quant::F32),
        ("tiny", Quant::F16),
        ("tiny", Quant::Bf16),
    ] {
        let gguf = model(name, quant);
        let plan = transformer(&Model::load(&gguf).unwrap());
        let tokens = tokens(70);
        let expected = run(&mut cpu(&plan, &gguf, limits(70)), &plan, &tokens, 70);
        assert_eq!(expected.0.len() % 70, 0);
        for chunk in [1, 7, 64, 70] {
            let found = run(&mut cuda(&plan, &gguf, &gpu, limits(chunk)), &plan, &tokens, chunk);
            let differs = expected.0.iter().zip(&found.0).position(|(a, b)| a != b);
            assert!(expected == found, "{name} {quant:?}, {chunk} at a time: first logit that differs: {differs:?}");
        }
    }
}

#[test]
fn every_format_of_activations_is_that_of_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for name in ["tiny", "tiny-odd", "tiny-llama", "tiny-qwen3", "tiny-qwen3moe", "tiny-phi3", "tiny-gemma3"] {
        let gguf = model(name, Quant::Q4KM);
        for activations in [Activations::Q8k, Activations::Q16k, Activations::F32] {
            let plan = transformer_with(&Model::load(&gguf).unwrap(), activations, 70);
            let tokens = tokens(70);
            let expected = run(&mut cpu(&plan, &gguf, limits(70)), &plan, &tokens, 70);
            for chunk in [1, 7, 70] {
                let found = run(&mut cuda(&plan, &gguf, &gpu, limits(chunk)), &plan, &tokens, chunk);
                assert!(expected == found, "{name} {activations:?}, {chunk} at a time");
            }
        }
    }
}

#[test]
fn every_format_of_weights_is_that_of_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for &quant in Quant::value_variants() {
        let gguf = model("tiny", quant);
        for activations in [Activations::Q8k, Activations::Q16k, Activations::F32] {
            let plan = transformer_with(&Model::load(&gguf).unwrap(), activations, 70);
            let tokens = tokens(70);
            let expected = run(&mut cpu(&plan, &gguf, limits(70)), &plan, &tokens, 70);
            for chunk in [1, 70] {
                let found = run(&mut cuda(&plan, &gguf, &gpu, limits(chunk)), &plan, &tokens, chunk);
                assert!(expected == found, "{quant:?} {activations:?}, {chunk} at a time");
            }
        }
    }
}

#[test]
fn short_rows_are_quantized_by_the_matrices_that_read_them_in_decode() {
    let Some(gpu) = gpu() else { return };
    let both = |name: &str| name.starts_with("quantized_matvec_");
    for (name, quant, fuses) in [
        ("tiny", Quant::Q4KM, true),
        ("tiny-hd128", Quant::Q4KM, true),
        ("tiny-gqa7", Quant::Q4KM, true),
        ("tiny", Quant::Bf16, false),
    ] {
        let gguf = model(name, quant);
        let plan = transformer(&Model::load(&gguf).unwrap());
        let bound = plan.bind(kernels_gen::kernel).unwrap();
        let units = units(&plan, &bound, kernels_gen::INLINED, PlanSchedule::ALL);
        let placed = units.iter().filter(|unit| both(unit.bound.kernel.name)).count();
        assert_eq!(placed > 0, fuses, "{name} {quant:?}");
        let count = |cuda: &Cuda, has: &dyn Fn(&str) -> bool| {
            cuda.launched().into_iter().flatten().filter(|name| has(name)).count()
        };
        let (mut on_cpu, mut on_gpu) = (cpu(&plan, &gguf, limits(70)), cuda(&plan, &gguf, &gpu, limits(70)));
        // A prompt, then decode past the end of a chunk: the same recorded step with one chunk and with two.
        let mut position = 0;
        for part in [&tokens(60)[..], &[5], &[6], &[7], &[8], &[9], &[10]] {
            on_cpu.step(part, position, 1).unwrap();
            on_gpu.step(part, position, 1).unwrap();
            position += part.len();
            let fused = if part.len() == 1 { placed } else { 0 };
            assert_eq!(count(&on_gpu, &both), fused, "{name} {quant:?} at {position}");
            assert!(on_cpu.logits().iter().map(|x| x.to_bits()).eq(on_gpu.logits().iter().map(|x| x.to_bits())));
        }
        // By hand, the same launches leave the same behind after each stage.
        on_cpu.begin(&[11], position, 1).unwrap();
        on_gpu.begin(&[11], position, 1).unwrap();
        let step = Step { tokens: 1, outputs: 1, position, chunks: limits(70).chunks };
        for (number, stage) in plan.bind(kernels_gen::kernel).unwrap().iter().enumerate() {
            on_cpu.stage(number).unwrap();
            on_gpu.stage(number).unwrap();
            for arg in stage.writes().filter(|_| on_gpu.leaves(number)) {
                let part = plan.buffer(arg.buffer).changed(&step);
                let (a, b) = (on_cpu.read(arg.buffer, part.clone()), on_gpu.read(arg.buffer, part));
                assert!(a.unwrap() == b.unwrap(), "{name} {quant:?}: {}", stage.name);
            }
        }
    }
}

#[test]
fn only_the_last_tokens_get_logits() {
    let Some(gpu) = gpu() else { return };
    let gguf = model("tiny", Quant::Q4KM);
    let plan = transformer(&Model::load(&gguf).unwrap());
    let (mut on_cpu, mut on_gpu) = (cpu(&plan, &gguf, limits(16)), cuda(&plan, &gguf, &gpu, limits(16)));
    for outputs in [0, 1, 3] {
        on_cpu.step(&tokens(16), 0, outputs).unwrap();
        on_gpu.step(&tokens(16), 0, outputs).unwrap();
        assert_eq!(on_gpu.logits().len(), outputs * 512);
        assert!(on_cpu.logits().iter().map(|x| x.to_bits()).eq(on_gpu.logits().iter().map(|x| x.to_bits())));
        assert_eq!(on_cpu.best(), on_gpu.best());
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let Some(gpu) = gpu() else { return };
    let gguf = model("tiny", Quant::Q4KM);
    let plan = transformer(&Model::load(&gguf).unwrap());
    let mut executor = cuda(&plan, &gguf, &gpu, limits(64));
    assert!(matches!(executor.step(&[], 0, 0), Err(ExecError::StepSize { .. })));
    assert!(matches!(executor.step(&tokens(64), 65, 1), Err(ExecError::ContextFull { .. })));
    for token in [512, -1] {
        let error = executor.step(&[3, token], 0, 1).unwrap_err().to_string();
        assert!(error.contains("token_embd") && error.contains("must be in 0..512"), "{error}");
    }
    // It still works.
    executor.step(&tokens(3), 0, 1).unwrap();

    let too_long = Step { chunks: 1 << 24, ..limits(1) };
    let setup = cuda::Setup { gpu: gpu.clone(), limits: too_long };
    let error = Cuda::new(&plan, &gguf, setup, &|_, _| ()).err().unwrap();
    assert_eq!(error.exit_code(), 5);
    assert!(error.to_string().contains("does not fit") && error.to_string().contains("KV cache"), "{error}");
}

#[test]
fn a_gpu_that_is_not_there_is_an_error_with_a_way_out() {
    let error = Gpu::open(99).unwrap_err();
    assert!(error.help.contains("--device cpu") && !error.message.is_empty(), "{error}");
}
