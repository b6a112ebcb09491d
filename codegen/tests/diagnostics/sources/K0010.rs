#[kernel]
fn accumulate<N: Dim>(x: &Ten<f32, N>, y: &mut Ten<f32, N>) {
    for i in par(N) {
        y[i] = y[i] + x[i];
    }
}
