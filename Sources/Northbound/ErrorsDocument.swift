/// docs/errors.md, and what `GET /errors` answers: written from the table of problems.
package enum ErrorsDocument {
    package static let text: String = {
        var lines = [
            "# Errors",
            "",
            "Every error over HTTP is a problem (RFC 9457, `application/problem+json`):",
            "",
            "| member | |",
            "| --- | --- |",
            "| `type` | `/errors#slug`, one of the headings below; it never changes its meaning |",
            "| `title` | the same short sentence for every problem of a type |",
            "| `status` | the HTTP status |",
            "| `detail` | what happened, to what, and what to do next |",
            "| `request_id` | the X-Request-Id of the request: one grep for it finds every log line about it |",
            "| `field` | the header field, member or parameter at fault, where one is |",
            "| `coap_code` | the code the device answered with, where it was the device that refused |",
            "",
            "An error that a device answers with content of its own arrives as that content, not as a problem.",
        ]
        for kind in ProblemKind.allCases {
            lines += [
                "",
                "## \(kind.slug)",
                "",
                "**\(kind.status.map(String.init) ?? "the status follows the device's code")** · \(kind.title)",
                "",
                kind.meaning,
                "",
                "What to do: \(kind.remedy)",
            ]
        }
        return lines.joined(separator: "\n") + "\n"
    }()
}
