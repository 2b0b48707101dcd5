//! An object as it comes: text, or gzip of one member or several, whole or damaged.

use flate2::Crc;
use flowlog_core::decode::Limits;

use super::first;
use super::heard::decode;

/// First byte: what to make of the rest. 0: it is the object. 1: it is a text that is packed, whole;
/// 2: cut; 3: with a byte that is wrong. The next two bytes say where and how.
///
/// The outcome does not depend on how the object is cut into pieces; packing changes nothing; a gzip
/// that is cut, or of which a byte is wrong, is an error or says the same.
pub fn gzip(mut bytes: &[u8]) {
    let (what, place, piece) = (first(&mut bytes), first(&mut bytes), first(&mut bytes));
    let piece = usize::from(piece) * 8 + 1;
    let limits = Limits::default();
    let whole = |object: &[u8]| {
        let outcome = decode(object, object.len().max(1), limits);
        assert_eq!(decode(object, piece, limits), outcome, "in pieces of {piece}");
        outcome
    };
    if what % 4 == 0 {
        let _ = whole(bytes);
        return;
    }
    // What is no text is another encoding.
    if bytes.starts_with(b"\x1f\x8b") || bytes.starts_with(b"PAR1") {
        return;
    }
    let plain = decode(bytes, bytes.len().max(1), limits).map(|(counts, heard, _)| (counts, heard));
    let at = bytes.len() * usize::from(place) / 256;
    let packed = [member(&bytes[..at], true), member(&bytes[at..], false)].concat();
    match what % 4 {
        1 => {
            let unpacked = whole(&packed).map(|(counts, heard, _)| (counts, heard));
            assert_eq!(unpacked, plain);
        }
        2 => {
            let packed = member(bytes, true);
            let cut = packed.len() * usize::from(place) / 256;
            assert!(whole(&packed[..cut]).is_err(), "cut at {cut} of {}", packed.len());
        }
        _ => {
            let mut damaged = packed;
            let at = damaged.len() * usize::from(place) / 256;
            damaged[at] ^= first(&mut bytes).max(1);
            if let Ok((counts, heard, _)) = whole(&damaged) {
                assert_eq!(Ok((counts, heard)), plain, "damaged at {at}");
            }
        }
    }
}

/// A gzip member of stored blocks, with a file name if `named`.
pub(crate) fn member(text: &[u8], named: bool) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, if named { 8 } else { 0 }, 0, 0, 0, 0, 0, 255];
    if named {
        out.extend_from_slice(b"a.log\0");
    }
    let blocks = text.chunks(0xffff);
    let last = blocks.len().max(1) - 1;
    for (nth, block) in blocks.chain(text.is_empty().then_some(text)).enumerate() {
        out.push(u8::from(nth == last));
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    let mut sum = Crc::new();
    sum.update(text);
    out.extend_from_slice(&sum.sum().to_le_bytes());
    out.extend_from_slice(&sum.amount().to_le_bytes());
    out
}
