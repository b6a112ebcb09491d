//! The Rust file that a build script includes: the CPU and CUDA code of all kernels, and the table that says how to call them.
use crate::audit::Allowed;
use crate::cpu::{self, Isa};
use crate::cuda;
use crate::fused::{self, Fused};
use crate::inlined::{self, Inlined};
use crate::ir::inline::{self, Sources};
use crate::ir::{BinOp, Buffer, Expr, Kernel, Kind, Scalar, Ty, UnOp, Var};
use crate::layout::{Layout, Run};
use crate::library::{Library, LibraryError, read};
use crate::loop_ir::Func;
use crate::lower::{Illegal, MOST_ELEMENTS};
use crate::places::{Places, short};
use crate::recomputed::{self, Recomputed};
use crate::schedule::Schedule;
use crate::target::Target;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use std::collections::BTreeMap;

/// A module for each instruction set, `KERNELS` of type `&[crate::Kernel]`, `INLINED` of type `&[crate::Inlined]`, and `FUSED`
/// of type `&[crate::Fused]`.
pub fn generate(library: &Library) -> Result<String, LibraryError> {
    let mut modules = Vec::new();
    let mut cpu = vec![Vec::new(); library.kernels.len()];
    let mut memory = vec![Vec::new(); library.kernels.len()];
    for isa in Isa::ALL {
        let mut funcs = Vec::new();
        for ((kernel, entries), memory) in library.kernels.iter().zip(&mut cpu).zip(&mut memory) {
            let lowered = library.lowered(kernel, Target::Cpu(isa))?;
            memory.push(in_memory(kernel, &lowered)?);
            let variants: Vec<TokenStream> = lowered
                .iter()
                .map(|(schedule, func)| cpu_entry(kernel, isa, schedule, func))
                .collect::<Result<_, _>>()?;
            entries.push(quote!(&[#(#variants),*]));
            funcs.extend(lowered.into_iter().map(|(_, func)| func));
        }
        modules.push(cpu::module(&funcs, isa).map_err(|e| LibraryError(e.to_string()))?);
    }
    let places = Places::new(&library.sources);
    let mut entries = Vec::new();
    for ((kernel, cpu), mut memory) in library.kernels.iter().zip(cpu).zip(memory) {
        let (cuda, on_cuda) = on_cuda(library, kernel, &places)?;
        memory.push(on_cuda);
        entries.push(entry(kernel, &memory, &cpu, &cuda));
    }
    // Those with more in them are tried first.
    let rows = library.recomputed()?;
    let rows = rows.iter().map(|rows| recomputed_entry(library, rows, &places));
    let inlined = library.inlined.iter().map(|inlined| inlined_entry(library, inlined, &places));
    let inlined = rows.chain(inlined).collect::<Result<Vec<_>, _>>()?;
    let sources = library.sources.iter().map(|source| {
        // Where the folder lies is of no use to others.
        let (name, text) = (short(&source.name), &source.text);
        quote!((#name, #text))
    });
    let [specs, schedules] =
        [inlined::FILE, &Target::Cuda.schedule_file()].map(|file| read(&library.schedule_file(file)));
    let (specs, schedules) = (specs?, schedules?);
    let fused = library.fused()?;
    let fused = fused.iter().map(|fused| fused_entry(fused, &places)).collect::<Result<Vec<_>, _>>()?;
    let tokens = quote! {
        #(#modules)*
        /// Every kernel.
        pub static KERNELS: &[crate::Kernel] = &[#(#entries),*];
        /// Every kernel with others in it.
        pub static INLINED: &[crate::Inlined] = &[#(#inlined),*];
        /// Every pair of kernels that can be one launch.
        pub static FUSED: &[crate::Fused] = &[#(#fused),*];
        /// The files of kernels and formats: names and texts.
        pub static SOURCES: &[(&str, &str)] = &[#(#sources),*];
        /// The list of kernels with others in them.
        pub static INLINED_SPECS: &str = #specs;
        /// The schedules for CUDA.
        pub static CUDA_SCHEDULES: &str = #schedules;
    };
    cpu::format(tokens).map_err(|e| LibraryError(format!("the generated code is no Rust: {e}")))
}

/// Conditions on the integer parameters: that they are among the sizes of `kernel` up to `most`.
fn sizes(kernel: &Kernel, most: &BTreeMap<String, i32>) -> Result<Vec<TokenStream>, LibraryError> {
    let mut conditions = Vec::new();
    for (name, most) in most {
        let place = kernel.dims.iter().position(|v| kernel.vars[v.0 as usize].name == *name);
        let missing =
            || LibraryError(format!("a schedule of `{}` is for sizes `{name}`, which it has not", kernel.name));
        let i = place.ok_or_else(missing)?;
        conditions.push(quote!(ints[#i] <= #most));
    }
    Ok(conditions)
}

fn all(conditions: &[TokenStream]) -> TokenStream {
    if conditions.is_empty() { quote!(|_| true) } else { quote!(|ints| #(#conditions)&&*) }
}

/// The code of a kernel for an instruction set under one schedule.
fn cpu_entry(kernel: &Kernel, isa: Isa, schedule: &Schedule, func: &Func) -> Result<TokenStream, LibraryError> {
    let (fits, work) = (all(&sizes(kernel, &schedule.most)?), loop_size(&func.work));
    let (module, name) = (format_ident!("{}", isa.to_string()), format_ident!("{}", func.name));
    let code = match isa {
        Isa::Scalar => quote!(#module::#name),
        _ => quote!({
            #[cfg(target_arch = "x86_64")]
            { #module::#name }
            #[cfg(not(target_arch = "x86_64"))]
            { crate::no_code }
        }),
    };
    Ok(quote!(crate::Cpu { fits: #fits, work: |ints| i32::try_from(#work).unwrap_or(i32::MAX), code: #code }))
}

/// A kernel on CUDA: its code under all of its schedules, and how its buffers lie in memory.
fn on_cuda(
    library: &Library,
    kernel: &Kernel,
    places: &Places,
) -> Result<(Vec<TokenStream>, TokenStream), LibraryError> {
    let lowered = library.lowered(kernel, Target::Cuda)?;
    let code = lowered.iter().map(|(schedule, func)| kernel_on_cuda(kernel, schedule, func, places));
    Ok((code.collect::<Result<_, _>>()?, in_memory(kernel, &lowered)?))
}

/// A kernel with others in it. It has no code for CPUs.
fn inlined_entry(library: &Library, inlined: &Inlined, places: &Places) -> Result<TokenStream, LibraryError> {
    library.check_layouts(inlined)?;
    let on_cuda = on_cuda(library, &inlined.result.kernel, places)?;
    let edges = inlined.edges.iter().enumerate().map(|(k, (read, written))| ((0, *read), (k + 1, *written)));
    of_several(library, (&inlined.kernels, &inlined.result), edges.collect(), &inlined.spec.most, on_cuda)
}

/// A kernel with rows of another one.
fn recomputed_entry(library: &Library, rows: &Recomputed, places: &Places) -> Result<TokenStream, LibraryError> {
    let illegal = |e: Illegal| LibraryError(format!("schedules/{}: {e}", recomputed::FILE));
    let kernel = &rows.result.kernel;
    let fits = sizes(kernel, &rows.spec.most)?;
    let cuda = cuda_entry(&rows.func, rows.schedule.threads, &fits, &rows.allowed(places), places).map_err(illegal)?;
    let memory = in_memory(kernel, &[(rows.schedule.clone(), rows.func.clone())])?;
    of_several(library, (&rows.kernels, &rows.result), rows.edges.clone(), &rows.spec.most, (vec![cuda], memory))
}

/// A kernel that is made of others: of each edge, the reader and its buffer, then the writer and its own.
fn of_several(
    library: &Library,
    (names, result): (&[String], &inline::Inlined),
    edges: Vec<((usize, usize), (usize, usize))>,
    most: &BTreeMap<String, i32>,
    (cuda, memory): (Vec<TokenStream>, TokenStream),
) -> Result<TokenStream, LibraryError> {
    let kernel = &result.kernel;
    let none = vec![quote!(&[]); Isa::ALL.len()];
    let entry = entry(kernel, &vec![memory; Isa::ALL.len() + 1], &none, &cuda);
    let kernels = names.iter().map(|name| library.kernel(name)).collect::<Result<Vec<_>, _>>()?;
    let is_int = |k: usize, s: usize| matches!(kernels[k].vars[kernels[k].scalars[s].0 as usize].ty, Ty::Int { .. });
    // Among the integers or the floats of its kernel.
    let scalar = |&(k, s): &(usize, usize)| {
        let before = (0..s).filter(|other| is_int(k, *other) == is_int(k, s)).count();
        (k, if is_int(k, s) { kernels[k].dims.len() + before } else { before })
    };
    let (int_scalars, floats): (Vec<&Sources>, Vec<&Sources>) =
        result.scalars.iter().partition(|from| is_int(from[0].0, from[0].1));
    let list = |sources: Vec<Vec<(usize, usize)>>| {
        let lists = sources.iter().map(|from| {
            let (kernels, numbers) = (from.iter().map(|(k, _)| *k), from.iter().map(|(_, n)| *n));
            quote!(&[#((#kernels, #numbers)),*])
        });
        quote!(&[#(#lists),*])
    };
    let scalars = |all: &[&Sources]| all.iter().map(|from| from.iter().map(scalar).collect()).collect::<Vec<Vec<_>>>();
    let ints = list(result.dims.iter().cloned().chain(scalars(&int_scalars)).collect());
    let (floats, buffers) = (list(scalars(&floats)), list(result.buffers.clone()));
    let fits = all(&sizes(kernel, most)?);
    let edges = edges.iter().map(|((reader, read), (writer, written))| {
        quote!(crate::Edge { reader: (#reader, #read), writer: (#writer, #written) })
    });
    Ok(quote! {
        crate::Inlined {
            kernel: #entry,
            kernels: &[#(#names),*],
            fits: #fits,
            edges: &[#(#edges),*],
            ints: #ints,
            floats: #floats,
            buffers: #buffers,
        }
    })
}

/// The CUDA code of a kernel under one schedule, to be compiled on the user's machine.
fn kernel_on_cuda(
    kernel: &Kernel,
    schedule: &Schedule,
    func: &Func,
    places: &Places,
) -> Result<TokenStream, LibraryError> {
    let illegal = |e: Illegal| LibraryError(format!("schedules/{}: {e}", Target::Cuda.schedule_file()));
    let fits = sizes(kernel, &schedule.most)?;
    cuda_entry(func, schedule.threads, &fits, &Allowed::of(kernel, places), places).map_err(illegal)
}

/// Two kernels in one launch. The dims of the first come first among its integers.
fn fused_entry(f: &Fused, places: &Places) -> Result<TokenStream, LibraryError> {
    let illegal = |e: Illegal| LibraryError(format!("schedules/{}: {e}", fused::FILE));
    let [producer, consumer] = f.kernels;
    let mut fits = sizes(producer, &f.pair.most)?;
    let shape = producer.buffers[f.edge.0].shape.iter().map(|e| size(e, &producer.dims));
    fits.push(quote!(1u64 #(.saturating_mul((#shape) as u64))* <= #MOST_ELEMENTS as u64));
    let cuda = cuda_entry(&f.func, f.threads, &fits, &f.allowed(places), places).map_err(illegal)?;
    let (name, from, to, (written, read)) = (f.pair.name(), &producer.name, &consumer.name, f.edge);
    Ok(quote! {
        crate::Fused { name: #name, producer: #from, consumer: #to, edge: (#written, #read), cuda: #cuda }
    })
}

fn cuda_entry(
    func: &Func,
    threads: usize,
    fits: &[TokenStream],
    allowed: &Allowed,
    places: &Places,
) -> Result<TokenStream, Illegal> {
    let source = cuda::emit(func, threads, places)?;
    let (name, allowed, body) = (source.entry, allowed.to_string(), source.body);
    let parameters = source.parameters.iter().map(|(ty, name)| quote!((#ty, #name)));
    let (at_once, threads, shared) = (source.at_once as u32, threads as u32, source.shared as u32);
    let resident = source.resident as u32;
    let (fits, work) = (all(fits), loop_size(&func.work));
    let scratch = source.scratch_per_item as u32;
    let counters = func.scratch.as_ref().map_or(quote!(0i64), |scratch| loop_size(&scratch.counters));
    Ok(quote! {
        crate::Cuda {
            fits: #fits,
            entry: #name,
            parameters: &[#(#parameters),*],
            body: #body,
            allowed: #allowed,
            at_once: #at_once,
            threads: #threads,
            resident: #resident,
            shared: #shared,
            scratch_per_item: #scratch,
            sizes: crate::Sizes::Built {
                counters: |ints| i32::try_from(#counters).unwrap_or(i32::MAX),
                work: |ints| i32::try_from(#work).unwrap_or(i32::MAX),
            },
        }
    })
}

/// How the buffers of a kernel lie in memory on a target: the same under all of its schedules.
fn in_memory(kernel: &Kernel, lowered: &[(Schedule, Func)]) -> Result<TokenStream, LibraryError> {
    let layouts = &lowered[0].1.layouts;
    if lowered.iter().any(|(_, func)| func.layouts != *layouts) {
        return Err(LibraryError(format!("the schedules of `{}` want weights in different layouts", kernel.name)));
    }
    let ints = int_params(kernel);
    let bytes = kernel.buffers.iter().zip(layouts).enumerate().map(|(i, (b, layout))| {
        let mut shape: Vec<TokenStream> = b.shape.iter().map(|e| size(e, &ints)).collect();
        if let (Some(layout), [.., rows, _]) = (layout, &mut shape[..]) {
            let tile = layout.rows as i64;
            *rows = quote!((#rows + (#tile - 1)) / #tile * #tile);
        }
        let elem = b.elem_bytes as u64;
        quote!(out[#i] = #elem #(.saturating_mul((#shape) as u64))*;)
    });
    let layouts = layouts.iter().map(|layout| {
        let Some(Layout { rows, block_bytes, runs }) = layout else { return quote!(None) };
        let runs = runs.iter().map(
            |Run { offset, bytes, piece }| quote!(kgen::layout::Run { offset: #offset, bytes: #bytes, piece: #piece }),
        );
        quote!(Some(kgen::layout::Layout {
            rows: #rows,
            block_bytes: #block_bytes,
            runs: std::borrow::Cow::Borrowed(&[#(#runs),*]),
        }))
    });
    Ok(quote!(crate::Memory { bytes: |ints, out| { #(#bytes)* }, layouts: &[#(#layouts),*] }))
}

/// The integer parameters: dims, then integer scalars.
fn int_params(k: &Kernel) -> Vec<Var> {
    let is_int = |v: &&Var| matches!(k.vars[v.0 as usize].ty, Ty::Int { .. });
    k.dims.iter().chain(k.scalars.iter().filter(is_int)).copied().collect()
}

fn entry(k: &Kernel, memory: &[TokenStream], cpu: &[TokenStream], cuda: &[TokenStream]) -> TokenStream {
    let name = &k.name;
    let text = |v: &Var| k.vars[v.0 as usize].name.clone();
    let dims = k.dims.len();
    let ints = int_params(k);
    let int_names: Vec<String> = ints.iter().map(text).collect();
    let float_names: Vec<String> = k.scalars.iter().filter(|v| !ints.contains(v)).map(text).collect();
    let buffers = k.buffers.iter().map(buffer);
    let size = |e: &Expr| size(e, &ints);
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
    quote! {
        crate::Kernel {
            name: #name,
            ints: &[#(#int_names),*],
            dims: #dims,
            floats: &[#(#float_names),*],
            buffers: &[#(#buffers),*],
            require: |ints| { #(#requires)* Ok(()) },
            index_below: |ints, buffer| { #(#below)* None },
            ranges: &[#(#ranges),*],
            memory: [#(#memory),*],
            cpu: [#(#cpu),*],
            shipped: &[#(#cuda),*],
        }
    }
}

fn buffer(b: &Buffer) -> TokenStream {
    let Buffer { name, elem, elem_bytes, elements, written, .. } = b;
    let halves = b.fields.iter().filter(|field| field.scalar == Scalar::F16);
    let halves = halves.flat_map(|field| (0..field.len.unwrap_or(1)).map(|i| field.offset + 2 * i));
    quote! {
        crate::BufferInfo {
            name: #name,
            elem: #elem,
            elem_bytes: #elem_bytes,
            elements: #elements,
            halves: &[#(#halves),*],
            written: #written,
        }
    }
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
        BinOp::Eq => quote!((#a == #b)),
        BinOp::Ne => quote!((#a != #b)),
    }
}
