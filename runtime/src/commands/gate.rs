//! The gate of `apr run`: a GPU is compared with the CPU before it first serves a model.
use super::device::{Placement, Size};
use crate::{
    Error,
    exec::{Executor, Fault},
    gguf::Gguf,
    model::{Config, Model},
    parity::{FailedCase, GATE_POSITIONS, Verdicts, gate, key},
    plan::Plan,
};
use std::time::Instant;

/// When the gate is passed.
#[derive(Clone, Debug, clap::Args)]
pub struct GateArgs {
    /// When a GPU is compared with the CPU before it answers
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = When::Once, help_heading = "Device")]
    gate: When,
    /// Damage the GPU's memory, to see the gate refuse it; see apr parity --help
    #[arg(long, value_name = "FAULT", hide = true)]
    plant: Option<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum When {
    /// Before it first serves this model; the verdict is remembered
    Once,
    /// Every time
    Always,
    /// Never
    Off,
}

/// What is about to serve, and what it is to be compared over.
pub struct Gated<'a> {
    /// Where it runs.
    pub placement: &'a Placement,
    /// What it runs.
    pub plan: &'a Plan,
    /// The model's file.
    pub file: &'a Gguf,
    /// What is in it.
    pub model: &'a Model<'a>,
    /// The prompt's tokens.
    pub prompt: &'a [u32],
}

impl GateArgs {
    /// Lets an executor pass that is not on a GPU, or computes what the CPU computes; afterwards it is to be fed from
    /// position 0 on. Whatever else happens is a failed gate.
    pub fn pass(&self, tested: &mut dyn Executor, gated: &Gated) -> Result<(), Error> {
        if !gated.placement.is_gpu() {
            return match &self.plant {
                None => Ok(()),
                Some(_) => Err(Error::usage("--plant damages the memory of a GPU", "add --device cuda")),
            };
        }
        if let Some(fault) = &self.plant {
            tested.plant(fault.place(gated.plan)?)?;
            eprintln!("planted: {fault}");
        }
        if self.gate == When::Off {
            eprintln!("gate: off; the GPU is not compared with the CPU");
            return Ok(());
        }
        let failed = |error: Error| failed(gated, &format!("  failed: {error}\n"));
        let key = tested.identity().map_err(Error::from).and_then(|identity| key(gated.file, gated.plan, &identity));
        let key = key.map_err(failed)?;
        // What a damaged executor does says nothing about a sound one.
        let verdicts = Verdicts::standard().filter(|_| self.plant.is_none());
        if self.gate == When::Once && verdicts.as_ref().is_some_and(|verdicts| verdicts.passed(&key)) {
            eprintln!("gate: passed before");
            return Ok(());
        }
        eprintln!("gate: comparing the GPU with the CPU, bit for bit");
        let start = Instant::now();
        self.compare(tested, gated)?;
        eprintln!("gate: passed in {:.1} s", start.elapsed().as_secs_f64());
        if let Some(verdicts) = verdicts
            && let Err(error) = verdicts.remember(&key)
        {
            eprintln!("gate: the verdict cannot be kept in {}: {error}", verdicts.folder().display());
        }
        Ok(())
    }

    fn compare(&self, tested: &mut dyn Executor, gated: &Gated) -> Result<(), Error> {
        let &Gated { placement, plan, file, model, prompt } = gated;
        let tokens = tested.limits().tokens.min(GATE_POSITIONS);
        let size = Size { positions: GATE_POSITIONS, tokens, outputs: 1 };
        let mut reference =
            placement.reference(plan, file, size).map_err(|error| failed(gated, &format!("  failed: {error}\n")))?;
        gate(plan, model.config.vocab, reference.as_mut(), tested, prompt)
            .map_err(|case| failed(gated, &figures(&case)))
    }
}

