import CBOR
import Cloud
import CoAP

/// The entries of a payload that must be a map, read with errors that name them. Unknown keys are ignored, as devices
/// send more than the specifications name.
struct Fields {
    let item: DataItem
    /// What stands before a name: `links[3].`.
    let prefix: String

    init(_ item: DataItem, prefix: String = "") throws(PayloadError) {
        guard case .map = item else {
            let what = prefix.isEmpty ? "the payload" : String(prefix.dropLast())
            throw PayloadError(
                .badRequest, "\(what) is \(item.kind): send a map", field: prefix.isEmpty ? nil : what)
        }
        self.item = item
        self.prefix = prefix
    }

    /// The value, nil when absent or null.
    subscript(_ key: String) -> DataItem? {
        let value = self.item[key]
        return value == .null || value == .undefined ? nil : value
    }

    func error(_ key: String, _ problem: String, code: Code = .badRequest) -> PayloadError {
        PayloadError(code, "\(self.prefix)\(key) \(problem)", field: self.prefix + key)
    }

    /// A text; nil when absent.
    func optionalText(_ key: String, maximumBytes: Int = 4096) throws(PayloadError) -> String? {
        guard let value = self[key] else { return nil }
        guard let text = value.string else { throw self.error(key, "is \(value.kind): send a text") }
        guard text.utf8.count <= maximumBytes else {
            throw self.error(key, "has \(text.utf8.count) bytes: at most \(maximumBytes) are taken")
        }
        return text
    }

    /// A text of one byte or more.
    func text(_ key: String, maximumBytes: Int = 4096) throws(PayloadError) -> String {
        guard let text = try self.optionalText(key, maximumBytes: maximumBytes) else {
            throw self.error(key, "is missing")
        }
        guard !text.isEmpty else { throw self.error(key, "is empty") }
        return text
    }

    func optionalInteger(_ key: String) throws(PayloadError) -> Int64? {
        guard let value = self[key] else { return nil }
        guard let integer = value.integer else {
            switch value {
            case .unsigned, .negative: throw self.error(key, "does not fit 64 bits with a sign")
            case .bytes, .text, .array, .map, .tagged, .boolean, .null, .undefined, .simple, .float:
                throw self.error(key, "is \(value.kind): send an integer")
            }
        }
        return integer
    }

    func integer(_ key: String) throws(PayloadError) -> Int64 {
        guard let integer = try self.optionalInteger(key) else { throw self.error(key, "is missing") }
        return integer
    }

    func flag(_ key: String) throws(PayloadError) -> Bool {
        guard let value = self[key] else { throw self.error(key, "is missing") }
        guard let flag = value.flag else { throw self.error(key, "is \(value.kind): send true or false") }
        return flag
    }

    /// A non-empty array of texts, none of them empty.
    func texts(_ key: String, maximumCount: Int, maximumBytes: Int) throws(PayloadError) -> [String] {
        guard let value = self[key] else { throw self.error(key, "is missing") }
        guard let elements = value.elements else {
            throw self.error(key, "is \(value.kind): send an array of texts")
        }
        guard !elements.isEmpty else { throw self.error(key, "is empty") }
        guard elements.count <= maximumCount else {
            throw self.error(
                key, "has \(elements.count) elements: at most \(maximumCount) are taken", code: .requestEntityTooLarge)
        }
        var texts: [String] = []
        for (index, element) in elements.enumerated() {
            guard let text = element.string else {
                throw self.error("\(key)[\(index)]", "is \(element.kind): send a text")
            }
            guard !text.isEmpty else { throw self.error("\(key)[\(index)]", "is empty") }
            guard text.utf8.count <= maximumBytes else {
                throw self.error(
                    "\(key)[\(index)]", "has \(text.utf8.count) bytes: at most \(maximumBytes) are taken",
                    code: .requestEntityTooLarge)
            }
            texts.append(text)
        }
        return texts
    }

    // MARK: Ids and secrets

    func optionalDevice(_ key: String) throws(PayloadError) -> DeviceID? {
        guard let text = try self.optionalText(key) else { return nil }
        do throws(IdentifierError) {
            return try DeviceID(text)
        } catch {
            throw self.error(key, "\(error)")
        }
    }

    func device(_ key: String) throws(PayloadError) -> DeviceID {
        guard let id = try self.optionalDevice(key) else { throw self.error(key, "is missing") }
        return id
    }

    func optionalUser(_ key: String) throws(PayloadError) -> UserID? {
        guard let text = try self.optionalText(key) else { return nil }
        do throws(IdentifierError) {
            return try UserID(text)
        } catch {
            throw self.error(key, "\(error)")
        }
    }

    func user(_ key: String) throws(PayloadError) -> UserID {
        guard let id = try self.optionalUser(key) else { throw self.error(key, "is missing") }
        return id
    }

    /// A token or code. One longer than any of ours is well-formed all the same, just nobody's: 4.01.
    func optionalSecret(_ key: String) throws(PayloadError) -> Secret? {
        guard let text = try self.optionalText(key, maximumBytes: .max) else { return nil }
        guard !text.isEmpty else { throw self.error(key, "is empty") }
        guard let secret = Secret(text) else {
            throw self.error(key, "is longer than any token of this cloud", code: .unauthorized)
        }
        return secret
    }

    func secret(_ key: String) throws(PayloadError) -> Secret {
        guard let secret = try self.optionalSecret(key) else { throw self.error(key, "is missing") }
        return secret
    }
}
