//! How each operator of the loop IR is done on a CPU register of some lanes: a row an operation, instruction sets and widths.
//!
//! Instructions that no operator stands for are in [`crate::instructions`]; all other code gets both through [`find`].
use super::Isa;
use super::row::*;
use crate::instructions;

/// Every row.
pub static ROWS: &[Row] = rows! {
    // Single numbers, for what plain Rust leaves open.
    HARD canonical_f32 (f) -> f { "f32::from_bits(bits_f32(a) as u32)" }
    PLAIN bits_f32 (f) -> i { "let a = a.to_bits(); (if a & 0x7fff_ffff > 0x7f80_0000 { 0x7fc0_0000 } else { a }) as i32" }
    PLAIN max_f32 (f f) -> f { "if a.is_nan() || b.is_nan() { f32::NAN } else if a == b { f32::from_bits(a.to_bits() & b.to_bits()) } \
        else if a > b { a } else { b }" }
    PLAIN min_f32 (f f) -> f { "if a.is_nan() || b.is_nan() { f32::NAN } else if a == b { f32::from_bits(a.to_bits() | b.to_bits()) } \
        else if a < b { a } else { b }" }
    PLAIN to_int_f32 (f i i) -> i { "if a.is_nan() { 0 } else { (a.round_ties_even() as i32).clamp(b, c) }" }
    PLAIN splat_pack (i) -> k { "a as u32 * 0x0101_0101" }
    // A number that the compiler does not know: loops up to it stay loops.
    SOFT rolled (i) -> i { "core::hint::black_box(a)" }
    HARD rolled (i) -> i { "let mut a = a; core::arch::asm!(\"/* {0:e} */\", inout(reg) a, options(pure, nomem, nostack, preserves_flags)); a" }
    PLAIN pair_half (i i) -> h { "(a as u32 & 0xffff) | (b as u32) << 16" }
    PLAIN add_pack (k k) -> k { BYTES_ADD }
    PLAIN sub_pack (k k) -> k { BYTES_SUB }
    PLAIN shl_pack (k i) -> k { "(a << b) & ((0xff_u32 << b) & 0xff) * 0x0101_0101" }
    PLAIN shr_u8x4 (k i) -> k { "(a >> b) & (0xff_u32 >> b) * 0x0101_0101" }
    PLAIN shr_i8x4 (k i) -> k { "sub_pack(shr_u8x4(a ^ 0x8080_8080, b), shr_u8x4(0x8080_8080, b))" }

    // Memory, one number.
    PLAIN load_f32 (P) -> f { "a.cast::<f32>().read_unaligned()" }
    SOFT load_f16 (P) -> f { F16_TO_F32 }
    HARD load_f16 (P) -> f { "_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(load_u16(a))))" }
    PLAIN load_bf16 (P) -> f { "f32::from_bits((load_u16(a) as u32) << 16)" }
    PLAIN load_i32 (P) -> i { "a.cast::<i32>().read_unaligned()" }
    PLAIN load_i16 (P) -> i { "a.cast::<i16>().read_unaligned() as i32" }
    PLAIN load_u16 (P) -> i { "a.cast::<u16>().read_unaligned() as i32" }
    PLAIN load_i8 (P) -> i { "a.cast::<i8>().read() as i32" }
    PLAIN load_u8 (P) -> i { "a.read() as i32" }
    PLAIN load_pack (P) -> k { "a.cast::<u32>().read_unaligned()" }
    PLAIN load_half (P) -> h { "a.cast::<u32>().read_unaligned()" }
    PLAIN store_f32 (P f) -> V { "a.cast::<i32>().write_unaligned(bits_f32(b))" }
    SOFT store_f16 (P f) -> V { F32_TO_F16 }
    HARD store_f16 (P f) -> V { "store_u16(a, _mm_cvtsi128_si32(_mm_cvtps_ph::<0>(_mm_set_ss(canonical_f32(b)))))" }
    PLAIN store_bf16 (P f) -> V { "let b = bits_f32(b) as u32; store_u16(a, ((b + 0x7fff + (b >> 16 & 1)) >> 16) as i32)" }
    PLAIN store_i32 (P i) -> V { "a.cast::<i32>().write_unaligned(b)" }
    PLAIN store_i16 (P i) -> V { "a.cast::<i16>().write_unaligned(b as i16)" }
    PLAIN store_u16 (P i) -> V { "a.cast::<u16>().write_unaligned(b as u16)" }
    PLAIN store_i8 (P i) -> V { "a.cast::<i8>().write(b as i8)" }
    PLAIN store_u8 (P i) -> V { "a.write(b as u8)" }

    SOFT prefetch (P N) -> V { "let _ = (a, b);" }
    // Where it stands among loads matters, and a compiler would put the intrinsic's behind all of them.
    HARD prefetch (P N) -> V { "let mut at = 0; while at < b { \
        core::arch::asm!(\"prefetcht0 byte ptr [{0}]\", in(reg) a.wrapping_offset(at), options(nostack, preserves_flags)); at += 64; }" }

    // Memory, a register from neighbouring numbers.
    VECTOR load_f32 (P) -> F { "{p}_loadu_ps(a.cast())" }
    VECTOR load_f16 (P) -> F { "{p}_cvtph_ps({load2}(a.cast()))" }
    VECTOR load_bf16 (P) -> F { "{p}_castsi{b}_ps({p}_slli_epi32::<16>(load_u16{x}(a)))" }
    VECTOR load_i32 (P) -> I { "{p}_loadu_si{b}(a.cast())" }
    VECTOR load_i16 (P) -> I { "{p}_cvtepi16_epi32({load2}(a.cast()))" }
    VECTOR load_u16 (P) -> I { "{p}_cvtepu16_epi32({load2}(a.cast()))" }
    VECTOR load_i8 (P) -> I { "{p}_cvtepi8_epi32({load1}(a.cast()))" }
    VECTOR load_u8 (P) -> I { "{p}_cvtepu8_epi32({load1}(a.cast()))" }
    VECTOR load_pack (P) -> K { "{p}_loadu_si{b}(a.cast())" }
    VECTOR load_half (P) -> H { "{p}_loadu_si{b}(a.cast())" }
    VECTOR store_f32 (P F) -> V { "{p}_storeu_ps(a.cast(), canonical_f32{x}(b))" }
    VECTOR store_f16 (P F) -> V { "{store2}(a.cast(), {p}_cvtps_ph::<0>(canonical_f32{x}(b)))" }
    VECTOR store_bf16 (P F) -> V { "let b = bits_f32{x}(b); let odd = {p}_and_si{b}({p}_srli_epi32::<16>(b), {p}_set1_epi32(1)); \
        store_u16{x}(a, {p}_srli_epi32::<16>({p}_add_epi32({p}_add_epi32(b, odd), {p}_set1_epi32(0x7fff))))" }
    VECTOR store_i32 (P I) -> V { "{p}_storeu_si{b}(a.cast(), b)" }
    AVX2 store_i16 (P I) -> V { "scatter_i16{x}(a, b, 2)" }
    AVX2 store_u16 (P I) -> V { "scatter_u16{x}(a, b, 2)" }
    AVX2 store_i8 (P I) -> V { "scatter_i8{x}(a, b, 1)" }
    AVX2 store_u8 (P I) -> V { "scatter_u8{x}(a, b, 1)" }
    AVX512 store_i16 (P I) -> V { "{store2}(a.cast(), {p}_cvtepi32_epi16(b))" }
    AVX512 store_u16 (P I) -> V { "{store2}(a.cast(), {p}_cvtepi32_epi16(b))" }
    AVX512 store_i8 (P I) -> V { "{store1}(a.cast(), {p}_cvtepi32_epi8(b))" }
    AVX512 store_u8 (P I) -> V { "{store1}(a.cast(), {p}_cvtepi32_epi8(b))" }

    // Memory, a register from numbers at equal distances.
    VECTOR gather_f32 (P N) -> F { GATHER_F }
    VECTOR gather_f16 (P N) -> F { GATHER_F }
    VECTOR gather_bf16 (P N) -> F { GATHER_F }
    VECTOR gather_i32 (P N) -> I { GATHER_I }
    VECTOR gather_i16 (P N) -> I { GATHER_I }
    VECTOR gather_u16 (P N) -> I { GATHER_I }
    VECTOR gather_i8 (P N) -> I { GATHER_I }
    VECTOR gather_u8 (P N) -> I { GATHER_I }
    VECTOR gather_pack (P N) -> K { "gather_i32{x}(a, b)" }
    VECTOR gather_half (P N) -> H { "gather_i32{x}(a, b)" }
    VECTOR scatter_f32 (P F N) -> V { SCATTER_F }
    VECTOR scatter_f16 (P F N) -> V { SCATTER_F }
    VECTOR scatter_bf16 (P F N) -> V { SCATTER_F }
    VECTOR scatter_i32 (P I N) -> V { SCATTER_I }
    VECTOR scatter_i16 (P I N) -> V { SCATTER_I }
    VECTOR scatter_u16 (P I N) -> V { SCATTER_I }
    VECTOR scatter_i8 (P I N) -> V { SCATTER_I }
    VECTOR scatter_u8 (P I N) -> V { SCATTER_I }

    // Floats.
    VECTOR broadcast_f32 (f) -> F { "{p}_set1_ps(a)" }
    VECTOR first_f32 (F) -> f { "{p}_cvtss_f32(a)" }
    VECTOR add_f32 (F F) -> F { "{p}_add_ps(a, b)" }
    VECTOR sub_f32 (F F) -> F { "{p}_sub_ps(a, b)" }
    VECTOR mul_f32 (F F) -> F { "{p}_mul_ps(a, b)" }
    VECTOR div_f32 (F F) -> F { "{p}_div_ps(a, b)" }
    VECTOR fma_f32 (F F F) -> F { "{p}_fmadd_ps(a, b, c)" }
    VECTOR sqrt_f32 (F) -> F { "{p}_sqrt_ps(a)" }
    VECTOR abs_f32 (F) -> F { "{p}_castsi{b}_ps({p}_and_si{b}({p}_castps_si{b}(a), {p}_set1_epi32(0x7fff_ffff)))" }
    VECTOR neg_f32 (F) -> F { "{p}_castsi{b}_ps({p}_xor_si{b}({p}_castps_si{b}(a), {p}_set1_epi32(i32::MIN)))" }
    AVX2 rint_f32 (F) -> F { "{p}_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a)" }
    AVX512 rint_f32 (F) -> F { "{p}_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a)" }
    // One order of the operands gives -0 for zeros of two signs, the other +0.
    AVX2 max_f32 (F F) -> F { "{p}_or_ps({p}_and_ps({p}_max_ps(a, b), {p}_max_ps(b, a)), {p}_cmp_ps::<_CMP_UNORD_Q>(a, b))" }
    AVX2 min_f32 (F F) -> F { "{p}_or_ps({p}_or_ps({p}_min_ps(a, b), {p}_min_ps(b, a)), {p}_cmp_ps::<_CMP_UNORD_Q>(a, b))" }
    AVX512 max_f32 (F F) -> F { "{p}_mask_mov_ps({p}_and_ps({p}_max_ps(a, b), {p}_max_ps(b, a)), \
        {p}_cmp_ps_mask::<_CMP_UNORD_Q>(a, b), {p}_set1_ps(f32::NAN))" }
    AVX512 min_f32 (F F) -> F { "{p}_mask_mov_ps({p}_or_ps({p}_min_ps(a, b), {p}_min_ps(b, a)), \
        {p}_cmp_ps_mask::<_CMP_UNORD_Q>(a, b), {p}_set1_ps(f32::NAN))" }
    // What is too small converts to i32::MIN by itself.
    AVX2 to_int_f32 (F i i) -> I { "let big = {p}_castps_si{b}({p}_cmp_ps::<_CMP_GE_OQ>(a, {p}_set1_ps(2147483648.0))); \
        let r = {p}_blendv_epi8({p}_cvtps_epi32(a), {p}_set1_epi32(i32::MAX), big); \
        let r = {p}_min_epi32({p}_max_epi32(r, {p}_set1_epi32(b)), {p}_set1_epi32(c)); \
        {p}_and_si{b}(r, {p}_castps_si{b}({p}_cmp_ps::<_CMP_ORD_Q>(a, a)))" }
    AVX512 to_int_f32 (F i i) -> I { "let big = {p}_cmp_ps_mask::<_CMP_GE_OQ>(a, {p}_set1_ps(2147483648.0)); \
        let r = {p}_mask_mov_epi32({p}_cvtps_epi32(a), big, {p}_set1_epi32(i32::MAX)); \
        let r = {p}_min_epi32({p}_max_epi32(r, {p}_set1_epi32(b)), {p}_set1_epi32(c)); \
        {p}_maskz_mov_epi32({p}_cmp_ps_mask::<_CMP_ORD_Q>(a, a), r)" }
    AVX2 canonical_f32 (F) -> F { "{p}_blendv_ps(a, {p}_set1_ps(f32::from_bits(0x7fc0_0000)), {p}_cmp_ps::<_CMP_UNORD_Q>(a, a))" }
    AVX512 canonical_f32 (F) -> F { "{p}_castsi{b}_ps({p}_mask_mov_epi32({p}_castps_si{b}(a), \
        {p}_cmp_ps_mask::<_CMP_UNORD_Q>(a, a), {p}_set1_epi32(0x7fc0_0000)))" }
    VECTOR bits_f32 (F) -> I { "{p}_castps_si{b}(canonical_f32{x}(a))" }
    VECTOR from_bits_i32 (I) -> F { "{p}_castsi{b}_ps(a)" }
    VECTOR to_f32_i32 (I) -> F { "{p}_cvtepi32_ps(a)" }
    AVX2 lt_f32 (F F) -> M { "{p}_castps_si{b}({p}_cmp_ps::<_CMP_LT_OQ>(a, b))" }
    AVX2 le_f32 (F F) -> M { "{p}_castps_si{b}({p}_cmp_ps::<_CMP_LE_OQ>(a, b))" }
    AVX2 eq_f32 (F F) -> M { "{p}_castps_si{b}({p}_cmp_ps::<_CMP_EQ_OQ>(a, b))" }
    AVX2 ne_f32 (F F) -> M { "{p}_castps_si{b}({p}_cmp_ps::<_CMP_NEQ_UQ>(a, b))" }
    AVX512 lt_f32 (F F) -> M { "{p}_cmp_ps_mask::<_CMP_LT_OQ>(a, b)" }
    AVX512 le_f32 (F F) -> M { "{p}_cmp_ps_mask::<_CMP_LE_OQ>(a, b)" }
    AVX512 eq_f32 (F F) -> M { "{p}_cmp_ps_mask::<_CMP_EQ_OQ>(a, b)" }
    AVX512 ne_f32 (F F) -> M { "{p}_cmp_ps_mask::<_CMP_NEQ_UQ>(a, b)" }
    VECTOR select_f32 (M F F) -> F { "{p}_castsi{b}_ps(select_i32{x}(a, {p}_castps_si{b}(b), {p}_castps_si{b}(c)))" }
    VECTOR4 shuffle_f32 (F i) -> F { "_mm_permutevar_ps(a, xor_i32x4(iota_i32x4(), broadcast_i32x4(b)))" }
    VECTOR8 shuffle_f32 (F i) -> F { "_mm256_permutevar8x32_ps(a, xor_i32x8(iota_i32x8(), broadcast_i32x8(b)))" }
    VECTOR16 shuffle_f32 (F i) -> F { "_mm512_permutexvar_ps(xor_i32x16(iota_i32x16(), broadcast_i32x16(b)), a)" }

    // Integers.
    VECTOR broadcast_i32 (i) -> I { "{p}_set1_epi32(a)" }
    VECTOR first_i32 (I) -> i { "{p}_cvtsi{b}_si32(a)" }
    VECTOR iota_i32 () -> I { "{p}_setr_epi32({iota})" }
    VECTOR add_i32 (I I) -> I { "{p}_add_epi32(a, b)" }
    VECTOR sub_i32 (I I) -> I { "{p}_sub_epi32(a, b)" }
    VECTOR mul_i32 (I I) -> I { "{p}_mullo_epi32(a, b)" }
    VECTOR min_i32 (I I) -> I { "{p}_min_epi32(a, b)" }
    VECTOR max_i32 (I I) -> I { "{p}_max_epi32(a, b)" }
    VECTOR and_i32 (I I) -> I { "{p}_and_si{b}(a, b)" }
    VECTOR or_i32 (I I) -> I { "{p}_or_si{b}(a, b)" }
    VECTOR xor_i32 (I I) -> I { "{p}_xor_si{b}(a, b)" }
    VECTOR shl_i32 (I I) -> I { "{p}_sllv_epi32(a, b)" }
    VECTOR shr_i32 (I I) -> I { "{p}_srav_epi32(a, b)" }
    VECTOR neg_i32 (I) -> I { "{p}_sub_epi32({p}_setzero_si{b}(), a)" }
    VECTOR abs_i32 (I) -> I { "{p}_abs_epi32(a)" }
    AVX2 lt_i32 (I I) -> M { "{p}_cmpgt_epi32(b, a)" }
    AVX2 le_i32 (I I) -> M { "not_bool{x}({p}_cmpgt_epi32(a, b))" }
    AVX2 eq_i32 (I I) -> M { "{p}_cmpeq_epi32(a, b)" }
    AVX2 ne_i32 (I I) -> M { "not_bool{x}({p}_cmpeq_epi32(a, b))" }
    AVX512 lt_i32 (I I) -> M { "{p}_cmplt_epi32_mask(a, b)" }
    AVX512 le_i32 (I I) -> M { "{p}_cmple_epi32_mask(a, b)" }
    AVX512 eq_i32 (I I) -> M { "{p}_cmpeq_epi32_mask(a, b)" }
    AVX512 ne_i32 (I I) -> M { "{p}_cmpneq_epi32_mask(a, b)" }
    AVX2 select_i32 (M I I) -> I { "{p}_blendv_epi8(c, b, a)" }
    AVX512 select_i32 (M I I) -> I { "{p}_mask_mov_epi32(c, a, b)" }
    VECTOR shuffle_i32 (I i) -> I { "{p}_castps_si{b}(shuffle_f32{x}({p}_castsi{b}_ps(a), b))" }

    // Truth values: a vector of all ones or zeros, or a mask register whose bits beyond the lanes mean nothing.
    AVX2 broadcast_bool (b) -> M { "{p}_set1_epi32(-(a as i32))" }
    AVX2 first_bool (M) -> b { "{p}_cvtsi{b}_si32(a) != 0" }
    AVX2 not_bool (M) -> M { "{p}_xor_si{b}(a, {p}_set1_epi32(-1))" }
    AVX2 and_bool (M M) -> M { "{p}_and_si{b}(a, b)" }
    AVX2 or_bool (M M) -> M { "{p}_or_si{b}(a, b)" }
    AVX2 xor_bool (M M) -> M { "{p}_xor_si{b}(a, b)" }
    AVX512 broadcast_bool (b) -> M { "if a { !0 } else { 0 }" }
    AVX512 first_bool (M) -> b { "a & 1 != 0" }
    AVX512 not_bool (M) -> M { "!a" }
    AVX512 and_bool (M M) -> M { "a & b" }
    AVX512 or_bool (M M) -> M { "a | b" }
    AVX512 xor_bool (M M) -> M { "a ^ b" }

    // Two halves a lane.
    VECTOR broadcast_half (h) -> H { "{p}_set1_epi32(a as i32)" }
    VECTOR pair_half (I I) -> H { "{p}_or_si{b}({p}_and_si{b}(a, {p}_set1_epi32(0xffff)), {p}_slli_epi32::<16>(b))" }

    // Four bytes a lane. There is no shift of bytes: shift 16 bits, and drop what came from the neighbour.
    VECTOR broadcast_pack (k) -> K { "{p}_set1_epi32(a as i32)" }
    VECTOR first_pack (K) -> k { "{p}_cvtsi{b}_si32(a) as u32" }
    VECTOR splat_pack (I) -> K { "{p}_mullo_epi32(a, {p}_set1_epi32(0x0101_0101))" }
    VECTOR select_pack (M K K) -> K { "select_i32{x}(a, b, c)" }
    VECTOR shuffle_pack (K i) -> K { "shuffle_i32{x}(a, b)" }
    VECTOR add_pack (K K) -> K { "{p}_add_epi8(a, b)" }
    VECTOR sub_pack (K K) -> K { "{p}_sub_epi8(a, b)" }
    VECTOR and_pack (K K) -> K { "{p}_and_si{b}(a, b)" }
    VECTOR or_pack (K K) -> K { "{p}_or_si{b}(a, b)" }
    VECTOR xor_pack (K K) -> K { "{p}_xor_si{b}(a, b)" }
    VECTOR shl_pack (K i) -> K { "{p}_and_si{b}({p}_sll_epi16(a, _mm_cvtsi32_si128(b)), {p}_set1_epi8((0xff_u32 << b) as i8))" }
    VECTOR shr_u8x4 (K i) -> K { "{p}_and_si{b}({p}_srl_epi16(a, _mm_cvtsi32_si128(b)), {p}_set1_epi8((0xff_u32 >> b) as i8))" }
    VECTOR shr_i8x4 (K i) -> K { "let sign = {p}_set1_epi8(i8::MIN); \
        {p}_sub_epi8(shr_u8x4{x}({p}_xor_si{b}(a, sign), b), shr_u8x4{x}(sign, b))" }

};

