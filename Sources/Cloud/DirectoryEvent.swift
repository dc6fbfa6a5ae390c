/// What changed in a user's directory. Reported after the commit.
package enum DirectoryEvent: Hashable, Sendable {
    /// These links are new, or other than they were; publishing the same again is no event.
    case published(uid: UserID, di: DeviceID, hrefs: [String])
    case unpublished(uid: UserID, di: DeviceID, hrefs: [String])
}
