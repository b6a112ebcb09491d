//! The token with the largest logit; the lowest of equals. A NaN counts as the largest, so that it is not missed.

#[kernel]
fn argmax<T: Dim, N: Dim>(x: &Ten<f32, T, N>, y: &mut Ten<i32, T>) {
    for t in par(T) {
        y[t] = argmax_of(0..N, |n| x[t][n]);
    }
}
