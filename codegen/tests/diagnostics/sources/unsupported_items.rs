use std::fmt;
mod inner {}
static S: f32 = 0.0;
type Float = f32;
enum Kind {
    One,
}
trait Shape {}
impl Shape for Kind {}
macro_rules! m {
    () => {};
}

struct Plain {
    x: f32,
}
