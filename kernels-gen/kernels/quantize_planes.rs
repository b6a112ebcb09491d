//! Activations to 16 bits, as two blocks of 8 bits for the same elements: d = amax / 32512, and q = rint(x * (32512 / amax)) is
//! 255 h + l. The first block has h and the scale 255 d, the second l and the scale d, each with a dot of its own.

#[kernel]
fn quantize_q8k_planes<T: Dim, B: Dim>(x: &Ten<f32, T, B, 256>, y: &mut Ten<Q8K, T, 2, B>) {
    for t in par(T) {
        for b in par(B) {
            let amax = max_of(0..256, |i| abs(x[t][b][i]));
            let (inverse, d) = wide_scale(amax);
            let q = map(256, |i| rint(x[t][b][i] * inverse));
            for i in par(256) {
                y[t][0][b].q[i] = upper(q[i]);
                y[t][1][b].q[i] = lower(q[i]);
            }
            for j in par(16) {
                y[t][0][b].sums[j] = isum(0..16, |i| upper(q[j * 16 + i]));
                y[t][1][b].sums[j] = isum(0..16, |i| lower(q[j * 16 + i]));
            }
            y[t][0][b].d = 255.0 * d;
            y[t][1][b].d = d;
        }
    }
}

#[kernel]
fn quantize_q8_planes<T: Dim, B: Dim>(x: &Ten<f32, T, B, 32>, y: &mut Ten<Q8, T, 2, B>) {
    for t in par(T) {
        for b in par(B) {
            let amax = max_of(0..32, |i| abs(x[t][b][i]));
            let (inverse, d) = wide_scale(amax);
            let q = map(32, |i| rint(x[t][b][i] * inverse));
            for i in par(32) {
                y[t][0][b].q[i] = upper(q[i]);
                y[t][1][b].q[i] = lower(q[i]);
            }
            y[t][0][b].sum = isum(0..32, |i| upper(q[i]));
            y[t][1][b].sum = isum(0..32, |i| lower(q[i]));
            y[t][0][b].d = 255.0 * d;
            y[t][1][b].d = d;
        }
    }
}

/// What elements of at most `amax` are multiplied with, and the scale; as for blocks of 8 bits, but for the range.
fn wide_scale(amax: f32) -> (f32, f32) {
    let finite = amax < f32::INFINITY;
    let usable = finite && TINY <= amax;
    let inverse = if usable { 32512.0 / amax } else { 0.0 };
    (inverse, if usable { amax / 32512.0 } else { if finite { 0.0 } else { f32::NAN } })
}

fn upper(q: f32) -> int {
    (q.int(-32512, 32512) + 32512) / 255 - 127
}

fn lower(q: f32) -> int {
    (q.int(-32512, 32512) + 32512) % 255 - 127
}
