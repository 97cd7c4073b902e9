//! Checks numbers by the grammar of RFC 8259, section 6. The guard needs no number's value.

use super::malformed::Malformed;

/// Returns the length of the number at the start of `rest`. If `is_strict`, refuses a number beyond the
/// range of a double, as serde_json does.
#[inline]
pub(super) fn read(rest: &[u8], is_strict: bool) -> Result<usize, Malformed> {
    match rest {
        // Most numbers have one digit.
        [b'0'..=b'9', b',' | b'}' | b']', ..] => Ok(1),
        _ => read_slow(rest, is_strict),
    }
}

#[inline(never)]
fn read_slow(rest: &[u8], is_strict: bool) -> Result<usize, Malformed> {
    let mut at = usize::from(rest.first() == Some(&b'-'));
    let integer = digits(rest, at);
    if integer == 0 || integer > 1 && rest[at] == b'0' {
        return Err(Malformed);
    }
    at += integer;
    if rest.get(at) == Some(&b'.') {
        at += 1;
        let fraction = digits(rest, at);
        if fraction == 0 {
            return Err(Malformed);
        }
        at += fraction;
    }
    let mut exponent = 0;
    if let Some(b'e' | b'E') = rest.get(at) {
        at += 1;
        at += usize::from(matches!(rest.get(at), Some(b'+' | b'-')));
        exponent = digits(rest, at);
        if exponent == 0 {
            return Err(Malformed);
        }
        at += exponent;
    }
    let is_surely_finite = exponent <= 2 && at <= 200;
    if !is_strict || is_surely_finite || is_finite(&rest[..at]) {
        Ok(at)
    } else {
        Err(Malformed)
    }
}

#[inline]
fn digits(rest: &[u8], start: usize) -> usize {
    let mut end = start;
    while rest.get(end).is_some_and(u8::is_ascii_digit) {
        end += 1;
    }
    end - start
}

#[cold]
fn is_finite(number: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(number).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn assert_read_as_by_serde_json(text: &str) {
        let expected = serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_number());
        let read = read(text.as_bytes(), true);
        assert_eq!(read == Ok(text.len()), expected, "{text}: {read:?}");
    }

    #[test]
    fn a_number_is_accepted_if_and_only_if_serde_json_accepts_it() {
        for text in [
            "0",
            "-0",
            "10",
            "-7",
            "01",
            "00",
            "-01",
            "-",
            "+1",
            ".5",
            "1.",
            "1.5",
            "-1.50",
            "1.e5",
            "1e",
            "1e+",
            "1e5",
            "1E-5",
            "1e+05",
            "1.5e5",
            "1e5.5",
            "0e0",
            "1e99",
            "1e100",
            "1e308",
            "2e308",
            "1e309",
            "0e309",
            "1e-309",
            "1e-999999999999",
            "1e999999999999",
            "0e999999999999",
            "0.00001e312",
            "NaN",
            "1_000",
            "0x1",
        ] {
            assert_read_as_by_serde_json(text);
        }
        for digits in [199, 200, 201, 308, 309, 310, 400] {
            let integer = "9".repeat(digits);
            for text in [
                integer.clone(),
                format!("-{integer}.5"),
                format!("{integer}e-200"),
                format!("0.{integer}e9"),
            ] {
                assert_read_as_by_serde_json(&text);
            }
        }
    }

    #[test]
    fn the_range_is_checked_only_if_strict() {
        assert_eq!(read(b"1e999,", false), Ok(5));
        assert_eq!(read(b"1e999,", true), Err(Malformed));
        assert_eq!(read(b"1e", false), Err(Malformed));
    }

    proptest! {
        #[test]
        fn any_text_is_a_number_if_and_only_if_serde_json_reads_one(text in "-?[0-9]{0,3}[.eE+0-9-]{0,6}") {
            assert_read_as_by_serde_json(&text);
        }
    }
}
