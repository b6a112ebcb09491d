const A: f32 = B;
const B: f32 = A;

fn even(x: f32) -> f32 {
    odd(x)
}

fn odd(x: f32) -> f32 {
    even(x)
}

#[kernel]
fn recursion(y: &mut Ten<f32, 2>) {
    y[0] = even(1.0);
    y[1] = A;
}
