//! The Rust file that a build script includes: the CPU and CUDA code of all kernels, and the table that says how to call them.
use crate::audit::Allowed;
use crate::cpu::{self, Isa};
use crate::cuda;
use crate::ir::{BinOp, Buffer, Expr, Kernel, Kind, Ty, UnOp, Var};
use crate::library::{Library, LibraryError};
use crate::lower::lower;
use crate::places::Places;
use crate::schedule::Schedule;
use crate::target::Target;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};

/// A module for each instruction set, and `KERNELS` of type `&[crate::Kernel]`.
pub fn generate(library: &Library) -> Result<String, LibraryError> {
    let mut modules = Vec::new();
    let mut work = Vec::new();
    for isa in Isa::ALL {
        let schedules = library.schedules(isa)?;
        let mut funcs = Vec::new();
        for kernel in &library.kernels {
            let missing = || LibraryError(format!("schedules/{isa}.json has no schedule for `{}`", kernel.name));
            let schedule = schedules.get(&kernel.name).ok_or_else(missing)?;
            Target::Cpu(isa).legal(kernel, schedule).map_err(LibraryError)?;
            funcs.push(lower(kernel, schedule).map_err(|e| LibraryError(e.to_string()))?);
        }
        modules.push(cpu::module(&funcs, isa).map_err(|e| LibraryError(e.to_string()))?);
        work.push(funcs);
    }
    let places = Places::new(&library.sources);
    let mut entries = Vec::new();
    for (i, kernel) in library.kernels.iter().enumerate() {
        let funcs: Vec<_> = work.iter().map(|funcs| &funcs[i]).collect();
        let cuda = cuda_entry(kernel, &library.schedule(&kernel.name, "cuda")?, &places)?;
        entries.push(entry(kernel, &funcs, cuda));
    }
    let tokens = quote! {
        #(#modules)*
        /// Every kernel.
        pub static KERNELS: &[crate::Kernel] = &[#(#entries),*];
    };
    cpu::format(tokens).map_err(|e| LibraryError(format!("the generated code is no Rust: {e}")))
}

/// The CUDA code of a kernel, to be compiled on the user's machine.
fn cuda_entry(kernel: &Kernel, schedule: &Schedule, places: &Places) -> Result<TokenStream, LibraryError> {
    let illegal = |e: crate::lower::Illegal| LibraryError(format!("schedules/cuda.json: {e}"));
    let func = lower(kernel, schedule).map_err(illegal)?;
    let source = cuda::emit(&func, schedule.threads, places).map_err(illegal)?;
    let (text, name, allowed) = (source.text, source.entry, Allowed::of(kernel, places).to_string());
    let (lanes, threads, shared) = (source.lanes as u32, schedule.threads as u32, source.shared_per_group as u32);
    let work = loop_size(&func.work);
    Ok(quote! {
        crate::Cuda {
            source: #text,
            allowed: #allowed,
            entry: #name,
            lanes: #lanes,
            threads: #threads,
            shared_per_group: #shared,
            work: |ints| i32::try_from(#work).unwrap_or(i32::MAX),
        }
    })
}

fn entry(k: &Kernel, funcs: &[&crate::loop_ir::Func], cuda: TokenStream) -> TokenStream {
    let name = &k.name;
    let is_int = |v: &&Var| matches!(k.vars[v.0 as usize].ty, Ty::Int { .. });
    let text = |v: &Var| k.vars[v.0 as usize].name.clone();
    let dims = k.dims.len();
    let ints: Vec<Var> = k.dims.iter().chain(k.scalars.iter().filter(is_int)).copied().collect();
    let int_names: Vec<String> = ints.iter().map(text).collect();
    let float_names: Vec<String> = k.scalars.iter().filter(|v| !is_int(v)).map(text).collect();
    let buffers = k.buffers.iter().map(buffer);
    let size = |e: &Expr| size(e, &ints);
    let bytes = k.buffers.iter().enumerate().map(|(i, b)| {
        let (elem, shape) = (b.elem_bytes as u64, b.shape.iter().map(size));
        quote!(out[#i] = #elem #(.saturating_mul((#shape) as u64))*;)
    });
    let requires = k.requires.iter().map(|(cond, text)| {
        let cond = size(cond);
        quote!(if !(#cond) { return Err(#text); })
    });
    let below = k.buffers.iter().enumerate().filter_map(|(i, b)| {
        let below = size(b.index_below.as_ref()?);
        Some(quote!(if buffer == #i { return Some((#below) as i32); }))
    });
    let ranges = ints.iter().map(|v| match k.vars[v.0 as usize].ty {
        Ty::Int { lo, hi } => {
            let (lo, hi) = (lo as i32, hi as i32);
            quote!((#lo, #hi))
        }
        _ => unreachable!("selected above"),
    });
    let work = funcs.iter().map(|f| loop_size(&f.work));
    let isas = Isa::ALL.map(|isa| format_ident!("{}", isa.to_string()));
    let ident = format_ident!("{name}");
    let code = isas.iter().map(|isa| match isa.to_string().as_str() {
        "scalar" => quote!(#isa::#ident),
        _ => quote!({
            #[cfg(target_arch = "x86_64")]
            { #isa::#ident }
            #[cfg(not(target_arch = "x86_64"))]
            { scalar::#ident }
        }),
    });
    quote! {
        crate::Kernel {
            name: #name,
            ints: &[#(#int_names),*],
            dims: #dims,
            floats: &[#(#float_names),*],
            buffers: &[#(#buffers),*],
            bytes: |ints, out| { #(#bytes)* },
            require: |ints| { #(#requires)* Ok(()) },
            index_below: |ints, buffer| { #(#below)* None },
            ranges: &[#(#ranges),*],
            work: [#(|ints| i32::try_from(#work).unwrap_or(i32::MAX)),*],
            code: [#(#code),*],
            cuda: #cuda,
        }
    }
}

fn buffer(b: &Buffer) -> TokenStream {
    let Buffer { name, elem, elem_bytes, written, .. } = b;
    quote!(crate::BufferInfo { name: #name, elem: #elem, elem_bytes: #elem_bytes, written: #written })
}

/// A size or condition over the integer parameters, in 64 bits.
fn size(e: &Expr, ints: &[Var]) -> TokenStream {
    match &e.kind {
        Kind::Int(v) => quote!(#v),
        Kind::Var(v) => {
            let i = ints.iter().position(|p| p == v).expect("a size is made of parameters");
            quote!((ints[#i] as i64))
        }
        Kind::Binary(op, a, b) => {
            let (a, b) = (size(a, ints), size(b, ints));
            operation(*op, a, b)
        }
        Kind::Unary(UnOp::Neg, a) => {
            let a = size(a, ints);
            quote!((-#a))
        }
        Kind::Unary(UnOp::Abs, a) => {
            let a = size(a, ints);
            quote!((#a).abs())
        }
        _ => unreachable!("a size is integer arithmetic"),
    }
}

fn loop_size(e: &crate::loop_ir::Expr) -> TokenStream {
    use crate::loop_ir::Expr;
    match e {
        Expr::Int(v) => {
            let v = *v as i64;
            quote!(#v)
        }
        Expr::Var(v) => {
            let i = v.0 as usize;
            quote!((ints[#i] as i64))
        }
        Expr::Binary(op, a, b) => operation(*op, loop_size(a), loop_size(b)),
        _ => unreachable!("work is integer arithmetic"),
    }
}

fn operation(op: BinOp, a: TokenStream, b: TokenStream) -> TokenStream {
    match op {
        BinOp::Add => quote!((#a + #b)),
        BinOp::Sub => quote!((#a - #b)),
        BinOp::Mul => quote!((#a * #b)),
        BinOp::Div => quote!((#a / #b)),
        BinOp::Rem => quote!((#a % #b)),
        BinOp::Min => quote!((#a).min(#b)),
        BinOp::Max => quote!((#a).max(#b)),
        BinOp::And => quote!((#a & #b)),
        BinOp::Or => quote!((#a | #b)),
        BinOp::Xor => quote!((#a ^ #b)),
        BinOp::Shl => quote!((#a << #b)),
        BinOp::Shr => quote!((#a >> #b)),
        BinOp::Lt => quote!((#a < #b)),
        BinOp::Le => quote!((#a <= #b)),
        _ => unreachable!("a size is plain arithmetic"),
    }
}
