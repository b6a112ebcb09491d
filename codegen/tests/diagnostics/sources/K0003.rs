#[format(elements = 2, bytes = 4)]
struct Pair {
    first: f16,
    second: f16,
}

#[kernel]
fn names<N: Dim>(x: &Ten<Pair, N>, factor: f32, y: &mut Ten<f32, N>) {
    for i in par(N) {
        y[i] = x[i].frist.f32() * facto + sqr(factor) + x[i].third();
    }
}
