#[kernel]
fn sums<N: Dim>(x: &Ten<f32, N>, y: &mut Ten<f32, 2>) {
    y[0] = sum(0..N, |acc, i| acc + x[i]);
    y[1] = sum(0..N, lanes(12), |acc, i| acc + x[i]);
}
