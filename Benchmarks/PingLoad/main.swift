import Glibc

// ping-load PORT CONNECTIONS WINDOW SECONDS: how many Pings a second a server on this machine answers, as JSON.

func fail(_ sentence: String, status: CInt) -> Never {
    _ = (sentence + "\n").withCString { write(STDERR_FILENO, $0, strlen($0)) }
    exit(status)
}

let words = CommandLine.arguments.dropFirst()
let numbers = words.compactMap { Int($0) }
guard words.count == 4, numbers.count == 4, numbers.allSatisfy({ $0 > 0 }),
    let port = UInt16(exactly: numbers[0])
else {
    fail("Usage: ping-load PORT CONNECTIONS WINDOW SECONDS", status: 64)
}

var files = rlimit()
getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files)
files.rlim_cur = files.rlim_max
setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files)

do {
    var load = try PingLoad(port: port, connections: numbers[1], window: numbers[2])
    let result = try load.run(warming: 0.5, seconds: Double(numbers[3]))
    print("{\"pongs\": \(result.pongs), \"seconds\": \(result.seconds)}")
} catch {
    fail("The server on port \(port) cannot be measured: \(error)", status: 1)
}
