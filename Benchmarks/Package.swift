// swift-tools-version: 6.2

import PackageDescription

// A package of its own: what only measures is not built with the gateway. `Gateway` is a link to the gateway's own
// sources: what is measured is compiled here as targets of this package, and `package` access reaches it.

let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")

let package = Package(
    name: "Benchmarks",
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2")
    ],
    targets: [
        .target(name: "CBOR", dependencies: [nioCore], path: "Gateway/CBOR", swiftSettings: strict),
        .target(name: "CoAP", dependencies: [nioCore], path: "Gateway/CoAP", swiftSettings: strict),
        .executableTarget(
            name: "codecs", dependencies: ["CBOR", "CoAP", nioCore], path: "Codecs", swiftSettings: strict),
        .systemLibrary(name: "CEpoll", path: "CEpoll"),
        // Knows nothing of what it measures: two servers, one of them not ours, are asked by the same bytes.
        .executableTarget(name: "ping-load", dependencies: ["CEpoll"], path: "PingLoad", swiftSettings: strict),
        // What the gateway is made of, and nothing of the gateway.
        .executableTarget(
            name: "floor", dependencies: [nioCore, nioPosix, nioHTTP1], path: "Floor", swiftSettings: strict),
    ]
)
