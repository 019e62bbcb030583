//! JSON text written anew, as `from_json` has it for nested values that are read as STRING.

use super::decode::{content, float};
use super::escape::write_json_string;
use super::scan::{NumberKind, Scan, Scanner};
use crate::number;

/// Writes the value that comes next anew: no white space, numbers with a fraction as doubles.
pub(super) fn rewrite(scanner: &mut Scanner<'_>, out: &mut Vec<u8>, scratch: &mut Vec<u8>) -> Scan<()> {
    rewrite_nested(scanner, out, scratch, 0)
}

fn rewrite_nested(scanner: &mut Scanner<'_>, out: &mut Vec<u8>, scratch: &mut Vec<u8>, depth: usize) -> Scan<()> {
    if depth > 1000 {
        return scanner.error();
    }
    let Some(first) = scanner.next_token()? else {
        return scanner.error();
    };
    match first {
        b'{' | b'[' => {
            let close = first + 2;
            scanner.at += 1;
            out.push(first);
            if scanner.next_token()? == Some(close) {
                scanner.at += 1;
                out.push(close);
                return Ok(());
            }
            loop {
                if first == b'{' {
                    let name = scanner.name(scratch)?;
                    write_json_string(content(scanner, name, scratch), false, out);
                    scanner.expect(b':')?;
                    out.push(b':');
                }
                rewrite_nested(scanner, out, scratch, depth + 1)?;
                if !scanner.more(close)? {
                    out.push(close);
                    return Ok(());
                }
                out.push(b',');
            }
        }
        b't' => scanner.word(b"true").map(|()| out.extend_from_slice(b"true")),
        b'f' => scanner.word(b"false").map(|()| out.extend_from_slice(b"false")),
        b'n' => scanner.word(b"null").map(|()| out.extend_from_slice(b"null")),
        b if scanner.is_quote(b) => {
            let text = scanner.string(scratch)?;
            write_json_string(content(scanner, text, scratch), false, out);
            Ok(())
        }
        _ => {
            let n = scanner.number()?;
            let digits = &scanner.text[n.start..n.end];
            match n.kind {
                NumberKind::Int if digits == b"-0" => out.push(b'0'),
                NumberKind::Int => out.extend_from_slice(digits),
                kind => {
                    let quoted = kind != NumberKind::Float;
                    out.extend_from_slice(if quoted { b"\"" } else { b"" });
                    number::write_f64(float::<f64>(n, digits).unwrap_or(f64::NAN), out);
                    out.extend_from_slice(if quoted { b"\"" } else { b"" });
                }
            }
            Ok(())
        }
    }
}
