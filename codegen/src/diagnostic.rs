//! Errors of the compiler: a code, a place with labels, and a help line; shown in rustc's style by miette.
use crate::ir::Span;
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Severity};
use serde::Serialize;

/// Columns of rendered errors.
const WIDTH: usize = 120;

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

    /// What it means, why the language has the rule, an example of the error and the corrected one; Markdown.
    pub fn explanation(self) -> &'static str {
        match self {
            Code::Syntax => include_str!("../explain/K0001.md"),
            Code::Unsupported => include_str!("../explain/K0002.md"),
            Code::UnknownName => include_str!("../explain/K0003.md"),
            Code::Type => include_str!("../explain/K0004.md"),
            Code::Shape => include_str!("../explain/K0005.md"),
            Code::Range => include_str!("../explain/K0006.md"),
            Code::SumShape => include_str!("../explain/K0007.md"),
            Code::Race => include_str!("../explain/K0008.md"),
            Code::Bounds => include_str!("../explain/K0009.md"),
            Code::ReadsOutput => include_str!("../explain/K0010.md"),
            Code::StoredRange => include_str!("../explain/K0011.md"),
            Code::Arguments => include_str!("../explain/K0012.md"),
            Code::Duplicate => include_str!("../explain/K0013.md"),
            Code::Extent => include_str!("../explain/K0014.md"),
            Code::Divisor => include_str!("../explain/K0015.md"),
            Code::Recursion => include_str!("../explain/K0016.md"),
            Code::Format => include_str!("../explain/K0017.md"),
            Code::Instance => include_str!("../explain/K0018.md"),
        }
    }

    /// The explanation's heading without the code.
    pub fn title(self) -> &'static str {
        let heading = self.explanation().lines().next().unwrap_or_default();
        heading.split_once(": ").map_or(heading, |(_, title)| title)
    }
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
    diagnostics.iter().map(|d| render_one(d, sources, colour) + "\n").collect()
}

fn render_one(d: &Diagnostic, sources: &[Source], colour: bool) -> String {
    let file = d.labels[0].0.file;
    let (here, elsewhere): (Vec<_>, Vec<_>) = d.labels.iter().partition(|(s, _)| s.file == file);
    let mut help: Vec<String> = d.help.iter().cloned().collect();
    help.extend(elsewhere.iter().map(|(s, text)| format!("{text}: {}", place(sources, *s))));
    let source = &sources[file as usize];
    let report = MietteDiagnostic {
        message: d.message.clone(),
        code: None,
        severity: Some(Severity::Error),
        help: (!help.is_empty()).then(|| help.join("\n")),
        url: None,
        labels: Some(here.iter().map(|(s, text)| label(&source.text, *s, text)).collect()),
    };
    let report = miette::Report::new(report).with_source_code(NamedSource::new(&source.name, source.text.clone()));
    let mut theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    theme.characters.error = format!("error[{}]:", d.code);
    let handler = GraphicalReportHandler::new_themed(theme).with_width(WIDTH).without_cause_chain();
    let mut out = String::new();
    handler.render_report(&mut out, report.as_ref()).expect("writing to a string");
    match out.strip_prefix("  ") {
        Some(header_at_the_margin) => header_at_the_margin.to_string(),
        None => out,
    }
}

/// A label never reaches past the line it begins on: the first line of a long construct shows which one it is.
fn label(text: &str, span: Span, label: &str) -> LabeledSpan {
    let lo = (span.lo as usize).min(text.len());
    let line = text[lo..].find('\n').map_or(text.len(), |n| lo + n);
    let hi = (span.hi as usize).min(line).max((lo + 1).min(text.len()));
    LabeledSpan::at(lo..hi, label)
}

/// `file:line` of a place.
pub fn place(sources: &[Source], span: Span) -> String {
    let at = locate(sources, span);
    format!("{}:{}", at.file, at.line)
}

/// A place for programs. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Location {
    /// Name of the file.
    pub file: String,
    /// Where it begins.
    pub line: usize,
    /// Where it begins.
    pub column: usize,
    /// Line of the first character after it.
    pub end_line: usize,
    /// Column of the first character after it.
    pub end_column: usize,
}

/// Lines and columns of a place.
pub fn locate(sources: &[Source], span: Span) -> Location {
    let source = &sources[span.file as usize];
    let position = |byte: u32| {
        let before = &source.text[..source.text.floor_char_boundary(byte as usize)];
        let line = before.rfind('\n').map_or(before, |n| &before[n + 1..]);
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    };
    let ((line, column), (end_line, end_column)) = (position(span.lo), position(span.hi));
    Location { file: source.name.clone(), line, column, end_line, end_column }
}

/// A [`Diagnostic`] for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// As `K0006`.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// Where it went wrong.
    #[serde(flatten)]
    pub at: Location,
    /// Every place that the error speaks of; the first is `at`.
    pub labels: Vec<RecordLabel>,
    /// The way out.
    pub help: Option<String>,
}

/// A label of a [`Record`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordLabel {
    /// What it says.
    pub text: String,
    /// Where.
    #[serde(flatten)]
    pub at: Location,
}

/// Errors for programs.
pub fn records(diagnostics: &[Diagnostic], sources: &[Source]) -> Vec<Record> {
    let label = |(span, text): &(Span, String)| RecordLabel { text: text.clone(), at: locate(sources, *span) };
    let record = |d: &Diagnostic| Record {
        code: d.code.to_string(),
        message: d.message.clone(),
        at: locate(sources, d.labels[0].0),
        labels: d.labels.iter().map(label).collect(),
        help: d.help.clone(),
    };
    diagnostics.iter().map(record).collect()
}
