//! Chat templates: the Jinja program in a model file that writes a conversation as one text.
//!
//! The program is not trusted: it has no access to files or to the host's objects, its steps, nesting and output are
//! bounded, and whatever it does wrong is an error of the model file.

use super::date::strftime;
use super::json;
use super::vocab::Vocabulary;
use crate::gguf::{Fault, ModelError, shown};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use std::io::{self, Write};
use std::time::SystemTime;

const NAME: &str = "chat_template";
/// Instructions of the template engine: real templates need some hundred a message.
const FUEL: u64 = 10_000_000;
/// Nested macros, blocks and includes.
const RECURSION: usize = 100;
/// The largest text a template may write, in bytes: well above any context.
const LARGEST_OUTPUT: usize = 16 << 20;
/// The widest `indent` of `tojson`.
const WIDEST_INDENT: usize = 16;

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who speaks: `system`, `user` or `assistant` in most templates.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A turn from its two parts.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// A chat template ready to render.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: Value,
    eos: Value,
}

impl ChatTemplate {
    /// The template in a model file.
    ///
    /// # Errors
    /// A file without a template, or one that is not Jinja.
    pub fn new(vocabulary: &Vocabulary) -> Result<Self, ModelError> {
        let source = vocabulary.template().ok_or_else(|| {
            ModelError::unsupported(
                "the model file has no chat template (`tokenizer.chat_template`), so a chat cannot be written for it",
                "give the prompt as the model expects it, with `--raw`",
            )
        })?;
        let token = |id: Option<u32>| id.and_then(|id| vocabulary.token(id));
        Self::parse(source, token(vocabulary.bos()), token(vocabulary.eos()))
    }

    /// A template from its source and the texts of the tokens it may name.
    ///
    /// # Errors
    /// A source that is not Jinja.
    pub fn parse(source: &str, bos: Option<&str>, eos: Option<&str>) -> Result<Self, ModelError> {
        let mut environment = environment();
        let source = without_generation_tags(source);
        environment.add_template_owned(NAME, source).map_err(|e| bad_template("is not valid Jinja", &e))?;
        let value = |token: Option<&str>| token.map_or(Value::UNDEFINED, Value::from);
        Ok(Self { environment, bos: value(bos), eos: value(eos) })
    }

    /// The text of a conversation. With `add_generation_prompt` it ends where the assistant's answer begins; `now` is
    /// what a template sees that asks for the date.
    ///
    /// # Errors
    /// A template that fails, refuses the conversation, runs too long or writes too much.
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        now: SystemTime,
    ) -> Result<String, ModelError> {
        let format_now = move |format: &str| {
            strftime(now, format).map_err(|problem| Error::new(ErrorKind::InvalidOperation, problem))
        };
        let message = |m: &Message| context! { role => m.role.as_str(), content => m.content.as_str() };
        let input = context! {
            messages => messages.iter().map(message).collect::<Vec<_>>(),
            add_generation_prompt,
            bos_token => self.bos.clone(),
            eos_token => self.eos.clone(),
            // Absent, but defined, as the reference implementation has them.
            tools => Value::from(()),
            documents => Value::from(()),
            strftime_now => Value::from_function(format_now),
        };
        let mut output = Bounded::default();
        let template = self.environment.get_template(NAME).map_err(|e| bad_template("is missing", &e))?;
        let rendered = template.render_captured_to(input, &mut output);
        if output.overflowed {
            let problem = format!("writes more than {} MiB", LARGEST_OUTPUT >> 20);
            return Err(template_error(&problem));
        }
        rendered.map_err(|e| failure(&e))?;
        String::from_utf8(output.bytes).map_err(|_| template_error("writes text that is not UTF-8"))
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    // As `apply_chat_template` of the transformers library sets up Jinja2; this syntax is always valid.
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION);
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.add_filter("tojson", tojson);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, format!("{RAISED}{message}")))
    });
    environment
}

/// Marks an error that the template raised itself.
const RAISED: &str = "raised: ";

/// Python's `tojson`: the options that change nothing here are accepted.
fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent = options.get::<Option<usize>>("indent")?;
    options.get::<Option<bool>>("ensure_ascii")?;
    options.assert_all_used()?;
    if indent.is_some_and(|indent| indent > WIDEST_INDENT) {
        return Err(Error::new(ErrorKind::InvalidOperation, format!("tojson: indent is above {WIDEST_INDENT}")));
    }
    json::dumps(value, indent)
}

/// `{% generation %}` only marks what a trainer learns from: it becomes a block that does nothing.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(open) = rest.find("{%") {
        let Some(close) = rest[open..].find("%}").map(|at| open + at) else { break };
        let inside = &rest[open + 2..close];
        let replacement = match inside.trim_matches(['-', '+', ' ', '\t', '\r', '\n']) {
            "generation" => inside.replacen("generation", "if true", 1),
            "endgeneration" => inside.replacen("endgeneration", "endif", 1),
            _ => inside.to_owned(),
        };
        out.push_str(&rest[..open + 2]);
        out.push_str(&replacement);
        rest = &rest[close..];
    }
    out + rest
}

/// A buffer that refuses to grow beyond [`LARGEST_OUTPUT`].
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    overflowed: bool,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > LARGEST_OUTPUT {
            self.overflowed = true;
            return Err(io::Error::other("the output is too large"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn template_error(problem: &str) -> ModelError {
    let message = format!("the model's chat template {problem}");
    ModelError::new(Fault::Metadata, message, "with `--raw` the prompt is used as it is, without the template")
}

fn bad_template(problem: &str, error: &Error) -> ModelError {
    let place = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
    let detail = error.detail().map(str::to_owned).unwrap_or_else(|| error.kind().to_string());
    template_error(&format!("{problem}{place}: {}", shown(&detail)))
}

/// The error of a run: fuel and the template's own refusals read better in words of our own.
fn failure(error: &Error) -> ModelError {
    // What a called block or macro failed of is the source of the error that its caller reports.
    let mut root = error;
    while let Some(inner) = std::error::Error::source(root).and_then(|e| e.downcast_ref::<Error>()) {
        root = inner;
    }
    match (root.kind(), root.detail().and_then(|d| d.strip_prefix(RAISED))) {
        (ErrorKind::OutOfFuel, _) => template_error(&format!("does not end: it ran for {FUEL} steps")),
        (_, Some(reason)) => template_error(&format!("refuses the conversation: {}", shown(reason))),
        _ => bad_template("failed", root),
    }
}
