import Crypto

/// SHA-1 as 40 hexadecimal digits: what Redis calls a script by. A name, nothing that secrets depend on.
package func sha1Hexadecimal(of text: String) -> String {
    Insecure.SHA1.hash(data: Array(text.utf8)).hexadecimal
}
