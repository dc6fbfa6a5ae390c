import FoundationEssentials
package import MockDevice

/// A line of `traffic.jsonl`.
package enum TrafficEvent: Sendable {
    case traffic(TrafficRecord)
    case request(RequestRecord)
    case presence(PresenceRecord)
}

extension EventFile where Event == TrafficEvent {
    /// Replaces the file.
    package convenience init(traffic path: String) throws(FleetError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        try self.init(path: path) { event, bytes in
            let line: Data? =
                switch event {
                case .traffic(let record): try? encoder.encode(record)
                case .request(let record): try? encoder.encode(record)
                case .presence(let record): try? encoder.encode(record)
                }
            // Nothing in a record can fail to be written: numbers are integers, or a rate that is finite.
            if let line { bytes.append(contentsOf: line) }
        }
    }
}
