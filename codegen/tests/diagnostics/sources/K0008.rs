#[kernel]
fn races<T: Dim, N: Dim>(x: &Ten<f32, T, N>, y: &mut Ten<f32, T>, z: &mut Ten<f32, T, N>) {
    for t in par(T) {
        for n in par(N) {
            y[t] = x[t][n];
            z[t][n] = x[t][n];
            z[t][n] = 0.0;
        }
    }
}

#[kernel]
fn scatter(order: &Ten<Index<8>, 8>, y: &mut Ten<f32, 16>) {
    for i in par(8) {
        let j = order[i];
        y[i + j] = 1.0;
    }
}
