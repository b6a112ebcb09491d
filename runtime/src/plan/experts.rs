//! The operations of a mixture of experts.
use super::{
    Arg, Role, Size,
    activations::Operands,
    build::{Builder, Value, width},
    norm::Source,
};
use crate::gguf::Tensor;

/// The experts of each token, `[rows, used]`, and their shares.
#[derive(Clone, Copy)]
pub(super) struct Routed {
    experts: Arg,
    shares: Arg,
    used: usize,
}

impl Builder {
    /// The `used` experts with the largest logits.
    pub(super) fn route(&mut self, name: &str, logits: Value, used: usize) -> Routed {
        let shares = self.output(&format!("{name}.shares"), used, logits.rows);
        let experts = self.buffer("experts", Role::Activation, 4, &[logits.rows, Size::Fixed(used)]);
        let stage = self.stage(name, "route").int("T", logits.rows).fixed("E", logits.width).fixed("S", used);
        stage.arg("logits", logits.arg).arg("experts", experts).arg("shares", shares.arg);
        Routed { experts, shares: shares.arg, used }
    }

    /// The products of each token with its experts' matrices, side by side. `x` has the activations of the token, or those of
    /// all its experts; of a value under RMSNorm the products are still to be scaled.
    pub(super) fn expert(&mut self, name: &str, w: &Tensor, x: Source, routed: Routed) -> Value {
        let [n, count] = [w.dims[1], w.dims[2]].map(|size| size as usize);
        let (t, inputs) = (x.rows(), x.width() / width(w));
        let Operands { kernel, weight, input, rows, extent, planes } =
            self.operands(name, w, x, ("expert", "expert_float"));
        let experts = if planes { self.for_planes(name, routed, t) } else { routed.experts };
        let y = self.product(name, routed.used * n, t, planes);
        let stage = self.stage(name, &kernel).int("T", rows).fixed("E", count).fixed("S", routed.used);
        stage.fixed("X", inputs).fixed("N", n).fixed(extent.0, extent.1);
        stage.arg("w", weight).arg("x", input).arg("experts", experts).arg("y", y.arg);
        self.joined(name, y, planes)
    }

    /// The experts of each token for both planes.
    fn for_planes(&mut self, name: &str, routed: Routed, rows: Size) -> Arg {
        let shape = [rows, Size::Fixed(2), Size::Fixed(routed.used)];
        let y = self.buffer("experts.planes", Role::Activation, 4, &shape);
        let stage = self.stage(&format!("{name}.experts"), "for_planes").int("T", rows).fixed("S", routed.used);
        stage.arg("x", routed.experts).arg("y", y);
        y
    }

    /// The sum of what a token's experts give, each times its share.
    pub(super) fn mix(&mut self, name: &str, x: Value, routed: Routed) -> Value {
        let y = self.output(name, x.width / routed.used, x.rows);
        let stage = self.stage(name, "mix").int("T", x.rows).fixed("S", routed.used).fixed("N", y.width);
        stage.arg("x", x.arg).arg("shares", routed.shares).arg("y", y.arg);
        y
    }
}
