//! Rotary position embedding, from tables of cosines and sines by position. Pairs are the halves of a head, (i, i + D/2).

fn rotate(a: f32, b: f32, c: f32, s: f32) -> (f32, f32) {
    (fma(a, c, -(b * s)), fma(a, s, b * c))
}

/// Heads whose pairs are neighbours, (2i, 2i + 1), which is Llama's layout in GGUF, as heads whose pairs are halves.
#[kernel]
fn unpair<T: Dim, H: Dim, P: Dim>(x: &Ten<f32, T, H, P, 2>, y: &mut Ten<f32, T, H, 2, P>) {
    for t in par(T) {
        for h in par(H) {
            for e in par(2) {
                for i in par(P) {
                    y[t][h][e][i] = x[t][h][i][e];
                }
            }
        }
    }
}

/// Heads of which the first 2R elements are pairs (i, i + R), and the last 2S are not rotated, as heads whose pairs are halves: in each
/// half, what is not rotated comes last.
#[kernel]
fn spread<T: Dim, H: Dim, R: Dim, S: Dim>(
    x: &Ten<f32, T, H, { 2 * (R + S) }>,
    y: &mut Ten<f32, T, H, 2, { R + S }>,
) {
    for t in par(T) {
        for h in par(H) {
            for e in par(2) {
                for i in par(R + S) {
                    let from = if i < R { i + e * R } else { i + R + e * S };
                    y[t][h][e][i] = x[t][h][min(from, 2 * (R + S) - 1)];
                }
            }
        }
    }
}
