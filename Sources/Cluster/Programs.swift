/// The command `coap-interface`.
package enum CoAPInterfaceProgram {
    package static func main(arguments: [String], environment: [String: String]) async -> Int32 { 1 }
}

/// The command `northbound`.
package enum NorthboundProgram {
    package static func main(arguments: [String], environment: [String: String]) async -> Int32 { 1 }
}

/// The command `registry`.
package enum RegistryProgram {
    package static func main(arguments: [String], environment: [String: String]) async -> Int32 { 1 }
}
