#[kernel]
fn divisors<N: Dim>(x: &Ten<i8, N>, y: &mut Ten<i32, N>) {
    for i in par(N) {
        let half = x[i] / 2;
        let quotient = i / x[i];
        y[i] = 1 << (x[i] & 63);
    }
}
