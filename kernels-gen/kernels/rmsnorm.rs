//! RMSNorm: x / sqrt(mean(x^2) + eps) * w.

#[kernel]
fn rmsnorm<T: Dim, K: Dim>(x: &Ten<f32, T, K>, w: &Ten<f32, K>, eps: f32, y: &mut Ten<f32, T, K>) {
    for t in par(T) {
        let squares = sum(0..ceil_div(K, 256), chain, |acc, g| acc + group_square(x[t], g * 256));
        let scale = 1.0 / sqrt(squares / K.f32() + eps);
        for k in par(K) {
            y[t][k] = x[t][k] * scale * w[k];
        }
    }
}

/// The sum of squares of the group of 256 elements (the last may be shorter) that begins at `lo`.
fn group_square(x: &Row<f32>, lo: int) -> f32 {
    sum(lo..min(len(x), lo + 256), lanes(32), |acc, k| fma(x[k], x[k], acc))
}
