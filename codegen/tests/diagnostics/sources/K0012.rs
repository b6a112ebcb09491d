fn twice(x: f32) -> f32 {
    x + x
}

#[kernel]
fn counts<N: Dim>(x: &Ten<f32, N>, y: &mut Ten<f32, N>) {
    for i in par(N) {
        y[i] = twice(x[i], 2.0) + fma(x[i], x[i]) + max_of(0..N, |a, b| x[a]);
    }
}
