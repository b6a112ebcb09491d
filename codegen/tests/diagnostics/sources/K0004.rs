#[kernel]
fn types<N: Dim>(x: &Ten<f32, N>, h: &Ten<f16, N>, y: &mut Ten<f32, N>, z: &mut Ten<f32, N>) {
    for i in par(N) {
        y[i] = x[i] + i;
        z[i] = h[i];
    }
}

fn narrow(v: i32<-126, 127>) -> int {
    v
}

#[kernel]
fn calls(x: &Ten<i8, 4>, f: &Ten<f32, 4>, y: &mut Ten<i8, 4>) {
    for i in par(4) {
        y[i] = narrow(x[i]) + narrow(f[i]);
    }
}
