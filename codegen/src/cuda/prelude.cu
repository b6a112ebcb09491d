// What every kernel may call. Each float operation names its rounding; NaN and signed zeros are as the language says.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef long long i64;

#define DEVICE [[maybe_unused]] static __device__ __forceinline__

DEVICE bool is_nan(float x) { return (__float_as_uint(x) & 0x7fffffffu) > 0x7f800000u; }
DEVICE float canonical(float x) { return is_nan(x) ? __uint_as_float(0x7fc00000u) : x; }
DEVICE int bits(float x) { return __float_as_int(canonical(x)); }
// NaN where either is one; -0 is below +0.
DEVICE float fmax_total(float a, float b) {
    float c;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(c) : "f"(a), "f"(b));
    return c;
}
DEVICE float fmin_total(float a, float b) {
    float c;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(c) : "f"(a), "f"(b));
    return c;
}
DEVICE int to_int(float x, int lo, int hi) { return is_nan(x) ? 0 : max(lo, min(hi, __float2int_rn(x))); }

DEVICE int dp4a(int sum, u32 a, u32 b) {
    int d;
    asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(sum));
    return d;
}

DEVICE u32 bytes(int a, int b, int c, int d) {
    return __byte_perm(__byte_perm((u32)a, (u32)b, 0x0040), __byte_perm((u32)c, (u32)d, 0x0040), 0x5410);
}

// Without a branch, which lanes would take apart.
DEVICE u32 choose(bool first, u32 a, u32 b) {
    u32 c;
    asm("lop3.b32 %0, %1, %2, %3, 0xca;" : "=r"(c) : "r"(first ? 0xffffffffu : 0u), "r"(a), "r"(b));
    return c;
}
// The compiler neither moves it nor puts it off.
DEVICE void multiply_add(int& c, int a, int b) { asm volatile("mad.lo.s32 %0, %1, %2, %0;" : "+r"(c) : "r"(a), "r"(b)); }

DEVICE u32 bytes_twice(int a, int c) { return (u32)a * 0x101u + (u32)c * 0x1010000u; }

// Products of matrices: a warp has 16 rows of bytes and 8 columns, and adds to 16 times 8 sums.
DEVICE void matrix_32(int& c0, int& c1, int& c2, int& c3, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+r"(c0), "+r"(c1), "+r"(c2), "+r"(c3) : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
DEVICE void matrix_16(int& c0, int& c1, int& c2, int& c3, u32 a0, u32 a1, u32 b0) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                 : "+r"(c0), "+r"(c1), "+r"(c2), "+r"(c3) : "r"(a0), "r"(a1), "r"(b0));
}
// Columns of halves: their lower bytes, which are unsigned, and 256 times their upper ones.
#define MATRIX_OF_BYTES(LOWER, UPPER)                                                                                            \
    const u32 low = __byte_perm(b0, b1, 0x6420), high = __byte_perm(b0, b1, 0x7531);                                             \
    int h0 = 0, h1 = 0, h2 = 0, h3 = 0;                                                                                          \
    asm volatile("mma.sync.aligned.m16n8k16.row.col.s32." UPPER ".s32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"       \
                 : "+r"(h0), "+r"(h1), "+r"(h2), "+r"(h3) : "r"(a0), "r"(a1), "r"(high));                                        \
    c0 += h0 * 256, c1 += h1 * 256, c2 += h2 * 256, c3 += h3 * 256;                                                               \
    asm volatile("mma.sync.aligned.m16n8k16.row.col.s32." LOWER ".s32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"       \
                 : "+r"(c0), "+r"(c1), "+r"(c2), "+r"(c3) : "r"(a0), "r"(a1), "r"(low))
