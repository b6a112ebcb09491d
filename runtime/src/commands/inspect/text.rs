//! The report for people: one fact a line, everything out of the file escaped.

use std::fmt::{self, Display, Formatter};

use indicatif::{BinaryBytes, HumanCount};

use super::report::{Report, Sizes, Tokenizer};
use crate::gguf::shown;

/// Prints a report.
pub(super) struct Text<'a>(pub(super) &'a Report);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let report = self.0;
        line(f, "file", format!("{} ({})", shown(&report.file), BinaryBytes(report.file_bytes)))?;
        line(f, "format", format!("GGUF version {}", report.gguf_version))?;
        line(f, "architecture", shown(report.architecture.as_deref().unwrap_or("not named")))?;
        opt_line(f, "name", report.name.as_deref().map(shown))?;
        // The reason was made printable with the error.
        let supported = report.unsupported_because.as_ref().map_or("yes".into(), |why| format!("no: {why}"));
        line(f, "supported", supported)?;
        sizes(f, &report.sizes)?;
        line(f, "parameters", HumanCount(report.parameters))?;
        for count in &report.types {
            let of_type = format!("{} tensors, {}", count.tensors, BinaryBytes(count.bytes));
            line(f, &format!("  {}", count.r#type), of_type)?;
        }
        match &report.tokenizer {
            Some(tokenizer) => tokenizer_lines(f, tokenizer)?,
            None => line(f, "tokenizer", "none: apr run needs one; apr logits and apr parity take ids (--tokens)")?,
        }
        line(f, "chat template", if report.chat_template { "yes" } else { "no" })?;
        line(f, "weights", BinaryBytes(report.memory.weights_bytes))?;
        opt_line(f, "values", report.values_finite.map(|_| "every weight and block scale is finite"))?;
        let context = report.sizes.context_length.unwrap_or(0);
        let kv = report.memory.kv_f16_bytes;
        opt_line(f, "keys and values", kv.map(|kv| format!("{} in f16 for {context} positions", BinaryBytes(kv))))
    }
}

fn sizes(f: &mut Formatter<'_>, sizes: &Sizes) -> fmt::Result {
    opt_line(f, "layers", sizes.layers)?;
    opt_line(f, "hidden size", sizes.hidden)?;
    let heads = sizes.heads.zip(sizes.kv_heads).zip(sizes.head_dim);
    opt_line(f, "heads", heads.map(|((q, kv), dim)| format!("{q} over {kv} key-value heads, size {dim}")))?;
    opt_line(f, "feed-forward", sizes.ffn)?;
    let experts = sizes.experts.zip(sizes.experts_used);
    opt_line(f, "experts", experts.map(|(count, used)| format!("{count}, a token uses {used}")))?;
    opt_line(f, "vocabulary", sizes.vocab)?;
    opt_line(f, "context length", sizes.context_length)?;
    opt_line(f, "RoPE base", sizes.rope_base)?;
    opt_line(f, "norm epsilon", sizes.norm_eps)
}

fn tokenizer_lines(f: &mut Formatter<'_>, tokenizer: &Tokenizer) -> fmt::Result {
    let mut summary = shown(&tokenizer.model);
    if let Some(pre) = &tokenizer.pre {
        summary += &format!(", pre-tokenizer {}", shown(pre));
    }
    for (count, what) in [(tokenizer.tokens, "tokens"), (tokenizer.merges, "merges")] {
        if let Some(count) = count {
            summary += &format!(", {count} {what}");
        }
    }
    line(f, "tokenizer", summary)?;
    for special in &tokenizer.special {
        let text = special.text.as_ref().map(|text| format!(" {}", shown(text))).unwrap_or_default();
        line(f, &format!("  {}", shown(&special.role)), format!("{}{text}", special.id))?;
    }
    Ok(())
}

fn line(f: &mut Formatter<'_>, name: &str, value: impl Display) -> fmt::Result {
    writeln!(f, "{name:<16} {value}")
}

fn opt_line(f: &mut Formatter<'_>, name: &str, value: Option<impl Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| line(f, name, value))
}
