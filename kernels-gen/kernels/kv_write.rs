//! A token's keys, rotated, and values into the cache, as f16. The cache is kept in chunks of 64 positions;
//! keys lie transposed in a chunk, so that neighbouring positions are neighbours in memory.

#[kernel]
#[require(pos + T <= C * 64)]
#[require(pos + T <= N)]
fn k_write<T: Dim, G: Dim, P: Dim, C: Dim, N: Dim>(
    k: &Ten<f32, T, G, 2, P>,
    cos: &Ten<f32, N, P>,
    sin: &Ten<f32, N, P>,
    pos: i32<0, 4194303>,
    kc: &mut Ten<f16, C, G, 2, P, 64>,
) {
    for t in par(T) {
        for g in par(G) {
            for i in par(P) {
                let (a, b) = rotate(k[t][g][0][i], k[t][g][1][i], cos[pos + t][i], sin[pos + t][i]);
                kc[(pos + t) / 64][g][0][i][(pos + t) % 64] = a.f16();
                kc[(pos + t) / 64][g][1][i][(pos + t) % 64] = b.f16();
            }
        }
    }
}

#[kernel]
#[require(pos + T <= C * 64)]
fn v_write<T: Dim, G: Dim, D: Dim, C: Dim>(
    v: &Ten<f32, T, G, D>,
    pos: i32<0, 4194303>,
    vc: &mut Ten<f16, C, G, 64, D>,
) {
    for t in par(T) {
        for g in par(G) {
            for d in par(D) {
                vc[(pos + t) / 64][g][(pos + t) % 64][d] = v[t][g][d].f16();
            }
        }
    }
}
