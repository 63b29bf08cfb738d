// As head.c, in Rust: whether sdk/rust/hopscope.rs works. Built by hand, with Rust
// 1.63 and libstd-rust-dev-wasm32 of Debian 12, whose own linker is not installed:
//
//   rustc --edition 2021 --target wasm32-unknown-unknown --crate-type cdylib -O -C panic=abort \
//     -C lto=fat -C embed-bitcode=yes -C codegen-units=1 --emit obj -o head.o head.rs
//   wasm-ld-19 --no-entry --gc-sections --strip-all --allow-undefined \
//     --export=abi_version --export=on_span -o head_rust.wasm head.o
#![no_std]

#[path = "../../../sdk/rust/hopscope.rs"]
mod hopscope;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

static mut BUF: [u8; 2048] = [0; 2048];

#[no_mangle]
extern "C" fn on_span() -> i32 {
    let b = hopscope::read(hopscope::REQUEST, 0, unsafe { &mut *core::ptr::addr_of_mut!(BUF) });
    let mut fields = -1;
    for line in b.split(|&c| c == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        if line.len() > 9 && line[..9].eq_ignore_ascii_case(b"x-order: ") {
            hopscope::set("app.order", &line[9..]);
        }
        fields += 1;
    }
    hopscope::set_int("app.fields", fields);
    hopscope::NEXT
}
