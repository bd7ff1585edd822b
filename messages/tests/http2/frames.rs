//! Frames of HTTP/2 of which a test says every byte (RFC 9113, RFC 7541).

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;
/// The client does not want it any more.
pub const CANCEL: [u8; 4] = [0, 0, 0, 8];
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// How a client begins.
pub fn begin() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// `GET /healthz`.
pub fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields(&[0x82], "/healthz"))
}

/// `PUT` with a body that is yet to come.
pub fn put(stream: u32, target: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &fields(b"\x42\x03PUT", target))
}

/// The method, `http`, the path, and `localhost`.
fn fields(method: &[u8], target: &str) -> Vec<u8> {
    let length = u8::try_from(target.len()).expect("short");
    [method, &[0x86, 0x44, length], target.as_bytes(), b"\x41\x09localhost"].concat()
}
