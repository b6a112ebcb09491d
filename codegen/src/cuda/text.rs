//! The text of a function, in which `#line` says where each statement comes from.
use super::ROOT;
use crate::ir::Span;
use crate::places::{Line, Places};

/// A text in the making.
pub(super) struct Text<'p> {
    out: String,
    places: &'p Places,
    /// Where the statement comes from that is being written.
    place: Option<Line<'p>>,
    /// Where the compiler takes the next line to be from.
    next: Option<Line<'p>>,
}

impl<'p> Text<'p> {
    pub fn new(places: &'p Places) -> Text<'p> {
        Text { out: String::new(), places, place: None, next: None }
    }

    /// What is written from here on comes from this place, where it is known.
    pub fn place(&mut self, span: Span) {
        self.place = self.places.line(span).or(self.place);
    }

    /// A line, or several.
    pub fn line(&mut self, depth: usize, text: &str) {
        if let Some(line) = self.place.filter(|place| self.next != Some(*place)) {
            let Line { file, number } = line;
            self.out.push_str(&match self.next {
                Some(next) if next.file == file => format!("#line {number}\n"),
                _ => format!("#line {number} \"{ROOT}{file}\"\n"),
            });
            self.next = Some(line);
        }
        self.bare(depth, text);
    }

    /// The same without a place, as a brace that closes something.
    pub fn bare(&mut self, depth: usize, text: &str) {
        self.out.extend(std::iter::repeat_n("    ", depth));
        self.out.push_str(text);
        self.out.push('\n');
        if let Some(next) = &mut self.next {
            next.number += 1 + text.matches('\n').count() as u32;
        }
    }

    pub fn finish(self) -> String {
        self.out
    }
}
