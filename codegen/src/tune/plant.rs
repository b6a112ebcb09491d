//! A fault of the lowering, planted to show that candidates which have it are refused before they are timed.
use super::space::FIELDS;
use crate::ir::UnOp;
use crate::loop_ir::{Expr, Func, Mem, Stmt};
use crate::schedule::Schedule;
use std::str::FromStr;

/// Stores of candidates that differ from the shipped schedule in this field get the other sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plant(String);

impl FromStr for Plant {
    type Err = String;

    fn from_str(field: &str) -> Result<Plant, String> {
        match FIELDS.contains(&field) {
            true => Ok(Plant(field.into())),
            false => Err(format!("no field `{field}` is varied; these are: {}", FIELDS.join(", "))),
        }
    }
}

impl Plant {
    /// Plants the fault where the schedules differ in the field.
    pub fn into(&self, shipped: &Schedule, schedule: &Schedule, func: &mut Func) {
        let value = |s: &Schedule| serde_json::to_value(s).ok().and_then(|v| v.get(&self.0).cloned());
        if value(shipped) != value(schedule) {
            negate(&mut func.body);
        }
    }
}

fn negate(stmts: &mut [Stmt]) {
    for stmt in stmts {
        match stmt {
            Stmt::Store { to, value, .. } if matches!(to.mem, Mem::Buffer(_)) => {
                *value = Expr::Unary(UnOp::Neg, Box::new(value.clone()));
            }
            stmt => stmt.lists_mut().into_iter().for_each(|list| negate(list)),
        }
    }
}
