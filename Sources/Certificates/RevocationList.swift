import SwiftASN1
import X509

struct RevocationList {
    static let numberExtension: ASN1ObjectIdentifier = [2, 5, 29, 20]
    static let ecdsaWithSHA256: ASN1ObjectIdentifier = [1, 2, 840, 10045, 4, 3, 2]
}
