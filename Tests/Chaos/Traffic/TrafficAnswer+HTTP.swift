import CBOR
import NIOCore
import NIOHTTP1
import OCF

extension TrafficAnswer {
    /// What an answer of HTTP says of itself.
    init(_ head: HTTPResponseHead, body: ByteBuffer) {
        self.init(status: Int(head.status.code))
        self.requestID = head.headers.first(name: "x-request-id")
        guard let type = head.headers.first(name: "content-type"), type.contains("json"),
            let item = try? JSONCoding.decode(body)
        else { return }
        if type.hasPrefix("application/problem+json") {
            self.problem = item["type"]?.string
        } else {
            self.answeredBy = item["di"]?.string
            self.answeredMark = Self.mark(item["n"])
            self.served = item["served"]?.integer.flatMap { Int(exactly: $0) }
            self.last = Self.mark(item["last"])
        }
    }

    /// The mark of a GET comes back as the text it was in the query, that of a POST as the number it was in the body.
    private static func mark(_ item: DataItem?) -> Int? {
        item?.integer.flatMap { Int(exactly: $0) } ?? item?.string.flatMap { Int($0) }
    }
}
