//! The kernels and block formats of apr, and the CPU code generated from them.
