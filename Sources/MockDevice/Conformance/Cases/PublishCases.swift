import CBOR
import CoAP
import NIOCore

/// Ideas 54–62: what a device has.
let publishCases: [ConformanceCase] = [
    ConformanceCase(
        54, .publish, "OCF CNC, rd",
        "when two links are published, then 2.04 with both in their order, an ins for each, and the ttl"
    ) { context in
        let device = try await context.session("device")
        let answer = try await device.peer.ask(.publish(di: device.di, [link("/b"), link("/a")], ttl: 3600))
        try context.expect(answer, .changed, to: "a publication")
        try context.expect(answer.options.contentFormat == .ocfCBOR, "Content-Format 10000", summary(of: answer))
        let links = answer.item?["links"]?.elements ?? []
        try context.expect(
            links.compactMap { $0["href"]?.string } == ["/b", "/a"], "the links /b and /a", summary(of: answer))
        let numbers = links.compactMap { $0["ins"]?.integer }
        try context.expect(Set(numbers).count == 2, "two different integers ins", summary(of: answer))
        try context.expect(answer.item?["ttl"]?.integer == 3600, "ttl 3600", summary(of: answer))
        try context.expect(answer.item?["di"]?.string == device.di, "the di", summary(of: answer))
    },
    ConformanceCase(
        55, .publish, "OCF CNC, rd", "when an href is published again, then its ins is the same, and it is listed once"
    ) { context in
        let device = try await context.session("device")
        let first = try await numbers(device, [link("/light"), link("/fan")], context)
        let second = try await numbers(device, [link("/light")], context)
        try context.expect(second["/light"] == first["/light"], "ins \(first)", "\(second)")
        let listed = try await hrefs(device, device.di, context).sorted()
        try context.expect(listed == ["/\(device.di)/fan", "/\(device.di)/light"], "each link once", "\(listed)")
    },
    ConformanceCase(
        56, .publish, "OCF CNC, rd",
        "when ttl is 2, then the link is gone after 2 s unless renewed; ttl 0 never ends", isSlow: true
    ) { context in
        let device = try await context.session("device")
        try await context.publish(device, link("/ever"), ttl: 0)
        try await context.publish(device, link("/short"), ttl: 2)
        try await context.publish(device, link("/renewed"), ttl: 2)
        try await context.publish(device, link("/renewed"), ttl: 3600)
        let all = try await hrefs(device, device.di, context).count
        try context.expect(all == 3, "three links at first", "\(all)")
        _ = try await context.eventually("the link with ttl 2 gone, the others there", within: .seconds(20)) {
            let left = try await hrefs(device, device.di, context).sorted()
            return (left, left == ["/\(device.di)/ever", "/\(device.di)/renewed"])
        }
    },
    ConformanceCase(
        57, .publish, "OCF CNC, rd",
        "when ttl is missing or -1, links empty or no array, or an href empty, then 4.00 each"
    ) { context in
        let device = try await context.session("device")
        let di = DataItem.text(device.di)
        let one = DataItem.array([link("/light")])
        let bodies: [(String, DataItem)] = [
            ("no ttl", .map(["di": di, "links": one])), ("ttl -1", .map(["di": di, "links": one, "ttl": -1])),
            ("no links", .map(["di": di, "links": [], "ttl": 0])),
            ("links that are a map", .map(["di": di, "links": .map(["href": "/light"]), "ttl": 0])),
            ("an empty href", .map(["di": di, "links": [link("")], "ttl": 0])),
        ]
        for (what, body) in bodies {
            let answer = try await device.peer.ask(.ocf(.post, "oic/rd", body))
            try context.expect(answer, .badRequest, to: "a publication with \(what)")
        }
        let listed = try await hrefs(device, device.di, context)
        try context.expect(listed.isEmpty, "nothing stored of it", "\(listed)")
    },
    ConformanceCase(58, .publish, "OCF CNC, rd", "when rel is a text or an array of texts, then both are taken") {
        context in
        let device = try await context.session("device")
        let links = [link("/a", [.init("rel", "hosts")]), link("/b", [.init("rel", ["hosts"])])]
        let answer = try await device.peer.ask(.publish(di: device.di, links))
        try context.expect(answer, .changed, to: "a publication with both forms of rel")
        let count = try await hrefs(device, device.di, context).count
        try context.expect(count == 2, "two links", "\(count)")
    },
    ConformanceCase(
        59, .publish, "OCF CNC, rd",
        "given no session, when something is published, then 4.01; with another di, 4.03 and nothing stored"
    ) { context in
        let stranger = try await context.open("stranger")
        let di = context.freshDI()
        try context.expect(
            try await stranger.ask(.publish(di: di, [link("/light")])), .unauthorized,
            to: "a publication before sign-in")
        let device = try await context.session("device")
        let other = try await context.session("other")
        let answer = try await device.peer.ask(.publish(di: other.di, [link("/light")]))
        try context.expect(answer, .forbidden, to: "a publication for another device")
        for session in [device, other] {
            let listed = try await hrefs(session, session.di, context)
            try context.expect(listed.isEmpty, "nothing stored of it", "\(listed)")
        }
    },
    ConformanceCase(
        60, .publish, "RFC 8323 §5.3.1",
        "when 150 links come in one message of 14 KB, as the reference stack sends them, then 2.04"
    ) { context in
        let device = try await context.session("device")
        let links = (0..<150).map { link("/resource/number/\($0)", [.init("rel", "hosts"), .init("ins", 7)]) }
        let answer = try await device.peer.ask(.publish(di: device.di, links))
        try context.expect(answer, .changed, to: "a publication of 150 links")
        let count = try await hrefs(device, device.di, context).count
        try context.expect(count == 150, "150 links", "\(count)")
    },
    ConformanceCase(
        61, .publish, "OCF CNC, rd",
        "when an ins is deleted, then 2.02 and only that link is gone; without ins all; unknown 4.04; two di or no number 4.00"
    ) { context in
        let device = try await context.session("device")
        let numbers = try await numbers(device, [link("/a"), link("/b"), link("/c")], context)
        func delete(_ queries: String...) async throws -> Message {
            try await device.peer.ask(.ocf(.delete, "oic/rd", queries: queries))
        }
        let di = "di=\(device.di)"
        try context.expect(try await delete(di, "ins=abc"), .badRequest, to: "DELETE with ins=abc")
        try context.expect(
            try await delete(di, "di=\(context.freshDI())"), .badRequest, to: "DELETE with two di")
        let unused = (1...).first { !numbers.values.contains($0) } ?? 0
        try context.expect(try await delete(di, "ins=\(unused)"), .notFound, to: "DELETE of an unknown ins")
        let some = numbers["/b"] ?? 0
        try context.expect(try await delete(di, "ins=\(some)"), .deleted, to: "DELETE of one ins")
        let left = try await hrefs(device, device.di, context).sorted()
        try context.expect(left == ["/\(device.di)/a", "/\(device.di)/c"], "the two other links", "\(left)")
        try context.expect(try await delete(di), .deleted, to: "DELETE without ins")
        let none = try await hrefs(device, device.di, context)
        try context.expect(none.isEmpty, "no link", "\(none)")
    },
    ConformanceCase(
        62, .publish, "OCF CNC, rd",
        "given published links, when the device reconnects without publishing, then they are still there"
    ) { context in
        let device = try await context.session("device")
        try await context.publish(device, link("/light"))
        await device.peer.close()
        let again = try await context.signIn(device.login, on: try await context.open("again"))
        let listed = try await hrefs(again, device.di, context)
        try context.expect(listed == ["/\(device.di)/light"], "the link of before", "\(listed)")
    },
]

/// Publishes links and returns the number of each.
private func numbers(
    _ device: CaseContext.Session, _ links: [DataItem], _ context: CaseContext
) async throws -> [String: Int64] {
    let answer = try await device.peer.ask(.publish(di: device.di, links))
    try context.expect(answer, .changed, to: "a publication")
    var result: [String: Int64] = [:]
    for link in answer.item?["links"]?.elements ?? [] {
        guard let href = link["href"]?.string, let ins = link["ins"]?.integer else { continue }
        result[href] = ins
    }
    try context.expect(result.count == links.count, "an ins for each of \(links.count) links", summary(of: answer))
    return result
}
