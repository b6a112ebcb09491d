//! What the GPU code of a kernel takes and does, told without a GPU: the resources in a cubin ([`cubin`], [`spills`]), how much of
//! an SM they leave for warps ([`occupancy`]), the instructions of the PTX ([`mix`]), the operations and bytes that the algorithm
//! IR asks for ([`counts`]), and the least time that these take on a GPU ([`roofline`]).
pub mod counts;
pub mod cubin;
mod footprint;
pub mod mix;
pub mod occupancy;
pub mod roofline;
pub mod spills;
