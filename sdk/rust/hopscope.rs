//! What plugins of the wasmparser processor import, for Rust. The meaning of each
//! call is in docs/plugin-abi.md. Put this file beside your source (`mod hopscope;`)
//! and build a cdylib for wasm32-unknown-unknown.

#![allow(dead_code)]

#[link(wasm_import_module = "hopscope")]
extern "C" {
    fn log(level: u32, p: *const u8, n: u32) -> i32;
    fn setting_get(key: *const u8, key_len: u32, p: *mut u8, n: u32) -> i32;
    fn attr_get(key: *const u8, key_len: u32, p: *mut u8, n: u32) -> i32;
    fn attr_set(key: *const u8, key_len: u32, typ: u32, p: *const u8, n: u32) -> i32;
    fn payload(side: u32, offset: u32, p: *mut u8, n: u32) -> i32;
    fn side() -> i32;
    fn message(kind: u32, length: u32, id: *const u8, id_len: u32) -> i32;
    fn state_get(p: *mut u8, n: u32) -> i32;
    fn state_set(p: *const u8, n: u32) -> i32;
}

#[no_mangle]
extern "C" fn abi_version() -> i32 {
    1
}

/// Results of on_span and parse_payload.
pub const NEXT: i32 = 0;
pub const STOP: i32 = 1;
/// Who sent a message, or its kind.
pub const REQUEST: u32 = 0;
pub const RESPONSE: u32 = 1;
pub const ONE_WAY: u32 = 2;

/// Result of check_payload for a protocol that the plugin knows.
pub fn mine(sender: u32) -> i32 {
    1 | (sender as i32 + 1) << 8
}

pub fn say(text: &str) {
    unsafe { log(0, text.as_ptr(), text.len() as u32) };
}

/// The part of buf that was written, if the value fits.
fn filled(buf: &mut [u8], n: i32) -> Option<&[u8]> {
    if n < 0 {
        return None;
    }
    buf.get(..n as usize)
}

/// A setting of the configuration.
pub fn setting<'a>(key: &str, buf: &'a mut [u8]) -> Option<&'a [u8]> {
    let n = unsafe { setting_get(key.as_ptr(), key.len() as u32, buf.as_mut_ptr(), buf.len() as u32) };
    filled(buf, n)
}

/// An attribute as text.
pub fn get<'a>(key: &str, buf: &'a mut [u8]) -> Option<&'a [u8]> {
    let n = unsafe { attr_get(key.as_ptr(), key.len() as u32, buf.as_mut_ptr(), buf.len() as u32) };
    filled(buf, n)
}

/// Sets an attribute; false: it may not be set.
pub fn set(key: &str, v: &[u8]) -> bool {
    unsafe { attr_set(key.as_ptr(), key.len() as u32, 0, v.as_ptr(), v.len() as u32) == 0 }
}

pub fn set_int(key: &str, v: i64) -> bool {
    let b = v.to_le_bytes();
    unsafe { attr_set(key.as_ptr(), key.len() as u32, 1, b.as_ptr(), 8) == 0 }
}

/// The payload of one side, from an offset on.
pub fn read(of: u32, offset: u32, buf: &mut [u8]) -> &[u8] {
    let n = unsafe { payload(of, offset, buf.as_mut_ptr(), buf.len() as u32) };
    filled(buf, n.max(0)).unwrap_or(&[])
}

/// Who sent what check_payload and parse_payload are about.
pub fn sender() -> u32 {
    unsafe { side() as u32 }
}

/// A message that parse_payload found.
pub fn found(kind: u32, length: u32, id: &[u8]) -> bool {
    unsafe { message(kind, length, id.as_ptr(), id.len() as u32) == 0 }
}

/// What the plugin keeps with the connection.
pub fn state(buf: &mut [u8]) -> Option<&[u8]> {
    let n = unsafe { state_get(buf.as_mut_ptr(), buf.len() as u32) };
    filled(buf, n)
}

pub fn set_state(b: &[u8]) -> bool {
    unsafe { state_set(b.as_ptr(), b.len() as u32) == 0 }
}
