//! Text in and out of a model: vocabulary, tokenizer, chat template, sampling, streaming.

mod bpe;
mod byte_level;
mod date;
mod end;
mod json;
mod pre;
mod rng;
mod sample;
mod special;
mod spm;
mod stream;
mod template;
mod tokenizer;
mod vocab;

pub use pre::Pre;
pub use rng::{philox, uniform};
pub use sample::{REPEAT_WINDOW, SampleError, Sampler, Sampling};
pub use special::Special;
pub use stream::TextStream;
pub use template::{ChatTemplate, Message};
pub use tokenizer::Tokenizer;
pub use vocab::{Kind, Model, Vocabulary};
