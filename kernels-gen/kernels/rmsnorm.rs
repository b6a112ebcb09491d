//! RMSNorm: x / sqrt(mean(x^2) + eps) * w, in two parts. A row is multiplied by its weights, which needs no other element of it;
//! the scale 1 / sqrt(mean(x^2) + eps) is one number a row, and multiplies what a matrix makes of the row. So the blocks of a row
//! can be quantized before all of it is known.

/// Rows times weights as Q8_K, and the sums of squares of the rows' blocks.
#[kernel]
fn weigh_q8k<T: Dim, B: Dim>(
    x: &Ten<f32, T, B, 256>,
    w: &Ten<f32, B, 256>,
    y: &mut Ten<Q8K, T, B>,
    squares: &mut Ten<f32, T, B>,
) {
    for t in par(T) {
        for b in par(B) {
            let x = map(256, |i| x[t][b][i]);
            let v = map(256, |i| x[i] * w[b][i]);
            squares[t][b] = sum(0..256, lanes(32), |acc, i| fma(x[i], x[i], acc));
            let (inverse, d) = block_scales(max_of(0..256, |i| abs(v[i])));
            let q = map(256, |i| rint(v[i] * inverse));
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

/// The same for matrices of floats. The last group of 256 may be shorter.
#[kernel]
#[require(K <= G * 256)]
fn weigh<T: Dim, K: Dim, G: Dim>(
    x: &Ten<f32, T, K>,
    w: &Ten<f32, K>,
    y: &mut Ten<f32, T, K>,
    squares: &mut Ten<f32, T, G>,
) {
    for t in par(T) {
        for g in par(G) {
            squares[t][g] = group_square(x[t], g * 256);
        }
        for k in par(K) {
            y[t][k] = x[t][k] * w[k];
        }
    }
}

/// The scales of rows of `len` elements.
#[kernel]
fn rms_scale<T: Dim, G: Dim>(squares: &Ten<f32, T, G>, len: f32, eps: f32, y: &mut Ten<f32, T>) {
    for t in par(T) {
        y[t] = 1.0 / sqrt(sum(0..G, chain, |acc, g| acc + squares[t][g]) / len + eps);
    }
}

/// All of it at once, for the heads of queries and keys, each by itself, by weights that all heads share.
#[kernel]
fn rmsnorm<T: Dim, H: Dim, K: Dim>(x: &Ten<f32, T, H, K>, w: &Ten<f32, K>, eps: f32, y: &mut Ten<f32, T, H, K>) {
    for t in par(T) {
        for h in par(H) {
            let squares = sum(0..ceil_div(K, 256), chain, |acc, g| acc + group_square(x[t][h], g * 256));
            let scale = 1.0 / sqrt(squares / K.f32() + eps);
            for k in par(K) {
                y[t][h][k] = x[t][h][k] * scale * w[k];
            }
        }
    }
}

/// The sum of squares of the group of 256 elements (the last may be shorter) that begins at `lo`.
fn group_square(x: &Row<f32>, lo: int) -> f32 {
    sum(lo..min(len(x), lo + 256), lanes(32), |acc, k| fma(x[k], x[k], acc))
}
