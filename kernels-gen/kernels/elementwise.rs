//! Operations on one element at a time. What a matrix has made of a row under RMSNorm takes the row's `scale` first.

#[kernel]
fn scaled<T: Dim, N: Dim>(x: &Ten<f32, T, N>, scale: &Ten<f32, T>, y: &mut Ten<f32, T, N>) {
    for t in par(T) {
        for n in par(N) {
            y[t][n] = x[t][n] * scale[t];
        }
    }
}

#[kernel]
fn bias<T: Dim, N: Dim>(x: &Ten<f32, T, N>, scale: &Ten<f32, T>, b: &Ten<f32, N>, y: &mut Ten<f32, T, N>) {
    for t in par(T) {
        for n in par(N) {
            y[t][n] = fma(x[t][n], scale[t], b[n]);
        }
    }
}

#[kernel]
fn add<T: Dim, N: Dim>(a: &Ten<f32, T, N>, b: &Ten<f32, T, N>, y: &mut Ten<f32, T, N>) {
    for t in par(T) {
        for n in par(N) {
            y[t][n] = a[t][n] + b[t][n];
        }
    }
}

#[kernel]
fn times<T: Dim, N: Dim>(x: &Ten<f32, T, N>, factor: f32, y: &mut Ten<f32, T, N>) {
    for t in par(T) {
        for n in par(N) {
            y[t][n] = x[t][n] * factor;
        }
    }
}

#[kernel]
fn swiglu<T: Dim, N: Dim>(
    gate: &Ten<f32, T, N>,
    up: &Ten<f32, T, N>,
    scale: &Ten<f32, T>,
    y: &mut Ten<f32, T, N>,
) {
    for t in par(T) {
        for n in par(N) {
            let (gate, up) = (gate[t][n], up[t][n]);
            let scale = scale[t];
            y[t][n] = silu(gate * scale) * (up * scale);
        }
    }
}

#[kernel]
fn geglu<T: Dim, N: Dim>(
    gate: &Ten<f32, T, N>,
    up: &Ten<f32, T, N>,
    scale: &Ten<f32, T>,
    y: &mut Ten<f32, T, N>,
) {
    for t in par(T) {
        for n in par(N) {
            let (gate, up) = (gate[t][n], up[t][n]);
            let scale = scale[t];
            y[t][n] = gelu(gate * scale) * (up * scale);
        }
    }
}
