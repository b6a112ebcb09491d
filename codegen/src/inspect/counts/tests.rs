//! Against counts by hand.
use super::*;
use crate::diagnostic::Source;
use crate::inspect::roofline::Gpu;
use crate::library::Library;
use std::path::Path;

fn kernel(name: &str) -> Kernel {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("kernels-gen");
    Library::open(&folder).unwrap().kernel(name).unwrap().clone()
}

fn bytes(counts: &Counts) -> Vec<(&str, u64, u64)> {
    counts.buffers.iter().map(|b| (&b.name[..], b.bytes, b.all_bytes)).collect()
}

fn floats(counts: &Counts) -> Vec<(String, u64)> {
    counts.operations.floats().map(|(operation, n)| (operation.to_string(), n)).collect()
}

fn named(list: &[(&str, u64)]) -> Vec<(String, u64)> {
    list.iter().map(|(name, n)| (name.to_string(), *n)).collect()
}

#[test]
fn a_quantized_matvec() {
    // T, N, B: 32 rows of 2 blocks, 64 leaves. A leaf has 256 products of a weight and an activation; 8 of a scale and a dot,
    // 16 of a minimum and a sum.
    let counts = count(&kernel("matvec_q4k"), &[1, 32, 2]).unwrap();
    assert_eq!(bytes(&counts), [("w", 32 * 2 * 144, 9216), ("x", 2 * 320, 640), ("y", 32 * 4, 128)]);
    assert_eq!((counts.operations.byte_products, counts.operations.products), (64 * 256, 64 * 24));
    // Two fma, one product; d, dmin and two integers become f32. The 16 segments of a row take 15 additions.
    let expected = [("add", 32 * 15), ("mul", 64), ("fma", 128), ("from_int", 128), ("from_half", 128)];
    assert_eq!(floats(&counts), named(&expected));
    // 9984 bytes at 4.8 TB/s; 4096 + 1536 products and 672 operations at 132 * 1980 results a microsecond, 64 and 128 times.
    let bound = Gpu::named("h200").unwrap().bound(&counts);
    assert_eq!((bound.memory_us, bound.by, bound.least_us), (9984.0 / 4.8e6, "memory", bound.memory_us));
    assert_eq!((bound.integer_us, bound.float_us), (5632.0 / 16_727_040.0, 672.0 / 33_454_080.0));
}

#[test]
fn rows_that_data_names_count_once_each() {
    // T, V, B: 3 of 1000 rows of 2 blocks.
    let counts = count(&kernel("embed_q4k"), &[3, 1000, 2]).unwrap();
    let expected = [("table", 3 * 2 * 144, 288_000), ("tokens", 12, 12), ("y", 3 * 2 * 1024, 6144)];
    assert_eq!(bytes(&counts), expected);
    assert_eq!(count(&kernel("embed_q4k"), &[3, 2, 2]).unwrap().buffers[0].bytes, 576, "no more than there are");
}

#[test]
fn attention_reads_what_lies_before_a_token() {
    // T, G, R, C, P, pos: tokens 70 and 71 of 4 chunks; 72 keys of 2 heads in f16; cosines and sines of two positions.
    let counts = count(&kernel("attention_64"), &[2, 2, 3, 4, 100, 70, 4194304]).unwrap();
    let [q, keys, all] = [2 * 2 * 3 * 64 * 4, 72 * 2 * 64 * 2, 4 * 64 * 2 * 64 * 2];
    let [turns, table] = [2 * 32 * 4, 100 * 32 * 4];
    let tables = [("cos", turns, table), ("sin", turns, table)];
    assert_eq!(bytes(&counts)[..3], [&[("q", q, q)], &tables[..]].concat());
    assert_eq!(bytes(&counts)[3..], [("kc", keys, all), ("vc", keys, all), ("y", q, q)]);
    // For each of 6 heads and both tokens, a rotation of 64 elements; over 71 and 72 keys: scores and values take 2 * 64 fma a key and
    // 6 a power of two; a merge of two chunks has a power more each, and 65 fma.
    let heads = 2 * 3;
    let (keys, chunks) = (71 + 72, 4);
    let operations = &counts.operations;
    assert_eq!(operations.float(Operation::Fma), heads * (2 * 64 + keys * (128 + 6) + chunks * (6 + 65)));
    assert_eq!(operations.float(Operation::Div), heads * 2 * 64);
    assert_eq!((operations.byte_products, operations.products), (0, 0));
    // Of a window of 3, the chunk before is not read: positions 64 to 71 are in the second.
    let counts = count(&kernel("attention_64"), &[2, 2, 3, 4, 100, 70, 3]).unwrap();
    assert_eq!(bytes(&counts)[3], ("kc", 8 * 2 * 64 * 2, all));
}

#[test]
fn indices_that_wrap_are_followed() {
    // T, G, P, C, N, pos: positions 62, 63 and 64.
    let counts = count(&kernel("k_write"), &[3, 2, 32, 4, 100, 62]).unwrap();
    let (written, all) = (3 * 2 * 64 * 2, 4 * 64 * 2 * 64 * 2);
    assert_eq!(bytes(&counts)[3..], [("kc", written, all)]);
    assert_eq!(bytes(&counts)[1..2], [("cos", 3 * 32 * 4, 100 * 32 * 4)]);
    let counts = count(&kernel("v_write"), &[3, 2, 64, 4, 62]).unwrap();
    assert_eq!(bytes(&counts)[1..], [("vc", written, all)]);
}

#[test]
fn groups_of_a_row_are_put_together() {
    // T, N, K: 300 elements are a group of 256 and one of 44; 32 lanes take 31 additions a group, 16 segments 15, and each group one.
    let counts = count(&kernel("matvec_float_f16"), &[2, 5, 300]).unwrap();
    assert_eq!(bytes(&counts), [("w", 5 * 300 * 2, 3000), ("x", 2 * 300 * 4, 2400), ("y", 40, 40)]);
    let dots = 2 * 5;
    let expected = [("add", dots * (2 * 31 + 15 + 2)), ("fma", dots * 300), ("from_half", dots * 300)];
    assert_eq!(floats(&counts), named(&expected));
}

#[test]
fn what_cannot_be_counted_is_an_error() {
    let large = count(&kernel("matvec_q4k"), &[1 << 22; 3]).unwrap_err();
    assert!(large.contains("too large to count"), "{large}");
    let long = count(&kernel("attention_64"), &[4_000_000, 1, 1, 65_536, 4_194_304, 0, 4_194_304]).unwrap_err();
    assert!(long.contains("too long to count"), "{long}");
}

#[test]
fn of_a_choice_by_data_the_cheaper_side_counts() {
    let text = "#[kernel]\nfn f<N: Dim>(x: &Ten<f32, N>, y: &mut Ten<f32, N>) {\n    for n in par(N) {\n        \
        y[n] = if x[n] < 1.0 { x[n] * 2.0 + 1.0 } else { x[n] * 3.0 };\n    }\n}\n";
    let kernels = crate::compile(&[Source { name: "f.rs".into(), text: text.into() }]).unwrap();
    assert_eq!(floats(&count(&kernels[0], &[10]).unwrap()), named(&[("mul", 10)]));
}
