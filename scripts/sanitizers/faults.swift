// What scripts/test-sanitized asks AddressSanitizer before it trusts it: `right` does nothing wrong, `freed` reads what
// it has given back, `lost` forgets what C allocated for it.
import Glibc

/// Its length: what a caller forgets is then in no register any more.
@inline(never)
func lose() -> Int {
    guard let copy = strdup("what nobody frees") else { return 0 }
    return strlen(copy)
}

@inline(never)
func use(freed: Bool) -> Int {
    let numbers = UnsafeMutablePointer<Int>.allocate(capacity: 8)
    numbers.initialize(repeating: 1, count: 8)
    if freed { numbers.deallocate() }
    let sum = numbers[CommandLine.arguments.count]
    if !freed { numbers.deallocate() }
    return sum
}

switch CommandLine.arguments.dropFirst().first {
case "freed": print(use(freed: true))
case "lost": print((0..<8).reduce(0) { sum, _ in sum + lose() })
default: print(use(freed: false))
}
