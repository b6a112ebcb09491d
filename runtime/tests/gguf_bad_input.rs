//! Malformed model files: each is an error that names what is at fault, none a panic or a large allocation.

mod gguf_support;

use apr::gguf::{Fault, Gguf, Header, MetaValue, TensorType};
use gguf_support::{Tiny, load, measured, refused, sample, sample_bytes};
use proptest::prelude::*;

/// Where the header's counts are.
const TENSOR_COUNT_AT: usize = 8;
/// The same of the metadata; the entries follow.
const KEY_COUNT_AT: usize = 16;

/// The sample with some bytes changed.
fn patched(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = sample_bytes();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

/// A file with one metadata entry besides the sample's, given by its raw bytes after the key.
fn with_entry(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut file = sample_bytes();
    let count = u64::from_le_bytes(file[KEY_COUNT_AT..KEY_COUNT_AT + 8].try_into().unwrap());
    file[KEY_COUNT_AT..KEY_COUNT_AT + 8].copy_from_slice(&(count + 1).to_le_bytes());
    let entry = [&(key.len() as u64).to_le_bytes(), key, value].concat();
    file.splice(KEY_COUNT_AT + 8..KEY_COUNT_AT + 8, entry);
    file
}

fn u32s(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Where the bytes of `needle` begin in the sample.
fn find(needle: &[u8]) -> usize {
    sample_bytes().windows(needle.len()).position(|window| window == needle).expect("the sample has these bytes")
}

/// Where the entry of the sample's tensor goes on after its name.
fn after_name(name: &str) -> usize {
    let needle = [&(name.len() as u64).to_le_bytes(), name.as_bytes()].concat();
    find(&needle) + needle.len()
}

#[test]
fn the_sample_is_taken() {
    load(&sample_bytes()).unwrap();
}

#[test]
fn allocations_are_counted() {
    let (len, peak) = measured(|| vec![1u8; 1 << 20].len() + vec![1u8; 1 << 10].len());
    assert_eq!((len, peak), ((1 << 20) + (1 << 10), (1 << 20) + (1 << 10)));
}

#[test]
fn row_1_truncation() {
    refused(Vec::new(), Fault::Format, "magic");
    refused(b"GGUF".to_vec(), Fault::Format, "version");
    let whole = sample_bytes();
    for len in (0..whole.len()).step_by(64).chain(0..4096).chain([whole.len() - 1]) {
        assert!(load(&whole[..len]).is_err(), "the first {len} bytes were taken");
    }
}

#[test]
fn row_2_magic_and_version() {
    refused(patched(0, b"FUGG"), Fault::Format, "big-endian");
    refused(patched(0, b"ggml"), Fault::Format, "not a GGUF file");
    for version in [0, 1, 4] {
        refused(patched(4, &u32s(&[version])), Fault::Format, &format!("version {version}"));
    }
    refused(patched(4, &u32s(&[0x0300_0000])), Fault::Format, "big-endian");
    load(&patched(4, &u32s(&[2]))).unwrap();
}

#[test]
fn rows_3_and_4_counts() {
    for count in [1 << 63, u64::MAX, 1 << 32, 1 << 20] {
        let bytes = count.to_le_bytes();
        refused(patched(KEY_COUNT_AT, &bytes), Fault::Format, &format!("{count} metadata entries"));
        refused(patched(TENSOR_COUNT_AT, &bytes), Fault::Format, &format!("{count} tensors"));
    }
    let mut empty = Header::new().to_bytes([]).unwrap();
    empty[TENSOR_COUNT_AT] = 1;
    refused(empty, Fault::Format, "1 tensors");
}

#[test]
fn row_5_string_lengths() {
    for len in [u64::MAX, 1 << 63, 1 << 30, 1 << 20] {
        refused(patched(KEY_COUNT_AT + 8, &len.to_le_bytes()), Fault::Format, "key of metadata entry 0");
        refused(with_entry(b"text", &[&u32s(&[8])[..], &len.to_le_bytes()].concat()), Fault::Format, "text");
    }
}

#[test]
fn row_6_array_lengths() {
    for len in [1u64 << 63, u64::MAX, (1 << 61) + 1, 1 << 30] {
        for elem in [0, 4, 7, 8, 12] {
            let value = [&u32s(&[9, elem])[..], &len.to_le_bytes()].concat();
            refused(with_entry(b"list", &value), Fault::Format, "list");
        }
    }
    // Strings of no bytes each: 8 bytes in the file, 16 as slices.
    let mut header = sample();
    header.set("list", vec![""; 1 << 16]);
    load(&Tiny::default().bytes(&header)).unwrap();
}

#[test]
fn row_7_array_types() {
    let nested =
        |depth: usize| [&u32s(&[9])[..], &[&u32s(&[9])[..], &1u64.to_le_bytes()].concat().repeat(depth)].concat();
    refused(with_entry(b"list", &nested(1)), Fault::Metadata, "list");
    refused(with_entry(b"list", &nested(256)), Fault::Metadata, "list");
    for ty in [13, u32::MAX] {
        refused(with_entry(b"one", &u32s(&[ty])), Fault::Metadata, "one");
        refused(with_entry(b"list", &[&u32s(&[9, ty])[..], &[0; 8]].concat()), Fault::Metadata, "list");
    }
}

#[test]
fn row_8_keys_and_truth_values() {
    let value = u32s(&[4, 1]);
    refused(with_entry(b"", &value), Fault::Format, "is empty");
    refused(with_entry(b"general.name", &value), Fault::Metadata, "general.name");
    refused(with_entry(b"a\xff", &value), Fault::Format, "not UTF-8");
    refused(with_entry(b"a\0b", &value), Fault::Format, "control character");
    refused(with_entry(&[b'k'; 65536], &value), Fault::Format, "longer than");
    refused(with_entry(b"flag", &[&u32s(&[7])[..], &[2]].concat()), Fault::Metadata, "flag");
    let list = [&u32s(&[9, 7])[..], &2u64.to_le_bytes(), &[1, 3]].concat();
    refused(with_entry(b"flags", &list), Fault::Metadata, "flags");
}

#[test]
fn row_9_alignment() {
    for alignment in [0, 1, 3, 13, 48, 1 << 21, 1 << 31, u32::MAX] {
        let mut header = sample();
        header.set("general.alignment", alignment);
        refused(Tiny::default().bytes(&header), Fault::Metadata, "general.alignment");
    }
    for value in [MetaValue::from(32i32), MetaValue::from("32"), MetaValue::from(32u64)] {
        let mut header = sample();
        header.set("general.alignment", value);
        refused(Tiny::default().bytes(&header), Fault::Metadata, "general.alignment");
    }
    let mut twice = sample();
    twice.set("general.alignment", 32u32).set("general.alignment", 64u32);
    refused(Tiny::default().bytes(&twice), Fault::Metadata, "general.alignment");
    let mut good = sample();
    good.set("general.alignment", 4096u32);
    load(&Tiny::default().bytes(&good)).unwrap();
}

#[test]
fn row_10_names() {
    let named = |name: &str| {
        let mut header = Header::new();
        header.tensor(name, &[1], TensorType::F32);
        header.to_bytes([&[0u8; 4][..]]).unwrap()
    };
    refused(named(&"n".repeat(64)), Fault::Format, "longer than 63");
    refused(named(""), Fault::Format, "is empty");
    refused(named("a\u{1b}[2J"), Fault::Format, "control character");
    let at = find(&[&17u64.to_le_bytes()[..], b"token_embd.weight"].concat());
    refused(patched(at, &(1u64 << 63).to_le_bytes()), Fault::Format, "name of tensor 0");
    refused(patched(at + 8, b"\xff"), Fault::Format, "not UTF-8");
    // Two names of the sample differ in one letter.
    let at = find(b"blk.0.attn_k.bias");
    refused(patched(at, b"blk.0.attn_q.bias"), Fault::Tensor, "`blk.0.attn_q.bias`: the name occurs twice");
    let mut extra = sample();
    extra.tensor("../../etc/passwd", &[1], TensorType::F32);
    refused(Tiny::default().bytes(&extra), Fault::Tensor, "../../etc/passwd");
}

#[test]
fn row_11_dimension_counts() {
    for n_dims in [0, 5, 8, 9, u32::MAX] {
        refused(patched(after_name("token_embd.weight"), &u32s(&[n_dims])), Fault::Tensor, "token_embd.weight");
    }
}

#[test]
fn rows_12_to_14_sizes() {
    let dims = after_name("token_embd.weight") + 4;
    // The row and the number of rows; the last two are products just above and below 2^64 bytes.
    let bad: [[u64; 2]; 7] = [
        [0, 512],
        [256, 0],
        [256, -1i64 as u64],
        [1 << 40, 1 << 40],
        [1 << 62, 4],
        [1 << 32, (1 << 32) - 32],
        [256, 1 << 55],
    ];
    for [row, rows] in bad {
        let bytes = [row.to_le_bytes(), rows.to_le_bytes()].concat();
        refused(patched(dims, &bytes), Fault::Tensor, "token_embd.weight");
    }
}

#[test]
fn row_15_offsets() {
    let at = after_name("blk.0.attn_q.bias") + 4 + 8 + 4;
    let offset = u64::from_le_bytes(sample_bytes()[at..at + 8].try_into().unwrap());
    let bad = [u64::MAX, u64::MAX - 31, 1 << 40, offset + 1, offset - 32, offset + 32, 0];
    for bad in bad {
        refused(patched(at, &bad.to_le_bytes()), Fault::Tensor, "tensor `");
    }
    // The sample ends with the data of `output.weight`, which needs no padding.
    let mut short = sample_bytes();
    short.pop();
    refused(short, Fault::Tensor, "output.weight");
}

#[test]
fn row_16_types() {
    let at = after_name("blk.0.attn_q.bias") + 4 + 8;
    for ty in [4, 5, 31, 32, 33, 36, 37, 38, 40, 1000, u32::MAX] {
        refused(patched(at, &u32s(&[ty])), Fault::Tensor, "`blk.0.attn_q.bias`: unknown type");
    }
}

#[test]
fn row_17_rows_of_part_blocks() {
    let dims = after_name("blk.0.ffn_down.weight") + 4;
    refused(patched(dims, &[255u64, 256].map(u64::to_le_bytes).concat()), Fault::Tensor, "blk.0.ffn_down.weight");
    // The number of elements is a multiple of the block, but the row is not.
    refused(patched(dims, &[128u64, 512].map(u64::to_le_bytes).concat()), Fault::Tensor, "blk.0.ffn_down.weight");
}

#[test]
fn row_30_paths_that_are_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let io = |path: &std::path::Path| {
        let err = Gguf::open(path).unwrap_err();
        assert_eq!(err.fault(), Fault::Io, "{err}");
        err.message().to_owned()
    };
    assert!(io(folder.path()).contains("not a regular file"));
    assert!(io(&folder.path().join("missing\u{1b}.gguf")).contains("missing\\u{1b}.gguf"));
    #[cfg(unix)]
    assert!(io(std::path::Path::new("/dev/zero")).contains("not a regular file"));
    #[cfg(unix)]
    {
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(io(&pipe).contains("not a regular file"));
    }
    let empty = folder.path().join("empty.gguf");
    std::fs::write(&empty, []).unwrap();
    assert_eq!(Gguf::open(&empty).unwrap_err().fault(), Fault::Format);
}

#[test]
fn every_flipped_bit_of_the_header_is_an_error_or_a_parse() {
    let mut file = sample_bytes();
    let header = Tiny::default().data_start("token_embd.weight");
    let taken = (0..header * 8).filter(|bit| {
        file[bit / 8] ^= 1 << (bit % 8);
        let result = load(&file);
        file[bit / 8] ^= 1 << (bit % 8);
        result.is_ok()
    });
    // A changed name or size of the model is noticed; a changed title is not.
    assert!((1..header * 8 / 4).contains(&taken.count()));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(load(&bytes).is_err());
        let counts = [&b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0"[..], &bytes].concat();
        prop_assert!(load(&counts).is_err());
    }

    #[test]
    fn changed_bytes_do_no_harm(changes in proptest::collection::vec((0usize..3000, any::<u8>()), 1..8)) {
        let mut file = sample_bytes();
        changes.iter().for_each(|&(at, byte)| file[at] = byte);
        let _ = load(&file);
    }
}
