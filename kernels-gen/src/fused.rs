//! Two kernels in one launch.
use crate::Cuda;

/// Two kernels in one launch on CUDA: the group that finishes the last work item of the producer that an item of the consumer
/// reads does that item. It gives what the two launches give, one after the other.
///
/// It is for calls that both kernels accept, with one memory for the edge and no other in common that one of them writes.
#[derive(Debug)]
pub struct Fused {
    /// Name of the two as one.
    pub name: &'static str,
    /// Name of the kernel that writes the edge.
    pub producer: &'static str,
    /// Name of the kernel that reads it.
    pub consumer: &'static str,
    /// The edge: an index among the producer's buffers, and one among the consumer's.
    pub edge: (usize, usize),
    /// The code. Its parameters, also those of its functions, are made of those of both kernels by [`Fused::ints`],
    /// [`Fused::buffers`] and [`Fused::floats`]; other than a kernel's code it may fit no integers.
    pub cuda: Cuda,
}

impl Fused {
    /// The integers of both kernels, of which the first `dims` are dims, as one list: all dims, then all scalars.
    pub fn ints<T: Copy>(&self, producer: (&[T], usize), consumer: (&[T], usize)) -> Vec<T> {
        let parts = [producer, consumer].map(|(ints, dims)| ints.split_at(dims));
        [parts[0].0, parts[1].0, parts[0].1, parts[1].1].concat()
    }

    /// The buffers of both: the producer's, then the consumer's without the edge.
    pub fn buffers<T: Copy>(&self, producer: &[T], consumer: &[T]) -> Vec<T> {
        let others = consumer.iter().enumerate().filter(|(i, _)| *i != self.edge.1).map(|(_, buffer)| *buffer);
        producer.iter().copied().chain(others).collect()
    }

    /// The floats of both.
    pub fn floats<T: Copy>(&self, producer: &[T], consumer: &[T]) -> Vec<T> {
        [producer, consumer].concat()
    }
}
