/// A host as it stands before `:PORT`: an IPv6 address needs brackets there (RFC 3986 §3.2.2).
package func bracketed(_ host: String) -> String {
    host.contains(":") ? "[\(host)]" : host
}
