import NIOCore
import Northbound

/// The target of an HTTP request (RFC 9112 §3.2.1), as text.
enum HTTPTargetTarget {
    static func check(_ input: ByteBuffer) {
        guard let target = try? HTTPTarget(String(buffer: input)) else { return }
        for part in target.segments + target.queries {
            require(part.utf8.count <= HTTPTarget.maximumPartBytes, "a part has \(part.utf8.count) bytes")
            require(!part.utf8.contains { $0 < 0x20 || $0 == 0x7F }, "a part has a control character")
        }
        require(target.segments.count <= HTTPTarget.maximumParts, "there are \(target.segments.count) segments")
        require(target.queries.count <= HTTPTarget.maximumParts, "there are \(target.queries.count) queries")
        require(!target.segments.contains { $0 == "." || $0 == ".." }, "a segment is a dot segment")

        for query in target.queries {
            let name = query.prefix { $0 != "=" }
            require(
                target.values(String(name)).count <= target.queries.count, "a parameter has more values than there are")
        }

        var text = "/" + target.segments.map { HTTPTarget.encode($0) }.joined(separator: "/")
        if !target.queries.isEmpty {
            text += "?" + target.queries.map { HTTPTarget.encode($0, keeping: "=") }.joined(separator: "&")
        }
        guard let again = try? HTTPTarget(text) else { fatalError("what was written cannot be read: \(text)") }
        require(
            again.segments.elementsEqual(target.segments) { $0.utf8.elementsEqual($1.utf8) }
                && again.queries.elementsEqual(target.queries) { $0.utf8.elementsEqual($1.utf8) },
            "what was written is read as something else: \(text)")
    }
}
