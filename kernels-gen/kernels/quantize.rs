//! Activations to blocks of 8 bits: d = amax / 127, q = rint(x * (127 / amax)).

/// Below this (2^-100) a block counts as zero, so that 127 / amax stays finite.
const TINY: f32 = 7.888609e-31;

#[kernel]
fn quantize_q8k<T: Dim, B: Dim>(x: &Ten<f32, T, B, 256>, y: &mut Ten<Q8K, T, B>) {
    for t in par(T) {
        for b in par(B) {
            let (inverse, d) = block_scales(max_of(0..256, |i| abs(x[t][b][i])));
            let q = map(256, |i| rint(x[t][b][i] * inverse));
            for i in par(256) {
                y[t][b].q[i] = q[i].int(-127, 127);
            }
            for j in par(16) {
                y[t][b].sums[j] = isum(0..16, |i| q[j * 16 + i].int(-127, 127));
            }
            y[t][b].d = d;
        }
    }
}

/// What a block is multiplied by, and its `d`.
fn block_scales(amax: f32) -> (f32, f32) {
    let finite = amax < f32::INFINITY;
    let usable = finite && TINY <= amax;
    let inverse = if usable { 127.0 / amax } else { 0.0 };
    let d = if usable { amax / 127.0 } else { if finite { 0.0 } else { f32::NAN } };
    (inverse, d)
}

#[kernel]
fn quantize_q8<T: Dim, B: Dim>(x: &Ten<f32, T, B, 32>, y: &mut Ten<Q8, T, B>) {
    for t in par(T) {
        for b in par(B) {
            let (inverse, d) = block_scales(max_of(0..32, |i| abs(x[t][b][i])));
            let q = map(32, |i| rint(x[t][b][i] * inverse));
            for i in par(32) {
                y[t][b].q[i] = q[i].int(-127, 127);
            }
            y[t][b].sum = isum(0..32, |i| q[i].int(-127, 127));
            y[t][b].d = d;
        }
    }
}
