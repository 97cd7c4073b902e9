//! Invalid settings are errors from `build()`.

mod support;

use std::time::Duration;

use mcp_session_guard::store::{MemoryStore, StoreOptions};
use mcp_session_guard::{ConfigErrorKind, Eras, SessionGuardBuilder, SessionGuardLayer};

use support::owned;

#[test]
fn invalid_settings_are_errors_from_build() {
    let zero = Duration::ZERO;
    let absurd = Duration::MAX;
    type Set = fn(SessionGuardBuilder, Duration) -> SessionGuardBuilder;
    let cases: [(&str, Set); 6] = [
        ("idle_timeout", |guard, time| guard.idle_timeout(time)),
        ("never_used_timeout", |guard, time| {
            guard.never_used_timeout(time)
        }),
        ("silent_stream_timeout", |guard, time| {
            guard.silent_stream_timeout(time)
        }),
        ("max_lifetime", |guard, time| guard.max_lifetime(time)),
        ("body_progress_timeout", |guard, time| {
            guard.body_progress_timeout(time)
        }),
        ("body_timeout", |guard, time| guard.body_timeout(time)),
    ];
    for (setting, set) in cases {
        for time in [zero, absurd] {
            let error = set(SessionGuardLayer::builder(), time).build().unwrap_err();
            assert_eq!(error.setting(), setting);
            assert!(error.to_string().starts_with(setting));
        }
    }
    let build = SessionGuardLayer::builder;
    for (setting, builder) in [
        ("max_sessions", build().max_sessions(0)),
        ("max_sessions", build().max_sessions(usize::MAX)),
        ("max_streams", build().max_streams(0)),
        ("body_limit", build().body_limit(0)),
        ("body_limit", build().body_limit(usize::MAX)),
        ("json_depth", build().json_depth(0)),
        ("json_depth", build().json_depth(128)),
        ("id_generator", build().id_generator(String::new)),
        ("id_generator", build().id_generator(|| panic!("no ids"))),
        (
            "allowed_hosts",
            build().allowed_hosts(["https://mcp.example"]),
        ),
        ("allowed_hosts", build().allowed_hosts(["*.example"])),
        ("allowed_hosts", build().allowed_hosts(["*"])),
        ("allowed_hosts", build().allowed_hosts(["a.*.example.com"])),
        ("allowed_hosts", build().allowed_hosts(["mcp.example:"])),
        (
            "allowed_hosts",
            build()
                .allowed_hosts_where(|_, _| true)
                .allowed_hosts(["*.1.2"]),
        ),
        ("allowed_origins", build().allowed_origins(["mcp.example"])),
        (
            "allowed_origins",
            build().allowed_origins(["https://mcp.example/"]),
        ),
        (
            "allowed_origins",
            build().allowed_origins(["https://*.example"]),
        ),
        (
            "allowed_origins",
            build()
                .allowed_origins_where(|_, _, _| true)
                .dangerously_allow_null_origin()
                .allowed_origins(["null"]),
        ),
    ] {
        assert_eq!(builder.build().unwrap_err().setting(), setting);
    }
    assert!(build().json_depth(127).build().is_ok());
    let wildcards = build()
        .allowed_hosts(["*.example.com", "*.example.com:8443"])
        .allowed_origins(["https://*.example.com", "https://*.example.com:8443"]);
    assert!(wildcards.build().is_ok());
}

#[test]
fn invalid_combinations_of_eras_are_errors_from_build() {
    let error = SessionGuardLayer::builder()
        .eras(Eras::Sessionless)
        .stateless()
        .build()
        .unwrap_err();
    assert_eq!(error.kind(), ConfigErrorKind::Eras);
    assert_eq!(error.setting(), "stateless");
    let error = SessionGuardLayer::builder()
        .eras(Eras::Both)
        .modern_versions(["a b"])
        .build();
    assert_eq!(error.unwrap_err().kind(), ConfigErrorKind::Version);
}

#[test]
fn owner_settings_without_effect_are_errors_from_build() {
    let owned = || owned(SessionGuardLayer::builder());
    for (guard, setting) in [
        (
            SessionGuardLayer::builder().require_owner(),
            "require_owner",
        ),
        (
            SessionGuardLayer::builder().max_sessions_per_owner(1),
            "max_sessions_per_owner",
        ),
        (owned().stateless(), "owner"),
        (owned().require_owner().stateless(), "require_owner"),
        (owned().eras(Eras::Sessionless), "owner"),
    ] {
        let error = guard.build().unwrap_err();
        assert_eq!(
            (error.kind(), error.setting()),
            (ConfigErrorKind::Owner, setting)
        );
    }
    let error = owned().max_sessions_per_owner(0).build().unwrap_err();
    assert_eq!(error.kind(), ConfigErrorKind::Limit);
}

#[test]
fn shared_sessions_need_a_scope_and_accept_no_other_session_settings() {
    let sessions = SessionGuardLayer::new().sessions();
    let sharing = || SessionGuardLayer::with_sessions(&sessions);
    let refused = [
        (sharing(), "scope"),
        (sharing().scope("a b"), "scope"),
        (sharing().scope("x".repeat(65)), "scope"),
        (SessionGuardLayer::builder().scope("ä"), "scope"),
        (sharing().scope("x").max_sessions(3), "max_sessions"),
        (
            sharing().scope("x").idle_timeout(Duration::from_secs(9)),
            "idle_timeout",
        ),
    ];
    for (guard, setting) in refused {
        let error = guard.build().unwrap_err();
        assert_eq!(
            (error.kind(), error.setting()),
            (ConfigErrorKind::Scope, setting)
        );
    }
    assert!(sharing().scope("x.y_z-1").body_limit(9).build().is_ok());
}

#[test]
fn invalid_store_settings_are_errors_from_build() {
    let options = || StoreOptions::new(MemoryStore::new());
    let with = |options| SessionGuardLayer::builder().store(options);
    for (guard, setting) in [
        (with(options()).stateless(), "store"),
        (with(options().node_name("")), "StoreOptions::node_name"),
        (with(options().node_name("a b")), "StoreOptions::node_name"),
        (
            with(options().node_name("x".repeat(65))),
            "StoreOptions::node_name",
        ),
    ] {
        let error = guard.build().unwrap_err();
        assert_eq!(
            (error.kind(), error.setting()),
            (ConfigErrorKind::Store, setting)
        );
    }
    for guard in [
        with(options().lease(Duration::ZERO)),
        with(options().timeout(Duration::ZERO)),
        with(options().grace(Duration::MAX)),
    ] {
        assert_eq!(guard.build().unwrap_err().kind(), ConfigErrorKind::Limit);
    }
    assert!(with(options().grace(Duration::ZERO)).build().is_ok());
}
