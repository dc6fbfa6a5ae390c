// swift-tools-version: 6.2

import PackageDescription

let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

// Products of other packages, named once.
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioEmbedded = Target.Dependency.product(name: "NIOEmbedded", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioTLS = Target.Dependency.product(name: "NIOTLS", package: "swift-nio")
let nioWebSocket = Target.Dependency.product(name: "NIOWebSocket", package: "swift-nio")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let metrics = Target.Dependency.product(name: "Metrics", package: "swift-metrics")
let coreMetrics = Target.Dependency.product(name: "CoreMetrics", package: "swift-metrics")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let hummingbirdCore = Target.Dependency.product(name: "HummingbirdCore", package: "hummingbird")
let nioHTTPTypes = Target.Dependency.product(name: "NIOHTTPTypes", package: "swift-nio-extras")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let configuration = Target.Dependency.product(name: "Configuration", package: "swift-configuration")
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let signals = Target.Dependency.product(name: "UnixSignals", package: "swift-service-lifecycle")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let x509 = Target.Dependency.product(name: "X509", package: "swift-certificates")
let asn1 = Target.Dependency.product(name: "SwiftASN1", package: "swift-asn1")
let histogram = Target.Dependency.product(name: "Histogram", package: "hdrhistogram-swift")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")

func library(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: name,
        dependencies: dependencies + [arguments],
        path: "Sources/Programs/\(name)",
        swiftSettings: strict,
    )
}

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: strict)
}

