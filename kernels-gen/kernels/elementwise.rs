//! Operations on one element at a time.

#[kernel]
fn bias<T: Dim, N: Dim>(x: &Ten<f32, T, N>, b: &Ten<f32, N>, y: &mut Ten<f32, T, N>) {
    for t in par(T) {
        for n in par(N) {
            y[t][n] = x[t][n] + b[n];
        }
    }
}

#[kernel]
fn add<T: Dim, N: Dim>(a: &Ten<f32, T, N>, b: &Ten<f32, T, N>, y: &mut Ten<f32, T, N>) {
    for t in par(T) {
        for n in par(N) {
            y[t][n] = a[t][n] + b[t][n];
        }
    }
}

#[kernel]
fn swiglu<T: Dim, N: Dim>(gate: &Ten<f32, T, N>, up: &Ten<f32, T, N>, y: &mut Ten<f32, T, N>) {
    for t in par(T) {
        for n in par(N) {
            y[t][n] = silu(gate[t][n]) * up[t][n];
        }
    }
}
