//! What is written is read back, and a file that cannot be written leaves nothing behind.

use gguf::{Fault, Gguf, Header, MetaValue, TensorType, Value, WriteError, Writer};
use proptest::prelude::*;

/// A metadata value of any type that can be read back and compared.
#[derive(Clone, Debug)]
enum Any {
    Unsigned(u64, u8),
    Signed(i64, u8),
    Float(f64),
    Single(f32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    Singles(Vec<f32>),
    Ints(Vec<i32>),
}

fn any_value() -> impl Strategy<Value = Any> {
    use Any::*;
    prop_oneof![
        (any::<u64>(), 0u8..4).prop_map(|(v, width)| Unsigned(v, width)),
        (any::<i64>(), 0u8..4).prop_map(|(v, width)| Signed(v, width)),
        any::<f64>().prop_map(Float),
        any::<f32>().prop_map(Single),
        any::<bool>().prop_map(Bool),
        ".{0,20}".prop_map(Text),
        proptest::collection::vec(".{0,5}", 0..5).prop_map(Texts),
        proptest::collection::vec(any::<f32>(), 0..5).prop_map(Singles),
        proptest::collection::vec(any::<i32>(), 0..5).prop_map(Ints),
    ]
}

impl Any {
    /// Cut to its width, as it is written.
    fn write(&self) -> MetaValue {
        match self.clone() {
            Any::Unsigned(v, 0) => (v as u8).into(),
            Any::Unsigned(v, 1) => (v as u16).into(),
            Any::Unsigned(v, 2) => (v as u32).into(),
            Any::Unsigned(v, _) => v.into(),
            Any::Signed(v, 0) => (v as i8).into(),
            Any::Signed(v, 1) => (v as i16).into(),
            Any::Signed(v, 2) => (v as i32).into(),
            Any::Signed(v, _) => v.into(),
            Any::Float(v) => v.into(),
            Any::Single(v) => v.into(),
            Any::Bool(v) => v.into(),
            Any::Text(v) => v.into(),
            Any::Texts(v) => v.into(),
            Any::Singles(v) => v.into(),
            Any::Ints(v) => v.into(),
        }
    }

