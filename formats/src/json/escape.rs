//! Strings in quotes, and JSON over several lines, as Jackson writes them.

/// Appends a string in quotes, escaped as Jackson does it: `"`, `\` and control characters, beyond that only if asked.
pub(super) fn write_json_string(text: &[u8], escape_non_ascii: bool, out: &mut Vec<u8>) {
    out.push(b'"');
    let special = |b: &u8| *b < 0x20 || *b == b'"' || *b == b'\\' || (escape_non_ascii && *b >= 0x80);
    let mut rest = text;
    while let Some(at) = rest.iter().position(special) {
        out.extend_from_slice(&rest[..at]);
        let len = if rest[at] >= 0x80 { escape_char(&rest[at..], out) } else { escape_ascii(rest[at], out) };
        rest = &rest[at + len..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn escape_ascii(b: u8, out: &mut Vec<u8>) -> usize {
    let short = match b {
        b'"' | b'\\' => b,
        8 => b'b',
        9 => b't',
        10 => b'n',
        12 => b'f',
        13 => b'r',
        _ => {
            write_unit(u16::from(b), out);
            return 1;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
    1
}

/// The UTF-16 units of the character that comes next, as `\uXXXX`; returns how many bytes it took.
fn escape_char(rest: &[u8], out: &mut Vec<u8>) -> usize {
    let text = String::from_utf8_lossy(&rest[..rest.len().min(4)]);
    let c = text.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
    for unit in c.encode_utf16(&mut [0; 2]) {
        write_unit(*unit, out);
    }
    c.len_utf8().min(rest.len())
}

fn write_unit(unit: u16, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.push(DIGITS[usize::from(unit >> shift) & 15]);
    }
}

/// Jackson's pretty printer: objects over several lines, arrays on one.
pub(super) fn indent(compact: &[u8], out: &mut Vec<u8>) {
    let mut stack: Vec<u8> = Vec::new();
    let depth = |stack: &[u8]| stack.iter().filter(|b| **b == b'{').count();
    let new_line = |stack: &[u8], out: &mut Vec<u8>| {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth(stack), b' ');
    };
    let mut at = 0;
    while let Some(&b) = compact.get(at) {
        at += 1;
        match b {
            b'{' | b'[' => {
                out.push(b);
                if compact.get(at) == Some(&(b + 2)) {
                    out.extend_from_slice(&[b' ', b + 2]);
                    at += 1;
                    continue;
                }
                stack.push(b);
                if b == b'{' { new_line(&stack, out) } else { out.push(b' ') }
            }
            b'}' | b']' => {
                stack.pop();
                if b == b'}' {
                    new_line(&stack, out)
                } else {
                    out.push(b' ')
                }
                out.push(b);
            }
            b',' => {
                out.push(b',');
                if stack.last() == Some(&b'{') { new_line(&stack, out) } else { out.push(b' ') }
            }
            b':' => out.extend_from_slice(b" : "),
            b'"' => {
                let start = at - 1;
                while compact.get(at).is_some_and(|b| *b != b'"') {
                    at += 1 + usize::from(compact[at] == b'\\');
                }
                at = (at + 1).min(compact.len());
                out.extend_from_slice(&compact[start..at]);
            }
            b => out.push(b),
        }
    }
}
