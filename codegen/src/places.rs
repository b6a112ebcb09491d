//! Lines of the source, as generated code names them: the same on every machine, wherever the kernels lie.
use crate::diagnostic::Source;
use crate::ir::Span;

/// The files of a compilation, by their numbers in a [`Span`]. Without any, no place is known.
#[derive(Clone, Debug, Default)]
pub struct Places {
    files: Vec<File>,
}

#[derive(Clone, Debug)]
struct File {
    name: String,
    /// The first byte of each line.
    starts: Vec<u32>,
}

/// A line of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line<'p> {
    /// Folder and name, as `kernels/rope.rs`.
    pub file: &'p str,
    /// From 1.
    pub number: u32,
}

impl Places {
    /// Of files that were compiled together.
    pub fn new(sources: &[Source]) -> Places {
        let starts = |text: &str| {
            let after = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at as u32 + 1);
            std::iter::once(0).chain(after).collect()
        };
        Places { files: sources.iter().map(|s| File { name: short(&s.name), starts: starts(&s.text) }).collect() }
    }

    /// The line where something begins.
    pub fn line(&self, span: Span) -> Option<Line<'_>> {
        let file = self.files.get(span.file as usize)?;
        let number = file.starts.partition_point(|start| *start <= span.lo) as u32;
        Some(Line { file: &file.name, number })
    }
}

/// The last folder and the name, without what would end a text in C++.
pub(crate) fn short(name: &str) -> String {
    let parts: Vec<&str> = name.split(['/', '\\']).filter(|part| !part.is_empty()).collect();
    let short = parts[parts.len().saturating_sub(2)..].join("/");
    short.chars().map(|c| if c.is_control() || c == '"' { '_' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_and_names_are_short() {
        let source = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
        let places = Places::new(&[source("/home/me/k/kernels/a.rs", "one\ntwo\n\nfour"), source("b\".rs", "")]);
        let at = |file, lo| places.line(Span { file, lo, hi: lo + 1 }).map(|line| (line.file, line.number));
        let lines: Vec<_> = [0, 3, 4, 8, 9, 99].map(|lo| at(0, lo).unwrap().1).into();
        assert_eq!(lines, [1, 1, 2, 3, 4, 4]);
        assert_eq!((at(0, 0), at(1, 0), at(2, 0)), (Some(("kernels/a.rs", 1)), Some(("b_.rs", 1)), None));
    }
}