    fn check(&self, gguf: &Gguf, key: &str) {
        let metadata = gguf.metadata();
        match self {
            Any::Unsigned(v, width) => assert_eq!(metadata.u64(key).unwrap(), v & (u64::MAX >> (64 - (8 << width)))),
            Any::Signed(v, width) => {
                let cut = 64 - (8 << width);
                assert_eq!(metadata.get(key), Some(Value::Signed(v << cut >> cut)));
            }
            Any::Float(v) => assert_eq!(metadata.get(key), Some(Value::Float(*v))),
            Any::Single(v) => assert_eq!(metadata.f32(key).unwrap(), *v),
            Any::Bool(v) => assert_eq!(metadata.bool(key).unwrap(), *v),
            Any::Text(v) => assert_eq!(metadata.str(key).unwrap(), v),
            Any::Texts(v) => assert_eq!(metadata.strings(key).unwrap(), *v),
            Any::Singles(v) => assert_eq!(metadata.f32s(key).unwrap(), *v),
            Any::Ints(v) => assert_eq!(metadata.i32s(key).unwrap(), *v),
        }
    }
}

fn any_tensor() -> impl Strategy<Value = (TensorType, Vec<u64>)> {
    let ty = proptest::sample::select(TensorType::ALL);
    (ty, proptest::collection::vec(1u64..4, 1..=4)).prop_map(|(ty, mut dims)| {
        dims[0] *= ty.block_elements();
        (ty, dims)
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        values in proptest::collection::vec(any_value(), 0..8),
        tensors in proptest::collection::vec(any_tensor(), 0..6),
        alignment in proptest::option::of(proptest::sample::select(vec![8u32, 32, 64, 4096])),
        piece in 1usize..500,
    ) {
        let mut header = Header::new();
        alignment.map(|alignment| header.set("general.alignment", alignment));
        for (i, value) in values.iter().enumerate() {
            header.set(&format!("key.{i}"), value.write());
        }
        for (i, (ty, dims)) in tensors.iter().enumerate() {
            header.tensor(&format!("tensor.{i}"), dims, *ty);
        }
        let size: u64 = header.tensors().iter().map(|t| t.bytes().unwrap()).sum();
        let data: Vec<u8> = (0..size).map(|i| (i * 7 + i / 256) as u8).collect();

        let gguf = Gguf::from_bytes(header.to_bytes(data.chunks(piece)).unwrap()).unwrap();
        prop_assert_eq!(gguf.alignment(), alignment.unwrap_or(32) as u64);
        values.iter().enumerate().for_each(|(i, value)| value.check(&gguf, &format!("key.{i}")));
        let read: Vec<u8> = gguf.tensors().flat_map(|tensor| tensor.data.to_vec()).collect();
        prop_assert_eq!(read, data);
        for (i, (ty, dims)) in tensors.iter().enumerate() {
            let tensor = gguf.tensor(&format!("tensor.{i}")).unwrap();
            prop_assert_eq!((tensor.ty, &*tensor.dims), (*ty, dims.as_slice()));
        }
    }
}

#[test]
fn rows_of_a_matrix_are_a_matrix() {
    let mut header = Header::new();
    header.tensor("m", &[3, 4], TensorType::F16).tensor("v", &[4], TensorType::F16);
    let file = header.to_bytes([&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11][..], &[12; 12], &[0; 8]]).unwrap();
    let gguf = Gguf::from_bytes(file).unwrap();
    let whole = gguf.tensor("m").unwrap();
    let part = whole.part((1, 3)).unwrap();
    assert_eq!((part.name, &part.dims[..], part.rows), ("m", &[3, 2][..], Some((1, 3))));
    assert_eq!(part.data, &whole.data[6..18]);
    for rows in [(0, 5), (2, 2), (3, 1), (0, u64::MAX)] {
        assert!(whole.part(rows).is_none(), "{rows:?}");
    }
    assert!(part.part((0, 1)).is_none() && gguf.tensor("v").unwrap().part((0, 1)).is_none());
}

#[test]
fn the_file_is_what_is_in_memory_and_replaces_an_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    let mut header = Header::new();
    header.set("general.name", "m").tensor("a", &[3], TensorType::F32).tensor("b", &[1], TensorType::F16);
    let data: Vec<u8> = (0..14).collect();
    std::fs::write(&path, "older").unwrap();
    let mut writer = Writer::create(&path, &header).unwrap();
    data.chunks(5).for_each(|part| writer.append(part).unwrap());
    assert_eq!(std::fs::read(&path).unwrap(), b"older");
    let announced = writer.file_bytes();
    writer.finish().unwrap();
    let written = std::fs::read(&path).unwrap();
    assert_eq!(written, header.to_bytes([data.as_slice()]).unwrap());
    assert_eq!(written.len() as u64, announced);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_is_not_finished_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    let mut header = Header::new();
    header.tensor("a", &[3], TensorType::F32);
    let mut writer = Writer::create(&path, &header).unwrap();
    writer.append(&[0; 11]).unwrap();
    assert!(matches!(writer.finish(), Err(WriteError::Data(_))));
    let mut writer = Writer::create(&path, &header).unwrap();
    assert!(matches!(writer.append(&[0; 13]), Err(WriteError::Data(_))));
    drop(writer);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// No file system has an exbibyte left; where room can be reserved, the lack is found before the first byte.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    let mut header = Header::new();
    header.tensor("huge", &[1 << 30, 1 << 28], TensorType::F32);
    let err = Writer::create(&path, &header).err().expect("a file larger than the disk");
    assert!(err.to_string().contains("m.gguf") && matches!(err, WriteError::Io { .. }), "{err}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(matches!(Writer::create(&folder.path().join("no/m.gguf"), &header), Err(WriteError::Io { .. })));
}

#[test]
fn a_header_of_no_valid_tensor_is_an_error() {
    let mut header = Header::new();
    header.tensor("odd", &[33], TensorType::Q8_0);
    match header.to_bytes([]) {
        Err(WriteError::Header(err)) => assert_eq!((err.fault(), err.message().contains("odd")), (Fault::Tensor, true)),
        other => panic!("{other:?}"),
    }
}
