//! A mixture of experts: which of them a token is routed to, their products, and the sum of what they give.

/// The experts with the S largest logits, in ascending order, and their shares: the softmax over these logits. Of equal logits that of
/// the first expert counts as the larger.
#[kernel]
#[require(S <= 32)]
#[require(S <= E)]
#[require(E <= 512)]
fn route<T: Dim, E: Dim, S: Dim>(
    logits: &Ten<f32, T, E>,
    experts: &mut Ten<i32, T, S>,
    shares: &mut Ten<f32, T, S>,
) {
    for t in par(T) {
        let count = min(E, 512);
        let slots = min(S, 32);
        let rank = map(count, |e| {
            isum(0..count, |o| if precedes(logits[t][o], o, logits[t][e], e) { 1 } else { 0 }).f32()
        });
        let by_rank = map(slots, |r| isum(0..count, |e| if rank[e] == r.f32() { e } else { 0 }).f32());
        let place = map(slots, |r| isum(0..slots, |o| if by_rank[o] < by_rank[r] { 1 } else { 0 }).f32());
        let chosen = map(slots, |s| {
            isum(0..slots, |r| if place[r] == s.f32() { by_rank[r].int(0, 511) } else { 0 }).f32()
        });
        let top = max_of(0..count, |e| logits[t][e]);
        let part = map(slots, |s| exp2((logits[t][min(chosen[s].int(0, 511), count - 1)] - top) * LOG2_E));
        let total = sum(0..slots, chain, |acc, s| acc + part[s]);
        for s in par(slots) {
            experts[t][s] = chosen[s].int(0, 511);
            shares[t][s] = part[s] / total;
        }
    }
}

/// Whether expert `o` with logit `x` comes before expert `e` with logit `y`.
fn precedes(x: f32, o: int, y: f32, e: int) -> bool {
    y < x || (x == y && o < e)
}

/// Products with the experts of a token. Each of these has activations of its own, or they share those of the token (X = 1).
#[kernel(W = [has(dot)])]
fn expert<W: Format, T: Dim, E: Dim, S: Dim, X: Dim, N: Dim, B: Dim>(
    w: &Ten<W, E, N, B>,
    x: &Ten<W::Activations, T, X, B>,
    experts: &Ten<i32, T, S>,
    y: &mut Ten<f32, T, S, N>,
) {
    for n in par(N) {
        for t in par(T) {
            for s in par(S) {
                y[t][s][n] = sum(0..B, segments(16), |acc, b| w[min(max(experts[t][s], 0), E - 1)][n][b].dot(x[t][min(s, X - 1)][b], acc));
            }
        }
    }
}

/// The same with float weights.
#[kernel(W = [f16, bf16, f32])]
fn expert_float<W: Float, T: Dim, E: Dim, S: Dim, X: Dim, N: Dim, K: Dim>(
    w: &Ten<W, E, N, K>,
    x: &Ten<f32, T, X, K>,
    experts: &Ten<i32, T, S>,
    y: &mut Ten<f32, T, S, N>,
) {
    for n in par(N) {
        for t in par(T) {
            for s in par(S) {
                y[t][s][n] = sum(0..ceil_div(K, 256), segments(16), |acc, g| {
                    acc + group_dot(w[min(max(experts[t][s], 0), E - 1)][n], x[t][min(s, X - 1)], g * 256)
                });
            }
        }
    }
}

/// The sum of what the experts of a token give, each times its share, in their order.
#[kernel]
fn mix<T: Dim, S: Dim, N: Dim>(x: &Ten<f32, T, S, N>, shares: &Ten<f32, T, S>, y: &mut Ten<f32, T, N>) {
    for t in par(T) {
        for n in par(N) {
            y[t][n] = sum(0..S, chain, |acc, s| fma(shares[t][s], x[t][s][n], acc));
        }
    }
}
