#[kernel]
fn constructs<N: Dim>(x: &Ten<f32, N>, y: &mut Ten<f32, N>) {
    let a = while true {};
    let b = loop {};
    let c = match N {
        _ => 1,
    };
    let d = N as f32;
    let mut e = 1.0;
    let f = &x;
    let g = unsafe { 1.0 };
    let h = vec![1.0];
    let j = [1.0, 2.0];
    let k = Kind { one: 1 };
    let l = |z| z;
    let m = 1u8;
    let n = "text";
    let o: f32 = 1.0;
    let p = (1.0, 2.0).0;
    let q = if let 1 = N { 1.0 } else { 2.0 };
    let r = sum(0..N, chain, |acc, i| {
        y[i] = acc;
        acc
    });
    a += 1.0;
    return;
    break;
    for i in 0..N {
        y[i] = 0.0;
    }
    'outer: for i in par(N) {
        y[i] = 0.0;
    }
    for i in par(N) {
        if x[i] < 0.0 {
            y[i] = 0.0;
        }
    }
}
