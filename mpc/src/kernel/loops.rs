//! Loops over words and ring elements, compiled once more for each instruction set.
//!
//! All slices of a call have the length of the first; what is longer is not touched.

#![allow(unsafe_code)]

use crate::Ring;

/// A function that runs its one body as compiled for the widest vectors that the processor has.
macro_rules! kernel {
    ($(#[$meta:meta])* fn $name:ident $(<$t:ident>)? ($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        #[inline]
        pub(crate) fn $name $(<$t: Ring>)? ($($arg: $ty),*) {
            #[inline(always)]
            fn portable $(<$t: Ring>)? ($($arg: $ty),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
                fn wide $(<$t: Ring>)? ($($arg: $ty),*) {
                    portable($($arg),*);
                }
                #[target_feature(enable = "avx2")]
                fn middle $(<$t: Ring>)? ($($arg: $ty),*) {
                    portable($($arg),*);
                }
                if is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                {
                    // SAFETY: the features of the callee were found just now.
                    unsafe { wide($($arg),*) };
                    return;
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the feature of the callee was found just now.
                    unsafe { middle($($arg),*) };
                    return;
                }
            }
            portable($($arg),*);
        }
    };
}

kernel! {
    /// out = this party's three terms of x & y: x_i y_i ^ x_i y_{i+1} ^ x_{i+1} y_i.
    fn and_terms(out: &mut [u64], xa: &[u64], xb: &[u64], ya: &[u64], yb: &[u64]) {
        let n = out.len();
        let (xa, xb, ya, yb) = (&xa[..n], &xb[..n], &ya[..n], &yb[..n]);
        for i in 0..n {
            out[i] = (xa[i] & (ya[i] ^ yb[i])) ^ (xb[i] & ya[i]);
        }
    }
}

kernel! {
    /// out ^= x.
    fn xor(out: &mut [u64], x: &[u64]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out ^= x;
        }
    }
}

kernel! {
    /// out = x ^ y.
    fn xor_of(out: &mut [u64], x: &[u64], y: &[u64]) {
        for (out, (x, y)) in out.iter_mut().zip(x.iter().zip(y)) {
            *out = x ^ y;
        }
    }
}

kernel! {
    /// out ^= x ^ y.
    fn xor_both(out: &mut [u64], x: &[u64], y: &[u64]) {
        for (out, (x, y)) in out.iter_mut().zip(x.iter().zip(y)) {
            *out ^= x ^ y;
        }
    }
}

kernel! {
    /// out = !out.
    fn flip(out: &mut [u64]) {
        for out in out {
            *out = !*out;
        }
    }
}

kernel! {
    /// out = this party's three terms of x y.
    fn product_terms<T>(out: &mut [T], xa: &[T], xb: &[T], ya: &[T], yb: &[T]) {
        let n = out.len();
        let (xa, xb, ya, yb) = (&xa[..n], &xb[..n], &ya[..n], &yb[..n]);
        for i in 0..n {
            out[i] = xa[i].times(ya[i].plus(yb[i])).plus(xb[i].times(ya[i]));
        }
    }
}

kernel! {
    /// sum += this party's three terms of the products of all rows.
    fn inner_terms<T>(sum: &mut T, xa: &[T], xb: &[T], ya: &[T], yb: &[T]) {
        let n = xa.len();
        let (xb, ya, yb) = (&xb[..n], &ya[..n], &yb[..n]);
        let mut total = *sum;
        for i in 0..n {
            total = total.plus(xa[i].times(ya[i].plus(yb[i])).plus(xb[i].times(ya[i])));
        }
        *sum = total;
    }
}

kernel! {
    /// out += x.
    fn plus<T>(out: &mut [T], x: &[T]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = out.plus(*x);
        }
    }
}

kernel! {
    /// out -= x.
    fn minus<T>(out: &mut [T], x: &[T]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = out.minus(*x);
        }
    }
}

kernel! {
    /// out += x + y.
    fn plus_both<T>(out: &mut [T], x: &[T], y: &[T]) {
        for (out, (x, y)) in out.iter_mut().zip(x.iter().zip(y)) {
            *out = out.plus(*x).plus(*y);
        }
    }
}

kernel! {
    /// out += the bits as 0 or 1: element i takes bit i.
    fn plus_bits<T>(out: &mut [T], bits: &[u64]) {
        for (group, &word) in out.chunks_mut(64).zip(bits) {
            for (i, out) in group.iter_mut().enumerate() {
                *out = out.plus(T::from_u64(word >> i & 1));
            }
        }
    }
}

kernel! {
    /// Negates element i where bit i is one.
    fn negate_where<T>(out: &mut [T], bits: &[u64]) {
        for (group, &word) in out.chunks_mut(64).zip(bits) {
            for (i, out) in group.iter_mut().enumerate() {
                // 1 - 2d: 1 or -1.
                let sign = T::from_u64(1).minus(T::from_u64((word >> i & 1) << 1));
                *out = out.times(sign);
            }
        }
    }
}

kernel! {
    /// out += x * weight.
    fn plus_weighted<T>(out: &mut [T], x: &[T], weight: T) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = out.plus(x.times(weight));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Noise;

    fn draw(noise: &mut Noise, n: usize) -> Vec<u64> {
        (0..n).map(|_| noise.word()).collect()
    }

    #[test]
    fn boolean_loops() {
        let mut noise = Noise::new(1);
        for n in [0, 1, 7, 64, 129] {
            let [xa, xb, ya, yb] = [0; 4].map(|_| draw(&mut noise, n));
            let mut out = draw(&mut noise, n);
            and_terms(&mut out, &xa, &xb, &ya, &yb);
            for i in 0..n {
                assert_eq!(out[i], (xa[i] & ya[i]) ^ (xa[i] & yb[i]) ^ (xb[i] & ya[i]));
            }
            xor_of(&mut out, &xa, &xb);
            xor(&mut out, &ya);
            xor_both(&mut out, &yb, &ya);
            flip(&mut out);
            for i in 0..n {
                assert_eq!(out[i], !(xa[i] ^ xb[i] ^ yb[i]));
            }
        }
    }

    #[test]
    fn ring_loops() {
        let mut noise = Noise::new(2);
        for n in [0, 1, 5, 64, 65, 200] {
            let [xa, xb, ya, yb, bits] = [0; 5].map(|_| draw(&mut noise, n));
            let mut out = draw(&mut noise, n);
            product_terms(&mut out, &xa, &xb, &ya, &yb);
            let term = |i: usize| {
                let first = xa[i].wrapping_mul(ya[i]).wrapping_add(xa[i].wrapping_mul(yb[i]));
                first.wrapping_add(xb[i].wrapping_mul(ya[i]))
            };
            let mut sum = 3_u64;
            inner_terms(&mut sum, &xa, &xb, &ya, &yb);
            assert_eq!(sum, (0..n).map(term).fold(3, u64::wrapping_add));
            plus(&mut out, &xa);
            minus(&mut out, &xb);
            plus_both(&mut out, &xb, &ya);
            plus_weighted(&mut out, &yb, 7);
            negate_where(&mut out, &bits);
            plus_bits(&mut out, &bits);
            for i in 0..n {
                let bit = bits[i / 64] >> (i % 64) & 1;
                let value = term(i)
                    .wrapping_add(xa[i])
                    .wrapping_add(ya[i])
                    .wrapping_add(yb[i].wrapping_mul(7));
                let value = if bit == 1 { value.wrapping_neg() } else { value };
                assert_eq!(out[i], value.wrapping_add(bit));
            }
        }
    }
}
