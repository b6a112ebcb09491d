#[kernel]
fn no_list<W: Float, N: Dim>(x: &Ten<W, N>, y: &mut Ten<f32, N>) {
    for i in par(N) {
        y[i] = x[i].f32();
    }
}

#[kernel(W = [Q5X])]
fn no_format<W: Format, N: Dim>(x: &Ten<W, N>, y: &mut Ten<f32, N>) {
    for i in par(N) {
        y[i] = 0.0;
    }
}

#[kernel]
fn no_kind<N>(y: &mut Ten<f32, 1>) {
    y[0] = 0.0;
}
