import Glibc

/// The permission bits of a file or directory. By itself in a file: with Glibc in sight the test macros do not compile.
func mode(ofFile path: String) -> Int {
    var status = stat()
    guard lstat(path, &status) == 0 else { return -1 }
    return Int(status.st_mode & 0o777)
}
