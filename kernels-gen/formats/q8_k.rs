//! Q8_K activations: 256 elements of 8 bits with one float scale, and the sums of each 16 of them.
//! A format of memory only: no file holds it. Padded to whole cache lines.

#[format(elements = 256, bytes = 320)]
struct Q8K {
    q: [i8<-127, 127>; 256],
    sums: [i16<-2032, 2032>; 16],
    d: f32,
}
