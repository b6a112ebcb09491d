const TWO: f32 = 2.0;

fn helper(x: f32) -> f32 {
    x
}

fn helper(x: f32) -> f32 {
    x * TWO
}

const TWO: f32 = 3.0;

#[kernel]
fn copy<N: Dim>(x: &Ten<f32, N>, y: &mut Ten<f32, N>) {
    for i in par(N) {
        y[i] = helper(x[i]);
    }
}
