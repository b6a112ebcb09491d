//! Kernels with others in them: by the interpreter they give what the kernels give one after the other, and what cannot be
//! computed in place is refused.
use kgen::diagnostic::{self, Source};
use kgen::ir::inline::{Inlined, inline};
use kgen::ir::{Kernel, interp};

const SOURCE: &str = "
    #[kernel]
    fn product<T: Dim, N: Dim, K: Dim>(w: &Ten<f32, N, K>, x: &Ten<f32, T, K>, y: &mut Ten<f32, T, N>) {
        for n in par(N) {
            for t in par(T) {
                y[t][n] = sum(0..K, chain, |acc, k| fma(w[n][k], x[t][k], acc));
            }
        }
    }

    #[kernel]
    fn scaled<T: Dim, N: Dim>(x: &Ten<f32, T, N>, b: &Ten<f32, N>, by: f32, y: &mut Ten<f32, T, N>) {
        for t in par(T) {
            for n in par(N) {
                y[t][n] = x[t][n] * by + b[n];
            }
        }
    }

    #[kernel]
    fn gated<T: Dim, N: Dim>(gate: &Ten<f32, T, N>, up: &Ten<f32, T, N>, y: &mut Ten<f32, T, N>) {
        for t in par(T) {
            for n in par(N) {
                y[t][n] = gate[t][n] * gate[t][n] / up[t][n];
            }
        }
    }

    #[kernel]
    fn total<T: Dim, N: Dim>(x: &Ten<f32, T, N>, y: &mut Ten<f32, T>) {
        for t in par(T) {
            y[t] = sum(0..N, chain, |acc, n| acc + x[t][n]);
        }
    }

    #[kernel]
    fn chosen<T: Dim, N: Dim>(x: &Ten<f32, T, N>, b: &Ten<f32, N>, y: &mut Ten<f32, T, N>) {
        for t in par(T) {
            for n in par(N) {
                y[t][n] = if 0.0 < b[n] { x[t][n] } else { b[n] };
            }
        }
    }

    #[kernel]
    fn most<T: Dim, N: Dim>(x: &Ten<f32, T, N>, y: &mut Ten<f32, T, N>) {
        for t in par(T) {
            for n in par(N - 1) {
                y[t][n] = x[t][n] + 1.0;
            }
        }
    }

    #[kernel]
    fn square<N: Dim>(x: &Ten<f32, N, N>, y: &mut Ten<f32, N, N>) {
        for n in par(N) {
            for i in par(n) {
                y[n][i] = x[n][i] + 1.0;
            }
        }
    }

    #[kernel]
    fn normed<T: Dim, K: Dim>(x: &Ten<f32, T, K>, w: &Ten<f32, K>, eps: f32, y: &mut Ten<f32, T, K>) {
        for t in par(T) {
            let squares = sum(0..K, chain, |acc, k| fma(x[t][k], x[t][k], acc));
            let scale = 1.0 / sqrt(squares + eps);
            for k in par(K) {
                y[t][k] = x[t][k] * scale * w[k];
            }
        }
    }

    #[kernel]
    fn blocks<T: Dim, B: Dim>(x: &Ten<f32, T, B, 4>, y: &mut Ten<f32, T, B, 4>) {
        for t in par(T) {
            for b in par(B) {
                let most = max_of(0..4, |i| abs(x[t][b][i]));
                let q = map(4, |i| x[t][b][i] / most);
                for i in par(4) {
                    y[t][b][i] = q[3 - i] + x[t][b][i];
                }
            }
        }
    }

    #[kernel]
    fn columns<T: Dim, K: Dim>(x: &Ten<f32, T, K>, y: &mut Ten<f32, K>) {
        for k in par(K) {
            y[k] = max_of(0..T, |t| x[t][k]);
        }
    }

    #[kernel]
    fn twice<T: Dim, N: Dim>(x: &Ten<f32, T, N>, y: &mut Ten<f32, T, N>) {
        for t in par(T) {
            for n in par(N) {
                let a = x[t][n] * 0.5;
                y[t][n] = a + a;
            }
        }
    }
