//! Rotary position embedding, from tables of cosines and sines by position.

/// Pairs are halves of a head: (i, i + D/2). Qwen2 and its kin.
#[kernel]
#[require(pos + T <= C)]
fn rope_neox<T: Dim, H: Dim, P: Dim, C: Dim>(
    x: &Ten<f32, T, H, 2, P>,
    cos: &Ten<f32, C, P>,
    sin: &Ten<f32, C, P>,
    pos: i32<0, 4194303>,
    y: &mut Ten<f32, T, H, 2, P>,
) {
    for t in par(T) {
        for h in par(H) {
            for i in par(P) {
                let (a, b) = rotate(x[t][h][0][i], x[t][h][1][i], cos[pos + t][i], sin[pos + t][i]);
                y[t][h][0][i] = a;
                y[t][h][1][i] = b;
            }
        }
    }
}

/// Pairs are neighbours: (2i, 2i + 1). Llama's layout in GGUF.
#[kernel]
#[require(pos + T <= C)]
fn rope_norm<T: Dim, H: Dim, P: Dim, C: Dim>(
    x: &Ten<f32, T, H, P, 2>,
    cos: &Ten<f32, C, P>,
    sin: &Ten<f32, C, P>,
    pos: i32<0, 4194303>,
    y: &mut Ten<f32, T, H, P, 2>,
) {
    for t in par(T) {
        for h in par(H) {
            for i in par(P) {
                let (a, b) = rotate(x[t][h][i][0], x[t][h][i][1], cos[pos + t][i], sin[pos + t][i]);
                y[t][h][i][0] = a;
                y[t][h][i][1] = b;
            }
        }
    }
}

fn rotate(a: f32, b: f32, c: f32, s: f32) -> (f32, f32) {
    (fma(a, c, -(b * s)), fma(a, s, b * c))
}
