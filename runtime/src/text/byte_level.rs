//! The alphabet of byte-level BPE: every byte is written as one printable character (GPT-2's table).

/// Whether a byte is written as the character of the same number.
fn is_itself(byte: u32) -> bool {
    matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff)
}

/// The bytes that are not written as themselves, in order: the n-th is written as U+0100 + n.
fn moved() -> impl Iterator<Item = u8> {
    (0..=255u8).filter(|&b| !is_itself(b.into()))
}

/// Turns the text of tokens back into bytes.
pub(super) struct ByteLevel {
    moved: Vec<u8>,
}

impl ByteLevel {
    pub(super) fn new() -> Self {
        Self { moved: moved().collect() }
    }

    /// Appends the bytes `token` stands for. A character outside the alphabet, which no merge can reach, stands for
    /// itself.
    pub(super) fn decode(&self, token: &str, out: &mut Vec<u8>) {
        for c in token.chars() {
            let number = u32::from(c);
            match number.checked_sub(0x100).and_then(|n| self.moved.get(n as usize)) {
                _ if is_itself(number) => out.push(number as u8),
                Some(&byte) => out.push(byte),
                None => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_gpt_2s() {
        let decode = |token: &str| {
            let mut out = Vec::new();
            ByteLevel::new().decode(token, &mut out);
            out
        };
        assert_eq!(decode("Ġhello"), b" hello");
        assert_eq!(decode("ĊÄł"), [b'\n', 0xc4, 0xa0]);
        assert_eq!(decode("ð٦Ļ"), ["🦙".as_bytes()[0], 0xd9, 0xa6, "🦙".as_bytes()[3]], "U+0666 is outside");
        assert_eq!(moved().count(), 68);
    }
}
