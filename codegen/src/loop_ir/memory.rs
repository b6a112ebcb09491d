//! Numbers in memory: their type once loaded, and how a value is read from bytes and written to them.
use super::Ty;
use crate::float;
use crate::ir::Scalar;

/// The type of its value once loaded, or to be stored.
pub fn loaded(scalar: Scalar) -> Ty {
    match scalar {
        Scalar::F32 | Scalar::F16 | Scalar::Bf16 => Ty::F32,
        _ => Ty::I32,
    }
}

/// The bits of the value (of type [`loaded`]) at the start of `from`, which is long enough.
pub fn read(scalar: Scalar, from: &[u8]) -> u32 {
    let short = || u16::from_le_bytes([from[0], from[1]]);
    let half = || float::from_half(scalar, short()).map_or(0, f32::to_bits);
    match scalar {
        Scalar::F32 | Scalar::I32 => u32::from_le_bytes([from[0], from[1], from[2], from[3]]),
        Scalar::F16 | Scalar::Bf16 => half(),
        Scalar::I16 => short() as i16 as i32 as u32,
        Scalar::U16 => short() as u32,
        Scalar::I8 => from[0] as i8 as i32 as u32,
        Scalar::U8 => from[0] as u32,
    }
}

/// Writes a value to the start of `to`, which is long enough; a NaN becomes canonical. An integer must fit.
pub fn write(scalar: Scalar, bits: u32, to: &mut [u8]) -> Result<(), String> {
    let (real, int) = (f32::from_bits(bits), bits as i32);
    let fits = match scalar {
        Scalar::I16 => i16::try_from(int).is_ok(),
        Scalar::U16 => u16::try_from(int).is_ok(),
        Scalar::I8 => i8::try_from(int).is_ok(),
        Scalar::U8 => u8::try_from(int).is_ok(),
        _ => true,
    };
    if !fits {
        return Err(format!("{int} is no {}", scalar.name()));
    }
    let stored = match scalar {
        Scalar::F32 => float::bits(real),
        Scalar::F16 | Scalar::Bf16 => float::to_half(scalar, real).map_or(0, u32::from),
        _ => bits,
    };
    let size = scalar.bytes();
    to[..size].copy_from_slice(&stored.to_le_bytes()[..size]);
    Ok(())
}
