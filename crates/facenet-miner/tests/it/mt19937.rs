//! numpy's legacy generator, for comparing with the reference only: MT19937 (Matsumoto and
//! Nishimura, 1998), seeded by `init_genrand`, bounded by masked rejection on 32-bit draws.

const N: usize = 624;
const M: usize = 397;

/// `numpy.random.seed(seed)` and what follows it.
pub(crate) struct Mt19937 {
    state: [u32; N],
    next: usize,
}

impl Mt19937 {
    pub(crate) fn new(seed: u32) -> Self {
        let mut state = [seed; N];
        for i in 1..N {
            let previous = state[i - 1] ^ (state[i - 1] >> 30);
            state[i] = previous.wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        Self { state, next: N }
    }

    fn twist(&mut self) {
        for i in 0..N {
            let joined = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
            let odd = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + M) % N] ^ (joined >> 1) ^ odd;
        }
        self.next = 0;
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        if self.next == N {
            self.twist();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }
}

impl Mt19937 {
    /// `numpy.random.randint(n)`: no draw for `n` of 1.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        if n < 2 {
            return 0;
        }
        let most = u32::try_from(n - 1).expect("test sizes are small");
        let mask = u32::MAX >> most.leading_zeros();
        loop {
            let word = self.next_u32() & mask;
            if word <= most {
                return word as usize;
            }
        }
    }

    /// `numpy.random.shuffle` of a list: Fisher-Yates from the last element down.
    pub(crate) fn shuffle<T>(&mut self, xs: &mut [T]) {
        for last in (1..xs.len()).rev() {
            xs.swap(last, self.below(last + 1));
        }
    }
}

/// The 10,000th output for seed 5489, as the C++ standard pins it ([rand.predef]).
#[test]
fn the_generator_is_mt19937() {
    let mut generator = Mt19937::new(5489);
    let last = (0..10_000).map(|_| generator.next_u32()).last();
    assert_eq!(last, Some(4_123_659_995));
}
