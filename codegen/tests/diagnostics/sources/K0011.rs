#[format(elements = 4, bytes = 4)]
struct Bytes {
    q: [i8<-127, 127>; 4],
}

#[kernel]
fn stores<N: Dim>(x: &Ten<f32, N, 4>, y: &mut Ten<Bytes, N>, z: &mut Ten<u8, N>) {
    for n in par(N) {
        for i in par(4) {
            y[n].q[i] = x[n][i].int(-128, 127);
        }
        z[n] = 256;
    }
}