const BYTES_ADD: &str = "let (a, b) = (a.to_le_bytes(), b.to_le_bytes()); \
    u32::from_le_bytes([0, 1, 2, 3].map(|c: usize| a[c].wrapping_add(b[c])))";
const BYTES_SUB: &str = "let (a, b) = (a.to_le_bytes(), b.to_le_bytes()); \
    u32::from_le_bytes([0, 1, 2, 3].map(|c: usize| a[c].wrapping_sub(b[c])))";
const GATHER_F: &str = "let mut v = [0f32; {w}]; \
    for l in 0..{w} { v[l] = load_{s}(a.offset(l as isize * b)); } load_f32{x}(v.as_mut_ptr().cast())";
const GATHER_I: &str = "let mut v = [0i32; {w}]; \
    for l in 0..{w} { v[l] = load_{s}(a.offset(l as isize * b)); } load_i32{x}(v.as_mut_ptr().cast())";
const SCATTER_F: &str = "let mut v = [0f32; {w}]; store_f32{x}(v.as_mut_ptr().cast(), b); \
    for l in 0..{w} { store_{s}(a.offset(l as isize * c), v[l]); }";
const SCATTER_I: &str = "let mut v = [0i32; {w}]; store_i32{x}(v.as_mut_ptr().cast(), b); \
    for l in 0..{w} { store_{s}(a.offset(l as isize * c), v[l]); }";
