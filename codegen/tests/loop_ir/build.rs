//! Short ways to write loop IR.
use kgen::ir::{BinOp, Buffer, Scalar, Span, UnOp};
use kgen::loop_ir::{Access, Bind, Expr, Func, Mem, Stmt, Ty, Var, VarInfo};

/// A function in the making.
pub struct Build {
    pub func: Func,
}

impl Build {
    /// With the integer parameter `n`, the number of work items, as variable 0.
    pub fn new(name: &str, width: usize) -> Build {
        let n = VarInfo { name: "n".into(), ty: Ty::I32, varying: false, span: Span::default() };
        let func = Func {
            name: name.into(),
            width,
            team: 1,
            in_flight: 1,
            resident: 0,
            dims: 1,
            ints: 1,
            floats: 0,
            buffers: Vec::new(),
            layouts: Vec::new(),
            requires: Vec::new(),
            work: var(Var(0)),
            scratch: None,
            body: Vec::new(),
            vars: vec![n],
        };
        Build { func }
    }

    pub fn buffer(&mut self, name: &str, scalar: Scalar, written: bool) -> Mem {
        self.func.buffers.push(Buffer {
            name: name.into(),
            elem_bytes: scalar.bytes(),
            elem: scalar.name().into(),
            scalar: Some(scalar),
            fields: Vec::new(),
            elements: 1,
            shape: Vec::new(),
            written,
            index_below: None,
        });
        Mem::Buffer(self.func.buffers.len() - 1)
    }

    pub fn one(&mut self, name: &str, ty: Ty) -> Var {
        self.func.vars.push(VarInfo { name: name.into(), ty, varying: false, span: Span::default() });
        Var(self.func.vars.len() as u32 - 1)
    }

    pub fn each(&mut self, name: &str, ty: Ty) -> Var {
        let var = self.one(name, ty);
        self.func.vars.last_mut().unwrap().varying = true;
        var
    }

    /// `for item in work(0..n) { for lane in simd { body } }`
    pub fn items(mut self, item: Var, body: Vec<Stmt>) -> Func {
        let lane = self.each("lane", Ty::I32);
        let simd = for_(Bind::Simd, lane, int(0), int(self.func.width as i32), body);
        self.func.body.push(for_(Bind::Work, item, int(0), var(Var(0)), vec![simd]));
        self.func
    }
}

pub fn int(v: i32) -> Expr {
    Expr::Int(v)
}

pub fn var(v: Var) -> Expr {
    Expr::Var(v)
}

pub fn bin(op: BinOp, a: Expr, b: Expr) -> Expr {
    Expr::Binary(op, Box::new(a), Box::new(b))
}

pub fn un(op: UnOp, a: Expr) -> Expr {
    Expr::Unary(op, Box::new(a))
}

pub fn select(c: Expr, a: Expr, b: Expr) -> Expr {
    Expr::Select(Box::new(c), Box::new(a), Box::new(b))
}

pub fn fma(a: Expr, b: Expr, c: Expr) -> Expr {
    Expr::Fma(Box::new(a), Box::new(b), Box::new(c))
}

pub fn shuffle(mask: u32, value: Expr) -> Expr {
    Expr::Shuffle { mask, value: Box::new(value) }
}

pub fn call(intrinsic: &'static str, args: Vec<Expr>) -> Expr {
    Expr::Call { intrinsic, args, span: Default::default() }
}

/// `index * by + plus` as a byte offset.
pub fn offset(index: Expr, by: i64, plus: i64) -> Expr {
    let scaled = bin(BinOp::Mul, Expr::Widen(Box::new(index)), Expr::Long(by));
    bin(BinOp::Add, scaled, Expr::Long(plus))
}

pub fn at(mem: Mem, addr: Expr, lane_stride: i32, scalar: Scalar) -> Access {
    Access { mem, addr: Box::new(addr), lane_stride, offset: None, scalar }
}

pub fn let_(var: Var, value: Expr) -> Stmt {
    Stmt::Let { var, value }
}

pub fn for_(bind: Bind, var: Var, lo: Expr, hi: Expr, body: Vec<Stmt>) -> Stmt {
    Stmt::For { bind, var, lo, hi, step: 1, body }
}

pub fn store(to: Access, value: Expr) -> Stmt {
    Stmt::Store { to, value, only: None, span: Span::default() }
}

/// Little-endian bytes.
pub fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub fn i32s(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub fn bits(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect()
}
