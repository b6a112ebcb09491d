#[kernel]
fn shapes<T: Dim, N: Dim>(x: &Ten<f32, T, N>, y: &mut Ten<f32, T, N>) {
    for t in par(T) {
        for n in par(N) {
            let a = x[t][n][0];
            y[t][n] = x[t];
        }
    }
}
