import Foundation
import NIOCore
import NIOPosix

// floor front HTTP_PORT DEVICE_PORT LOOPS: answers HTTP by asking devices, which come to DEVICE_PORT.
// floor devices DEVICE_PORT COUNT: those devices.
//
// Nothing is read, checked or routed: what the gateway does costs at least what this does.

func fail(_ sentence: String, status: CInt) -> Never {
    FileHandle.standardError.write(Data((sentence + "\n").utf8))
    exit(status)
}

let words = CommandLine.arguments.dropFirst()
let numbers = words.dropFirst().compactMap { Int($0) }

switch (words.first, numbers.count) {
case ("front", 3):
    let group = MultiThreadedEventLoopGroup(numberOfThreads: max(1, numbers[2]))
    let devices = Devices()
    try await DeviceConnection.listen(port: numbers[1], on: group, devices)
    try await HTTPConnection.listen(port: numbers[0], on: group, devices).closeFuture.get()
case ("devices", 2):
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let connections = try await Device.connect(numbers[1], to: numbers[0], on: group)
    FileHandle.standardError.write(Data("connected\n".utf8))
    for connection in connections { try await connection.closeFuture.get() }
default:
    fail("Usage: floor front HTTP_PORT DEVICE_PORT LOOPS | floor devices DEVICE_PORT COUNT", status: 64)
}
