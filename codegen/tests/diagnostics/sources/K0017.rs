#[format(elements = 32, bytes = 32)]
struct TooShort {
    d: f16,
    q: [i8; 32],
}

#[format(elements = 32, bytes = 64)]
struct BadFields {
    a: u32,
    b: f32<0, 1>,
    c: i8<-200, 127>,
}

#[format(elements = 32, size = 64)]
struct BadAttribute {
    d: f32,
}
