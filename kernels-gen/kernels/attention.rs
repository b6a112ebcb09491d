//! Grouped-query attention over chunks of 64 positions. Chunks are aligned to absolute positions and merged in
//! ascending order, so that prefill, decode and any split of the chunks give the same bits.

/// `scale` is log2(e) / sqrt(D), or what a model has in the place of D: scores are powers of two. A query sees itself and what is less than `window` positions before it.
#[kernel(D = [64, 96, 128, 256])]
#[require(pos + T <= C * 64)]
#[require(pos + T <= P)]
fn attention<const D: usize, T: Dim, G: Dim, R: Dim, C: Dim, P: Dim>(
    q: &Ten<f32, T, G, R, 2, { D / 2 }>,
    cos: &Ten<f32, P, { D / 2 }>,
    sin: &Ten<f32, P, { D / 2 }>,
    kc: &Ten<f16, C, G, 2, { D / 2 }, 64>,
    vc: &Ten<f16, C, G, 64, D>,
    pos: i32<0, 4194303>,
    window: i32<1, 4194304>,
    scale: f32,
    y: &mut Ten<f32, T, G, R, D>,
) {
    for g in par(G) {
        for r in par(R) {
            for t in par(T) {
                let len = pos + t + 1;
                let first = max(len - window, 0);
                // Chunks of which nothing is seen.
                let skipped = first / 64;
                let qa = map(D / 2, |i| {
                    let (a, _) = rotate(q[t][g][r][0][i], q[t][g][r][1][i], cos[pos + t][i], sin[pos + t][i]);
                    a * scale
                });
                let qb = map(D / 2, |i| {
                    let (_, b) = rotate(q[t][g][r][0][i], q[t][g][r][1][i], cos[pos + t][i], sin[pos + t][i]);
                    b * scale
                });
                let start = (-f32::INFINITY, 0.0, map(D, |d| 0.0));
                let (top, total, out) = merge(
                    0..ceil_div(len, 64) - skipped,
                    start,
                    |c| {
                        let chunk = skipped + c;
                        let n = min(64, len - chunk * 64);
                        let s = map(n, |j| {
                            let score = sum(0..D / 2, chain, |acc, i| {
                                fma(qb[i], kc[chunk][g][1][i][j].f32(), fma(qa[i], kc[chunk][g][0][i][j].f32(), acc))
                            });
                            // Keys before the window get the share 0.
                            if chunk * 64 + j < first { -f32::INFINITY } else { score }
                        });
                        let m = max_of(0..n, |j| s[j]);
                        let p = map(n, |j| exp2(s[j] - m));
                        let l = sum(0..n, lanes(16), |acc, j| acc + p[j]);
                        let o = map(D, |d| sum(0..n, chain, |acc, j| fma(p[j], vc[chunk][g][j][d].f32(), acc)));
                        (m, l, o)
                    },
                    |(m, l, o), (mc, lc, oc)| {
                        let top = max(m, mc);
                        // The larger of the two keeps its weight: exp2(0) is 1.
                        let less = exp2(min(m, mc) - top);
                        let (old, new) = (if m < mc { less } else { 1.0 }, if m < mc { 1.0 } else { less });
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
