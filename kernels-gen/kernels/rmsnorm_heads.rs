//! RMSNorm of each head by itself, by weights that all heads share.

#[kernel]
fn rmsnorm_heads<T: Dim, H: Dim, K: Dim>(
    x: &Ten<f32, T, H, K>,
    w: &Ten<f32, K>,
    eps: f32,
    y: &mut Ten<f32, T, H, K>,
) {
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
