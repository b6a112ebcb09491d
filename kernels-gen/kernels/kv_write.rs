//! A token's keys and values into the cache, as f16. The cache is kept in chunks of 64 positions;
//! keys lie transposed in a chunk, so that neighbouring positions are neighbours in memory.

#[kernel(D = [64, 96, 128])]
#[require(pos + T <= C * 64)]
fn kv_write<const D: usize, T: Dim, G: Dim, C: Dim>(
    k: &Ten<f32, T, G, D>,
    v: &Ten<f32, T, G, D>,
    pos: i32<0, 4194303>,
    kc: &mut Ten<f16, C, G, D, 64>,
    vc: &mut Ten<f16, C, G, 64, D>,
) {
    for t in par(T) {
        for g in par(G) {
            for d in par(D) {
                kc[(pos + t) / 64][g][d][(pos + t) % 64] = k[t][g][d].f16();
                vc[(pos + t) / 64][g][(pos + t) % 64][d] = v[t][g][d].f16();
            }
        }
    }
}
