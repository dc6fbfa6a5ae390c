/// What changed in a user's directory. Reported after the commit.
package enum DirectoryEvent: Hashable, Sendable {
    /// These links could not be found before. Publishing the same again is no event.
    case published(uid: UserID, di: DeviceID, hrefs: [String])
    /// These links were there, and are other than they were.
    case changed(uid: UserID, di: DeviceID, hrefs: [String])
    case unpublished(uid: UserID, di: DeviceID, hrefs: [String])
}
