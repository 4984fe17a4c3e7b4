//! Writing into a program how it is given messages.

use crate::kinds::kind::{PROTOCOL_SECTION, Protocol};

/// The id of custom sections, in core modules and in components.
const CUSTOM: u8 = 0;

/// The bytes of a program that says its protocol: a custom section at its end. What it said before is
/// overruled, since the last section counts.
#[must_use]
pub fn mark(program: &[u8], protocol: Protocol) -> Vec<u8> {
    let mut section = Vec::new();
    number(&mut section, PROTOCOL_SECTION.len());
    section.extend_from_slice(PROTOCOL_SECTION.as_bytes());
    section.extend_from_slice(protocol.word().as_bytes());
    let mut marked = program.to_vec();
    marked.push(CUSTOM);
    number(&mut marked, section.len());
    marked.extend_from_slice(&section);
    marked
}

/// As WebAssembly writes them: seven bits a byte, the lowest first.
fn number(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::kinds::kind::HandlerKind;
    use crate::load::inspect::inspect;

    #[test]
    fn a_marked_program_says_its_protocol() {
        for text in [
            "(module (func (export \"_start\")))",
            "(module (func (export \"_start\")) (func (export \"pelton_worker\")))",
        ] {
            let mut program = wat::parse_str(text).unwrap();
            for protocol in Protocol::ALL {
                program = mark(&program, protocol);
                assert_eq!(inspect(&program, 1 << 20, None).unwrap().kind, HandlerKind::Program(protocol));
            }
        }
    }
}
