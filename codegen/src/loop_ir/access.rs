//! How a worker of the loop interpreter touches memory: loads, stores and copies, each checked.
use super::lanes::Value;
use super::worker::{Stop, Turn};
use super::{Access, Expr, Mem, Ty, memory};
use crate::ir::Scalar;

impl Turn<'_, '_, '_, '_> {
    /// The first byte of every lane in memory: `size` bytes from there are inside.
    pub(super) fn places(&mut self, a: &Access, size: usize) -> Result<Vec<usize>, Stop> {
        let addr = self.uniform(&a.addr, Ty::I64)?.as_long();
        let memory = match a.mem {
            Mem::Local(var) => self.w.locals.get(var.0 as usize).map(Vec::as_slice),
            shared => self.shared.bytes(self.w.id, shared),
        };
        let len = memory.ok_or("no such memory")?.len();
        let n = if a.lane_stride == 0 { 1 } else { self.w.func.width };
        if n > 1 && !self.w.simd {
            return Err("lanes outside of the simd loop".into());
        }
        let place = |l: usize| {
            let at = addr.checked_add(l as i64 * a.lane_stride as i64);
            at.and_then(|at| usize::try_from(at).ok())
                .filter(|at| at.checked_add(size).is_some_and(|end| end <= len))
                .ok_or_else(|| {
                    let stride = a.lane_stride;
                    format!("{size} bytes at {addr} + {l} * {stride} leave the {len} bytes of memory").into()
                })
        };
        (0..n).map(place).collect()
    }

    pub(super) fn load(&mut self, a: &Access, ty: Ty, size: usize) -> Result<Value, Stop> {
        let scalar = if matches!(ty, Ty::U8x4 | Ty::I8x4 | Ty::I16x2) { Scalar::I32 } else { a.scalar };
        let places = self.places(a, size)?;
        let memory = match a.mem {
            Mem::Local(var) => self.w.locals[var.0 as usize].as_slice(),
            shared => {
                places.iter().try_for_each(|at| self.shared.read(self.w.id, shared, *at, size))?;
                self.shared.bytes(self.w.id, shared).unwrap_or_default()
            }
        };
        Ok(Value::each(ty, places.len(), |l| memory::read(scalar, &memory[places[l]..])))
    }

    pub(super) fn store(&mut self, to: &Access, value: &Expr) -> Result<(), Stop> {
        let value = self.eval(value)?;
        let size = to.scalar.bytes();
        let places = self.places(to, size)?;
        if value.ty != memory::loaded(to.scalar) || value.n > places.len() {
            return Err(
                format!("{:?} of {} lanes stored as {:?} in {}", value.ty, value.n, to.scalar, places.len()).into()
            );
        }
        if places.len() > 1 && (to.lane_stride.unsigned_abs() as usize) < size {
            return Err("two lanes write the same byte".into());
        }
        for (l, at) in places.into_iter().enumerate() {
            let memory = match to.mem {
                Mem::Local(var) => &mut self.w.locals[var.0 as usize][at..],
                shared => self.shared.write(self.w.id, shared, at, size)?,
            };
            memory::write(to.scalar, value.get(l), memory)?;
        }
        Ok(())
    }

    pub(super) fn copy(&mut self, to: &Access, from: &Access, len: usize) -> Result<(), Stop> {
        let size = len * to.scalar.bytes();
        let strides = [to, from].map(|a| a.lane_stride.unsigned_abs() as usize);
        if !matches!(size, 4 | 8 | 16) || to.scalar != from.scalar {
            return Err(format!("{size} bytes are no piece").into());
        }
        let places = self.places(to, size)?.into_iter().zip(self.places(from, size)?).collect::<Vec<_>>();
        if (strides[0] == 0) != (strides[1] == 0) || places.len() > 1 && strides[0] < size {
            return Err("lanes copy to the same byte, or some of them nothing".into());
        }
        for (at, source) in places {
            if at % size != 0 || source % size != 0 {
                return Err(format!("{size} bytes at {at} from {source} are not aligned").into());
            }
            self.shared.copy(self.w.id, (to.mem, at), (from.mem, source), size)?;
        }
        Ok(())
    }
}
