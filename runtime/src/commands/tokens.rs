//! Ids of tokens that a command is given.
use crate::{
    Error,
    gguf::{Fault, ModelError},
    model::Config,
};

/// Refuses ids that the vocabulary lacks, and sequences of `positions` that the context has no room for.
pub fn check_tokens(tokens: &[u32], positions: usize, config: &Config) -> Result<(), Error> {
    let &Config { vocab, context_length, .. } = config;
    if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocab) {
        let message = format!("token {token} is not in the model's vocabulary of {vocab}");
        return Err(Error::usage(message, format!("give ids from 0 to {}", vocab - 1)));
    }
    if positions > context_length {
        let message = format!("{positions} positions are asked for, the context of the model has {context_length}");
        return Err(ModelError::new(Fault::Unsupported, message, "give fewer tokens, or ask for fewer steps").into());
    }
    Ok(())
}

/// Ids that follow no pattern of the vocabulary, and differ from one to the next, so that no row of the embedding is read twice in
/// a row.
pub fn without_pattern(count: usize, vocab: usize) -> Vec<u32> {
    (0..count).map(|i| (i * 7919 % vocab.max(1)) as u32).collect()
}
