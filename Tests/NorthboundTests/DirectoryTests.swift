import CBOR
import Cloud
import Testing

@testable import Northbound

@Suite("Devices as a directory", .timeLimit(.minutes(1)))
struct DirectoryTests {
    @Test("GET /devices lists mine with name and presence, no clients and nobody else's")
    func list() async throws {
        try await Server.run { server async throws in
            let answer = try await server.request("GET", "/devices", token: "alice-client")
            #expect(answer.status == 200)
            #expect(answer.fields["content-type"] == "application/json")
            let devices = try #require(answer.json?["devices"]?.elements)
            #expect(devices.map { $0["di"]?.string } == ["fridge", "lamp"])
            #expect(devices.map { $0["status"]?.string } == ["offline", "online"])
            #expect(devices.map { $0["since"]?.string } == [nil, "1970-01-01T00:00:00Z"])
            #expect(devices.first?["name"] == "name of fridge")
            #expect(answer.json?["next"] == nil)
        }
    }

    @Test(
        "BI-63: a limit that is not 1 to 1000 is 400 and named",
        arguments: ["0", "-1", "1001", "1000000000", "x", "", "1e2"])
    func limits(value: String) async throws {
        try await Server.run { server async throws in
            let answer = try await server.request("GET", "/devices?limit=\(value)", token: "alice-user")
            #expect(answer.status == 400)
            #expect(answer.slug == "bad-field")
            #expect(answer.json?["field"] == "limit")
        }
    }

    @Test("BI-63: pages are stable while devices come and go")
    func pages() async throws {
        try await Server.run { server async throws in
            for number in 10..<20 { server.registry.add(.device, "d-\(number)", uid: "carol", di: "d-\(number)") }
            server.registry.add(.user, "carol-user", uid: "carol")
            var seen: [String] = []
            var target: String? = "/devices?limit=3"
            var pages = 0
            while let next = target {
                let answer = try await server.request("GET", next, token: "carol-user")
                let devices = try #require(answer.json?["devices"]?.elements)
                #expect(devices.count <= 3)
                seen += devices.compactMap { $0["di"]?.string }
                target = answer.json?["next"]?.string.map { "/devices?limit=3&cursor=\($0)" }
                pages += 1
                if pages == 1 {
                    // The very device the cursor stands behind goes, one before it comes, one ahead goes.
                    server.registry.remove("d-12")
                    server.registry.add(.device, "d-0", uid: "carol", di: "d-0")
                    server.registry.remove("d-15")
                }
            }
            #expect(seen == ["d-10", "d-11", "d-12", "d-13", "d-14", "d-16", "d-17", "d-18", "d-19"])
        }
    }

    @Test("BI-63: a forged, cut or foreign cursor is 400 and named")
    func forgedCursors() async throws {
        try await Server.run { server async throws in
            let page = try await server.request("GET", "/devices?limit=1", token: "alice-user")
            let cursor = try #require(page.json?["next"]?.string)
            #expect(try await server.request("GET", "/devices?cursor=\(cursor)", token: "alice-user").status == 200)
            let altered = String(cursor.dropLast()) + (cursor.last == "0" ? "1" : "0")
            for forged in [
                "x", "", "fridge", altered, String(cursor.dropLast(2)), cursor + "00", cursor.uppercased() + "A",
            ] {
                let answer = try await server.request("GET", "/devices?cursor=\(forged)", token: "alice-user")
                #expect(answer.status == 400, "\(forged)")
                #expect(answer.json?["field"] == "cursor", "\(forged)")
            }
            let foreign = try await server.request("GET", "/devices?cursor=\(cursor)", token: "bob-user")
            #expect(foreign.status == 400)
        }
    }

    @Test("GET /devices/{di} shows links; a client's id is no device")
    func show() async throws {
        try await Server.run { server async throws in
            let answer = try await server.request("GET", "/devices/lamp", token: "alice-client")
            #expect(answer.status == 200)
            #expect(answer.json?["di"] == "lamp")
            #expect(answer.json?["links"]?.elements?.first?["href"] == "/lamp/light")
            #expect(try await server.request("GET", "/devices/alice-phone", token: "alice-user").status == 404)
            #expect(try await server.request("GET", "/devices/nobody", token: "alice-user").status == 404)
            #expect(try await server.request("GET", "/devices/oven", token: "alice-user").status == 403)
        }
    }

    @Test("GET /oic/res passes the filters di, rt and if on")
    func discovery() async throws {
        try await Server.run { server async throws in
            let answer = try await server.request(
                "GET", "/oic/res?di=lamp&di=x&rt=oic.r.light&if=oic.if.ll", token: "alice-client")
            #expect(answer.body == #"[{"href":"/lamp/light"}]"#)
            #expect(
                server.registry.calls.contains {
                    $0.hasPrefix(#"get links of alice di=["lamp", "x"] rt=["oic.r.light"]"#)
                })
        }
    }

    @Test("Deleting a device is 204, ends its session, and is 404 the second time")
    func deleteDevice() async throws {
        try await Server.run { server async throws in
            #expect(try await server.request("DELETE", "/devices/lamp", token: "alice-user").status == 204)
            #expect(server.devices.ended == ["lamp deleted"])
            #expect(try await server.request("DELETE", "/devices/lamp", token: "alice-user").status == 404)
            #expect(try await server.request("DELETE", "/devices/alice-phone", token: "alice-user").status == 404)
            #expect(server.devices.ended == ["lamp deleted"])
        }
    }

    @Test("Wrong device ids are limited: after the burst all of them are 429, and the own device still answers")
    func guessing() async throws {
        let clock = MovableClock()
        try await Server.run(NorthboundConfiguration(port: 0, wrongDeviceBurst: 3), clock: clock) {
            server async throws in
            for path in ["/nobody/x", "/oven/x", "/devices/oven"] {
                #expect([403, 404].contains(try await server.request("GET", path, token: "alice-client").status))
            }
            for path in ["/nobody/x", "/oven/x", "/devices/oven", "/devices/nobody"] {
                let answer = try await server.request("GET", path, token: "alice-user")
                #expect(answer.status == 429, "\(path)")
                #expect(answer.fields["retry-after"] == "1", "\(path)")
            }
            #expect(try await server.request("GET", "/lamp/x", token: "alice-user").status == 200)
            #expect(try await server.request("GET", "/lamp/x", token: "bob-user").status == 403)
            clock.advance(milliseconds: 1000)
            #expect(try await server.request("GET", "/oven/x", token: "alice-user").status == 403)
        }
    }
}
