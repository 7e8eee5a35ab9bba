//! A TLS ClientHello: version 1.3, offering 1.2 as well. Nothing is computed from the reply, so any 32
//! bytes are a key share.
//!
//! Source: RFC 8446, section 4.1.2 (ClientHello), 4.2 (extensions); RFC 6066, section 3 (SNI).

/// Those that any server of the last ten years has one of.
const CIPHER_SUITES: &[u16] =
    &[0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0x009c, 0x002f];

/// ECDSA, RSA-PSS, Ed25519, RSA with PKCS 1.
const SIGNATURES: &[u16] =
    &[0x0403, 0x0503, 0x0804, 0x0805, 0x0806, 0x0807, 0x0401, 0x0501, 0x0601];

const X25519: u16 = 0x001d;

/// X25519, P-256, P-384.
const GROUPS: &[u16] = &[X25519, 0x0017, 0x0018];

/// The record; `name` for the server name extension, if there is one.
pub fn client_hello(name: Option<&str>, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut out = vec![0x16, 3, 1];
    sized(&mut out, 2, |out| {
        out.push(1);
        sized(out, 3, |out| {
            out.extend([3, 3]);
            random.write(out);
            // A session to resume, as middleboxes expect it of 1.2.
            sized(out, 1, |out| random.write(out));
            sized(out, 2, |out| numbers(out, CIPHER_SUITES));
            // No compression.
            out.extend([1, 0]);
            sized(out, 2, |out| extensions(out, name, &mut random));
        });
    });
    out
}

fn extensions(out: &mut Vec<u8>, name: Option<&str>, random: &mut Random) {
    if let Some(name) = name {
        extension(out, 0, |out| {
            sized(out, 2, |out| {
                out.push(0);
                sized(out, 2, |out| out.extend(name.as_bytes()));
            });
        });
    }
    // supported_groups, signature_algorithms
    extension(out, 10, |out| sized(out, 2, |out| numbers(out, GROUPS)));
    extension(out, 13, |out| sized(out, 2, |out| numbers(out, SIGNATURES)));
    // ec_point_formats: uncompressed
    extension(out, 11, |out| out.extend([1, 0]));
    // extended_master_secret, renegotiation_info
    extension(out, 23, |_| ());
    extension(out, 0xff01, |out| out.push(0));
    // supported_versions: 1.3, 1.2
    extension(out, 43, |out| sized(out, 1, |out| numbers(out, &[0x0304, 0x0303])));
    // psk_key_exchange_modes: psk_dhe_ke
    extension(out, 45, |out| out.extend([1, 1]));
    // key_share
    extension(out, 51, |out| {
        sized(out, 2, |out| {
            numbers(out, &[X25519]);
            sized(out, 2, |out| random.write(out));
        });
    });
}

fn extension(out: &mut Vec<u8>, id: u16, mut write: impl FnMut(&mut Vec<u8>)) {
    numbers(out, &[id]);
    sized(out, 2, &mut write);
}

fn numbers(out: &mut Vec<u8>, all: &[u16]) {
    all.iter().for_each(|number| out.extend(number.to_be_bytes()));
}

/// What `write` appends, behind its length in `width` bytes.
fn sized(out: &mut Vec<u8>, width: usize, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.resize(at + width, 0);
    write(out);
    let length = (out.len() - at - width).to_be_bytes();
    out[at..at + width].copy_from_slice(&length[length.len() - width..]);
}

/// SplitMix64: enough for bytes that only have to look random.
/// Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
struct Random(u64);

impl Random {
    /// 32 bytes.
    fn write(&mut self, out: &mut Vec<u8>) {
        for _ in 0..4 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            out.extend((mixed ^ (mixed >> 31)).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes what follows its length in `width` bytes.
    fn take<'a>(rest: &mut &'a [u8], width: usize) -> &'a [u8] {
        let (length, behind) = rest.split_at(width);
        let length = length.iter().fold(0, |sum, byte| 256 * sum + usize::from(*byte));
        let (inside, behind) = behind.split_at(length);
        *rest = behind;
        inside
    }

    fn fixed<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
        let (first, behind) = rest.split_at(length);
        *rest = behind;
        first
    }

    /// The extensions, once all around them is checked.
    fn parsed(hello: &[u8]) -> Vec<(u16, Vec<u8>)> {
        let mut rest = hello;
        assert_eq!(fixed(&mut rest, 3), [0x16, 3, 1]);
        let mut record = take(&mut rest, 2);
        assert!(rest.is_empty());
        assert_eq!(fixed(&mut record, 1), [1]);
        let mut body = take(&mut record, 3);
        assert!(record.is_empty());
        assert_eq!(fixed(&mut body, 2), [3, 3]);
        let (random, session) = (fixed(&mut body, 32), take(&mut body, 1));
        assert!(session.len() == 32 && random != session);
        assert_eq!(take(&mut body, 2).len(), 2 * CIPHER_SUITES.len());
        assert_eq!(take(&mut body, 1), [0]);
        let mut all = take(&mut body, 2);
        assert!(body.is_empty());
        let mut extensions = Vec::new();
        while !all.is_empty() {
            let id = fixed(&mut all, 2);
            extensions.push((u16::from_be_bytes([id[0], id[1]]), take(&mut all, 2).to_vec()));
        }
        extensions
    }

    #[test]
    fn every_length_in_it_is_right() {
        for name in [None, Some("a"), Some("example.com"), Some(&*"x".repeat(253))] {
            let hello = client_hello(name, 7);
            let about_200 = 190..=230;
            let bytes = hello.len() - name.map_or(0, |name| name.len() + 9);
            assert!(about_200.contains(&bytes), "{bytes}");
            let all = parsed(&hello);
            let of = |id| all.iter().find(|(of, _)| *of == id).map(|(_, bytes)| &bytes[..]);
            assert_eq!(of(43).unwrap(), [4, 3, 4, 3, 3]);
            let share = of(51).unwrap();
            assert_eq!(share[..6], [0, 36, 0, 0x1d, 0, 32]);
            assert_eq!(share.len(), 6 + 32);
            assert_eq!(of(10).unwrap(), [0, 6, 0, 0x1d, 0, 0x17, 0, 0x18]);
            let sni = name.map(|name| {
                let length = u8::try_from(name.len()).unwrap();
                let list = u16::from(length) + 3;
                let head = [list.to_be_bytes().as_slice(), &[0, 0, length]].concat();
                [&head[..], name.as_bytes()].concat()
            });
            assert_eq!(of(0).map(<[u8]>::to_vec), sni);
        }
    }

    #[test]
    fn the_seed_decides_its_random_bytes() {
        assert_eq!(client_hello(None, 1), client_hello(None, 1));
        let [one, other] = [1, 2].map(|seed| client_hello(None, seed));
        assert!(one.len() == other.len() && one != other);
    }
}
