#[format(elements = 256, bytes = 256)]
struct Wide {
    q: [i8; 256],
}

#[kernel]
fn ranges<N: Dim>(w: &Ten<Wide, N>, x: &Ten<i16, N, 256>, y: &mut Ten<f32, N>) {
    for n in par(N) {
        let dot = isum(0..256, |i| w[n].q[i] * x[n][i] * 300);
        let square = x[n][0] * x[n][1] * x[n][2];
        y[n] = dot.f32() + 1.0e39;
    }
}