";

fn kernels() -> Vec<Kernel> {
    let sources = [Source { name: "inline.rs".into(), text: SOURCE.into() }];
    kgen::compile(&sources).unwrap_or_else(|e| panic!("{}", diagnostic::render(&e, &sources, false)))
}

fn kernel<'k>(kernels: &'k [Kernel], name: &str) -> &'k Kernel {
    kernels.iter().find(|k| k.name == name).expect("it is in the source")
}

fn floats(seed: u32, len: usize) -> Vec<u8> {
    let number = |i: u32| (((i * 37 + seed * 101) % 64) as f32 - 31.5) / 8.0;
    (0..len as u32).flat_map(|i| number(i).to_le_bytes()).collect()
}

fn run(kernel: &Kernel, ints: &[i32], scalars: &[f32], buffers: &mut [Vec<u8>]) {
    interp::run(kernel, ints, scalars, buffers).unwrap_or_else(|e| panic!("{}: {e}", kernel.name));
}

/// Names and extents of an inlined kernel's parameters.
fn signature(inlined: &Inlined) -> String {
    let text = kgen::ir::print::kernel(&inlined.kernel);
    text.lines().take_while(|line| !line.contains("par ")).skip(1).map(|line| line.trim().to_string() + "\n").collect()
}

#[test]
fn a_product_in_what_reads_it() {
    let all = kernels();
    let (product, scaled) = (kernel(&all, "product"), kernel(&all, "scaled"));
    let inlined = inline("both", scaled, &[(0, product)], &[]).expect("it can be computed in place");
    assert_eq!(
        signature(&inlined),
        "param T: an integer in 1..=4194304\nparam N: an integer in 1..=4194304\nparam K: an integer in 1..=4194304\n\
         param by: f32\nread b: f32[N]\nwrite y: f32[T, N]\nread w: f32[N, K]\nread x: f32[T, K]\n"
    );
    assert_eq!(inlined.dims, [vec![(0, 0), (1, 0)], vec![(0, 1), (1, 1)], vec![(1, 2)]]);
    assert_eq!(inlined.scalars, [[(0, 0)]]);
    assert_eq!(inlined.buffers, [[(0, 1)], [(0, 2)], [(1, 0)], [(1, 1)]]);
    let (t, n, k) = (3, 5, 7);
    let (w, x, b) = (floats(1, n * k), floats(2, t * k), floats(3, n));
    let mut first = [w.clone(), x.clone(), vec![0; 4 * t * n]];
    let [t_, n_, k_] = [t, n, k].map(|v| v as i32);
    run(product, &[t_, n_, k_], &[], &mut first);
    let mut then = [first[2].clone(), b.clone(), vec![0; 4 * t * n]];
    run(scaled, &[t_, n_], &[0.3], &mut then);
    let mut both = [b, vec![0; 4 * t * n], w, x];
    run(&inlined.kernel, &[t_, n_, k_], &[0.3], &mut both);
    assert_eq!(both[1], then[2]);
}