/// Everything that is known of a case that has failed, a line each.
fn figures(FailedCase { case, report }: &FailedCase) -> String {
    let mut lines = vec![format!("case: {case}")];
    if let Some(row) = report.steps.iter().find(|row| !row.equal()) {
        let differ = |is: bool| if is { "equal" } else { "different" };
        let logits = row.logits_equal.map_or("not computed", differ);
        let mut line = format!(
            "step {} ({} tokens at position {}): logits {logits}, KV cache {}",
            row.step,
            row.tokens,
            row.position,
            differ(row.cache_equal)
        );
        if let (Some(cosine), Some(most), Some(argmax)) = (row.cosine, row.largest_difference, row.argmax) {
            line += &format!(
                ", cosine {cosine:.9}, largest difference {most:e}, most likely token {} on the CPU and {} on the GPU",
                argmax.reference, argmax.tested
            );
        }
        lines.push(line);
    }
    lines.extend(report.findings());
    lines.iter().map(|line| format!("  {line}\n")).collect()
}

/// The error that ends the program before it has printed a token.
fn failed(gated: &Gated, figures: &str) -> Error {
    let Config { hidden, n_heads, n_kv_heads, head_dim, ffn, vocab, n_layers, .. } = &gated.model.config;
    Error::Parity(format!(
        "PARITY-GATE FAILED: GPU computes a DIFFERENT function than CPU.\n{figures}  \
         device: {}\n  \
         model: hidden {hidden}, heads {n_heads}, KV heads {n_kv_heads}, head size {head_dim}, FFN {ffn}, vocabulary \
         {vocab}, layers {n_layers}\n  \
         help: nothing was generated; use --device cpu, and report this with what `apr parity` prints for the model",
        gated.placement.device()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{commands::device::DeviceArgs, plan::transformer, synth};
    use clap::Parser;
    use std::sync::atomic::AtomicBool;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        device: DeviceArgs,
        #[command(flatten)]
        gate: GateArgs,
    }

    /// What the comparison says of an executor of the CPU, with a fault where there is one.
    fn compared(fault: Option<&str>, prompt: &[u32]) -> Result<(), Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.gguf");
        let options = synth::Options { seed: 1, layers: None, outliers: true, quant: synth::Quant::Q4KM };
        synth::write(&path, synth::shape("tiny").unwrap(), &options, 2, &AtomicBool::new(false), |_, _| ()).unwrap();
        let file = Gguf::open(&path).unwrap();
        let model = Model::load(&file).unwrap();
        let plan = transformer(&model);
        let Cli { device, gate } = Cli::try_parse_from(["apr", "--no-gpu"]).unwrap();
        let size = Size { positions: GATE_POSITIONS, tokens: prompt.len(), outputs: 1 };
        let placement = device.find().unwrap().place(&plan, size).unwrap();
        let mut tested = placement.executor(&plan, &file, size).unwrap();
        if let Some(fault) = fault {
            tested.plant(fault.parse::<Fault>().unwrap().place(&plan).unwrap()).unwrap();
        }
        let gated = Gated { placement: &placement, plan: &plan, file: &file, model: &model, prompt };
        gate.compare(tested.as_mut(), &gated)
    }

    #[test]
    fn a_sound_executor_passes() {
        compared(None, &[1, 2, 3]).unwrap();
    }

    #[test]
    fn the_refusal_has_the_figures_and_the_dimensions() {
        let error = compared(Some("head:1"), &[1, 2, 3]).unwrap_err();
        assert_eq!(error.exit_code(), 4);
        let text = error.to_string();
        assert!(text.starts_with("PARITY-GATE FAILED: GPU computes a DIFFERENT function than CPU.\n"), "{text}");
        for part in [
            "case: the prompt",
            "step 0 (3 tokens at position 0): logits different, KV cache equal, cosine 0.",
            "first difference: step 0, layer 1, operation attn ",
            "hidden 256, heads 4, KV heads 2, head size 64, FFN 512, vocabulary 512, layers 2",
            "help: nothing was generated",
        ] {
            assert!(text.contains(part), "`{part}` is not in\n{text}");
        }
    }

    #[test]
    fn an_error_on_the_way_is_a_failed_gate() {
        let error = compared(None, &[1, 512]).unwrap_err();
        assert_eq!(error.exit_code(), 4);
        assert!(error.to_string().contains("failed: ") && error.to_string().contains("must be in 0..512"), "{error}");
    }
}
