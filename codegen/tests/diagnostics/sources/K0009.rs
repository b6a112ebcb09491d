#[kernel]
fn bounds<N: Dim, M: Dim>(x: &Ten<f32, N>, small: &Ten<f32, 4>, by: i32<0, 10>, y: &mut Ten<f32, M>) {
    for i in par(M) {
        y[i] = x[i + by] + small[4] + small[i];
    }
}
