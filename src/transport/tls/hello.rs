//! Whether a ClientHello is complete, so that its handshake can be given the time that it takes.

/// Returns whether `input` holds a complete ClientHello in one or more records (RFC 8446 section 5.1), or bytes that
/// cannot become one, which rustls rejects.
pub(super) fn is_complete(mut input: &[u8]) -> bool {
    let (mut header, mut length) = ([0; 4], 0);
    while let [kind, _, _, high, low, rest @ ..] = input {
        let record = usize::from(*high) << 8 | usize::from(*low);
        if *kind != 22 || record == 0 || record > RECORD_MAX_BYTES {
            return true;
        }
        let Some((fragment, rest)) = rest.split_at_checked(record) else { return false };
        for (place, byte) in header.iter_mut().skip(length).zip(fragment) {
            *place = *byte;
        }
        length += record;
        let message = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
        let is_other = header[0] != CLIENT_HELLO || message > MESSAGE_MAX_BYTES;
        if is_other || (length >= header.len() && length - header.len() >= message) {
            return true;
        }
        input = rest;
    }
    false
}

/// The type of the message (RFC 8446 section 4).
const CLIENT_HELLO: u8 = 1;

/// The longest handshake message that rustls accepts.
const MESSAGE_MAX_BYTES: usize = 0xffff;

/// The maximum length of a record without encryption.
const RECORD_MAX_BYTES: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, fragment: &[u8]) -> Vec<u8> {
        let length = u16::try_from(fragment.len()).expect("a length").to_be_bytes();
        [&[kind, 3, 1][..], &length, fragment].concat()
    }

    #[test]
    fn a_message_is_complete_with_its_last_byte_in_one_or_more_records() {
        let message = [&[1, 0, 0, 10][..], &[7; 10]].concat();
        let whole = record(22, &message);
        let parts =
            [record(22, &message[..2]), record(22, &message[2..9]), record(22, &message[9..])].concat();
        for bytes in [whole, parts] {
            for cut in 0..bytes.len() {
                assert!(!is_complete(&bytes[..cut]), "{cut} of {} bytes", bytes.len());
            }
            assert!(is_complete(&bytes));
            assert!(is_complete(&[bytes, vec![0; 9]].concat()));
        }
    }

    #[test]
    fn bytes_that_are_no_message_are_left_to_the_session() {
        for bytes in [
            record(22, b"hello"),
            record(22, &[1, 1, 0, 0]),
            record(21, &[1, 1]),
            record(22, &[]),
            vec![22, 3, 1, 255, 255],
            vec![128, 0, 0, 0, 1],
        ] {
            assert!(is_complete(&bytes), "{bytes:?}");
        }
    }
}