// The bits of a half, moved into place, are its value divided by 2^112, also where it is subnormal.
const F16_TO_F32: &str = "let h = load_u16(a) as u32; let m = (h & 0x7fff) << 13; \
    let m = if h & 0x7c00 == 0x7c00 { m | 0x7f80_0000 } else { (f32::from_bits(m) * f32::from_bits(0x7780_0000)).to_bits() }; \
    f32::from_bits((h & 0x8000) << 16 | m)";
// From 65520 on the result is infinite; below 2^-14 adding 0.5 rounds to the half's last place; else round the bits.
const F32_TO_F16: &str = "let x = bits_f32(b) as u32; let m = x & 0x7fff_ffff; \
    let h = if m > 0x7f80_0000 { 0x7e00 } else if m >= 0x477f_f000 { 0x7c00 } \
    else if m < 0x3880_0000 { (f32::from_bits(m) + 0.5).to_bits() - 0.5f32.to_bits() } \
    else { (m - 0x3800_0000 + 0xfff + (m >> 13 & 1)) >> 13 }; \
    store_u16(a, ((x >> 16 & 0x8000) | h) as i32)";

/// The row of an operation or instruction, where `isa` has it on registers of `lanes`.
pub fn find(name: &str, isa: Isa, lanes: usize) -> Option<&'static Row> {
    isa.widths().contains(&lanes).then(|| rows().find(|row| row.name == name && row.on.has(isa, lanes)))?
}

/// The rows of all operations and instructions.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().chain(instructions::INSTRUCTIONS.iter().flat_map(|i| i.rust))
}
