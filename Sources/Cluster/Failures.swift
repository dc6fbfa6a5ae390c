import Cloud

/// What ended a program, for people.
package enum Failures {
    package static func sentence(_ error: any Error) -> String {
        if let error = error as? CloudError { return error.message }
        return "\(error)"
    }
}
