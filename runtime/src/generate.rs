//! Generation: feeds a prompt, then chooses token after token until the model, a stop string or a limit ends it.
use crate::{
    Error,
    exec::Session,
    text::{Sampler, TextStream, Tokenizer},
};
use std::time::{Duration, Instant};

/// What to generate.
pub struct Request<'a> {
    /// The prompt's tokens, at least 1.
    pub prompt: &'a [u32],
    /// Most tokens to generate, at least 1.
    pub max_tokens: usize,
    /// Most positions of prompt and answer together; the session has room for them.
    pub positions: usize,
    /// Texts that end the answer and are no part of it.
    pub stops: &'a [String],
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended its turn, or a stop string was met.
    Stop,
    /// The most tokens, or the end of the context, was reached.
    Length,
}

impl Finish {
    /// The name in machine-readable output.
    pub fn name(self) -> &'static str {
        match self {
            Finish::Stop => "stop",
            Finish::Length => "length",
        }
    }
}

/// What was generated.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The chosen tokens, with the one that ended the turn.
    pub tokens: Vec<u32>,
    /// The text.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// How long the prompt took.
    pub prefill: Duration,
    /// How long everything after it took.
    pub decode: Duration,
    /// Tokens that were fed during `decode`.
    pub decoded: usize,
}

/// Answers a prompt; `show` gets the text as it comes.
pub fn generate(
    session: &mut Session,
    tokenizer: &Tokenizer,
    sampler: &mut Sampler,
    request: &Request,
    show: &mut dyn FnMut(&str) -> Result<(), Error>,
) -> Result<Answer, Error> {
    let start = Instant::now();
    let mut logits = session.prefill(request.prompt)?;
    let prefill = start.elapsed();
    let start = Instant::now();
    let mut history = request.prompt.to_vec();
    let mut stream = TextStream::new(request.stops);
    let mut text = String::new();
    let mut emit = |piece: String| {
        text.push_str(&piece);
        if piece.is_empty() { Ok(()) } else { show(&piece) }
    };
    let finish = loop {
        let token = sampler.sample(logits, &history).map_err(|error| Error::Failure(error.to_string()))?;
        history.push(token);
        if tokenizer.is_end(token) {
            break Finish::Stop;
        }
        emit(stream.push(tokenizer.bytes(token)))?;
        if stream.stopped() {
            break Finish::Stop;
        }
        let generated = history.len() - request.prompt.len();
        if generated >= request.max_tokens || history.len() > request.positions {
            break Finish::Length;
        }
        logits = session.decode(token)?;
    };
    emit(stream.finish())?;
    let tokens = history.split_off(request.prompt.len());
    let decoded = tokens.len() - 1;
    Ok(Answer { tokens, text, finish, prefill, decode: start.elapsed(), decoded })
}