#[test]
fn two_products_share_what_both_read() {
    let all = kernels();
    let (product, gated) = (kernel(&all, "product"), kernel(&all, "gated"));
    let inlined = inline("all", gated, &[(0, product), (1, product)], &["x".into()]).expect("it can be");
    let text = kgen::ir::print::kernel(&inlined.kernel);
    assert_eq!(text.matches("sum chain").count(), 2, "each once, though one is used twice: {text}");
    assert_eq!(inlined.buffers, [vec![(0, 2)], vec![(1, 0)], vec![(1, 1), (2, 1)], vec![(2, 0)]]);
    let names: Vec<&str> = inlined.kernel.buffers.iter().map(|b| b.name.as_str()).collect();
    assert_eq!(names, ["y", "gate_w", "x", "up_w"]);
    let (t, n, k) = (2, 4, 6);
    let ints = [t, n, k].map(|v| v as i32);
    let (gate, up, x) = (floats(1, n * k), floats(2, n * k), floats(3, t * k));
    let products = [&gate, &up].map(|w| {
        let mut buffers = [w.clone(), x.clone(), vec![0; 4 * t * n]];
        run(product, &ints, &[], &mut buffers);
        buffers[2].clone()
    });
    let [a, b] = products;
    let mut then = [a, b, vec![0; 4 * t * n]];
    run(gated, &ints[..2], &[], &mut then);
    let mut once = [vec![0; 4 * t * n], gate, x, up];
    run(&inlined.kernel, &ints, &[], &mut once);
    assert_eq!(once[0], then[2]);
    // By themselves, each reads its own.
    let apart = inline("all", gated, &[(0, product), (1, product)], &[]).expect("it can be");
    assert_eq!(apart.kernel.buffers.len(), 5);
    assert_eq!(apart.kernel.dims.len(), 4, "the rows of the weights may have other lengths");
}

#[test]
fn what_takes_no_sum_of_its_own_is_computed_wherever_it_is_read() {
    let all = kernels();
    let (normed, blocks) = (kernel(&all, "normed"), kernel(&all, "blocks"));
    let inlined = inline("both", blocks, &[(0, normed)], &[]).expect("it can be computed in place");
    assert_eq!(
        signature(&inlined),
        "param T: an integer in 1..=4194304\nparam B: an integer in 1..=4194304\nparam K: an integer in 1..=4194304\n\
         param eps: f32\nwrite y: f32[T, B, 4]\nread x: f32[T, K]\nread w: f32[K]\nrequire (K == (B * 4))\n"
    );
    let text = kgen::ir::print::kernel(&inlined.kernel);
    assert_eq!(text.matches("sum chain").count(), 1, "once in an iteration: {text}");
    assert_eq!(text.matches("* scale)").count(), 3, "in each of three places: {text}");
    let (t, b) = (3, 5);
    let (x, w) = (floats(1, t * b * 4), floats(2, b * 4));
    let [t_, b_, k_] = [t, b, b * 4].map(|v| v as i32);
    let mut first = [x.clone(), w.clone(), vec![0; 16 * t * b]];
    run(normed, &[t_, k_], &[0.25], &mut first);
    let mut then = [first[2].clone(), vec![0; 16 * t * b]];
    run(blocks, &[t_, b_], &[], &mut then);
    let mut both = [vec![0; 16 * t * b], x, w];
    run(&inlined.kernel, &[t_, b_, k_], &[0.25], &mut both);
    assert_eq!(both[0], then[1]);
    let other = interp::run(&inlined.kernel, &[t_, b_, k_ - 1], &[0.25], &mut both.clone());
    assert!(other.is_err(), "the rows are as long as their blocks");
}

#[test]
fn what_cannot_be_computed_in_place_is_refused() {
    let all = kernels();
    let refused = |consumer: &str, edge, producer: &str| {
        inline("no", kernel(&all, consumer), &[(edge, kernel(&all, producer))], &[]).expect_err("it is refused")
    };
    assert_eq!(refused("total", 0, "product"), "total reads some of it in another place");
    assert_eq!(refused("chosen", 0, "product"), "chosen reads some of it in another place");
    assert_eq!(refused("scaled", 1, "product"), "scaled and product: `b` and `y` have other extents");
    assert_eq!(refused("total", 0, "blocks"), "total and blocks: `x` and `y` have other extents");
    assert_eq!(refused("columns", 0, "normed"), "columns reads of several sums of normed in an iteration");
    assert_eq!(refused("scaled", 0, "most"), "most does not store all of its numbers");
    assert_eq!(refused("scaled", 0, "square"), "square does not store all of its numbers");
    assert_eq!(refused("scaled", 0, "twice"), "twice does not store one number in each of its iterations");
}
