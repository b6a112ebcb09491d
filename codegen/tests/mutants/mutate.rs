//! Changes to a few tokens of a source text.
use kgen::random::Random;
use std::ops::Range;

/// Words that mean something to the checker.
const WORDS: [&str; 28] = [
    "min",
    "max",
    "sum",
    "isum",
    "max_of",
    "argmax_of",
    "map",
    "merge",
    "ceil_div",
    "len",
    "chain",
    "lanes",
    "segments",
    "par",
    "abs",
    "sqrt",
    "f32",
    "f16",
    "int",
    "bool",
    "let",
    "if",
    "else",
    "for",
    "in",
    "const",
    "self",
    "-1",
];

/// Changes one to three places; false where a number may have become so large that running it takes too long.
pub fn mutate(text: &mut String, random: &mut Random) -> bool {
    let mut runs = true;
    for _ in 0..random.int(1, 3) {
        runs &= once(text, random);
    }
    runs
}

fn once(text: &mut String, random: &mut Random) -> bool {
    let tokens = tokens(text);
    if tokens.len() < 2 {
        return true;
    }
    let any = |random: &mut Random| tokens[random.int(0, tokens.len() as i64 - 1) as usize].clone();
    let (at, other) = (any(random), any(random));
    let mut runs = true;
    match random.int(0, 9) {
        0 => text.replace_range(at, ""),
        1 => {
            let copy = format!("{} ", &text[at.clone()]);
            text.insert_str(at.start, &copy);
        }
        2 => {
            let word = format!(" {} ", WORDS[random.int(0, WORDS.len() as i64 - 1) as usize]);
            text.replace_range(at, &word);
        }
        // The neighbours change places.
        3 => {
            let i = tokens.iter().position(|t| *t == at).unwrap_or(0).min(tokens.len() - 2);
            let swapped = format!("{} {}", &text[tokens[i + 1].clone()], &text[tokens[i].clone()]);
            text.replace_range(tokens[i].start..tokens[i + 1].end, &swapped);
        }
        // A token of the same kind from elsewhere: most of what compiles is made by these.
        4..=6 => {
            let kind = kind(&text[at.clone()]);
            let alike: Vec<&Range<usize>> = tokens.iter().filter(|t| self::kind(&text[(*t).clone()]) == kind).collect();
            let from = text[alike[random.int(0, alike.len() as i64 - 1) as usize].clone()].to_string();
            text.replace_range(at, &from);
        }
        _ => {
            let numbers: Vec<&Range<usize>> = tokens.iter().filter(|t| kind(&text[(*t).clone()]) == '0').collect();
            if numbers.is_empty() {
                return true;
            }
            let at = numbers[random.int(0, numbers.len() as i64 - 1) as usize].clone();
            let n: i64 = text[at.clone()].parse().unwrap_or(1);
            let choices = [0, 1, 2, n - 1, n + 1, n * 2, n / 2, n + 17, -n, 2147483647, 1 << 22, 65537];
            let n = choices[random.int(0, choices.len() as i64 - 1) as usize];
            runs = n < 1000;
            text.replace_range(at, &n.to_string());
        }
    }
    if random.int(0, 40) == 0 {
        let end = text.floor_char_boundary(other.start.min(text.len()));
        text.truncate(end);
    }
    runs
}

fn kind(token: &str) -> char {
    match token.chars().next() {
        Some(c) if c.is_ascii_digit() => '0',
        Some(c) if c.is_alphabetic() || c == '_' => 'a',
        Some(c) if "+-*/%&|<>".contains(c) => '+',
        Some(c) => c,
        None => ' ',
    }
}

/// Words and single characters; comments are left alone.
fn tokens(text: &str) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    let mut line = 0;
    for part in text.split_inclusive('\n') {
        let code = part.split("//").next().unwrap_or(part);
        let mut word: Option<usize> = None;
        for (i, c) in code.char_indices().chain([(code.len(), ' ')]) {
            let inside = c.is_alphanumeric() || c == '_';
            match (inside, word) {
                (true, None) => word = Some(i),
                (false, Some(start)) => {
                    out.push(line + start..line + i);
                    word = None;
                }
                _ => {}
            }
            if !inside && !c.is_whitespace() {
                out.push(line + i..line + i + c.len_utf8());
            }
        }
        line += part.len();
    }
    out
}
