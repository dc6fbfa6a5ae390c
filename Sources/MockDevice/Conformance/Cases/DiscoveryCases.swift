import CBOR
import CoAP
import NIOCore

/// Ideas 63–67: what the cloud says is there.
let discoveryCases: [ConformanceCase] = [
    ConformanceCase(
        63, .discovery, "OCF CNC, res",
        "given two devices of one user and one of another, when /oic/res is asked, then exactly the user's links, with "
            + "anchor, href and the address dialled", needs: [.secondUser]
    ) { context in
        let (lamp, client) = try await context.pair()
        let fan = try await context.session("fan")
        let foreign = try await context.session("foreign", of: .second)
        try await context.publish(lamp, link("/light"))
        try await context.publish(fan, link("/speed"))
        try await context.publish(foreign, link("/volume"))
        let answer = try await client.peer.ask(.ocf(.get, "oic/res"))
        try context.expect(answer, .content, to: "GET /oic/res")
        // Other cases may run beside this one: what counts is what concerns these three.
        let three = [lamp.di, fan.di, foreign.di]
        let links = (answer.item?.elements ?? []).filter { link in
            three.contains { link["href"]?.string?.contains($0) ?? false }
        }
        let listed = links.compactMap { $0["href"]?.string }.sorted()
        let expected = ["/\(fan.di)/speed", "/\(lamp.di)/light"].sorted()
        try context.expect(listed == expected, "the links \(expected)", "\(listed)")
        for link in links {
            let di = link["href"]?.string?.split(separator: "/").first.map(String.init) ?? ""
            try context.expect(
                link["anchor"]?.string == "ocf://\(di)", "anchor ocf://\(di)", json(link))
            let endpoints = (link["eps"]?.elements ?? []).compactMap { $0["ep"]?.string }
            try context.expect(
                endpoints.contains(context.address.url), "eps with the address dialled, \(context.address.url)",
                "\(endpoints)")
        }
        let theirs = try await hrefs(foreign, foreign.di, context)
        try context.expect(theirs == ["/\(foreign.di)/volume"], "the other user's own link", "\(theirs)")
    },
    ConformanceCase(
        64, .discovery, "OCF CNC, res",
        "when di or rt are asked for, then OR within a key and AND across keys; no match is 2.05 with an empty array"
    ) { context in
        let (lamp, client) = try await context.pair()
        let fan = try await context.session("fan")
        let word = "x.c\(UInt32.random(in: .min ... .max))"
        try await context.publish(lamp, link("/light", rt: "\(word).light"), link("/clock", rt: "\(word).clock"))
        try await context.publish(fan, link("/speed", rt: "\(word).speed"), link("/clock", rt: "\(word).clock"))
        let (light, lampClock) = ("/\(lamp.di)/light", "/\(lamp.di)/clock")
        let (speed, fanClock) = ("/\(fan.di)/speed", "/\(fan.di)/clock")
        let questions: [([String], [String])] = [
            (["di=\(lamp.di)"], [light, lampClock]),
            (["di=\(lamp.di)", "di=\(fan.di)"], [light, lampClock, speed, fanClock]),
            (["rt=\(word).clock"], [lampClock, fanClock]),
            (["rt=\(word).light", "rt=\(word).speed"], [light, speed]),
            (["di=\(fan.di)", "rt=\(word).clock"], [fanClock]),
        ]
        for (queries, expected) in questions {
            let answer = try await client.peer.ask(.ocf(.get, "oic/res", queries: queries))
            try context.expect(answer, .content, to: "GET /oic/res?\(queries.joined(separator: "&"))")
            let hrefs = (answer.item?.elements ?? []).compactMap { $0["href"]?.string }.sorted()
            try context.expect(
                hrefs == expected.sorted(), "\(expected.sorted()) for \(queries)", "\(hrefs)")
        }
        for queries in [["rt=\(word).none"], ["di=\(lamp.di)", "rt=\(word).speed"]] {
            let answer = try await client.peer.ask(.ocf(.get, "oic/res", queries: queries))
            try context.expect(
                answer.code == .content && answer.item?.elements?.isEmpty ?? false, "2.05 with an empty array",
                summary(of: answer))
        }
    },
    ConformanceCase(
        65, .discovery, "RFC 7252 §5.10.4",
        "when Accept is 10000 or 60, then that format; when it is 41, then 4.06; without one, 10000"
    ) { context in
        let device = try await context.session("device")
        try await context.publish(device, link("/light"))
        func ask(_ accept: ContentFormat?) async throws -> Message {
            var request = Request(.get, path: ["oic", "res"], queries: ["di=\(device.di)"])
            request.options.accept = accept
            return try await device.peer.ask(request)
        }
        for (accept, format) in [(ContentFormat.ocfCBOR, ContentFormat.ocfCBOR), (.cbor, .cbor), (nil, .ocfCBOR)] {
            let answer = try await ask(accept)
            try context.expect(
                answer.code == .content && answer.options.contentFormat == format,
                "2.05 in \(format.rawValue) for Accept \(accept.map { "\($0.rawValue)" } ?? "none")",
                summary(of: answer))
        }
        try context.expect(try await ask(.xml), .notAcceptable, to: "Accept 41")
    },
    ConformanceCase(
        66, .discovery, "OCF CNC, res",
        "given a link that is not discoverable, when /oic/res is asked, then it is not listed"
    ) { context in
        let device = try await context.session("device")
        try await context.publish(device, link("/light"), link("/secret", bm: 2), link("/hidden", bm: 0))
        let listed = try await hrefs(device, device.di, context)
        try context.expect(listed == ["/\(device.di)/light"], "the discoverable link alone", "\(listed)")
    },
    ConformanceCase(
        67, .discovery, "OCF CNC, res",
        "when a request carries option 2049, then the answer carries 2053; when it does not, then neither does the answer"
    ) { context in
        let device = try await context.session("device")
        let ocf = try await device.peer.ask(.ocf(.get, "oic/res", queries: ["di=\(device.di)"]))
        try context.expect(
            ocf.code == .content && ocf.options.ocfVersion == .v1_0_0, "2.05 with option 2053", summary(of: ocf))
        let plain = try await device.peer.ask(Request(.get, path: ["oic", "res"], queries: ["di=\(device.di)"]))
        // Option 2053 is critical: a peer that does not know it has to throw the answer away.
        try context.expect(
            plain.code == .content && !plain.options.contains(.ocfContentFormatVersion), "2.05 without option 2053",
            summary(of: plain))
    },
]