DEVICE void matrix_unsigned_halves(int& c0, int& c1, int& c2, int& c3, u32 a0, u32 a1, u32 b0, u32 b1) {
    MATRIX_OF_BYTES("u8.u8", "u8.s8");
}
DEVICE void matrix_signed_halves(int& c0, int& c1, int& c2, int& c3, u32 a0, u32 a1, u32 b0, u32 b1) {
    MATRIX_OF_BYTES("s8.u8", "s8.s8");
}
#undef MATRIX_OF_BYTES

// 64 columns, which lie in shared memory: byte k of column n at k / 16 * apart + n * 16 + k % 16. Four warps begin it together.
DEVICE void matrix_wide(
    int& c0, int& c1, int& c2, int& c3, int& c4, int& c5, int& c6, int& c7, int& c8, int& c9, int& c10, int& c11,
    int& c12, int& c13, int& c14, int& c15, int& c16, int& c17, int& c18, int& c19, int& c20, int& c21, int& c22,
    int& c23, int& c24, int& c25, int& c26, int& c27, int& c28, int& c29, int& c30, int& c31,
    u32 a0, u32 a1, u32 a2, u32 a3, const u8* columns, int apart
) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    const unsigned long long place = ((u32)__cvta_generic_to_shared(columns) & 0x3ffffu) >> 4;
    const unsigned long long matrix = place | (unsigned long long)(apart >> 4) << 16 | 8ull << 32;
    asm volatile(
        "{ .reg .pred add; setp.eq.u32 add, 0, 0; "
        "wgmma.mma_async.sync.aligned.m64n64k32.s32.u8.s8 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, {%32, %33, %34, %35}, %36, add; }"
        : "+r"(c0), "+r"(c1), "+r"(c2), "+r"(c3), "+r"(c4), "+r"(c5), "+r"(c6), "+r"(c7), "+r"(c8), "+r"(c9),
          "+r"(c10), "+r"(c11), "+r"(c12), "+r"(c13), "+r"(c14), "+r"(c15), "+r"(c16), "+r"(c17), "+r"(c18), "+r"(c19),
          "+r"(c20), "+r"(c21), "+r"(c22), "+r"(c23), "+r"(c24), "+r"(c25), "+r"(c26), "+r"(c27), "+r"(c28), "+r"(c29),
          "+r"(c30), "+r"(c31)
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "l"(matrix)
        : "memory");
#else
    const int lane = threadIdx.x % 32;
    const u8* own = columns + lane / 4 * 16 + lane % 4 * 4;
#define OF_8(N, C0, C1, C2, C3) \
    matrix_32(C0, C1, C2, C3, a0, a1, a2, a3, *(const u32*)(own + N * 128), *(const u32*)(own + N * 128 + apart))
    OF_8(0, c0, c1, c2, c3);
    OF_8(1, c4, c5, c6, c7);
    OF_8(2, c8, c9, c10, c11);
    OF_8(3, c12, c13, c14, c15);
    OF_8(4, c16, c17, c18, c19);
    OF_8(5, c20, c21, c22, c23);
    OF_8(6, c24, c25, c26, c27);
    OF_8(7, c28, c29, c30, c31);
#undef OF_8
#endif
}

// What stands in front of such products, and what waits for those that have changed these registers.
DEVICE void before_wide() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
DEVICE void await_wide(
    int& c0, int& c1, int& c2, int& c3, int& c4, int& c5, int& c6, int& c7, int& c8, int& c9, int& c10, int& c11,
    int& c12, int& c13, int& c14, int& c15, int& c16, int& c17, int& c18, int& c19, int& c20, int& c21, int& c22,
    int& c23, int& c24, int& c25, int& c26, int& c27, int& c28, int& c29, int& c30, int& c31
) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    asm volatile(
        "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;"
        : "+r"(c0), "+r"(c1), "+r"(c2), "+r"(c3), "+r"(c4), "+r"(c5), "+r"(c6), "+r"(c7), "+r"(c8), "+r"(c9),
          "+r"(c10), "+r"(c11), "+r"(c12), "+r"(c13), "+r"(c14), "+r"(c15), "+r"(c16), "+r"(c17), "+r"(c18), "+r"(c19),
          "+r"(c20), "+r"(c21), "+r"(c22), "+r"(c23), "+r"(c24), "+r"(c25), "+r"(c26), "+r"(c27), "+r"(c28), "+r"(c29),
          "+r"(c30), "+r"(c31)
        :
        : "memory");
