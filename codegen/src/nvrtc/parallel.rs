//! Work by all threads of the machine: the compiler takes a second for a kernel, and is safe to call from several.
use std::num::NonZero;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What `f` makes of each part, in their order. A panic of `f` goes on here.
pub fn by_all_threads<T: Sync, R: Send + Sync>(parts: &[T], f: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let results: Vec<OnceLock<R>> = parts.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let worker = || {
        while let Some((part, result)) = {
            let i = next.fetch_add(1, Ordering::Relaxed);
            parts.get(i).zip(results.get(i))
        } {
            result.get_or_init(|| f(part));
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(parts.len());
        (0..threads).for_each(|_| drop(scope.spawn(worker)));
    });
    results.into_iter().map(|result| result.into_inner().expect("the scope has waited for all")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_done_once_and_in_its_place() {
        let calls = AtomicUsize::new(0);
        let parts: Vec<usize> = (0..1000).collect();
        let squares = by_all_threads(&parts, |n| {
            calls.fetch_add(1, Ordering::Relaxed);
            n * n
        });
        assert!(squares.iter().enumerate().all(|(i, square)| *square == i * i));
        assert_eq!((squares.len(), calls.into_inner()), (1000, 1000));
        assert_eq!(by_all_threads(&[0u8; 0], |_| 1), Vec::<i32>::new());
    }
}
