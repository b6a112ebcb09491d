//! Draws the blocks of one tensor: weights of mean 0 and standard deviation 1/sqrt(row), norms near 1, small biases.

use half::{bf16, f16};

use super::random::Stream;
use super::{Options, Shape};
use crate::gguf::{TensorSpec, TensorType};
use crate::math;

/// How much larger the outliers are than the rest.
pub(super) const OUTLIER: f32 = 26.0;
/// The largest ordinary bias.
const BIAS: f32 = 0.25;
/// Random numbers set aside for a block; the largest takes 26.
const PER_BLOCK: u64 = 32;
/// Plain numbers are drawn this many to a block, so that a call has work to do.
const PLAIN: usize = 32;

/// Standard deviation of (6-bit scale) * (nibble - 7.5) + 7.5 * (scale - min), as drawn below:
/// E[scale^2] = 39.5^2 + (48^2 - 1)/12, Var[nibble] = (16^2 - 1)/12, E[(scale - min)^2] about 6.7; times the root of the
/// mean square of the factor on d, uniform in 3/4..5/4.
const Q4_K_STD: f32 = 195.9;
/// The same of (signed scale) * (6-bit weight - 32), with |scale| uniform in 32..=127.
const Q6_K_STD: f32 = 1571.8;

enum Kind {
    /// A matrix, with the factor that gives its weights their standard deviation.
    Matrix { std: f32 },
    /// A norm: 1 and a little, or an outlier in these channels.
    Norm { outliers: Vec<usize> },
    /// A bias; of every head's elements, every 32nd is an outlier if asked for.
    Bias { outlier_every: Option<usize> },
    /// What the frequencies of the rotation are divided by.
    Frequencies { factors: Vec<f32> },
}

/// How one tensor is drawn.
pub(super) struct Plan {
    ty: TensorType,
    kind: Kind,
}

impl Plan {
    pub(super) fn new(spec: &TensorSpec, shape: &Shape, options: &Options) -> Self {
        let kind = match spec.name.as_str() {
            "rope_freqs.weight" => Kind::Frequencies { factors: frequency_factors(shape) },
            "rope_factors_short.weight" => Kind::Frequencies { factors: long_rope_factors(shape, 1.5) },
            "rope_factors_long.weight" => Kind::Frequencies { factors: long_rope_factors(shape, 40.0) },
            name if name.ends_with(".bias") => Kind::Bias { outlier_every: options.outliers.then_some(32) },
            _ if spec.dims.len() == 1 => Kind::Norm { outliers: outlier_channels(shape, options) },
            _ => Kind::Matrix { std: (1.0 / (spec.dims[0] as f64).sqrt()) as f32 },
        };
        Self { ty: spec.ty, kind }
    }

    /// Bytes that one call of [`Plan::fill`] makes.
    pub(super) fn unit(&self) -> usize {
        match self.ty.is_quantized() {
            true => self.ty.block_bytes() as usize,
            false => PLAIN * self.ty.block_bytes() as usize,
        }
    }

    /// Draws block `index` of the tensor.
    pub(super) fn fill(&self, stream: &Stream, index: u64, out: &mut [u8]) {
        let first = index * PER_BLOCK;
        let std = match &self.kind {
            Kind::Matrix { std } => *std,
            Kind::Frequencies { factors } => {
                return plain(self.ty, out, |i| factors[index as usize * PLAIN + i]);
            }
            Kind::Norm { outliers } => {
                return plain(self.ty, out, |i| {
                    let channel = index as usize * PLAIN + i;
                    let value = 1.0 + 0.125 * stream.symmetric(first + i as u64);
                    if outliers.contains(&channel) { OUTLIER * value } else { value }
                });
            }
            Kind::Bias { outlier_every } => {
                return plain(self.ty, out, |i| {
                    let large = outlier_every.is_some_and(|every| (index as usize * PLAIN + i) % every == every / 2);
                    let value = BIAS * stream.symmetric(first + i as u64);
                    if large { value.signum() * BIAS * OUTLIER } else { value }
                });
            }
        };
        match self.ty {
            TensorType::Q4_K => q4_k(stream, first, std / Q4_K_STD, out),
            TensorType::Q6_K => q6_k(stream, first, std / Q6_K_STD, out),
            // A uniform number in -a..a has the standard deviation a / sqrt(3).
            ty if ty.is_quantized() => random_block(ty, stream, first, std, out),
            ty => plain(ty, out, |i| std * 1.732_050_8 * stream.symmetric(first + i as u64)),
        }
    }
}

/// Llama 3.1's factors: 1 for waves that come round in less than a quarter of the context of the first training (8192 positions),
/// the shape's factor for those that do not come round in it, and what is between these two in between.
fn frequency_factors(shape: &Shape) -> Vec<f32> {
    const CONTEXT: f64 = 8192.0;
    let (base, factor) = (f64::from(shape.rope_base), f64::from(shape.rope_factor.unwrap_or(1.0)));
    let of = |i: u32| {
        let frequency = math::pow(base, -2.0 * f64::from(i) / f64::from(shape.head_dim));
        let rounds = CONTEXT * frequency / std::f64::consts::TAU;
        let smooth = ((rounds - 1.0) / (4.0 - 1.0)).clamp(0.0, 1.0);
        (1.0 / ((1.0 - smooth) / factor + smooth)) as f32
    };
    (0..shape.head_dim / 2).map(of).collect()
}

/// Factors that grow from 1 for the highest frequency to `most` for the lowest, as those of LongRoPE do.
fn long_rope_factors(shape: &Shape, most: f64) -> Vec<f32> {
    let pairs = shape.rotated() / 2;
    (0..pairs).map(|i| math::pow(most, f64::from(i) / f64::from(pairs - 1)) as f32).collect()
}