let package = Package(
    name: "coap-gateway",
    products: [
        .executable(name: "coap-gateway", targets: ["coap-gateway"]),
        .executable(name: "coap-interface", targets: ["coap-interface"]),
        .executable(name: "northbound", targets: ["northbound"]),
        .executable(name: "registry", targets: ["registry"]),
        .executable(name: "mock-device", targets: ["mock-device"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(
            url: "https://github.com/apple/swift-configuration", from: "1.4.0", traits: ["CommandLineArguments"]),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    ],
    targets: [
        // Bytes and decisions: no input, no output.
        library("CBOR", [nioCore]),
        library("CoAP", [nioCore]),
        library("OCF", ["CoAP", "CBOR", "Cloud", nioCore]),
        library("Cloud", [crypto]),
        // Input and output.
        library("Certificates", [nioCore, nioPosix, nioSSL, x509, asn1, crypto, logging, metrics]),
        library(
            "CoAPTransport",
            ["CoAP", "Certificates", nioCore, nioPosix, nioTLS, nioSSL, nioHTTP1, nioWebSocket, logging]),
        .systemLibrary(name: "CSQLite", providers: [.apt(["libsqlite3-dev"])]),
        .systemLibrary(name: "CMariaDB", providers: [.apt(["libmariadb-dev"])]),
        library("SQLStore", ["Cloud", "CSQLite", "CMariaDB", nioPosix]),
        .systemLibrary(name: "CHiredis", providers: [.apt(["libhiredis-dev"])]),
        library("RedisStore", ["Cloud", "CHiredis", nioCore, nioPosix, nioSSL, logging, metrics, lifecycle]),
        library(
            "Hop",
            [
                "CoAP", "CBOR", "Cloud", "Certificates", "CoAPTransport", nioCore, nioPosix, nioSSL, x509, logging,
                lifecycle,
            ]),
        library(
            "ServiceShell",
            [
                logging, coreMetrics, configuration, lifecycle, signals, arguments, nioCore, nioPosix, nioHTTP1,
            ]),
        // The programs' logic.
        library("RegistryReach", ["CoAP", "CBOR", "OCF", "Cloud", nioCore, logging, metrics, lifecycle]),
        library("Edge", ["CoAP", "CBOR", "OCF", "Cloud", nioCore, metrics]),
        library(
            "CoAPInterface",
            [
                "CoAP", "CBOR", "OCF", "Cloud", "Certificates", "CoAPTransport", "Edge", "ServiceShell", nioCore,
                logging, metrics, lifecycle,
            ]),
        library(
            "Northbound",
            [
                "CoAP", "CBOR", "OCF", "Cloud", "Certificates", "ServiceShell", nioSSL, hummingbirdCore, httpTypes,
                nioCore,
                nioPosix, nioHTTP1, nioHTTPTypes, logging, metrics, lifecycle,
            ]),
        library(
            "Registry",
            ["CoAP", "CBOR", "OCF", "Cloud", "ServiceShell", nioCore, logging, metrics, lifecycle]),
        library(
            "MockDevice",
            [
                "CoAP", "CBOR", "OCF", "Cloud", "Certificates", "CoAPTransport", nioCore, nioPosix, nioSSL, logging,
                arguments, signals, histogram,
            ]),
        library(
            "Cluster",
            [
                arguments, "CoAP", "Cloud", "Certificates", "CoAPInterface", "CoAPTransport", "Edge", "Hop",
                "Northbound", "Registry", "RegistryReach", "RedisStore", "ServiceShell", "SQLStore", "OCF", nioCore,
                nioPosix, logging, lifecycle,
            ]),
        library(
            "Gateway",
            [
                "CoAP", "Cloud", "Certificates", "CoAPInterface", "Cluster", "Edge", "Northbound", "Registry",
                "RegistryReach", "ServiceShell",
                "SQLStore", "OCF", nioCore, nioPosix, logging, lifecycle,
            ]),
        program("coap-gateway", ["Gateway", "Cluster", "MockDevice"]),
        program("coap-interface", ["Cluster"]),
        program("northbound", ["Cluster"]),
        program("registry", ["Cluster"]),
        program("mock-device", ["MockDevice"]),
        // Tests.
        .target(
            name: "TestSupport", dependencies: ["CoAP", "CBOR", nioCore, nioPosix, nioHTTP1],
            path: "Tests/TestSupport", swiftSettings: strict),
        tests("CBORTests", ["CBOR", "TestSupport", nioCore], exclude: ["Inputs"]),
        tests("CoAPTests", ["CoAP", "TestSupport", nioCore], exclude: ["Inputs"]),
        tests("OCFTests", ["OCF", "CoAP", "CBOR", "Cloud", "TestSupport", nioCore]),
        tests("CloudTests", ["Cloud"]),
        .target(name: "TestServers", dependencies: ["TestSupport"], path: "Tests/TestServers", swiftSettings: strict),
        tests("SQLStoreTests", ["SQLStore", "Cloud", "TestServers"]),
        tests(
            "RedisStoreTests",
            ["RedisStore", "Cloud", "TestServers", "TestSupport", nioCore, nioPosix, logging]),
        tests(
            "HopTests",
            [
                "Hop", "CoAP", "CBOR", "Cloud", "Certificates", "CoAPTransport", "TestSupport", nioCore, nioPosix,
                nioSSL,
                x509, crypto, logging, lifecycle,
            ]),
        tests(
            "RegistryReachTests",
            [
                "RegistryReach", "Registry", "ServiceShell", "CoAP", "CBOR", "OCF", "Cloud", "TestSupport", nioCore,
                logging,
                lifecycle,
            ]),
        tests(
            "ClusterTests",
            [
                "Cluster", "Hop", "Gateway", "ServiceShell", "SQLStore", "CoAP", "CoAPTransport", "CBOR", "OCF",
                "Cloud",
                "Certificates", "TestSupport", "TestServers",
                nioCore,
                nioPosix, nioHTTP1, logging, lifecycle, "coap-gateway", "coap-interface", "northbound", "registry",
                "mock-device",
            ]),
        tests(
            "CertificatesTests",
            ["Certificates", "TestServers", nioCore, nioPosix, nioSSL, x509, asn1, crypto, logging]),
        tests(
            "CoAPTransportTests",
            [
                "CoAPTransport", "CoAP", "Certificates", "TestSupport", nioCore, nioPosix, nioEmbedded, nioSSL,
                nioHTTP1,
                nioWebSocket, x509, crypto, logging,
            ]),
        tests(
            "ServiceShellTests",
            ["ServiceShell", logging, metrics, coreMetrics, nioCore, nioPosix, lifecycle, signals],
        ),
        tests("EdgeTests", ["Edge", "CoAP", "CBOR", "OCF", "Cloud", "TestSupport", nioCore, nioEmbedded, nioPosix]),
        tests(
            "CoAPInterfaceTests",
            [
                "CoAPInterface", "CoAP", "CBOR", "Cloud", "OCF", "Certificates", "CoAPTransport", "Edge",
                "ServiceShell",
                "TestSupport", nioCore, nioPosix, logging, lifecycle,
            ]),
        tests(
            "NorthboundTests",
            [
                "Northbound", "CoAP", "CBOR", "OCF", "Cloud", "Certificates", "TestServers", "TestSupport",
                "ServiceShell", nioSSL,
                yams, httpTypes, logging, lifecycle,
                nioCore, nioEmbedded, nioHTTPTypes, nioPosix,
            ]),
        tests(
            "RegistryTests",
            [
                "Registry", "SQLStore", "Cloud", "OCF", "CoAP", "CBOR", "ServiceShell", nioCore, logging, lifecycle,
            ]),
        tests(
            "MockDeviceTests",
            [
                "MockDevice", "CoAP", "CBOR", "Cloud", "Certificates", "CoAPTransport", nioCore, nioPosix, nioSSL,
                logging,
            ]),
        tests(
            "GatewayTests",
            [
                "Gateway", "Cluster", "ServiceShell", "CoAP", "CoAPTransport", "CBOR", "OCF", "Cloud", "Certificates",
                "MockDevice", "TestSupport", "TestServers", "CSQLite",
                nioCore, nioPosix, nioSSL,
                logging, lifecycle, "coap-gateway", "mock-device",
            ], exclude: ["Peers"]),
        // What `make chaos` runs, and who judges it.
        .target(
            name: "Chaos",
            dependencies: [
                "CoAP", "CBOR", "OCF", "MockDevice", "TestServers", "TestSupport", nioCore, nioPosix, nioHTTP1,
                arguments, histogram,
            ],
            path: "Tests/Chaos", swiftSettings: strict),
        .executableTarget(
            name: "chaos", dependencies: ["Chaos", arguments], path: "Tests/ChaosProgram", swiftSettings: strict),
        tests(
            "ChaosTests",
            [
                "Chaos", "CoAP", "MockDevice", "TestServers", "TestSupport", nioCore, nioEmbedded, nioPosix, nioHTTP1,
                "chaos",
            ]),
        tests("DeployTests", ["Cluster", "ServiceShell", "TestServers", yams]),
        tests("TidyTests", []),
    ]
)