#endif
}

// A launch may start while the one before it is still at work, and then waits for it; so it can ask for constant memory meanwhile.
// It lets the next one start only when it has not to wait any more: else ever more launches would fill the GPU with waiting threads.
#if __CUDA_ARCH__ >= 900
DEVICE void let_next_launch_start() { asm volatile("griddepcontrol.launch_dependents;"); }
DEVICE void await_launch_before() { asm volatile("griddepcontrol.wait;" ::: "memory"); }
#else
DEVICE void let_next_launch_start() {}
DEVICE void await_launch_before() {}
#endif
DEVICE void ask_for(const u8* p, int bytes, int lane, int width) {
    for (int line = lane * 128; line < bytes; line += width * 128) {
        asm volatile("prefetch.global.L2 [%0];" :: "l"(__cvta_generic_to_global(p + line)));
    }
}

// Counts an arrival at a counter, which the last of `of` sets to 0 again. What was written before it is seen by who comes later.
DEVICE bool arrive(u32* counter, int of) {
    if (of == 1) return true;
    u32 before;
    asm volatile("atom.acq_rel.gpu.global.inc.u32 %0, [%1], %2;"
                 : "=r"(before) : "l"(__cvta_generic_to_global(counter)), "r"((u32)of - 1u) : "memory");
    return before == (u32)of - 1u;
}
// The same for a group of lanes: all have written before, and all may read afterwards.
DEVICE bool arrive(u32* counter, int of, int lane, u32 mask, int width) {
    __syncwarp(mask);
    const int last = lane == 0 ? arrive(counter, of) : 0;
    __syncwarp(mask);
    return __shfl_sync(mask, last, 0, width);
}
// The same for a team, which is all threads of a CTA: it counts once.
DEVICE bool arrive_as_cta(u32* counter, int of) {
    __syncthreads();
    return __syncthreads_or(threadIdx.x == 0 && arrive(counter, of));
}

// Copies from global to shared memory that go on while the thread does: it waits for its own.
DEVICE void copy_4(u8* to, const u8* from) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;"
                 :: "r"((u32)__cvta_generic_to_shared(to)), "l"(__cvta_generic_to_global(from)) : "memory");
}
DEVICE void copy_8(u8* to, const u8* from) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8;"
                 :: "r"((u32)__cvta_generic_to_shared(to)), "l"(__cvta_generic_to_global(from)) : "memory");
}
DEVICE void copy_16(u8* to, const u8* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;"
                 :: "r"((u32)__cvta_generic_to_shared(to)), "l"(__cvta_generic_to_global(from)) : "memory");
}
DEVICE void await_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }
// What this thread has written to shared memory is seen by instructions that read it by themselves.
DEVICE void show_to_matrices() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// Bytes, each on its own; by proof none overflows.
DEVICE u32 pack_shr(u32 x, int by) { return (x >> by) & (0x01010101u * (0xffu >> by)); }
DEVICE u32 pack_shl(u32 x, int by) { return x << by; }

