//! y = W x for every token. One token is decode, many are prefill: the same bits.

/// Quantized weights against activations in the blocks that the weights' format asks for.
#[kernel(W = [has(dot)])]
fn matvec<W: Format, T: Dim, N: Dim, B: Dim>(
    w: &Ten<W, N, B>,
    x: &Ten<W::Activations, T, B>,
    y: &mut Ten<f32, T, N>,
) {
    for n in par(N) {
        for t in par(T) {
            y[t][n] = sum(0..B, segments(16), |acc, b| w[n][b].dot(x[t][b], acc));
        }
    }
}

/// Float weights against float activations.
#[kernel(W = [f16, bf16, f32])]
fn matvec_float<W: Float, T: Dim, N: Dim, K: Dim>(w: &Ten<W, N, K>, x: &Ten<f32, T, K>, y: &mut Ten<f32, T, N>) {
    for n in par(N) {
        for t in par(T) {
            y[t][n] = sum(0..ceil_div(K, 256), segments(16), |acc, g| acc + group_dot(w[n], x[t], g * 256));
        }
    }
}

/// The dot of the group of 256 elements (the last may be shorter) that begins at `lo`.
fn group_dot(w: &Row<float>, x: &Row<f32>, lo: int) -> f32 {
    sum(lo..min(len(x), lo + 256), lanes(32), |acc, k| fma(w[k].f32(), x[k], acc))
}
