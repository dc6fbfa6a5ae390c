/// Whoever can end the live sessions of devices: what deletion and revocation call.
package protocol SessionEnder: Sendable {
    func end(_ devices: [DeviceID], reason: String) async
}
