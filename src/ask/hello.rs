//! A TLS ClientHello: version 1.3, offering 1.2 as well. Nothing is computed from the reply, so any 32
//! bytes are a key share.
//!
//! Source: RFC 8446, section 4.1.2 (ClientHello), 4.2 (extensions); RFC 6066, section 3 (SNI).

/// Cipher suites that any server of the last ten years has one of, then no compression; each behind its
/// length.
const SUITES: &[u8] = &[
    0, 22, 0x13, 1, 0x13, 2, 0x13, 3, 0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x2c, 0xc0, 0x30, 0xcc, 0xa9,
    0xcc, 0xa8, 0, 0x9c, 0, 0x2f, 1, 0,
];

/// All extensions but the server name, each with its number and length. The key follows.
#[rustfmt::skip]
const EXTENSIONS: &[u8] = &[
    // supported_groups: X25519, P-256, P-384
    0, 10, 0, 8, 0, 6, 0, 0x1d, 0, 0x17, 0, 0x18,
    // ec_point_formats: uncompressed
    0, 11, 0, 2, 1, 0,
    // signature_algorithms: ECDSA, RSA-PSS, Ed25519, RSA with PKCS 1
    0, 13, 0, 20, 0, 18, 4, 3, 5, 3, 8, 4, 8, 5, 8, 6, 8, 7, 4, 1, 5, 1, 6, 1,
    // extended_master_secret, renegotiation_info
    0, 23, 0, 0,
    0xff, 1, 0, 1, 0,
    // supported_versions: 1.3, 1.2
    0, 43, 0, 5, 4, 3, 4, 3, 3,
    // psk_key_exchange_modes: psk_dhe_ke
    0, 45, 0, 2, 1, 1,
    // key_share: X25519
    0, 51, 0, 38, 0, 36, 0, 0x1d, 0, 32,
];

/// The record; `name`, of at most 1,000 bytes, is for the server name extension, if there is one.
pub fn client_hello(name: Option<&str>, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut extensions = Vec::new();
    if let Some(name) = name {
        extensions.extend([0, 0]);
        // Of the extension, its list, and after the type of the name, the name.
        extensions.extend(length(name.len() + 5));
        extensions.extend(length(name.len() + 3));
        extensions.push(0);
        extensions.extend(length(name.len()));
        extensions.extend(name.as_bytes());
    }
    extensions.extend(EXTENSIONS);
    random.write(&mut extensions);
    // The lengths of the record and of the handshake message come last.
    let mut out = vec![0x16, 3, 1, 0, 0, 1, 0, 0, 0, 3, 3];
    random.write(&mut out);
    // A session to resume, as middleboxes expect it of 1.2.
    out.push(32);
    random.write(&mut out);
    out.extend(SUITES);
    out.extend(length(extensions.len()));
    out.extend(extensions);
    for (at, behind) in [(3, 5), (7, 9)] {
        let [high, low] = length(out.len() - behind);
        (out[at], out[at + 1]) = (high, low);
    }
    out
}

fn length(bytes: usize) -> [u8; 2] {
    let [.., high, low] = bytes.to_be_bytes();
    [high, low]
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
        assert_eq!(take(&mut body, 2).len(), 22);
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
