//! What `kgen tune` takes for the needs of a model is what the plan has: the same kernels, sizes and numbers.
mod engine_support;

use apr::gguf::{Quant, SHAPES};
use apr::model::Model;
use apr::plan::{CHUNK, Step, transformer};
use engine_support::{model as synthetic, model_bytes};
use kgen::tune::model::{self, Need};
use std::collections::BTreeMap;

/// Kernels at their integer parameters by name, and how often.
type Needs = BTreeMap<(String, BTreeMap<String, u64>), u64>;

fn of_plan(model: &Model, step: &Step) -> Needs {
    let mut needs = Needs::new();
    for stage in transformer(model).bind(kernels_gen::kernel).unwrap() {
        let sizes = stage.kernel.ints.iter().zip(&stage.ints);
        let sizes = sizes.map(|(name, size)| (name.to_string(), step.get(*size) as u64)).collect();
        *needs.entry((stage.kernel.name.to_string(), sizes)).or_default() += 1;
    }
    needs
}

/// Without the kernels that do several stages of a plan at once.
fn of_tuner(needs: Vec<Need>) -> Needs {
    let alone = needs.into_iter().filter(|need| kernels_gen::kernel(&need.kernel).is_some());
    let sizes = |need: &Need| need.sizes.iter().map(|(name, n)| (name.to_string(), *n)).collect();
    alone.map(|need| ((need.kernel.clone(), sizes(&need)), need.times)).collect()
}

#[test]
fn tuned_sizes_are_those_of_the_plan() {
    let folder = tempfile::tempdir().unwrap();
    for shape in SHAPES.iter().filter(|shape| shape.name.starts_with("tiny")) {
        for quant in [Quant::Q4KM, Quant::Q80, Quant::F16] {
            let path = folder.path().join("model.gguf");
            std::fs::write(&path, model_bytes(shape.name, quant)).unwrap();
            let gguf = synthetic(shape.name, quant);
            let plan_of = Model::load(&gguf).unwrap();
            for (tokens, position) in [(1, 0), (1, 511), (1, 512), (100, 0), (3, 62)] {
                let step = Step { tokens, outputs: 1, position, chunks: (position + tokens).div_ceil(CHUNK) };
                let expected = of_plan(&plan_of, &step);
                let asked = model::Step { tokens: tokens as u64, position: position as u64 };
                for known in [model::Model::of_shape(shape, quant), model::Model::open(&path).unwrap()] {
                    assert_eq!(of_tuner(known.needs(asked)), expected, "{} {quant:?} {step:?}", shape.name);
                }
            }
        }
    }
}

#[test]
fn kernels_that_do_several_stages_have_the_sizes_of_these() {
    let needs_of = |name: &str| {
        let shape = apr::gguf::shape(name).unwrap();
        (shape.layers, model::Model::of_shape(shape, Quant::Q4KM).needs(model::Step { tokens: 1, position: 9 }))
    };
    // One with biases and one without.
    let ((layers, seven), (_, llama)) = (needs_of("qwen2.5-7b"), needs_of("llama-3.1-8b"));
    let needs = [seven.clone(), llama].concat();
    let of = |name: &str| needs.iter().filter(|need| need.kernel == name).collect::<Vec<_>>();
    // One that computes its rows is tuned as the one that copies them.
    let copies = |inlined: &&kernels_gen::Inlined| !inlined.kernel.name.starts_with("quantized_");
    for inlined in kernels_gen::INLINED.iter().filter(copies) {
        let name = inlined.kernel.name;
        let all = of(name);
        assert!(!all.is_empty(), "{name}");
        for need in all {
            let names: Vec<&str> = need.sizes.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, inlined.kernel.ints, "{name}");
        }
    }
    let times: u64 = seven.iter().filter(|need| need.kernel == "gate_up_q4k").map(|need| need.times).sum();
    assert_eq!(times, u64::from(layers));
}
