//! Grouped-query attention over chunks of 64 positions. Chunks are aligned to absolute positions and merged in
//! ascending order, so that prefill, decode and any split of the chunks give the same bits.

/// `scale` is log2(e) / sqrt(D): scores are powers of two.
#[kernel(D = [64, 96, 128])]
#[require(pos + T <= C * 64)]
fn attention<const D: usize, T: Dim, G: Dim, R: Dim, C: Dim>(
    q: &Ten<f32, T, G, R, D>,
    kc: &Ten<f16, C, G, D, 64>,
    vc: &Ten<f16, C, G, 64, D>,
    pos: i32<0, 4194303>,
    scale: f32,
    y: &mut Ten<f32, T, G, R, D>,
) {
    for g in par(G) {
        for r in par(R) {
            for t in par(T) {
                let len = pos + t + 1;
                let qs = map(D, |d| q[t][g][r][d] * scale);
                let start = (-f32::INFINITY, 0.0, map(D, |d| 0.0));
                let (top, total, out) = merge(
                    0..ceil_div(len, 64),
                    start,
                    |c| {
                        let n = min(64, len - c * 64);
                        let s = map(n, |j| sum(0..D, chain, |acc, d| fma(qs[d], kc[c][g][d][j].f32(), acc)));
                        let m = max_of(0..n, |j| s[j]);
                        let p = map(n, |j| exp2(s[j] - m));
                        let l = sum(0..n, lanes(16), |acc, j| acc + p[j]);
                        let o = map(D, |d| sum(0..n, chain, |acc, j| fma(p[j], vc[c][g][j][d].f32(), acc)));
                        (m, l, o)
                    },
                    |(m, l, o), (mc, lc, oc)| {
                        let top = max(m, mc);
                        let old = exp2(m - top);
                        let new = exp2(mc - top);
                        (top, fma(l, old, lc * new), map(D, |d| fma(o[d], old, oc[d] * new)))
                    },
                );
                for d in par(D) {
                    y[t][g][r][d] = out[d] / total;
                }
            }
        }
    }
}
