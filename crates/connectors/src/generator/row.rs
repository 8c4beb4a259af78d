//! What is in a row: a pure function of its number.

use weir_model::Column;

use super::keys::Keys;

/// The characters of a filling: of the same length in JSON as outside, and six bits each.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// How many characters one random number gives.
const CHARACTERS: usize = 10;

/// The most digits of a number.
const DIGITS_MAX: usize = 20;

const SEQ: &[u8] = b"{\"seq\":";
const KEY: &[u8] = b",\"key\":\"";
const PAYLOAD: &[u8] = b"\",\"payload\":\"";
const END: &[u8] = b"\"}";

/// Makes rows.
#[derive(Clone, Debug)]
pub(super) struct Maker {
    seed: u64,
    keys: Keys,
    payload_bytes: usize,
}

impl Maker {
    pub(super) fn new(seed: u64, keys: Keys, payload_bytes: usize) -> Self {
        Self {
            seed,
            keys,
            payload_bytes,
        }
    }

    /// The length of the longest row.
    pub(super) fn row_bytes_max(&self) -> usize {
        let fixed = SEQ.len() + KEY.len() + PAYLOAD.len() + END.len();
        fixed + 2 * DIGITS_MAX + self.payload_bytes
    }

    /// Appends row number `row`.
    pub(super) fn push(&self, row: u64, rows: &mut Column) {
        let mut random = Random::new(self.seed, row);
        let key = self.keys.of(row, &mut random);
        // The filling has numbers of its own: how many the key took does not change it.
        let mut random = Random::new(!self.seed, row);
        rows.push_with(|out| {
            out.extend_from_slice(SEQ);
            push_number(row, out);
            out.extend_from_slice(KEY);
            push_number(key, out);
            out.extend_from_slice(PAYLOAD);
            self.push_payload(&mut random, out);
            out.extend_from_slice(END);
        });
    }

    fn push_payload(&self, random: &mut Random, out: &mut Vec<u8>) {
        let mut left = self.payload_bytes;
        while left > 0 {
            let mut bits = random.next();
            let characters: [u8; CHARACTERS] = std::array::from_fn(|_| {
                let index = (bits % ALPHABET.len() as u64) as usize;
                bits /= ALPHABET.len() as u64;
                ALPHABET.get(index).copied().unwrap_or(b'-')
            });
            let taken = left.min(CHARACTERS);
            out.extend_from_slice(characters.get(..taken).unwrap_or(&characters));
            left -= taken;
        }
    }
}

/// Appends the decimal digits of a number. Formatting it costs several times that.
fn push_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; DIGITS_MAX];
    let mut from = DIGITS_MAX;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        from -= 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(from..).unwrap_or_default());
}

/// Random numbers of one row: `SplitMix64` (Steele, Lea and Flood, 2014), begun at a place that the
/// seed and the number of the row give, so that no row needs those before it.
#[derive(Clone, Debug)]
pub(super) struct Random {
    state: u64,
}

impl Random {
    /// The step of the sequence: 2^64 divided by the golden ratio, odd.
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    pub(super) fn new(seed: u64, row: u64) -> Self {
        // Mixed in between: else a row would have the numbers of the one before, moved by one.
        Self {
            state: mix(mix(seed.wrapping_add(Self::STEP)) ^ row.wrapping_mul(Self::STEP)),
        }
    }

    /// The next number, of any value.
    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(Self::STEP);
        mix(self.state)
    }

    /// The next number, from 0 to below 1, in steps of 2^-53.
    pub(super) fn next_unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The finishing of `SplitMix64`: each bit of the result depends on all bits of `z`.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_anybody_writes_them() {
        for number in [0, 7, 10, 99, 100, 1_234_567_890, u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            push_number(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }

    #[test]
    fn the_finishing_is_that_of_splitmix64() {
        // The reference generator with the seed 1234567.
        let mut random = Random { state: 1_234_567 };
        let first: Vec<_> = (0..3).map(|_| random.next()).collect();
        let known = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(first, known);
    }
}