/// LongRoPE's factor of cosines and sines: sqrt(1 + ln(s) / ln(n)) for a context s times the n positions of the first training.
pub(super) fn attention_factor(shape: &Shape, positions: u32) -> f32 {
    let times = f64::from(shape.context) / f64::from(positions);
    (1.0 + math::ln(times) / math::ln(f64::from(positions))).sqrt() as f32
}

/// The same few channels in every norm of a model, about one in 512.
fn outlier_channels(shape: &Shape, options: &Options) -> Vec<usize> {
    let stream = Stream::new(options.seed, "outlier channels");
    let count = if options.outliers { (shape.hidden as u64).div_ceil(512) } else { 0 };
    (0..count).map(|i| (stream.at(i) % u64::from(shape.hidden)) as usize).collect()
}

fn plain(ty: TensorType, out: &mut [u8], value: impl Fn(usize) -> f32) {
    for (i, bytes) in out.chunks_exact_mut(ty.block_bytes() as usize).enumerate() {
        match ty {
            TensorType::F16 => bytes.copy_from_slice(&f16::from_f32(value(i)).to_le_bytes()),
            TensorType::BF16 => bytes.copy_from_slice(&bf16::from_f32(value(i)).to_le_bytes()),
            _ => bytes.copy_from_slice(&value(i).to_le_bytes()),
        }
    }
}

/// A block of random bits, but for its scales. Their sign is random where the format has no minimum; else the minimum is so large
/// that the mean is 0.
fn random_block(ty: TensorType, stream: &Stream, first: u64, std: f32, out: &mut [u8]) {
    random_bits(stream, first, out);
    // Where the scale is, where that of the minimum is and how large it is against the scale, and the standard deviation of a
    // weight with a scale of 1: the root of the mean square over all bits, times that of the factor on the scale.
    let (at, min, of_one) = match ty {
        TensorType::Q2_K => (80, Some((82, 1.5)), 14.01),
        TensorType::Q3_K => (108, None, 43.79),
        TensorType::Q5_K => (0, Some((2, 15.5)), 532.4),
        TensorType::IQ4_XS => (0, None, 1259.2),
        TensorType::IQ4_NL => (0, None, 68.14),
        TensorType::Q8_0 => (0, None, 74.67),
        TensorType::Q5_1 => (0, Some((2, -15.5)), 9.33),
        TensorType::Q5_0 => (0, None, 9.35),
        TensorType::Q4_1 => (0, Some((2, -7.5)), 4.66),
        _ => (0, None, 4.69),
    };
    let d = varied(stream, first + 31, std / of_one);
    let negative = min.is_none() && stream.at(first + 30) & 1 == 1;
    let mut put = |at: usize, x: f32| out[at..at + 2].copy_from_slice(&f16::from_f32(x).to_le_bytes());
    put(at, if negative { -d } else { d });
    if let Some((at, times)) = min {
        put(at, times * d);
    }
}

/// Fills with random bits, eight bytes a number.
fn random_bits(stream: &Stream, first: u64, out: &mut [u8]) {
    for (i, bytes) in out.chunks_mut(8).enumerate() {
        bytes.copy_from_slice(&stream.at(first + i as u64).to_le_bytes()[..bytes.len()]);
    }
}

/// A factor in 3/4..5/4 on a block's scale.
fn varied(stream: &Stream, counter: u64, d: f32) -> f32 {
    d * (1.0 + 0.25 * stream.symmetric(counter))
}

/// A Q4_K block of 144 bytes: d, dmin, 8 scales and 8 mins of 6 bits in 12 bytes, 256 nibbles. The weight is
/// d * scale * nibble - dmin * min; dmin is 7.5 d and a min is near its scale, so that the mean is 0.
fn q4_k(stream: &Stream, first: u64, d: f32, out: &mut [u8]) {
    let d = varied(stream, first, d);
    out[0..2].copy_from_slice(&f16::from_f32(d).to_le_bytes());
    out[2..4].copy_from_slice(&f16::from_f32(7.5 * d).to_le_bytes());
    let (bits, mut scales, mut mins) = (stream.at(first + 1), [0u8; 8], [0u8; 8]);
    for j in 0..8 {
        let byte = (bits >> (8 * j)) as u8;
        scales[j] = 16 + (u16::from(byte) * 48 / 256) as u8;
        let shift = (stream.at(first + 2) >> (8 * j)) as u8 % 9;
        mins[j] = (scales[j] + shift).saturating_sub(4).min(63);
    }
    let packed = &mut out[4..16];
    for j in 0..4 {
        packed[j] = scales[j] | (scales[j + 4] >> 4) << 6;
        packed[j + 4] = mins[j] | (mins[j + 4] >> 4) << 6;
        packed[j + 8] = (scales[j + 4] & 15) | (mins[j + 4] & 15) << 4;
    }
    random_bits(stream, first + 3, &mut out[16..]);
}

/// A Q6_K block of 210 bytes: 256 weights of 4 low and 2 high bits, 16 signed scales, d. The weight is
/// d * scale * (q - 32).
fn q6_k(stream: &Stream, first: u64, d: f32, out: &mut [u8]) {
    random_bits(stream, first, &mut out[..192]);
    for j in 0..16 {
        let bits = stream.at(first + 24 + j as u64 / 8) >> (8 * (j % 8));
        let size = 32 + ((bits & 127) * 96 / 128) as i8;
        let scale = if bits & 128 == 0 { size } else { -size };
        out[192 + j] = scale as u8;
    }
    out[208..].copy_from_slice(&f16::from_f32(varied(stream, first + 26, d)).to_le_bytes());
}
