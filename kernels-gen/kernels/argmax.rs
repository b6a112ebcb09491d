//! The token with the largest logit; the lowest of equals. A NaN counts as the largest, so that it is not missed.

/// Chunks of 4096 may be searched by others; the first of the best chunks has it. An index is a float in between, which is exact.
#[kernel]
fn argmax<T: Dim, N: Dim>(x: &Ten<f32, T, N>, y: &mut Ten<i32, T>) {
    for t in par(T) {
        let (top, at) = merge(
            0..ceil_div(N, 4096),
            (-f32::INFINITY, 0.0),
            |c| {
                let (lo, hi) = (c * 4096, min(N, c * 4096 + 4096));
                let at = argmax_of(lo..hi, |n| x[t][n]);
                (x[t][min(at, N - 1)], at.f32())
            },
            |(top, at), (top_c, at_c)| {
                let better = top == top && !(top_c <= top);
                (if better { top_c } else { top }, if better { at_c } else { at })
            },
        );
        y[t] = at.int(0, 4194303);
    }
}
