//! How a worker of the loop interpreter touches memory: loads, stores and copies, each checked.
use super::lanes::Value;
use super::worker::{Stop, Turn};
use super::{Access, Expr, Mem, Ty, memory};
use crate::ir::Scalar;

impl Turn<'_, '_, '_, '_> {
    /// The first byte of every lane in memory: `size` bytes from there are inside.
    pub(super) fn places(&mut self, a: &Access, size: usize) -> Result<Vec<usize>, Stop> {
        Ok(self.places_where(a, size, |_| true)?.into_iter().map(|(_, at)| at).collect())
    }

    /// The same of the lanes that do something, with their numbers.
    fn places_where(
        &mut self,
        a: &Access,
        size: usize,
        there: impl Fn(usize) -> bool,
    ) -> Result<Vec<(usize, usize)>, Stop> {
        let addr = self.uniform(&a.addr, Ty::I64)?.as_long();
        let memory = match a.mem {
            Mem::Local(var) => self.w.locals.get(var.0 as usize).map(Vec::as_slice),
            shared => self.shared.bytes(self.w.id, shared),
        };
        let len = memory.ok_or("no such memory")?.len();
        let n = if a.varies() { self.w.func.width } else { 1 };
        if n > 1 && !self.w.simd {
            return Err("lanes outside of the simd loop".into());
        }
        let offset = a.offset.as_deref().map(|offset| self.eval(offset)).transpose()?;
        if offset.is_some_and(|offset| offset.ty != Ty::I32) {
            return Err("lanes lie apart by what is no I32".into());
        }
        let place = |l: usize| {
            let apart = l as i64 * a.lane_stride as i64 + offset.map_or(0, |offset| offset.get(l) as i32 as i64);
            let at = addr.checked_add(apart);
            at.and_then(|at| usize::try_from(at).ok())
                .filter(|at| at.checked_add(size).is_some_and(|end| end <= len))
                .map(|at| (l, at))
                .ok_or_else(|| {
                    let stride = a.lane_stride;
                    let offset = offset.map_or_else(String::new, |offset| format!(" + {}", offset.get(l) as i32));
                    format!("{size} bytes at {addr} + {l} * {stride}{offset} leave the {len} bytes of memory").into()
                })
        };
        (0..n).filter(|l| there(*l)).map(place).collect()
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

    /// A lane in which `only` is false writes nothing.
    pub(super) fn store(&mut self, to: &Access, value: &Expr, only: Option<&Expr>) -> Result<(), Stop> {
        let value = self.eval(value)?;
        let size = to.scalar.bytes();
        let there = self.lanes_where(only)?;
        let places = self.places_where(to, size, there)?;
        let lanes = if to.varies() { self.w.func.width } else { 1 };
        if value.ty != memory::loaded(to.scalar) || value.n > lanes {
            return Err(format!("{:?} of {} lanes stored as {:?} in {lanes}", value.ty, value.n, to.scalar).into());
        }
        if meet(places.iter().map(|(_, at)| *at), size) {
            return Err("two lanes write the same byte".into());
        }
        for (l, at) in places {
            let memory = match to.mem {
                Mem::Local(var) => &mut self.w.locals[var.0 as usize][at..],
                shared => self.shared.write(self.w.id, shared, at, size)?,
            };
            memory::write(to.scalar, value.get(l), memory)?;
        }
        Ok(())
    }

    pub(super) fn copy(&mut self, to: &Access, from: &Access, len: usize, only: Option<&Expr>) -> Result<(), Stop> {
        let size = len * to.scalar.bytes();
        if !matches!(size, 4 | 8 | 16) || to.scalar != from.scalar {
            return Err(format!("{size} bytes are no piece").into());
        }
        let there = self.lanes_where(only)?;
        let (targets, sources) = (self.places_where(to, size, &there)?, self.places_where(from, size, &there)?);
        let places: Vec<_> = targets.into_iter().zip(sources).map(|((_, at), (_, source))| (at, source)).collect();
        if to.varies() != from.varies() || meet(places.iter().map(|(at, _)| *at), size) {
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

    /// Whether a lane is one of those that do something.
    fn lanes_where(&mut self, only: Option<&Expr>) -> Result<impl Fn(usize) -> bool + use<>, Stop> {
        let only = only.map(|only| self.eval(only)).transpose()?;
        if only.is_some_and(|only| only.ty != Ty::Bool) {
            return Err("which lanes do something is no truth value".into());
        }
        Ok(move |l: usize| only.is_none_or(|only| only.get(l) != 0))
    }
}

/// Whether two lanes touch the same byte.
fn meet(places: impl Iterator<Item = usize>, size: usize) -> bool {
    let mut starts: Vec<usize> = places.collect();
    starts.sort_unstable();
    starts.windows(2).any(|two| two[1] - two[0] < size)
}
