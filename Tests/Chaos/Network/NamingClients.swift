import NIOCore

/// Many connections to one address, and whom they were led to.
struct NamingClients: Sendable {
    private var clients: [NamingClient] = []
    /// A server's name, or why there is no connection, to how often that came out.
    private(set) var counts: [String: Int] = [:]

    init(_ count: Int, to host: String, port: Int, within patience: TimeAmount) async {
        await withTaskGroup(of: Result<NamingClient, NamingClient.Failure>.self) { group in
            // As many at once as a server's queue takes.
            for number in 0..<count {
                if number >= 200, let result = await group.next() { self.add(result) }
                group.addTask {
                    do throws(NamingClient.Failure) {
                        return .success(try await NamingClient.connect(to: host, port: port, within: patience))
                    } catch {
                        return .failure(error)
                    }
                }
            }
            for await result in group { self.add(result) }
        }
    }

    private mutating func add(_ result: Result<NamingClient, NamingClient.Failure>) {
        switch result {
        case .success(let client):
            self.clients.append(client)
            self.counts[client.name, default: 0] += 1
        case .failure(let failure):
            self.counts[failure.rawValue, default: 0] += 1
        }
    }

    /// `one 103, two 98, refused 1`.
    var summary: String {
        self.counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    }

    /// How many still answer.
    func living(within patience: TimeAmount) async -> Int {
        await withTaskGroup(of: Bool.self) { group in
            for client in self.clients { group.addTask { await client.lives(within: patience) } }
            return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
    }

    func close() {
        for client in self.clients { client.close() }
    }
}
