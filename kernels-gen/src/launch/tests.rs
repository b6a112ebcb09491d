//! Tests of launches on a hand-written kernel.
use super::*;
use crate::{BufferInfo, Cpu, Cuda, Memory, Sizes};

/// y[t] = x[t] + table[index[t]], T items of work, at most 8.
unsafe fn code(bufs: &[*mut u8], _ints: &[i32], floats: &[f32], lo: i32, hi: i32) {
    for t in lo as usize..hi as usize {
        // SAFETY: the launch has checked the lengths and the indices.
        unsafe {
            let i = bufs[1].cast::<i32>().add(t).read_unaligned();
            let x = bufs[0].cast::<f32>().add(i as usize).read_unaligned();
            bufs[2].cast::<f32>().add(t).write_unaligned(x + floats[0]);
        }
    }
}

const fn info(name: &'static str, elem: &'static str, written: bool) -> BufferInfo {
    BufferInfo { name, elem, elem_bytes: 4, elements: 1, halves: &[], written }
}

static GATHER: Kernel = Kernel {
    name: "gather",
    ints: &["T", "V", "pos"],
    dims: 2,
    floats: &["offset"],
    buffers: &[info("table", "f32", false), info("index", "i32", false), info("y", "f32", true)],
    require: |ints| if ints[0] + ints[2] <= 8 { Ok(()) } else { Err("T + pos <= 8") },
    index_below: |ints, buffer| (buffer == 1).then_some(ints[1]),
    ranges: &[(1, 100), (1, 100), (0, 100)],
    memory: [MEMORY; 4],
    cpu: [&[FEW, CPU]; 3],
    shipped: &[CUDA],
};

const MEMORY: Memory = Memory {
    bytes: |ints, out| {
        out[0] = ints[1] as u64 * 4;
        out[1] = ints[0] as u64 * 4;
        out[2] = ints[0] as u64 * 4;
    },
    layouts: &[None, None, None],
};
const CPU: Cpu = Cpu { fits: |_| true, work: |ints| ints[0], code };
/// For at most 1 item; it has none.
const FEW: Cpu = Cpu { fits: |ints| ints[0] <= 1, work: |_| 0, code };
const CUDA: Cuda = Cuda {
    fits: |_| true,
    parameters: &[],
    body: "",
    resident: 0,
    allowed: "",
    entry: "gather",
    at_once: 32,
    threads: 32,
    shared: 0,
    scratch_per_item: 0,
    sizes: Sizes::Built { counters: |_| 0, work: |ints| ints[0] },
};

fn bytes<const N: usize>(words: [i32; N]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn launch(ints: &[i32], floats: &[f32], table: usize, index: &[u8], y: &mut [u8]) -> Result<(), LaunchError> {
    let table = vec![0; table * 4];
    Launch::new(&GATHER, Isa::Scalar, ints, floats, &[Buf::read(&table), Buf::read(index), Buf::write(y)]).map(|_| ())
}

#[test]
fn a_correct_launch_runs_the_part_it_is_given() {
    let table: Vec<u8> = [1f32, 2., 3.].iter().flat_map(|v| v.to_le_bytes()).collect();
    let (index, mut y) = (bytes([2, 0]), [0; 8]);
    let bufs = [Buf::read(&table), Buf::read(&index), Buf::write(&mut y)];
    let launch = Launch::new(&GATHER, Isa::Scalar, &[2, 3, 0], &[0.5], &bufs).unwrap();
    assert_eq!(launch.work(), 2);
    let work = |items: i32, turn| (GATHER.cpu(Isa::Scalar, &[items], turn).work)(&[items]);
    assert_eq!((work(1, 0), work(2, 0)), (0, 2));
    assert_eq!((work(1, 1), work(1, 2), work(2, 1)), (1, 0, 2), "in turns over those that fit");
    // SAFETY: the scalar code is always available, and there is one caller.
    unsafe { launch.run(1, 2) };
    assert_eq!(y, [0f32.to_le_bytes(), 1.5f32.to_le_bytes()].concat()[..]);
}

#[test]
fn wrong_arguments_are_named() {
    let (two, mut y) = (bytes([0, 1]), [0; 8]);
    let mut check = |ints: &[i32], floats: &[f32], table, index: &[u8]| {
        launch(ints, floats, table, index, &mut y).unwrap_err().to_string()
    };
    assert_eq!(check(&[2, 3], &[0.], 3, &two), "gather takes 3 integers, 2 given");
    assert_eq!(check(&[2, 3, 0], &[], 3, &two), "gather takes 1 floats, 0 given");
    assert_eq!(check(&[2, 0, 0], &[0.], 0, &two), "gather: V is 0, must be in 1..=100");
    assert_eq!(check(&[2, 3, 101], &[0.], 3, &two), "gather: pos is 101, must be in 0..=100");
    assert_eq!(check(&[2, 3, 7], &[0.], 3, &two), "gather requires T + pos <= 8; given T = 2, V = 3, pos = 7");
    let length = "gather: buffer table has 16 bytes, must have 12; T = 2, V = 3, pos = 0";
    assert_eq!(check(&[2, 3, 0], &[0.], 4, &two), length);
    assert_eq!(check(&[2, 3, 0], &[0.], 3, &bytes([0, 3])), "gather: index[1] is 3, must be in 0..3");
    assert_eq!(check(&[2, 3, 0], &[0.], 3, &bytes([-1, 0])), "gather: index[0] is -1, must be in 0..3");
}

#[test]
fn written_memory_is_writable_and_overlaps_nothing() {
    let (table, index, mut y) = ([0; 8], bytes([0, 1]), [0; 8]);
    let read_only = [Buf::read(&table), Buf::read(&index), Buf::read(&table)];
    let error = Launch::new(&GATHER, Isa::Scalar, &[2, 2, 0], &[0.], &read_only).unwrap_err();
    assert_eq!(error, LaunchError::ReadOnly { kernel: "gather", buffer: "y" });

    let y = Buf::write(&mut y);
    let error = Launch::new(&GATHER, Isa::Scalar, &[2, 2, 0], &[0.], &[y, Buf::read(&index), y]).unwrap_err();
    assert_eq!(error, LaunchError::Overlap { kernel: "gather", written: "y", other: "table" });
}

#[test]
#[should_panic(expected = "gather: 1..3 is not in 0..2")]
fn work_outside_the_launch_is_refused() {
    let (table, index, mut y) = ([0; 8], bytes([0, 1]), [0; 8]);
    let bufs = [Buf::read(&table), Buf::read(&index), Buf::write(&mut y)];
    let launch = Launch::new(&GATHER, Isa::Scalar, &[2, 2, 0], &[0.], &bufs).unwrap();
    // SAFETY: the call is refused.
    unsafe { launch.run(1, 3) };
}
