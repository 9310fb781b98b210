//! Sets `cfg(poller)`, and links the addon to Node-API.

fn main() {
    // `poller` means that descriptors can be taken over from Node and polled. The feature
    // `stream-only` turns it off, so that the build for other systems can be tested anywhere.
    println!("cargo::rustc-check-cfg=cfg(poller)");
    let is_unix = std::env::var_os("CARGO_CFG_UNIX").is_some();
    if is_unix && std::env::var_os("CARGO_FEATURE_STREAM_ONLY").is_none() {
        println!("cargo::rustc-cfg=poller");
    }
    #[cfg(feature = "addon")]
    napi_build::setup();
}
