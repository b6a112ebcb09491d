//! Bytes of tokens to text as they come: no character is split, and no part of a stop string is shown.

/// Turns the bytes of successive tokens into text.
///
/// A tail that may yet become a character or a stop string is held back. Text ends before the stop string that is
/// complete first; what a stream shows in all does not depend on how its bytes were cut.
#[derive(Debug, Default)]
pub struct TextStream {
    held: Vec<u8>,
    stops: Vec<Vec<u8>>,
    stopped: bool,
}

impl TextStream {
    /// A stream that ends at the first of `stops`; empty stop strings are ignored.
    pub fn new(stops: &[String]) -> Self {
        let stops = stops.iter().filter(|s| !s.is_empty()).map(|s| s.as_bytes().to_vec()).collect();
        Self { held: Vec::new(), stops, stopped: false }
    }

    /// Whether a stop string was met; bytes pushed after it are ignored.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// Takes the bytes of one more token and gives the text that is now certain, which may be empty.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        if self.stopped {
            return String::new();
        }
        self.held.extend_from_slice(bytes);
        if let Some(start) = self.first_stop() {
            self.stopped = true;
            self.held.truncate(start);
            return lossy(&std::mem::take(&mut self.held));
        }
        let certain = self.held.len() - self.stop_prefix();
        let certain = certain - incomplete_tail(&self.held[..certain]);
        let text = lossy(&self.held[..certain]);
        self.held.drain(..certain);
        text
    }

    /// The text held back, once no more bytes come; an unfinished character becomes U+FFFD.
    pub fn finish(&mut self) -> String {
        lossy(&std::mem::take(&mut self.held))
    }

    /// Where the stop string starts that is complete first, and of two that end together the longer.
    fn first_stop(&self) -> Option<usize> {
        let find = |stop: &Vec<u8>| self.held.windows(stop.len()).position(|w| w == stop).map(|s| (s + stop.len(), s));
        self.stops.iter().filter_map(find).min().map(|(_, start)| start)
    }

    /// The length of the longest tail of the held bytes that begins a stop string.
    fn stop_prefix(&self) -> usize {
        let begins = |stop: &Vec<u8>| {
            let longest = self.held.len().min(stop.len() - 1);
            (1..=longest).rev().find(|&n| self.held.ends_with(&stop[..n]))
        };
        self.stops.iter().filter_map(begins).max().unwrap_or(0)
    }
}

/// How many bytes at the end may be the beginning of a character.
fn incomplete_tail(bytes: &[u8]) -> usize {
    let last = bytes.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
    match std::str::from_utf8(last) {
        Err(error) if bytes.ends_with(last) && error.error_len().is_none() => last.len(),
        _ => 0,
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(stops: &[&str]) -> TextStream {
        TextStream::new(&stops.iter().map(|s| s.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn an_emoji_over_four_tokens_is_shown_whole() {
        let mut s = stream(&[]);
        let shown: Vec<String> = "a🦙b".bytes().map(|b| s.push(&[b])).collect();
        assert_eq!(shown, ["a", "", "", "", "🦙", "b"]);
        assert_eq!(s.finish(), "");
    }

    #[test]
    fn an_unfinished_or_impossible_character_becomes_a_replacement() {
        let mut s = stream(&[]);
        assert_eq!(s.push(&[b'x', 0xff, b'y', 0xf0, 0x9f]), "x\u{fffd}y");
        assert_eq!(s.finish(), "\u{fffd}");
    }

    #[test]
    fn a_stop_string_over_tokens_is_never_shown() {
        let mut s = stream(&["</end>"]);
        assert_eq!(s.push(b"one <"), "one ");
        assert_eq!(s.push(b"/e"), "");
        assert_eq!(s.push(b"m>"), "</em>");
        assert_eq!(s.push(b" two</en"), " two");
        assert_eq!(s.push(b"d> three"), "");
        assert!(s.stopped());
        assert_eq!(s.push(b"four"), "");
        assert_eq!(s.finish(), "");
    }

    #[test]
    fn a_tail_that_began_a_stop_string_is_shown_in_the_end() {
        let mut s = stream(&["STOP"]);
        assert_eq!(s.push(b"go STO"), "go ");
        assert_eq!(s.finish(), "STO");
    }

    #[test]
    fn a_stop_string_may_begin_inside_a_multibyte_token() {
        let mut s = stream(&["é!"]);
        assert_eq!(s.push("ca\u{e9}".as_bytes()), "ca");
        assert_eq!(s.push(b"!x"), "");
        assert!(s.stopped());
    }

    proptest! {
        #[test]
        fn pieces_add_up_to_the_whole(bytes in prop::collection::vec(any::<u8>(), 0..64), cut in 1usize..7) {
            let mut s = stream(&[]);
            let mut text: String = bytes.chunks(cut).map(|c| s.push(c)).collect();
            text.push_str(&s.finish());
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn what_is_shown_does_not_depend_on_the_cuts(text in "[abc🦙]{0,40}", cut in 1usize..9) {
            let run = |cut: usize| {
                let mut s = stream(&["abca", "ca", "bcab🦙"]);
                let mut shown: String = text.as_bytes().chunks(cut).map(|c| s.push(c)).collect();
                shown.push_str(&s.finish());
                (shown, s.stopped())
            };
            let whole = run(usize::MAX);
            prop_assert_eq!(&run(cut), &whole);
            prop_assert_eq!(whole.1, ["abca", "ca", "bcab🦙"].iter().any(|s| text.contains(s)));
        }
    }
}
