fn at(x: &Row<f32>, i: int) -> f32 {
    x[i + 1]
}

#[kernel]
fn shifted<N: Dim>(x: &Ten<f32, N>, y: &mut Ten<f32, N>) {
    for i in par(N) {
        y[i] = at(x, i);
    }
}
