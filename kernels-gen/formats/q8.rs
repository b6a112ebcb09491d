//! Q8 activations: 32 elements of 8 bits with one float scale, and their sum. A format of memory only: no file holds it. Padded so
//! that every block begins at 16 bytes.

#[format(elements = 32, bytes = 48)]
struct Q8 {
    q: [i8<-127, 127>; 32],
    d: f32,
    sum: i16<-4064, 4064>,
}
