//! PTX cut into statements, each with its line and the place in the source that the last `.loc` names, inlined or not.
use std::collections::HashMap;

/// A place in the source, by the number of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Number of a `.file`.
    pub file: u32,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

/// An instruction or a declaration, or a part of one that goes over several lines.
#[derive(Debug)]
pub struct Statement<'p> {
    /// Its text without label, predicate and comments.
    pub text: &'p str,
    /// Its line in the PTX, from 1.
    pub line: usize,
    /// Whether it stands in the source as assembly.
    pub assembly: bool,
    /// Where it comes from: a place, the place where its function was inlined, and so on outwards.
    pub places: Vec<Place>,
}

/// All of a PTX text.
#[derive(Debug, Default)]
pub struct Parsed<'p> {
    /// In the order of the text.
    pub statements: Vec<Statement<'p>>,
    /// The names of the files.
    pub files: HashMap<u32, String>,
}

impl<'p> Statement<'p> {
    /// What white space divides.
    pub fn words(&self) -> impl Iterator<Item = &'p str> {
        self.text.split_whitespace()
    }

    /// The first word.
    pub fn opcode(&self) -> &'p str {
        self.words().next().unwrap_or_default()
    }
}

/// Cuts a text. NVRTC writes an instruction a line; inline assembly may have several, or share a line with braces.
pub fn parse(ptx: &str) -> Parsed<'_> {
    let mut parsed = Parsed::default();
    let (mut places, mut inlined) = (Vec::new(), HashMap::new());
    let (mut in_comment, mut assembly) = (false, false);
    for (index, line) in ptx.lines().enumerate() {
        match line.trim() {
            "// begin inline asm" => assembly = true,
            "// end inline asm" => assembly = false,
            _ => {}
        }
        for code in code(line, &mut in_comment) {
            let words: Vec<&str> = code.split_whitespace().collect();
            match words[..] {
                [".loc", file, line, column, ..] => {
                    let place = at([file, line, column]);
                    let outer: Vec<&str> = words.into_iter().skip_while(|word| *word != "inlined_at").skip(1).collect();
                    let outer = <[&str; 3]>::try_from(outer).ok().and_then(at);
                    inlined.extend(place.map(|place| (place, outer)));
                    places = chain(place, &inlined);
                }
                [".file", file, ..] => {
                    let name = code.split('"').nth(1).unwrap_or_default();
                    parsed.files.extend(number(file).map(|file| (file, name.to_string())));
                }
                _ => {
                    let texts = code.split([';', '{', '}']).map(bare).filter(|text| !text.is_empty());
                    parsed.statements.extend(texts.map(|text| Statement {
                        text,
                        line: index + 1,
                        assembly,
                        places: places.clone(),
                    }));
                }
            }
        }
    }
    parsed
}

/// The parts of a line that are outside of comments.
fn code<'p>(mut line: &'p str, in_comment: &mut bool) -> Vec<&'p str> {
    let mut parts = Vec::new();
    loop {
        if *in_comment {
            let Some(end) = line.find("*/") else { return parts };
            (line, *in_comment) = (&line[end + 2..], false);
        }
        let starts = [line.find("//"), line.find("/*")];
        match starts {
            [Some(to_end), block] if block.is_none_or(|block| to_end < block) => {
                parts.push(&line[..to_end]);
                return parts;
            }
            [_, Some(block)] => {
                parts.push(&line[..block]);
                (line, *in_comment) = (&line[block + 2..], true);
            }
            _ => {
                parts.push(line);
                return parts;
            }
        }
    }
}

/// What was inlined where, outwards: a place where something is inlined has had a `.loc` of its own before.
fn chain(place: Option<Place>, inlined: &HashMap<Place, Option<Place>>) -> Vec<Place> {
    let mut chain: Vec<Place> = Vec::new();
    let mut next = place;
    while let Some(place) = next.filter(|place| !chain.contains(place)) {
        chain.push(place);
        next = inlined.get(&place).copied().flatten();
    }
    chain
}

fn at(words: [&str; 3]) -> Option<Place> {
    let [file, line, column] = words.map(number);
    Some(Place { file: file?, line: line?, column: column? })
}

fn number(text: &str) -> Option<u32> {
    text.trim_end_matches(',').parse().ok()
}

/// A statement without its labels and its predicate.
fn bare(text: &str) -> &str {
    let mut text = text.trim();
    loop {
        let name = text.find(|c: char| !c.is_ascii_alphanumeric() && !"_$%".contains(c)).unwrap_or(text.len());
        match text[name..].strip_prefix(':') {
            // Two colons are inside of an opcode.
            Some(rest) if name > 0 && !rest.starts_with(':') => text = rest.trim_start(),
            _ => break,
        }
    }
    match text.strip_prefix('@') {
        Some(guarded) => guarded.trim_start_matches(|c: char| !c.is_whitespace()).trim_start(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_have_lines_and_places() {
        let ptx = "\
.version 8.5 // fma.rn.f32 in a comment
/* and
 add.f32 over lines */ .loc 2 31 5, function_name $L__info, inlined_at 1 7 3
$L__BB0_1: @!%p1 add.rn.f32 %f1, %f2, %f3; mul.rn.f32 %f1,%f1,%f1;
{ mma.sync.kind::i8 x; }
\t.loc\t1 9 0
a: b: ret;
.file 1 \"a b.rs\"
.file\t2 \"kernels/x.rs\"";
        let parsed = parse(ptx);
        let place = |file, line, column| Place { file, line, column };
        let inlined = || vec![place(2, 31, 5), place(1, 7, 3)];
        let found: Vec<_> = parsed.statements.iter().map(|s| (s.opcode(), s.line, s.places.clone())).collect();
        let expected = [
            (".version", 1, vec![]),
            ("add.rn.f32", 4, inlined()),
            ("mul.rn.f32", 4, inlined()),
            ("mma.sync.kind::i8", 5, inlined()),
            ("ret", 7, vec![place(1, 9, 0)]),
        ];
        assert_eq!(found, expected);
        assert_eq!(parsed.files[&1], "a b.rs");
        assert_eq!(parsed.files[&2], "kernels/x.rs");
    }
}
