fn main() {
    // Where descriptors can be taken from Node and waited for. `stream-only` builds on any system
    // what other systems get, so that it can be tested.
    println!("cargo::rustc-check-cfg=cfg(poller)");
    let is_unix = std::env::var_os("CARGO_CFG_UNIX").is_some();
    if is_unix && std::env::var_os("CARGO_FEATURE_STREAM_ONLY").is_none() {
        println!("cargo::rustc-cfg=poller");
    }
    #[cfg(feature = "addon")]
    napi_build::setup();
}
