//! Around products with activations in two planes, which are rows like others to the products.

/// The sum of what the two planes give.
#[kernel]
fn add_planes<T: Dim, N: Dim>(x: &Ten<f32, T, 2, N>, y: &mut Ten<f32, T, N>) {
    for t in par(T) {
        for n in par(N) {
            y[t][n] = x[t][0][n] + x[t][1][n];
        }
    }
}

/// The experts of a token, for both planes.
#[kernel]
fn for_planes<T: Dim, S: Dim>(x: &Ten<i32, T, S>, y: &mut Ten<i32, T, 2, S>) {
    for t in par(T) {
        for s in par(S) {
            y[t][0][s] = x[t][s];
            y[t][1][s] = x[t][s];
        }
    }
}
