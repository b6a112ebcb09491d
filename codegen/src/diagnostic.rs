//! Errors of the compiler: a code, a place with labels, and a help line; shown in rustc's style by miette.
use crate::ir::Span;
use miette::{GraphicalReportHandler, LabeledSpan, MietteDiagnostic, NamedSource, Severity};

/// Kinds of error. `kgen explain CODE` has the long form of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the explanations are the documentation
pub enum Code {
    Syntax = 1,
    Unsupported = 2,
    UnknownName = 3,
    Type = 4,
    Shape = 5,
    Range = 6,
    SumShape = 7,
    Race = 8,
    Bounds = 9,
    ReadsOutput = 10,
    StoredRange = 11,
    Arguments = 12,
    Duplicate = 13,
    Extent = 14,
    Divisor = 15,
    Recursion = 16,
    Format = 17,
    Instance = 18,
}

impl Code {
    /// All codes, ascending.
    pub const ALL: [Code; 18] = [
        Code::Syntax,
        Code::Unsupported,
        Code::UnknownName,
        Code::Type,
        Code::Shape,
        Code::Range,
        Code::SumShape,
        Code::Race,
        Code::Bounds,
        Code::ReadsOutput,
        Code::StoredRange,
        Code::Arguments,
        Code::Duplicate,
        Code::Extent,
        Code::Divisor,
        Code::Recursion,
        Code::Format,
        Code::Instance,
    ];
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "K{:04}", *self as u32)
    }
}

/// One error.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// What kind.
    pub code: Code,
    /// One sentence that names the thing.
    pub message: String,
    /// Places; the first is where it went wrong.
    pub labels: Vec<(Span, String)>,
    /// The way out.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at one place.
    pub fn new(code: Code, span: Span, message: impl Into<String>, label: impl Into<String>) -> Self {
        Diagnostic { code, message: message.into(), labels: vec![(span, label.into())], help: None }
    }

    /// Adds a help line.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a second place.
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push((span, text.into()));
        self
    }
}

/// A file that is compiled.
#[derive(Clone, Debug)]
pub struct Source {
    /// Shown in errors.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Renders errors for people; labels in other files than the first label's are listed below it.
pub fn render(diagnostics: &[Diagnostic], sources: &[Source], colour: bool) -> String {
    let theme = if colour { miette::GraphicalTheme::unicode() } else { miette::GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(120).without_cause_chain();
    let mut out = String::new();
    for d in diagnostics {
        let file = d.labels[0].0.file;
        let (here, elsewhere): (Vec<_>, Vec<_>) = d.labels.iter().partition(|(s, _)| s.file == file);
        let mut help: Vec<String> = d.help.iter().cloned().collect();
        help.extend(elsewhere.iter().map(|(s, text)| format!("{} ({})", text, place(sources, *s))));
        let report = MietteDiagnostic {
            message: d.message.clone(),
            code: Some(d.code.to_string()),
            severity: Some(Severity::Error),
            help: (!help.is_empty()).then(|| help.join("\n")),
            url: None,
            labels: Some(
                here.iter()
                    .map(|(s, t)| LabeledSpan::at(s.lo as usize..(s.hi.max(s.lo + 1)) as usize, t.clone()))
                    .collect(),
            ),
        };
        let source = &sources[file as usize];
        let report = miette::Report::new(report).with_source_code(NamedSource::new(&source.name, source.text.clone()));
        handler.render_report(&mut out, report.as_ref()).expect("writing to a string");
        out.push('\n');
    }
    out
}

/// `file:line` of a place.
pub fn place(sources: &[Source], span: Span) -> String {
    let source = &sources[span.file as usize];
    let line = source.text[..(span.lo as usize).min(source.text.len())].matches('\n').count() + 1;
    format!("{}:{line}", source.name)
}