DEVICE float load_f32(const u8* p) { return *(const float*)p; }
DEVICE int load_i32(const u8* p) { return *(const int*)p; }
DEVICE int load_i16(const u8* p) { return *(const short*)p; }
DEVICE int load_u16(const u8* p) { return *(const u16*)p; }
// Opaque, so that the compiler does not look for dots of bytes: NVRTC 13.0 loses shifts and masks of their factors.
DEVICE int opaque(int x) {
    asm("" : "+r"(x));
    return x;
}
DEVICE int load_i8(const u8* p) { return opaque(*(const signed char*)p); }
DEVICE int shr(int x, int by) { return opaque(x >> by); }
DEVICE int load_u8(const u8* p) { return *p; }
DEVICE float load_bf16(const u8* p) { return __uint_as_float((u32)*(const u16*)p << 16); }
DEVICE float load_f16(const u8* p) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(*(const u16*)p));
    return x;
}
DEVICE u32 load_pack4(const u8* p) { return *(const u32*)p; }
DEVICE u32 load_pack2(const u8* p) { return ((const u16*)p)[0] | (u32)((const u16*)p)[1] << 16; }
DEVICE u32 load_pack1(const u8* p) { return p[0] | (u32)p[1] << 8 | (u32)p[2] << 16 | (u32)p[3] << 24; }

DEVICE void store_f32(u8* p, float x) { *(float*)p = canonical(x); }
DEVICE void store_i32(u8* p, int x) { *(int*)p = x; }
DEVICE void store_i16(u8* p, int x) { *(short*)p = (short)x; }
DEVICE void store_u16(u8* p, int x) { *(u16*)p = (u16)x; }
DEVICE void store_i8(u8* p, int x) { *(signed char*)p = (signed char)x; }
DEVICE void store_u8(u8* p, int x) { *p = (u8)x; }
DEVICE void store_f16(u8* p, float x) {
    u16 h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x));
    *(u16*)p = is_nan(x) ? (u16)0x7e00 : h;
}
DEVICE void store_bf16(u8* p, float x) {
    u32 u = __float_as_uint(x);
    *(u16*)p = is_nan(x) ? (u16)0x7fc0 : (u16)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

// Numbers that may lie at any byte.
DEVICE u16 two_bytes(const u8* p) { return (u16)(p[0] | (u32)p[1] << 8); }
DEVICE void put_two_bytes(u8* p, u16 x) { p[0] = (u8)x; p[1] = (u8)(x >> 8); }
DEVICE void put_four_bytes(u8* p, u32 x) { put_two_bytes(p, (u16)x); put_two_bytes(p + 2, (u16)(x >> 16)); }

DEVICE float load_f32_bytes(const u8* p) { return __uint_as_float(load_pack1(p)); }
DEVICE int load_i32_bytes(const u8* p) { return (int)load_pack1(p); }
DEVICE int load_i16_bytes(const u8* p) { return (short)two_bytes(p); }
DEVICE int load_u16_bytes(const u8* p) { return two_bytes(p); }
DEVICE float load_f16_bytes(const u8* p) { u16 h = two_bytes(p); return load_f16((const u8*)&h); }
DEVICE float load_bf16_bytes(const u8* p) { u16 h = two_bytes(p); return load_bf16((const u8*)&h); }

DEVICE void store_f32_bytes(u8* p, float x) { put_four_bytes(p, __float_as_uint(canonical(x))); }
DEVICE void store_i32_bytes(u8* p, int x) { put_four_bytes(p, (u32)x); }
DEVICE void store_i16_bytes(u8* p, int x) { put_two_bytes(p, (u16)x); }
DEVICE void store_u16_bytes(u8* p, int x) { put_two_bytes(p, (u16)x); }
// By way of 32 bits: ptxas 13.0 stores (u8)1.0 and not the low byte of 1.0's half where the bytes of a `cvt` are stored at once.
DEVICE u32 half_bits(float x) {
    u32 h;
    asm("{.reg .b16 h, z; mov.b16 z, 0; cvt.rn.f16.f32 h, %1; mov.b32 %0, {h, z};}" : "=r"(h) : "f"(x));
    return is_nan(x) ? 0x7e00u : h;
}
DEVICE void store_f16_bytes(u8* p, float x) { put_two_bytes(p, (u16)half_bits(x)); }
DEVICE void store_bf16_bytes(u8* p, float x) { u16 h; store_bf16((u8*)&h, x); put_two_bytes(p, h); }
