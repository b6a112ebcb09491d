//! Bytes as people write them.

/// Two hexadecimal digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn bytes_keep_their_zeros() {
        assert_eq!(super::hex(&[0, 10, 255]), "000aff");
    }
}
