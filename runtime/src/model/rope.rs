//! The rotary position embedding, as the metadata describe it.

use super::config::{Keys, MOST_CONTEXT, Traits};
use crate::gguf::{Gguf, ModelError};

/// The tensors of what each frequency of the rotation is divided by: in any context, in a short one, in a long one.
pub(super) const ROPE_FACTORS: &str = "rope_freqs.weight";
pub(super) const SHORT_FACTORS: &str = "rope_factors_short.weight";
pub(super) const LONG_FACTORS: &str = "rope_factors_long.weight";

/// Which two elements of a head a rotation turns together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopeLayout {
    /// Element i with element i + head_dim / 2 (NeoX, Qwen).
    Halves,
    /// Element 2i with element 2i + 1 (Llama as ggml stores it).
    Pairs,
}

/// The rotary position embedding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// Elements of a head that are turned, an even number of them; those behind stay as they are.
    pub dims: usize,
    /// The base of the frequencies: base^(-2i / dims).
    pub base: f32,
    /// Which elements are turned together.
    pub layout: RopeLayout,
    /// What positions are divided by, so that a longer context has the angles of the one that was trained (linear scaling); 1
    /// changes nothing.
    pub scale: f32,
    /// What cosines and sines are multiplied by.
    pub amplitude: f32,
    /// Whether the file has a factor for each frequency that the frequency is divided by.
    pub factors: Factors,
}

/// The factors of the rotation's frequencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factors {
    /// There are none.
    None,
    /// The same in any context: `rope_freqs.weight` (Llama 3.1).
    Fixed,
    /// `rope_factors_short.weight` where there is room for at most this many positions, `rope_factors_long.weight` where there is for
    /// more (LongRoPE).
    ByContext(usize),
}

impl Rope {
    pub(super) fn read(
        gguf: &Gguf,
        keys: &Keys<'_>,
        traits: &Traits,
        (head_dim, context): (usize, usize),
    ) -> Result<Self, ModelError> {
        Ok(Self {
            dims: dims(keys, traits, head_dim)?,
            base: base(keys, "rope.freq_base")?,
            layout: traits.rope_layout,
            scale: scale(keys, traits)?,
            amplitude: if traits.long_rope { amplitude(keys)? } else { 1.0 },
            factors: factors(gguf, keys, traits, context)?,
        })
    }
}

/// How many elements of a head are turned: all of them, but where a part may be.
fn dims(keys: &Keys<'_>, traits: &Traits, head_dim: usize) -> Result<usize, ModelError> {
    let name = "rope.dimension_count";
    let dims = keys.opt_count(name, MOST_CONTEXT)?.unwrap_or(head_dim);
    match dims {
        part if traits.long_rope && part < head_dim && part.is_multiple_of(2) => Ok(part),
        all if all == head_dim => Ok(all),
        other => Err(keys.wrong(name, format!("{other} differs from the head size {head_dim}"))),
    }
}

/// The factors that the file has. In ggml's loader the context of the first training is the model's where the file does not say.
fn factors(gguf: &Gguf, keys: &Keys<'_>, traits: &Traits, context: usize) -> Result<Factors, ModelError> {
    if traits.rope_factors && gguf.tensor(ROPE_FACTORS).is_some() {
        return Ok(Factors::Fixed);
    }
    if !traits.long_rope || [SHORT_FACTORS, LONG_FACTORS].iter().all(|name| gguf.tensor(name).is_none()) {
        return Ok(Factors::None);
    }
    let first = keys.opt_count("rope.scaling.original_context_length", MOST_CONTEXT)?;
    Ok(Factors::ByContext(first.unwrap_or(context)))
}

fn amplitude(keys: &Keys<'_>) -> Result<f32, ModelError> {
    let name = "rope.scaling.attn_factor";
    match keys.metadata.opt_f32(&keys.key(name))? {
        None => Ok(1.0),
        Some(factor) if (0.1..=10.0).contains(&factor) => Ok(factor),
        Some(factor) => Err(keys.wrong(name, format!("{factor} is no plausible factor (0.1 to 10)"))),
    }
}

pub(super) fn base(keys: &Keys<'_>, name: &str) -> Result<f32, ModelError> {
    // The default of ggml's loader, for files written before the key existed.
    let base = keys.metadata.opt_f32(&keys.key(name))?.unwrap_or(10000.0);
    match (1.0..=1e12).contains(&base) {
        true => Ok(base),
        false => Err(keys.wrong(name, format!("{base} is no plausible base (1 to 1e12)"))),
    }
}

/// ggml's loader takes a factor without a type for a linear one, and the older key for the newer.
fn scale(keys: &Keys<'_>, traits: &Traits) -> Result<f32, ModelError> {
    let kind = keys.key("rope.scaling.type");
    match keys.metadata.opt_str(&kind)? {
        None | Some("linear") => (),
        Some("longrope") if traits.long_rope => return Ok(1.0),
        Some("none") => return Ok(1.0),
        Some(other) => {
            let other = crate::gguf::shown(other);
            return Err(ModelError::unsupported(
                format!("scaled rotary positions of type `{other}` (`{kind}`) are not supported"),
                "supported types: none, linear; use a file of the model without an extended context",
            ));
        }
    }
    for name in ["rope.scaling.factor", "rope.scale_linear"] {
        match keys.metadata.opt_f32(&keys.key(name))? {
            None | Some(0.0) => (),
            Some(factor) if (1e-3..=1e6).contains(&factor) => return Ok(factor),
            Some(factor) => return Err(keys.wrong(name, format!("{factor} is no plausible factor (0.001 to 1e6)"))),
        }
    }
    Ok(1.0)
}
