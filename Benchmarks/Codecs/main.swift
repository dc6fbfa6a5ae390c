import CBOR
import CoAP
import NIOCore

// codecs [SAMPLES]: what each request to a device passes, timed piece by piece: one frame in, one out, and the payload.
// One line of JSON for each, with nanoseconds.

let limits = FrameLimits()
let token = Token([1, 2, 3, 4])
let request = Message(
    code: .get, token: token,
    options: Request(.get, path: ["fleet-1000", "light"], queries: ["if=oic.if.baseline"]).options)
let light: DataItem = [
    "value": true, "brightness": 50, "di": "0685b960-736f-46f7-bec0-9e6cbd61adc1", "served": 1000,
]
let payload = light.encoded()
let answer = Message(code: .content, token: token, payload: payload)

var watch = Stopwatch(samples: CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 15)

for (name, message) in [("a request", request), ("an answer", answer)] {
    var frame = ByteBuffer()
    message.writeFrame(into: &frame)
    watch.measure("write \(name)") {
        var buffer = ByteBuffer()
        message.writeFrame(into: &buffer)
        return buffer
    }
    try watch.measure("read \(name)") {
        var buffer = frame
        return try Message(readingFrameFrom: &buffer, limits: limits)
    }
}
let ping = ByteBuffer(bytes: [0x00, 0xE2])
try watch.measure("read a Ping") {
    var buffer = ping
    return try Message(readingFrameFrom: &buffer, limits: limits)
}
watch.measure("path and queries of a request") { (request.options.path, request.options.queries) }
watch.measure("write a light as CBOR") { light.encoded() }
try watch.measure("read a light from CBOR") { try DataItem(decoding: payload) }

for result in watch.results {
    print("{\"name\": \"\(result.name)\", \"nanoseconds\": \(result.nanoseconds)}")
}
