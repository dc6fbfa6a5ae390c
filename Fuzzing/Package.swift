// swift-tools-version: 6.2

import PackageDescription

// What reads bytes from outside, built once more so that libFuzzer sees which way each input takes: `make fuzz`.
//
// A package of its own, because its flags would slow and change the ordinary build. The folder Modules leads to the
// sources themselves: to all of a module, or to what reads bytes in it, lest TLS and an HTTP server be built for that.

let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    // Optimised, since executions count, but with every assertion and its text.
    .unsafeFlags(["-sanitize=fuzzer", "-assert-config", "Debug", "-enable-testing"]),
]

let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioEmbedded = Target.Dependency.product(name: "NIOEmbedded", package: "swift-nio")
let nioWebSocket = Target.Dependency.product(name: "NIOWebSocket", package: "swift-nio")

func module(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, path: "Modules/\(name)", swiftSettings: strict)
}

let package = Package(
    name: "fuzzing",
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2")
    ],
    targets: [
        module("CBOR", [nioCore]),
        module("CoAP", [nioCore]),
        module("OCF", ["CBOR", nioCore]),
        module("Cloud", []),
        module("CoAPTransport", ["CoAP", nioCore, nioWebSocket]),
        .systemLibrary(name: "CHiredis", path: "Modules/CHiredis"),
        .systemLibrary(name: "CLibFuzzer", path: "Modules/CLibFuzzer"),
        module("RedisStore", ["Cloud", "CHiredis", nioCore]),
        module("Northbound", ["CoAP", "CBOR", "OCF", nioCore]),
        .executableTarget(
            name: "fuzz",
            dependencies: [
                "CBOR", "CLibFuzzer", "CoAP", "CoAPTransport", "Northbound", "OCF", "RedisStore", nioCore, nioEmbedded,
                nioWebSocket,
            ],
            path: "Targets",
            swiftSettings: strict + [.treatAllWarnings(as: .error)],
        ),
    ]
)
